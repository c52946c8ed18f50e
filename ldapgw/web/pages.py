# SPDX-License-Identifier: MIT
"""Values in, HTML out (Jinja2, everything escaped).

The words that depend on a state are here, the rest is in the templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ldapgw import __version__
from ldapgw.contact import Sharing
from ldapgw.web.csrf import FIELD
from ldapgw.web.endings import BOXES, PERMISSIONS, Ending
from ldapgw.web.session import Visitor
from ldapgw.web.tenant import WebTenant


@dataclass(frozen=True, slots=True)
class State:
    """How an account does: a sign, the class of its colour, a few words and a sentence."""

    sign: str
    kind: str
    title: str
    sentence: str


# By the state of the account object; the empty one is a person who never connected.
STATES: Mapping[str, State] = {
    "ok": State("✓", "good", "Connected", "Your contacts are on the phones, and changes follow by themselves."),
    "syncing": State("✓", "good", "Syncing now", "Your contacts are on the phones; changes are being fetched."),
    "waiting": State(
        "✓",
        "good",
        "Connected, first sync under way",
        "Your contacts will be on the phones in a minute; reload this page to see.",
    ),
    "attention": State("!", "warn", "Needs attention", "Your contacts are on the phones as they last were."),
    "attention before the first sync": State(
        "!", "warn", "Needs attention", "None of your contacts are on the phones yet."
    ),
    "disconnected": State("✗", "bad", "Not connected", "None of your contacts are on the phones."),
    "": State("✗", "bad", "Not connected", "You are signed in, but have not connected your contacts yet."),
}


@dataclass(frozen=True, slots=True)
class Note:
    """What was just done; its kind is the class of its colour."""

    kind: str
    sentence: str


# By the value of the cookie; any other value says nothing.
NOTES: Mapping[str, Note] = {
    "connected": Note("good", "Google contacts are connected."),
    "asked": Note("good", "A sync was asked for; it begins at once."),
    "shared": Note("good", "Saved who sees your contacts."),
    "disconnected": Note(
        "good", "Disconnected: your contacts are off the phones, and the access at Google is revoked."
    ),
    "not-revoked": Note(
        "warn",
        "Disconnected: your contacts are off the phones, and nothing of them is kept here. Google could not be told "
        "yet that the access is over; we try it for a day. You can remove this app yourself at "
        f"{PERMISSIONS.removeprefix('https://')}.",
    ),
    "signed-out": Note("good", "You are signed out."),
}

SHARING: Mapping[Sharing, tuple[str, str]] = {
    Sharing.PRIVATE: ("Private", "Only your own phones find your contacts."),
    Sharing.CALLERS: (
        "Callers’ names",
        "When one of your contacts calls a colleague, their phone shows the name. They cannot browse or search.",
    ),
    Sharing.SHARED: ("Shared", "All phones of {tenant} find your contacts, with every number and address."),
}

SOURCES: Mapping[str, str] = {
    "contacts": "Your contacts",
    "other_contacts": "Other contacts",
    "directory": "Company directory",
}
_SOURCE_STATES: Mapping[str, tuple[str, str]] = {
    "on": ("good", "on"),
    "not granted": ("warn", "not granted: connect again and tick its box"),
    "unavailable": ("quiet", "Google does not offer it to this account"),
}
_SKIPPED: Mapping[str, tuple[str, str]] = {
    "empty": ("contact without a name, number or address", "contacts without a name, number or address"),
    "label": ("contact without one of the chosen labels", "contacts without one of the chosen labels"),
    "unidentified": ("contact that Google sent without an id", "contacts that Google sent without an id"),
    "unreadable_number": ("number that cannot be dialled", "numbers that cannot be dialled"),
}

# Troubles that another consent mends.
_CONSENT_TROUBLES = frozenset({"consent_revoked", "scope_missing"})


class Pages:
    """Renders the pages.

    :param path: what goes before every path of ours (`Place.path`).
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def front(self, tenants: tuple[WebTenant, ...]) -> str:
        """The tenants of the gateway."""
        return self._render("front.html", tenants=tenants)

    def welcome(self, tenant: WebTenant, note: Note | None) -> str:
        """A tenant's page for somebody who is not signed in."""
        boxes = [BOXES[source] for source in tenant.sources]
        return self._render("welcome.html", tenant=tenant, boxes=boxes, note=note)

    def account(self, tenant: WebTenant, visitor: Visitor, status: Mapping[str, Any] | None, note: Note | None) -> str:
        """A tenant's page for somebody who is signed in.

        :param status: their account object; None for one who has never connected.
        """
        return self._render(
            "account.html",
            tenant=tenant,
            visitor=visitor,
            state=_state(status),
            status=status,
            link=visitor.account.trouble.link if visitor.account and visitor.account.trouble else "",
            connected=visitor.account is not None and visitor.account.connected,
            reconnect=_reconnect(status) if status else "",
            sources=_sources(status) if status else (),
            skipped=_skipped(status) if status else (),
            choices=[
                (sharing.value, label, line.format(tenant=tenant.heading)) for sharing, (label, line) in SHARING.items()
            ],
            note=note,
        )

    def ending(self, ending: Ending, tenant: WebTenant | None) -> str:
        """A page that explains why something did not end as hoped."""
        return self._render("ending.html", ending=ending, tenant=tenant)

    def _render(self, template: str, **values: object) -> str:
        return _TEMPLATES.get_template(template).render(values, path=self._path)


def readable_time(timestamp: str | None) -> str:
    """RFC 3339, UTC, as people read it."""
    return f"{timestamp[:10]} {timestamp[11:16]} UTC" if timestamp else "–"


def readable_count(number: int) -> str:
    """A number with its thousands apart (ISO 31-0: a thin space)."""
    return f"{number:,}".replace(",", "\u202f")


_TEMPLATES = Environment(
    loader=PackageLoader("ldapgw.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(version=__version__, field=FIELD, permissions=PERMISSIONS)
_TEMPLATES.filters.update(time=readable_time, count=readable_count)


def _state(status: Mapping[str, Any] | None) -> State:
    if status is None:
        return STATES[""]
    new = status["state"] == "attention" and status["last_sync"] is None
    return STATES["attention before the first sync" if new else status["state"]]


# Warnings of a consent that ends on a certain day.
_ENDING = frozenset({"testing_client", "consent_ends"})


def _reconnect(status: Mapping[str, Any]) -> str:
    """Whether connecting again ``must`` or ``may`` be done; empty where it would mend nothing."""
    if status["error"] and status["error"]["code"] in _CONSENT_TROUBLES:
        return "must"
    ends = any(warning["code"] in _ENDING for warning in status["warnings"])
    return "may" if ends or "not granted" in status["sources"].values() else ""


def _sources(status: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, class and words of each source that takes part or should; none are known before the first sync."""
    return [
        (SOURCES[name], *_SOURCE_STATES[state]) for name, state in status["sources"].items() if state in _SOURCE_STATES
    ]


def _skipped(status: Mapping[str, Any]) -> list[str]:
    """What was left out and why, a line each."""
    lines = []
    for reason, number in status["skipped"].items():
        one, more = _SKIPPED.get(reason, ("contact left out", "contacts left out"))
        lines.append(f"{readable_count(number)} {one if number == 1 else more}")
    return lines
