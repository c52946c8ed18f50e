# SPDX-License-Identifier: MIT
"""A tenant as its pages know it: who may connect, and with which OAuth client."""

from __future__ import annotations

from dataclasses import dataclass

from ldapgw.contact import Sharing, Source
from ldapgw.google.endpoints import Client
from ldapgw.google.identity import Identity


@dataclass(frozen=True, slots=True)
class WebTenant:
    """A company on this gateway.

    :ivar client: None until an administrator has entered one.
    :ivar allowed_users: addresses, ``@domain`` (the claim ``hd``), or ``*``.
    :ivar admins: addresses; they may connect as well.
    :ivar sources: what a consent is asked for.
    :ivar sharing: of a new book.
    :ivar labels: only contacts with one of these are taken; none: all.
    """

    name: str
    title: str
    client: Client | None
    allowed_users: tuple[str, ...]
    admins: tuple[str, ...]
    sources: tuple[Source, ...]
    sharing: Sharing
    labels: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """What the pages call it."""
        return self.title or self.name

    def admits(self, identity: Identity) -> bool:
        """Whether a Google user may connect and sign in; one whose address Google has not verified never may."""
        if not identity.email_verified or not identity.email:
            return False
        return self.is_admin(identity.email) or any(_fits(rule, identity) for rule in self.allowed_users)

    def is_admin(self, address: str) -> bool:
        """Whether a verified address is an administrator's."""
        return address.lower() in {admin.lower() for admin in self.admins}


def _fits(rule: str, identity: Identity) -> bool:
    if rule.startswith("@"):
        # The end of an address proves nothing: a consumer account can have one of any domain, and no ``hd``.
        return bool(identity.hd) and identity.hd.lower() == rule[1:].lower()
    return rule == "*" or rule.lower() == identity.email.lower()
