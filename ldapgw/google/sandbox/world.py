# SPDX-License-Identifier: MIT
"""The sandbox's state: accounts, their persons, clients, grants and faults; and the controls that turn it.

Pure: time and randomness are passed in, and nothing here knows HTTP.  What the control page can do, a test does by
calling the same methods.  `World`, `Account`, `Shelf`, `Grants` and `Faults` are mutable; all else is a value.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ldapgw.errors import UserError
from ldapgw.google.sandbox import fields
from ldapgw.google.sandbox.faults import Faults
from ldapgw.google.sandbox.fields import PersonKind
from ldapgw.google.sandbox.grants import Grants, Now, RandomBytes
from ldapgw.google.sandbox.shelf import Resource, ResourceStore

SOURCES = ("contacts", "other_contacts", "directory")
AUDIENCES = ("external", "testing", "internal")
CLIENT_STATES = ("ok", "unknown", "deleted")

# People API, contactGroups: groups that every account has; all but the first two are deprecated.
SYSTEM_GROUPS = {
    "myContacts": "My Contacts",
    "starred": "Starred",
    "friends": "Friends",
    "family": "Family",
    "coworkers": "Coworkers",
    "blocked": "Blocked",
    "all": "All contacts",
    "chatBuddies": "Chat contacts",
}
MY_CONTACTS = "contactGroups/myContacts"


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """An OAuth client of type "Web application".

    :ivar audience: of its project: ``external``, ``testing`` (consent lasts 7 days) or ``internal`` (one Workspace).
    :ivar domain: the Workspace of an ``internal`` project.
    :ivar state: ``ok``, ``unknown`` (Google does not find it) or ``deleted``.
    """

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...]
    audience: str = "external"
    domain: str = ""
    state: str = "ok"


@dataclass(slots=True, repr=False)
class GoogleAccount:
    """A Google account; `hd` is its Workspace domain, empty for a consumer's."""

    address: str
    sub: str
    given_name: str
    family_name: str
    hd: str = ""
    contacts: ResourceStore = field(default_factory=ResourceStore)
    other_contacts: ResourceStore = field(default_factory=ResourceStore)
    groups: ResourceStore = field(default_factory=ResourceStore)
    # Sync tokens of an earlier generation are expired.
    generation: int = 0
    # How many persons and groups it ever had: their ids come from it, so that they are the same at each start.
    counter: int = 0

    @property
    def name(self) -> str:
        """As the account chooser shows it."""
        return f"{self.given_name} {self.family_name}"


