# SPDX-License-Identifier: MIT
"""Pages learn of changes by topics, by a watch on the accounts in the database, and by streams to browsers."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from ldapgw.contact import Sharing, Source
from ldapgw.errors import StoreError
from ldapgw.store import accounts, sign_ins, sync_state
from ldapgw.store.sync_state import SyncProgress
from ldapgw.store.worker import MonitoredStore
from ldapgw.web.app import web_resource
from ldapgw.web.dependencies import AccountWatcher, ChangeNotifier, person_topic
from ldapgw.web.events import KEEPALIVE_SECONDS, MAX_STREAM_SECONDS, MAX_STREAMS_PER_PERSON, _Stream
from tests.support.results import result_of
from tests.support.stage.web import ALICE, BOB, Browser, Connection, Stage, by_link


def test_topics() -> None:
    """A listener is called each time that one of its topics is told, until the listener ends."""
    live = ChangeNotifier()
    heard: list[str] = []
    end_one = live.subscribe(["a", "b", "b"], lambda: heard.append("one"))
    end_two = live.subscribe(["b"], lambda: heard.append("two"))
    for topic in ("a", "b", "c"):
        live.notify(topic)
    assert heard == ["one", "one", "two"]
    assert set(live.topics()) == {"a", "b"}
    end_one()
    live.notify("b")
    assert heard[3:] == ["two"]
    end_two()
    assert set(live.topics()) == set()


def test_one_who_ends_while_told() -> None:
    live = ChangeNotifier()
    heard: list[str] = []
    ends: list[Any] = []
    ends.append(live.subscribe(["a"], lambda: ends[0]()))
    live.subscribe(["a"], lambda: heard.append("second"))
    live.notify("a")
    assert heard == ["second"]


@pytest.fixture
def monitored(stage: Stage) -> MonitoredStore:
    """Return a store that knows of its failures, as the gateway's store does."""
    return MonitoredStore(
        stage.database, stage.clock.seconds, stage.clock.seconds, run=maybeDeferred, read=maybeDeferred
    )


@pytest.fixture
def watched(stage: Stage, monitored: MonitoredStore) -> tuple[AccountWatcher, list[str]]:
    """Return a watch and a list of its messages; Alice's page is open and Bob's is not."""
    for address in (ALICE, BOB):
        stage.browser().consent(account=address)
    heard: list[str] = []
    stage.live.subscribe([person_topic("acme", stage.world.account(ALICE).sub)], lambda: heard.append(ALICE))
    watch = AccountWatcher(monitored, stage.live, lambda: monitored.recoveries)
    look(watch)
    heard.clear()
    return watch, heard


def look(watch: AccountWatcher) -> None:
    done: list[Any] = []
    Deferred.fromCoroutine(watch.check()).addCallbacks(done.append, lambda failure: failure.raiseException())
    assert done == [None]


def test_a_change_of_an_account_that_is_looked_at(stage: Stage, watched: tuple[AccountWatcher, list[str]]) -> None:
    """A change that the open page shows is told once; other accounts and other changes are not told."""
    watch, heard = watched
    look(watch)
    stage.do(accounts.set_sharing, stage.account(BOB).id, Sharing.SHARED, "")
    stage.clock.advance(100)
    stage.do(sign_ins.sign_out, "x")
    look(watch)
    assert heard == []
    stage.do(sync_state.begin, stage.account(ALICE).id)
    look(watch)
    look(watch)
    assert heard == [ALICE]


def test_an_account_that_is_added(stage: Stage, watched: tuple[AccountWatcher, list[str]]) -> None:
    watch, heard = watched
    stage.do(
        lambda connection: connection.exec_driver_sql(
            "UPDATE account SET owner = ? WHERE address = ?", (stage.world.account(ALICE).sub, BOB)
        )
    )
    look(watch)
    stage.do(accounts.set_sharing, stage.account(BOB).id, Sharing.SHARED, "")
    look(watch)
    assert heard == [ALICE, ALICE]


