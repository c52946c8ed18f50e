# SPDX-License-Identifier: MIT
"""The recorder: whose messages it keeps, how many, for how long, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, select
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from ldapgw.directory.access import NOBODY, Viewer
from ldapgw.directory.catalog import PhoneAccess, Snapshot
from ldapgw.directory.dn import Dn
from ldapgw.directory.schema import configure_aliases
from ldapgw.errors import ProcessLost, UnreachableStore
from ldapgw.ldap.connection_core import Tap
from ldapgw.ldap.session import DirectoryPort
from ldapgw.phones import recorder as recorder_module
from ldapgw.phones.recorder import (
    MAX_AGE_SECONDS,
    MAX_UNKNOWN,
    WRITE_SECONDS,
    CapturedMessages,
    Captures,
    PhoneRecorder,
)
from ldapgw.phones.recording import RecordedMessage, Recording, Response, exchanges
from ldapgw.phones.recording_file import load
from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import recording_part
from ldapgw.store.worker import StoreWorker
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
    """Two phones, one of which may be recorded, before a gateway in memory.

    :param first: the other gateway on the database; None: this one makes a new database.
    """

    def __init__(self, folder: Path, first: Desk | None = None) -> None:
        self.folder = folder / "recordings"
        self.gateway_id = "two" if first else "one"
        self.clock = first.clock if first else Clock()
        self.database = first.database if first else open_in_memory()
        self.secret_box = first.secret_box if first else SecretBox([Fernet.generate_key()])
        self.is_away = self.fails_late = False
        self.calls = 0  # of the process that finds stand-ins
        self.store = StoreWorker(self.database, self.in_thread, self.in_thread)
        self.dit = phonebook()
        self.changed: list[str] = []
        self.in_process: Callable[..., Deferred[Any]] = maybeDeferred
        logins = {
            name: PhoneAccess(name, Dn.parse(viewer.login), "", viewer)
            for name, viewer in (("desk1", PHONE), ("desk2", OTHER))
        }
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
        self.captures = Captures(self.clock.seconds, self.tap)
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
            captures=self.captures,
            run_off_thread=maybeDeferred,
            run_in_process=self.in_one_process,
            version="1.2",
            on_change=self.changed.append,
            former_folder=self.folder,
        )

    def in_one_process(self, *call: Any) -> Deferred[Any]:
        self.calls += 1
        return self.in_process(*call)

    def in_thread(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        if self.is_away:
            return fail(UnreachableStore("the database is away"))
        done = maybeDeferred(function, *args, **kw)
        return fail(UnreachableStore("nobody knows")) if self.fails_late else done

    def tap(self, make_tap: Callable[[], Tap] | None) -> None:
        self.tapped = make_tap is not None
        self.factory.tap(make_tap)

    def authenticate(self, name: str, password: bytes, _address: str) -> Viewer | None:
        viewers = {"desk1": PHONE, DESK1: PHONE, "desk2": OTHER}
        return viewers.get(name) if password == SECRET else None

    def begin(self, phone: str = "desk1", seconds: float = 600.0, *, is_plain: bool = True) -> None:
        now = self.clock.seconds()
        with self.database.begin() as connection:
            assert recordings.begin(connection, phone, now, now + seconds, is_plain=is_plain) is None
        self.refresh()

    def lose_key(self) -> None:
        """A restart with a key that opens nothing of what is stored."""
        self.recorder.stopService()
        self.secret_box = SecretBox([Fernet.generate_key()])
        self.recorder = self.new_recorder()
        self.recorder.startService()
        self.refresh()

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
        """Second by second."""
        for _ in range(seconds):
            self.clock.advance(1)

    def end(self) -> None:
        """Wait until the recording that ends next has ended and is written."""
        with self.database.begin() as connection:
            ends = [one.until for one in recordings.read_all(connection) if one.is_running(self.clock.seconds())]
        if ends:
            self.clock.advance(min(ends) - 1 - self.clock.seconds())
        self.pass_time(1 + int(WRITE_SECONDS))

    def file(self, phone: str = "desk1", *, is_plain: bool = True) -> str | None:
        with self.database.begin() as connection:
            return recordings.read_file(connection, self.secret_box, phone, is_plain=is_plain)

    def die(self) -> None:
        """Without a word: nothing is stored from now on."""
        self.is_away = True
        self.recorder.stopService()

    def waiting_messages(self) -> list[RecordedMessage]:
        """What gateways have stored for the file."""
        stored = self.stored()
        assert stored is not None
        with self.database.begin() as connection:
            rows = connection.execute(select(recording_part.c.content)).scalars()
            return [
                message
                for content in rows
                for message in msgspec.json.decode(self.secret_box.unseal(content), type=CapturedMessages).messages
            ]

    def parts(self) -> int:
        with self.database.begin() as connection:
            return connection.execute(select(func.count()).select_from(recording_part)).scalar_one()

    def recording(self, phone: str = "desk1", *, is_plain: bool = True) -> Recording:
        text = self.file(phone, is_plain=is_plain)
        assert text is not None
        return load(text)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.recorder.startService()
    yield desk
    desk.recorder.stopService()
    desk.database.close()
    configure_aliases({})  # as the process that finds stand-ins does, which is this one here


@pytest.fixture
def other(desk: Desk, tmp_path: Path) -> Iterator[Desk]:
    """Another gateway on the same database; the two know each other."""
    other = Desk(tmp_path, desk)
    other.recorder.set_others(frozenset({"one"}))
    desk.recorder.set_others(frozenset({"two"}))
    other.recorder.startService()
    yield other
    other.recorder.stopService()


def test_a_phone_is_recorded_for_its_time(desk: Desk, json_log: list[dict[str, object]]) -> None:
    """From its bind on, without the password; then the file is written, and nothing is tapped any more."""
    desk.begin()
    assert desk.tapped
    client = desk.client()
    desk.clock.advance(5)
    client.ask(SEARCH, 2)
    desk.clock.advance(596)
    client.ask(SEARCH, 3)
    desk.clock.advance(4)
    recording = desk.recording()
    assert [(one.at, one.connection, one.from_phone) for one in recording.messages] == [
        *((0.0, 1, True), (0.0, 1, False), (5.0, 1, True)),
        *((5.0, 1, False),) * (len(recording.messages) - 3),
    ]
    [search] = exchanges(recording)
    assert (len(search.found) > 2, search.code, search.is_bound) == (True, 0, True)
    assert {entry.dn for entry in recording.entries} == {*search.found.values()}
    assert (recording.model, recording.version, recording.own_book, recording.login) == (
        *("snom", "1.2", "alice@acme.example", DESK1),
    )
    assert recording.attribute_aliases == {"DirName": "cn"}
    assert SECRET not in b"".join(one.octets for one in recording.messages)
    assert (desk.tapped, desk.changed) == (False, [DESK1, DESK1, DESK1])
    stored = desk.stored()
    assert stored is not None
    assert (stored.searches, stored.has_file, stored.writer) == (1, True, "one")
    assert desk.parts() == 0
    assert [(line["event"], line["tenant"], line["phone"]) for line in json_log] == [
        ("recording_started", "acme", "desk1"),
        ("recording_written", "acme", "desk1"),
    ]


def test_others_are_not_recorded(desk: Desk) -> None:
    """Neither before nor after they were known to be others."""
    desk.begin()
    other, unknown = desk.client("desk2"), Client(desk.factory)
    other.ask(SEARCH, 2)
    unknown.ask(pdu.search("", 0), 2)
    desk.client().ask(SEARCH, 2)
    other.ask(SEARCH, 3)
    desk.end()
    recording = desk.recording()
    assert {one.connection for one in recording.messages} == {1}
    assert len(exchanges(recording)) == 1


def test_what_another_login_did_on_the_connection_is_not_recorded(desk: Desk) -> None:
    """Neither its bind nor its searches, although the phone's own bind follows."""
    desk.begin()
    client = desk.client("desk2")
    client.ask(SEARCH, 2)
    client.ask(pdu.bind("desk1", SECRET), 3)
    client.ask(pdu.WHO_AM_I, 4)
    desk.end()
    recording = desk.recording()
    assert exchanges(recording) == ()
    assert recording.entries == ()
    assert b"desk2" not in b"".join(one.octets for one in recording.messages)
    assert pdu.message(4, pdu.WHO_AM_I) in [one.octets for one in recording.messages]


