# SPDX-License-Identifier: MIT
"""The service that records phones: the service receives the messages of phones, and stores recordings.

A command or a page asks for a recording in the database (`ldapgw.store.recordings`).  While a phone is recorded, the
LDAP server reports the octets of each connection to a `_ConnectionTap`, which drops the messages of other phones.  Each
gateway keeps the messages of its own connections in memory, without passwords.  When the recording ends, or the gateway
stops, the gateway stores its part of the recording.  Names and numbers are replaced by pseudonyms, unless the recording
is plain.

Mutable: `PhoneRecorder`, `_ConnectionTap`, `_Capture`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from random import SystemRandom
from typing import Any, Final

from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.directory.access import Viewer
from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.naming_context import NamingContext
from ldapgw.errors import ProtocolViolation, StoreError
from ldapgw.ldap.connection_core import Tap
from ldapgw.ldap.decoder import Framer
from ldapgw.phones.pseudonyms import with_pseudonyms
from ldapgw.phones.recording import RecordedMessage, bind_name, dump, make_recording, storable
from ldapgw.store import phones, recordings
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.recordings import RecordingPart, StoredRecording
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store

# The maximum number of octets of all messages of one recording.  A search and its answer have some 10 KB together.
MAX_OCTETS: Final = 4 << 20
# The maximum number of octets that are kept of a connection whose phone is not known yet.
MAX_UNKNOWN: Final = 64 << 10
# The maximum number of octets of a kept request, and of a kept answer.  An answer with one entry has some kilobytes.
_MAX_REQUEST: Final = 64 << 10
MAX_RESPONSE: Final = 1 << 24
DAY: Final = 86400.0
MAX_AGE_SECONDS: Final = 7 * DAY
POLL_SECONDS: Final = 1.0
_CLEAN_SECONDS: Final = 3600.0

log = Logger()


@dataclass(slots=True)
class _Capture:
    """The messages of one phone that is recorded.

    :ivar viewer: the phone as a viewer of the directory.
    :ivar part: the finished part of the recording that waits to be stored; None before the recording ends.
    """

    stored: StoredRecording
    viewer: Viewer
    messages: list[RecordedMessage] = field(default_factory=list)
    octets: int = 0
    left_out: int = 0
    is_cut: bool = False
    part: RecordingPart | None = None

    def add(self, messages: Iterable[RecordedMessage], left_out: int) -> None:
        """Keep messages of a connection.

        :param left_out: the number of other messages, which must not be kept.
        """
        for message in messages:
            if message.at <= self.stored.until:
                self.octets += len(message.octets)
                self.is_cut = self.octets > MAX_OCTETS
                if not self.is_cut:
                    self.messages.append(message)
        self.left_out += left_out


class PhoneRecorder(MultiService):
    """The service that records phones, stores the recordings, and deletes the recordings after a week.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param snapshot: returns the snapshot of the directory that phones search now.
    :param contexts: the naming context of each tenant; the keys are the tenants' names.
    :param tap: called with the function that makes a tap for each connection of the LDAP server, or with None if
        nothing is recorded.
    :param version: the version of ldapgw, for the files.
    :param on_change: called with the DN of a login whose recording has changed.
    :ivar captures: the phones that are recorded now, by their DNs.
    :ivar connections: yields numbers for the connections in the files.
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
        tap: Callable[[Callable[[], Tap] | None], None],
        run_off_thread: Callable[..., Awaitable[Any]],
        version: str,
        on_change: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._store = store
        self._secret_box = secret_box
        self._gateway_id = gateway_id
        self._snapshot = snapshot
        self._contexts = contexts
        self._attribute_aliases = attribute_aliases
        self._tap = tap
        self._run_off_thread = run_off_thread
        self._version = version
        self._on_change = on_change
        self.captures: dict[str, _Capture] = {}
        self.connections = count(1)
        self._known: frozenset[StoredRecording] = frozenset()
        super().__init__()
        for seconds, work, last in (
            (POLL_SECONDS, self._store_parts, self._store_all),
            (_CLEAN_SECONDS, self._delete_old, None),
        ):
            PeriodicService(clock, seconds, work, _report, waits=True, last=last).setServiceParent(self)

    async def refresh(self) -> None:
        """Record the phones whose recordings the database lists.

        :raises StoreError: when the database cannot be used.
        """
        known = frozenset(await self._store.read(recordings.read_all))
        captures = {}
        for stored in known:
            viewer = self._viewer(stored.phone)
            if viewer is None:
                continue
            before = self.captures.get(viewer.login)
            if before is not None and before.stored.begun_at == stored.begun_at:
                before.stored = stored  # the end of the recording may have changed
                captures[viewer.login] = before
            elif self.now() < stored.until:
                captures[viewer.login] = _Capture(stored, viewer)
                log.info(
                    "phone {phone} is being recorded",
                    event="recording_started",
                    tenant=viewer.tenant,
                    phone=stored.phone,
                )
        self._record(captures)
        changed, self._known = {stored.phone for stored in known ^ self._known}, known
        for viewer in filter(None, map(self._viewer, changed)):
            self._on_change(viewer.login)

    def named(self, name: str) -> _Capture | None:
        """Return the capture of the phone that binds with a name, or None if the phone is not recorded."""
        spelt = name.lower()
        for login, capture in self.captures.items():
            if spelt in (login.lower(), capture.stored.phone.lower()):
                return capture
        return None

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self._clock.seconds()

    def _record(self, captures: dict[str, _Capture]) -> None:
        """Record only the phones of `captures` from now on."""
        before, self.captures = self.captures, captures
        if bool(before) != bool(captures):
            self._tap((lambda: _ConnectionTap(self)) if captures else None)

    def _viewer(self, phone: str) -> Viewer | None:
        """Return the viewer of a phone, or None if the directory does not know the phone."""
        access = self._snapshot().logins.get(phone.lower())
        return access.viewer if access is not None else None

    async def _delete_old(self) -> None:
        await self._store.run(recordings.remove_older, self.now() - MAX_AGE_SECONDS)
        await self.refresh()

    async def _store_all(self) -> None:
        """Store this gateway's parts of all recordings.

        A gateway that starts again before the recordings end stores further parts.
        """
        try:
            await self._store_parts(is_stopping=True)
        finally:
            self._record({})

    async def _store_parts(self, *, is_stopping: bool = False) -> None:
        """Store the parts of the recordings that have ended.

        :param is_stopping: true to store also the parts of recordings that have not ended.
        :raises StoreError: when the database cannot be used; the parts wait for the next call.
        """
        for login, capture in tuple(self.captures.items()):
            if not is_stopping and capture.stored.until > self.now():
                continue
            try:
                await self._store_part(capture)
            except StoreError:
                raise
            except Exception:  # noqa: BLE001 - a failure must not keep the next recording from being stored
                log.failure("recording a phone failed", event="recording_failed")
            self._record({name: other for name, other in self.captures.items() if other is not capture})
            self._on_change(login)

    async def _store_part(self, capture: _Capture) -> None:
        stored = capture.stored
        login = await self._store.read(phones.read_by_name, stored.phone)
        if login is None or not (capture.messages or capture.left_out):  # the phone was removed, or has sent nothing
            return
        if capture.part is None:
            capture.part = await self._run_off_thread(
                self._make_part, capture, self._snapshot().dit, self._contexts[login.tenant], login.model
            )
        is_stored = await self._store.run(
            recordings.store_part, self._secret_box, stored, self._gateway_id, capture.part
        )
        if is_stored:
            log.info(
                "recording of phone {phone}: {searches} searches written",
                event="recording_written",
                tenant=login.tenant,
                account=login.account_id,
                phone=stored.phone,
                searches=capture.part.searches,
            )

    def _make_part(self, capture: _Capture, dit: Dit, context: NamingContext, model: str) -> RecordingPart:
        stored = capture.stored
        recording = replace(
            make_recording(capture.messages, stored.begun_at, dit, capture.viewer, context),
            model=model,
            attribute_aliases=self._attribute_aliases,
            version=self._version,
            left_out=capture.left_out,
            is_cut=capture.is_cut,
        )
        if not stored.is_plain:
            recording = with_pseudonyms(recording, SystemRandom())
        return RecordingPart(len(recording.searches), dump(recording))


