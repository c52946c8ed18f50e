# SPDX-License-Identifier: MIT
"""The service that records phones: it gets what their connections receive and send, stores it, and makes the files.

A command or a page asks for a recording in the database (`ldapgw.store.recordings`).  While a phone is recorded, the
LDAP server reports the octets of all connections to a `_ConnectionTap` each, which drops what is of other phones.
Each gateway stores the messages that it has recorded, without passwords, about once a second as parts.  A few seconds
after the end one of the gateways makes the file of all parts: with stand-ins for names and numbers, unless the
recording is plain.  Of a gateway that died, the file has what it had stored.  When the gateway that makes the file
dies, another one makes it.

Mutable: `PhoneRecorder`, `_ConnectionTap`, `_Capture`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import merge
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.directory.access import NamingContext, Viewer
from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.errors import ProcessLost, ProtocolViolation, StoreError, UnfitKey
from ldapgw.ldap.connection_core import Tap
from ldapgw.ldap.framing import Framer
from ldapgw.phones.recording import RecordedMessage, Recording, bind_name, collect_entries, exchanges, storable
from ldapgw.phones.recording_file import dump, load
from ldapgw.phones.replay import MAX_RESPONSE
from ldapgw.phones.stand_ins import stand_in_text
from ldapgw.store import phones, recordings
from ldapgw.store.recordings import RecordingPart, StoredRecording
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store

# The folder in the state directory where earlier versions kept the files.
FORMER_FOLDER: Final = "recordings"
# Octets of the messages of one recording; a phone's search and its answer have some 10 KB.
MAX_OCTETS: Final = 4 << 20
# Octets that are kept of a connection until it is known whose it is.
MAX_UNKNOWN: Final = 64 << 10
# Octets of the longest request that is kept.
_MAX_REQUEST: Final = 64 << 10
DAY: Final = 86400.0
MAX_AGE_SECONDS: Final = 7 * DAY
POLL_SECONDS: Final = 1.0
# Seconds after the end in which other processes may still report what was before.
LATE_SECONDS: Final = 2.0
# Seconds after the end when all gateways have stored their parts.
WRITE_SECONDS: Final = 4.0
_CLEAN_SECONDS: Final = 3600.0

log = Logger()


@dataclass(frozen=True, slots=True)
class CapturedMessages:
    """What one process, or one gateway, has recorded of a phone for a moment.

    :ivar begun_at: tells which recording of the phone it is.
    :ivar messages: with times in seconds since the epoch.
    :ivar left_out: messages that cannot be kept.
    :ivar cut: messages beyond `MAX_OCTETS`.
    """

    begun_at: float
    messages: tuple[RecordedMessage, ...] = ()
    left_out: int = 0
    cut: int = 0

    def __bool__(self) -> bool:
        return bool(self.messages or self.left_out or self.cut)


@dataclass(slots=True)
class _Capture:
    """What was recorded of one phone and is not stored, or passed on, yet.

    :ivar octets: of all messages, those that are stored included.
    """

    stored: StoredRecording
    login: str
    messages: list[RecordedMessage] = field(default_factory=list)
    octets: int = 0
    left_out: int = 0
    cut: int = 0

    def add(self, added: CapturedMessages) -> None:
        for message in added.messages:
            if message.at > self.stored.until:
                continue
            self.octets += len(message.octets)
            if self.octets > MAX_OCTETS:
                self.cut += 1
            else:
                self.messages.append(message)
        self.left_out += added.left_out
        self.cut += added.cut

    def waiting(self) -> CapturedMessages:
        return CapturedMessages(self.stored.begun_at, tuple(self.messages), self.left_out, self.cut)

    def drop(self, passed: CapturedMessages) -> None:
        """Forget what `waiting` has returned."""
        del self.messages[: len(passed.messages)]
        self.left_out -= passed.left_out
        self.cut -= passed.cut


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
                before = _Capture(stored, login)
            before.stored = stored
            captures[login] = before
        self.set(captures)

    def take(self) -> Mapping[str, CapturedMessages]:
        """What was recorded since the last call, by the phone's DN."""
        taken = {login: waiting for login, capture in self.by_login.items() if (waiting := capture.waiting())}
        for login, passed in taken.items():
            self.by_login[login].drop(passed)
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
            capture.add(replace(added, messages=tuple(messages)))
        if not self.by_login:
            self._numbers.clear()