def test_what_came_before_the_bind_is_recorded(desk: Desk) -> None:
    """Of a connection on which the phone binds, as far as that is little; and a bind that is refused."""
    desk.begin()
    asked, flooded = Client(desk.factory), Client(desk.factory)
    asked.ask(pdu.search("", 0), 2)
    asked.ask(pdu.bind("desk1", SECRET), 3)
    desk.client("Desk1", b"wrong")
    desk.clock.advance(10)
    for at in range(3 * MAX_UNKNOWN // 4000):
        flooded.ask(pdu.search(BASE, 0, encode(read_filter(f"(cn={'a' * 4000})"))), 2 + at % 100)
    flooded.ask(pdu.bind("desk1", SECRET), 101)
    desk.end()
    recording = desk.recording()
    results = [Response.read(one.octets) for one in recording.messages if not one.from_phone]
    assert [one.code for one in results if one.tag == 0x61] == [0, 49, 0]
    assert exchanges(recording)[0].code == 0
    assert sum(len(one.octets) for one in recording.messages) < 2 * MAX_UNKNOWN


def test_a_session_that_is_open_is_recorded(desk: Desk) -> None:
    """From its next request on."""
    client = desk.client()
    desk.begin()
    client.ask(SEARCH, 2)
    desk.end()
    assert [one.code for one in exchanges(desk.recording())] == [0]


def test_what_cannot_be_read_is_counted(desk: Desk) -> None:
    """And what may hold a password."""
    desk.begin()
    desk.client().ask(pdu.search(BASE, 2, encode(read_filter("(userPassword=a)"))), 2)
    desk.client().deliver(b"GET / HTTP/1.1\r\n\r\n")
    desk.end()
    assert desk.recording().left_out == 2


def test_a_recording_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it says that there was more."""
    monkeypatch.setattr(recorder_module, "MAX_OCTETS", 2000)
    desk.begin()
    client = desk.client()
    for at in range(2, 40):
        client.ask(SEARCH, at)
    desk.end()
    recording = desk.recording()
    assert recording.is_cut
    assert 1000 < sum(len(one.octets) for one in recording.messages) <= 2000


def test_it_may_end_earlier(desk: Desk) -> None:
    """As soon as the gateway knows; the file follows after some seconds, in which others store what they have."""
    desk.begin()
    desk.client().ask(SEARCH, 2)
    desk.clock.advance(10)
    with desk.database.begin() as connection:
        recordings.end(connection, "desk1", desk.clock.seconds())
    desk.refresh()
    desk.client().ask(SEARCH, 2)  # in the same moment
    desk.pass_time(1)
    desk.client().ask(SEARCH, 2)
    desk.pass_time(1)
    assert (desk.tapped, desk.file()) == (False, None)
    desk.pass_time(2)
    assert len(exchanges(desk.recording())) == 2


def test_names_are_replaced_in_another_process(desk: Desk) -> None:
    """The page's file is that one; while it is made, nothing is recorded and the work does not begin twice."""
    done: Deferred[Any] = Deferred()
    calls: list[tuple[Any, ...]] = []

    def in_process(*call: Any) -> Deferred[Any]:
        calls.append(call)
        return done

    desk.in_process = in_process
    desk.begin(is_plain=False)
    desk.client().ask(SEARCH, 2)
    desk.end()
    desk.pass_time(60)
    [(function, text)] = calls
    assert desk.file(is_plain=False) is None
    desk.refresh()
    assert not desk.captures.by_login
    done.callback(function(text))
    assert not desk.recording(is_plain=False).is_plain
    assert "Müller" in text
    assert "Müller" not in str(desk.file(is_plain=False))


def test_a_plain_recording_is_not_for_the_page(desk: Desk) -> None:
    """Whose file is the other one."""
    desk.begin()
    desk.end()
    assert (desk.recording().is_plain, desk.file(is_plain=False)) == (True, None)


def test_files_go_after_a_week(desk: Desk) -> None:
    """Those that earlier versions kept in a folder go at the start; what is not ours stays."""
    desk.begin()
    desk.end()
    desk.folder.mkdir()
    former, other = desk.folder / "desk2.jsonl", desk.folder / "notes.txt"
    former.touch()
    other.touch()
    for _ in range(int(MAX_AGE_SECONDS / 3600) - 1):
        desk.clock.advance(3600)
    assert desk.stored() is not None
    desk.clock.advance(3600)
    assert (desk.stored(), [*desk.folder.iterdir()]) == (None, [other])
    other.unlink()
    desk.clock.advance(3600)
    assert not desk.folder.exists()


def test_recordings_go_although_former_files_cannot(desk: Desk) -> None:
    desk.begin()
    desk.end()
    (desk.folder / "desk2.jsonl").mkdir(parents=True)  # cannot be deleted as a file is
    for _ in range(int(MAX_AGE_SECONDS / 3600)):
        desk.clock.advance(3600)
    assert desk.stored() is None


def test_a_recording_that_is_removed_while_it_is_written_leaves_no_file(desk: Desk) -> None:
    done: Deferred[Any] = Deferred()
    texts: list[str] = []

    def in_process(_function: Callable[[str], str], text: str) -> Deferred[Any]:
        texts.append(text)
        return done

    desk.in_process = in_process
    desk.begin(is_plain=False)
    desk.end()
    with desk.database.begin() as connection:
        recordings.remove(connection, "desk1")
    done.callback(texts[0])
    assert (desk.stored(), desk.parts()) == (None, 0)


def test_a_failure_ends_the_recording(desk: Desk) -> None:
    """Nothing of it is left, and the next recording begins as usual."""
    desk.in_process = lambda *_: maybeDeferred(lambda: "no recording")
    desk.begin(is_plain=False)
    desk.client()
    desk.end()
    assert (desk.stored(), desk.parts()) == (None, 0)
    desk.begin()
    desk.end()
    assert desk.file() is not None


def test_a_lost_process_is_tried_once_more(desk: Desk) -> None:
    """If it is lost again, the recording ends."""
    for lost, is_there in ((1, True), (2, False)):
        results = iter([fail(ProcessLost("killed"))] * lost)
        desk.in_process = lambda *call, results=results: next(results, None) or maybeDeferred(*call)  # type: ignore[misc]
        desk.calls = 0
        desk.begin(is_plain=False)
        desk.client()
        desk.end()
        assert (desk.calls, desk.file(is_plain=False) is not None, desk.stored() is not None) == (2, is_there, is_there)


def test_a_gateway_without_the_key_leaves_the_file_to_another(desk: Desk, other: Desk) -> None:
    desk.begin()
    other.refresh()
    desk.client().ask(SEARCH, 2)
    desk.pass_time(1)
    desk.lose_key()
    other.is_away = True
    desk.end()
    assert (desk.stored() is not None, desk.parts()) == (True, 1)
    other.is_away = False
    other.refresh()
    desk.pass_time(1)
    assert len(exchanges(other.recording())) == 1


def test_parts_that_no_key_opens_wait(desk: Desk) -> None:
    """Until the recording is too old; another gateway may have the key."""
    desk.begin()
    desk.client()
    desk.pass_time(1)
    desk.lose_key()
    desk.end()
    assert (desk.stored() is not None, desk.parts()) == (True, 1)
    desk.clock.advance(MAX_AGE_SECONDS)
    assert (desk.stored(), desk.parts()) == (None, 0)


def test_a_phone_that_is_not_served_yet_is_recorded_once_it_is(desk: Desk) -> None:
    """And the file of one that is not served any more waits."""
    served, desk.snapshot = desk.snapshot, Snapshot(desk.dit)
    desk.begin()
    assert not desk.tapped
    desk.snapshot = served
    desk.refresh()
    assert desk.tapped
    desk.snapshot = Snapshot(desk.dit)
    desk.end()
    assert desk.file() is None
    desk.snapshot = served
    desk.pass_time(1)
    assert desk.file() is not None


def test_a_restart_goes_on(desk: Desk) -> None:
    """With what was recorded before, and the time that is left."""
    desk.begin()
    desk.client().ask(SEARCH, 2)
    desk.recorder.stopService()
    assert not desk.tapped
    desk.captures = Captures(desk.clock.seconds, desk.tap)
    desk.gateway_id = "one, later"
    desk.recorder = desk.new_recorder()
    desk.recorder.startService()
    desk.refresh()
    desk.clock.advance(300)
    desk.client().ask(SEARCH, 2)
    desk.end()
    found = exchanges(desk.recording())
    assert [(one.message.at, one.message.connection, one.code) for one in found] == [(0.0, 1, 0), (300.0, 2, 0)]


def test_messages_wait_for_the_database(desk: Desk) -> None:
    """Each is in the file once; what was reported as failed may be stored."""
    desk.begin()
    client = desk.client()
    desk.pass_time(1)
    client.ask(SEARCH, 2)
    desk.fails_late = True
    desk.pass_time(1)
    desk.fails_late, desk.is_away = False, True
    client.ask(SEARCH, 3)
    desk.pass_time(1)
    desk.is_away = False
    client.ask(SEARCH, 4)
    desk.pass_time(1)
    desk.is_away = True
    client.ask(SEARCH, 5)
    desk.end()
    desk.is_away = False
    assert (desk.tapped, desk.file()) == (True, None)
    desk.pass_time(1)
    assert not desk.tapped
    found = exchanges(desk.recording())
    assert [one.message.at for one in found] == [1.0, 2.0, 3.0, 4.0]


def test_gateways_record_together(desk: Desk, other: Desk) -> None:
    """One file has the messages of both in their order; one of the two makes it."""
    desk.begin(is_plain=False)
    other.refresh()
    clients = [one.client() for one in (desk, other)]
    for at in range(4):
        desk.pass_time(10)
        clients[at % 2].ask(SEARCH, 2 + at)
    desk.end()
    for one in (desk, other):
        found = exchanges(one.recording(is_plain=False))
        assert [(one.message.at, one.message.connection) for one in found] == [(10, 1), (20, 2), (30, 1), (40, 2)]
        assert [one.code for one in found] == [0, 0, 0, 0]
    assert desk.calls + other.calls == 1
    assert desk.parts() == 0
    assert (desk.changed[-1], other.changed[-1]) == (DESK1, DESK1)


def test_together_they_are_bounded(desk: Desk, other: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came last is left out."""
    monkeypatch.setattr(recorder_module, "MAX_OCTETS", 600)
    desk.begin()
    other.refresh()
    for one in (desk, other):
        one.client().ask(SEARCH, 2)
        desk.pass_time(1)
    whole = sum(len(message.octets) for message in desk.waiting_messages())
    assert 600 < whole < 1200
    desk.end()
    recording = desk.recording()
    assert recording.is_cut
    assert 300 < sum(len(one.octets) for one in recording.messages) <= 600


@pytest.mark.parametrize("dies", ["while it records", "while it makes the file"])
def test_one_goes_on_when_the_other_dies(desk: Desk, other: Desk, dies: str) -> None:
    """With what that one had stored; while it may live, nobody takes its work."""
    desk.begin(is_plain=False)
    other.refresh()
    for one in (desk, other):
        one.client().ask(SEARCH, 2)
    desk.pass_time(1)
    other.client().ask(SEARCH, 2)
    if dies == "while it records":
        other.die()
        desk.end()
    else:
        desk.is_away = True  # so that the other one is first
        other.in_process = lambda *_: Deferred()
        other.end()
        desk.is_away = False
        other.die()
        desk.refresh()
        desk.pass_time(10)
        assert desk.file(is_plain=False) is None
    desk.recorder.set_others(frozenset())
    desk.pass_time(1)
    stored = desk.stored()
    assert stored is not None
    assert (stored.writer, desk.parts()) == ("one", 0)
    assert len(exchanges(desk.recording(is_plain=False))) == (2 if dies == "while it records" else 3)


def test_what_a_slow_gateway_has_made_is_not_stored_twice(desk: Desk, other: Desk) -> None:
    """Another one has taken its work over, as it was silent for long."""
    made: Deferred[Any] = Deferred()
    desk.begin(is_plain=False)
    other.refresh()
    other.in_process = lambda *_: made
    desk.is_away = True
    other.end()
    desk.is_away = False
    desk.recorder.set_others(frozenset())
    desk.refresh()
    desk.pass_time(1)
    file = desk.file(is_plain=False)
    assert file is not None
    made.callback(file.replace("snom", "yealink"))
    assert desk.file(is_plain=False) == file


def test_another_process_records_the_same_phone(desk: Desk) -> None:
    """Its messages come later and have their times; its connections get numbers that are free here."""
    elsewhere = make_factory(DirectoryPort(lambda: desk.dit, desk.authenticate, lambda _: NOBODY, b"key"), desk.clock)
    captures = Captures(desk.clock.seconds, elsewhere.tap)
    desk.begin()
    desk.client()
    captures.follow(desk.captures.recordings())
    client = Client(elsewhere)
    client.ask(pdu.bind("desk1", SECRET), 1)
    desk.clock.advance(5)
    captures.follow(desk.captures.recordings())
    client.ask(SEARCH, 2)
    taken = captures.take()
    assert captures.take() == {}
    desk.captures.add(2, taken)
    desk.captures.add(2, {"cn=desk9": taken["cn=desk1,ou=phones,dc=acme,dc=example"]})
    desk.end()
    messages = desk.recording().messages
    assert [(one.at, one.connection, one.from_phone) for one in messages[:5]] == [
        *((0.0, 1, True), (0.0, 1, False), (0.0, 2, True), (0.0, 2, False), (5.0, 2, True)),
    ]
    assert {one.connection for one in messages} == {1, 2}
    desk.captures.add(2, taken)  # too late
    captures.follow(desk.captures.recordings())
    assert captures.by_login == {}