class _ConnectionTap:
    """The collector of the messages of one connection (`Tap`); a recorded phone's messages go to its `_Capture`."""

    def __init__(self, recorder: PhoneRecorder) -> None:
        self._recorder = recorder
        self._number = 0
        self._reset()

    def _reset(self) -> None:
        self._framers = {False: Framer(_MAX_REQUEST), True: Framer(MAX_RESPONSE)}
        self._messages: list[RecordedMessage] = []
        self._octets = self._left_out = 0
        self._named: _Capture | None = None
        self._is_readable = self._is_new = True

    def __call__(self, login: str, is_sent: bool, octets: bytes) -> None:  # noqa: FBT001 - `Tap` has this parameter
        capture = self._recorder.captures.get(login)
        if login and capture is None:  # the connection belongs to another phone
            if not self._is_new:
                self._reset()
            return
        self._is_new = False
        if self._is_readable:
            self._collect(is_sent=is_sent, is_bound=bool(login), octets=octets)
        if capture is None and is_sent:
            capture, self._named = self._named, None  # the gateway has refused a bind
        if capture is not None:
            self._hand_over(capture)
        elif self._octets > MAX_UNKNOWN:
            self._messages.clear()
            self._octets = self._left_out = 0

    def _collect(self, *, is_sent: bool, is_bound: bool, octets: bytes) -> None:
        framer, now = self._framers[is_sent], self._recorder.now()
        framer.feed(octets)
        try:
            while (message := framer.take()) is not None:
                kept = message if is_sent else storable(message)
                if not kept:
                    self._left_out += kept is None
                    continue
                if not is_sent and (name := bind_name(kept)):
                    self._named = self._recorder.named(name)
                self._octets += len(kept)
                self._messages.append(RecordedMessage(now, 0, not is_sent, kept, is_bound))
        except ProtocolViolation:
            self._is_readable = False
            self._left_out += 1

    def _hand_over(self, capture: _Capture) -> None:
        if self._messages and not self._number:
            self._number = next(self._recorder.connections)
        capture.add((replace(message, connection=self._number) for message in self._messages), self._left_out)
        self._messages.clear()
        self._octets = self._left_out = 0


def _report(failure: Failure) -> None:
    log.failure("recording a phone failed", failure, event="recording_failed")