class PhoneRecorder(Service):
    """Records phones, makes the files, and deletes them after a week.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param gateway_id: of this gateway.
    :param snapshot: returns what is served now.
    :param contexts: the naming context of each tenant by its name.
    :param attribute_aliases: the further names of attributes that tenants have configured.
    :param captures: of the phones that are recorded now.
    :param run_off_thread: calls a function with its arguments on another thread than the reactor's.
    :param run_in_process: the same in another process, for what calculates for seconds.
    :param version: of ldapgw, for the files.
    :param on_change: called with the DN of a login whose recording has changed.
    :param former_folder: where earlier versions kept the files.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        secret_box: SecretBox,
        gateway_id: str,
        snapshot: Callable[[], Snapshot],
        contexts: Mapping[str, NamingContext],
        attribute_aliases: Mapping[str, str],
        captures: Captures,
        run_off_thread: Callable[..., Awaitable[Any]],
        run_in_process: Callable[..., Awaitable[Any]],
        version: str,
        on_change: Callable[[str], None],
        former_folder: Path,
    ) -> None:
        self._clock = clock
        self._store = store
        self._secret_box = secret_box
        self._gateway_id = gateway_id
        self._snapshot = snapshot
        self._contexts = contexts
        self._attribute_aliases = attribute_aliases
        self._captures = captures
        self._run_off_thread = run_off_thread
        self._run_in_process = run_in_process
        self._version = version
        self._on_change = on_change
        self._former_folder = former_folder
        self._others: frozenset[str] = frozenset()
        self._known: frozenset[StoredRecording] = frozenset()
        self._writing: set[str] = set()
        self._sealed: set[tuple[str, float]] = set()  # phone and beginning of recordings that no key here opens
        self._number = 0  # of the next part
        self._storing = DeferredLock()
        self._timers = (
            (LoopingCall(self._store_and_make_if_idle), POLL_SECONDS),
            (LoopingCall(self._run, self._delete_old), _CLEAN_SECONDS),
        )
        for timer, _ in self._timers:
            timer.clock = clock

    def startService(self) -> None:
        super().startService()
        for timer, seconds in self._timers:
            timer.start(seconds)

    def stopService(self) -> Deferred[None]:
        """Stop recording, and store what was recorded; the next start, and other gateways, go on."""
        super().stopService()
        for timer, _ in self._timers:
            if timer.running:
                timer.stop()
        return self._run(self._store_captured).addBoth(lambda _: self._captures.set({}))

    def set_others(self, others: frozenset[str]) -> None:
        """Note the ids of the other gateways that live; the files of one that died are made by others."""
        self._others = others

    async def refresh(self) -> None:
        """Record what the database asks for.

        :raises StoreError: when the database cannot be used.
        """
        known = frozenset(await self._store.read(recordings.read_all))
        now = self._clock.seconds()
        captures = {}
        for stored in known:
            login = self._login(stored.phone)
            if login is None or stored.has_file:
                continue
            before = self._captures.by_login.get(login)
            if before is not None and before.stored.begun_at == stored.begun_at:
                before.stored = stored  # it may end earlier
                captures[login] = before
            elif now < stored.until:
                captures[login] = _Capture(stored, login)
        self._set(captures)
        changed, self._known = {stored.phone for stored in known ^ self._known}, known
        for login in filter(None, map(self._login, changed)):
            self._on_change(login)
        self._store_and_make_if_idle()

    def _login(self, phone: str) -> str | None:
        """The DN of a phone; None: it is not served."""
        access = self._snapshot().logins.get(phone.lower())
        return access.viewer.login if access is not None else None

    def _set(self, captures: dict[str, _Capture]) -> None:
        before = self._captures.by_login
        self._captures.set(captures)
        for login in captures.keys() - before.keys():
            phone = captures[login].stored.phone
            access = self._snapshot().logins[phone.lower()]
            log.info(
                "phone {phone} is being recorded", event="recording_started", tenant=access.viewer.tenant, phone=phone
            )
        for login in before.keys() - captures.keys():
            self._on_change(login)

    async def _delete_old(self) -> None:
        await self._store.run(recordings.remove_older, self._clock.seconds() - MAX_AGE_SECONDS)
        await self.refresh()
        with suppress(OSError):
            await self._run_off_thread(_delete_former_files, self._former_folder)

    def _store_and_make_if_idle(self) -> None:
        """Store parts and begin to make files, unless parts are being stored already."""
        if self.running and not self._storing.locked:
            self._run(self._store_and_make)

    async def _store_and_make(self) -> None:
        """Store parts, and begin to make the files of recordings that have ended, which may take long."""
        await self._store_captured()
        now = self._clock.seconds()
        captures = self._captures.by_login.items()
        self._set({login: one for login, one in captures if now < one.stored.until + LATE_SECONDS or one.waiting()})
        for stored in self._known:
            is_free = stored.writer not in self._others and stored.phone not in self._writing
            is_free = is_free and (stored.phone, stored.begun_at) not in self._sealed
            if not stored.has_file and stored.until + WRITE_SECONDS <= now and is_free:
                self._run(partial(self._make_file, stored))

    async def _store_captured(self) -> None:
        """Store what was recorded since the last call as parts.

        :raises StoreError: when the database cannot be used; the messages are kept for the next call.
        """
        await self._storing.acquire()
        try:
            captures = self._captures.by_login.values()
            waiting = [(capture, captured) for capture in captures if (captured := capture.waiting())]
            if waiting:
                parts = [(capture.stored, captured) for capture, captured in waiting]
                await self._store.run(_store_parts, self._secret_box, self._gateway_id, self._number, parts)
                self._number += 1
                for capture, captured in waiting:
                    capture.drop(captured)
        finally:
            self._storing.release()

    async def _make_file(self, stored: StoredRecording) -> None:
        """Make the file of a recording, unless another gateway makes it, and give up when that fails for good."""
        self._writing.add(stored.phone)
        try:
            await self._claim_and_write(stored)
        except UnfitKey:  # another gateway may have the key
            self._sealed.add((stored.phone, stored.begun_at))
            raise
        except StoreError:  # while the database is away, and when the gateway ends, the file waits
            raise
        except Exception:
            await self._store.run(recordings.give_up, stored, self._gateway_id)
            await self.refresh()
            raise
        finally:
            self._writing.discard(stored.phone)

    async def _claim_and_write(self, stored: StoredRecording) -> None:
        """Claim a recording, make one file of the parts of all gateways, and store that."""
        access = self._snapshot().logins.get(stored.phone.lower())
        if access is None:  # another gateway may serve the phone
            return
        login = await self._store.read(phones.read_by_name, stored.phone)
        if login is None:  # the phone was removed meanwhile, and its recording with it
            return
        parts = await self._store.run(
            recordings.claim, self._secret_box, stored, self._gateway_id, sorted(self._others)
        )
        if parts is None:
            return
        context, dit = self._contexts[login.tenant], self._snapshot().dit
        text = await self._run_off_thread(self._plain_text, stored, parts, dit, access.viewer, context, login.model)
        if not stored.is_plain:
            try:
                text = await self._run_in_process(stand_in_text, text)
            except ProcessLost:  # once more: the machine may have been short of memory
                text = await self._run_in_process(stand_in_text, text)
        searches = await self._run_off_thread(_count_searches, text)
        now = self._clock.seconds()
        is_written = await self._store.run(
            recordings.set_written, self._secret_box, stored, self._gateway_id, now, text, searches
        )
        if is_written:
            log.info(
                "recording of phone {phone}: {searches} searches written",
                event="recording_written",
                tenant=login.tenant,
                account=login.account_id,
                phone=stored.phone,
                searches=searches,
            )
        await self.refresh()

    def _plain_text(
        self,
        stored: StoredRecording,
        parts: Sequence[RecordingPart],
        dit: Dit,
        viewer: Viewer,
        context: NamingContext,
        model: str,
    ) -> str:
        captured = merge_parts(parts, stored.begun_at)
        directory = dit.directory(context.name)
        book = directory.own_book(viewer.access[0]) if directory is not None else None
        return dump(
            Recording(
                context=context,
                login=viewer.login,
                own_book=book.name if book is not None else "",
                per_number=viewer.per_number,
                number_format=viewer.number_formatter.target if viewer.number_formatter else None,
                model=model,
                attribute_aliases=self._attribute_aliases,
                messages=captured.messages,
                entries=collect_entries(captured.messages, dit, viewer, context),
                left_out=captured.left_out,
                version=self._version,
                is_cut=captured.cut > 0,
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
        messages = tuple(replace(message, connection=self._number) for message in self._messages)
        capture.add(CapturedMessages(capture.stored.begun_at, messages, self._left_out))
        self._messages.clear()
        self._octets = self._left_out = 0


def merge_parts(parts: Iterable[RecordingPart], begun_at: float) -> CapturedMessages:
    """What all gateways have recorded, in the order of the times, which count from the beginning.

    The messages of one gateway keep their order.  Connections get new numbers, and the size of all is limited.
    """
    by_gateway: dict[str, list[tuple[str, RecordedMessage]]] = {}
    left_out = cut = 0
    for part in parts:
        captured = msgspec.json.decode(part.content, type=CapturedMessages)
        by_gateway.setdefault(part.gateway, []).extend((part.gateway, message) for message in captured.messages)
        left_out, cut = left_out + captured.left_out, cut + captured.cut
    kept: list[RecordedMessage] = []
    numbers: dict[tuple[str, int], int] = {}
    octets = 0
    for gateway, message in merge(*by_gateway.values(), key=lambda pair: pair[1].at):
        octets += len(message.octets)
        if octets > MAX_OCTETS:
            cut += 1
            continue
        number = numbers.setdefault((gateway, message.connection), len(numbers) + 1)
        kept.append(replace(message, at=max(0.0, message.at - begun_at), connection=number))
    return CapturedMessages(begun_at, tuple(kept), left_out, cut)


def _store_parts(
    connection: Connection,
    secret_box: SecretBox,
    gateway_id: str,
    number: int,
    parts: Iterable[tuple[StoredRecording, CapturedMessages]],
) -> None:
    for stored, captured in parts:
        content = msgspec.json.encode(captured).decode()
        recordings.store_part(connection, secret_box, stored, gateway_id, number, content)


def _count_searches(text: str) -> int:
    return len(exchanges(load(text)))


def _delete_former_files(folder: Path) -> None:
    """Delete the files that earlier versions kept."""
    for file in folder.glob("*.jsonl*"):
        file.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _log_failure(failure: Failure) -> None:
    if not failure.check(StoreError):  # the store reports its own errors
        log.failure("recording a phone failed", failure, event="recording_failed")
