# SPDX-License-Identifier: MIT
"""The books of configured files: read when the gateway starts, and read again when a file changes.

Every gateway reads its own copy of each file, whatever its roles are.  A file with a problem is not used: the gateway
serves the last good book, which is also in the cache, until the file is fixed.

Mutable: `FileBooks`, which keeps the state of each file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.directory.inet_org_person import forget_values
from ldapgw.errors import ProcessLost
from ldapgw.files.card import TEXTS, FileProblem
from ldapgw.files.reading import FilePreview, FileReport, FileStatus, compare, read_contacts
from ldapgw.store.files import copy_owner, flush_to_disk, replace_file
from ldapgw.store.periodic import PeriodicService
from ldapgw.sync.account_books import AccountBooks
from ldapgw.sync.book_builder import FileTask, build_file_book, file_version, load_file_book, read_file
from ldapgw.sync.book_cache import BookCache, BuiltBook

log = Logger()

# The seconds between two checks for changed files.
CHECK_SECONDS = 2.0
# The seconds after which a file with a problem is read again, although the file has not changed: the disk may have
# failed, or the machine may have been short of memory.
RETRY_SECONDS = 3600.0
# A file with at least this many octets (some thousand lines) is read in another process.
MIN_PROCESS_OCTETS = 256 << 10

# The ending of the name of the file that an upload has replaced.
BACKUP = ".bak"


@dataclass(slots=True)
class _FileState:
    """A file, as it was last read.

    :ivar task: the task by which the book was last built.
    :ivar report: the outcome of the last reading, or None before the first reading.
    :ivar pending: the version of a changed file, or None.  The file is read if the next check finds the same version,
        because another program may still be writing the file.
    :ivar tried_at: when the last reading ended.
    :ivar served: see `FileStatus`, which also explains `read_at` and `since`.
    """

    task: FileTask
    report: FileReport | None = None
    pending: int | None = None
    tried_at: float = 0.0
    served: int | None = None
    read_at: float | None = None
    since: float | None = None


class FileBooks(PeriodicService):
    """The service that reads the files that have changed, every `CHECK_SECONDS`.

    :param clock: counts seconds since the epoch.
    :param books: the object that keeps the built books.
    :param publish: publishes the changed books.
    :param look_off_thread: calls a function with its arguments on a thread that a slow disk may block.
    :param run_off_thread: calls a function with its arguments on the thread that builds books.
    :param build_in_process: builds the book of a task into the cache in another process
        (`ldapgw.sync.book_builder.build_cached_file_book`), or None if no other process is used.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        tasks: Sequence[FileTask],
        books: AccountBooks,
        publish: Callable[[], Awaitable[None]],
        look_off_thread: Callable[..., Awaitable[Any]],
        run_off_thread: Callable[..., Awaitable[Any]],
        cache: BookCache,
        build_in_process: Callable[..., Awaitable[FileReport]] | None = None,
    ) -> None:
        self._now = clock.seconds
        self._files = {(task.context.name, task.name): _FileState(task) for task in tasks}
        self._books = books
        self._publish = publish
        self._look_off_thread = look_off_thread
        self._run_off_thread = run_off_thread
        self._cache = cache
        self._build_in_process = build_in_process
        self._reading = DeferredLock()
        failed = partial(log.failure, "checking the files for changes failed", event="file_check_failed")
        super().__init__(clock, CHECK_SECONDS, self.check, failed, now=False)

    def statuses(self, tenant: str = "") -> tuple[FileStatus, ...]:
        """Return the state of each file of a tenant, or of all files."""
        return tuple(
            FileStatus(
                name,
                state.task.name,
                str(state.task.path),
                state.task.sharing,
                state.report or FileReport(0),
                state.served,
                state.read_at,
                state.since,
            )
            for (name, _), state in self._files.items()
            if tenant in ("", name)
        )

    async def load(self) -> None:
        """Set the books from the cache, and read the files that have changed since; the caller publishes the books.

        A file that is missing or has a problem never stops the start.
        """
        await self._run_off_thread(self._cache.prune_files, [state.task.cache_name for state in self._files.values()])
        for state in self._files.values():
            cached = await self._load_cached(state)
            if cached is not None:
                self._put(state, cached)
            version: int = await self._look_off_thread(file_version, state.task.path)
            if cached is not None and cached.generation == version:
                state.report = FileReport(version, len(cached.book))
            else:
                await self._read(state)

    async def _load_cached(self, state: _FileState) -> BuiltBook | None:
        # At a start, the gateway does not know yet whether phones need one entry for each number.
        for task in (state.task, replace(state.task, per_number=True)):
            cached: BuiltBook | None = await self._run_off_thread(load_file_book, self._cache, task)
            if cached is not None:
                state.task = task
                return cached
        return None

    async def check(self) -> None:
        """Read the files that have changed, and publish their books."""
        async with self._reading:
            is_changed = False
            for state in self._files.values():
                per_number = self._books.state.needs_numbers(state.task.context.name)
                version: int = await self._look_off_thread(file_version, state.task.path)
                is_read = self._is_read(state, version)
                is_settled = is_read or state.pending == version
                state.pending = None if is_read else version
                if (not is_read and is_settled) or per_number != state.task.per_number:
                    state.task = replace(state.task, per_number=per_number)
                    await self._read(state)
                    is_changed = True
            if is_changed:
                await self._publish()

    def _is_read(self, state: _FileState, version: int) -> bool:
        """Return whether a version of a file was read already, and need not be read again now."""
        if state.report is None or state.report.version != version:
            return False
        return state.report.is_good or self._now() - state.tried_at < RETRY_SECONDS

    async def replace_content(self, tenant: str, name: str, octets: bytes, version: int) -> bool:
        """Replace a file, keep the former file with the ending `BACKUP`, and serve the new contacts.

        :param version: the version of the file that is replaced.
        :returns: False if the file has another version now; then nothing is changed.
        :raises OSError: when the file cannot be written; then nothing is changed.
        """
        state = self._files[tenant, name]
        async with self._reading:
            if not await self._look_off_thread(_replace_content, state.task.path, octets, version):
                return False
            await self._read(state)
            await self._publish()
        return True

    def task(self, tenant: str, name: str) -> FileTask:
        """Return the task of a file.

        :raises KeyError: when the tenant has no such file.
        """
        return self._files[tenant, name].task

    async def _read(self, state: _FileState) -> None:
        """Read a file, note and log the outcome, and set the book unless the file has a problem."""
        state.pending, before = None, state.report
        try:
            report, built = await self._build(state.task)
        except Exception as error:
            if isinstance(error, CancelledError):
                raise
            version: int = await self._look_off_thread(file_version, state.task.path)
            state.report, state.tried_at = _unread(version), self._now()
            state.since = state.tried_at if state.since is None else state.since
            log.failure(
                "the book of the file {name} cannot be built",
                event="file_book_failed",
                tenant=state.task.context.name,
                name=state.task.name,
            )
            return
        state.report, state.tried_at = report, self._now()
        if built is None:
            if before is None or (before.problems, before.problem_count) != (report.problems, report.problem_count):
                state.since = self._now()
                self._log_problem(state, report)
            return
        state.since, state.read_at = None, self._now()
        self._put(state, built)
        if before is not None:
            log.info(
                "tenant {tenant}: the file {name} was read: {contacts} contacts",
                event="file_read",
                tenant=state.task.context.name,
                name=state.task.name,
                contacts=report.contacts,
            )

    def _log_problem(self, state: _FileState, report: FileReport) -> None:
        served = "phones find the contacts that were read before" if state.served else "phones find nobody in its book"
        log.error(
            "tenant {tenant}: the file {name} ({file}): {problem} Until the file is fixed, {served}.",
            event="file_unfit",
            tenant=state.task.context.name,
            name=state.task.name,
            file=str(state.task.path),
            problem=report.summary,
            served=served,
        )

    async def _build(self, task: FileTask) -> tuple[FileReport, BuiltBook | None]:
        size: int = await self._look_off_thread(_size, task.path)
        if self._build_in_process is not None and size >= MIN_PROCESS_OCTETS:
            try:
                report = await self._build_in_process(task)
            except ProcessLost:
                log.warn(
                    "the process that reads the file {name} has ended unexpectedly",
                    event="file_process_ended",
                    tenant=task.context.name,
                    name=task.name,
                )
                # A file that needs too much time or memory must not be read in the gateway's own process.
                version: int = await self._look_off_thread(file_version, task.path)
                return _unread(version), None
            cached: BuiltBook | None = await self._run_off_thread(load_file_book, self._cache, task)
            if not report.is_good:
                return report, None
            if cached is not None and cached.generation == report.version:
                return report, cached
        found: tuple[FileReport, BuiltBook | None] = await self._run_off_thread(build_file_book, task)
        forget_values()
        report, built = found
        if built is not None:
            await self._run_off_thread(self._cache.save, task.cache_name, built)
        return report, built

    def _put(self, state: _FileState, built: BuiltBook) -> None:
        state.served = len(built.book)
        self._books.put_file_book(state.task.context.name, built.book)


