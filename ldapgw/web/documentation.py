# SPDX-License-Identifier: MIT
"""The pages of the documentation to which the administration's pages link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# The address of the documentation's site, without a slash at the end.  scripts/publication writes the value of
# publication.toml here.  An empty address is not known yet; the pages then have no links to the documentation.
SITE = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A page of the documentation.

    :ivar title: the page's title, which is not translated because the documentation is in English.
    :ivar path: the page's path below the site, with the section where the page has several.
    """

    title: str
    path: str

    @property
    def url(self) -> str:
        """Return the page's address; empty if the address of the site is not known."""
        return f"{SITE}/{self.path}" if SITE else ""


# The pages by the names that templates and texts use.
DOCUMENTS: Mapping[str, Document] = MappingProxyType(
    {
        "index": Document("ldapgw", "index.html"),
        "certificates": Document("Certificates", "how-to/certificates.html"),
        "google": Document("Create an OAuth client", "how-to/google-console.html"),
        "google-private": Document("Private servers", "how-to/google-console.html#private-servers"),
        "workspace": Document("Google Workspace", "how-to/workspace.html"),
        "files": Document("Extensions from a file", "how-to/extensions.html"),
        "provisioning": Document("Let phones find their settings", "how-to/provisioning.html"),
        "phones": Document("Set up a phone", "how-to/vendors.html"),
        "restore": Document("Restore", "how-to/upgrade.html#restore"),
        "failures": Document("When something fails", "reference/operations.html#when-something-fails"),
        "ldap-settings": Document("[ldap]", "reference/configuration.html#ldap"),
        "web-settings": Document("[web]", "reference/configuration.html#web"),
    }
)
