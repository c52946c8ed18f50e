# SPDX-License-Identifier: MIT
"""The books of all accounts, in memory and in the cache, and which of them still have to be built, published or saved.

`BookUpdater` (`ldapgw.sync.book_updater`) builds what is outdated, and `Publisher` (`ldapgw.sync.publisher`) publishes
what is built.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ldapgw.contact import Sharing
from ldapgw.directory.book import DIRECTORY, Book, max_changes, with_sharing
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import Entry
from ldapgw.directory.naming_context import NamingContext
from ldapgw.store.accounts import Account
from ldapgw.store.changes import Changes
from ldapgw.store.generations import KEPT_GENERATIONS
from ldapgw.sync.account_state import AccountState, StateUpdate
from ldapgw.sync.book_cache import BookCache, CachedBook, cache_name

# Key of a book: the account's id and "", or the tenant's name and DIRECTORY.
BookId = tuple[int | str, str]

# The inputs of a book besides contacts: context, account id, sub, address, whether each number has an entry.
BuildKey = tuple[NamingContext, int, str, str, bool]

# How many generations a cached book may lag behind; the store keeps the changes of twice as many.
_MAX_CACHE_LAG = KEPT_GENERATIONS // 2

# How many entries `free_slowly` frees at a time.
_FREED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class BuiltBook:
    """A book, and its inputs.

    :ivar generation: generation of the account's contacts; the book has at least the changes up to this generation.
    :ivar build_key: the other inputs; the book is built anew when they change.
    :ivar cached_generation: the generation of the book in the cache; None: the book is not in the cache.
    :ivar uncached_changes: how many contacts have changed since the cached generation.
    """

    generation: int
    build_key: BuildKey
    book: Book
    cached_generation: int | None
    uncached_changes: int = 0

    @property
    def is_cache_current(self) -> bool:
        """Whether the next start can revise the cached book, even after many more syncs."""
        if self.cached_generation is None or self.uncached_changes > max_changes(self.book) // 2:
            return False
        return self.generation - self.cached_generation <= _MAX_CACHE_LAG

    def is_of(self, account: Account) -> bool:
        """Whether the book was built from the contacts of this account, and not of a former one with the same id."""
        context, _, sub, *_ = self.build_key
        return (context.name, sub) == account.identity

    def shares_entries(self, after: BuiltBook | None) -> bool:
        """Whether the book's successor shares a segment with it, and so most of its entries."""
        kept = {id(segment.entries) for segment in after.book.segments.contacts} if after is not None else set()
        return any(id(segment.entries) in kept for segment in self.book.segments.contacts)


@dataclass(frozen=True, slots=True)
class BuildTask:
    """The books of an account that are to be brought up to date.

    :ivar book_ids: which books the account has.
    :ivar books: those that are there, maybe of an older generation.
    """

    account: Account
    context: NamingContext
    build_key: BuildKey
    book_ids: Sequence[BookId]
    books: Sequence[BuiltBook] = ()

    @property
    def per_number(self) -> bool:
        """Whether each number has an entry."""
        return self.build_key[-1]

    @property
    def with_directory(self) -> bool:
        """Whether one of the books is that of the Workspace directory."""
        return len(self.book_ids) > 1

    @property
    def is_complete(self) -> bool:
        """Whether all books are there."""
        return len(self.books) == len(self.book_ids)

    @property
    def is_done(self) -> bool:
        """Whether all books are of the account's generation."""
        return self.is_complete and all(built.generation == self.account.generation for built in self.books)

    @property
    def generation(self) -> int:
        """The oldest generation of the books."""
        return min(built.generation for built in self.books)

    @property
    def max_changes(self) -> int:
        """With more changes, a new build is quicker than to revise the books."""
        return sum(max_changes(built.book) for built in self.books)


