# SPDX-License-Identifier: MIT
"""The tests show the recorder's choice of messages, the limits, the duration, and the stored parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from ldapgw.directory.access import NOBODY, Viewer
from ldapgw.directory.catalog import PhoneAccess, Snapshot
from ldapgw.errors import UnreachableStore
from ldapgw.ldap.connection_core import Tap
from ldapgw.ldap.session import DirectoryPort
from ldapgw.phones import recorder as recorder_module
from ldapgw.phones.recorder import MAX_UNKNOWN, PhoneRecorder
from ldapgw.phones.recording import Recording, load
from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store, on_threads
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import BASE, PHONE, naming_context, phonebook
from tests.support.phonebook.wire import SECRET, Client, make_factory
from tests.support.stage.databases import open_in_memory

DESK1, DESK2 = PHONE.login, f"cn=desk2,ou=phones,{BASE}"
OTHER = PHONE._replace(login=DESK2)
SEARCH = pdu.search(BASE, 2, encode(read_filter("(cn=mü*)")), ("cn",))
NOW = 1_800_000_000.0


class Desk:
    """The desk has two phones at a gateway in memory, and may record one phone.

    :param first: the other gateway on the database; None: this one makes a new database.
    """

    def __init__(self, first: Desk | None = None) -> None:
        self.gateway_id = "two" if first else "one"
        self.clock = first.clock if first else Clock()
        self.database = first.database if first else open_in_memory()
        self.secret_box = first.secret_box if first else SecretBox([Fernet.generate_key()])
        self.is_away = self.fails_late = False
        self.calls = 0  # each call makes a part
        self.store = Store(on_threads(self.database, self.in_thread, self.in_thread))
        self.dit = phonebook()
        self.changed: list[str] = []
        self.off_thread: Callable[..., Deferred[Any]] = maybeDeferred
        logins = {name: PhoneAccess(name, "", viewer) for name, viewer in (("desk1", PHONE), ("desk2", OTHER))}
        self.snapshot = Snapshot(self.dit, logins, loaded=True)
        if first is None:
            self.clock.advance(NOW)
            with self.database.begin() as connection:
                for name in logins:
                    phones.add(connection, PhoneLogin(name, "acme", None, NumberMode.VALUES, "", NOW, model="snom"))
        self.factory = make_factory(
            DirectoryPort(lambda: self.dit, self.authenticate, lambda _: NOBODY, b"key"), self.clock
        )
        self.tapped = False
        self.recorder = self.new_recorder()

    def new_recorder(self) -> PhoneRecorder:
        return PhoneRecorder(
            clock=self.clock,
            store=self.store,
            secret_box=self.secret_box,
            gateway_id=self.gateway_id,
            snapshot=lambda: self.snapshot,
            contexts={"acme": naming_context()},
            attribute_aliases={"DirName": "cn"},
            tap=self.tap,
            run_off_thread=self.counted,
            version="1.2",
            on_change=self.changed.append,
        )

    def counted(self, *call: Any) -> Deferred[Any]:
        self.calls += 1
        return self.off_thread(*call)

    def in_thread(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        if self.is_away:
            return fail(UnreachableStore("the database is away"))
        done = maybeDeferred(function, *args, **kw)
        return fail(UnreachableStore("nobody knows")) if self.fails_late else done

    def tap(self, make_tap: Callable[[], Tap] | None) -> None:
        self.tapped = make_tap is not None
        self.factory.tap(make_tap)

    def authenticate(self, name: str, password: bytes, _address: str, _over_tls: bool) -> Viewer | None:
        viewers = {"desk1": PHONE, DESK1: PHONE, "desk2": OTHER}
        return viewers.get(name) if password == SECRET else None

    def begin(self, phone: str = "desk1", seconds: float = 600.0, *, is_plain: bool = True) -> None:
        now = self.clock.seconds()
        with self.database.begin() as connection:
            assert recordings.begin(connection, phone, now, now + seconds, is_plain=is_plain) is None
        self.refresh()

    def record(self, *, is_plain: bool = True) -> None:
        """Record a search, and wait until the end of the recording."""
        self.begin(is_plain=is_plain)
        self.client().ask(SEARCH, 2)
        self.end()

    def refresh(self) -> None:
        Deferred.fromCoroutine(self.recorder.refresh()).addErrback(lambda failure: failure.raiseException())

    def client(self, name: str = "desk1", password: bytes = SECRET) -> Client:
        client = Client(self.factory)
        client.ask(pdu.bind(name, password), 1)
        return client

    def stored(self, phone: str = "desk1") -> recordings.StoredRecording | None:
        with self.database.begin() as connection:
            return recordings.read(connection, phone)

    def pass_time(self, seconds: int) -> None:
        """Advance the clock second by second."""
        for _ in range(seconds):
            self.clock.advance(1)

    def end(self) -> None:
        """Wait until the next end of a recording, and until the recording is stored."""
        with self.database.begin() as connection:
            ends = [one.until for one in recordings.read_all(connection) if one.is_running(self.clock.seconds())]
        if ends:
            self.clock.advance(min(ends) - 1 - self.clock.seconds())
        self.pass_time(2)

    def file(self, *, is_plain: bool = True) -> str | None:
        with self.database.begin() as connection:
            return recordings.read_file(connection, self.secret_box, "desk1", is_plain=is_plain)

    def parts(self, *, is_plain: bool = True) -> tuple[Recording, ...]:
        text = self.file(is_plain=is_plain)
        return load(text) if text is not None else ()

    def recording(self, *, is_plain: bool = True) -> Recording:
        [recording] = self.parts(is_plain=is_plain)
        return recording


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    desk.recorder.startService()
    yield desk
    desk.recorder.stopService()
    desk.database.close()


@pytest.fixture
def other(desk: Desk) -> Iterator[Desk]:
    """The other gateway uses the same database."""
    other = Desk(desk)
    other.recorder.startService()
    yield other
    other.recorder.stopService()


def test_a_phone_is_recorded_for_its_time(desk: Desk, json_log: list[dict[str, object]]) -> None:
    """The recording begins with the bind and has no password.

    After the end, the part is stored and nothing is tapped.
    """
    desk.begin()
    assert desk.tapped
    client = desk.client()
    desk.clock.advance(5)
    client.ask(SEARCH, 2)
    desk.clock.advance(596)
    client.ask(SEARCH, 3)
    desk.clock.advance(1)
    recording = desk.recording()
    [bind], [search] = recording.binds, recording.searches
    assert (bind.at, bind.connection, bind.name, bind.code) == (0.0, 1, "desk1", 0)
    assert (search.at, search.connection, search.code, search.is_bound) == (5.0, 1, 0, True)
    assert len(search.found) > 2
    assert {entry.dn for entry in recording.entries} == {*search.found}
    assert (recording.model, recording.version, recording.own_books, recording.login) == (
        *("snom", "1.2", ("alice@acme.example",), DESK1),
    )
    assert recording.attribute_aliases == {"DirName": "cn"}
    assert SECRET.decode() not in str(desk.file())
    assert (desk.tapped, desk.changed) == (False, [DESK1, DESK1])
    stored = desk.stored()
    assert stored is not None
    assert stored.searches == 1
    assert [(line["event"], line["tenant"], line["phone"]) for line in json_log] == [
        ("recording_started", "acme", "desk1"),
        ("recording_written", "acme", "desk1"),
    ]


# Each row has steps (a connection, and a login to bind with or another act), the codes of the recorded binds, the
# recorded searches (with connection, base, and whether the phone had a login), and the number of omitted messages.
SESSIONS = {
    "another phone": ("a desk2, a search, b root, c desk1, c search, a search", [0], [(1, BASE, True)], 0),
    "another login before": ("a desk2, a search, a desk1, a root", [], [(1, "", True)], 0),
    "a search before the bind": ("a root, a desk1", [0], [(1, "", False)], 0),
    "a refused bind": ("a wrong", [49], [], 0),
    "an open session": ("a desk1, a begin, a search", [], [(1, BASE, True)], 0),
    "not to be read": ("a desk1, a password, b desk1, b garbage", [0, 0], [], 2),
}


@pytest.mark.parametrize("session", SESSIONS)
def test_what_the_phone_sends_is_recorded_and_nothing_of_others(desk: Desk, session: str) -> None:
    """The recorder drops messages of other phones, even if the login of a connection is known only later."""
    steps, binds, searches, left_out = SESSIONS[session]
    clients: defaultdict[str, Client] = defaultdict(lambda: Client(desk.factory))
    octets = {
        "search": SEARCH,
        "root": pdu.search("", 0),
        "password": pdu.search(BASE, 2, encode(read_filter("(userPassword=a)"))),
        "wrong": pdu.bind("Desk1", b"wrong"),
    }
    if "begin" not in steps:
        desk.begin()
    for message_id, step in enumerate(steps.split(", "), start=1):
        client, act = clients[step[0]], step[2:]
        if act == "begin":
            desk.begin()
        elif act == "garbage":
            client.deliver(b"GET / HTTP/1.1\r\n\r\n")
        else:
            client.ask(octets.get(act) or pdu.bind(act, SECRET), message_id)
    desk.clock.advance(10)
    desk.end()
    recording = desk.recording()
    assert [one.code for one in recording.binds] == binds
    assert [(one.connection, one.request.base, one.is_bound) for one in recording.searches] == searches
    assert {one.code for one in recording.searches} <= {0}
    assert recording.left_out == left_out
    assert "desk2" not in str(desk.file())


def test_little_is_kept_of_a_connection_whose_phone_is_not_known(desk: Desk) -> None:
    desk.begin()
    client = Client(desk.factory)
    for at in range(3 * MAX_UNKNOWN // 4000):
        client.ask(pdu.search(BASE, 0, encode(read_filter(f"(cn={'a' * 4000})"))), 2 + at % 100)
    client.ask(pdu.bind("desk1", SECRET), 101)
    desk.end()
    recording = desk.recording()
    assert [one.code for one in recording.binds] == [0]
    assert len(recording.searches) < 2 * MAX_UNKNOWN / 4000


def test_a_recording_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording beyond the limit is marked as cut."""
    monkeypatch.setattr(recorder_module, "MAX_OCTETS", 2000)
    desk.begin()
    client = desk.client()
    for at in range(2, 40):
        client.ask(SEARCH, at)
    desk.end()
    recording = desk.recording()
    assert recording.is_cut
    assert 1 < len(recording.searches) < 10


