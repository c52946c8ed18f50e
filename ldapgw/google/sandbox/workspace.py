# SPDX-License-Identifier: MIT
"""The Workspaces of a world: service accounts with domain-wide delegation, Google Groups, and deleted users.

The users of a Workspace are the accounts of its domain (`ldapgw.google.sandbox.world.GoogleAccount.hd`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ldapgw.errors import UserError

# The scopes of the Directory API that the sandbox knows.
USERS_SCOPE = "https://www.googleapis.com/auth/admin.directory.user.readonly"
GROUPS_SCOPE = "https://www.googleapis.com/auth/admin.directory.group.readonly"

# The member of a group that stands for all users of the Workspace.
EVERYBODY = "*"
SERVICE_ACCOUNT_STATES = ("ok", "disabled", "deleted")


@dataclass(frozen=True, slots=True)
class RegisteredServiceAccount:
    """A service account of a Google project.

    :ivar client_id: the number that an administrator enters for domain-wide delegation.
    :ivar key_id: the only key that Google accepts (`ldapgw.google.sandbox.delegation.private_key`).
    :ivar scopes: the authorized scopes, by the domain of the Workspace.
    :ivar state: ``ok``, ``disabled`` or ``deleted``.
    """

    client_email: str
    client_id: str
    key_id: str
    scopes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    state: str = "ok"

    @property
    def project_id(self) -> str:
        """Return the id of the Google project, which is part of the address."""
        return self.client_email.partition("@")[2].partition(".")[0]


@dataclass(frozen=True, slots=True)
class GoogleGroup:
    """A Google Group.

    :ivar members: addresses of users, groups and outsiders, or `EVERYBODY`.
    """

    address: str
    name: str
    members: tuple[str, ...]

    @property
    def id(self) -> str:
        """Return the id of the group, which is in the form of Google's ids."""
        return f"0{_digest(self.address)[:14]}"


class Workspaces:
    """The service accounts, groups and deleted users of all Workspaces; the object is mutable.

    :ivar service_accounts: the service accounts by their address.
    :ivar groups: the groups by their address.
    :ivar deleted: the addresses of the deleted users; an address whose users were deleted repeatedly is repeated.
    """

    def __init__(self) -> None:
        self.service_accounts: dict[str, RegisteredServiceAccount] = {}
        self.groups: dict[str, GoogleGroup] = {}
        self.deleted: list[str] = []

    def register(self, client_email: str) -> RegisteredServiceAccount:
        """Add a service account with a key and without authorized scopes."""
        number = int(_digest(client_email), 16) % 10**19
        account = RegisteredServiceAccount(client_email, str(10**20 + number), _digest(f"{client_email}/1")[:40])
        self.service_accounts[client_email] = account
        return account

    def service_account(self, client_email: str = "") -> RegisteredServiceAccount:
        """Return a service account by its address or client ID; without either, return the first one.

        :raises UserError: if there is none.
        """
        for account in self.service_accounts.values():
            if client_email in ("", account.client_email, account.client_id):
                return account
        raise UserError("service_account: is no service account of this sandbox")

    def authorize(self, client_email: str, domain: str, scopes: Iterable[str]) -> None:
        """Set the scopes that the administrator of a Workspace authorizes; this replaces the earlier scopes."""
        account = self.service_account(client_email)
        authorized = {**account.scopes, domain: frozenset(scopes)}
        self.service_accounts[account.client_email] = replace(account, scopes=authorized)

    def set_state(self, client_email: str, state: str) -> None:
        """Set the state of a service account."""
        if state not in SERVICE_ACCOUNT_STATES:
            raise UserError(f"state = {state}: expected one of {', '.join(SERVICE_ACCOUNT_STATES)}")
        account = self.service_account(client_email)
        self.service_accounts[account.client_email] = replace(account, state=state)

    def replace_key(self, client_email: str = "") -> None:
        """Give a service account another key; Google then rejects the former key."""
        account = self.service_account(client_email)
        self.service_accounts[account.client_email] = replace(account, key_id=_digest(account.key_id)[:40])

    def set_group(self, address: str, name: str, members: Iterable[str]) -> None:
        """Add a group, or replace the name and the members of a group."""
        self.groups[address] = GoogleGroup(address, name, tuple(dict.fromkeys(members)))

    def delete_group(self, address: str) -> None:
        """Delete a group.

        :raises UserError: if there is none.
        """
        if self.groups.pop(address, None) is None:
            raise UserError(f"{address}: is no group of the sandbox")


def customer_id(domain: str) -> str:
    """Return the id of a Workspace."""
    return f"C0{_digest(domain)[:7]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
