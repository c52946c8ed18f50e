# SPDX-License-Identifier: MIT
"""The log keeps the last searches of phones within limits, and forgets them in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from ldapgw.errors import ResultCode
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.phones import search_log
from ldapgw.phones.logged_search import LoggedSearch, NewSearches, SearchUpdate
from ldapgw.phones.search_log import MAX_MESSAGE_BYTES, SEARCHES_PER_PHONE, SearchLog

DESK1, DESK2 = "cn=desk1,ou=phones,dc=acme,dc=example", "cn=desk2,ou=phones,dc=acme,dc=example"
OK = ResultCode.SUCCESS


@pytest.fixture
def kept() -> SearchLog:
    return SearchLog(Clock().seconds)


def observe(
    kept: SearchLog, login: str = DESK1, message: bytes = b"m", entries: int = 1, code: ResultCode = OK
) -> None:
    kept.observe(FinishedSearch(login, "192.0.2.1", message, entries, code, 0.002))


def messages(kept: SearchLog, login: str = DESK1) -> list[bytes]:
    return [search.message for search in kept.searches_of(login)]


def test_the_own_tests_of_the_gateway_are_not_logged() -> None:
    """A search is recognized by its login and its address together."""
    notified: list[str] = []
    kept = SearchLog(Clock().seconds, notified.append, lambda login, address: (login, address) == (DESK1, "192.0.2.1"))
    observe(kept)
    assert (messages(kept), notified) == ([], [])
    observe(kept, DESK2)
    assert (messages(kept, DESK2), notified) == ([b"m"], [DESK2])


def test_the_newest_come_first_and_the_oldest_go() -> None:
    """Each phone has its own limit."""
    clock = Clock()
    kept = SearchLog(clock.seconds)
    for number in range(SEARCHES_PER_PHONE + 5):
        clock.advance(1)
        observe(kept, message=b"%d" % number)
    observe(kept, DESK2, b"other", 0)
    assert messages(kept) == [b"%d" % number for number in reversed(range(5, SEARCHES_PER_PHONE + 5))]
    assert kept.searches_of(DESK2) == (LoggedSearch(DESK2, "192.0.2.1", b"other", 0, OK, 0.002, 25.0),)
    assert kept.searches_of("cn=desk3") == ()
    assert kept._count == SEARCHES_PER_PHONE + 1


def test_a_long_message_is_not_kept(kept: SearchLog) -> None:
    """The log notes the search without its message."""
    observe(kept, message=b"x" * (MAX_MESSAGE_BYTES + 1))
    observe(kept, message=b"x" * MAX_MESSAGE_BYTES)
    assert messages(kept) == [b"x" * MAX_MESSAGE_BYTES, b""]


def test_all_phones_together_are_bounded(kept: SearchLog, monkeypatch) -> None:
    """Beyond the limit, the log forgets all searches of the phones that have been silent longest."""
    monkeypatch.setattr(search_log, "MAX_SEARCHES", 10)
    for _ in range(4):
        observe(kept, "a")
    for login in ("b", "c", "a", "b", "c"):
        observe(kept, login)
    assert [len(kept.searches_of(login)) for login in "abc"] == [5, 2, 2]
    for _ in range(2):
        observe(kept, "d")
    assert [len(kept.searches_of(login)) for login in "abcd"] == [0, 2, 2, 2]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["", "", *"abcdef", None])), max_size=200))
def test_the_count_is_right(steps: list[tuple[str, str | None]]) -> None:
    """The count stays right through new searches, forgotten searches and renamed logins."""
    kept = SearchLog(Clock().seconds)
    for login, successor in steps:
        if successor is None:
            observe(kept, login)
        else:
            kept.end(login, successor)
    assert kept._count == sum(len(kept.searches_of(login)) for login in "abcdef")


@pytest.mark.parametrize(
    ("successor", "found"),
    [(DESK1, {DESK1: 2, DESK2: 1}), ("cn=new", {"cn=new": 2, DESK2: 1}), (DESK2, {DESK2: 1}), ("", {DESK2: 1})],
    ids=["another password", "another name", "a name that has searched", "removed"],
)
def test_searches_follow_a_login_that_ends(successor: str, found: dict[str, int]) -> None:
    """The searches move to the new login of the same phone."""
    kept = SearchLog(Clock().seconds)
    for login in (DESK1, DESK2, DESK1):
        observe(kept, login)
    kept.end(DESK1, successor)
    counts = {login: len(kept.searches_of(login)) for login in (DESK1, DESK2, "cn=new")}
    assert {login: count for login, count in counts.items() if count} == found


def test_what_is_forgotten_is_gone(kept: SearchLog) -> None:
    """Forgotten searches are not among the updates either."""
    observe(kept)
    kept.forget(DESK1)
    assert (kept.searches_of(DESK1), kept.take_updates()) == ((), {})


def test_what_is_fresh_is_taken_once(kept: SearchLog) -> None:
    """An update has the phone's last search, and the last successful search since then."""
    observe(kept, message=b"found", entries=3)
    observe(kept, message=b"nothing", entries=0)
    observe(kept, DESK2, b"failed", 0, ResultCode.NO_SUCH_OBJECT)
    last, found, failed = kept.searches_of(DESK1)[0], kept.searches_of(DESK1)[1], kept.searches_of(DESK2)[0]
    assert kept.take_updates() == {DESK1: SearchUpdate(last, found), DESK2: SearchUpdate(failed)}
    assert kept.take_updates() == {}
    assert len(kept.searches_of(DESK1)) == 2


