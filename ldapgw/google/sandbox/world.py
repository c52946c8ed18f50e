# SPDX-License-Identifier: MIT
"""The state of the sandbox: accounts with their persons, clients, grants and faults, and methods to change it.

The module does no I/O and does not use HTTP: callers pass the sources of time and randomness.  The control page and the
tests call the same methods.  `World`, `GoogleAccount`, `ResourceStore`, `Grants` and `Faults` are mutable; all other
objects are immutable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ldapgw.errors import UserError
from ldapgw.google.sandbox import fields
from ldapgw.google.sandbox.faults import FAULTS, Faults
from ldapgw.google.sandbox.fields import PersonKind
from ldapgw.google.sandbox.grants import Grants, Now, RandomBytes
from ldapgw.google.sandbox.lists import Resource, ResourceStore
from ldapgw.google.sandbox.workspace import Workspaces

SOURCES = ("contacts", "other_contacts", "directory")
AUDIENCES = ("external", "testing", "internal")
CLIENT_STATES = ("ok", "unknown", "deleted")

# The system groups of every account (People API, contactGroups); all except the first two are deprecated.
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

# The beginning of the paths of photos.
PHOTOS = "/a/"


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """An OAuth client of type "Web application".

    :ivar audience: audience of the project: ``external``, ``testing`` (consent lasts 7 days) or ``internal`` (one
        Workspace).
    :ivar domain: the Workspace of an ``internal`` project.
    :ivar state: ``ok``, ``unknown`` (Google does not find the client) or ``deleted``.
    """

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...]
    audience: str = "external"
    domain: str = ""
    state: str = "ok"


@dataclass(frozen=True, slots=True, repr=False)
class Photo:
    """A file on Google's image host."""

    content_type: str
    body: bytes


@dataclass(slots=True, repr=False)
class GoogleAccount:
    """A Google account.

    :ivar hd: the Workspace domain, or empty for a consumer account.
    :ivar email_verified: whether Google knows that the address belongs to the user.
    :ivar org_unit: the path of the user's organizational unit.
    :ivar aliases: further addresses; the former address of a renamed user becomes an alias.
    :ivar is_admin: whether the user has an administrator's role that may read users and groups.
    :ivar has_signed_in: whether the user has ever signed in; a service account gets no token for a user who has not.
    """

    address: str
    sub: str
    given_name: str
    family_name: str
    hd: str = ""
    email_verified: bool = True
    org_unit: str = "/"
    is_suspended: bool = False
    is_archived: bool = False
    aliases: list[str] = field(default_factory=list)
    is_admin: bool = False
    has_signed_in: bool = True
    # The user's profile while the directory does not show it.
    hidden_profile: Resource | None = None
    contacts: ResourceStore = field(default_factory=ResourceStore)
    other_contacts: ResourceStore = field(default_factory=ResourceStore)
    groups: ResourceStore = field(default_factory=ResourceStore)
    # Sync tokens of an earlier generation have expired.
    generation: int = 0
    # The number of persons and groups ever added.  Ids derive from this number, so that each start gives the same ids.
    counter: int = 0

    @property
    def name(self) -> str:
        """Return the user's full name, as the account chooser shows it."""
        return f"{self.given_name} {self.family_name}"