class AccountBooks:
    """The books of all accounts.

    Mutable: the account state last read, the books last built, and what is left to build, publish, save and free.

    :ivar contexts: the naming contexts by tenant.
    :ivar state: the accounts and phones as they were last read from the store.
    :ivar outdated: the ids of the accounts whose books are to be built.
    :ivar unpublished: the tenants that have other books than those last published.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param delete_off_thread: the same on another thread, so that deleting a removed account's books waits for no build.
    :param cache: the cache of built books for the next start; None: no cache.
    """

    def __init__(
        self,
        *,
        contexts: Mapping[str, NamingContext],
        run_off_thread: Callable[..., Awaitable[Any]],
        delete_off_thread: Callable[..., Awaitable[Any]],
        cache: BookCache | None = None,
    ) -> None:
        self.contexts = contexts
        self.state = AccountState(contexts.keys())
        self.outdated: set[int] = set()
        self.unpublished = set(contexts)
        self._run_off_thread = run_off_thread
        self._delete_off_thread = delete_off_thread
        self._cache = cache
        self._built: dict[BookId, BuiltBook] = {}
        self._replaced: list[Book] = []
        # Which the cache does not have, or not for much longer.
        self._unsaved: set[BookId] = set()
        self._orphans: set[str] = set()  # names of cached books that are no account's any more
        self._is_cache_pruned = False

    def clear(self) -> None:
        """Have no accounts and no books, as before the first look at the store."""
        self.state = AccountState(self.contexts.keys())
        self.outdated, self.unpublished = set(), set(self.contexts)
        self._is_cache_pruned = False
        self._replaced += [built.book for built in self._built.values()]
        self._built.clear()

    # --- what the store says ------------------------------------------------------------------------------------------

    def apply(self, news: Changes, with_directory: Collection[int]) -> StateUpdate:
        """Take what has changed in the store: note which books are outdated, and drop those of removed accounts.

        :param with_directory: see `AccountState.apply`.
        """
        holders = dict(self.state.directory_accounts)
        update = self.state.apply(news, with_directory)
        present = self.state.accounts.keys()
        self.outdated = (self.outdated | update.accounts) & present
        self.unpublished |= update.tenants
        for account_id in update.accounts - present:
            self._replace((account_id, ""), None)
            self._orphans.add(cache_name(account_id, directory=False))
        for tenant in update.tenants:
            before, holder = holders.get(tenant), self.state.directory_accounts.get(tenant)
            if holder is None:
                self._replace((tenant, DIRECTORY), None)
            if before is not None and (holder is None or holder.id != before.id):
                self._orphans.add(cache_name(before.id, directory=True))
        return update

    def begin_anew(self, state: AccountState) -> None:
        """Replace all that was taken from the store, so that nothing depends on what was noted before.

        Every book counts as outdated; books of accounts that the state does not have are dropped.
        """
        self.state = state
        self.outdated, self.unpublished = set(state.accounts), set(self.contexts)
        for key, built in list(self._built.items()):
            if self._account(key) is None:
                self._replace(key, None)
                _, account_id, *_ = built.build_key
                self._orphans.add(_cache_name(key, account_id))

    # --- the books in memory ------------------------------------------------------------------------------------------

    def of_tenant(self, tenant: str) -> tuple[Book, ...]:
        """The books of a tenant that are built, shared as their accounts are now."""
        books = []
        for account in self.state.accounts_of(tenant):
            built = self._built.get((account.id, ""))
            if built is not None and built.is_of(account):
                sharing, shared_label = account.sharing, account.shared_label
                if (built.book.sharing, built.book.shared_label) != (sharing, folded(shared_label)):
                    built = replace(built, book=with_sharing(built.book, sharing, shared_label))
                    self._built[account.id, ""] = built
                books.append(built.book)
        directory = self._built.get((tenant, DIRECTORY))
        return (*books, directory.book) if directory is not None else tuple(books)

    def has_book(self, account_id: int) -> bool:
        return (account_id, "") in self._built

    async def begin(self, account: Account) -> BuildTask:
        """The task to bring an account's books up to date, with the books of memory, else of the cache."""
        task = self._task(account)
        return replace(task, books=[built for key in task.book_ids if (built := await self._current(task, key))])

    def put(self, task: BuildTask) -> None:
        """Take the books of a task that is done, unless they are no account's any more."""
        present = self.state.accounts.get(task.account.id)
        for key, built in zip(task.book_ids, task.books, strict=True):
            # The account may be gone, or the directory may have been built from another account meanwhile.
            if present is not None and (key[1] != DIRECTORY or self.state.has_directory(present)):
                self._replace(key, built)

    async def free_replaced(self) -> None:
        """Free the memory of books that are not served any more."""
        if self._replaced:
            await self._run_off_thread(free_slowly, self._replaced)

    def _task(self, account: Account) -> BuildTask:
        """What an account's books are built from besides contacts, and which books it has."""
        context = self.contexts[account.tenant]
        # Neither groups nor blocked contacts change what is in a book.
        built_from = replace(context, groups={}, block_label="")
        per_number = self.state.needs_numbers(account.tenant)
        book_ids: list[BookId] = [(account.id, "")]
        if self.state.has_directory(account):
            book_ids.append((account.tenant, DIRECTORY))
        build_key = (built_from, account.id, account.sub, account.address, per_number)
        return BuildTask(account, context, build_key, book_ids)

    async def _current(self, task: BuildTask, key: BookId) -> BuiltBook | None:
        """The present book of a build key, maybe of an older generation: the book in memory, else the cached book."""
        built = self._built.get(key)
        return built if built is not None and built.build_key == task.build_key else await self._load(task, key)

    def _replace(self, key: BookId, built: BuiltBook | None) -> None:
        """Set or remove a book, and note the replaced book, whose memory is to be freed."""
        before = self._built.pop(key, None)
        changed = built or before
        if built is not None:
            self._built[key] = built
        if changed is None or before is built:
            return
        if before is not None and not before.shares_entries(built):
            self._replaced.append(before.book)
        if built is not None and self._cache is not None and not built.is_cache_current:
            self._unsaved.add(key)
        context, *_ = changed.build_key
        self.unpublished.add(context.name)

    # --- the books in the cache ---------------------------------------------------------------------------------------

    async def load_all(self) -> None:
        """Take all books from the cache, of whatever generation; without them, an account has none."""
        for account in tuple(self.state.accounts.values()):
            task = self._task(account)
            for key in task.book_ids:
                self._replace(key, await self._load(task, key))

    async def load(self, task: BuildTask) -> BuildTask:
        """A task with the books of the cache, if they are all there and of the account's generation."""
        books = [built for key in task.book_ids if (built := await self._load(task, key))]
        # The books live long; without the freeze each full garbage collection would visit them and stop all threads.
        gc.freeze()
        loaded = replace(task, books=books)
        return loaded if loaded.is_done else task

    async def save(self) -> None:
        """Save books that are not in the cache, or whose cached version will soon be too old to be revised.

        Other books are published meanwhile: to save thousands takes a while.
        """
        while self._cache is not None and self._unsaved:
            key = self._unsaved.pop()
            built, account = self._built.get(key), self._account(key)
            if built is None or account is None or built.is_cache_current:
                continue
            name, cached = _cache_name(key, account.id), CachedBook(built.generation, built.book)
            await self._run_off_thread(self._cache.save, name, built.build_key, cached, account.tenant)
            if self._built.get(key) is built:
                self._built[key] = replace(built, cached_generation=built.generation, uncached_changes=0)
            await self._delete_if_orphaned(key, name)

    async def delete_orphans(self, *, is_start: bool = False) -> None:
        """Delete the cached books of removed accounts; the first time, all that are no account's.

        :param is_start: whether the first time also deletes the unfinished files of an interrupted write.
        """
        names, self._orphans = self._orphans, set()
        if self._cache is None:
            return
        if not self._is_cache_pruned:
            self._is_cache_pruned = True
            ids, holders = list(self.state.accounts), [one.id for one in self.state.directory_accounts.values()]
            await self._run_off_thread(self._cache.prune, ids, holders, unfinished=not is_start)
        if names:
            # Meanwhile a directory may be fetched through a former account again.
            names -= {cache_name(one.id, directory=True) for one in self.state.directory_accounts.values()}
            await self._delete_off_thread(self._cache.delete, names)

    async def delete_if_orphaned(self, task: BuildTask) -> None:
        """Delete the books of a task that another process has saved, if their account has been removed meanwhile."""
        for key in task.book_ids:
            await self._delete_if_orphaned(key, _cache_name(key, task.account.id))

    async def _delete_if_orphaned(self, key: BookId, name: str) -> None:
        """Delete a book that was saved under a name, if the name is not the book's any more."""
        account = self._account(key)
        if account is None or _cache_name(key, account.id) != name:
            self._orphans.add(name)
            await self.delete_orphans()

    async def _load(self, task: BuildTask, key: BookId) -> BuiltBook | None:
        if self._cache is None:
            return None
        account = task.account
        name, sharing = _cache_name(key, account.id), Sharing.SHARED if key[1] == DIRECTORY else account.sharing
        cached: CachedBook | None = await self._run_off_thread(
            self._cache.load, name, task.build_key, task.context, sharing
        )
        return None if cached is None else BuiltBook(cached.generation, task.build_key, cached.book, cached.generation)

    def _account(self, key: BookId) -> Account | None:
        """The account that a book is stored with; None: it is no account's any more."""
        of = key[0]
        return self.state.accounts.get(of) if isinstance(of, int) else self.state.directory_accounts.get(of)


def _cache_name(key: BookId, account_id: int) -> str:
    """The name in the cache of a book that is stored with an account."""
    return cache_name(account_id, directory=key[1] == DIRECTORY)


def free_slowly(books: list[Book]) -> None:
    """Free the memory of unused books in small steps; in one step it would stop all threads for 0.2 s.

    :param books: the books, which are removed from the list.
    """
    entries: list[Entry] = []
    while books:
        book = books.pop()
        for segments in (book.segments, *(label.segments for label in book.labels)):
            for segment in (*segments.contacts, *segments.numbers):
                entries += segment.entries
        # `entries` must have the last references to the entries.
        del book, segments, segment
    while entries:
        del entries[-_FREED_AT_ONCE:]