def test_strangers_are_counted_by_address_alone(monkeypatch) -> None:
    """The log keeps a limited number of addresses, and no message, which may belong to another company."""
    monkeypatch.setattr(search_log, "MAX_REFUSED_ADDRESSES", 2)
    clock = Clock()
    kept = SearchLog(clock.seconds)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
        clock.advance(1)
        kept.observe(FinishedSearch("", address, b"m", 0, ResultCode.INSUFFICIENT_ACCESS_RIGHTS, 0.001))
    found = [kept.last_refusal(f"192.0.2.{last}") for last in (1, 2, 3)]
    assert found == [3.0, None, 4.0]
    kept.observe(FinishedSearch("", "192.0.2.4", b"the root DSE", 1, ResultCode.SUCCESS, 0.001))
    assert (kept.last_refusal("192.0.2.4"), kept.last_refusal("192.0.2.1")) == (None, 3.0)
    assert (kept.searches_of(""), kept.take_updates()) == ((), {})


def test_somebody_is_told_of_each() -> None:
    """The observer gets the login of each search by a phone."""
    told: list[str] = []
    kept = SearchLog(Clock().seconds, told.append)
    observe(kept)
    observe(kept, "", entries=0)
    assert told == [DESK1]


def test_what_counts_as_found() -> None:
    """A search found something if entries came and nothing but the size limit cut the answer."""

    def found(entries: int, code: ResultCode) -> bool:
        return LoggedSearch(DESK1, "", b"", entries, code, 0.0, 0.0).has_entries

    assert [found(1, OK), found(0, OK), found(50, ResultCode.SIZE_LIMIT_EXCEEDED)] == [True, False, True]
    assert not found(5, ResultCode.TIME_LIMIT_EXCEEDED)


def test_a_repr_holds_no_name_and_no_number() -> None:
    """A repr may get into a log."""
    search = LoggedSearch(DESK1, "192.0.2.1", b"(cn=anna)", 1, OK, 0.0, 0.0)
    assert "anna" not in repr(search)
    assert "desk1" not in repr(search)


def test_what_is_told_to_another_gateway_is_told_once() -> None:
    """The clock may be set back meanwhile. The other log sorts searches by time."""
    clock = Clock()
    kept, other = SearchLog(clock.seconds), SearchLog(clock.seconds)
    observe(kept, message=b"1")
    observe(kept, message=b"2")
    kept.observe(FinishedSearch("", "192.0.2.9", b"", 0, ResultCode.INSUFFICIENT_ACCESS_RIGHTS, 0.0))
    first = kept.take_unsent()
    assert [(one.login, one.message) for one in first.searches] == [(DESK1, b"1"), (DESK1, b"2")]
    assert first.refusals == {"192.0.2.9": 0.0}
    other.add(first)
    clock.rightNow = -3600.0
    observe(kept, message=b"3")
    observe(kept, DESK2, b"4")
    second = kept.take_unsent()
    assert [(one.login, one.message) for one in second.searches] == [(DESK1, b"3"), (DESK2, b"4")]
    other.add(second)
    assert kept.take_unsent() == NewSearches()
    assert [one.message for one in other.searches_of(DESK1)] == [b"2", b"1", b"3"]
    assert other.searches_of(DESK2) == kept.searches_of(DESK2)
    assert other.last_refusal("192.0.2.9") == 0.0


