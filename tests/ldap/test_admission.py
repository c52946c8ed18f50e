# SPDX-License-Identifier: MIT
"""Addresses, connections, deadlines, penalties, unknown numbers, and lines of the log bound a client."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from twisted.internet.task import Clock

from ldapgw.directory.access import LeftOut
from ldapgw.directory.clients import MAX_BUCKETS
from ldapgw.ldap import admission
from ldapgw.ldap.admission import (
    FIRST_DELAY,
    FORGET_SECONDS,
    LOG_INTERVAL,
    MAX_DELAY,
    MAX_SHOWN_LEFT_OUT,
    MAX_TRACKED_LOGINS,
    MAX_TRACKED_ORIGINS,
    OTHERS,
    UNKNOWN_NUMBERS,
    BindBackoff,
    CallerIdLimits,
    ConnectionLimits,
    Deadlines,
    ExpiryAction,
    LogLine,
    LogThrottle,
    Timeout,
)
from ldapgw.ldap.server import Guesses
from tests.support.phonebook.trees import HALL, PHONE
from tests.support.phonebook.wire import make_factory, make_gate


def test_connections_are_counted_in_all_and_by_network():
    """A connection that ends makes room."""
    connections: ConnectionLimits[str] = ConnectionLimits(3, 2)
    connections.add("a", "net")
    connections.add("b", "net")
    assert (connections.has_room("net"), connections.has_room("other")) == (False, True)
    connections.add("c", "other")
    assert not connections.has_room("third")
    assert sorted(connections) == ["a", "b", "c"]
    connections.remove("a")
    connections.remove("c")
    assert (len(connections), connections.has_room("net"), connections.has_room("third")) == (1, True, True)
    connections.delay_close("net")
    assert (len(connections), connections.has_room("net"), connections.has_room("third")) == (1, False, True)
    connections.release("net")
    assert connections.has_room("net")


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ("idle", ExpiryAction.CLOSE),
        ("message", ExpiryAction.CLOSE),
        ("write", ExpiryAction.ABORT),
        ("handshake", ExpiryAction.ABORT),
        ("closing", ExpiryAction.ABORT),
    ],
)
def test_each_deadline_has_its_end(waiting, expected):
    """A client that takes nothing is cut off; a client that says nothing is sent away."""
    deadlines = Deadlines()
    assert deadlines.expiry_action(1e12) is None
    deadlines.set(Timeout(waiting), 10.0)
    assert deadlines.earliest == 10.0
    assert deadlines.expiry_action(9.9) is None
    assert deadlines.earliest == 10.0
    assert deadlines.expiry_action(10.0) is expected


def test_what_is_put_off_is_looked_at_once_more():
    """The sweep looks at one number; it may be too early, never too late."""
    deadlines = Deadlines()
    deadlines.set(Timeout.IDLE, 10.0)
    deadlines.set(Timeout.MESSAGE, 5.0)
    deadlines.message = inf
    deadlines.idle = 20.0
    assert deadlines.earliest == 5.0
    assert deadlines.expiry_action(6.0) is None
    assert deadlines.earliest == 20.0


def test_wrong_passwords_get_slower_and_are_forgotten():
    """Each network for itself."""
    penalties = BindBackoff()
    delays = [penalties.delay("a", f"phone{number}", 0.0) for number in range(7)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, MAX_DELAY, MAX_DELAY]
    assert penalties.delay("b", "other", 0.0) == 0.25
    assert penalties.delay("a", "other", FORGET_SECONDS - 1) == MAX_DELAY
    assert penalties.delay("a", "other", 2 * FORGET_SECONDS) == 0.25
    penalties.add({"a": 2000}, 2 * FORGET_SECONDS)
    assert penalties.delay("a", "another", 2 * FORGET_SECONDS) == MAX_DELAY


@pytest.mark.parametrize("spelling", ["desk1", " DESK1", "cn=desk1,ou=phones,dc=example", "CN=Desk1, ou=phones"])
def test_a_login_that_is_tried_from_everywhere_gets_slower_too(spelling):
    """The spelling of the login does not matter."""
    penalties = BindBackoff()
    assert [penalties.delay(f"net{at}", "desk1", 0.0) for at in range(3)] == [0.25, 0.5, 1.0]
    assert penalties.delay("net9", spelling, 0.0) == 2.0
    assert penalties.delay("net10", "desk2", 0.0) == 0.25


@pytest.mark.parametrize(
    "spelling", ["desk-a", "DESK-A ", "cn=desk-a,ou=phones,dc=x", r"CN = desk\2da,ou=y", "cn=desk-a"]
)
def test_one_answer_is_held_for_each_network_and_login(spelling):
    """Until it is sent; others are held for other logins, and for other networks."""
    penalties = BindBackoff()
    assert penalties.delay("a", "desk-a", 0.0) == 0.25
    assert penalties.delay("a", spelling, 0.2) is None
    assert penalties.delay("a", "desk-b", 0.2) == 1.0
    assert penalties.delay("b", spelling, 0.2) == 1.0
    assert penalties.delay("a", spelling, 0.25) == 2.0
    assert penalties.delay("a", "desk-a", 2.2) is None
    assert penalties.delay("a", "desk-a", 2.25) == MAX_DELAY


@pytest.mark.parametrize("name", ["=", "cn=", "cn", "", "cn=a\\", "=,"])
def test_what_is_no_login_is_held_too(name):
    penalties = BindBackoff()
    assert [penalties.delay("a", name, now) for now in (0.0, 0.1)] == [0.25, None]


def test_unknown_numbers_are_limited_by_login():
    """So many at once, and then one a second; whatever has been found does not count."""
    now, left_out = [0.0], []
    limits = CallerIdLimits(lambda: now[0], lambda *one: left_out.append(one))
    budget, other = limits.budget(PHONE, "192.0.2.1"), limits.budget(PHONE._replace(login="cn=other"), "192.0.2.1")
    assert [budget.take(1) for _ in range(302)] == [True] * 300 + [False] * 2
    assert other.take(300)
    assert left_out == [(PHONE, "192.0.2.1")] * 2
    now[0] = 2.0
    assert [limits.budget(PHONE, "192.0.2.9").take(1) for _ in range(3)] == [True, True, False]
    assert limits.left_out("acme") == (LeftOut(PHONE.login, ("acme",), "192.0.2.9", 3, 2.0),)
    budget.give_back(10)
    assert [budget.take(1) for _ in range(11)] == [True] * 10 + [False]
    now[0] = 10_000.0
    assert (budget.take(301), budget.take(299), budget.take(2)) == (False, True, False)
    now[0] = 200_000.0
    assert limits.left_out("acme") == ()
    assert not budget.take(301)
    assert [one.count for one in limits.left_out("acme")] == [1]


def test_unknown_numbers_of_unbound_clients_are_limited_by_network():
    """An IPv6 host has a whole /64; a clock that goes back makes nothing better or worse."""
    now = [5.0]
    limits = CallerIdLimits(lambda: now[0], lambda *_: None)
    anonymous = PHONE._replace(login="")
    assert limits.budget(anonymous, "2001:db8::1").take(300)
    now[0] = 0.0
    assert not limits.budget(anonymous, "2001:db8::2").take(1)
    assert limits.budget(anonymous, "2001:db8:0:1::1").take(300)


def test_what_is_known_of_numbers_is_bounded():
    """Buckets that were not used longest go first, and so do the lines for the administrator."""
    limits = CallerIdLimits(lambda: 0.0, lambda *_: None)
    for number in range(MAX_BUCKETS + 1):
        limits.budget(PHONE._replace(login=f"cn={number}"), "192.0.2.1").take(1)
    assert len(limits._buckets) == MAX_BUCKETS
    for number in range(MAX_SHOWN_LEFT_OUT + 1):
        limits.budget(PHONE._replace(login=f"cn={number}"), "192.0.2.1").take(301)
    shown = limits.left_out("acme")
    assert [one.login for one in shown] == [f"cn={number}" for number in range(MAX_SHOWN_LEFT_OUT, 0, -1)]
    told = limits.take_left_out()
    assert [one.login for one in told] == [f"cn={number}" for number in range(MAX_SHOWN_LEFT_OUT)]


def test_the_tables_of_wrong_passwords_are_bounded():
    """The quietest entries are dropped first; tried logins are not kept, because they may be passwords."""
    penalties = BindBackoff()
    penalties.delay("first", "hunter2", 0.0)
    for number in range(MAX_TRACKED_LOGINS):
        penalties.delay(f"net{number}", f"phone{number}", 1.0)
    assert (len(penalties._counts), len(penalties._held)) == (MAX_TRACKED_LOGINS, MAX_TRACKED_LOGINS)
    assert "hunter2" not in repr(penalties._counts)
    assert penalties.delay(f"net{MAX_TRACKED_LOGINS - 1}", "new", 2.0) == 0.5
    assert penalties.delay("first", "new2", 2.0) == 0.25


def test_who_was_quiet_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_TRACKED_LOGINS", 4)
    penalties = BindBackoff()
    for now, (network, login) in enumerate(("ax", "by", "ax", "cz")):
        penalties.delay(network, login, float(now))
    assert penalties.delay("a", "new", 4.0) == FIRST_DELAY * 4
    assert penalties.delay("b", "other", 4.0) == FIRST_DELAY


def test_wrong_passwords_at_other_gateways_count() -> None:
    """Attempts at other gateways count as attempts here, and are not told back."""
    here, there = BindBackoff(), BindBackoff()
    for number in range(3):
        there.delay("192.0.2.1", "cn=desk1,dc=example", float(number))
    news = there.take_unsent()
    assert news == {"192.0.2.1": 3, hash("desk1"): 3}
    assert there.take_unsent() == {}
    here.add(news, 3.0)
    assert here.take_unsent() == {}
    assert here.delay("192.0.2.7", "desk1", 3.0) == FIRST_DELAY * 8
    assert here.delay("192.0.2.1", "desk2", 3.0) == FIRST_DELAY * 8
    here.add({"192.0.2.1": 2}, 3.0 + FORGET_SECONDS)
    assert here.delay("192.0.2.1", "desk3", 3.0 + FORGET_SECONDS) == FIRST_DELAY * 4


def test_what_is_told_of_wrong_passwords_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_TRACKED_LOGINS", 2)
    backoff = BindBackoff()
    for number in range(4):
        backoff.delay(f"192.0.2.{number}", "desk1", 0.0)
    assert backoff.take_unsent() == {"192.0.2.0": 1, hash("desk1"): 4}


def test_numbers_asked_for_at_other_processes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that were given back do not count."""
    now = [0.0]
    here, there = (CallerIdLimits(lambda: now[0], lambda *_: None) for _ in range(2))
    assert there.take(PHONE, "192.0.2.1", 290)
    there.give_back(PHONE, "192.0.2.1", 40)
    news = there.take_unsent()
    assert news == {PHONE.login: 250}
    assert there.take_unsent() == {}
    here.add(news)
    assert here.take(PHONE, "192.0.2.1", 50)
    assert not here.take(PHONE, "192.0.2.1", 1)
    assert here.take_unsent() == {PHONE.login: 50}
    assert [one.count for one in here.left_out("acme")] == [1]
    monkeypatch.setattr(admission, "MAX_TRACKED_LOGINS", 1)
    now[0] = 1000.0
    assert here.take(PHONE, "192.0.2.1", 1)
    assert here.take(PHONE._replace(login=""), "192.0.2.2", 1)
    assert here.take_unsent() == {PHONE.login: 1}


