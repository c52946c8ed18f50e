# SPDX-License-Identifier: MIT
"""What a phone was recorded asking is asked again: of the recorded entries, and with stand-ins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from ldapgw.contact import Sharing
from ldapgw.directory.access import Access, Viewer, number_formatter
from ldapgw.directory.dit import Dit
from ldapgw.directory.filter import Equality, Present, Scope, SearchRequest, Substrings
from ldapgw.directory.number_formatter import PHONE_FORMATS
from ldapgw.errors import ProtocolViolation
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.recording import Recording, Response, exchanges, is_of_number
from ldapgw.phones.recording_file import dump, load
from ldapgw.phones.replay import Difference, RecordedGateway, replay
from ldapgw.phones.stand_ins import with_stand_ins
from tests.support import asks, pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import BASE, BOOK, CASES, PHONE, naming_context, offices, phonebook
from tests.support.phonebook.office_searches import Asked, dit_of
from tests.support.phonebook.office_searches import search as search_of_office
from tests.support.phonebook.recorded import record, requests

SCOPES = {"base": Scope.BASE_OBJECT, "one": Scope.SINGLE_LEVEL, "sub": Scope.WHOLE_SUBTREE}
BASES = {
    "book": BOOK,
    "tenant": BASE,
    "empty": "",
    "book-with-blanks-and-upper-case": f"OU=Alice@acme.example , {BASE}",
}
JÖRG = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Substrings("cn", b"M\xc3\xbcller", (), None), attributes=("cn",))


def of_phones(*, lenient: bool) -> list[Recording]:
    """The requests of ``phones.json`` as one phone sends them, on connections of fifty."""
    searches = [
        SearchRequest(
            BASES.get(case["base"], BASE),
            SCOPES[case["scope"]],
            read_filter(case["filter"]),
            case["sizelimit"],
            0,
            False,
            tuple(case["attributes"]),
        )
        for case in CASES
    ]
    dit = phonebook(lenient=lenient)
    return [record(dit, requests(*searches[at : at + 50])) for at in range(0, len(searches), 50)]


@cache
def of_offices() -> Sequence[Recording]:
    """What phones with a login ask anywhere in an office."""
    by_desk: dict[tuple[int, int], list[Asked]] = defaultdict(list)
    for number in range(1200):
        asked = search_of_office(number)
        by_desk[asked.seed, asked.desk].append(asked)
    return [recording for (seed, at), asked in by_desk.items() for recording in _of_desk(seed, at, asked)]


def _of_desk(seed: int, at: int, asked: Sequence[Asked]) -> Iterator[Recording]:
    desk = offices.office(seed).desks[at]
    if not desk.name or len(desk.tenants) != 1:
        return
    [(tenant, _)] = desk.tenants
    dit = dit_of(seed)
    own = Dit(tuple(one for one in dit.directories if one.context.name == tenant), dit.features)
    # Without a window the whole is asked for; an entry for a number is there only for phones that get such entries.
    whole = [one for one in asked if not one.page and (desk.per_number or not is_of_number(one.base))]
    messages = [pdu.message(2 + number % 100, one.request, one.controls) for number, one in enumerate(whole)]
    yield record(own, messages, desk.viewer._replace(login=f"cn={desk.name},ou=phones,{offices.base_of(tenant)}"))


def differences(recording: Recording) -> list[tuple[str, int | None, int | None, tuple[str, ...], tuple[str, ...]]]:
    """What differs when a recording is read from its file and asked of its entries."""
    read = load(dump(recording))
    found = replay(read, RecordedGateway(read).connect)
    return [(one.exchange.text, one.exchange.code, one.code, one.missing, one.surplus) for one in found]


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_the_recorded_entries_answer_as_the_gateway_did(lenient: bool) -> None:
    """Each of the 110 requests of phones."""
    recordings = of_phones(lenient=lenient)
    assert sum(len(exchanges(one)) for one in recordings) == len(CASES)
    assert [difference for one in recordings for difference in differences(one)] == []


def test_they_answer_as_any_gateway_would() -> None:
    """With books of others, labels, callers, entries for numbers: whatever is asked wherever."""
    assert sum(len(one.found) > 0 for recording in of_offices() for one in exchanges(recording)) > 100
    assert [difference for one in of_offices() for difference in differences(one)] == []


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_stand_ins_are_found_by_what_found_the_real_ones(lenient: bool) -> None:
    """All but ranges of names, and what depends on single letters of other scripts or on two digits anywhere."""
    for recording in of_phones(lenient=lenient):
        changed = with_stand_ins(recording, Random(7))
        kept = {message.at for message in changed.messages}
        gone = {one.text for one in exchanges(recording) if one.message.at not in kept}
        assert differences(changed) == []
        assert gone <= {
            *("(&(objectClass=person)(sn<=mueller))", "(sn>=weber)", "(&(sn>=m)(sn<=n))"),
            *("(telephoneNumber=*12*)", "(&(telephoneNumber=*)(cn=a*))", "(|(cn=s*)(sn=s*))"),
        }
        assert changed.searches_left_out == len(gone)


def test_stand_ins_are_found_in_any_office() -> None:
    """A hundredth of all searches is left out, and no other differs."""
    changed = [with_stand_ins(recording, Random(at)) for at, recording in enumerate(of_offices())]
    assert [difference for one in changed for difference in differences(one)] == []
    assert sum(one.searches_left_out for one in changed) < sum(len(exchanges(one)) for one in changed) / 50


def test_what_differs_is_said() -> None:
    """An entry that is gone, one that is new, another result."""
    recording = record(phonebook(), requests(JÖRG, replace(JÖRG, base="uid=x")))
    first, *others = recording.entries
    other = {**first.attributes, "cn": ("Müller, Neu",), "uid": ("new",)}
    new = replace(first, dn=first.dn.replace(first.attributes["uid"][0], "new"), attributes=other)
    changed = replace(recording, entries=(*others, new))
    [found] = replay(changed, RecordedGateway(changed).connect)
    assert (found.missing, found.surplus, found.code) == ((first.dn,), (new.dn,), 0)
    messages = [
        replace(one, octets=replace(response, code=50).encode())
        if not one.from_phone and (response := Response.read(one.octets)).code == 32
        else one
        for one in recording.messages
    ]
    refused = replace(recording, messages=tuple(messages))
    [found] = replay(refused, RecordedGateway(refused).connect)
    assert (found.exchange.code, found.code, found.missing, found.surplus) == (50, 32, (), ())


def test_of_a_cut_answer_nothing_may_be_missing() -> None:
    """Of a page, a list view, and what a limit has cut: there may be more now, whatever the result."""
    request = pdu.search(BASE, 2, encode(Present("cn")), ("cn",))
    messages = [
        pdu.message(2, pdu.search(BASE, 2, encode(Present("cn")), ("cn",), size=3)),
        pdu.message(3, request, pdu.controls(asks.page(2))),
        pdu.message(4, request, pdu.controls(asks.sort("cn"), asks.view(0, 4, (1, 0)))),
        pdu.message(5, request),
    ]
    recording = record(phonebook(), messages)
    assert [len(one.found) for one in exchanges(recording)] == [3, 2, 5, 47]
    assert differences(recording) == []
    first = next(iter(exchanges(recording)[0].found.values()))
    without = replace(recording, entries=tuple(one for one in recording.entries if one.dn != first))
    assert [missing for _, _, _, missing, _ in differences(without)] == [(first,)] * 4


def test_who_was_not_bound_is_not_bound_again() -> None:
    """Neither before the bind, nor after one that was refused."""
    recording = record(phonebook(), requests(JÖRG), PHONE, is_bound=False)
    assert [one.code for one in exchanges(recording)] == [50]
    assert differences(recording) == []
    bound = record(phonebook(), requests(JÖRG))
    assert [one.is_bound for one in exchanges(bound)] == [True]
    bind, answer, *searched = bound.messages
    refusal = replace(Response.read(answer.octets), code=49).encode()
    refused = replace(bound, messages=(bind, replace(answer, octets=refusal), *searched))
    assert [one.is_bound for one in exchanges(refused)] == [False]


def test_what_gets_no_answer_differs() -> None:
    """As from a gateway that does not understand the message."""

    class Silent:
        def bind(self) -> None:
            pass

        def search(self, request: bytes) -> list[bytes]:
            raise ProtocolViolation("nothing")

    [found] = replay(record(phonebook(), requests(JÖRG)), Silent)
    assert isinstance(found, Difference)
    assert (found.code, len(found.missing)) == (None, 3)


def test_callers_are_found_by_their_numbers_again() -> None:
    """In a book that nobody may browse, of which nothing but the name and the number is recorded."""
    guest = Viewer(f"cn=hall,ou=phones,{BASE}", (Access("acme"),))
    number = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Equality("telephoneNumber", b"0301234567"), attributes=("cn",))
    recording = record(phonebook(sharing=Sharing.CALLERS), requests(number, JÖRG), guest)
    assert [len(one.found) for one in exchanges(recording)] == [1, 0]
    [caller] = recording.entries
    assert caller.attributes.keys() == {"cn", "telephoneNumber"}
    assert differences(recording) == []
    changed = with_stand_ins(recording, Random(1))
    assert (differences(changed), changed.searches_left_out) == ([], 0)


FORMATS = pytest.mark.parametrize("form", [form for form in PHONE_FORMATS if form is not NumberFormat.E164], ids=str)


def answers_of(recording: Recording) -> list[list[bytes]]:
    """What a recorded gateway answers to each search of the recording."""
    connection = RecordedGateway(recording).connect()
    connection.bind()
    return [[*connection.search(one.message.octets)] for one in exchanges(recording)]


def recorded_answers(recording: Recording) -> list[list[bytes]]:
    return [[recording.messages[at].octets for at in one.positions[1:]] for one in exchanges(recording)]


@FORMATS
@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_a_number_format_is_recorded(form: NumberFormat, lenient: bool) -> None:
    """The recorded entries answer in it, octet for octet."""
    context = naming_context(lenient=lenient)
    viewer = PHONE._replace(number_formatter=number_formatter(form, context))
    search = replace(JÖRG, attributes=("cn", "telephoneNumber", "mobile"))
    number = replace(search, filter=Equality("telephoneNumber", b"+49301234567"))
    recording = record(phonebook(lenient=lenient), requests(search, number), viewer)
    read = load(dump(recording))
    assert read.number_format is form
    assert differences(recording) == []
    assert answers_of(read) == recorded_answers(recording)
    assert differences(with_stand_ins(recording, Random(1))) == []


@FORMATS
@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
@pytest.mark.parametrize("attributes", [("cn",), ("cn", "telephoneNumber")], ids=["name", "number"])
def test_callers_are_found_again_in_a_number_format(
    form: NumberFormat, lenient: bool, attributes: tuple[str, ...]
) -> None:
    """Of whom nothing is recorded but what the phone was given; their DNs have the tenant's format."""
    formatter = number_formatter(form, naming_context(lenient=lenient))
    guest = Viewer(f"cn=hall,ou=phones,{BASE}", (Access("acme"),), number_formatter=formatter)
    caller = Equality("telephoneNumber", b"+49301234567")
    number = SearchRequest(BASE, Scope.WHOLE_SUBTREE, caller, attributes=attributes)
    recording = record(phonebook(lenient=lenient, sharing=Sharing.CALLERS), requests(number), guest)
    [entry] = recording.entries
    assert entry.attributes["telephoneNumber"] == ("+49301234567",)
    assert differences(recording) == []
    assert answers_of(recording) == recorded_answers(recording)


def test_a_recording_without_a_number_format() -> None:
    """As of a former version: the phone has the tenant's format."""
    recording = record(phonebook(), requests(JÖRG))
    text = dump(recording)
    assert load(text).number_format is None
    assert load(text.replace('"number_format":null,', "", 1)) == load(text)