class World:
    """Everything that the sandbox knows.

    :param now: seconds since the epoch.
    :param random: as many random bytes as asked for.
    :param issuer: the ``iss`` of its identity tokens; the sandbox's own address where it listens on a port.
    :ivar calls: how often each of Google's endpoints was called, by path.
    """

    def __init__(self, *, now: Now, random: RandomBytes, issuer: str = "https://accounts.google.com") -> None:
        self._now = now
        self._clock_offset = 0.0
        self.issuer = issuer
        self.key = random(32)
        self.accounts: dict[str, GoogleAccount] = {}
        self.directories: dict[str, ResourceStore] = {}
        self.clients: dict[str, RegisteredClient] = {}
        self.grants = Grants(self.time, random)
        self.faults = Faults()
        self.calls: Counter[str] = Counter()

    def time(self) -> float:
        """Seconds since the epoch, as this world has it."""
        return self._now() + self._clock_offset

    def advance(self, seconds: float) -> None:
        """Let time pass.

        :raises UserError: for time to go back.
        """
        if not seconds >= 0:
            raise UserError(f"seconds = {seconds}: time only goes forward")
        self._clock_offset += seconds

    # --- Accounts and clients ---------------------------------------------------------------------------------------

    def add_account(self, address: str, given_name: str, family_name: str, *, hd: str = "") -> GoogleAccount:
        """A new account with Google's system groups and no contacts."""
        account = self.accounts[address] = GoogleAccount(
            address, str(_account_id(address)), given_name, family_name, hd
        )
        for name, formatted in SYSTEM_GROUPS.items():
            group = {"resourceName": f"contactGroups/{name}", "groupType": "SYSTEM_CONTACT_GROUP"}
            account.groups.put(group | {"name": name, "formattedName": formatted})
        if hd:
            self.directories.setdefault(hd, ResourceStore())
        return account

    def account(self, address: str) -> GoogleAccount:
        """An account by its address.

        :raises UserError: if there is none.
        """
        if address not in self.accounts:
            raise UserError(f"{address}: is no account here; there are: {', '.join(self.accounts)}")
        return self.accounts[address]

    def account_of(self, sub: str) -> GoogleAccount | None:
        """An account by its ``sub``."""
        return next((account for account in self.accounts.values() if account.sub == sub), None)

    def rename_account(self, address: str, new: str) -> None:
        """Give an account another address; its ``sub`` stays."""
        account = self.account(address)
        if new in self.accounts:
            raise UserError(f"{new}: is an account already")
        account.address = new
        self.accounts = {held.address: held for held in self.accounts.values()}

    def delete_account(self, address: str) -> None:
        """Delete an account; its tokens are no longer good."""
        del self.accounts[self.account(address).address]

    def register(self, client: RegisteredClient) -> None:
        """Add a client, or replace the one of the same id."""
        if client.audience not in AUDIENCES or client.state not in CLIENT_STATES:
            raise UserError(
                f"client: audience is one of {', '.join(AUDIENCES)}, state one of {', '.join(CLIENT_STATES)}"
            )
        self.clients[client.client_id] = client

    def set_client(self, client_id: str = "", **changes: Any) -> None:
        """Change fields of a client (of the first one if none is named): its state, its audience, its secret."""
        if not client_id:
            client_id = next(iter(self.clients), "")
        if client_id not in self.clients:
            raise UserError("client_id: is no client of this sandbox")
        self.register(replace(self.clients[client_id], **changes))

    def add_redirect_uri(self, uri: str, client_id: str = "") -> None:
        """Register one more redirect URI for a client, or for the first one."""
        client = self.clients.get(client_id) if client_id else next(iter(self.clients.values()), None)
        if client is None:
            raise UserError("client_id: is no client of this sandbox")
        self.set_client(client.client_id, redirect_uris=tuple(dict.fromkeys((*client.redirect_uris, uri))))

    # --- Persons and labels -----------------------------------------------------------------------------------------

    def persons_of(self, address: str, source: str = "contacts") -> ResourceStore:
        """The persons of one of an account's sources; the directory is its Workspace's.

        :raises UserError: if there is no such account or source.
        """
        account = self.account(address)
        if source == "contacts":
            return account.contacts
        if source == "other_contacts":
            return account.other_contacts
        if source == "directory" and account.hd:
            return self.directories[account.hd]
        raise UserError(
            f"source = {source}: expected one of {', '.join(SOURCES)}; a directory needs a Workspace account"
        )

    def person(self, address: str, resource_name: str) -> Resource:
        """A person of an account by its resource name.

        :raises UserError: if there is none.
        """
        return self._find(address, resource_name)[1]

    def add_person(
        self,
        address: str,
        person: Mapping[str, Any],
        source: str = "contacts",
        *,
        kind: PersonKind | None = None,
        updated: float | None = None,
    ) -> str:
        """Add a person: what somebody typed, or the whole in Google's form.

        :param kind: of a directory's person; a colleague's profile if it is not said.
        :param updated: when it was changed last; now if it is not said.
        :returns: its resource name.
        """
        shelf = self.persons_of(address, source)
        number = self._next_number(self.account(address), source)
        if source == "directory":
            # A colleague's profile has the id of the colleague's account.
            mails = person.get("emailAddresses") or [{}]
            number = _account_id(str(mails[0].get("value", number)))
        if source == "contacts" and "metadata" not in person and "memberships" not in person:
            person = {**person, "memberships": [membership(MY_CONTACTS)]}
        kinds = {
            "contacts": PersonKind.CONTACT,
            "other_contacts": PersonKind.OTHER_CONTACT,
            "directory": PersonKind.DOMAIN_PROFILE,
        }
        done = fields.complete(person, kind or kinds[source], number, self.time() if updated is None else updated)
        shelf.put(done)
        return str(done["resourceName"])

    def change_person(self, address: str, resource_name: str, changes: Mapping[str, Any]) -> None:
        """Replace fields of a person; None removes a field."""
        shelf, person = self._find(address, resource_name)
        shelf.put(fields.change(person, changes, self.time()))

    def delete_person(self, address: str, resource_name: str) -> None:
        """Delete a person."""
        shelf, person = self._find(address, resource_name)
        shelf.delete(fields.tombstone(person))

    def move_person(self, address: str, resource_name: str) -> str:
        """Give a person another resource name, as Google does when a contact is linked to a profile.

        :returns: the new name.
        """
        shelf, person = self._find(address, resource_name)
        prefix = resource_name.rstrip("0123456789")
        number = self._next_number(self.account(address), prefix)
        moved = fields.stamp(
            {**fields.change(person, {}, self.time()), "resourceName": f"{prefix}{number}"}, self.time()
        )
        shelf.put(moved, previous=(resource_name,))
        return f"{prefix}{number}"

    def add_label(self, address: str, name: str) -> str:
        """Add a contact group.

        :returns: its resource name.
        """
        account = self.account(address)
        resource_name = f"contactGroups/{self._next_number(account, 'label'):x}"
        group = {"resourceName": resource_name, "groupType": "USER_CONTACT_GROUP", "name": name, "formattedName": name}
        metadata = {"updateTime": fields.timestamp(self.time())}
        account.groups.put({**group, "etag": resource_name[-6:], "metadata": metadata})
        return resource_name

    def delete_label(self, address: str, resource_name: str) -> None:
        """Delete a contact group; its members stay, without it."""
        account = self.account(address)
        if account.groups.get(resource_name) is None:
            raise UserError(f"{resource_name}: is no label of this account")
        metadata = {"updateTime": fields.timestamp(self.time()), "deleted": True}
        account.groups.delete({"resourceName": resource_name, "metadata": metadata})
        for person in [p for p in account.contacts if resource_name in labels_of(p)]:
            others = [m for m in person["memberships"] if _label(m) != resource_name]
            self.change_person(address, person["resourceName"], {"memberships": others})

    # --- Trouble ----------------------------------------------------------------------------------------------------

    def expire_sync_tokens(self, address: str = "") -> None:
        """Make the sync tokens of one account, or of all, expired."""
        for account in self._chosen(address):
            account.generation += 1

    def expire_access_tokens(self, address: str = "") -> None:
        """End the access tokens of one account, or of all; the refresh tokens stay."""
        for account in self._chosen(address):
            self.grants.expire_access(account.sub)

    def revoke(self, address: str, client_id: str = "") -> None:
        """End an account's grant to one client, or to all, as its owner can on Google's own page."""
        self.grants.end_grants(self.account(address).sub, client_id)

    def _chosen(self, address: str) -> list[GoogleAccount]:
        return [self.account(address)] if address else list(self.accounts.values())

    def _find(self, address: str, resource_name: str) -> tuple[ResourceStore, Resource]:
        account = self.account(address)
        shelves = [account.contacts, account.other_contacts, *filter(None, [self.directories.get(account.hd)])]
        for shelf in shelves:
            if (person := shelf.get(resource_name)) is not None:
                return shelf, person
        raise UserError(f"{resource_name}: is no person of {address}")

    def _next_number(self, account: GoogleAccount, what: str) -> int:
        account.counter += 1
        return _number(f"{account.sub}/{what}/{account.counter}")


def membership(group: str) -> dict[str, Any]:
    """A person's membership in a contact group."""
    names = {"contactGroupId": group.removeprefix("contactGroups/"), "contactGroupResourceName": group}
    return {"contactGroupMembership": names}


def labels_of(person: Resource) -> set[str]:
    """The resource names of the groups that a person is in."""
    return {label for membership in person.get("memberships", ()) if (label := _label(membership))}


def _label(membership: Mapping[str, Any]) -> str:
    return str(membership.get("contactGroupMembership", {}).get("contactGroupResourceName", ""))


def _account_id(address: str) -> int:
    """21 digits beginning with 1, as Google's are; the same at each start."""
    return 10**20 + _number(address) % 10**19


def _number(text: str) -> int:
    """A number of 63 bits that depends on a text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