def test_it_may_end_earlier(desk: Desk) -> None:
    """The recording ends when the gateway learns of the end. Messages from before the end are in the file."""
    desk.begin()
    desk.client().ask(SEARCH, 2)
    desk.clock.advance(10)
    with desk.database.begin() as connection:
        recordings.end(connection, "desk1", desk.clock.seconds())
    desk.client().ask(SEARCH, 2)  # this search comes in the moment of the end, and counts
    desk.refresh()
    desk.clock.advance(0.5)
    desk.client().ask(SEARCH, 2)  # this search comes too late
    assert (desk.tapped, desk.file()) == (True, None)
    desk.pass_time(1)
    assert not desk.tapped
    assert len(desk.recording().searches) == 2


def test_a_phone_that_sends_nothing_leaves_no_file(desk: Desk) -> None:
    """No file is made, but the page learns that the recording has ended."""
    desk.begin()
    desk.end()
    assert (desk.file(), desk.tapped, desk.calls) == (None, False, 0)
    assert desk.stored() is not None
    assert desk.changed[-1] == DESK1


def test_names_are_replaced_before_anything_is_stored(desk: Desk) -> None:
    """Another thread replaces the names, and does so only once."""
    done: Deferred[Any] = Deferred()
    calls: list[tuple[Any, ...]] = []

    def off_thread(*call: Any) -> Deferred[Any]:
        calls.append(call)
        return done

    desk.off_thread = off_thread
    desk.record(is_plain=False)
    desk.pass_time(60)
    [(function, *arguments)] = calls
    assert desk.file(is_plain=False) is None
    done.callback(function(*arguments))
    recording = desk.recording(is_plain=False)
    assert not recording.is_plain
    assert recording.searches[0].found
    assert "Müller" not in str(desk.file(is_plain=False))


