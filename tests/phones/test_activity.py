# SPDX-License-Identifier: MIT
"""The tests read and judge logged searches of phones, and count the few writes of a phone's activity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from ldapgw.directory.access import NOBODY
from ldapgw.directory.catalog import PhoneAccess
from ldapgw.directory.filter import Scope, SearchRequest, Substrings
from ldapgw.errors import ResultCode, StoreError
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.phones.activity import POLL_SECONDS, WRITE_SECONDS, PhoneActivity, SearchRecorder, decode_search
from ldapgw.phones.hints import DecodedSearch
from ldapgw.store import phones
from ldapgw.store.phones import LastSearch, NumberMode, PhoneLogin
from ldapgw.store.worker import Store, on_threads
from tests.support import asks, pdu
from tests.support.filter_text import encode
from tests.support.stage.databases import open_in_memory

BASE = "dc=acme,dc=example"
WATCHED_DESK = PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "", 0.0)
GONE = PhoneLogin("old", "globex", None, NumberMode.VALUES, "", 0.0)
NUMBER = Substrings("telephoneNumber", b"030123", (), None)


def watched(*messages: tuple[bytes, int]) -> PhoneActivity:
    watch = PhoneActivity({"acme": BASE}, lambda: 7.0)
    for message, entries in messages:
        login = watch.bind_dn(WATCHED_DESK)
        watch.search_log.observe(FinishedSearch(login, "192.0.2.7", message, entries, ResultCode.SUCCESS, 0.001))
    return watch


def message(entries: int, scope: int = 2) -> tuple[bytes, int]:
    request = pdu.search(BASE, scope, encode(NUMBER), ("cn",), size=50)
    return pdu.message(3, request, pdu.controls(asks.sort("cn"))), entries


def test_a_search_is_read_when_somebody_looks() -> None:
    """A decoded search has the request and its controls. Broken octets and other requests give neither."""
    watch = watched((b"\x30\x03\x02\x01", 0), (pdu.message(2, pdu.WHO_AM_I), 0), message(1))
    found, other, broken = map(decode_search, watch.logged_searches(WATCHED_DESK))
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, NUMBER, 50, 0, False, ("cn",))
    assert found == DecodedSearch(watch.search_log.searches_of(watch.bind_dn(WATCHED_DESK))[0], request, (asks.SORT,))
    assert [one.request for one in (other, broken)] == [None, None]


@pytest.mark.parametrize(
    ("messages", "worked_at"),
    [([message(1), message(0)], 7.0), ([message(1, scope=0)], None)],
    ids=["somebody was found", "the root DSE was read"],
)
def test_what_is_remembered(messages: list[tuple[bytes, int]], worked_at: float | None) -> None:
    """The summary has the code of the gravest hint and the time of the last success, but none of the searched text."""
    watch = watched(*messages)
    [fresh] = watch.search_log.take_updates().values()
    assert watch.summarize(WATCHED_DESK, fresh) == LastSearch(7.0, "number_alone", worked_at)


def test_a_phone_whose_tenant_is_gone() -> None:
    """A phone of a removed tenant has no DN, no base and no searches."""
    watch = watched(message(1))
    assert (watch.bind_dn(GONE), watch.base_dn("globex"), watch.logged_searches(GONE)) == ("", "", ())
    assert watch.bind_dn(WATCHED_DESK) == "cn=desk1,ou=phones,dc=acme,dc=example"


NOW = 1790000000.0
DN = f"cn=desk1,ou=phones,{BASE}"
DESK1, HALL = (PhoneLogin(name, "acme", None, NumberMode.VALUES, "sha256$00$00", NOW) for name in ("desk1", "hall"))


class Stage:
    """The stage has a store with two phones, and the notes of their searches."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.database = open_in_memory()
        with self.database.begin() as connection:
            phones.add(connection, DESK1)
            phones.add(connection, HALL)
        self.logins = {one.name: PhoneAccess(one.name, one.password, NOBODY) for one in (DESK1, HALL)}
        self.store: Any = Store(on_threads(self.database, maybeDeferred, maybeDeferred))
        self.activity = PhoneActivity({"acme": BASE}, self.clock.seconds)
        self.writes = 0
        self.notes = SearchRecorder(
            clock=self.clock,
            store=self,  # type: ignore[arg-type]
            activity=self.activity,
            logins=lambda: self.logins,
        )

    def run(self, *args: Any) -> Any:
        self.writes += 1
        return self.store.run(*args)

    def search(self, name: str = "desk1", entries: int = 0) -> None:
        login = DN.replace("desk1", name)
        search = FinishedSearch(login, "192.0.2.1", *message(entries), ResultCode.SUCCESS, 0.001)
        self.activity.search_log.observe(search)

    def note(self, name: str = "desk1", entries: int = 0) -> None:
        """Log a search, and let the notes collect it."""
        self.search(name, entries)
        self.wait()

    def wait(self, seconds: float = POLL_SECONDS) -> None:
        for _ in range(round(seconds / POLL_SECONDS)):
            self.clock.advance(POLL_SECONDS)

    def stored(self, name: str = "desk1") -> tuple[float | None, str, float | None]:
        with self.database.begin() as connection:
            [one] = [login for login in phones.read_all(connection) if login.name == name]
        return one.searched_at, one.search_hint, one.worked_at