def test_a_page_that_was_opened_meanwhile(stage: Stage, watched: tuple[AccountWatcher, list[str]]) -> None:
    """A new listener is told in any case, because its page may be older than the change."""
    watch, heard = watched
    stage.live.subscribe([person_topic("acme", stage.world.account(BOB).sub)], lambda: heard.append(BOB))
    look(watch)
    assert heard == [BOB]


def test_the_database_can_be_used_again(monitored: MonitoredStore, watched: tuple[AccountWatcher, list[str]]) -> None:
    """Pages that say that the database fails are told of its recovery, although no account has changed."""
    watch, heard = watched
    monitored.mark_recovered()
    look(watch)
    look(watch)
    assert heard == [ALICE]


# --- the streams ----------------------------------------------------------------------------------------------------


class Stream(Connection):
    """A browser listens to events.

    :param pages: the gateway's pages, if several browsers share them.
    """

    def __init__(self, stage: Stage, browser: Browser, pages: Resource | None = None) -> None:
        super().__init__(stage.site(pages=pages))
        cookie = f"Cookie: __Host-ldapgw.acme={browser.cookies()['__Host-ldapgw.acme']}\r\n"
        self.head = self.send(
            f"GET /acme/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{cookie}\r\n".encode()
        )
        self.transport.clear()

    def heard(self) -> list[str]:
        """Return the pieces that have come since the last call."""
        pieces = self.transport.value().decode().split("\r\n")[1::2]
        self.transport.clear()
        return pieces


def topic(stage: Stage) -> str:
    return person_topic("acme", stage.world.account(ALICE).sub)


def test_an_event(stage: Stage, alice: Browser) -> None:
    """An event says only that something has changed.

    Events at the same time become one, and the next one waits a second.
    """
    stream = Stream(stage, alice)
    assert b"Content-Type: text/event-stream\r\n" in stream.head
    assert b"Cache-Control: no-store\r\n" in stream.head
    assert b"retry: 2000" in stream.head
    for _ in range(3):
        stage.live.notify(topic(stage))
    stage.clock.advance(0)
    assert stream.heard() == ["data: changed\n\n"]
    stage.set_back = 3600.0
    stage.live.notify(topic(stage))
    stage.clock.advance(0.5)
    assert stream.heard() == []
    stage.clock.advance(0.5)
    assert stream.heard() == ["data: changed\n\n"]
    stream.close()


def test_the_progress_of_a_first_sync(stage: Stage, alice: Browser) -> None:
    watcher = AccountWatcher(stage.store, stage.live, lambda: 0)
    stream = Stream(stage, alice)
    (account,) = stage.accounts()

    def write(progress: SyncProgress | None) -> None:
        stage.database.run(sync_state.write_progress, account.id, progress)
        result_of(watcher.check())
        stage.clock.advance(1)

    write(SyncProgress(Source.CONTACTS, 1000, 2531))
    stream.heard()
    write(SyncProgress(Source.CONTACTS, 1500, 2531))
    assert stream.heard() == ["data: changed\n\n"]
    page = alice.get("/acme/").body
    assert '<progress id="progress" max="2531" value="1500">' in page
    assert "My contacts: 1,500 of 2,531" in page
    write(SyncProgress(Source.CONTACTS, 2531, 2531, 1, 2))
    page = alice.get("/acme/").body
    assert '<progress id="progress" max="5062" value="2531">' in page
    assert "My contacts (source 1 of 2): 2,531 of 2,531" in page
    write(SyncProgress(Source.OTHER_CONTACTS, 1000, None))
    assert '<progress id="progress">' in alice.get("/acme/").body
    write(None)
    assert "Waiting for Google" in alice.get("/acme/").body
    stream.close()


def test_others_are_not_told(stage: Stage, alice: Browser) -> None:
    """Alice's page does not hear of Bob's account."""
    stage.browser().consent(account=BOB)
    stream = Stream(stage, alice)
    stage.live.notify(person_topic("acme", stage.world.account(BOB).sub))
    stage.clock.advance(2)
    assert stream.heard() == []
    stream.close()


