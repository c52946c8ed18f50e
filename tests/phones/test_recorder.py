# SPDX-License-Identifier: MIT
"""The recorder: whose messages it keeps, how many, for how long, and what becomes of them."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from ldapgw.directory.access import NOBODY, Viewer
from ldapgw.directory.catalog import PhoneAccess, Snapshot
from ldapgw.directory.dn import Dn
from ldapgw.directory.schema import configure_aliases
from ldapgw.ldap.connection_core import Tap
from ldapgw.ldap.session import DirectoryPort
from ldapgw.phones import recorder as recorder_module
from ldapgw.phones.recorder import MAX_AGE_SECONDS, MAX_UNKNOWN, Captures, PhoneRecorder, recording_file
from ldapgw.phones.recording import Recording, Response, exchanges, load
from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
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
    """Two phones, one of which may be recorded, before a gateway in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "recordings"
        self.clock = Clock()
        self.clock.advance(NOW)
        self.database = open_in_memory()
        self.store = StoreWorker(self.database, maybeDeferred, maybeDeferred)
        self.dit = phonebook()
        self.changed: list[str] = []
        self.in_process: Callable[..., Deferred[Any]] = maybeDeferred
        logins = {
            name: PhoneAccess(name, Dn.parse(viewer.login), "", viewer)
            for name, viewer in (("desk1", PHONE), ("desk2", OTHER))
        }
        self.snapshot = Snapshot(self.dit, logins, loaded=True)
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
            folder=self.folder,
            snapshot=lambda: self.snapshot,
            contexts={"acme": naming_context()},
            attribute_aliases={"DirName": "cn"},
            captures=self.captures,
            run_off_thread=maybeDeferred,
            run_in_process=lambda *call: self.in_process(*call),
            version="1.2",
            on_change=self.changed.append,
        )

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

    def refresh(self) -> None:
        Deferred.fromCoroutine(self.recorder.refresh()).addErrback(lambda failure: failure.raiseException())

    def client(self, name: str = "desk1", password: bytes = SECRET) -> Client:
        client = Client(self.factory)
        client.ask(pdu.bind(name, password), 1)
        return client

    def stored(self, phone: str = "desk1") -> recordings.StoredRecording | None:
        with self.database.begin() as connection:
            return recordings.read(connection, phone)

    def recording(self, phone: str = "desk1") -> Recording:
        return load(recording_file(self.folder, phone).read_text())

    def content(self, phone: str = "desk1") -> bytes | None:
        found: list[bytes | None] = []
        Deferred.fromCoroutine(self.recorder.read_file(phone)).addCallback(found.append)
        [content] = found
        return content


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.recorder.startService()
    yield desk
    desk.recorder.stopService()
    desk.database.close()
    configure_aliases({})  # as the process that finds stand-ins does, which is this one here


def test_a_phone_is_recorded_for_its_time(desk: Desk) -> None:
    """From its bind on, without the password; then the file is written, and nothing is tapped any more."""
    desk.begin()
    assert desk.tapped
    client = desk.client()
    desk.clock.advance(5)
    client.ask(SEARCH, 2)
    desk.clock.advance(600)
    client.ask(SEARCH, 3)
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
    assert (stored.searches, stored.written_at) == (1, NOW + 605)
    file = recording_file(desk.folder, "desk1")
    assert [stat.S_IMODE(one.stat().st_mode) for one in (file, desk.folder)] == [0o600, 0o700]


def test_others_are_not_recorded(desk: Desk) -> None:
    """Neither before nor after they were known to be others."""
    desk.begin()
    other, unknown = desk.client("desk2"), Client(desk.factory)
    other.ask(SEARCH, 2)
    unknown.ask(pdu.search("", 0), 2)
    desk.client().ask(SEARCH, 2)
    other.ask(SEARCH, 3)
    desk.clock.advance(600)
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
    desk.clock.advance(600)
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
    desk.clock.advance(600)
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
    desk.clock.advance(600)
    assert [one.code for one in exchanges(desk.recording())] == [0]


def test_what_cannot_be_read_is_counted(desk: Desk) -> None:
    """And what may hold a password."""
    desk.begin()
    desk.client().ask(pdu.search(BASE, 2, encode(read_filter("(userPassword=a)"))), 2)
    desk.client().deliver(b"GET / HTTP/1.1\r\n\r\n")
    desk.clock.advance(600)
    assert desk.recording().left_out == 2


