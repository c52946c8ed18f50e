# SPDX-License-Identifier: MIT
"""Turns what the store holds into what phones are served, and publishes it by one assignment.

Off the reactor's thread, what has changed of an account's contacts is built into its book; where that is not known, or
the account's address has changed, the book is built anew.  The others are taken over as they are, and wait for none.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import is_
from typing import Any

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.directory.access import Access, NamingContext, Viewer, phone_dn
from ldapgw.directory.book import DIRECTORY, Book, max_changes
from ldapgw.directory.catalog import Catalog, PhoneAccess, Snapshot
from ldapgw.directory.dit import Directory, Dit, Features
from ldapgw.errors import ProcessLost, StoreError
from ldapgw.store import contacts
from ldapgw.store.accounts import Account
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.worker import Store
from ldapgw.sync.book_builder import (
    AccountState,
    build_books,
    free_slowly,
    read_account_state,
    read_contacts,
    read_delta,
    revise_books,
)
from ldapgw.sync.book_cache import BookCache, CachedBook, cache_name

log = Logger()

# Which book: the account's id and "", or the tenant's name and DIRECTORY.
_BookId = tuple[int | str, str]

# What a book depends on besides contacts: context, account, its sub and its address, whether numbers have entries.
_BuildKey = tuple[NamingContext, int, str, str, bool]

# Contacts that another process builds a book of: here, they would take half a second.
MIN_PROCESS_CONTACTS = 3000

# Generations that an image may be behind; what changed in twice as many is known.
_MAX_CACHE_LAG = contacts.KEPT_GENERATIONS // 2


@dataclass(frozen=True, slots=True)
class _BuiltBook:
    """A book, and what it was built from.

    :ivar generation: of the account's contacts: at least these changes are in it.
    :ivar made_of: what makes it anew when it changes.
    :ivar saved: the generation of its image; None: it has none.
    :ivar changed: contacts that have changed since then.
    """

    generation: int
    build_key: _BuildKey
    book: Book
    saved: int | None
    changed: int = 0

    @property
    def is_cache_current(self) -> bool:
        """Whether the next start can bring the image up to date, and many more syncs' changes with it."""
        few = self.changed <= max_changes(self.book) // 2
        return self.saved is not None and self.generation - self.saved <= _MAX_CACHE_LAG and few


@dataclass(frozen=True, slots=True)
class _BuildRequest:
    """What is to be built of an account.

    :ivar per_number: whether a phone of its tenant wants entries for numbers.
    :ivar feeds: whether the tenant's directory is taken from it.
    """

    account: Account
    per_number: bool
    with_directory: bool