def test_a_plain_recording_is_not_for_the_page(desk: Desk) -> None:
    """The page offers only the file with pseudonyms."""
    desk.record()
    assert "Müller" in str(desk.file())
    assert (desk.recording().is_plain, desk.file(is_plain=False)) == (True, None)


def test_recordings_go_after_a_week(desk: Desk) -> None:
    desk.record()
    for _ in range(7 * 24 - 1):
        desk.clock.advance(3600)
    assert desk.file() is not None
    desk.clock.advance(3600)
    assert (desk.stored(), desk.file()) == (None, None)


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("what", [recordings, phones])
def test_what_is_removed_leaves_no_file(desk: Desk, what: ModuleType, is_late: bool) -> None:
    """The recording or the phone is removed before the end of the recording, or during the making of the file."""
    done: Deferred[Any] = Deferred()
    desk.off_thread = lambda *call: done.addCallback(lambda _: call[0](*call[1:]))

    def remove() -> None:
        with desk.database.begin() as connection:
            what.remove(connection, "desk1")

    desk.begin()
    desk.client().ask(SEARCH, 2)
    for step in (desk.end, remove) if is_late else (remove, desk.end):
        step()
    done.callback(None)
    desk.pass_time(600)
    assert (desk.stored(), desk.file(), desk.tapped) == (None, None, False)
    assert desk.calls == (is_late or what is recordings)


