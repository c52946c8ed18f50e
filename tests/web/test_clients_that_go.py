# SPDX-License-Identifier: MIT
"""The gateway reads nothing for clients that have hung up, and finishes requests that change something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.logger import LogEvent

from ldapgw.phones.contact_list import ListQuery
from ldapgw.store import accounts
from ldapgw.store.worker import Store, on_threads
from tests.support.phonebook.turns import Turns
from tests.support.stage.book_clients import SECRET, basic, login, serve
from tests.support.stage.web import ALICE, Browser, Connection, Stage, owner

BOOK, PHOTO = "/acme/book/snom.xml", "/acme/photo/0301234567.png"
PBX, HALL = (f"cn={name},ou=phones,dc=acme,dc=example" for name in ("pbx", "hall"))


class Served:
    """The reads of this gateway wait for their turn, and each client has its own connection.

    :ivar stage: its turns come with the clock.
    """

    def __init__(self, stage: Stage, peer: str = "127.0.0.1") -> None:
        self.stage = stage
        stage.turns = Turns(stage.clock)
        self._site = stage.site()
        self._peer = peer

    def client(
        self, path: str = BOOK, headers: dict[str, str] | None = None, fields: dict[str, str] | None = None
    ) -> Connection:
        """Return a client that has sent a request.

        :param fields: of a form; None: it is no form.
        """
        connection, sent = Connection(self._site, self._peer), basic() if headers is None else headers
        if fields is None:
            connection.ask("GET", path, sent)
        else:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.ask("POST", path, sent | form, urlencode(fields).encode())
        return connection

    def turn(self) -> None:
        """Let the waiting reads go on."""
        self.stage.clock.advance(0)

    def searches(self, login: str) -> int:
        """Return how many searches of a login have ended."""
        return len(self.stage.watch.search_log.searches_of(login))


def status(client: Connection) -> int:
    """Return the status of the answer; 0 means that there is no answer."""
    answer = bytes(client.transport.value())
    return int(answer.split()[1]) if answer else 0


@pytest.fixture
def served() -> Served:
    return Served(serve())


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (BOOK, None),
        (BOOK, {"q": "b"}),
        (f"/acme/book/pbx.{SECRET}/snom.xml", None),
        ("/acme/caller?number=0301234567", None),
    ],
    ids=["book", "book by POST", "book with a secret", "caller"],
)
def test_nothing_is_read_for_clients_that_have_gone(served: Served, path: str, fields: dict[str, str] | None) -> None:
    """Fifteen hundred requests of clients that have gone do not delay another login."""
    for _ in range(1_500):
        client = served.client(path, fields=fields)
        assert status(client) == 0
        client.close()
    desk = served.client(headers=basic("hall"))
    served.turn()
    assert (status(desk), served.searches(PBX), served.searches(HALL)) == (200, 0, 1)


def test_a_login_has_a_few_reads(served: Served) -> None:
    """One read of a login runs and eight wait; further requests get 429, and another login is served meanwhile."""
    clients = [served.client() for _ in range(11)]
    assert [status(client) for client in clients] == [0] * 9 + [429, 429]
    assert b"\r\nRetry-After: 2\r\n" in bytes(clients[-1].transport.value())
    desk = served.client(headers=basic("hall"))
    assert status(desk) == 0
    clients[0].close()
    clients[2].close()
    more = [served.client() for _ in range(3)]
    assert [status(client) for client in more] == [0, 0, 429]
    answered = (desk, clients[1], *clients[3:9], *more)
    while not all(map(status, answered)):
        served.turn()
    assert [*map(status, answered)] == [200] * 10 + [429]
    assert served.searches(PBX) == 9


def test_one_feed_is_read_at_a_time(served: Served) -> None:
    """A feed may be large, so another login's feed waits, but not for a client that has gone.

    A book is read meanwhile.
    """
    feed = "/acme/book/contacts.json"
    first, second = served.client(feed, basic("pbx")), served.client(feed, basic("hall"))
    assert served.stage.turns.asked == [PBX]
    book = served.client(headers=basic("hall"))
    assert served.stage.turns.asked == [PBX, HALL]
    first.close()
    assert served.stage.turns.asked == [PBX, HALL, HALL]
    while not (status(book) and status(second)):
        served.turn()
    assert (status(book), status(second), served.searches(PBX), served.searches(HALL)) == (200, 200, 0, 2)


def test_phones_that_ask_together_share_a_book(served: Served, reads: list[ListQuery]) -> None:
    """The gateway reads the book for a few phones, and the other phones get the same book."""
    snapshot, phones = served.stage.catalog.snapshot, [f"desk{at}" for at in range(100)]
    base = snapshot.dit.directories[0].context.base
    logins = {**snapshot.logins, **{name: login(name, "acme", base, "a") for name in phones}}
    served.stage.catalog.publish(replace(snapshot, logins=logins), ())
    clients = [served.client(headers=basic(name)) for name in phones]
    while not all(map(status, clients)):
        served.turn()
    assert {*map(status, clients)} == {200}
    assert len({bytes(client.transport.value()).partition(b"\r\n\r\n")[2] for client in clients}) == 1
    assert len(reads) <= 4
    assert [served.searches(f"cn={name},ou=phones,{base}") for name in phones] == [1] * 100


class Drawn:
    """A thread draws photos when the test says so.

    :ivar waiting: the calls of the thread, in order.
    """

    def __init__(self) -> None:
        stage = serve(photo=b"no JPEG")
        stage.run_off_thread = self._draw
        self.waiting: list[Deferred[bytes]] = []
        self.served = Served(stage)

    def _draw(self, _make: Callable[[], bytes]) -> Deferred[bytes]:
        self.waiting.append(Deferred())
        return self.waiting[-1]


@pytest.fixture
def drawn() -> Drawn:
    return Drawn()


def test_a_photo_is_a_read_too(drawn: Drawn) -> None:
    """The photos that are drawn for a login are bounded, and none is drawn for a client that has gone."""
    clients = [drawn.served.client(PHOTO) for _ in range(10)]
    drawn.served.turn()
    assert (len(drawn.waiting), [*map(status, clients)]) == (1, [0] * 9 + [429])
    for client in clients[1:]:
        client.close()
    drawn.waiting[0].callback(b"PNG")
    assert (len(drawn.waiting), status(clients[0])) == (1, 200)


def test_a_thread_has_one_photo_of_a_login(drawn: Drawn) -> None:
    """A client that hangs up leaves its place only when the thread has drawn its photo."""
    for _ in range(3):
        client = drawn.served.client(PHOTO)
        drawn.served.turn()
        client.close()
    there = drawn.served.client(PHOTO)
    drawn.served.turn()
    assert (len(drawn.waiting), status(there)) == (1, 0)
    drawn.waiting[0].callback(b"PNG")
    assert (len(drawn.waiting), status(there)) == (2, 0)
    drawn.waiting[1].callback(b"PNG")
    assert status(there) == 200


# --- pages ------------------------------------------------------------------------------------------------------------


class Later:
    """Calls of the store wait until the test lets them go on.

    :ivar made: how many went on.
    """

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []
        self.made = 0

    def __call__(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        called: Deferred[Any] = Deferred()
        self.waiting.append(lambda: called.called or maybeDeferred(function, *args, **kw).chainDeferred(called))
        return called

    def run(self) -> None:
        """Make the calls, and the calls that follow."""
        while self.waiting:
            self.waiting.pop(0)()
            self.made += 1


def cookies(browser: Browser) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies().items())}


def slow(stage: Stage) -> Later:
    """Make the calls of a stage's store wait."""
    later = Later()
    stage.store = Store(on_threads(stage.database, later, later))
    return later


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_page_that_nobody_waits_for(hangs_up: bool) -> None:
    """If the client hangs up, the gateway makes no more calls of the database than the one under way."""
    stage = Stage()
    browser = owner(stage)
    later = slow(stage)
    client = Served(stage, "192.0.2.1").client("/acme/phones/desk1", cookies(browser))
    assert len(later.waiting) == 1
    if hangs_up:
        client.close()
    later.run()
    assert (later.made == 1, status(client)) == ((True, 0) if hangs_up else (False, 200))


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_page_that_waits_for_the_thread(hangs_up: bool) -> None:
    """If the client hangs up, the page is not rendered, so that other pages do not wait for the page."""
    waiting: list[Callable[[], object]] = []

    def later(render: Callable[[], object], *_args: object) -> Deferred[Any]:
        waiting.append(render)
        return Deferred()

    stage = Stage()
    browser = owner(stage)
    stage.render_off_thread = later
    client = Served(stage, "192.0.2.1").client("/acme/privacy", cookies(browser))
    if hangs_up:
        client.close()
    (render,) = waiting
    assert (render() is None) is hangs_up