class World:
    """The whole state of the sandbox.

    :param now: returns the time in seconds since the epoch.
    :param random: returns the requested number of random bytes.
    :param issuer: the ``iss`` of identity tokens; the sandbox's own URL if the sandbox listens on a port.
    :ivar photos: the photos on the image host, by the path of their address.
    :ivar calls: number of calls by the path of the endpoint.
    :ivar calls_per_minute: the project's limit of calls to the People API per minute, or None without a limit.
    :ivar calls_by_minute: number of calls to the People API, by minutes since the epoch.
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
        self.workspaces = Workspaces()
        self.faults = Faults(FAULTS)
        self.photos: dict[str, Photo] = {}
        self.calls: Counter[str] = Counter()
        self.calls_per_minute: int | None = None
        self.calls_by_minute: Counter[int] = Counter()

    def time(self) -> float:
        """Return the time of this world in seconds since the epoch."""
        return self._now() + self._clock_offset

    def advance(self, seconds: float) -> None:
        """Advance the time.

        :raises UserError: if `seconds` is negative.
        """
        if not seconds >= 0:
            raise UserError(f"seconds = {seconds}: time only goes forward")
        self._clock_offset += seconds

    def use_quota(self) -> bool:
        """Count a call to the People API, and return whether the call exceeds the project's quota."""
        minute = int(self.time() // 60)
        self.calls_by_minute[minute] += 1
        return self.calls_per_minute is not None and self.calls_by_minute[minute] > self.calls_per_minute

    # --- Accounts and clients ---------------------------------------------------------------------------------------

    def add_account(self, address: str, given_name: str, family_name: str, *, hd: str = "") -> GoogleAccount:
        """Add an account with Google's system groups and no contacts."""
        # A new user with the address of a deleted user is another person.
        former = self.workspaces.deleted.count(address)
        sub = str(_account_id(f"{address}{former or ''}"))
        for other in self.accounts.values():
            other.aliases = [alias for alias in other.aliases if alias != address]
        account = self.accounts[address] = GoogleAccount(address, sub, given_name, family_name, hd)
        for name, formatted in SYSTEM_GROUPS.items():
            group = {"resourceName": f"contactGroups/{name}", "groupType": "SYSTEM_CONTACT_GROUP"}
            account.groups.put(group | {"name": name, "formattedName": formatted})
        if hd:
            self.directories.setdefault(hd, ResourceStore())
        return account

    def account(self, address: str) -> GoogleAccount:
        """Return an account by its address.

        :raises UserError: if there is none.
        """
        if address not in self.accounts:
            raise UserError(f"{address} is no account of the sandbox; its accounts are: {', '.join(self.accounts)}")
        return self.accounts[address]

    def account_of(self, sub: str) -> GoogleAccount | None:
        """Return an account by its ``sub``, or None if there is none."""
        return next((account for account in self.accounts.values() if account.sub == sub), None)

    def delete_account(self, address: str) -> None:
        """Delete an account; its tokens become invalid, and the directory loses its profile."""
        account = self.accounts.pop(self.account(address).address)
        self._hide_profile(account)
        self.workspaces.deleted.append(address)

    def set_user(
        self,
        address: str,
        *,
        suspended: bool | None = None,
        archived: bool | None = None,
        org_unit: str = "",
        admin: bool | None = None,
        signed_in: bool | None = None,
    ) -> None:
        """Change a user of a Workspace as its administrator can; None and an empty text change nothing.

        A suspended or archived user has no valid access token, and the directory does not show the user's profile.
        """
        account = self.account(address)
        account.org_unit = org_unit or account.org_unit
        account.is_admin = account.is_admin if admin is None else admin
        account.has_signed_in = account.has_signed_in if signed_in is None else signed_in
        account.is_suspended = account.is_suspended if suspended is None else suspended
        account.is_archived = account.is_archived if archived is None else archived
        if account.is_suspended or account.is_archived:
            self.grants.expire_access(account.sub)
            self._hide_profile(account)
        elif account.hidden_profile is not None:
            self.directories[account.hd].put(account.hidden_profile)
            account.hidden_profile = None

    def _hide_profile(self, account: GoogleAccount) -> None:
        for profile in self.directories.get(account.hd, ()):
            mails = [mail.get("value") for mail in profile.get("emailAddresses", ())]
            kinds = [source.get("type") for source in profile["metadata"].get("sources", ())]
            if account.address in mails and "DOMAIN_PROFILE" in kinds:
                account.hidden_profile = profile
                self.directories[account.hd].delete(fields.tombstone(profile))
                return

    def register(self, client: RegisteredClient) -> None:
        """Add a client, or replace the client of the same id."""
        if client.audience not in AUDIENCES or client.state not in CLIENT_STATES:
            raise UserError(
                f"client: the audience must be one of {', '.join(AUDIENCES)}; "
                f"the state must be one of {', '.join(CLIENT_STATES)}"
            )
        self.clients[client.client_id] = client

    def set_client(self, client_id: str = "", **changes: Any) -> None:
        """Change fields of a client, such as its state; without an id, change the first client."""
        if not client_id:
            client_id = next(iter(self.clients), "")
        if client_id not in self.clients:
            raise UserError("client_id: is no client of this sandbox")
        self.register(replace(self.clients[client_id], **changes))

    def add_redirect_uri(self, uri: str, client_id: str = "") -> None:
        """Register another redirect URI for a client, or for the first client if no id is given."""
        client = self.clients.get(client_id) if client_id else next(iter(self.clients.values()), None)
        if client is None:
            raise UserError("client_id: is no client of this sandbox")
        self.set_client(client.client_id, redirect_uris=tuple(dict.fromkeys((*client.redirect_uris, uri))))

    # --- Persons and labels -----------------------------------------------------------------------------------------

    def persons_of(self, address: str, source: str = "contacts") -> ResourceStore:
        """Return the persons of an account's source; all accounts of a Workspace have the same directory.

        :raises UserError: if the account or source does not exist.
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
        """Return a person of an account by its resource name.

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
        """Add a person.

        :param person: the fields that a user typed, or a complete person in Google's format.
        :param kind: kind of a person in the directory; by default the profile of a colleague.
        :param updated: time of the last change; by default the present time.
        :returns: the resource name of the person.
        """
        resources = self.persons_of(address, source)
        number = self._next_number(self.account(address), source)
        if source == "directory":
            # The profile of a colleague has the id of the colleague's account.
            mails = person.get("emailAddresses") or [{}]
            number = _account_id(str(mails[0].get("value", number)))
        if source == "contacts" and "metadata" not in person and "memberships" not in person:
            person = {**person, "memberships": [membership(MY_CONTACTS)]}
        kinds = {
            "contacts": PersonKind.CONTACT,
            "other_contacts": PersonKind.OTHER_CONTACT,
            "directory": PersonKind.DOMAIN_PROFILE,
        }
        completed = fields.complete(person, kind or kinds[source], number, self.time() if updated is None else updated)
        resources.put(completed)
        return str(completed["resourceName"])

    def change_person(self, address: str, resource_name: str, changes: Mapping[str, Any]) -> None:
        """Replace fields of a person, and remove fields whose new value is None."""
        resources, person = self._find(address, resource_name)
        resources.put(fields.change(person, changes, self.time()))

    def add_photo(self, address: str, resource_name: str, body: bytes, content_type: str = "image/jpeg") -> str:
        """Give a person a photo; a former photo stays on the image host, as at Google.

        :returns: the address of the photo, without a size.
        """
        host = self.issuer if self.issuer.startswith("http://") else "https://lh3.googleusercontent.com"
        path = f"{PHOTOS}{hashlib.sha256(f'{resource_name}/{len(self.photos)}'.encode()).hexdigest()[:20]}"
        self.photos[path] = Photo(content_type, body)
        self.change_person(address, resource_name, {"photos": [{"url": f"{host}{path}=s100"}]})
        return host + path

    def delete_person(self, address: str, resource_name: str) -> None:
        resources, person = self._find(address, resource_name)
        resources.delete(fields.tombstone(person))

    def move_person(self, address: str, resource_name: str) -> str:
        """Give a person a new resource name, as Google does when it links a contact to a profile.

        :returns: the new name.
        """
        resources, person = self._find(address, resource_name)
        prefix = resource_name.rstrip("0123456789")
        number = self._next_number(self.account(address), prefix)
        moved = fields.stamp(
            {**fields.change(person, {}, self.time()), "resourceName": f"{prefix}{number}"}, self.time()
        )
        resources.put(moved, previous=(resource_name,))
        return f"{prefix}{number}"

    def add_label(self, address: str, name: str) -> str:
        """Add a contact group.

        :returns: the resource name of the group.
        """
        account = self.account(address)
        resource_name = f"contactGroups/{self._next_number(account, 'label'):x}"
        group = {"resourceName": resource_name, "groupType": "USER_CONTACT_GROUP", "name": name, "formattedName": name}
        metadata = {"updateTime": fields.timestamp(self.time())}
        account.groups.put({**group, "etag": resource_name[-6:], "metadata": metadata})
        return resource_name

    # --- Expired and revoked tokens ---------------------------------------------------------------------------------

    def expire_sync_tokens(self, address: str = "") -> None:
        """Expire the sync tokens of one account, or of all accounts."""
        for account in self._chosen(address):
            account.generation += 1

    def expire_access_tokens(self, address: str = "") -> None:
        """End the access tokens of one account, or of all accounts; refresh tokens stay valid."""
        for account in self._chosen(address):
            self.grants.expire_access(account.sub)

    def revoke(self, address: str, client_id: str = "") -> None:
        """End the grant of an account to one client, or to all clients, as a user can on Google's pages."""
        self.grants.end_grants(self.account(address).sub, client_id)

    def _chosen(self, address: str) -> list[GoogleAccount]:
        return [self.account(address)] if address else list(self.accounts.values())

    def _find(self, address: str, resource_name: str) -> tuple[ResourceStore, Resource]:
        account = self.account(address)
        stores = [account.contacts, account.other_contacts, *filter(None, [self.directories.get(account.hd)])]
        for resources in stores:
            if (person := resources.get(resource_name)) is not None:
                return resources, person
        raise UserError(f"{resource_name}: is no person of {address}")

    def _next_number(self, account: GoogleAccount, kind: str) -> int:
        account.counter += 1
        return _number(f"{account.sub}/{kind}/{account.counter}")


def membership(group: str) -> dict[str, Any]:
    """Return the membership of a person in a contact group."""
    names = {"contactGroupId": group.removeprefix("contactGroups/"), "contactGroupResourceName": group}
    return {"contactGroupMembership": names}


def labels_of(person: Resource) -> set[str]:
    """Return the resource names of the groups of a person."""
    return {label for membership in person.get("memberships", ()) if (label := _label(membership))}


def _label(membership: Mapping[str, Any]) -> str:
    return str(membership.get("contactGroupMembership", {}).get("contactGroupResourceName", ""))


def _account_id(address: str) -> int:
    """Derive an id from an address: 21 digits that begin with 1, like Google's ids."""
    return 10**20 + _number(address) % 10**19


def _number(text: str) -> int:
    """Derive a number of 63 bits from a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
