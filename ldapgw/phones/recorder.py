# SPDX-License-Identifier: MIT
"""The service that records phones: it gets what their connections receive and send, and writes the files.

A command or a page asks for a recording in the database (`ldapgw.store.recordings`).  While a phone is recorded, the
LDAP server reports the octets of all connections to a `_ConnectionTap` each, which drops what is of other phones.
Messages are kept in memory, without passwords, and written when the recording ends: with stand-ins for names and
numbers, unless the recording is plain.  A recording that a restart has interrupted begins anew.

Mutable: `PhoneRecorder`, `_ConnectionTap`, `_Capture`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.directory.access import NamingContext, Viewer
from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.errors import ProtocolViolation, StoreError
from ldapgw.ldap.connection_core import Tap
from ldapgw.ldap.framing import Framer
from ldapgw.phones.recording import (
    RecordedMessage,
    Recording,
    bind_name,
    collect_entries,
    dump,
    exchanges,
    load,
    storable,
)
from ldapgw.phones.replay import MAX_RESPONSE
from ldapgw.phones.stand_ins import stand_in_text
from ldapgw.store import phones, recordings
from ldapgw.store.files import replace_file
from ldapgw.store.recordings import StoredRecording
from ldapgw.store.worker import Store

# The folder of the files, in the state directory.
FOLDER: Final = "recordings"
# Octets of the messages of one recording; a phone's search and its answer have some 10 KB.
MAX_OCTETS: Final = 4 << 20
# Octets that are kept of a connection until it is known whose it is.
MAX_UNKNOWN: Final = 64 << 10
# Octets of the longest request that is kept.
_MAX_REQUEST: Final = 64 << 10
DAY: Final = 86400.0
MAX_AGE_SECONDS: Final = 7 * DAY
POLL_SECONDS: Final = 1.0
_CLEAN_SECONDS: Final = 3600.0

log = Logger()


def recording_file(folder: Path, phone: str) -> Path:
    """The file of a phone's recording.

    :param folder: of the recordings.
    :param phone: the phone's name, as it is stored.
    """
    return folder / f"{phone}.jsonl"


@dataclass(slots=True)
class _Capture:
    """What was recorded of one phone until now.

    :ivar began: the clock's seconds at the beginning.
    :ivar left_out: messages that cannot be kept.
    """

    stored: StoredRecording
    login: str
    began: float
    messages: list[RecordedMessage] = field(default_factory=list)
    octets: int = 0
    left_out: int = 0
    is_cut: bool = False

    def add(self, messages: list[RecordedMessage], left_out: int) -> None:
        for message in messages:
            if message.at > self.stored.until:
                continue
            self.octets += len(message.octets)
            self.is_cut = self.is_cut or self.octets > MAX_OCTETS
            if not self.is_cut:
                self.messages.append(replace(message, at=max(0.0, message.at - self.began)))
        self.left_out += left_out


@dataclass(frozen=True, slots=True)
class CapturedMessages:
    """What one process of the gateway has recorded of a phone for a moment.

    :ivar begun_at: tells which recording of the phone it is.
    :ivar messages: with times in seconds since the epoch.
    :ivar left_out: messages that cannot be kept.
    """

    begun_at: float
    messages: tuple[RecordedMessage, ...]
    left_out: int


class Captures:
    """The phones that are recorded now, and what the LDAP server reports of their connections.

    :param now: returns the seconds since the epoch.
    :param tap: passes what makes a tap of a connection to the LDAP server; None: nothing is recorded.
    :ivar by_login: by the phone's DN.
    :ivar connections: the numbers of connections in files.
    """

    def __init__(self, now: Callable[[], float], tap: Callable[[Callable[[], Tap] | None], None]) -> None:
        self.by_login: dict[str, _Capture] = {}
        self.connections = count(1)
        self.now = now
        self._tap = tap
        # The numbers of other processes' connections here, by process and number there.
        self._numbers: dict[tuple[int, int], int] = {}

    def named(self, name: str) -> _Capture | None:
        """The capture of the phone that binds with a name; None: it is not recorded."""
        spelt = name.lower()
        captures = self.by_login.values()
        return next((one for one in captures if spelt in (one.login.lower(), one.stored.phone.lower())), None)

    def set(self, captures: dict[str, _Capture]) -> None:
        """Record these phones from now on, and no others."""
        before, self.by_login = self.by_login, captures
        if bool(before) != bool(captures):
            self._tap((lambda: _ConnectionTap(self)) if captures else None)

    def recordings(self) -> Mapping[str, StoredRecording]:
        """What is recorded, for `follow` in another process of the gateway."""
        return {login: capture.stored for login, capture in self.by_login.items()}

    def follow(self, recordings: Mapping[str, StoredRecording]) -> None:
        """Record what another process of the gateway records."""
        captures: dict[str, _Capture] = {}
        for login, stored in recordings.items():
            before = self.by_login.get(login)
            if before is None or before.stored.begun_at != stored.begun_at:
                before = _Capture(stored, login, began=0.0)
            before.stored = stored
            captures[login] = before
        self.set(captures)

    def take(self) -> Mapping[str, CapturedMessages]:
        """What was recorded since the last call, by the phone's DN."""
        taken: dict[str, CapturedMessages] = {}
        for login, capture in self.by_login.items():
            if capture.messages or capture.left_out:
                taken[login] = CapturedMessages(capture.stored.begun_at, tuple(capture.messages), capture.left_out)
                capture.messages, capture.octets, capture.left_out = [], 0, 0
        return taken

    def add(self, process: int, recorded: Mapping[str, CapturedMessages]) -> None:
        """Add what another process of the gateway has recorded; its connections get numbers of this process."""
        for login, added in recorded.items():
            capture = self.by_login.get(login)
            if capture is None or capture.stored.begun_at != added.begun_at:
                continue
            messages = []
            for message in added.messages:
                key = process, message.connection
                if key not in self._numbers:
                    self._numbers[key] = next(self.connections)
                messages.append(replace(message, connection=self._numbers[key]))
            capture.add(messages, added.left_out)
        if not self.by_login:
            self._numbers.clear()