def test_a_page_that_is_cancelled_is_answered(logged: list[LogEvent]) -> None:
    """The client is still there, and gets an error instead of waiting for ever."""
    stage = Stage()
    browser = owner(stage)
    stage.store = Store(lambda *_args, **_kw: fail(CancelledError()))
    client = Served(stage, "192.0.2.1").client("/acme/phones/desk1", cookies(browser))
    assert (status(client), ["log_failure" in event for event in logged].count(True)) == (500, 1)


def test_a_consent_is_done_to_its_end(logged: list[LogEvent]) -> None:
    """Google gives a code only once, so the account is connected although the browser has gone.

    Nothing is written to the browser, and nothing fails.
    """
    stage = Stage()
    browser = stage.browser()
    path = browser.code()
    later = slow(stage)
    client = Served(stage, "192.0.2.1").client(path, cookies(browser))
    assert len(later.waiting) == 1
    client.close()
    later.run()
    assert [(account.address, account.is_connected) for account in stage.accounts()] == [(ALICE, True)]
    assert [event for event in logged if "log_failure" in event] == []


def test_a_form_is_done_to_its_end() -> None:
    """Although the browser has gone, the account is disconnected, its grant is revoked, and the gateway is told."""
    stage = Stage()
    browser = owner(stage)
    [account] = stage.accounts()
    stage.changes = 0
    refresh_token = stage.do(accounts.read_tokens, stage.secret_box, account.id).refresh_token
    fields = {"token": browser.get("/acme/").token}
    later = slow(stage)
    client = Served(stage, "192.0.2.1").client("/acme/disconnect", cookies(browser), fields)
    assert len(later.waiting) == 1
    client.close()
    later.run()
    assert ([one.is_connected for one in stage.accounts()], stage.changes) == ([False], 1)
    assert stage.world.grants.use_refresh_token(refresh_token) is None
