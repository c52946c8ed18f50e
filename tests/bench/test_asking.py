# SPDX-License-Identifier: MIT
"""The searches of the load are searches, always the same ones."""

from __future__ import annotations

import re

import pytest

from bench.directory.asking import ATTRIBUTES, MOST_ENTRIES, WORKLOADS, all_of, equality, present
from bench.directory.people import person
from ldapgw.directory.filter import to_string
from ldapgw.ldap.decoder import decode

BASE = "dc=acme,dc=example"
PEOPLE = [person(at) for at in range(50)]


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_what_is_asked_can_be_read(workload):
    """Each is one message with messageID 1 in one octet, for the six attributes."""
    asked = workload.asked(BASE, PEOPLE)
    for request in asked.requests[:100]:
        message = decode(request)
        assert (message.message_id, message.request.attributes) == (1, ATTRIBUTES)
    assert asked == workload.asked(BASE, PEOPLE)


def test_one_caller_in_ten_is_unknown():
    """Their numbers are of a country that has none."""
    requests = WORKLOADS["reverse"].asked(BASE, PEOPLE).requests
    assert 0.08 < sum(b"+49999" in request for request in requests) / len(requests) < 0.12


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("two-words", r"\(\|\(cn=(\S+ \S+)\*\)\(sn=\1\*\)\(givenName=\1\*\)\)"),
        ("three-words", r"\(\|\(cn=(\S+ \S+ \S+)\*\)\(sn=\1\*\)\(givenName=\1\*\)\)"),
        ("and-yealink", r"\(&\(objectClass=person\)\(\|\(cn=(.+)\*\)\(sn=\1\*\)\(o=\1\*\)\)\)"),
        ("and-snom", r"\(&\(telephoneNumber=\*\)\(sn=(.+)\*\)\)"),
        ("and-poly", r"\(&\(cn=(.+)\*\)\(\|\(telephoneNumber=\*\)\(mobile=\*\)\)\)"),
        ("presence", r"\(telephoneNumber=\*\)"),
        ("strict-prefix", r"\(\|\(cn=(.+)\*\)\(sn=\1\*\)\(givenName=\1\*\)\)"),
        ("strict-reverse", r"\(\|\(telephoneNumber=(\+\d+)\)\(mobile=\1\)\(homePhone=\1\)\)"),
    ],
)
def test_filters_are_those_of_phones(name, shape):
    """Filters as phones send them, the same way round; what is in them are beginnings of names, and whole numbers."""
    asked = WORKLOADS[name].asked(BASE, PEOPLE)
    for request in asked.requests[:100]:
        search = decode(request).request
        assert re.fullmatch(shape, to_string(search.filter))
        assert search.size_limit == MOST_ENTRIES


def test_filters_have_the_octets_of_rfc_4511():
    """Presence is a name alone; "and" is a set of filters."""
    assert present("sn") == b"\x87\x02sn"
    assert all_of(present("sn"), equality("o", "x")) == b"\xa0\x0c\x87\x02sn\xa3\x06\x04\x01o\x04\x01x"
    assert WORKLOADS["presence"].asked(BASE, PEOPLE).requests[0].count(b"\x87\x0ftelephoneNumber") == 1


def test_the_same_is_asked_where_rates_are_compared():
    """Otherwise the ratio would be one of words."""
    for name, other in (("strict-prefix", "prefix"), ("strict-reverse", "reverse")):
        assert WORKLOADS[name].asked(BASE, PEOPLE) == WORKLOADS[other].asked(BASE, PEOPLE)
    plain, narrowed = (WORKLOADS[name].asked(BASE, PEOPLE).requests[:100] for name in ("prefix", "and-yealink"))
    for one, other in zip(plain, narrowed, strict=True):
        assert decode(one).request.filter.terms[0] == decode(other).request.filter.terms[1].terms[0]


def test_rows_beside_others_name_those_of_slapd():
    """A row whose goal is a part of another's is not itself one that others are compared with."""
    beside = {one.beside for one in WORKLOADS.values() if one.beside}
    assert (beside, {WORKLOADS[name].beside for name in beside}) == ({"prefix", "reverse"}, {""})
