# SPDX-License-Identifier: MIT
"""Decides in which order outdated books are updated, which of them are updated together, and by which process.

A book is revised by the changes of its account's contacts.  When the changes are unknown, or the account's address has
changed, the book is built anew.  Small accounts are built together; a large book is built in another process, and
no other book waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger

from ldapgw.directory.book import Book
from ldapgw.errors import ProcessLost, StoreError
from ldapgw.store import contact_changes, contacts
from ldapgw.store.accounts import Account
from ldapgw.store.contact_changes import Delta
from ldapgw.store.worker import Store
from ldapgw.sync.account_books import AccountBooks, BuildTask, BuiltBook
from ldapgw.sync.book_builder import build_books, revise_books

log = Logger()

# From this many contacts on, another process builds the book; in this process a build of them takes half a second.
MIN_PROCESS_CONTACTS = 3000

# Small accounts are read in one transaction; at most so many contacts, and so many accounts, are in memory at a time.
_CONTACTS_AT_ONCE = MIN_PROCESS_CONTACTS
_ACCOUNTS_AT_ONCE = 50

# How long a built book waits for others that are built with it.
_PUBLISH_SECONDS = 0.5


class BookUpdater:
    """Builds the books of outdated accounts.

    Mutable: which accounts' books are being built.

    :param books: where the books are taken from and put.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param build_in_process: builds an account's books into the cache in another process
        (`ldapgw.sync.book_builder.build_cached_books`); None: no other process is used.
    :param seconds: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        books: AccountBooks,
        run_off_thread: Callable[..., Awaitable[Any]],
        build_in_process: Callable[..., Awaitable[None]] | None = None,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._store = store
        self._books = books
        self._run_off_thread = run_off_thread
        self._build_in_process = build_in_process
        self._seconds = seconds
        self._locks: dict[int, DeferredLock] = {}
        self._contacts_lock = DeferredLock()

    def is_building(self, account_id: int) -> bool:
        lock = self._locks.get(account_id)
        return lock is not None and bool(lock.locked)

    async def wait(self) -> None:
        """Wait for all builds that have begun."""
        for account_id in list(self._locks):
            async with self._locked(account_id):
                pass

    async def update(self, account_id: int | None, publish: Callable[[], Awaitable[None]]) -> None:
        """Build the books of an account, or all outdated books.

        When the book of an account cannot be built, its former book stays, and other books are not affected.

        :param account_id: None: all outdated accounts, except those that another call has begun with and that have not
            changed since.
        :param publish: publishes what is built; called before each part that takes longer.
        :raises StoreError: when the database cannot be used.
        """
        is_whole = account_id is None
        ids = self._books.outdated.copy() if account_id is None else {account_id}
        large = {one for one in ids if self._is_large(one)}
        busy = await self._build_idle(ids - large, publish, is_whole=is_whole)
        if busy or large:
            await publish()
        for one in busy:
            await self._build_locked([one])
        # To revise a large book takes milliseconds, to build one takes many seconds.
        served = [one for one in large if self._books.has_book(one)]
        await self._build_idle(served, publish, is_whole=is_whole, is_anew=False)
        await publish()
        for one in await self._build_idle(large, publish, is_whole=is_whole):
            await self._build_locked([one])

    def _is_large(self, account_id: int) -> bool:
        account = self._books.state.accounts.get(account_id)
        return account is not None and account.contacts >= MIN_PROCESS_CONTACTS

    # --- one batch of accounts after the other ------------------------------------------------------------------------

    async def _build_idle(
        self,
        ids: Collection[int],
        publish: Callable[[], Awaitable[None]],
        *,
        is_whole: bool,
        is_anew: bool = True,
    ) -> list[int]:
        """Build the books of accounts that no other call has begun with, small accounts together.

        :returns: the other accounts.
        """
        busy: list[int] = []
        waiting = deque(sorted(ids))
        published_at = self._seconds()
        while waiting:
            await self._build_locked(self._take_batch(waiting, busy, is_whole=is_whole), is_anew=is_anew)
            if self._seconds() - published_at >= _PUBLISH_SECONDS:
                await publish()
                published_at = self._seconds()
        return busy

    def _take_batch(self, waiting: deque[int], busy: list[int], *, is_whole: bool) -> list[int]:
        """Take accounts to build together; only now is it known which of them another call has begun with."""
        batch: list[int] = []
        count = 0
        while waiting and len(batch) < _ACCOUNTS_AT_ONCE:
            account = self._books.state.accounts.get(waiting[0])
            if account is None or (is_whole and account.id not in self._books.outdated):
                waiting.popleft()
            elif self.is_building(account.id):
                busy.append(waiting.popleft())
            elif batch and count + account.contacts > _CONTACTS_AT_ONCE:
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
        """Hold the lock of an account, which exists as long as somebody holds it or waits for it."""
        lock = self._locks.setdefault(account_id, DeferredLock())
        try:
            async with lock:
                yield
        finally:
            # Whoever waited for the lock has run already, and may have removed it.
            if not lock.locked and self._locks.get(account_id) is lock:
                del self._locks[account_id]

    async def _build_accounts(self, ids: Sequence[int], *, is_anew: bool) -> None:
        """Build the books of some accounts together; where that fails, one after the other.

        The contacts of one account must not keep those of others from phones.

        :param is_anew: whether large books are built anew that cannot be revised; else they stay outdated.
        """
        # A change during the build makes an account outdated again.
        self._books.outdated.difference_update(ids)
        accounts = [account for each in ids if (account := self._books.state.accounts.get(each)) is not None]
        try:
            await self._build(accounts, is_anew=is_anew)
        except Exception as error:
            self._books.outdated.update(ids)
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
        tasks = await self._revise([await self._books.begin(account) for account in accounts])
        postponed: set[int] = set()
        for at, task in enumerate(tasks):
            if task.is_done or task.account.contacts < MIN_PROCESS_CONTACTS:
                continue
            if is_anew:
                tasks[at] = await self._build_by_process(task)
            else:
                postponed.add(task.account.id)
        for task in await self._build_by_thread([task for task in tasks if task.account.id not in postponed]):
            self._books.put(task)
        self._books.outdated |= postponed

    async def _revise(self, tasks: Sequence[BuildTask]) -> list[BuildTask]:
        """Revise books by the changes of the contacts, unless the changes are unknown or too many."""
        revisable = [task for task in tasks if task.is_complete and not task.is_done]
        if not revisable:
            return list(tasks)
        since = {task.account.id: (task.generation, task.max_changes) for task in revisable}
        deltas = await self._store.read(contact_changes.read, since)
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
        """Build large books in another process, unless it fails."""
        account = task.account
        if self._build_in_process is None:
            return task
        try:
            await self._build_in_process(task.context, account, task.build_key, task.per_number, task.with_directory)
        except ProcessLost:
            log.warn(
                "the process that builds the book of account {account} has ended unexpectedly",
                event="book_process_ended",
                tenant=account.tenant,
                account=account.id,
            )
            return task
        finally:
            await self._books.delete_if_orphaned(task)
        return await self._books.load(task)

    async def _build_by_thread(self, tasks: Sequence[BuildTask]) -> list[BuildTask]:
        """Build in this process what is not done, with the contacts of some small accounts or a large one in memory."""
        unbuilt = [task for task in tasks if not task.is_done]
        if not unbuilt:
            return list(tasks)
        async with self._contacts_lock:  # a coroutine of its own, which lets go of the contacts before the lock
            built = await self._build_from_contacts(unbuilt)
        return [task for task in tasks if task.is_done] + built

    async def _build_from_contacts(self, tasks: Sequence[BuildTask]) -> list[BuildTask]:
        found = await self._store.read(contacts.read, [task.account.id for task in tasks])
        found.reverse()
        done = []
        for task in tasks:
            stored, account = found.pop(), task.account
            books: tuple[Book, ...] = await self._run_off_thread(
                build_books,
                task.context,
                account,
                stored.contacts,
                stored.labels,
                task.per_number,
                task.with_directory,
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
            built = [BuiltBook(account.generation, task.build_key, book, None) for book in books]
            done.append(replace(task, books=built))
        return done
