# SPDX-License-Identifier: MIT
"""What gateways on one PostgreSQL database tell each other, and what they keep to themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from ldapgw.contact import Source
from ldapgw.directory.catalog import Catalog, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.special_entries import Features
from ldapgw.errors import ResultCode, StoreError
from ldapgw.ldap.admission import UNKNOWN_NUMBERS
from ldapgw.phones.refused_logins import MASK, RefusedLogins
from ldapgw.phones.search_log import SearchLog
from ldapgw.server import gateway_exchange
from ldapgw.server.gateway_exchange import EXCHANGE_SECONDS, GatewayExchange, LeftOutClients
from ldapgw.store import tables
from ldapgw.store.account_status import ProgressBoard, SyncProgress
from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import StoreWorker
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS, OneTimeSecrets
from tests.support.phonebook.trees import PHONE
from tests.support.phonebook.wire import make_factory
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.results import result_of

pytestmark = needs_postgresql

NOW = 1_790_000_000.0
KEY = Fernet.generate_key()
BASES = {"acme": "dc=acme,dc=example"}
HALF = SyncProgress(Source.CONTACTS, 500, 1000)
ALL = frozenset({"one", "two", "three"})


@pytest.fixture(name="database")
def _database() -> Iterator[Database]:
    with open_new() as database:
        yield database


class Gateway:
    """What of a gateway takes part in the exchange, on a clock of its own."""

    def __init__(self, database: Database, name: str, key: bytes = KEY) -> None:
        self.database, self.name = database, name
        self.clock = Clock()
        self.clock.advance(NOW)
        self.away = False
        self.notified: list[str] = []
        self.ldap = make_factory(clock=self.clock)
        self.log = SearchLog(self.clock.seconds, self.notified.append)
        catalog = Catalog(Snapshot(Dit((), Features("1"))), {}, self.clock.seconds)
        store: Any = StoreWorker(database, maybeDeferred, maybeDeferred)
        self.refused = RefusedLogins(
            clock=self.clock,
            store=store,
            find_login=catalog.find_login,
            last_login=catalog.last_login,
            logins=lambda: catalog.snapshot.logins,
            bases=BASES,
            on_refusal=self.notified.append,
            tells_others=True,
        )
        self.progress = ProgressBoard(lambda account_id: self.notified.append(f"account {account_id}"))
        self.one_time = OneTimeSecrets.create(tells_others=True)
        self.left_out = LeftOutClients(self.ldap.all_left_out)
        self.exchange = GatewayExchange(
            clock=self.clock,
            run_beside=self.run_beside,
            gateway_id=name,
            secret_box=SecretBox([key]),
            ldap=self.ldap,
            left_out=self.left_out,
            search_log=self.log,
            refused_logins=self.refused,
            progress=self.progress,
            one_time=self.one_time,
            on_change=lambda: self.notified.append("gateways"),
        )
        self.exchange.set_others(ALL - {name})
        self.exchange.startService()
        self.notified.clear()

    def run_beside(self, function: Any, *args: Any) -> Deferred[Any]:
        return fail(StoreError("away")) if self.away else maybeDeferred(self.database.run_beside, function, *args)

    def pass_second(self) -> None:
        self.clock.advance(EXCHANGE_SECONDS)

    def search(self, message: bytes, login: str = PHONE.login) -> None:
        self.log.observe(login, "192.0.2.1", message, 1, ResultCode.SUCCESS, 0.001)

    def messages(self) -> list[bytes]:
        return [search.message for search in self.log.searches_of(PHONE.login)]


Trio = tuple[Gateway, Gateway, Gateway]


@pytest.fixture(name="trio")
def _trio(database: Database) -> Trio:
    one, two, three = (Gateway(database, name) for name in ("one", "two", "three"))
    return one, two, three


def rows(database: Database) -> list[tuple[str, int, str]]:
    with database.begin_read() as connection:
        news = tables.gateway_news.c
        query = select(news.gateway, news.number, news.body).order_by(news.gateway, news.number)
        return [(row.gateway, row.number, row.body) for row in connection.execute(query)]


def test_searches_are_on_the_pages_of_all(trio: Trio) -> None:
    """In the order of their times; each gateway stores the summaries of its own phones only."""
    one, two, three = trio
    one.search(b"first")
    one.clock.advance(0.1)
    two.clock.advance(0.2)
    two.search(b"second")
    one.pass_second()
    one.search(b"third")
    one.log.observe("", "192.0.2.9", b"", 0, ResultCode.INSUFFICIENT_ACCESS_RIGHTS, 0.0)
    one.pass_second()
    for other in (two, three):
        other.pass_second()
    one.pass_second()
    assert [gateway.messages() for gateway in trio] == [[b"third", b"second", b"first"]] * 3
    assert [gateway.log.last_refusal("192.0.2.9") for gateway in trio] == [one.log.last_refusal("192.0.2.9")] * 3
    assert one.log.last_refusal("192.0.2.9") is not None
    assert three.notified == [PHONE.login] * 3
    assert [list(gateway.log.take_updates()) for gateway in trio] == [[PHONE.login], [PHONE.login], []]


def test_what_was_heard_is_not_told_again(database: Database, trio: Trio) -> None:
    """Nor is anything written where nothing is new."""
    one, two, _ = trio
    one.search(b"-")
    one.ldap.bind_delay("192.0.2.1", "desk1")
    one.progress.update(7, HALF)
    one.one_time.passwords.add("session", "desk1", "secret", NOW)
    for _ in range(3):
        for gateway in trio:
            gateway.pass_second()
    assert [row[:2] for row in rows(database)] == [("one", 1)]
    assert two.messages() == [b"-"]


def test_guesses_count_at_all(trio: Trio) -> None:
    """By network and by login, whoever was asked; and so do numbers that nobody has."""
    one, two, three = trio
    for number in range(2):
        one.ldap.bind_delay("192.0.2.1", "cn=desk1,dc=acme,dc=example")
        two.ldap.bind_delay(f"198.51.100.{number}", "DESK1")
    assert one.ldap.budget(PHONE, "192.0.2.1").take(int(UNKNOWN_NUMBERS))
    for gateway in trio:
        gateway.pass_second()
    one.pass_second()
    assert one.ldap.bind_delay("203.0.113.1", "desk1") == 0.25 * 2**4
    assert three.ldap.bind_delay("203.0.113.2", "desk1") == 0.25 * 2**4
    assert three.ldap.bind_delay("192.0.2.1", "desk2") == 0.25 * 2**2
    assert three.ldap.bind_delay("203.0.113.3", "desk2") == 0.25 * 2
    assert not three.ldap.budget(PHONE, "198.51.100.9").take(int(UNKNOWN_NUMBERS))
    one.pass_second()
    two.pass_second()
    assert [one.count for one in two.left_out.of("acme")] == []
    three.pass_second()
    two.pass_second()
    [left_out] = two.left_out.of("acme")
    assert (left_out.login, left_out.count) == (PHONE.login, 1)


def test_progress_ends_with_the_sync_or_with_its_gateway(trio: Trio) -> None:
    """Pages are told of each step."""
    one, two, three = trio
    one.progress.update(7, HALF)
    two.progress.update(8, HALF)
    for gateway in (one, two, three):
        gateway.pass_second()
    assert [three.progress.get(account) for account in (7, 8, 9)] == [HALF, HALF, None]
    one.progress.update(7, replace(HALF, fetched=900))
    one.progress.update(7, None)
    one.pass_second()
    three.pass_second()
    assert [three.progress.get(account) for account in (7, 8)] == [None, HALF]
    three.exchange.set_others(frozenset({"one"}))
    assert three.progress.get(8) is None
    three.pass_second()
    assert three.progress.get(8) is None
    assert three.notified == ["account 7", "account 8", "account 7", "account 8", "gateways"]


def test_a_gateway_that_begins_is_told_of_running_syncs(trio: Trio) -> None:
    """Also of one that Google keeps waiting; not of one that has ended, nor by a gateway that only shows it."""
    one, two, three = trio
    one.exchange.set_others(frozenset())
    one.progress.update(7, HALF)
    one.progress.update(8, HALF)
    one.progress.update(8, None)
    one.pass_second()
    one.exchange.set_others(frozenset({"two"}))
    one.pass_second()
    two.pass_second()
    assert [two.progress.get(account) for account in (7, 8)] == [HALF, None]
    two.exchange.set_others(frozenset({"one"}))
    two.exchange.set_others(frozenset({"one", "three"}))
    two.pass_second()
    three.exchange.set_others(frozenset({"two"}))
    three.pass_second()
    assert three.progress.get(7) is None


def test_refused_names_are_told_masked(database: Database, trio: Trio) -> None:
    """One that may be a password is in no row, and neither is anything else that could be read."""
    one, two, _ = trio
    one.refused.note("hall9", "192.0.2.1")
    one.refused.note("hall9", "192.0.2.2")
    one.refused.note("xK9#vQ2!", "192.0.2.3")
    result_of(one.refused.judge())
    one.pass_second()
    two.pass_second()
    assert [(found.name, found.count, found.address) for found in two.refused.unknown("acme")] == [
        (MASK, 1, "192.0.2.3"),
        ("hall9", 2, "192.0.2.2"),
    ]
    [(_, _, body)] = rows(database)
    told = SecretBox([KEY]).unseal(body.encode())
    assert "xK9" not in told
    assert "hall9" not in body


def test_a_new_password_is_shown_by_the_next_gateway(trio: Trio) -> None:
    """Before the answer to the form is sent; for minutes; and not once it is forgotten anywhere."""
    one, two, _ = trio
    one.one_time.passwords.add("session", "Desk1", "secret", NOW)
    one.one_time.book_secrets.add("session", "desk1", "book", NOW)
    result_of(one.exchange.tell())
    result_of(two.exchange.hear())
    assert two.one_time.passwords.get("session", "desk1", NOW) == "secret"
    assert two.one_time.passwords.get("other", "desk1", NOW) == ""
    assert two.one_time.book_secrets.get("session", "desk1", NOW) == "book"
    assert two.one_time.addresses.get("session", "desk1", NOW) == ""
    assert two.one_time.passwords.get("session", "desk1", NOW + PASSWORD_SECONDS) == ""
    two.one_time.forget("DESK1")
    result_of(two.exchange.tell())
    result_of(one.exchange.hear())
    assert one.one_time.passwords.get("session", "desk1", NOW) == ""
    assert one.one_time.book_secrets.get("session", "desk1", NOW) == ""


def test_a_form_waits_for_what_is_being_told(database: Database, trio: Trio) -> None:
    """Though it was not the form that began to tell it."""
    one, two, _ = trio
    waiting: list[Deferred[Any]] = []

    def later(function: Any, *args: Any) -> Deferred[Any]:
        waiting.append(Deferred().addCallback(lambda _: database.run_beside(function, *args)))
        return waiting[-1]

    one.exchange._run_beside = later
    one.one_time.passwords.add("session", "desk1", "secret", NOW)
    one.pass_second()
    told = Deferred.fromCoroutine(one.exchange.tell())
    assert not told.called
    waiting.pop().callback(None)
    assert told.called
    result_of(two.exchange.hear())
    assert two.one_time.passwords.get("session", "desk1", NOW) == "secret"


def test_nothing_is_told_to_nobody(database: Database) -> None:
    """A gateway alone writes nothing; who comes later gets only what is shown for a day."""
    one = Gateway(database, "one")
    one.exchange.set_others(frozenset())
    one.search(b"-")
    assert not one.ldap.budget(PHONE, "192.0.2.1").take(int(UNKNOWN_NUMBERS) + 1)
    one.pass_second()
    assert rows(database) == []
    two = Gateway(database, "two")
    one.exchange.set_others(frozenset({"two"}))
    one.pass_second()
    two.pass_second()
    assert two.messages() == []
    assert [found.login for found in two.left_out.of("acme")] == [PHONE.login]
    assert one.notified == ["gateways", PHONE.login, "gateways"]
    two.exchange.set_others(frozenset())
    assert two.left_out.of("acme") == ()


def test_a_gateway_that_is_not_known_yet_is_read_later(trio: Trio) -> None:
    """Once a heartbeat has told of it."""
    one, two, _ = trio
    two.exchange.set_others(frozenset({"three"}))
    one.search(b"-")
    one.pass_second()
    two.pass_second()
    assert two.messages() == []
    two.exchange.set_others(frozenset({"one", "three"}))
    two.pass_second()
    assert two.messages() == [b"-"]


def test_without_the_database_news_are_lost_and_pages_go_on(trio: Trio) -> None:
    """What comes afterwards is told."""
    one, two, _ = trio
    one.away = True
    one.search(b"lost")
    one.one_time.passwords.add("session", "desk1", "secret", NOW)
    result_of(one.exchange.tell())
    result_of(one.exchange.hear())
    one.away = False
    one.search(b"told")
    one.pass_second()
    two.pass_second()
    assert two.messages() == [b"told"]


def test_what_cannot_be_read_is_passed_over(database: Database) -> None:
    """Another key, or another version."""
    one = Gateway(database, "one", Fernet.generate_key())
    two, three = (Gateway(database, name) for name in ("two", "three"))
    one.search(b"other key")
    one.pass_second()
    body = SecretBox([KEY]).seal('{"searches": 3}').decode()
    database.run_beside(gateway_exchange.gateways.exchange_news, "one", (2, body), {})
    body = SecretBox([KEY]).seal('{"something": "new"}').decode()
    database.run_beside(gateway_exchange.gateways.exchange_news, "one", (3, body), {})
    three.search(b"mine")
    three.pass_second()
    two.pass_second()
    assert two.messages() == [b"mine"]


def test_a_flood_is_cut(trio: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last searches and the most guesses are told."""
    monkeypatch.setattr(gateway_exchange, "MAX_SEARCHES", 2)
    monkeypatch.setattr(gateway_exchange, "MAX_GUESSES", 1)
    one, two, _ = trio
    for number in range(4):
        one.search(b"%d" % number)
        one.clock.advance(0.01)
        one.ldap.bind_delay(f"192.0.2.{number}", "desk1")
    one.pass_second()
    two.pass_second()
    assert two.messages() == [b"3", b"2"]
    assert two.ldap.bind_delay("192.0.2.1", "desk2") == 0.25
    assert two.ldap.bind_delay("203.0.113.1", "desk1") == 0.25 * 2**4


def test_the_end_waits_for_an_exchange(database: Database, trio: Trio) -> None:
    """The thread that it uses ends afterwards."""
    one, _, _ = trio
    pending: Deferred[Any] = Deferred()
    one.exchange._run_beside = lambda *_: pending
    one.pass_second()
    ended = one.exchange.stopService()
    assert not ended.called
    pending.callback([])
    assert ended.called
    one.pass_second()
    assert rows(database) == []
