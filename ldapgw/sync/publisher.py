# SPDX-License-Identifier: MIT
"""Publishing: builds books from the store off the reactor's thread and puts them into the catalog that phones search.

The catalog's snapshot is replaced by one assignment.  What a look at the store takes depends on what has changed since
the last one, not on how many accounts there are.  A book is revised by the changes of its account's contacts.  When
the changes are unknown, or the account's address has changed, the book is built anew.  Unchanged books stay in use, and
do not wait for other books.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from operator import is_
from typing import Any

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.directory.access import (
    Access,
    NamingContext,
    ReplicaAccess,
    Viewer,
    number_formatter,
    phone_dn,
    replica_dn,
)
from ldapgw.directory.book import DIRECTORY, Book, with_sharing
from ldapgw.directory.catalog import Catalog, Freshness, PhoneAccess, Snapshot
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import folded
from ldapgw.directory.shared_books import SharedBooks
from ldapgw.directory.special_entries import Features
from ldapgw.errors import ProcessLost, StoreError
from ldapgw.store import changes, contacts
from ldapgw.store.accounts import Account
from ldapgw.store.changes import Changes
from ldapgw.store.logins_file import SavedLogins
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.worker import Store
from ldapgw.sync.account_state import AccountState, StateUpdate, read_changes
from ldapgw.sync.book_builder import (
    BookId,
    BuildKey,
    BuildTask,
    BuiltBook,
    build_books,
    free_slowly,
    revise_books,
)
from ldapgw.sync.book_cache import BookCache, CachedBook, cache_name

log = Logger()

# From this many contacts on, another process builds the book; in this process a build of them takes half a second.
MIN_PROCESS_CONTACTS = 3000

# Small accounts are read in one transaction; at most so many contacts, and so many accounts, are in memory at a time.
_CONTACTS_AT_ONCE = MIN_PROCESS_CONTACTS
_ACCOUNTS_AT_ONCE = 50

# How long a built book waits for others that are built with it.
_PUBLISH_SECONDS = 0.5

# How many books are published in one turn of the reactor, unless a tenant has more: a few milliseconds.
_BOOKS_AT_ONCE = 400

# How many accounts and phones are compared with the former ones in one turn: a few milliseconds.
_CHANGES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class LoadedBooks:
    """What a publisher has loaded, for the publishers of processes that are forked afterwards.

    :ivar snapshot: what the catalog of such a process begins with.
    """

    state: AccountState
    built_books: Mapping[BookId, BuiltBook]
    snapshot: Snapshot


class Publisher:
    """Keeps the catalog up to date.

    Mutable: the account state last read, the books last built, and what is left to build, publish and save.

    :param contexts: the naming contexts by tenant.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param on_publish: called after each new snapshot with the bind DN of each login that is gone or changed.
    :param next_turn: waits for the reactor's next turn, so that phones are served meanwhile.
    :param book_cache: the cache of built books for the next start; None: no cache.
    :param build_in_process: builds an account's books into the cache in another process
        (`ldapgw.sync.book_builder.build_cached_books`); None: no other process is used.
    :param is_follower: whether another process of the gateway builds large books and keeps the cache; this one loads
        them from there, and serves the former ones until they are there.
    :param loaded: what the process has inherited, which the catalog serves already.
    :param seconds: a monotonic clock, in seconds.
    :param observe_lag: called when a change of an account is served, with the seconds since the publisher read it from
        the store; not called for what a start loads.
    """

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        contexts: Mapping[str, NamingContext],
        features: Features,
        run_off_thread: Callable[..., Awaitable[Any]],
        on_publish: Callable[[Sequence[str]], None],
        next_turn: Callable[[], Awaitable[object]],
        book_cache: BookCache | None = None,
        build_in_process: Callable[..., Awaitable[None]] | None = None,
        is_follower: bool = False,
        loaded: LoadedBooks | None = None,
        seconds: Callable[[], float] = lambda: 0.0,
        observe_lag: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._contexts = contexts
        self._features = features
        self._run_off_thread = run_off_thread
        self._on_publish = on_publish
        self._next_turn = next_turn
        self._book_cache = book_cache
        self._build_in_process = build_in_process
        self._is_follower = is_follower
        self._seconds = seconds
        self._observe_lag = observe_lag
        self._is_cache_pruned = False
        self._state = loaded.state if loaded else AccountState(contexts.keys())
        self._freshness = catalog.snapshot.freshness
        self._version = 0
        self._outdated_accounts: set[int] = set()  # whose books have to be built
        self._unserved_since: dict[int, float] = {}  # when the first change was read that phones miss
        self._outdated_tenants = set() if loaded else set(contexts)  # whose books have to be published or merged
        self._outdated_phones: set[str] = set()
        self._unsaved_books: set[BookId] = set()  # which the cache does not have, or not for much longer
        self._built_books: dict[BookId, BuiltBook] = dict(loaded.built_books) if loaded else {}
        self._replaced_books: list[Book] = []
        self._reading = DeferredLock()
        self._lock = DeferredLock()
        self._locks: dict[int, DeferredLock] = {}
        self._contacts_lock = DeferredLock()

    def loaded(self) -> LoadedBooks:
        """What is loaded now; this publisher must not be used any more."""
        return LoadedBooks(self._state, self._built_books, self._catalog.snapshot)

    @property
    def position(self) -> int:
        """The number of the first change that may not be served yet; 0: nothing was read."""
        return self._state.cursor.next if self._state.cursor is not None else 0

    @property
    def version(self) -> int:
        """A number that grows with each change of `saved_logins`."""
        return self._version

    def saved_logins(self) -> Callable[[], SavedLogins]:
        """The accounts and logins of now, as a function that may be called on another thread, because it takes long."""
        return partial(SavedLogins.of, *self._state.saved())

    @property
    def is_outdated(self) -> bool:
        """Whether a book is still to be built, for which a follower may have to wait."""
        return bool(self._outdated_accounts)

    @property
    def unserved(self) -> int:
        """How many accounts have changes that phones do not find yet."""
        return len(self._unserved_since)

    async def refresh(self, account_id: int | None = None) -> None:
        """Serve the present content of the store: `publish_accounts`, then `build`.

        From then on, with all accounts, the snapshot is current.

        :raises StoreError: when the database cannot be used; the catalog is unchanged then.
        """
        await self.publish_accounts()
        await self.build(account_id)

    async def publish_accounts(self) -> None:
        """Publish at once the changes that need no building: logins, sharing and removed accounts.

        A removed or private book must not be visible while another book is built.

        :raises StoreError: when the database cannot be used; the catalog is unchanged then.
        """
        async with self._reading:
            while not await self._read_state():
                pass
        replaced: dict[str, Directory] = {}
        count = 0
        for outdated in sorted(self._outdated_tenants):
            for tenant, context, books, served in self._outdated_books([outdated]):
                replaced[tenant] = (
                    served
                    if served is not None and served.books == books
                    else Directory(context, books, _shared_books(served), defer_merge=True)
                )
                count += len(books)
            if count >= _BOOKS_AT_ONCE:
                self._replace_snapshot(replaced, loaded=self._catalog.snapshot.loaded)
                replaced, count = {}, 0
                await self._next_turn()
        self._replace_snapshot(replaced, loaded=self._catalog.snapshot.loaded)

    async def _read_state(self) -> bool:
        """Read what has changed in the store; false when `expire` was called meanwhile, so that all is to be read."""
        state = self._state
        news, with_directory = await self._store.read(read_changes, state.cursor)
        if news.has_lost and not self._is_follower:
            log.warn(
                "the database may have lost the latest changes; the gateway rebuilds all books",
                event="database_lost_commits",
            )
            await self._store.run(changes.begin_history, news.cursor)
            news, with_directory = await self._store.read(read_changes, None)
        # A start completes without waiting for a turn; nobody is served before its end.
        parts = state.parts(news, _CHANGES_AT_ONCE) if self._catalog.snapshot.loaded else (news,)
        for number, part in enumerate(parts):
            if number:
                await self._next_turn()
            if self._state is not state:
                return False
            self._apply(state.apply(part, with_directory))
        return True

    def _apply(self, update: StateUpdate) -> None:
        """Note what an update of the account state makes outdated, and drop the books of removed accounts."""
        if update.accounts or update.tenants or update.phones:
            self._version += 1
        present = self._state.accounts.keys()
        self._is_cache_pruned = self._is_cache_pruned and not update.has_orphans
        self._outdated_accounts = (self._outdated_accounts | update.accounts) & present
        now = self._seconds()
        for account_id in update.accounts & present:
            self._unserved_since.setdefault(account_id, now)
        self._outdated_tenants |= update.tenants
        self._outdated_phones |= update.phones
        for account_id in update.accounts - present:
            self._replace_book((account_id, ""), None)
            self._unserved_since.pop(account_id, None)
        for tenant in update.tenants - self._state.directory_accounts.keys():
            self._replace_book((tenant, DIRECTORY), None)

    async def build(self, account_id: int | None = None) -> None:
        """Build the books that have changed, and publish them; a slow build does not delay other books.

        When the book of an account cannot be built, its former book stays, and other books are not affected.

        :param account_id: the account whose books to build; None: all accounts.
        :raises StoreError: when the database cannot be used; the catalog is unchanged then.
        """
        await self._prune_cache()
        is_whole = account_id is None
        # Phones wait for the start: its books are saved to the cache by the next refresh, a moment later.
        is_start = not self._catalog.snapshot.loaded
        await self._build(set(self._outdated_accounts) if account_id is None else {account_id}, is_whole=is_whole)
        is_settled = is_whole and self._state.cursor is not None and self._freshness is not Freshness.CURRENT
        if is_start or is_settled:
            # What other builds have begun belongs to it.
            for lock in list(self._locks.values()):
                async with lock:
                    pass
        async with self._lock:
            await self._merge_and_publish()
            if self._replaced_books:
                await self._run_off_thread(free_slowly, self._replaced_books)
        if not is_start:
            await self._save_to_cache()
        if is_settled:
            self._freshness = Freshness.CURRENT
            self._replace_snapshot({}, loaded=self._catalog.snapshot.loaded)

    async def load_saved(self, saved: SavedLogins) -> None:
        """Serve the cached books and former logins, as long as the store cannot be read."""
        self._freshness = Freshness.STALE
        news = Changes(
            None,
            is_whole=True,
            accounts={one.id: one.account() for one in saved.accounts},
            phones={one.name: one.login() for one in saved.logins},
        )
        self._apply(self._state.apply(news, {one.id for one in saved.accounts if one.has_directory}))
        for account in tuple(self._state.accounts.values()):
            build_key, book_ids = self._inputs(account)
            for key in book_ids:
                self._replace_book(key, await self._load_cached(key, account, build_key))
        await self._merge_and_publish()

    def expire(self) -> bool:
        """Serve nothing any more, unless the store has been read; the next `refresh` is as at a start.

        :returns: whether it was so.
        """
        if self._freshness is not Freshness.STALE or self._state.cursor is not None:
            return False
        self._freshness = Freshness.EXPIRED
        self._state = AccountState(self._contexts.keys())
        self._replaced_books += [built.book for built in self._built_books.values()]
        self._built_books.clear()
        self._unserved_since.clear()
        self._outdated_accounts, self._outdated_phones, self._outdated_tenants = set(), set(), set(self._contexts)
        names = self._catalog.snapshot.logins.keys()
        nothing = Snapshot(Dit((), self._features), freshness=Freshness.EXPIRED)
        self._on_publish(self._catalog.publish(nothing, names))
        return True

    def _replace_snapshot(self, replaced: Mapping[str, Directory], *, loaded: bool) -> None:
        """Replace the catalog's snapshot by one with other directories and the present logins.

        :param replaced: the directories that are not those served until now, by tenant.
        :param loaded: whether all books have been built since the start.
        """
        snapshot = self._catalog.snapshot
        served = {directory.context.name: directory for directory in snapshot.dit.directories} | dict(replaced)
        dit, directories = snapshot.dit, [served[tenant] for tenant in self._contexts]
        if not (len(dit.directories) == len(directories) and all(map(is_, dit.directories, directories))):
            dit = Dit(tuple(directories), self._features)
        names, self._outdated_phones = self._outdated_phones, set()
        logins = snapshot.logins
        if names:
            keys = {name.lower() for name in names}
            present = {login.name.lower(): login for name in names if (login := self._make_login(name))}
            logins = {key: login for key, login in logins.items() if key not in keys} | present
            names = keys
        snapshot = Snapshot(dit, logins, loaded=loaded, freshness=self._freshness)
        self._on_publish(self._catalog.publish(snapshot, names))

    def _make_login(self, name: str) -> PhoneAccess | None:
        """The access of a phone; None: there is no such phone."""
        login = self._state.phones.get(name)
        if login is None:
            return None
        account = self._state.accounts.get(login.account_id or 0)
        return make_login(login, self._contexts[login.tenant], account.sub if account else "")

    def _outdated_books(
        self, tenants: Iterable[str]
    ) -> list[tuple[str, NamingContext, tuple[Book, ...], Directory | None]]:
        """Some tenants to publish: the context, the built books of the accounts, and the directory served so far."""
        served = {directory.context.name: directory for directory in self._catalog.dit().directories}
        return [
            (tenant, self._contexts[tenant], tuple(self._books(tenant)), served.get(tenant))
            for tenant in sorted(tenants)
        ]

    async def _build(self, ids: Collection[int], *, is_whole: bool) -> None:
        """Build accounts' books, and publish them before those that take longer.

        :param is_whole: leave out the accounts that another build has begun with, and that have not changed since.
        """
        accounts = self._state.accounts
        large = {one for one in ids if one in accounts and accounts[one].contacts >= MIN_PROCESS_CONTACTS}
        busy = await self._build_idle(set(ids) - large, is_whole=is_whole)
        if busy or large:
            await self._publish_built()
        for account_id in busy:
            await self._build_locked([account_id])
        # To revise a large book takes milliseconds, to build one takes many seconds.
        served = [account_id for account_id in large if (account_id, "") in self._built_books]
        await self._build_idle(served, is_whole=is_whole, is_anew=False)
        await self._publish_built()
        for account_id in await self._build_idle(large, is_whole=is_whole):
            await self._build_locked([account_id])

    async def _build_idle(self, ids: Collection[int], *, is_whole: bool, is_anew: bool = True) -> list[int]:
        """Build the books of accounts that no other build has begun with, small accounts together.

        :returns: the other accounts.
        """
        busy: list[int] = []
        waiting = deque(sorted(ids))
        published_at = self._seconds()
        while waiting:
            await self._build_locked(self._take_batch(waiting, busy, is_whole=is_whole), is_anew=is_anew)
            if self._seconds() - published_at >= _PUBLISH_SECONDS:
                await self._publish_built()
                published_at = self._seconds()
        return busy

    def _take_batch(self, waiting: deque[int], busy: list[int], *, is_whole: bool) -> list[int]:
        """Take accounts to build together; only now is it known which of them another build has begun with."""
        batch: list[int] = []
        count = 0
        while waiting and len(batch) < _ACCOUNTS_AT_ONCE:
            account, lock = self._state.accounts.get(waiting[0]), self._locks.get(waiting[0])
            if account is None or (is_whole and account.id not in self._outdated_accounts):
                waiting.popleft()
            elif lock is not None and lock.locked:
                busy.append(waiting.popleft())
            elif batch and count + account.contacts > _CONTACTS_AT_ONCE:
                break
            else:
                batch.append(waiting.popleft())
                count += account.contacts
        return batch

    async def _build_locked(self, ids: Sequence[int], *, is_anew: bool = True) -> None:
        with ExitStack() as locks:
            for account_id in ids:
                lock = self._locks.setdefault(account_id, DeferredLock())
                await lock.acquire()
                locks.callback(lock.release)
            await self._build_accounts(ids, is_anew=is_anew)

    async def _publish_built(self) -> None:
        """Publish what is built; a start is published as a whole."""
        if self._outdated_tenants and self._catalog.snapshot.loaded:
            async with self._lock:
                await self._merge_and_publish()

    async def _merge_and_publish(self) -> None:
        # Phones wait for the start: all is published at once, and work that only speeds up searches is done by the next
        # refresh, a moment later.
        is_start = not self._catalog.snapshot.loaded
        waiting = sorted(self._outdated_tenants, reverse=True)
        while True:
            merged: dict[str, Directory] = {}
            count = 0
            while waiting and (is_start or count < _BOOKS_AT_ONCE):
                [(tenant, context, books, served)] = self._outdated_books([waiting.pop()])
                count += len(books)
                if served is not None and served.books == books and not served.shared_books.needs_merge:
                    merged[tenant] = served
                else:
                    before = _shared_books(served)
                    merged[tenant] = await self._run_off_thread(Directory, context, books, before, defer_merge=is_start)
            # An account may have been removed meanwhile.
            for tenant, _, books, _ in self._outdated_books(merged):
                if merged[tenant].books != books:
                    waiting.append(tenant)
                    del merged[tenant]
            self._outdated_tenants -= {tenant for tenant, one in merged.items() if not one.shared_books.needs_merge}
            self._replace_snapshot(merged, loaded=not (waiting and is_start))
            self._note_served(merged, is_start=is_start)
            if not waiting:
                return
            await self._next_turn()

    def _note_served(self, tenants: Collection[str], *, is_start: bool) -> None:
        """Note for how long the changes have waited that some tenants' phones find now."""
        now = self._seconds()
        for account_id, since in list(self._unserved_since.items()):
            lock = self._locks.get(account_id)
            is_built = account_id not in self._outdated_accounts and not (lock is not None and lock.locked)
            tenant = self._state.accounts[account_id].tenant
            if is_built and (tenant in tenants or tenant not in self._outdated_tenants):
                del self._unserved_since[account_id]
                if not is_start:
                    self._observe_lag(now - since)

    async def _prune_cache(self, *, again: bool = False) -> None:
        """Delete the cached books of removed accounts; at the start also unfinished files of an interrupted write."""
        if self._book_cache is None or self._is_follower or (self._is_cache_pruned and not again):
            return
        is_start, self._is_cache_pruned = not self._catalog.snapshot.loaded, True
        ids, holders = list(self._state.accounts), [one.id for one in self._state.directory_accounts.values()]
        await self._run_off_thread(self._book_cache.prune, ids, holders, unfinished=not is_start)

    async def _save_to_cache(self) -> None:
        """Save books that are not in the cache, or whose cached version will soon be too old to be revised.

        Other books are published meanwhile: to save thousands takes a while.
        """
        if self._is_follower:
            self._unsaved_books.clear()
        while self._book_cache is not None and self._unsaved_books:
            key = self._unsaved_books.pop()
            built, name = self._built_books.get(key), self._cache_name(key)
            if built is None or name is None or built.is_cache_current:
                continue
            cached = CachedBook(built.generation, built.book)
            await self._run_off_thread(self._book_cache.save, name, built.build_key, cached)
            if self._built_books.get(key) is built:
                self._built_books[key] = replace(built, cached_generation=built.generation, uncached_changes=0)

    def _cache_name(self, key: BookId) -> str | None:
        """The name of a book in the cache; None: it is no account's any more."""
        if isinstance(key[0], int):
            return cache_name(key[0], directory=False)
        holder = self._state.directory_accounts.get(key[0])
        return None if holder is None else cache_name(holder.id, directory=True)

    def _books(self, tenant: str) -> Iterable[Book]:
        for account in self._state.accounts_of(tenant):
            built = self._built_books.get((account.id, ""))
            if built is not None:
                sharing, shared_label = account.sharing, account.shared_label
                if (built.book.sharing, built.book.shared_label) != (sharing, folded(shared_label)):
                    built = replace(built, book=with_sharing(built.book, sharing, shared_label))
                    self._built_books[account.id, ""] = built
                yield built.book
        built = self._built_books.get((tenant, DIRECTORY))
        if built is not None:
            yield built.book

    async def _build_accounts(self, ids: Sequence[int], *, is_anew: bool) -> None:
        """Build the books of accounts whose contacts or other inputs have changed.

        The contacts of one account must not keep those of others from phones.

        :param is_anew: whether large books are built anew that cannot be revised; else they stay outdated.
        """
        # A change during the build makes an account outdated again.
        self._outdated_accounts.difference_update(ids)
        accounts = [account for account_id in ids if (account := self._state.accounts.get(account_id)) is not None]
        try:
            await self._build_books_of(accounts, is_anew=is_anew)
        except Exception as error:
            self._outdated_accounts.update(ids)
            if isinstance(error, (CancelledError, StoreError)):
                raise
            if len(accounts) > 1:
                for account_id in ids:
                    await self._build_accounts([account_id], is_anew=is_anew)
                return
            log.failure(
                "the book of account {account} cannot be built",
                event="book_build_failed",
                tenant=accounts[0].tenant,
                account=accounts[0].id,
            )

    def _inputs(self, account: Account) -> tuple[BuildKey, list[BookId]]:
        """What an account's books are built from besides contacts, and which books it has."""
        context, per_number = self._contexts[account.tenant], self._state.needs_numbers(account.tenant)
        # Neither groups nor blocked contacts change what is in a book.
        built_from = replace(context, groups={}, block_label="")
        build_key = (built_from, account.id, account.sub, account.address, per_number)
        book_ids: list[BookId] = [(account.id, "")]
        if self._state.has_directory(account):
            book_ids.append((account.tenant, DIRECTORY))
        return build_key, book_ids

    async def _build_books_of(self, accounts: Iterable[Account], *, is_anew: bool) -> None:
        tasks = [await self._begin(account) for account in accounts]
        await self._revise([task for task in tasks if task.is_complete and not task.is_done])
        for task in tasks:
            if task.account.contacts >= MIN_PROCESS_CONTACTS and not task.is_done:
                if is_anew:
                    await self._build_by_process(task)
                else:
                    task.is_waiting = True
        await self._build_by_thread([task for task in tasks if not task.is_done and not task.is_waiting])
        for task in tasks:
            if task.is_waiting:
                self._outdated_accounts.add(task.account.id)
                continue
            present = self._state.accounts.get(task.account.id)
            for key, built in zip(task.book_ids, task.books, strict=True):
                # The account may be gone, or the directory may have been built from another account meanwhile.
                if present is not None and (key[1] != DIRECTORY or self._state.has_directory(present)):
                    self._replace_book(key, built)

    async def _begin(self, account: Account) -> BuildTask:
        build_key, book_ids = self._inputs(account)
        books = [built for key in book_ids if (built := await self._current_book(key, account, build_key))]
        return BuildTask(account, build_key, book_ids, books)

    def _replace_book(self, key: BookId, built: BuiltBook | None) -> None:
        """Set or remove a built book, and note the replaced book, whose memory is to be freed."""
        before = self._built_books.pop(key, None)
        changed = built or before
        if built is not None:
            self._built_books[key] = built
        if changed is None or before is built:
            return
        if before is not None and not before.shares_entries(built):
            self._replaced_books.append(before.book)
        if built is not None and self._book_cache is not None and not built.is_cache_current:
            self._unsaved_books.add(key)
        context, *_ = changed.build_key
        self._outdated_tenants.add(context.name)

    async def _current_book(self, key: BookId, account: Account, build_key: BuildKey) -> BuiltBook | None:
        """The present book of a build key, maybe of an older generation: the served book, else the cached book."""
        built = self._built_books.get(key)
        if built is not None and built.build_key == build_key:
            return built
        return await self._load_cached(key, account, build_key)

    async def _load_cached(self, key: BookId, account: Account, build_key: BuildKey) -> BuiltBook | None:
        if self._book_cache is None:
            return None
        directory = key[1] == DIRECTORY
        name, sharing = cache_name(account.id, directory=directory), Sharing.SHARED if directory else account.sharing
        context = self._contexts[account.tenant]
        cached: CachedBook | None = await self._run_off_thread(self._book_cache.load, name, build_key, context, sharing)
        return None if cached is None else BuiltBook(cached.generation, build_key, cached.book, cached.generation)

    async def _revise(self, tasks: Sequence[BuildTask]) -> None:
        """Revise books by the changes of the contacts, unless the changes are unknown or too many."""
        if not tasks:
            return
        since = {task.account.id: (task.generation, task.max_changes) for task in tasks}
        deltas = await self._store.read(contacts.read_changes, since)
        for task in tasks:
            delta = deltas.get(task.account.id)
            if delta is None:
                continue
            context, books = self._contexts[task.account.tenant], [built.book for built in task.books]
            revised: tuple[Book, ...] | None = await self._run_off_thread(revise_books, context, books, delta)
            if revised is None:
                continue
            generation, changes = task.account.generation, len(delta.changed) + len(delta.removed)
            task.books = [
                replace(built, generation=generation, book=book, uncached_changes=built.uncached_changes + changes)
                for built, book in zip(task.books, revised, strict=True)
            ]

    async def _build_by_process(self, task: BuildTask) -> None:
        """Build large books in another process, unless it fails; a follower's are built for another publisher."""
        account = task.account
        if self._is_follower:
            task.is_waiting = not await self._load_current(task)
            return
        if self._build_in_process is None:
            return
        context, per_number = self._contexts[account.tenant], task.build_key[-1]
        try:
            await self._build_in_process(context, account, task.build_key, per_number, len(task.book_ids) > 1)
        except ProcessLost:
            log.warn(
                "the process that builds the book of account {account} has ended unexpectedly",
                event="book_process_ended",
                tenant=account.tenant,
                account=account.id,
            )
            return
        if account.id not in self._state.accounts:
            # The account was removed meanwhile, and the process has written its books to the cache after that.
            await self._prune_cache(again=True)
        await self._load_current(task)

    async def _load_current(self, task: BuildTask) -> bool:
        """Load all books of an account from the cache; false: not all of them are there, or of another generation."""
        keys = task.book_ids
        loaded = [built for key in keys if (built := await self._load_cached(key, task.account, task.build_key))]
        # The books live long; without the freeze each full garbage collection would visit them and stop all threads.
        gc.freeze()
        found = replace(task, books=loaded)
        if found.is_done:
            task.books = loaded
        return found.is_done

    async def _build_by_thread(self, tasks: Sequence[BuildTask]) -> None:
        """Build books in this process, with the contacts of some small accounts or a large one in memory at a time."""
        if tasks:
            async with self._contacts_lock:  # a coroutine of its own, which lets go of the contacts before the lock
                await self._build_books(tasks)

    async def _build_books(self, tasks: Sequence[BuildTask]) -> None:
        found = await self._store.read(contacts.read, [task.account.id for task in tasks])
        found.reverse()
        for task in tasks:
            stored = found.pop()
            account, context, per_number = task.account, self._contexts[task.account.tenant], task.build_key[-1]
            books: tuple[Book, ...] = await self._run_off_thread(
                build_books, context, account, stored.contacts, stored.labels, per_number, len(task.book_ids) > 1
            )
            if stored.damaged and not self._is_follower:
                await self._store.run(contacts.fetch_anew, account.id, list(stored.damaged))
                log.error(
                    "{count} stored contacts of account {account} cannot be read; the next sync fetches them again",
                    event="contacts_damaged",
                    tenant=account.tenant,
                    count=stored.damaged.total(),
                    account=account.id,
                )
            task.books = [BuiltBook(account.generation, task.build_key, book, None) for book in books]


def _shared_books(served: Directory | None) -> SharedBooks:
    return SharedBooks() if served is None else served.shared_books


def make_login(login: PhoneLogin, context: NamingContext, own_book: str) -> PhoneAccess:
    """The access of a phone or a replica that may bind.

    :param own_book: the key of the book of the phone's account; empty: the phone has no account.
    """
    if login.replica is not None:
        dn = replica_dn(login.name, context.base)
        content = ReplicaAccess(login.tenant, login.replica.private, login.replica.extra_values)
        return PhoneAccess(login.name, dn, login.password, Viewer(str(dn), replica=content))
    dn = phone_dn(login.name, context.base)
    viewer = Viewer(
        str(dn),
        (Access(login.tenant, own_book),),
        per_number=login.numbers is NumberMode.ENTRIES,
        number_formatter=number_formatter(login.number_format, context),
    )
    return PhoneAccess(login.name, dn, login.password, viewer, login.book_secret)