def test_more_than_is_kept_is_not_told(kept: SearchLog) -> None:
    """Only kept searches are sent, and a forgotten phone begins anew."""
    observe(kept, message=b"first")
    kept.take_unsent()
    for number in range(SEARCHES_PER_PHONE + 5):
        observe(kept, message=b"%d" % number)
    assert [one.message for one in kept.take_unsent().searches] == [b"%d" % number for number in range(5, 25)]
    kept.forget(DESK1)
    observe(kept, message=b"anew")
    assert [one.message for one in kept.take_unsent().searches] == [b"anew"]


def test_of_too_many_the_searches_of_the_last_phones_are_told(kept: SearchLog) -> None:
    """The log never sends the other searches later."""
    for number, login in enumerate((DESK1, DESK2, DESK1, "cn=desk3", "cn=desk3")):
        observe(kept, login, b"%d" % number)
    assert [one.message for one in kept.take_unsent(3).searches] == [b"1", b"3", b"4"]
    observe(kept, DESK1, b"5")
    assert [one.message for one in kept.take_unsent(3).searches] == [b"5"]
    observe(kept, DESK1, b"6")
    assert kept.take_unsent(0).searches == kept.take_unsent().searches == ()
    observe(kept, DESK1, b"7")
    observe(kept, DESK1, b"8")
    assert [one.message for one in kept.take_unsent(1).searches] == [b"8"]


def test_searches_of_another_gateway_come_late() -> None:
    """Received searches are sorted by time and push out the oldest. The log neither stores nor sends them."""
    clock = Clock()
    here, there = SearchLog(clock.seconds), SearchLog(clock.seconds)
    observe(here, message=b"first")
    clock.advance(1)
    observe(there, message=b"second")
    clock.advance(1)
    for number in range(SEARCHES_PER_PHONE - 1):
        observe(here, message=b"%d" % number)
    here.take_unsent()
    here.take_updates()
    here.add(there.take_unsent())
    last = [b"%d" % number for number in reversed(range(SEARCHES_PER_PHONE - 1))]
    assert [one.message for one in here.searches_of(DESK1)] == [*last, b"second"]
    assert (here.take_unsent(), here.take_updates()) == (NewSearches(), {})
    there.observe(FinishedSearch("", "192.0.2.9", b"", 0, ResultCode.INSUFFICIENT_ACCESS_RIGHTS, 0.0))
    here.add(there.take_unsent())
    assert here.last_refusal("192.0.2.9") == 2.0
    assert here.take_unsent() == NewSearches()


def test_a_gateway_sends_only_its_own_searches_of_a_phone() -> None:
    """The log sends its own search even if a later search came from another gateway."""
    clock = Clock()
    here, there = SearchLog(clock.seconds), SearchLog(clock.seconds)
    observe(here, message=b"own")
    clock.advance(1)
    observe(there, message=b"foreign")
    here.add(there.take_unsent())
    assert messages(here) == [b"foreign", b"own"]
    assert [search.message for search in here.take_unsent().searches] == [b"own"]


def test_refusals_that_are_told_are_bounded(kept: SearchLog, monkeypatch) -> None:
    """The number of refused addresses is limited, because anybody can be refused."""
    monkeypatch.setattr(search_log, "MAX_REFUSED_ADDRESSES", 3)
    for number in range(5):
        kept.observe(FinishedSearch("", f"192.0.2.{number}", b"", 0, ResultCode.INSUFFICIENT_ACCESS_RIGHTS, 0.0))
    assert kept.take_unsent().refusals.keys() == {"192.0.2.0", "192.0.2.1", "192.0.2.2"}