def _unread(version: int) -> FileReport:
    """Return the report on a file whose book could not be built."""
    return FileReport(version, problems=(FileProblem(0, TEXTS.not_built),), problem_count=1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def preview_replacement(path: Path, octets: bytes, region: str) -> FilePreview:
    """Compare new octets with a file; called in another process, because reading the contacts takes long."""
    version, before = read_file(path, region)
    return compare(before, read_contacts(octets, region), version, may_replace=may_replace(path))


def may_replace(path: Path) -> bool:
    """Return whether the gateway may replace a file: a replacement creates a new file in the same folder."""
    file = _real_path(path)
    return os.access(file.parent, os.W_OK | os.X_OK) and not file.is_dir()


def _replace_content(path: Path, octets: bytes, version: int) -> bool:
    """Replace a file atomically, and keep the former file; return False if the file has another version."""
    if file_version(path) != version:
        return False
    file = _real_path(path)
    is_new = not file.exists()
    with replace_file(file) as new:
        new.write_bytes(octets)
        if not is_new:
            new.chmod(file.stat().st_mode & 0o777)
            copy_owner(new, file)
            # The former file gets a second name, so that there is a file with the configured name at any time.
            kept = file.with_name(file.name + BACKUP)
            kept.unlink(missing_ok=True)
            _keep(file, kept)
            flush_to_disk(file.parent)
    return True


def _real_path(path: Path) -> Path:
    """Return a path without symbolic links, so that a replacement keeps the link; a loop of links is no error."""
    return Path(os.path.realpath(path))


def _keep(file: Path, kept: Path) -> None:
    try:
        os.link(file, kept)
    except OSError:  # some file systems have no hard links
        shutil.copy2(file, kept)
