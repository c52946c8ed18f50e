# SPDX-License-Identifier: MIT
"""Publishing: puts the accounts' books and the phones' logins into the catalog that phones search.

The catalog's snapshot is replaced by one assignment.  The time that a read of the store takes depends on the changes
since the last read, not on the number of accounts.  Unchanged books stay in use, and do not wait for other books.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from operator import is_
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.contact import Sharing
from ldapgw.directory.access import Access, ReplicaAccess, Viewer
from ldapgw.directory.catalog import Catalog, EndedLogin, Freshness, PhoneAccess, Snapshot
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import number_formatter
from ldapgw.directory.naming_context import NamingContext, phone_dn, replica_dn
from ldapgw.directory.shared_books import SharedBooks
from ldapgw.directory.special_entries import Features
from ldapgw.errors import StoreError
from ldapgw.store import changes
from ldapgw.store.accounts import Account
from ldapgw.store.changes import Changes
from ldapgw.store.database import chunks
from ldapgw.store.logins_file import SavedLogins
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.worker import Store
from ldapgw.sync.account_books import AccountBooks
from ldapgw.sync.account_state import AccountState, read_changes

log = Logger()

# The number of books that are published in one turn of the reactor, which takes a few milliseconds.  The books of one
# tenant are always published together.
_BOOKS_AT_ONCE = 400

# The number of accounts and phones that are compared with their former state in one turn of the reactor, which takes a
# few milliseconds.
_CHANGES_AT_ONCE = 25

# The number of logins that are made in one turn of the reactor, which takes one or two milliseconds.
_LOGINS_AT_ONCE = 100


class Publisher:
    """The publisher, which keeps the catalog up to date.

    If a method raises `StoreError`, the catalog is unchanged.

    Mutable: the phones and the changes that are left to publish.

    :ivar version: a number that grows with each change of `saved_logins`.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param publish_off_thread: calls a function on a thread other than the thread of `run_off_thread`.  So if a book was
        removed or made private, the new directory waits for no build and no merge.
    :param on_publish: called after each new snapshot with the logins that are gone or changed.
    :param on_gone: called with the tenant and the sub of accounts that were disconnected or removed, at any gateway,
        unless the whole database was read since.
    :param next_turn: waits for the reactor's next turn, so that phones are served meanwhile.
    :param seconds: a monotonic clock, in seconds.
    :param observe_lag: called when phones can find a change of an account, with the seconds since the publisher read
        the change from the store; not called for the accounts that are loaded at a start.
    """

    def __init__(
        self,
        *,
        store: Store,
        catalog: Catalog,
        books: AccountBooks,
        features: Features,
        run_off_thread: Callable[..., Awaitable[Any]],
        publish_off_thread: Callable[..., Awaitable[Any]],
        on_publish: Callable[[Sequence[EndedLogin]], None],
        next_turn: Callable[[], Awaitable[object]],
        seconds: Callable[[], float] = lambda: 0.0,
        observe_lag: Callable[[float], None] = lambda _seconds: None,
        on_gone: Callable[[Collection[tuple[str, str]]], object] = lambda _identities: None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._books = books
        self._features = features
        self._run_off_thread = run_off_thread
        self._publish_off_thread = publish_off_thread
        self._on_publish = on_publish
        self._next_turn = next_turn
        self._seconds = seconds
        self._observe_lag = observe_lag
        self._on_gone = on_gone
        self._freshness = catalog.snapshot.freshness
        # If False, a change was not applied, and everything has to be read again.
        self._is_sound = not catalog.snapshot.unserved
        self.version = 0
        self._outdated_phones: set[str] = set()
        # By account id, the time at which the gateway read the oldest change that phones cannot find yet.
        self._unserved_since: dict[int, float] = {}
        self._position = 0
        self._reading = DeferredLock()
        self._publishing = DeferredLock()

    @property
    def position(self) -> int:
        """Return the number of the first change whose logins were not published yet, or 0 if nothing was read.

        If a change has removed a book or made a book private, phones can find the book for some milliseconds after
        the logins were published.
        """
        return self._position if self._books.state.cursor is not None else 0

    def saved_logins(self) -> tuple[tuple[Account, ...], frozenset[int], tuple[PhoneLogin, ...]]:
        """Return the content of a snapshot of logins (`AccountState.saved`)."""
        return self._books.state.saved()

    @property
    def unserved(self) -> int:
        """Return the number of accounts with changes that phones cannot find yet."""
        return len(self._unserved_since)

    async def refresh(self, account_id: int | None = None) -> None:
        """Serve the present content of the store: `publish_accounts`, then `build`.

        After a call for all accounts, the snapshot is current.
        """
        await self.publish_accounts()
        await self.build(account_id)

    async def publish_accounts(self) -> None:
        """Publish at once the changes that need no building: logins, sharing and removed accounts.

        A removed or private book must not be visible while another book is built.  If the changes cannot be applied,
        everything is read from the database once.  If this reading fails for a tenant too, the tenant is not served
        until a later reading succeeds.
        """
        async with self._reading:
            if self._is_sound:
                try:
                    await self._publish_changes()
                except Exception as error:
                    if isinstance(error, (CancelledError, StoreError)):
                        raise
                    self._is_sound = False
                    log.failure(
                        "publishing the changes of the database failed; the gateway reads the whole database again",
                        event="changes_not_published",
                    )
                else:
                    return
            await self._publish_anew()

    async def _publish_changes(self) -> None:
        while not await self._read_state():
            pass
        if self._outdated_phones and self._catalog.snapshot.loaded:
            # The logins are published before the directories are built, because a phone whose login was removed must be
            # refused at once.
            self._replace_snapshot({}, logins=await self._make_changed_logins())
        self._note_position()
        await self._publish_directories(defer_merge=True)

    def _note_position(self) -> None:
        """Store the number of the next change: the published logins contain all earlier changes."""
        cursor = self._books.state.cursor
        self._position = cursor.next if cursor is not None else 0

    async def _publish_anew(self) -> None:
        """Publish the content of the database, without using the state that was read before.

        A state that is updated by differences is wrong after the first difference that was not applied.  If a tenant's
        accounts and phones cannot be read, or its directory cannot be made, the tenant is not served: its phones must
        not use a login that an administrator may have removed.
        """
        unserved: dict[str, Failure] = {}
        for tenant in self._books.contexts:
            try:
                await self._store.read(AccountState.read, (tenant,))
            except Exception as error:
                if isinstance(error, (CancelledError, StoreError)):
                    raise
                unserved[tenant] = Failure()
        self._books.begin_anew(await self._store.read(AccountState.read, self._books.contexts.keys() - unserved))
        self.version += 1
        present = self._books.state.accounts.keys()
        self._unserved_since = {
            account_id: since for account_id, since in self._unserved_since.items() if account_id in present
        }
        directories: list[Directory] = []
        logins: dict[str, PhoneAccess] = {}
        for tenant in self._books.contexts:
            context = self._books.context(tenant)
            try:
                names = [name for name, login in self._books.state.phones.items() if login.tenant == tenant]
                made = {name.lower(): login for name in names if (login := self._make_login(name))}
                directory = Directory(context, self._books.of_tenant(tenant), {}, defer_merge=True)
            except Exception:  # noqa: BLE001  after any error, the other tenants are served
                unserved[tenant] = Failure()
                made, directory = {}, Directory(context, ())
            logins |= made
            directories.append(directory)
        self._note_unserved(unserved)
        self._is_sound = not unserved
        self._outdated_phones.clear()
        before = self._catalog.snapshot
        published = replace(
            before,
            dit=Dit(tuple(directories), self._features),
            logins=logins,
            freshness=self._freshness,
            unserved=frozenset(unserved),
        )
        self._on_publish(self._catalog.publish(published, before.logins.keys() | logins.keys()))
        self._note_position()

    def _note_unserved(self, unserved: Mapping[str, Failure]) -> None:
        """Log which tenants are not served from now on, and which tenants are served again."""
        before = self._catalog.snapshot.unserved
        for tenant in sorted(unserved.keys() - before):
            log.failure(
                "the accounts and phones of tenant {tenant} cannot be read: its phones are not served",
                unserved[tenant],
                event="tenant_unserved",
                tenant=tenant,
            )
        for tenant in sorted(before - unserved.keys()):
            log.info("tenant {tenant} is served again", event="tenant_served", tenant=tenant)

    async def build(self, account_id: int | None = None) -> None:
        """Build the books that have changed, and publish them; a slow build does not delay other books.

        When the book of an account cannot be built, its former book stays, and other books are not affected.

        :param account_id: the account whose books to build, or None for all accounts.
        """
        # Phones wait for the end of the start.  So a start saves no books to the cache; the next refresh saves the
        # books a moment later.
        is_start = not self._catalog.snapshot.loaded
        await self._books.delete_orphans(is_start=is_start)
        await self._books.update(account_id, self._publish_built, None if is_start else self._next_turn)
        has_read_all = account_id is None and self._books.state.cursor is not None
        is_settled = has_read_all and self._freshness is not Freshness.CURRENT
        if is_start or is_settled:
            # Other calls may have begun builds.  Before the end of a start, and before the content counts as current,
            # wait for these builds.
            await self._books.wait()
        async with self._publishing:
            await self._merge_and_publish()
            await self._books.free_replaced()
        if not is_start:
            await self._books.save()
        if is_settled:
            self._freshness = Freshness.CURRENT
            self._replace_snapshot({})

    async def publish_file_books(self) -> None:
        """Publish the books of files that have changed; during a start, leave these books to the start."""
        await self._publish_built()
        async with self._publishing:
            await self._books.free_replaced()

    async def load_saved(self, saved: SavedLogins) -> None:
        """Serve the cached books and former logins, as long as the store cannot be read."""
        self._freshness = Freshness.STALE
        found = Changes(
            None,
            is_whole=True,
            accounts={account.id: account.account() for account in saved.accounts},
            phones={login.name: login.login() for login in saved.logins},
        )
        self._apply(found, saved.with_directory)
        await self._books.load_all()
        await self._merge_and_publish()

    def expire(self) -> bool:
        """Stop serving from the snapshot of logins, unless the store was read since the gateway started.

        The next `refresh` then reads everything, as at a start of the gateway.

        :returns: whether the publisher has stopped serving.
        """
        if self._freshness is not Freshness.STALE or self._books.state.cursor is not None:
            return False
        self._freshness = Freshness.EXPIRED
        self._books.clear()
        self._unserved_since.clear()
        names = self._catalog.snapshot.logins.keys()
        nothing = Snapshot(Dit((), self._features), freshness=Freshness.EXPIRED)
        self._on_publish(self._catalog.publish(nothing, names))
        return True

    # --- changes of the store -----------------------------------------------------------------------------------------

    async def _read_state(self) -> bool:
        """Read the changes of the store; return False if everything has to be read, because `expire` was called."""
        state = self._books.state
        found, with_directory = await self._store.read(read_changes, state.cursor)
        if found.has_gone_back and found.cursor is not None:
            await self._store.run(changes.begin_epoch, found.cursor.history.epoch)
            found, with_directory = await self._store.read(read_changes, None)
        if state.cursor is not None and found.cursor is not None and found.cursor.history != state.cursor.history:
            log.warn(
                "the database was replaced, or has lost its latest changes; the gateway rebuilds all books",
                event="database_replaced",
            )
        gone = self._gone(found)
        # A start applies all changes in one part, because nobody is served before the end of the start.
        parts = state.parts(found, _CHANGES_AT_ONCE) if self._catalog.snapshot.loaded else (found,)
        for number, part in enumerate(parts):
            if number:
                await self._next_turn()
            if self._books.state is not state:
                return False
            self._apply(part, with_directory)
        if gone:
            self._on_gone(gone)
        return True

    def _gone(self, found: Changes) -> list[tuple[str, str]]:
        """Return the tenant and the sub of each account that is no longer connected, or was removed.

        If the whole database was read instead of the changes, no account is returned.  The database may have been
        restored from a backup, and nobody has removed the accounts that are missing in the backup.
        """
        present = found.accounts if not found.is_whole else {}
        known = self._books.state.accounts
        return [
            known[account_id].identity
            for account_id, account in present.items()
            if account_id in known and (account is None or not account.is_connected)
        ]

    def _apply(self, found: Changes, with_directory: Collection[int]) -> None:
        """Apply changes, and record the time of each account's first change that phones cannot find yet."""
        update = self._books.apply(found, with_directory)
        if update.accounts or update.tenants or update.phones:
            self.version += 1
        self._outdated_phones |= update.phones
        now, present = self._seconds(), self._books.state.accounts.keys()
        for account_id in update.accounts:
            if account_id in present:
                self._unserved_since.setdefault(account_id, now)
            else:
                self._unserved_since.pop(account_id, None)

    # --- the snapshot -------------------------------------------------------------------------------------------------

    async def _publish_built(self) -> None:
        """Publish the built books; a start publishes all books together."""
        if self._books.unpublished and self._catalog.snapshot.loaded:
            async with self._publishing:
                await self._merge_and_publish()

    async def _merge_and_publish(self) -> None:
        # Phones wait for the end of the start.  So a start publishes all books together, and leaves the merging of
        # segments, which only speeds up searches, to the next refresh a moment later.
        is_start = not self._catalog.snapshot.loaded
        await self._publish_directories(defer_merge=is_start, ends_start=is_start)

    async def _publish_directories(self, *, defer_merge: bool, ends_start: bool = False) -> None:
        """Publish the directories of the tenants whose books have changed, and the changed logins.

        :param defer_merge: whether to leave segments unmerged.
        :param ends_start: whether this call ends the start, and so publishes all directories together.
        """
        waiting = sorted(self._books.unpublished, reverse=True)
        while True:
            made: dict[str, Directory] = {}
            count = 0
            while waiting and (ends_start or count < _BOOKS_AT_ONCE):
                tenant = waiting.pop()
                made[tenant] = await self._make_directory(tenant, defer_merge=defer_merge)
                count += len(made[tenant].books)
            for tenant, directory in sorted(made.items()):
                served = self._catalog.dit().directory(tenant)
                if not self._is_present(directory):
                    # An account was removed, or a group got other members, since the directory was begun.
                    waiting.append(tenant)
                    del made[tenant]
                elif served is not None and self._is_present(served) and not served.needs_merge:
                    made[tenant] = served
            self._books.unpublished -= {name for name, directory in made.items() if not directory.needs_merge}
            # After the start, only `_publish_changes` publishes logins: all changed logins together.
            logins = {} if self._catalog.snapshot.loaded else await self._make_changed_logins()
            self._replace_snapshot(made, loaded=not waiting if ends_start else None, logins=logins)
            self._note_served(made, is_start=ends_start)
            if not waiting:
                return
            await self._next_turn()

    async def _make_directory(self, tenant: str, *, defer_merge: bool) -> Directory:
        """Return a tenant's directory with the present books; the served directory is reused if possible."""
        served = self._catalog.dit().directory(tenant)
        if served is not None and self._is_present(served) and (defer_merge or not served.needs_merge):
            return served
        books, context = self._books.of_tenant(tenant), self._books.context(tenant)
        run = self._publish_off_thread if defer_merge else self._run_off_thread
        made: Directory = await run(Directory, context, books, _shared_books(served), defer_merge=defer_merge)
        return made

    def _is_present(self, directory: Directory) -> bool:
        """Return whether a directory has its tenant's present books, and its tenant's present groups."""
        tenant = directory.context.name
        return (directory.books, directory.context) == (self._books.of_tenant(tenant), self._books.context(tenant))

    def _replace_snapshot(
        self,
        replaced: Mapping[str, Directory],
        *,
        loaded: bool | None = None,
        logins: Mapping[str, PhoneAccess | None] = MappingProxyType({}),
    ) -> None:
        """Replace the catalog's snapshot by a snapshot with other directories and logins.

        :param replaced: the new directories by tenant.
        :param loaded: whether all books have been built since the start, or None if the former value stays.
        :param logins: the changed logins (`_make_changed_logins`).
        """
        snapshot = self._catalog.snapshot
        served = {directory.context.name: directory for directory in snapshot.dit.directories}
        served |= {tenant: directory for tenant, directory in replaced.items() if tenant not in snapshot.unserved}
        dit, directories = snapshot.dit, [served[tenant] for tenant in self._books.contexts if tenant in served]
        if not (len(dit.directories) == len(directories) and all(map(is_, dit.directories, directories))):
            dit = Dit(tuple(directories), self._features)
        self._outdated_phones -= logins.keys()
        names = {name.lower() for name in logins}
        served_logins = snapshot.logins
        if names:
            present = {login.name.lower(): login for login in logins.values() if login is not None}
            # A loop over all logins would take milliseconds.
            served_logins = {**served_logins, **present}
            for name in names - present.keys():
                served_logins.pop(name, None)
        is_loaded = snapshot.loaded if loaded is None else loaded
        published = replace(snapshot, dit=dit, logins=served_logins, loaded=is_loaded, freshness=self._freshness)
        self._on_publish(self._catalog.publish(published, names))

    async def _make_changed_logins(self) -> Mapping[str, PhoneAccess | None]:
        """Return the access of each phone whose login has changed, or None for a phone that is gone.

        The logins are made in several turns of the reactor, but published together: if a phone was renamed, its former
        and its present name belong together.  Meanwhile the state does not change, because `publish_accounts` makes one
        call at a time.  During a start, the logins are made in one turn, because nobody is served yet.
        """
        made: dict[str, PhoneAccess | None] = {}
        for number, names in enumerate(chunks(tuple(self._outdated_phones), _LOGINS_AT_ONCE)):
            if number and self._catalog.snapshot.loaded:
                await self._next_turn()
            made |= {name: self._make_login(name) for name in names}
        return made

    def _make_login(self, name: str) -> PhoneAccess | None:
        """Return the access of a phone, or None if there is no such phone."""
        state = self._books.state
        login = state.phones.get(name)
        if login is None:
            return None
        return make_login(login, self._books.context(login.tenant), state.books_of_phone(login))

    def _note_served(self, tenants: Collection[str], *, is_start: bool) -> None:
        """Report the waiting times of changes that phones of some tenants can find now."""
        now = self._seconds()
        for account_id, since in list(self._unserved_since.items()):
            if account_id in self._books.outdated or self._books.is_building(account_id):
                continue
            tenant = self._books.state.accounts[account_id].tenant
            if tenant in tenants or tenant not in self._books.unpublished:
                del self._unserved_since[account_id]
                if not is_start:
                    self._observe_lag(now - since)


def _shared_books(served: Directory | None) -> Mapping[Sharing, SharedBooks]:
    return {} if served is None else served.shared_books


def make_login(login: PhoneLogin, context: NamingContext, own_books: tuple[str, ...]) -> PhoneAccess:
    """Return the access of a phone or a replica that may bind.

    :param own_books: the keys of the books of the phone's accounts in order; empty if the phone has no account.
    """
    if login.replica is not None:
        content = ReplicaAccess(login.tenant, login.replica.private, login.replica.extra_values)
        viewer = Viewer(str(replica_dn(login.name, context.base)), replica=content)
        return PhoneAccess(login.name, login.password, viewer)
    viewer = Viewer(
        str(phone_dn(login.name, context.base)),
        (Access(login.tenant, own_books),),
        per_number=login.numbers is NumberMode.ENTRIES,
        number_formatter=number_formatter(login.number_format, context),
        area_code=login.area_code,
    )
    return PhoneAccess(login.name, login.password, viewer, login.book_secret, login.next_password)