def test_phones_and_web_pages_have_one_budget() -> None:
    """Attempts over LDAP and HTTP, here and at other gateways, count for the login from any address."""
    here, there = make_factory(clock=Clock()), make_factory(clock=Clock())
    assert there.take_guesses() == Guesses()
    assert there.budget(PHONE, "192.0.2.1").take(int(UNKNOWN_NUMBERS))
    assert not there.budget(PHONE, "192.0.2.2").take(1)
    assert there.budget(HALL, "192.0.2.1").take(1)
    assert there.bind_delay("192.0.2.1", "desk1") == 0.25
    here.add_guesses(there.take_guesses())
    assert there.take_guesses() == Guesses()
    assert not here.budget(PHONE, "192.0.2.1").take(1)
    assert here.bind_delay("192.0.2.1", "desk1") == 0.5
    assert ([client.count for client in here.left_out("acme")], here.left_out("other")) == ([2], ())


def test_a_key_of_any_length_hashes_logins() -> None:
    factory = make_factory(replace(make_gate(), cookie_key=bytes(100)), clock=Clock())
    assert factory.bind_delay("192.0.2.1", "desk1") == FIRST_DELAY


def test_guesses_that_count_most_are_told_last() -> None:
    factory = make_factory(clock=Clock())
    for login in ("desk1", "desk2"):
        factory.bind_delay("192.0.2.1", login)
    for viewer, count in ((PHONE, 5), (HALL, 2)):
        factory.budget(viewer, "192.0.2.1").take(count)
    guesses = factory.take_guesses()
    assert [*guesses.passwords.values()] == [1, 1, 2]
    assert guesses.passwords["192.0.2.1"] == 2
    assert [*guesses.numbers.items()] == [(HALL.login, 2), (PHONE.login, 5)]


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_first_is_told_at_once_and_the_rest_a_minute_later():
    """With how many there were and what the last one was; then it is forgotten."""
    throttle = LogThrottle()
    assert throttle.add("not LDAP", "a", 0.0, "one") == LogLine("not LDAP", "a", 1, "one")
    assert [throttle.add("not LDAP", "a", float(second), "two") for second in range(50)] == [None] * 50
    assert list(throttle.due(LOG_INTERVAL - 1)) == []
    assert list(throttle.due(LOG_INTERVAL)) == [LogLine("not LDAP", "a", 50, "two")]
    assert list(throttle.due(LOG_INTERVAL + 1)) == []
    assert list(throttle.due(2 * LOG_INTERVAL)) == []
    assert throttle.add("not LDAP", "a", 2 * LOG_INTERVAL) == LogLine("not LDAP", "a", 1, "")


