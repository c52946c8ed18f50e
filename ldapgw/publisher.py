# SPDX-License-Identifier: MIT
"""Turns what the store holds into what phones are served, and publishes it by one assignment.

A book is built anew when its account's contacts, address or sharing have changed, off the reactor's thread; the others
are taken over as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import DeferredLock

from ldapgw.catalog import Catalog, Login, Served
from ldapgw.contact import Contact, Sharing, Source
from ldapgw.directory.book import DIRECTORY, Book, build_book
from ldapgw.directory.dit import Directory, Dit, Features
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.viewer import Access, Viewer
from ldapgw.store import accounts, contacts, phones
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.phones import Numbers, PhoneLogin
from ldapgw.store.worker import Store

# A group that nearly every contact is in makes no useful label branch.
_EVERYBODY = "contactGroups/myContacts"

_BookId = tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Shelf:
    """A book, and what it was built from: a change of that makes it anew."""

    made_of: tuple[object, ...]
    book: Book


class Publisher:
    """Keeps the catalog up to date.

    Mutable: the books that were built last.

    :param contexts: by tenant.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    """

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        contexts: Mapping[str, NamingContext],
        features: Features,
        run_off_thread: Callable[..., Awaitable[Any]],
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._contexts = contexts
        self._features = features
        self._run_off_thread = run_off_thread
        self._shelves: dict[_BookId, _Shelf] = {}
        self._lock = DeferredLock()

    async def refresh(self) -> None:
        """Serve what the store holds now; calls that come meanwhile wait, so that the last one sees the last state.

        :raises StoreError: when the database cannot be used; what is served stays.
        """
        await self._lock.acquire()
        try:
            found, logins = await self._store.run(_read)
            connected = [account for account in found if account.connected and account.tenant in self._contexts]
            per_number = {login.tenant for login in logins if login.numbers is Numbers.ENTRIES}
            shelves: dict[_BookId, _Shelf] = {}
            for account in connected:
                shelves |= await self._shelves_of(account, per_number=account.tenant in per_number)
            self._shelves = shelves
            directories = tuple(
                Directory(context, tuple(self._books(name, connected))) for name, context in self._contexts.items()
            )
            served = {
                login.name.lower(): _login(login, self._contexts[login.tenant], connected)
                for login in logins
                if login.tenant in self._contexts
            }
            self._catalog.publish(Served(Dit(directories, self._features), served, loaded=True))
        finally:
            self._lock.release()

    async def _shelves_of(self, account: Account, *, per_number: bool) -> dict[_BookId, _Shelf]:
        """The account's own book, and the directory's when the account feeds one; built only when something changed."""
        made_of = (account.generation, account.address, account.sharing, per_number)
        own, shared = (account.id, ""), (account.id, DIRECTORY)
        kept = {key: self._shelves[key] for key in (own, shared) if key in self._shelves}
        if own in kept and kept[own].made_of == made_of:
            return kept
        everything, labels = await self._store.run(_read_contacts, account.id)
        context = self._contexts[account.tenant]
        books = await self._run_off_thread(_build, context, account, everything, labels, per_number)
        return {key: _Shelf(made_of, book) for key, book in zip((own, shared), books, strict=False)}

    def _books(self, tenant: str, connected: Iterable[Account]) -> Iterable[Book]:
        feeds = None
        for account in connected:
            if account.tenant == tenant:
                yield self._shelves[account.id, ""].book
                if account.sources.get(Source.DIRECTORY) is SourceState.ON and (feeds is None or account.id < feeds):
                    feeds = account.id
        if feeds is not None and (feeds, DIRECTORY) in self._shelves:
            yield self._shelves[feeds, DIRECTORY].book


def phone_dn(name: str, base: Dn) -> Dn:
    """The name that a phone binds with."""
    return base.child("ou", "phones").child("cn", name)


def _read(connection: Connection) -> tuple[tuple[Account, ...], tuple[PhoneLogin, ...]]:
    return accounts.read_all(connection), phones.read_all(connection)


def _read_contacts(connection: Connection, account_id: int) -> tuple[tuple[Contact, ...], Mapping[str, str]]:
    return contacts.read(connection, account_id), contacts.read_labels(connection, account_id)


def _build(
    context: NamingContext,
    account: Account,
    everything: Iterable[Contact],
    labels: Mapping[str, str],
    per_number: bool,  # noqa: FBT001  called by name of the function alone, through a thread
) -> tuple[Book, ...]:
    """The account's book, and the directory's if there are contacts for one."""
    personal = [contact for contact in everything if contact.source is not Source.DIRECTORY]
    colleagues = [contact for contact in everything if contact.source is Source.DIRECTORY]
    branches = {resource: name for resource, name in labels.items() if resource != _EVERYBODY}
    own = build_book(context, account.sub, account.address, account.sharing, personal, branches, per_number=per_number)
    if not colleagues:
        return (own,)
    return own, build_book(context, DIRECTORY, DIRECTORY, Sharing.SHARED, colleagues, {}, per_number=per_number)


def _login(login: PhoneLogin, context: NamingContext, connected: Iterable[Account]) -> Login:
    own = next((account.sub for account in connected if account.id == login.account_id), "")
    dn = phone_dn(login.name, context.base)
    viewer = Viewer(str(dn), (Access(login.tenant, own),), per_number=login.numbers is Numbers.ENTRIES)
    return Login(login.name, dn, login.password, viewer)