@pytest.fixture
def stage() -> Iterator[Stage]:
    """The notes run until the test ends, and then leave no timer behind."""
    stage = Stage()
    stage.notes.startService()
    yield stage
    stage.notes.stopService()
    assert not stage.clock.getDelayedCalls()


def test_a_phone_is_noted_once_a_minute(stage: Stage) -> None:
    """The first search is written at once. Later searches wait, and the last of them is written."""
    stage.note()
    assert stage.stored() == (NOW, "number_alone", None)
    stage.note()
    assert (stage.stored()[0], stage.writes) == (NOW, 1)
    stage.wait(WRITE_SECONDS)
    assert (stage.stored()[0], stage.writes) == (NOW + POLL_SECONDS, 2)
    stage.wait(WRITE_SECONDS * 3)
    assert stage.writes == 2
    assert stage.stored("hall") == (None, "", None)


def test_that_it_works_is_noted_at_once_and_stays(stage: Stage) -> None:
    """The first success is written at once, and a later failed search does not remove the success."""
    stage.note()
    stage.note(entries=1)
    assert stage.stored()[2] == NOW + POLL_SECONDS
    stage.note(entries=1)
    assert stage.writes == 2
    stage.wait(WRITE_SECONDS * 2)
    stage.note()
    assert stage.stored()[2] == NOW + POLL_SECONDS
    assert stage.writes == 4


def test_the_end_notes_everything(stage: Stage) -> None:
    """The stop of the service writes the waiting searches."""
    stage.note()
    stage.search("hall")
    stage.search()
    stage.notes.stopService()
    assert [stage.stored(name)[0] for name in ("desk1", "hall")] == [NOW + POLL_SECONDS] * 2


def test_a_database_that_is_away(stage: Stage, caplog_twisted: list[str]) -> None:
    """The notes write again later, and leave the report of the failure to another part."""
    store, stage.store = stage.store, type("Gone", (), {"run": lambda *_: fail(StoreError("gone"))})()
    stage.note(entries=1)
    stage.note()
    stage.store = store
    stage.wait()
    assert stage.stored() == (NOW + POLL_SECONDS, "number_alone", NOW)
    assert caplog_twisted == []


def test_a_phone_that_is_gone(stage: Stage) -> None:
    """Searches of an unknown phone change no stored row."""
    stage.note("desk9")
    assert [stage.stored(name) for name in ("desk1", "hall")] == [(None, "", None)] * 2


def test_what_was_found_with_an_older_password(stage: Stage) -> None:
    """Such a success does not count, also if the notes took the success before the new password."""
    stage.search(entries=1)
    with stage.database.begin() as connection:
        phones.set_password(connection, "desk1", "sha256$11$11", NOW)
    stage.wait()
    assert stage.stored() == (None, "", None)
    stage.search(entries=1)
    stage.notes._collect()
    stage.activity.search_log.forget(DN)
    stage.notes.forget(DN)
    stage.logins["desk1"] = PhoneAccess("desk1", "sha256$11$11", NOBODY)
    stage.wait(WRITE_SECONDS * 2)
    assert stage.stored() == (None, "", None)
    stage.note(entries=1)
    assert stage.stored()[2] == stage.clock.seconds() - POLL_SECONDS


def test_a_password_that_changes_while_it_is_written(stage: Stage) -> None:
    """The first success with the new password is written at once."""
    store, late = stage.store, Deferred[None]()
    stage.store = type("Late", (), {"run": lambda *_: late})()
    stage.note(entries=1)
    stage.notes.forget(DN)
    stage.store = store
    late.callback(None)
    stage.note(entries=1)
    assert stage.stored()[2] == stage.clock.seconds() - POLL_SECONDS