@pytest.mark.parametrize("later", [1000.0 + LOG_INTERVAL, 0.0], ids=["due", "a clock that is set back"])
def test_what_was_not_told_is_told_with_the_next(later):
    """Nobody may have asked for what is due, and the time of the last line may be in the future."""
    throttle = LogThrottle()
    for now in (1000.0, 1001.0):
        throttle.add("not LDAP", "a", now)
    assert throttle.add("not LDAP", "a", later) == LogLine("not LDAP", "a", 2, "")
    throttle.add("not LDAP", "a", later + 1)
    assert list(throttle.due(later - LOG_INTERVAL - 1)) == [LogLine("not LDAP", "a", 1, "")]


def test_kinds_and_origins_are_told_apart():
    """One client's noise hides neither another's nor its own of another kind."""
    throttle = LogThrottle()
    told = [throttle.add(kind, origin, 0.0) for kind in ("x", "y") for origin in ("a", "b")]
    assert [(one.kind, one.origin) for one in told] == [("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")]


def test_an_ipv6_client_is_told_whole():
    """It is counted by its network, and named by its last address."""
    throttle = LogThrottle()
    first = throttle.add("x", "2001:db8::/64", 0.0, address="2001:db8::7")
    throttle.add("x", "2001:db8::/64", 1.0, address="2001:db8::8")
    ipv4 = throttle.add("x", "192.0.2.7", 1.0, address="192.0.2.7")
    [later] = throttle.due(LOG_INTERVAL)
    assert [first.client, ipv4.client, later.client] == [
        "2001:db8::7 (2001:db8::/64)",
        "192.0.2.7",
        "2001:db8::8 (2001:db8::/64)",
    ]


def test_the_table_is_bounded():
    """New origins count together while the table is full; an emptied table has room again."""
    throttle = LogThrottle()
    for number in range(MAX_TRACKED_ORIGINS):
        throttle.add("x", f"net{number}", 0.0)
    assert throttle.add("x", "new", 1.0) == LogLine("x", OTHERS, 1, "")
    assert throttle.add("x", "newer", 1.0) is None
    assert throttle.add("x", "net7", 1.0) is None
    assert sorted((one.origin, one.count) for one in throttle.due(1.0, 0.0)) == [("net7", 1), (OTHERS, 1)]
    assert list(throttle.due(2.0 + LOG_INTERVAL)) == []
    assert throttle.add("x", "new", 2.0 + LOG_INTERVAL) == LogLine("x", "new", 1, "")
