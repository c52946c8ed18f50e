# SPDX-License-Identifier: MIT
"""A replay repeats the searches of a recording among the recorded entries, with real names and with pseudonyms."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import pytest

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import PHONE_FORMATS, number_formatter
from ldapgw.directory.filter import Equality, Present, Scope, SearchRequest, Substrings, to_string
from ldapgw.directory.schema import configure_aliases
from ldapgw.numbers import stored_numbers
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.pseudonyms import with_pseudonyms
from ldapgw.phones.recording import Recording, dump, load
from ldapgw.phones.replay import RecordedDirectory, replay
from tests.support import asks, pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import BASE, BOOK, CASES, PHONE, naming_context, offices, phonebook
from tests.support.phonebook.office_searches import Asked, dit_of
from tests.support.phonebook.office_searches import search as search_of_office
from tests.support.phonebook.recorded import record, requests
from tests.support.phonebook.wire import dit_of as dit_of_book
from tests.support.recordings import FOLDER, SHEETS

SCOPES = {"base": Scope.BASE_OBJECT, "one": Scope.SINGLE_LEVEL, "sub": Scope.WHOLE_SUBTREE}
BASES = {
    "book": BOOK,
    "tenant": BASE,
    "empty": "",
    "book-with-blanks-and-upper-case": f"OU=Alice@acme.example , {BASE}",
}
MÜLLER = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Substrings("cn", b"M\xc3\xbcller", (), None), attributes=("cn",))

Difference = tuple[str, int | None, int | None, tuple[str, ...], tuple[str, ...]]


def of_phones(*, lenient: bool) -> list[Recording]:
    """Return recordings of the requests in ``phones.json``, with fifty requests on each connection."""
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
    """Return recordings of random searches in offices, by phones with a login and a single tenant."""
    by_desk: dict[tuple[int, int], list[Asked]] = defaultdict(list)
    for number in range(600):
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
    whole = [one for one in asked if not one.page]
    messages = [pdu.message(2 + number % 100, one.request, one.controls) for number, one in enumerate(whole)]
    yield record(own, messages, desk.viewer._replace(login=f"cn={desk.name},ou=phones,{offices.base_of(tenant)}"))


def differences(recording: Recording) -> list[Difference]:
    """Return the differences after a repetition of the recorded searches."""
    [read] = load(dump(recording))
    found = replay(read, RecordedDirectory(read).find)
    searches = [(read.searches[at], one) for at, one in found]
    return [
        (to_string(search.request.filter), search.code, one.code, one.missing, one.surplus) for search, one in searches
    ]


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_the_recorded_entries_answer_as_the_gateway_did(lenient: bool) -> None:
    """A search by the reading of Chinese characters differs, because phones do not get the reading."""
    recordings = of_phones(lenient=lenient)
    assert sum(len(one.searches) + one.left_out for one in recordings) == len(CASES)
    assert [difference[0] for one in recordings for difference in differences(one)] == (
        ["(|(cn=tanaka*)(sn=tanaka*))"] if lenient else []
    )


def test_they_answer_as_any_gateway_would() -> None:
    """The offices have shared books, labels, callers and entries for numbers. Few searches differ."""
    searches = [search for one in of_offices() for search in one.searches]
    assert sum(len(search.found) > 0 for search in searches) > 50
    assert sum(len(differences(one)) for one in of_offices()) < len(searches) / 20


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_pseudonyms_are_found_by_what_found_the_real_names(lenient: bool) -> None:
    """The file notes the result of each other search, so no search differs from the file."""
    others = set()
    for recording in of_phones(lenient=lenient):
        changed = with_pseudonyms(recording, Random(7))
        assert differences(changed) == []
        invented = {entry.dn for entry in changed.entries if entry.is_decoy}
        for search, plain in zip(changed.searches, recording.searches, strict=True):
            note = search.note
            if note is not None and (note.missing or {*note.surplus} - invented or note.code != search.code):
                others.add(to_string(plain.request.filter))
    ranges = {"(&(objectClass=person)(sn<=mueller))", "(sn>=weber)"}
    parts = {"(telephoneNumber=*12*)", "(cn=*zoe*)", "(cn=*a/b*)", "(cn=*e*)", "(&(sn>=m)(sn<=n))"}
    assert ranges <= others
    assert len(others - ranges - parts) <= (3 if lenient else 8)


def test_pseudonyms_are_found_in_any_office() -> None:
    """No search differs from the file, and the file has few notes."""
    changed = [with_pseudonyms(recording, Random(at)) for at, recording in enumerate(of_offices())]
    assert [difference for one in changed for difference in differences(one)] == []
    notes = [search.note for one in changed for search in one.searches]
    assert sum(note is not None and bool(note.missing) for note in notes) < len(notes) / 20


def test_what_differs_is_said() -> None:
    """A difference is a missing entry, a new entry, or another result code."""
    recording = record(phonebook(), requests(MÜLLER, replace(MÜLLER, base="uid=x")))
    first, *others = recording.entries
    new = replace(first, dn=re.sub("uid=[^,]*", "uid=new", first.dn))
    changed = replace(recording, entries=(*others, new))
    assert differences(changed) == [("(cn=Müller*)", 0, 0, (first.dn,), (new.dn,))]
    searches = (recording.searches[0], replace(recording.searches[1], code=50))
    assert differences(replace(recording, searches=searches)) == [("(cn=Müller*)", 50, 32, (), ())]
    silent = replay(recording, lambda _: (None, ()))
    assert [(at, len(one.missing), one.code) for at, one in silent] == [(0, 3, None), (1, 0, None)]


def test_of_a_cut_answer_nothing_may_be_missing() -> None:
    """A page, a list view or a limited answer may have more entries now, but none may be missing."""
    request = pdu.search(BASE, 2, encode(Present("cn")), ("cn",))
    messages = [
        pdu.message(2, pdu.search(BASE, 2, encode(Present("cn")), ("cn",), size=3)),
        pdu.message(3, request, pdu.controls(asks.page(2))),
        pdu.message(4, request, pdu.controls(asks.sort("cn"), asks.view(0, 4, (1, 0)))),
        pdu.message(5, request),
    ]
    recording = record(phonebook(), messages)
    assert [len(one.found) for one in recording.searches] == [3, 2, 5, 47]
    assert differences(recording) == []
    first = recording.searches[0].found[0]
    without = replace(recording, entries=tuple(one for one in recording.entries if one.dn != first))
    assert [(missing, surplus) for _, _, _, missing, surplus in differences(without)] == [((first,), ())] * 4


def test_a_search_without_a_login_is_not_repeated() -> None:
    """The recorded search has no successful bind, so the replay leaves the search out."""
    recording = record(phonebook(), requests(MÜLLER), PHONE, is_bound=False)
    assert [(one.code, one.is_bound) for one in recording.searches] == [(50, False)]
    assert differences(recording) == []


def test_callers_are_found_by_their_numbers_again() -> None:
    """The recording has only the name and the number of a caller, and the replay finds the caller."""
    guest = Viewer(f"cn=hall,ou=phones,{BASE}", (Access("acme"),))
    number = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Equality("telephoneNumber", b"0301234567"), attributes=("cn",))
    recording = record(phonebook(sharing=Sharing.CALLERS), requests(number, MÜLLER), guest)
    assert [len(one.found) for one in recording.searches] == [1, 0]
    [caller] = recording.entries
    assert caller.attributes.keys() == {"cn", "telephoneNumber"}
    assert differences(recording) == []
    changed = with_pseudonyms(recording, Random(1))
    assert (differences(changed), [one.note for one in changed.searches]) == ([], [None, None])


def contact(uid: str, text: str, organization: str = "") -> Contact:
    phones = tuple(Phone(Kind.WORK, number) for number in stored_numbers.read(text, "DE"))
    return Contact(uid, name="" if organization else uid, organization=organization, phones=phones)


@pytest.mark.parametrize("viewer", [PHONE, PHONE._replace(area_code="741")], ids=["tenant", "phone"])
def test_callers_at_a_site_are_found_again(viewer: Viewer) -> None:
    """The header has the area code of the tenant or of the phone, and the setting for switchboards."""
    people = [contact("full", "+49 741 666666"), contact("local", "66 66 67"), contact("far", "+49 711 666668")]
    companies = [contact("company", "+49 30 55501-0", "Kunz Bau GmbH")]
    context = replace(naming_context(), outside_line="", switchboard=True, area_code="" if viewer.area_code else "741")
    numbers = ("666666", "0741666667", "66666*", "666668", "030555010", "03055501234")
    searches = [replace(MÜLLER, filter=read_filter(f"(telephoneNumber={number})")) for number in numbers]
    recording = record(dit_of_book([*people, *companies], context), requests(*searches), viewer)
    assert [len(one.found) for one in recording.searches] == [1, 1, 2, 0, 1, 1]
    assert (recording.context.area_code, recording.context.switchboard) == ("741", True)
    assert differences(recording) == []
    without_switchboard = replace(recording, context=replace(recording.context, switchboard=False))
    assert [filter_ for filter_, *_ in differences(without_switchboard)] == ["(telephoneNumber=03055501234)"]
    changed = with_pseudonyms(recording, Random(1))
    assert changed.context.area_code != "741"
    assert (differences(changed), [one.note for one in changed.searches]) == ([], [None] * len(searches))


@pytest.mark.parametrize("form", PHONE_FORMATS, ids=str)
@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_numbers_are_found_in_the_format_of_the_phone(form: NumberFormat, lenient: bool) -> None:
    """The replay finds contacts and callers in the number format of the recording."""
    formatter = number_formatter(form, naming_context(lenient=lenient))
    search = replace(MÜLLER, attributes=("cn", "telephoneNumber", "mobile"))
    number = replace(search, filter=Equality("telephoneNumber", b"+49301234567"))
    guest = Viewer(f"cn=hall,ou=phones,{BASE}", (Access("acme"),), number_formatter=formatter)
    for viewer, sharing in ((PHONE._replace(number_formatter=formatter), Sharing.PRIVATE), (guest, Sharing.CALLERS)):
        recording = record(phonebook(lenient=lenient, sharing=sharing), requests(search, number), viewer)
        assert recording.number_format is (formatter and form)
        assert recording.searches[1].found
        for one in (recording, with_pseudonyms(recording, Random(1))):
            assert differences(one) == []


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.jsonl")), ids=lambda file: file.stem)
def test_a_recording_finds_what_it_found(file: Path, request: pytest.FixtureRequest) -> None:
    """Each recording in ``tests/data/recordings`` is a test."""
    request.addfinalizer(lambda: configure_aliases({}))
    for recording in load(file.read_text()):
        assert not recording.is_plain
        configure_aliases(recording.attribute_aliases)
        assert [*replay(recording, RecordedDirectory(recording).find)] == []
        assert any(one.found for one in recording.searches)


def test_there_are_recordings_of_the_vendors() -> None:
    """The folder has recordings of Yealink, Snom and Cisco."""
    assert {f"{vendor}.jsonl" for vendor in SHEETS} <= {file.name for file in FOLDER.iterdir()}
