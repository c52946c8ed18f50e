# SPDX-License-Identifier: MIT
"""A copy in memory of the accounts and phones of the configured tenants, updated after each change in the database.

The gateway looks for changes once a second.  So the time that `AccountState.apply` takes depends only on the number of
changes, not on the number of accounts.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from ldapgw.contact import Source
from ldapgw.store import changes, contacts
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.changes import NO_HISTORY, Changes, Cursor, History
from ldapgw.store.database import chunks
from ldapgw.store.phones import NumberMode, PhoneLogin


@dataclass(slots=True)
class StateUpdate:
    """The accounts, tenants and phones for which an update of the state may have changed what phones find.

    :ivar accounts: the ids of accounts whose book has changed or is gone.
    :ivar tenants: the tenants whose books have changed.
    :ivar phones: the names of phones whose login has changed or is gone.
    """

    accounts: set[int] = field(default_factory=set)
    tenants: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)

    def add(self, account: Account) -> None:
        self.accounts.add(account.id)
        self.tenants.add(account.tenant)


class AccountState:
    """The stored state of some tenants, except contacts.

    Mutable: only `apply` changes the state.

    :ivar cursor: the position up to which changes were applied, or None if nothing was read yet.
    :ivar accounts: the connected accounts by id, with addresses that are unique within a tenant.
    :ivar google_groups: by tenant, the addresses of the members of each Google Group, by the group's address.
    :ivar directory_accounts: by tenant, the account under which the contacts of the Workspace directory are stored.
    """

    def __init__(self, tenants: Collection[str]) -> None:
        self.cursor: Cursor | None = None
        self.accounts: dict[int, Account] = {}
        self.phones: dict[str, PhoneLogin] = {}
        self.google_groups: dict[str, Mapping[str, frozenset[str]]] = {}
        self.directory_accounts: dict[str, Account] = {}
        self._tenants = frozenset(tenants)
        self._stored: dict[int, Account] = {}
        self._by_tenant: dict[str, set[int]] = {tenant: set() for tenant in tenants}
        # By tenant, the sorted addresses and ids of the accounts; made at the tenant's first call of `account_ids`.
        self._ordered: dict[str, list[tuple[str, int]]] = {}
        self._with_directory: dict[str, set[int]] = {tenant: set() for tenant in tenants}
        self._by_address: dict[tuple[str, str], set[int]] = {}
        self._phones_of: dict[int, set[str]] = {}
        self._per_number: Counter[str] = Counter()

    @classmethod
    def read(cls, connection: Connection, tenants: Collection[str]) -> AccountState:
        """Read the present state of some tenants, and nothing of other tenants."""
        state = cls(tenants)
        state.apply(*read_changes(connection, None, tenants))
        return state

    @property
    def history(self) -> History:
        """Return the `History` of the database from which the state was read."""
        return self.cursor.history if self.cursor is not None else NO_HISTORY

    def books_of_phone(self, login: PhoneLogin) -> tuple[str, ...]:
        """Return the keys of the books of a phone's accounts in order, or an empty tuple if no account is connected.

        If only some accounts are connected, an empty text stands in the place of each unconnected account.  Without the
        empty text, a later account could move to the first place.  The gateway would then use the wrong account's
        groups for the phone.
        """
        found = [self.accounts.get(account_id) for account_id in login.account_ids]
        return tuple(["" if account is None else account.sub for account in found]) if any(found) else ()

    def account_ids(self, tenant: str) -> list[int]:
        """Return the ids of a tenant's connected accounts, in the order of the accounts' addresses."""
        ordered = self._ordered.get(tenant)
        if ordered is None:
            accounts = [self.accounts[each] for each in self._by_tenant.get(tenant, ())]
            ordered = self._ordered[tenant] = sorted(map(_place, accounts))
        return [each for _, each in ordered]

    def saved(self) -> tuple[tuple[Account, ...], frozenset[int], tuple[PhoneLogin, ...]]:
        """Return the stored accounts, the ids of accounts with contacts of a Workspace directory, and the logins."""
        with_directory = frozenset().union(*self._with_directory.values())
        return tuple(self._stored.values()), with_directory, tuple(self.phones.values())

    def needs_numbers(self, tenant: str) -> bool:
        """Return whether a phone of the tenant needs one entry per number."""
        return self._per_number[tenant] > 0

    def has_directory(self, account: Account) -> bool:
        """Return whether the tenant's Workspace directory is stored under the account."""
        holder = self.directory_accounts.get(account.tenant)
        return holder is not None and holder.id == account.id

    def parts(self, found: Changes, size: int) -> Iterator[Changes]:
        """Divide changes into parts that are applied one after the other, so that no part takes long.

        Only the last part has the new cursor, so all changes are read again if one part was not applied.

        :param size: the largest number of accounts and phones in a part.
        """
        if len(found.accounts) + len(found.phones) <= size:
            yield found
            return
        accounts, phones = self._with_removed(found)
        for ids in chunks(list(accounts), size):
            yield Changes(self.cursor, is_whole=False, accounts={each: accounts[each] for each in ids})
        for names in chunks(list(phones), size):
            yield Changes(self.cursor, is_whole=False, phones={each: phones[each] for each in names})
        yield Changes(found.cursor, is_whole=False, google_groups=found.google_groups)

    def _with_removed(self, found: Changes) -> tuple[dict[int, Account | None], dict[str, PhoneLogin | None]]:
        """Return the changed accounts and phones, with None for each removed account or phone.

        If the whole database was read instead of the changes, each known account or phone that is not in `found` was
        removed.
        """
        accounts, phones = dict(found.accounts), dict(found.phones)
        if found.is_whole:
            accounts |= dict.fromkeys(self._stored.keys() - accounts.keys())
            phones |= dict.fromkeys(self.phones.keys() - phones.keys())
        return accounts, phones

    def apply(self, found: Changes, with_directory: Collection[int]) -> StateUpdate:
        """Apply the changes since the last call.

        :param with_directory: the ids of those changed accounts under which contacts of the Workspace directory are
            stored.
        """
        self.cursor = found.cursor
        accounts, phones = self._with_removed(found)
        update = StateUpdate()
        for account_id, account in accounts.items():
            is_served = account is not None and account.is_connected and account.tenant in self._tenants
            self._set_account(account_id, account if is_served else None, account_id in with_directory, update)
        if found.google_groups is not None:
            self._set_google_groups(found.google_groups, update)
        for name, login in phones.items():
            self._set_phone(name, login if login is not None and login.tenant in self._tenants else None, update)
        return update

    def _set_google_groups(self, found: Mapping[str, Mapping[str, frozenset[str]]], update: StateUpdate) -> None:
        for tenant in self._tenants:
            groups = found.get(tenant, {})
            if groups != self.google_groups.get(tenant, {}):
                self.google_groups[tenant] = groups
                update.tenants.add(tenant)

    def _set_account(self, account_id: int, account: Account | None, has_directory: bool, update: StateUpdate) -> None:  # noqa: FBT001
        before = self._stored.get(account_id)
        if before is not None and account is not None and before.identity != account.identity:
            # The id belongs to another account now: the former account is gone, and the present account is new.
            self._set_account(account_id, None, has_directory=False, update=update)
            before = None
        if account is None:
            if before is None:
                return
            del self._stored[account_id]
            self._move(self.accounts.pop(account_id), None)
            self._by_tenant[before.tenant].discard(account_id)
            update.add(before)
        else:
            self._stored[account_id] = account
            self._by_tenant[account.tenant].add(account_id)
        for each in filter(None, (before, account)):
            self._name_books(each, update)
        if before is None or account is None:
            update.phones |= self._phones_of.get(account_id, set())
        self._set_directory(before or account, has_directory=account is not None and has_directory, update=update)

    def _name_books(self, account: Account, update: StateUpdate) -> None:
        """Make the addresses of accounts unique within a tenant, because books are named after the addresses.

        Two accounts can have the same address when the address has passed to another user.  The oldest account keeps
        the address; the other accounts get a number after the address.
        """
        key = account.tenant, account.address.casefold()
        same = self._by_address.setdefault(key, set())
        stored = self._stored.get(account.id)
        if stored is not None and (stored.tenant, stored.address.casefold()) == key:
            same.add(account.id)
        else:
            same.discard(account.id)
            if not same:
                del self._by_address[key]
        for number, each in enumerate(sorted(same), 1):
            found = self._stored[each]
            named = found if number == 1 else replace(found, address=f"{found.address} ({number})")
            former = self.accounts.get(each)
            self.accounts[each] = named
            if former is None or _served(former) != _served(named):
                update.add(named)
                self._move(former, named)

    def _move(self, former: Account | None, present: Account | None) -> None:
        """Keep the accounts of a tenant in order, when an account comes, goes or gets another address."""
        if former is not None and present is not None and _place(former) == _place(present):
            return
        if former is not None and (ordered := self._ordered.get(former.tenant)) is not None:
            del ordered[bisect_left(ordered, _place(former))]
        if present is not None and (ordered := self._ordered.get(present.tenant)) is not None:
            insort(ordered, _place(present))

    def _set_directory(self, account: Account | None, *, has_directory: bool, update: StateUpdate) -> None:
        """Set the tenant's directory account: the oldest account under which contacts of the directory are stored."""
        if account is None:
            return
        holders = self._with_directory[account.tenant]
        (holders.add if has_directory else holders.discard)(account.id)
        before = self.directory_accounts.pop(account.tenant, None)
        holder = self.accounts[min(holders)] if holders else None
        if holder is not None:
            self.directory_accounts[account.tenant] = holder
        if (before and before.id) != (holder and holder.id):
            for each in filter(None, (before, holder)):
                update.add(each)

    def _set_phone(self, name: str, login: PhoneLogin | None, update: StateUpdate) -> None:
        before = self.phones.get(name)
        if login is not None:
            # The assignment keeps the phone's position among the phones.  If the order of the phones in a part of the
            # snapshot of logins changed, `LoginsFile` would have to encrypt the part again.
            self.phones[name] = login
        else:
            self.phones.pop(name, None)
        if _access(before) == _access(login):
            return
        update.phones.add(name)
        for each, change in ((before, -1), (login, 1)):
            if each is None:
                continue
            for account_id in each.account_ids:
                names = self._phones_of.setdefault(account_id, set())
                (names.add if change > 0 else names.discard)(name)
            if each.numbers is NumberMode.ENTRIES:
                needed = self.needs_numbers(each.tenant)
                self._per_number[each.tenant] += change
                if needed != self.needs_numbers(each.tenant):
                    update.accounts |= self._by_tenant[each.tenant]


def read_changes(
    connection: Connection, cursor: Cursor | None, tenants: Collection[str] | None = None
) -> tuple[Changes, frozenset[int]]:
    """Read the changes since a cursor.

    :returns: the changes, and the ids of those changed accounts under which contacts of the Workspace directory are
        stored.
    """
    found = changes.read_since(connection, cursor, tenants)
    asked = [
        account.id
        for account in found.accounts.values()
        if account is not None and account.sources.get(Source.DIRECTORY) is SourceState.ON
    ]
    return found, contacts.accounts_with_source(connection, Source.DIRECTORY, asked) if asked else frozenset()


def _served(account: Account) -> Iterable[object]:
    """Return the values from which the account's book and its place in the directory are made."""
    return account.tenant, account.sub, account.address, account.sharing, account.shared_label, account.generation


def _place(account: Account) -> tuple[str, int]:
    """Return the values by which the accounts of a tenant are sorted."""
    return account.address, account.id


def _access(login: PhoneLogin | None) -> Iterable[object] | None:
    """Return the values from which a phone's access is made."""
    if login is None:
        return None
    return (
        *(login.tenant, login.account_ids, login.numbers, login.password, login.book_secret, login.number_format),
        *(login.area_code, login.next_password),
    )
