# SPDX-License-Identifier: MIT
"""Gateways on one PostgreSQL database tell each other their news, and keep secrets to themselves.

Only PostgreSQL passes on notifications between connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from ldapgw.directory.catalog import Catalog, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.special_entries import Features
from ldapgw.errors import ResultCode, StoreError
from ldapgw.ldap.admission import UNKNOWN_NUMBERS
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.ldap.server import Guesses
from ldapgw.peers.bulletin import BULLETIN_SECONDS, MAX_OCTETS, Bulletin, Topic, seal
from ldapgw.phones.logged_search import LoggedSearch, NewSearches
from ldapgw.phones.refused_logins import MASK, NewRefusals, RefusedLogins
from ldapgw.phones.search_log import SearchLog
from ldapgw.store.changes import BULLETIN_CHANNEL
from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store, on_threads
from tests.support.phonebook.trees import PHONE
from tests.support.phonebook.wire import make_factory
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.results import result_of

pytestmark = needs_postgresql

NOW = 1_790_000_000.0
KEY = Fernet.generate_key()
BASES = {"acme": "dc=acme,dc=example"}


@pytest.fixture(name="database")
def _database() -> Iterator[Database]:
    with open_new() as database:
        yield database


class Gateway:
    """The gateway has the parts that send and read bulletins, and its own clock."""

    def __init__(self, database: Database, name: str, key: bytes = KEY) -> None:
        self.database, self.name = database, name
        self.clock = Clock()
        self.clock.advance(NOW)
        self.away = False
        self.notified: list[str] = []
        self.ldap = make_factory(clock=self.clock)
        self.log = SearchLog(self.clock.seconds, self.notified.append)
        catalog = Catalog(Snapshot(Dit((), Features("1"))), {}, self.clock.seconds)
        store: Any = Store(on_threads(database, maybeDeferred, maybeDeferred))
        self.refused = RefusedLogins(
            clock=self.clock,
            store=store,
            find_login=catalog.find_login,
            last_login=catalog.last_login,
            logins=lambda: catalog.snapshot.logins,
            bases=BASES,
            on_refusal=self.notified.append,
            is_shared=True,
        )
        self.bulletin = Bulletin(
            clock=self.clock,
            call_from_thread=lambda function, *args: function(*args),
            store=Store(self.transact),
            gateway_id=name,
            secret_box=SecretBox([key]),
            topics=(
                Topic("guesses", Guesses, self.ldap.take_guesses, self.ldap.add_guesses),
                Topic("refused", NewRefusals, self.refused.take_unsent, self.refused.add_received),
                Topic("searches", NewSearches, self.log.take_unsent, self.log.add),
            ),
        )
        self.bulletin.startService()

    def transact(self, *args: Any) -> Deferred[Any]:
        return fail(StoreError("away")) if self.away else maybeDeferred(self.database.call, *args)

    def search(self, message: bytes, login: str = PHONE.login) -> None:
        self.log.observe(FinishedSearch(login, "192.0.2.1", message, 1, ResultCode.SUCCESS, 0.001))

    def messages(self) -> list[bytes]:
        return [search.message for search in self.log.searches_of(PHONE.login)]


class Gateways:
    """The test has three gateways, and the notifications of the server.

    :ivar payloads: of all messages.
    """

    def __init__(self, database: Database, line: Any) -> None:
        self.all = [Gateway(database, name) for name in ("one", "two", "three")]
        self._line = line
        self._told: list[str] = []
        line.add_notify_handler(lambda notification: self._told.append(notification.payload))
        self.payloads: list[str] = []

    def pass_second(self, *some: Gateway) -> None:
        """Have gateways send their news, and deliver the messages to all gateways."""
        for gateway in some or self.all:
            gateway.clock.advance(BULLETIN_SECONDS)
        # The server sends all notifications of earlier commits before the answer.
        self._line.execute("SELECT 1")
        told, self._told[:] = [*self._told], []
        self.payloads += told
        for payload in told:
            for gateway in self.all:
                gateway.bulletin.receive(payload)


@pytest.fixture(name="gateways")
def _gateways(database: Database) -> Iterator[Gateways]:
    import psycopg

    from ldapgw.store.postgresql_connection import connect_arguments

    with psycopg.connect(**connect_arguments(database.url), autocommit=True) as line:
        line.execute(f"LISTEN {BULLETIN_CHANNEL}".encode())
        yield Gateways(database, line)


def test_searches_are_on_the_pages_of_all(gateways: Gateways) -> None:
    """The searches are sorted by time. Each gateway stores only the summaries of its own phones."""
    one, two, three = gateways.all
    one.search(b"first")
    one.clock.advance(0.1)
    two.clock.advance(0.2)
    two.search(b"second")
    one.clock.advance(0.2)
    one.search(b"third")
    one.log.observe(FinishedSearch("", "192.0.2.9", b"", 0, ResultCode.INSUFFICIENT_ACCESS_RIGHTS, 0.0))
    gateways.pass_second()
    assert [gateway.messages() for gateway in gateways.all] == [[b"third", b"second", b"first"]] * 3
    assert {gateway.log.last_refusal("192.0.2.9") for gateway in gateways.all} == {NOW + 0.1 + 0.2}
    assert three.notified == [PHONE.login] * 3
    assert [list(gateway.log.take_updates()) for gateway in gateways.all] == [[PHONE.login], [PHONE.login], []]


def test_what_was_heard_is_not_told_again(gateways: Gateways) -> None:
    """A gateway sends no message without news of its own."""
    one, two, _ = gateways.all
    one.search(b"-")
    one.ldap.bind_delay("192.0.2.1", "desk1")
    for _ in range(3):
        gateways.pass_second()
    assert len(gateways.payloads) == 1
    assert two.messages() == [b"-"]


def test_guesses_count_at_all(gateways: Gateways) -> None:
    """All gateways count wrong logins by network and by login, and unknown numbers by phone."""
    one, two, three = gateways.all
    for number in range(2):
        one.ldap.bind_delay("192.0.2.1", "cn=desk1,dc=acme,dc=example")
        two.ldap.bind_delay(f"198.51.100.{number}", "DESK1")
    assert one.ldap.budget(PHONE, "192.0.2.1").take(int(UNKNOWN_NUMBERS))
    gateways.pass_second()
    assert one.ldap.bind_delay("203.0.113.1", "desk1") == 0.25 * 2**4
    assert three.ldap.bind_delay("203.0.113.2", "desk1") == 0.25 * 2**4
    assert three.ldap.bind_delay("192.0.2.1", "desk2") == 0.25 * 2**2
    assert three.ldap.bind_delay("203.0.113.3", "desk2") == 0.25 * 2
    assert two.ldap.left_out("acme") == ()
    assert not three.ldap.budget(PHONE, "198.51.100.9").take(int(UNKNOWN_NUMBERS))
    gateways.pass_second(three)
    [left_out] = two.ldap.left_out("acme")
    assert (left_out.login, left_out.count) == (PHONE.login, 1)


def test_refused_names_are_told_masked(gateways: Gateways) -> None:
    """A name that may be a password is masked before the sending, and the messages are encrypted."""
    one, two, _ = gateways.all
    one.refused.note("hall9", "192.0.2.1")
    one.refused.note("hall9", "192.0.2.2")
    one.refused.note("xK9#vQ2!", "192.0.2.3")
    result_of(one.refused.judge())
    assert "xK9" not in repr(one.refused._unsent)
    gateways.pass_second()
    assert [(found.name, found.count, found.address) for found in two.refused.unknown("acme", ())] == [
        (MASK, 1, "192.0.2.3"),
        ("hall9", 2, "192.0.2.2"),
    ]
    assert "hall9" not in gateways.payloads[0]


def test_without_the_database_news_are_lost(gateways: Gateways, caplog_twisted: list[str]) -> None:
    """Later news are sent. The bulletin logs nothing, because the store has reported the failure."""
    one, two, _ = gateways.all
    one.away = True
    one.search(b"lost")
    gateways.pass_second()
    one.away = False
    one.search(b"told")
    gateways.pass_second()
    assert (two.messages(), caplog_twisted) == ([b"told"], [])


@pytest.mark.parametrize(
    "payload",
    [
        "four nothing",
        f"four {SecretBox([Fernet.generate_key()]).seal('another key').decode()}",
        f"four {SecretBox([KEY]).seal('not packed').decode()}",
        seal(SecretBox([KEY]), "four", {"searches": Guesses({"192.0.2.1": 1})}).replace("four ", "four"),
    ],
)
def test_what_cannot_be_read_is_passed_over(gateways: Gateways, payload: str) -> None:
    """The message has another key, another version, or comes from another program."""
    for gateway in gateways.all:
        gateway.bulletin.receive(payload)
        assert gateway.messages() == []


def test_a_topic_of_another_version_is_passed_over(gateways: Gateways) -> None:
    """The other topics of the message are read."""
    one, _, _ = gateways.all
    searches = NewSearches((LoggedSearch(PHONE.login, "192.0.2.1", b"-", 1, ResultCode.SUCCESS, 0.0, NOW),))
    one.bulletin.receive(seal(SecretBox([KEY]), "four", {"weather": Guesses(), "searches": searches}))
    assert one.messages() == [b"-"]


def test_what_does_not_fit_is_left_out(gateways: Gateways) -> None:
    """PostgreSQL limits a message, so the oldest searches and then the rarest guesses are left out."""
    one, two, _ = gateways.all
    for number in range(20):
        one.clock.advance(0.01)
        one.search(bytes(range(256)) * 3 + b"%02d" % number, f"cn={number},{PHONE.login}")
    for number in range(3000):
        one.ldap.bind_delay(f"2001:db8:{number * 7919 % 65536:x}::1", "desk1")
    gateways.pass_second()
    [payload] = gateways.payloads
    assert MAX_OCTETS / 2 < len(payload.encode()) <= MAX_OCTETS
    assert two.ldap.bind_delay("203.0.113.1", "desk1") == 8.0
    heard = [bool(two.log.searches_of(f"cn={number},{PHONE.login}")) for number in range(20)]
    assert (heard, any(heard)) == (sorted(heard), False)
    one.search(b"alone")
    gateways.pass_second()
    assert two.messages() == [b"alone"]


def test_the_end_waits_for_a_message(gateways: Gateways) -> None:
    """The stop waits for the thread that sends the message. Later messages are ignored."""
    one, _, _ = gateways.all
    pending: Deferred[Any] = Deferred()
    one.bulletin._store = Store(lambda *_: pending)
    one.search(b"-")
    gateways.pass_second(one)
    gateways.pass_second(one)
    ended = one.bulletin.stopService()
    assert not ended.called
    pending.callback(None)
    assert ended.called
    gateways.all[1].search(b"late")
    gateways.pass_second(gateways.all[1])
    assert one.messages() == [b"-"]