def test_a_stream_is_kept_alive_and_ends(stage: Stage, alice: Browser) -> None:
    """The stream sends a line now and then, and ends after ten minutes; the browser then opens another stream."""
    stream = Stream(stage, alice)
    stage.clock.pump([KEEPALIVE_SECONDS] * int(MAX_STREAM_SECONDS / KEEPALIVE_SECONDS - 1))
    assert set(stream.heard()) == {":\n\n"}
    stage.clock.advance(KEEPALIVE_SECONDS)
    assert stream.transport.value().endswith(b"0\r\n\r\n")
    assert set(stage.live.topics()) == set()


def test_a_stream_ends_with_its_session(stage: Stage, alice: Browser) -> None:
    """A stream ends after its session was signed out."""
    stream = Stream(stage, alice)
    alice.submit("/acme/signout")
    stage.clock.advance(KEEPALIVE_SECONDS)
    assert stream.transport.value().endswith(b"0\r\n\r\n")
    assert set(stage.live.topics()) == set()


@pytest.mark.parametrize("error", [StoreError("away"), RuntimeError("a fault")], ids=["store", "fault"])
def test_a_stream_whose_session_cannot_be_read_ends(error: Exception) -> None:
    clock, written, ended = Clock(), list[bytes](), list[None]()

    async def is_over() -> bool:
        raise error

    _Stream(clock, clock.seconds, written.append, is_over).run().addCallback(ended.append)
    clock.advance(KEEPALIVE_SECONDS)
    assert (written, ended, clock.getDelayedCalls()) == ([b"retry: 2000\n\n"], [None], [])


@pytest.mark.parametrize("outcome", [True, False], ids=["over", "not over"])
def test_a_stream_that_gives_way_during_the_check(caplog_twisted: list[str], outcome: bool) -> None:
    """The outcome of the check changes nothing after the stream has given way."""
    clock, written, over = Clock(), list[bytes](), Deferred[bool]()

    async def is_over() -> bool:
        return await over

    stream = _Stream(clock, clock.seconds, written.append, is_over)
    stream.run()
    clock.advance(KEEPALIVE_SECONDS)
    stream.give_way()
    over.callback(outcome)
    assert (written, clock.getDelayedCalls()) == ([b"retry: 2000\n\n", b"retry: 60000\n\n"], [])
    assert caplog_twisted == []


def test_a_browser_that_goes_away(stage: Stage, alice: Browser) -> None:
    """The gateway ends the stream and its pending message."""
    stream = Stream(stage, alice)
    stage.live.notify(topic(stage))
    stream.close()
    assert set(stage.live.topics()) == set()
    stage.clock.advance(KEEPALIVE_SECONDS)
    assert stage.clock.getDelayedCalls() == []


def test_only_so_many_streams(stage: Stage, alice: Browser) -> None:
    """A person may have ten streams in all browsers.

    One more ends the oldest, which waits a minute before it asks again.
    """
    pages, browsers = web_resource(stage.gate), (alice, stage.visitor("/acme/signin"))
    streams = [Stream(stage, browsers[number % 2], pages) for number in range(MAX_STREAMS_PER_PERSON + 1)]
    assert [stream.head[9:12] for stream in streams] == [b"200"] * (MAX_STREAMS_PER_PERSON + 1)
    ended = [stream.transport.value().endswith(b"0\r\n\r\n") for stream in streams]
    assert ended == [True] + [False] * MAX_STREAMS_PER_PERSON
    assert b"retry: 60000\n\n" in streams[0].transport.value()
    for stream in streams[1:]:
        stream.close()
    assert set(stage.live.topics()) == set()


def test_streams_of_administrators_by_link(stage: Stage) -> None:
    """Each session by link counts as a person of its own."""
    pages, browsers = web_resource(stage.gate), (by_link(stage), by_link(stage))
    streams = [Stream(stage, browsers[number % 2], pages) for number in range(MAX_STREAMS_PER_PERSON + 1)]
    assert [stream.head[9:12] for stream in streams] == [b"200"] * (MAX_STREAMS_PER_PERSON + 1)
    assert not any(stream.transport.value() for stream in streams)
    for stream in streams:
        stream.close()