def test_a_failure_ends_the_recording(desk: Desk) -> None:
    """The next recording begins as usual."""
    desk.off_thread = lambda *_: fail(ValueError("nothing can be made of it"))
    desk.record()
    assert (desk.calls, desk.tapped, desk.file()) == (1, False, None)
    desk.off_thread = maybeDeferred
    desk.record()
    assert desk.file() is not None


def test_a_phone_that_is_not_served_yet_is_recorded_once_it_is(desk: Desk) -> None:
    served, desk.snapshot = desk.snapshot, Snapshot(desk.dit)
    desk.begin()
    assert not desk.tapped
    desk.snapshot = served
    desk.refresh()
    assert desk.tapped


def test_a_restart_stores_a_part_and_goes_on(desk: Desk) -> None:
    """The recording goes on for the remaining time, and the file has both parts."""
    desk.begin()
    desk.client().ask(SEARCH, 2)
    desk.recorder.stopService()
    assert (desk.tapped, len(desk.recording().searches)) == (False, 1)
    desk.gateway_id = "one, later"
    desk.recorder = desk.new_recorder()
    desk.recorder.startService()
    desk.refresh()
    desk.clock.advance(300)
    desk.client().ask(SEARCH, 2)
    desk.end()
    assert [[(one.at, one.code) for one in part.searches] for part in desk.parts()] == [[(0.0, 0)], [(300.0, 0)]]


def test_a_part_waits_for_the_database(desk: Desk) -> None:
    """The part is made once and stored once, even if the store reported a failure after the write."""
    desk.begin()
    desk.client().ask(SEARCH, 2)
    desk.clock.advance(599)
    desk.is_away = True
    desk.pass_time(10)
    assert desk.tapped
    desk.is_away, desk.fails_late = False, True
    desk.pass_time(2)
    desk.fails_late = False
    desk.pass_time(1)
    assert (desk.tapped, desk.calls, len(desk.recording().searches)) == (False, 1, 1)


def test_each_gateway_stores_what_it_received(desk: Desk, other: Desk) -> None:
    """The file has a part of each gateway with its own pseudonyms. A dead gateway does not stop the others."""
    dead = Desk(desk)
    dead.gateway_id = "three"
    desk.begin(is_plain=False)
    for one in (other, dead):
        one.refresh()
    for at, one in enumerate((desk, other, dead)):
        desk.pass_time(10)
        client = one.client()
        for message_id in range(2, 3 + at):
            client.ask(SEARCH, message_id)
    desk.end()
    parts = desk.parts(is_plain=False)
    assert [len(part.searches) for part in parts] == [1, 2]
    assert parts[0].login != parts[1].login
    stored = desk.stored()
    assert stored is not None
    assert stored.searches == 3
    assert (desk.changed[-1], other.changed[-1]) == (DESK1, DESK1)