class Publisher:
    """Keeps the catalog up to date.

    Mutable: what was read last, and the books that were built last.

    :param contexts: by tenant.
    :param images: where books are kept for the next start; None: nowhere.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param build_apart: has a process build an account's books as images (`building.build_images`), where nothing waits
        behind it; None: there is none.
    """

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        contexts: Mapping[str, NamingContext],
        features: Features,
        run_off_thread: Callable[..., Awaitable[Any]],
        book_cache: BookCache | None = None,
        build_in_process: Callable[..., Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._contexts = contexts
        self._features = features
        self._run_off_thread = run_off_thread
        self._book_cache = book_cache
        self._build_in_process = build_in_process
        self._cached_names: frozenset[str] | None = None
        self._account_state = AccountState()
        self._build_requests: dict[int, _BuildRequest] = {}
        self._built_books: dict[_BookId, _BuiltBook] = {}
        self._replaced_books: list[Book] = []
        self._lock = DeferredLock()
        self._locks: dict[int, DeferredLock] = {}
        self._contacts_lock = DeferredLock()

    async def refresh(self, account_id: int | None = None) -> None:
        """Serve what the store holds now: `look`, then `build`.

        :raises StoreError: when the database cannot be used; what is served stays.
        """
        await self.publish_accounts()
        await self.build(account_id)

    async def publish_accounts(self) -> None:
        """Serve at once what needs no building: logins, sharing and what is gone.

        :raises StoreError: when the database cannot be used; what is served stays.
        """
        rows = self._account_state = await self._store.run(read_account_state, self._contexts.keys())
        per_number = {login.tenant for login in rows.logins if login.numbers is NumberMode.ENTRIES}
        feeding = {account.id for account in rows.directory_accounts.values()}
        self._build_requests = {
            one.id: _BuildRequest(one, one.tenant in per_number, one.id in feeding) for one in rows.accounts
        }
        self._publish_at_once()

    async def build(self, account_id: int | None = None) -> None:
        """Build the books that have changed, and serve them; a book that takes long keeps no other from phones.

        One account's trouble leaves its book as it was and hurts no other.

        :param account_id: whose books; None: everybody's.
        :raises StoreError: when the database cannot be used; what is served stays.
        """
        await self._prune_cache()
        ids = list(self._build_requests) if account_id is None else [account_id]
        busy = [one for one in ids if one in self._locks and self._locks[one].locked]
        await self._build_some([one for one in ids if one not in busy])
        if busy:
            await self._build_some(busy)

    def _publish(self, directories: Sequence[Directory], *, loaded: bool) -> None:
        """Serve the books that there are, to the logins that there are."""
        rows = self._account_state
        owners = {account.id: account.sub for account in rows.accounts}
        logins = {
            login.name.lower(): make_login(login, self._contexts[login.tenant], owners.get(login.account_id or 0, ""))
            for login in rows.logins
        }
        dit = self._catalog.dit()
        if not (len(dit.directories) == len(directories) and all(map(is_, dit.directories, directories))):
            dit = Dit(tuple(directories), self._features)
        self._catalog.publish(Snapshot(dit, logins, loaded=loaded))

    def _directories(self) -> list[tuple[Directory, Directory | None]]:
        """The tenants' directories with the books that there are, of nobody who is gone; each with the one served."""
        rows = self._account_state
        alive = {(account.id, "") for account in rows.accounts} | {
            (tenant, DIRECTORY) for tenant in rows.directory_accounts
        }
        self._replace_books({key: shelf for key, shelf in self._built_books.items() if key in alive})
        served = {one.context.name: one for one in self._catalog.dit().directories}
        made = [Directory(context, tuple(self._books(name, rows))) for name, context in self._contexts.items()]
        return [(one, served.get(one.context.name)) for one in made]

    def _publish_at_once(self) -> None:
        """What is gone or closed must not be seen for as long as it takes to build another book."""
        found = []
        for made, known in self._directories():
            made.merge_shared_books(known, at_once=True)
            found.append(known if known == made and known is not None else made)
        self._publish(found, loaded=self._catalog.snapshot.loaded)

    async def _build_some(self, ids: Iterable[int]) -> None:
        """Build accounts' books, serve them, and do what nobody waits for."""
        for account_id in ids:
            async with self._locks.setdefault(account_id, DeferredLock()):
                await self._build(account_id)
        async with self._lock:
            # Phones wait for the start: what was built for it is written down with the next refresh, a moment later.
            is_start = not self._catalog.snapshot.loaded
            await self._publish_built()
            if not is_start:
                await self._save_to_cache()
            if self._replaced_books:
                await self._run_off_thread(free_slowly, self._replaced_books)

    async def _publish_built(self) -> None:
        found = []
        # Phones wait for the start: what only makes their searches faster comes with the next refresh, a moment later.
        at_once = not self._catalog.snapshot.loaded
        for made, known in self._directories():
            if known is None or known != made or not known.shared_books.is_tidy:
                await self._run_off_thread(made.merge_shared_books, known, at_once=at_once)
                known = made
            found.append(known)
        # Somebody may have gone meanwhile.
        if [one for one, _ in self._directories()] == found:
            self._publish(found, loaded=True)
        else:
            await self._publish_built()

    async def _prune_cache(self, *, again: bool = False) -> None:
        """Delete the images of books that are there no more; at the start, what an interrupted writer has left too."""
        names = frozenset(_cache_names(self._account_state))
        if self._book_cache is not None and (again or names != self._cached_names):
            is_start, self._cached_names = self._cached_names is None, names
            await self._run_off_thread(self._book_cache.prune, names, unfinished=not is_start)

    async def _save_to_cache(self) -> None:
        """Write down books that have no image, or one that will soon be too old to be brought up to date."""
        if self._book_cache is None:
            return
        rows = self._account_state
        keys = {name: key for name, key in _cache_names(rows).items() if key in self._built_books}
        for name, key in keys.items():
            shelf = self._built_books[key]
            if not shelf.is_cache_current:
                await self._run_off_thread(
                    self._book_cache.save, name, shelf.build_key, CachedBook(shelf.generation, shelf.book)
                )
                if self._built_books.get(key) is shelf:
                    self._built_books[key] = replace(shelf, saved=shelf.generation, changed=0)

    def _books(self, tenant: str, rows: AccountState) -> Iterable[Book]:
        for account in rows.accounts:
            shelf = self._built_books.get((account.id, ""))
            if account.tenant == tenant and shelf is not None:
                same = shelf.book.sharing is account.sharing
                yield shelf.book if same else replace(shelf.book, sharing=account.sharing)
        shelf = self._built_books.get((tenant, DIRECTORY))
        if shelf is not None:
            yield shelf.book

    async def _build(self, account_id: int) -> None:
        """Build the books that are made of an account's contacts, if those have changed."""
        found = self._build_requests.get(account_id)
        if found is None:
            return
        account = found.account
        made_of = (self._contexts[account.tenant], account.id, account.sub, account.address, found.per_number)
        wanted: list[_BookId] = [(account.id, "")]
        if found.with_directory:
            wanted.append((account.tenant, DIRECTORY))
        try:
            held = [shelf for key in wanted if (shelf := await self._current_book(key, account, made_of))]
            if len(held) < len(wanted) or any(shelf.generation != account.generation for shelf in held):
                held = (
                    (await self._revise_books(account, held) if len(held) == len(wanted) else None)
                    or await self._build_by_process(account, made_of, wanted)
                    or await self._build_by_thread(account, made_of, wanted)
                )
        except (CancelledError, StoreError):
            raise
        except Exception:  # noqa: BLE001  one account's contacts must not keep the others' from phones
            log.failure("the book of account {account} cannot be built", account=account.id)
            return
        built = dict(zip(wanted, held, strict=True))
        after = self._build_requests.get(account_id)
        if after is None or not after.with_directory:
            # Another account's may have been built meanwhile.
            built.pop((account.tenant, DIRECTORY), None)
        self._replace_books(self._built_books | built)

    def _replace_books(self, shelves: dict[_BookId, _BuiltBook]) -> None:
        """Have other books from now on."""
        before, self._built_books = self._built_books, shelves
        replaced = ((shelf, shelves.get(key)) for key, shelf in before.items() if shelves.get(key) is not shelf)
        self._replaced_books += [shelf.book for shelf, after in replaced if not _shares_entries(shelf, after)]

    async def _current_book(self, key: _BookId, account: Account, made_of: _BuildKey) -> _BuiltBook | None:
        """A book that was made of the same, but for contacts: the one that is served, or an image."""
        shelf = self._built_books.get(key)
        if shelf is not None and shelf.build_key == made_of:
            return shelf
        return await self._load_cached(key, account, made_of)

    async def _load_cached(self, key: _BookId, account: Account, made_of: _BuildKey) -> _BuiltBook | None:
        if self._book_cache is None:
            return None
        directory = key[1] == DIRECTORY
        name, sharing = cache_name(account.id, directory=directory), Sharing.SHARED if directory else account.sharing
        context = self._contexts[account.tenant]
        found: CachedBook | None = await self._run_off_thread(self._book_cache.load, name, made_of, context, sharing)
        return None if found is None else _BuiltBook(found.generation, made_of, found.book, found.generation)

    async def _revise_books(self, account: Account, held: Sequence[_BuiltBook]) -> list[_BuiltBook] | None:
        """The books with what has changed; None where that is not known, or is too much."""
        most = sum(max_changes(shelf.book) for shelf in held)
        news = await self._store.run(read_delta, account.id, min(shelf.generation for shelf in held), most)
        if news is None:
            return None
        context, books = self._contexts[account.tenant], [shelf.book for shelf in held]
        found: tuple[Book, ...] | None = await self._run_off_thread(revise_books, context, books, news)
        if found is None:
            return None
        pairs, changed = zip(held, found, strict=True), len(news.changed) + len(news.removed)
        return [
            replace(shelf, generation=account.generation, book=book, changed=shelf.changed + changed)
            for shelf, book in pairs
        ]

    async def _build_by_process(
        self, account: Account, made_of: _BuildKey, wanted: Sequence[_BookId]
    ) -> list[_BuiltBook] | None:
        """The books built by a process, where they are large; None: it could not."""
        if self._build_in_process is None or await self._store.run(contacts.count, account.id) < MIN_PROCESS_CONTACTS:
            return None
        context, per_number = self._contexts[account.tenant], made_of[-1]
        try:
            await self._build_in_process(context, account, made_of, per_number, len(wanted) > 1)
        except ProcessLost:
            log.warn("the process that builds the book of account {account} has ended", account=account.id)
            return None
        if account.id not in self._build_requests:
            # The images of an account that has gone meanwhile have been written behind its end.
            await self._prune_cache(again=True)
        found = [shelf for key in wanted if (shelf := await self._load_cached(key, account, made_of))]
        # It lives long, and the collector would stop everybody to look at it.
        gc.freeze()
        whole = len(found) == len(wanted) and all(shelf.generation == account.generation for shelf in found)
        return found if whole else None

    async def _build_by_thread(
        self, account: Account, made_of: _BuildKey, wanted: Sequence[_BookId]
    ) -> list[_BuiltBook]:
        """The books built here; the contacts of one account are in memory at a time."""
        async with self._contacts_lock:
            return await self._build_books(account, made_of, wanted)

    async def _build_books(self, account: Account, made_of: _BuildKey, wanted: Sequence[_BookId]) -> list[_BuiltBook]:
        (everything, damaged), labels = await self._store.run(read_contacts, account.id)
        context, per_number = self._contexts[account.tenant], made_of[-1]
        books: tuple[Book, ...] = await self._run_off_thread(
            build_books, context, account, everything, labels, per_number, len(wanted) > 1
        )
        if damaged:
            log.error(
                "{count} stored contacts of account {account} cannot be read; the next sync brings them anew",
                count=damaged,
                account=account.id,
            )
        return [_BuiltBook(account.generation, made_of, book, None) for book in books]


def _shares_entries(shelf: _BuiltBook, after: _BuiltBook | None) -> bool:
    """Whether another one has most of its entries."""
    kept = {id(one.entries) for one in after.book.segments.contacts} if after is not None else set()
    return any(id(one.entries) in kept for one in shelf.book.segments.contacts)


def _cache_names(rows: AccountState) -> dict[str, _BookId]:
    """The books by the names of their images."""
    found: dict[str, _BookId] = {cache_name(account.id, directory=False): (account.id, "") for account in rows.accounts}
    return found | {
        cache_name(one.id, directory=True): (tenant, DIRECTORY) for tenant, one in rows.directory_accounts.items()
    }


def make_login(login: PhoneLogin, context: NamingContext, own_book: str) -> PhoneAccess:
    """A phone that may bind.

    :param own: the key of its account's book; empty: it has none.
    """
    dn = phone_dn(login.name, context.base)
    viewer = Viewer(str(dn), (Access(login.tenant, own_book),), per_number=login.numbers is NumberMode.ENTRIES)
    return PhoneAccess(login.name, dn, login.password, viewer)
