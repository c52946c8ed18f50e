# SPDX-License-Identifier: MIT
"""The wire's octets, read and judged."""

from __future__ import annotations

from ldapgw.directory.filter import Equality, Scope, SearchRequest
from ldapgw.errors import ResultCode
from ldapgw.phones.activity import PhoneWatch
from ldapgw.phones.hints import Seen
from ldapgw.store.phones import Numbers, PhoneLogin, SearchNote
from tests.ldap import asks, pdu
from tests.ldap.test_filter import encode

BASE = "dc=acme,dc=example"
DESK1 = PhoneLogin("desk1", "acme", None, Numbers.VALUES, "", 0.0)
GONE = PhoneLogin("old", "globex", None, Numbers.VALUES, "", 0.0)
NUMBER = Equality("telephoneNumber", b"0301234567")


def watched(*messages: tuple[bytes, int]) -> PhoneWatch:
    watch = PhoneWatch({"acme": BASE}, lambda: 7.0)
    for message, entries in messages:
        watch.searches.observe(watch.bind_dn(DESK1), "192.0.2.7", message, entries, ResultCode.SUCCESS, 0.001)
    return watch


def message(entries: int, scope: int = 2) -> tuple[bytes, int]:
    request = pdu.search(BASE, scope, encode(NUMBER), ("cn",), size=50)
    return pdu.message(3, request, pdu.controls(asks.sort("cn"))), entries


def test_a_search_is_read_when_somebody_looks() -> None:
    """The request and its controls; what cannot be read, or is no search, has neither."""
    watch = watched((b"\x30\x03\x02\x01", 0), (pdu.message(2, pdu.WHO_AM_I), 0), message(1))
    found, other, broken = watch.seen(DESK1)
    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, NUMBER, 50, 0, False, ("cn",))
    assert found == Seen(watch.searches.of(watch.bind_dn(DESK1))[0], request, (asks.SORT,))
    assert [one.request for one in (other, broken)] == [None, None]


def test_what_is_remembered() -> None:
    """The gravest hint's code, and when it worked; nothing of what was searched for."""
    watch = watched(message(1), message(0))
    [fresh] = watch.searches.take_fresh().values()
    assert watch.judge(DESK1, fresh) == SearchNote(7.0, "number_alone", 7.0)


def test_reading_one_entry_is_not_working() -> None:
    """A phone that looks at the root DSE has found nobody."""
    watch = watched(message(1, scope=0))
    [fresh] = watch.searches.take_fresh().values()
    assert watch.judge(DESK1, fresh) == SearchNote(7.0, "number_alone", None)


def test_a_phone_whose_tenant_is_gone() -> None:
    """Has no DN, no base and no searches."""
    watch = watched(message(1))
    assert (watch.bind_dn(GONE), watch.base_dn("globex"), watch.seen(GONE)) == ("", "", ())
    assert watch.bind_dn(DESK1) == "cn=desk1,ou=phones,dc=acme,dc=example"
