# SPDX-License-Identifier: MIT
"""The books of all accounts: built from the store, kept in memory and in the cache, and given to the publisher.

This module also keeps the books of files (`ldapgw.sync.file_books`), so that the books of files and of accounts are
published together.

`AccountBooks` decides the order in which outdated books are updated, the books that are updated together, and the
process that updates a book.  To revise a book is to apply the changes of its account's contacts.  When the changes are
unknown or too many, or the book has other inputs now (such as the account's address), the book is built anew.  The
books of small accounts are built together; a large book is built in another process, and no other book waits for the
large book.  At a start that has to build many books, another process helps.  `Publisher` (`ldapgw.sync.publisher`)
publishes the built books.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger

from ldapgw.directory.book import Book, with_sharing
from ldapgw.directory.dn import folded
from ldapgw.directory.inet_org_person import forget_values
from ldapgw.directory.naming_context import NamingContext
from ldapgw.errors import ProcessLost, StoreError
from ldapgw.store import changes, contacts
from ldapgw.store.accounts import Account
from ldapgw.store.changes import Changes, Delta
from ldapgw.store.worker import Store
from ldapgw.sync.account_state import AccountState, StateUpdate
from ldapgw.sync.book_builder import (
    ACCOUNTS_AT_ONCE,
    CONTACTS_AT_ONCE,
    BookId,
    BuildTask,
    build_books,
    free_slowly,
    load_book,
    revise_books,
)
from ldapgw.sync.book_cache import BookCache, BuiltBook, cache_name

log = Logger()

# A book with at least this many contacts is built in another process, because a build in this process would take half a
# second.
MIN_PROCESS_CONTACTS = 3000

# At a start, another process helps if at least this many books had to be built, and at least this many accounts are
# left.  Building so many books takes about as long as starting the process.
_MIN_HELPED = 200

# The seconds for which a built book waits, so that several books are published together.
_PUBLISH_SECONDS = 0.5


class AccountBooks:
    """The books of all accounts; every build of a book begins here.

    Mutable: the account state last read, the books last built, the accounts whose books are being built, and the books
    that are left to build, publish, save and free.

    :ivar state: the accounts and phones as they were last read from the store.
    :ivar outdated: the ids of the accounts whose books are to be built.
    :ivar unpublished: the tenants whose books differ from the published books.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param delete_off_thread: calls a function on a thread other than the thread of `run_off_thread`, so that the
        deletion of a removed account's books does not wait for a build.
    :param build_in_process: builds the books of accounts into the cache in another process
        (`ldapgw.sync.book_builder.build_cached_books`), or None if no other process is used.
    :param build_meanwhile: as `build_in_process`, but returns a context manager: the other process builds while the
        block of the ``with`` statement runs.  The function is called only at a start; None if no other process is used.
    :param seconds: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        contexts: Mapping[str, NamingContext],
        run_off_thread: Callable[..., Awaitable[Any]],
        delete_off_thread: Callable[..., Awaitable[Any]],
        cache: BookCache | None = None,
        build_in_process: Callable[[Sequence[BuildTask]], Awaitable[None]] | None = None,
        build_meanwhile: Callable[[Sequence[BuildTask]], AbstractContextManager[None]] | None = None,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._store = store
        self.contexts = contexts
        # By tenant, the Google Groups from which the naming context was made, and the naming context.
        self._contexts: dict[str, tuple[Mapping[str, frozenset[str]], NamingContext]] = {}
        self.state = AccountState(contexts.keys())
        self.outdated: set[int] = set()
        self.unpublished = set(contexts)
        self._run_off_thread = run_off_thread
        self._delete_off_thread = delete_off_thread
        self._cache = cache
        self._build_in_process = build_in_process
        self._build_meanwhile = build_meanwhile
        self._seconds = seconds
        self._built: dict[BookId, BuiltBook] = {}
        # By tenant, the books of files by their names, in the order in which the files were first read without a
        # problem.
        self._of_files: dict[str, dict[str, Book]] = {tenant: {} for tenant in contexts}
        # By tenant, the cached result of `of_tenant`, which is removed when a book of the tenant changes.
        self._of_tenant: dict[str, tuple[Book, ...]] = {}
        # By tenant, the books of the accounts by the accounts' ids, in the order of `AccountState.account_ids`.  The
        # books are kept, because looking up each of 5,000 books takes milliseconds.
        self._of_accounts: dict[str, dict[int, Book]] = {}
        self._replaced: list[Book] = []
        # The books that are not in the cache, or whose cached version will soon be too old to be revised.
        self._unsaved: set[BookId] = set()
        self._orphans: set[str] = set()  # names of cached books that belong to no account any more
        self._is_cache_pruned = False
        self._locks: dict[int, DeferredLock] = {}
        self._contacts_lock = DeferredLock()

    def context(self, tenant: str) -> NamingContext:
        """Return a tenant's naming context with the present members of its Google Groups."""
        groups = self.state.google_groups.get(tenant, {})
        known = self._contexts.get(tenant)
        if known is None or known[0] is not groups:
            known = self._contexts[tenant] = groups, self.contexts[tenant].with_members(groups)
        return known[1]

    def clear(self) -> None:
        """Return to the state before the first read of the store: no accounts, and no books but the books of files."""
        self.state = AccountState(self.contexts.keys())
        self.outdated = set()
        self._note_changed(self.contexts)
        self._is_cache_pruned = False
        self._replaced += [built.book for built in self._built.values()]
        self._built.clear()
        self._of_accounts.clear()

    # --- changes of the store -----------------------------------------------------------------------------------------

    def apply(self, found: Changes, with_directory: Collection[int]) -> StateUpdate:
        """Apply changes that were read from the store: mark outdated books, and drop the books of removed accounts."""
        holders, history = dict(self.state.directory_accounts), self.state.history
        update = self.state.apply(found, with_directory)
        present = self.state.accounts
        if self.state.history != history:
            self.outdated |= present.keys()
        self._note_changed(update.tenants)
        for account_id in update.accounts:
            self._adapt(account_id)
            if account_id in present:
                self.outdated.add(account_id)
            else:
                self.outdated.discard(account_id)
                self._orphans.add(cache_name(account_id, directory=False))
        for tenant in update.tenants:
            before, holder = holders.get(tenant), self.state.directory_accounts.get(tenant)
            if holder is None:
                self._replace(tenant, None)
            if before is not None and (holder is None or holder.id != before.id):
                self._orphans.add(cache_name(before.id, directory=True))
        return update

    def begin_anew(self, state: AccountState) -> None:
        """Replace everything that was read from the store, so that a fault in the former state has no effect any more.

        Every book counts as outdated; books of accounts that the state does not have are dropped.
        """
        self.state = state
        self.outdated = set(state.accounts)
        self._note_changed(self.contexts)
        self._of_accounts.clear()
        for key, built in list(self._built.items()):
            if isinstance(key, int):
                self._adapt(key)
            if self._account(key) is None:
                self._replace(key, None)
                _, account_id, *_ = built.build_key
                self._orphans.add(_cache_name(key, account_id))

    # --- which books are built, and in which order --------------------------------------------------------------------

    def is_building(self, account_id: int) -> bool:
        lock = self._locks.get(account_id)
        return lock is not None and bool(lock.locked)

    async def wait(self) -> None:
        """Wait for all builds that have begun."""
        for account_id in list(self._locks):
            async with self._locked(account_id):
                pass

    async def update(
        self,
        account_id: int | None,
        publish: Callable[[], Awaitable[None]],
        next_turn: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Build the books of an account, or all outdated books.

        When the book of an account cannot be built, its former book stays, and other books are not affected.

        :param account_id: the account, or None for all outdated accounts.  An account whose books another call is
            building counts as outdated only if the account has changed since that build began.
        :param publish: publishes the books built so far; called before each slow part of the work.
        :param next_turn: waits for the reactor's next turn; None at a start, when nobody is served yet.
        """
        is_whole = account_id is None
        ids = self.outdated.copy() if account_id is None else {account_id}
        try:
            await self._update(ids, publish, next_turn, is_whole=is_whole)
        finally:
            forget_values()

    async def _update(
        self,
        ids: set[int],
        publish: Callable[[], Awaitable[None]],
        next_turn: Callable[[], Awaitable[object]] | None,
        *,
        is_whole: bool,
    ) -> None:
        large = {each for each in ids if self._is_large(each)}
        busy = await self._build_idle(ids - large, publish, next_turn, is_whole=is_whole)
        if busy or large:
            await publish()
        for each in busy:
            await self._build_locked([each])
        # Revising a large book takes milliseconds, but building the book takes many seconds.
        served = [each for each in large if each in self._built]
        await self._build_idle(served, publish, next_turn, is_whole=is_whole, is_anew=False)
        await publish()
        for each in await self._build_idle(large, publish, next_turn, is_whole=is_whole):
            await self._build_locked([each])

    def _is_large(self, account_id: int) -> bool:
        account = self.state.accounts.get(account_id)
        return account is not None and account.contacts >= MIN_PROCESS_CONTACTS

    # --- one batch of accounts after the other ------------------------------------------------------------------------

    async def _build_idle(
        self,
        ids: Collection[int],
        publish: Callable[[], Awaitable[None]],
        next_turn: Callable[[], Awaitable[object]] | None,
        *,
        is_whole: bool,
        is_anew: bool = True,
    ) -> list[int]:
        """Build the books of accounts that no other call is building; build the books of small accounts together.

        :returns: the accounts whose books another call is building.
        """
        busy: list[int] = []
        waiting = deque(sorted(ids))
        published_at = self._seconds()
        with ExitStack() as helper:
            may_help = next_turn is None
            while waiting:
                if may_help and min(len(self._unsaved), len(waiting)) >= _MIN_HELPED:
                    self._get_help(waiting, helper)
                    may_help = False
                await self._build_locked(self._take_batch(waiting, busy, is_whole=is_whole), is_anew=is_anew)
                # A batch in which only the sharing has changed waits for no thread.
                if waiting and next_turn is not None:
                    await next_turn()
                if self._seconds() - published_at >= _PUBLISH_SECONDS:
                    await publish()
                    published_at = self._seconds()
        return busy

    def _get_help(self, waiting: Iterable[int], helper: ExitStack) -> None:
        """Let another process build the books of the waiting accounts into the cache, the last account first.

        This process goes on with the first accounts, and so meets the other process halfway: from there on, the cache
        has the books.
        """
        if self._build_meanwhile is not None:
            tasks = [self._task(account) for each in waiting if (account := self.state.accounts.get(each))]
            helper.enter_context(self._build_meanwhile(tasks[::-1]))

    def _take_batch(self, waiting: deque[int], busy: list[int], *, is_whole: bool) -> list[int]:
        """Take accounts from `waiting` to build together, and move accounts that another call is building to `busy`."""
        batch: list[int] = []
        count = 0
        while waiting and len(batch) < ACCOUNTS_AT_ONCE:
            account = self.state.accounts.get(waiting[0])
            if account is None or (is_whole and account.id not in self.outdated):
                waiting.popleft()
            elif self.is_building(account.id):
                busy.append(waiting.popleft())
            elif batch and count + account.contacts > CONTACTS_AT_ONCE:
                break
            else:
                batch.append(waiting.popleft())
                count += account.contacts
        return batch

    async def _build_locked(self, ids: Sequence[int], *, is_anew: bool = True) -> None:
        async with AsyncExitStack() as locks:
            for account_id in ids:
                await locks.enter_async_context(self._locked(account_id))
            await self._build_accounts(ids, is_anew=is_anew)

    @asynccontextmanager
    async def _locked(self, account_id: int) -> AsyncIterator[None]:
        """Hold the lock of an account; the lock exists only while a call holds the lock or waits for the lock."""
        lock = self._locks.setdefault(account_id, DeferredLock())
        try:
            async with lock:
                yield
        finally:
            # Another call that waited for this lock may have run since the release, and may have removed the lock.
            if not lock.locked and self._locks.get(account_id) is lock:
                del self._locks[account_id]

    async def _build_accounts(self, ids: Sequence[int], *, is_anew: bool) -> None:
        """Build the books of some accounts together or, if this fails, one account after the other.

        If the book of one account cannot be built, phones must still get the books of the other accounts.

        :param is_anew: whether to build a large book anew if the book cannot be revised; if False, such a book stays
            outdated.
        """
        # A change during the build makes an account outdated again.
        self.outdated.difference_update(ids)
        accounts = [account for each in ids if (account := self.state.accounts.get(each)) is not None]
        try:
            await self._build(accounts, is_anew=is_anew)
        except Exception as error:
            self.outdated.update(each for each in ids if each in self.state.accounts)
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

    # --- one batch: revise, else build --------------------------------------------------------------------------------

    async def _build(self, accounts: Iterable[Account], *, is_anew: bool) -> None:
        tasks = await self._revise([await self._begin(account) for account in accounts])
        postponed: set[int] = set()
        for at, task in enumerate(tasks):
            if task.is_done or task.account.contacts < MIN_PROCESS_CONTACTS:
                continue
            if is_anew:
                tasks[at] = await self._build_by_process(task)
            else:
                postponed.add(task.account.id)
        for task in await self._build_by_thread([task for task in tasks if task.account.id not in postponed]):
            self._put(task)
        self.outdated.update(each for each in postponed if each in self.state.accounts)

    async def _revise(self, tasks: Sequence[BuildTask]) -> list[BuildTask]:
        """Apply the changes of the contacts to the books, unless the changes are unknown or too many."""
        revisable = [task for task in tasks if task.is_complete and not task.is_done]
        if not revisable:
            return list(tasks)
        since = {task.account.id: (task.generation, task.max_changes) for task in revisable}
        deltas = await self._store.read(changes.read_deltas, since)
        return [
            await self._revise_by(task, delta) if (delta := deltas.get(task.account.id)) is not None else task
            for task in tasks
        ]

    async def _revise_by(self, task: BuildTask, delta: Delta) -> BuildTask:
        books = [built.book for built in task.books]
        revised: tuple[Book, ...] | None = await self._run_off_thread(revise_books, task.context, books, delta)
        if revised is None:
            return task
        generation, changes = task.account.generation, len(delta.changed) + len(delta.removed)
        return replace(
            task,
            books=[
                replace(built, generation=generation, book=book, uncached_changes=built.uncached_changes + changes)
                for built, book in zip(task.books, revised, strict=True)
            ],
        )

    async def _build_by_process(self, task: BuildTask) -> BuildTask:
        """Build large books in another process; return the task unchanged if the process fails."""
        account = task.account
        if self._build_in_process is None:
            return task
        try:
            await self._build_in_process([replace(task, books=())])
        except ProcessLost:
            log.warn(
                "the process that builds the book of account {account} has ended unexpectedly",
                event="book_process_ended",
                tenant=account.tenant,
                account=account.id,
            )
            return task
        finally:
            # The account may have been removed meanwhile.
            for key in task.book_ids:
                await self._delete_if_orphaned(key, _cache_name(key, account.id))
        return await self._load_current(task)

    async def _build_by_thread(self, tasks: Sequence[BuildTask]) -> list[BuildTask]:
        """Build missing books in this process.

        Memory holds the contacts of several small accounts, or of one large account, but never more at the same time.
        """
        unbuilt = [task for task in tasks if not task.is_done]
        if not unbuilt:
            return list(tasks)
        async with self._contacts_lock:  # the coroutine frees the contacts before the lock is released
            built = await self._build_from_contacts(unbuilt)
        return [task for task in tasks if task.is_done] + built

    async def _build_from_contacts(self, tasks: Sequence[BuildTask]) -> list[BuildTask]:
        found = await self._store.read(contacts.read, [task.account.id for task in tasks])
        found.reverse()
        done = []
        for task in tasks:
            stored, account = found.pop(), task.account
            books: tuple[Book, ...] = await self._run_off_thread(
                build_books, task.context, account, stored.contacts, stored.labels, *task.forms
            )
            if stored.damaged:
                await self._store.run(contacts.fetch_anew, account.id, list(stored.damaged))
                log.error(
                    "{count} stored contacts of account {account} cannot be read; the next sync fetches them again",
                    event="contacts_damaged",
                    tenant=account.tenant,
                    count=stored.damaged.total(),
                    account=account.id,
                )
            done.append(replace(task, books=[task.built(book) for book in books]))
        return done

    # --- the books in memory ------------------------------------------------------------------------------------------

    def put_file_book(self, tenant: str, book: Book) -> None:
        """Set the book of a file, which the next publication publishes."""
        before = self._of_files[tenant].get(book.name)
        self._of_files[tenant][book.name] = book
        if before is not None:
            self._replaced.append(before)
        self._note_changed((tenant,))

    def of_tenant(self, tenant: str) -> tuple[Book, ...]:
        """Return the built books of a tenant, with the present sharing of their accounts."""
        books = self._of_tenant.get(tenant)
        if books is None:
            of_accounts = self._of_accounts.get(tenant)
            if of_accounts is None:
                ids = self.state.account_ids(tenant)
                of_accounts = {each: built.book for each in ids if (built := self._built.get(each)) is not None}
                self._of_accounts[tenant] = of_accounts
            directory = self._built.get(tenant)
            of_directory = (directory.book,) if directory is not None else ()
            books = (*of_accounts.values(), *self._of_files[tenant].values(), *of_directory)
            self._of_tenant[tenant] = books
        return books

    def _note_changed(self, tenants: Iterable[str]) -> None:
        """Note the tenants whose books have changed."""
        for tenant in tenants:
            self.unpublished.add(tenant)
            self._of_tenant.pop(tenant, None)

    async def _begin(self, account: Account) -> BuildTask:
        """Return the task to update an account's books, with the books from memory or else from the cache."""
        task = self._task(account)
        return replace(task, books=[built for key in task.book_ids if (built := await self._current(task, key))])

    def _put(self, task: BuildTask) -> None:
        """Store the books of a finished task in memory, if the books still belong to an account."""
        present = self.state.accounts.get(task.account.id)
        for key, built in zip(task.book_ids, task.books, strict=True):
            # During the build, the account may have been removed, or another account may have become the directory
            # account.
            if present is not None and (isinstance(key, int) or self.state.has_directory(present)):
                self._replace(key, built)
        self._adapt(task.account.id)

    def _adapt(self, account_id: int) -> None:
        """Give an account's book the account's present sharing; drop the book of an account that is gone."""
        account, built = self.state.accounts.get(account_id), self._built.get(account_id)
        if built is None:
            return
        if account is not None and account.address != built.book.name:
            self._of_accounts.pop(account.tenant, None)  # the accounts are sorted by their addresses
        if account is None or not built.is_of(account):
            self._replace(account_id, None)
        elif (built.book.sharing, built.book.shared_label) != (account.sharing, folded(account.shared_label)):
            book = with_sharing(built.book, account.sharing, account.shared_label)
            self._replace(account_id, replace(built, book=book))

    async def free_replaced(self) -> None:
        """Free the memory of books that were replaced."""
        if self._replaced:
            await self._run_off_thread(free_slowly, self._replaced)

    def _task(self, account: Account) -> BuildTask:
        return BuildTask.of(account, self.contexts[account.tenant], self.state)

    async def _current(self, task: BuildTask, key: BookId) -> BuiltBook | None:
        """Return the book that was last built with the build key of a task, from memory or else from the cache.

        The book's contacts may be outdated.
        """
        built = self._built.get(key)
        if built is not None and (built.build_key, built.history) == (task.build_key, task.history):
            return built
        return await self._load(task, key)

    def _replace(self, key: BookId, built: BuiltBook | None) -> None:
        """Set or remove a book; remember the replaced book, so that `free_replaced` frees its memory."""
        before = self._built.pop(key, None)
        if built is not None:
            self._built[key] = built
        if before is built:
            return
        if before is not None and not before.shares_entries(built):
            self._replaced.append(before.book)
        if built is not None and self._cache is not None and not built.is_cache_current:
            self._unsaved.add(key)
        # The two books may be in different tenants, because an id can pass to an account of another tenant.
        tenants = {each.build_key[0].name for each in (before, built) if each is not None}
        self._note_changed(tenants)
        if not isinstance(key, int):
            return
        for tenant in tenants:
            if before is None or built is None or len(tenants) > 1:
                self._of_accounts.pop(tenant, None)
            elif tenant in self._of_accounts:
                self._of_accounts[tenant][key] = built.book

    # --- the books in the cache ---------------------------------------------------------------------------------------

    async def load_all(self) -> None:
        """Read all books of any generation from the cache; an account without cached books gets no books."""
        for account in tuple(self.state.accounts.values()):
            task = self._task(account)
            for key in task.book_ids:
                self._replace(key, await self._load(task, key))
            self._adapt(account.id)  # a cached book has no shared label

    async def _load_current(self, task: BuildTask) -> BuildTask:
        """Return the task with its cached books; if a book is missing or outdated, return the task unchanged."""
        books = [built for key in task.book_ids if (built := await self._load(task, key))]
        loaded = replace(task, books=books)
        return loaded if loaded.is_done else task

    async def save(self) -> None:
        """Save books that are not in the cache, or whose cached version will soon be too old to be revised.

        Saving thousands of books takes a while; other books are published meanwhile.
        """
        while self._cache is not None and self._unsaved:
            key = self._unsaved.pop()
            built, account = self._built.get(key), self._account(key)
            if built is None or account is None or built.is_cache_current:
                continue
            name = _cache_name(key, account.id)
            await self._run_off_thread(self._cache.save, name, built)
            if self._built.get(key) is built:
                self._built[key] = replace(built, cached_generation=built.generation, uncached_changes=0)
            await self._delete_if_orphaned(key, name)

    async def delete_orphans(self, *, is_start: bool = False) -> None:
        """Delete the cached books of removed accounts; the first call deletes all cached books without an account.

        :param is_start: whether the first call also deletes the unfinished files of an interrupted write.
        """
        names, self._orphans = self._orphans, set()
        if self._cache is None:
            return
        if not self._is_cache_pruned:
            self._is_cache_pruned = True
            ids, holders = list(self.state.accounts), [account.id for account in self.state.directory_accounts.values()]
            await self._run_off_thread(self._cache.prune, ids, holders, unfinished=not is_start)
        if names:
            # During `prune`, a former directory account may have become the directory account again.  The cached book
            # of this account stays.
            names -= {cache_name(account.id, directory=True) for account in self.state.directory_accounts.values()}
            await self._delete_off_thread(self._cache.delete, names)

    async def _delete_if_orphaned(self, key: BookId, name: str) -> None:
        """Delete the cached book `name` if the book `key` is gone, or is now cached under another name."""
        account = self._account(key)
        if account is None or _cache_name(key, account.id) != name:
            self._orphans.add(name)
            await self.delete_orphans()

    async def _load(self, task: BuildTask, key: BookId) -> BuiltBook | None:
        if self._cache is None:
            return None
        cached: BuiltBook | None = await self._run_off_thread(load_book, self._cache, task, key)
        return cached

    def _account(self, key: BookId) -> Account | None:
        """Return the account with which a book is stored, or None if the book no longer belongs to an account."""
        return self.state.accounts.get(key) if isinstance(key, int) else self.state.directory_accounts.get(key)


def _cache_name(key: BookId, account_id: int) -> str:
    """Return the name under which the cache has a book that is stored with an account."""
    return cache_name(account_id, directory=isinstance(key, str))
