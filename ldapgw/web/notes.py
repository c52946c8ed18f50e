# SPDX-License-Identifier: MIT
"""What the next page says of what was just done: a name goes along in a cookie, the words are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ldapgw.web.endings import PERMISSIONS
from ldapgw.words import Phrase, Said, marked


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence; its kind is the class of its colour: good or warn."""

    kind: str
    sentence: Said


# By the value of the cookie; any other value says nothing.
NOTES: Mapping[str, Note] = {
    "connected": Note("good", marked("Google contacts are connected.")),
    "asked": Note("good", marked("A sync was asked for; it begins at once.")),
    "not-accepted": Note(
        "warn",
        marked("This has changed since the page was opened, so this answer was not used. Below is what holds now."),
    ),
    "shared": Note("good", marked("Saved. The new sharing applies from now on.")),
    "disconnected": Note(
        "good", marked("Disconnected: your contacts are off the phones, and the access at Google is revoked.")
    ),
    "not-revoked": Note(
        "warn",
        Phrase(
            marked(
                "Disconnected: your contacts are off the phones. Google could not be told, so please remove this app "
                "yourself at %(permissions)s."
            ),
            {"permissions": PERMISSIONS.removeprefix("https://")},
        ),
    ),
    "phone-added": Note(
        "good", marked("The phone is added. Its password is shown here for ten minutes, and never again.")
    ),
    "phone-reset": Note(
        "good", marked("The phone has a new password. It is shown here for ten minutes, and never again.")
    ),
    "phone-removed": Note("good", marked("The phone is removed: its login is refused from now on.")),
    "client-entered": Note("good", marked("Google knows this client: it is stored, and people can connect now.")),
    "client-unregistered": Note(
        "warn",
        marked(
            "Google knows this client, and it is stored; but the redirect URI below is not registered with it. Nobody "
            "can connect until it is."
        ),
    ),
    "client-known": Note("good", marked("Google knows this client.")),
    "client-known-unregistered": Note(
        "warn",
        marked(
            "Google knows this client, but the redirect URI below is not registered with it. Nobody can connect until "
            "it is."
        ),
    ),
    "client-refused": Note("warn", marked("Google does not know this client, or its secret is another one.")),
    "client-not-tried": Note("warn", marked("Google could not be asked. Try again in a minute.")),
    "signed-out": Note("good", marked("You are signed out.")),
}