def test_a_recording_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it says that there was more."""
    monkeypatch.setattr(recorder_module, "MAX_OCTETS", 2000)
    desk.begin()
    client = desk.client()
    for at in range(2, 40):
        client.ask(SEARCH, at)
    desk.clock.advance(600)
    recording = desk.recording()
    assert recording.is_cut
    assert 1000 < sum(len(one.octets) for one in recording.messages) <= 2000


def test_it_may_end_earlier(desk: Desk) -> None:
    """As soon as the gateway knows."""
    desk.begin()
    desk.client().ask(SEARCH, 2)
    desk.clock.advance(10)
    with desk.database.begin() as connection:
        recordings.end(connection, "desk1", desk.clock.seconds())
    desk.refresh()
    assert len(exchanges(desk.recording())) == 1


def test_names_are_replaced_in_another_process(desk: Desk) -> None:
    """Nothing real is written meanwhile; the page's file is that one."""
    done: Deferred[Any] = Deferred()
    calls: list[tuple[Any, ...]] = []

    def in_process(*call: Any) -> Deferred[Any]:
        calls.append(call)
        return done

    desk.in_process = in_process
    desk.begin(is_plain=False)
    desk.client().ask(SEARCH, 2)
    desk.clock.advance(600)
    desk.clock.advance(60)
    [(function, text)] = calls
    assert desk.content() is None
    assert not desk.folder.exists()
    desk.refresh()
    assert not desk.captures.by_login
    done.callback(function(text))
    assert not desk.recording().is_plain
    assert desk.content() == recording_file(desk.folder, "desk1").read_bytes()
    assert "Müller" not in recording_file(desk.folder, "desk1").read_text()


def test_a_plain_recording_is_not_for_the_page(desk: Desk) -> None:
    """Nor is a file that is gone."""
    desk.begin()
    desk.clock.advance(600)
    assert (desk.recording().is_plain, desk.content()) == (True, None)
    desk.begin(is_plain=False)
    desk.clock.advance(600)
    recording_file(desk.folder, "desk1").unlink()
    assert desk.content() is None


def test_files_go_after_a_week_and_with_their_recordings(desk: Desk) -> None:
    """What is not ours stays."""
    desk.begin()
    desk.begin("desk2")
    desk.clock.advance(600)
    other = desk.folder / "notes.txt"
    other.touch()
    with desk.database.begin() as connection:
        recordings.remove(connection, "desk1")
    desk.refresh()
    assert {file.name for file in desk.folder.iterdir()} == {"desk2.jsonl", "notes.txt"}
    for _ in range(int(MAX_AGE_SECONDS / 3600) + 1):
        desk.clock.advance(3600)
    assert (desk.stored("desk2"), [file.name for file in desk.folder.iterdir()]) == (None, ["notes.txt"])


def test_a_recording_that_is_removed_while_it_is_written_leaves_no_file(desk: Desk) -> None:
    done: Deferred[Any] = Deferred()
    texts: list[str] = []

    def in_process(_function: Callable[[str], str], text: str) -> Deferred[Any]:
        texts.append(text)
        return done

    desk.in_process = in_process
    desk.begin(is_plain=False)
    desk.clock.advance(600)
    with desk.database.begin() as connection:
        recordings.remove(connection, "desk1")
    done.callback(texts[0])
    assert not any(desk.folder.iterdir())


def test_a_failure_ends_the_recording(desk: Desk) -> None:
    """No file is left, and the next recording begins as usual."""
    desk.in_process = lambda *_: maybeDeferred(lambda: "no recording")
    desk.begin(is_plain=False)
    desk.clock.advance(600)
    assert desk.stored() is None
    assert not desk.folder.exists()
    desk.begin()
    desk.clock.advance(600)
    assert desk.stored() is not None


def test_a_phone_that_is_not_served_yet_is_recorded_once_it_is(desk: Desk) -> None:
    """And one that is gone is not written."""
    served, desk.snapshot = desk.snapshot, Snapshot(desk.dit)
    desk.begin()
    assert not desk.tapped
    desk.snapshot = served
    desk.refresh()
    assert desk.tapped
    desk.snapshot = Snapshot(desk.dit)
    desk.clock.advance(600)
    assert not desk.folder.exists()


def test_a_restart_begins_anew(desk: Desk) -> None:
    """With the time that is left."""
    desk.begin()
    desk.client().ask(SEARCH, 2)
    desk.recorder.stopService()
    assert not desk.tapped
    desk.recorder = desk.new_recorder()
    desk.recorder.startService()
    desk.refresh()
    desk.clock.advance(300)
    desk.client().ask(SEARCH, 2)
    desk.clock.advance(300)
    assert [one.message.at for one in exchanges(desk.recording())] == [300.0]


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
    desk.clock.advance(600)
    messages = desk.recording().messages
    assert [(one.at, one.connection, one.from_phone) for one in messages[:5]] == [
        *((0.0, 1, True), (0.0, 1, False), (0.0, 2, True), (0.0, 2, False), (5.0, 2, True)),
    ]
    assert {one.connection for one in messages} == {1, 2}
    desk.captures.add(2, taken)  # too late
    captures.follow(desk.captures.recordings())
    assert captures.by_login == {}