class PhoneRecorder(Service):
    """Records phones, and keeps the files for a week.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param folder: of the files.
    :param snapshot: returns what is served now.
    :param contexts: the naming context of each tenant by its name.
    :param attribute_aliases: the further names of attributes that tenants have configured.
    :param captures: of the phones that are recorded now.
    :param run_off_thread: calls a function with its arguments on another thread than the reactor's.
    :param run_in_process: the same in another process, for what calculates for seconds.
    :param version: of ldapgw, for the files.
    :param on_change: called with the DN of a login whose recording has begun or ended.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        folder: Path,
        snapshot: Callable[[], Snapshot],
        contexts: Mapping[str, NamingContext],
        attribute_aliases: Mapping[str, str],
        captures: Captures,
        run_off_thread: Callable[..., Awaitable[Any]],
        run_in_process: Callable[..., Awaitable[Any]],
        version: str,
        on_change: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._store = store
        self._folder = folder
        self._snapshot = snapshot
        self._contexts = contexts
        self._attribute_aliases = attribute_aliases
        self._captures = captures
        self._run_off_thread = run_off_thread
        self._run_in_process = run_in_process
        self._version = version
        self._on_change = on_change
        self._writing: set[str] = set()
        self._names: frozenset[str] | None = None  # of the phones that have a recording
        self._timers = (
            (LoopingCall(self._end_due), POLL_SECONDS),
            (LoopingCall(self._run, self._delete_old), _CLEAN_SECONDS),
        )
        for timer, _ in self._timers:
            timer.clock = clock

    def startService(self) -> None:
        super().startService()
        for timer, seconds in self._timers:
            timer.start(seconds)

    def stopService(self) -> None:
        """Stop recording; what is not written begins anew at the next start."""
        super().stopService()
        for timer, _ in self._timers:
            if timer.running:
                timer.stop()
        self._captures.set({})

    async def refresh(self) -> None:
        """Record what the database asks for, and delete the files that it knows no more.

        :raises StoreError: when the database cannot be used.
        """
        known = await self._store.read(recordings.read_all)
        logins = self._snapshot().logins
        captures = {}
        for stored in known:
            access = logins.get(stored.phone.lower())
            if access is None or stored.written_at is not None or stored.phone in self._writing:
                continue
            login = access.viewer.login
            before = self._captures.by_login.get(login)
            if before is not None and before.stored.begun_at == stored.begun_at:
                before.stored = stored  # it may end earlier
                captures[login] = before
            else:
                captures[login] = _Capture(stored, login, self._clock.seconds())
        self._set(captures)
        names = frozenset(stored.phone for stored in known)
        if names != self._names:
            await self._run_off_thread(_delete_others, self._folder, names)
            self._names = names
        self._end_due()

    async def read_file(self, phone: str) -> bytes | None:
        """The file of a recording with stand-ins; None: there is none."""
        stored = await self._store.read(recordings.read, phone)
        if stored is None or stored.written_at is None or stored.is_plain:
            return None
        content: bytes | None = await self._run_off_thread(_read_file, recording_file(self._folder, phone))
        return content

    def _set(self, captures: dict[str, _Capture]) -> None:
        before = self._captures.by_login
        self._captures.set(captures)
        for login in captures.keys() - before.keys():
            log.info("phone {phone} is being recorded", event="recording_started", phone=captures[login].stored.phone)
        for login in before.keys() ^ captures.keys():
            self._on_change(login)

    async def _delete_old(self) -> None:
        await self._store.run(recordings.remove_older, self._clock.seconds() - MAX_AGE_SECONDS)
        await self.refresh()

    def _end_due(self) -> None:
        """Stop the recordings that have ended, and begin to write their files, which may take a minute."""
        now = self._clock.seconds()
        due = [capture for capture in self._captures.by_login.values() if capture.stored.until <= now]
        if due:
            self._set({login: capture for login, capture in self._captures.by_login.items() if capture not in due})
        for capture in due:
            self._writing.add(capture.stored.phone)
            self._run(partial(self._finish, capture))

    async def _finish(self, capture: _Capture) -> None:
        try:
            await self._write(capture)
        except StoreError:  # the database is away, or the gateway ends: the recording begins anew
            raise
        except Exception:
            await self._store.run(recordings.remove, capture.stored.phone)
            self._names = None  # a file may be there, and has to go
            await self.refresh()
            raise
        finally:
            self._writing.discard(capture.stored.phone)
            self._on_change(capture.login)

    async def _write(self, capture: _Capture) -> None:
        stored = capture.stored
        access = self._snapshot().logins.get(stored.phone.lower())
        login = await self._store.read(phones.read_by_name, stored.phone)
        if access is None or login is None:  # the phone was removed meanwhile, and its recording with it
            return
        context, dit = self._contexts[login.tenant], self._snapshot().dit
        text = await self._run_off_thread(self._plain_text, capture, dit, access.viewer, context, login.model)
        if not stored.is_plain:
            text = await self._run_in_process(stand_in_text, text)
        searches = await self._run_off_thread(_write_file, recording_file(self._folder, stored.phone), text)
        if not await self._store.run(recordings.set_written, stored, self._clock.seconds(), searches):
            self._names = None  # the recording was removed meanwhile, and its file has to go
            await self.refresh()
        log.info(
            "recording of phone {phone}: {searches} searches written",
            event="recording_written",
            tenant=login.tenant,
            phone=stored.phone,
            searches=searches,
        )

    def _plain_text(self, capture: _Capture, dit: Dit, viewer: Viewer, context: NamingContext, model: str) -> str:
        directory = dit.directory(context.name)
        book = directory.own_book(viewer.access[0]) if directory is not None else None
        messages = tuple(capture.messages)
        return dump(
            Recording(
                context=context,
                login=viewer.login,
                own_book=book.name if book is not None else "",
                per_number=viewer.per_number,
                number_format=viewer.number_formatter.target if viewer.number_formatter else None,
                model=model,
                attribute_aliases=self._attribute_aliases,
                messages=messages,
                entries=collect_entries(messages, dit, viewer, context),
                left_out=capture.left_out,
                version=self._version,
                is_cut=capture.is_cut,
            )
        )

    def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """Run a coroutine and log its failure, so that the timer goes on."""
        return Deferred.fromCoroutine(work()).addErrback(_log_failure)


class _ConnectionTap:
    """Collects the messages of one connection, and hands over those of a phone that is recorded (`Tap`)."""

    def __init__(self, captures: Captures) -> None:
        self._captures = captures
        self._number = 0
        self._reset()

    def _reset(self) -> None:
        self._framers = {False: Framer(_MAX_REQUEST), True: Framer(MAX_RESPONSE)}
        self._messages: list[RecordedMessage] = []
        self._octets = self._left_out = 0
        self._named: _Capture | None = None
        self._is_readable = self._is_new = True

    def __call__(self, login: str, is_sent: bool, octets: bytes) -> None:  # noqa: FBT001 - as `Tap` has it
        capture = self._captures.by_login.get(login)
        if login and capture is None:  # another phone's
            if not self._is_new:
                self._reset()
            return
        self._is_new = False
        if self._is_readable:
            self._collect(is_sent=is_sent, octets=octets)
        if capture is None and is_sent:
            capture, self._named = self._named, None  # a bind was refused
        if capture is not None:
            self._hand_over(capture)
        elif self._octets > MAX_UNKNOWN:
            self._messages.clear()
            self._octets = self._left_out = 0

    def _collect(self, *, is_sent: bool, octets: bytes) -> None:
        framer, now = self._framers[is_sent], self._captures.now()
        framer.feed(octets)
        try:
            while (message := framer.take()) is not None:
                kept = message if is_sent else storable(message)
                if kept is None:
                    self._left_out += 1
                    continue
                if not is_sent and (name := bind_name(kept)):
                    self._named = self._captures.named(name)
                self._octets += len(kept)
                self._messages.append(RecordedMessage(now, 0, not is_sent, kept))
        except ProtocolViolation:
            self._is_readable = False
            self._left_out += 1

    def _hand_over(self, capture: _Capture) -> None:
        if self._messages and not self._number:
            self._number = next(self._captures.connections)
        capture.add([replace(message, connection=self._number) for message in self._messages], self._left_out)
        self._messages.clear()
        self._octets = self._left_out = 0


def _delete_others(folder: Path, names: Collection[str]) -> None:
    """Delete the files that belong to no recording."""
    files = {recording_file(folder, name) for name in names}
    for file in folder.glob("*.jsonl*") if folder.is_dir() else ():
        if file not in files:
            file.unlink(missing_ok=True)


def _write_file(file: Path, text: str) -> int:
    """Write a file that nobody else may read; returns how many searches it has."""
    searches = len(exchanges(load(text)))
    file.parent.mkdir(mode=0o700, exist_ok=True)
    with replace_file(file) as new:
        new.write_text(text, encoding="utf-8")
    return searches


def _read_file(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _log_failure(failure: Failure) -> None:
    if not failure.check(StoreError):  # the store reports its own errors
        log.failure("recording a phone failed", failure, event="recording_failed")
