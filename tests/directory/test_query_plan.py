# SPDX-License-Identifier: MIT
"""The index: it finds whatever a walk finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from io import BytesIO
from itertools import combinations
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, Phone
from ldapgw.directory.assertion import substrings
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import (
    And,
    Equality,
    Filter,
    Or,
    Substrings,
)
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.index import Index, IndexBuilder, RecordReader, RecordWriter
from ldapgw.directory.inet_org_person import EntryFactory, ParentEntry
from ldapgw.directory.packed_attributes import attribute_tag
from ldapgw.directory.predicate import TaggedTextPredicate
from ldapgw.directory.query_plan import (
    CommonPrefixQuery,
    ExactKey,
    Narrowing,
    PrefixQuery,
    TermRange,
    all_of,
    any_of,
    documents_of_prefixes,
    find_documents,
    first_documents,
)
from ldapgw.directory.schema import attribute_type
from ldapgw.directory.segment import Segment
from ldapgw.numbers.phone_number import parse
from tests.support import work
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import naming_context
from tests.support.phonebook.drawn import (
    COMPANIES,
    NAMES,
    NUMBERS,
    attributes,
    contact,
    contacts,
    filters,
    values,
)

PLACE = ParentEntry("ou=alice,dc=acme,dc=example", "acme/alice")


class EntryTerms(NamedTuple):
    """The terms, prefixes and keys of a document."""

    terms: Iterable[str]
    prefixes: Mapping[str, int]
    keys: Iterable[str]


def index_of(described: Iterable[EntryTerms]) -> Index:
    builder = IndexBuilder()
    for terms, prefixes, keys in described:
        builder.begin_document()
        builder.add([builder.term(term) for term in terms])
        for prefix, bits in prefixes.items():
            builder.add_prefixes([builder.prefix(prefix)], bits)
        builder.add_keys(keys)
    return builder.build()


def segment(people: Sequence[Contact], *, lenient: bool) -> Segment:
    binder = EntryFactory(naming_context(lenient=lenient), PLACE, per_number=False)
    return Segment.build(entry for person in people for entry in binder.entries_of(person).contact)


def found(on: Segment, sought: Filter, *, lenient: bool) -> list[Entry]:
    """Return the entries that the index finds, after a check that a look at each entry finds the same."""
    matcher = prepare(sought, naming_context(lenient=lenient))
    query, left = matcher.plan(on.index, on.entries)
    deleted = on.deleted or bytes(len(on.entries))
    indexed = [on.entries[document] for document in on.find_documents(query) if not deleted[document]]
    assert [*on.find_documents(matcher.query)] == sorted({*on.find_documents(matcher.query)})
    by_index = [entry for entry in indexed if left is None or left.matches(entry)]
    assert by_index == [entry for entry in on if matcher.predicate.matches(entry)]
    return by_index


@pytest.mark.no_cover
@settings(max_examples=examples(400), deadline=None)
@given(contacts, filters, st.booleans())
def test_the_index_finds_what_a_walk_finds(people: list[Contact], sought: Filter, lenient: bool) -> None:
    """No more and no less, in the same order, whatever is asked and however matching is set."""
    found(segment(people, lenient=lenient), sought, lenient=lenient)


WORDS = ["Jörg", "Müller", "Mueller", "Anna", "Maria", "O'Brien", "Иванов", "Łukasz", "山田", "太郎", "Ärmel-Öz", "x",
         "42", "R2D2", "Straße", "Aaron", "Maaß", "Zoë", "C++", "***", "ﷺ", "Æsir", "a", "ab", "abc", "Hans-Peter",
         "van", "den", "Berg", "🐶", "김민수", "١٢", "e.V.", "\x1d", "\u3164"]  # fmt: skip
DIALLED = [*NUMBERS, "204 extension 7", "+49 (0)30 9876543", "00", "0", "*100#", "5550123 int 7", "059133", "1",
           "0301234567 / 0171 2345678", "12345678901234567890", "+52 1 55 1234 5678", "+52 55 1234 5678",
           "+54 9 11 2345 6789", "0054 11 2345 6789", "+55 11 8123 4567", "+5511981234567"]  # fmt: skip


def somebody(at: int, choice: Random) -> Contact:
    """Return a contact with random words and numbers."""
    words = choice.choices(WORDS, k=choice.randint(1, 3))
    read = [parse(text, "DE") for text in choice.choices(DIALLED, k=choice.randrange(4))]
    return Contact(
        f"c{at}",
        name=" ".join(words),
        given_name=words[0],
        family_name=choice.choice([words[-1], ""]),
        organization=choice.choice([*COMPANIES, "Müller GmbH & Co. KG"]),
        department=choice.choice(["", "R&D"]),
        title=choice.choice(["", "Dr."]),
        phones=tuple(Phone(choice.choice(list(Kind)), number) for number in read if number),
        emails=choice.choice([(), ("a.b@x.example",), ("mueller@ü.example", "c@d")]),
        urls=choice.choice([(), ("http://x/%41",)]),
        also=choice.choice([(), ("Nick", "タナカ")]),
    )


@cache
def large(*, lenient: bool, is_whole: bool) -> Segment:
    """Some hundreds, whose rows are long and are merged; a third of them withdrawn unless it is whole."""
    choice = Random(1)
    whole = segment([somebody(at, choice) for at in range(400)], lenient=lenient)
    return whole if is_whole else whole.with_deleted(choice.sample(range(400), 133))


LARGE = [(is_whole, lenient) for lenient in (True, False) for is_whole in (True, False)]

several = st.lists(attributes, min_size=2, max_size=4)
# Several words, each as far as it is typed, or the keys of several words.
beginnings = st.tuples(st.sampled_from(WORDS), st.integers(1, 6)).map(lambda cut: cut[0][: cut[1]])
keys = st.lists(st.sampled_from(["685", "68", "2", "5674", "3000", "42", "4826", "9"]), min_size=1, max_size=4)
typed = st.one_of(st.lists(beginnings, min_size=2, max_size=4).map(" ".join), keys.map("0".join))
likely = st.one_of(st.sampled_from([*WORDS, *DIALLED]).map(str.encode), typed.map(str.encode), values)
alike = st.one_of(
    st.builds(lambda names, value: Or(tuple(Equality(name, value) for name in names)), several, likely),
    st.builds(lambda names, value: Or(tuple(Substrings(name, value, (), None) for name in names)), several, likely),
)


combined = st.one_of(alike, filters, *(st.builds(of, st.tuples(alike, filters)) for of in (And, Or)))


@pytest.mark.no_cover
@settings(max_examples=examples(400), deadline=None)
@given(st.sampled_from(LARGE), combined)
def test_so_it_does_where_rows_are_long(book: tuple[bool, bool], sought: Filter) -> None:
    """In a book of hundreds, some of whom have gone or not, with lenient matching and with strict."""
    is_whole, lenient = book
    found(large(lenient=lenient, is_whole=is_whole), sought, lenient=lenient)


named = st.lists(st.sampled_from(["cn", "sn", "givenName", "displayName", "o", "title"]), min_size=1, max_size=4)


@settings(max_examples=examples(400), deadline=None)
@given(named, st.one_of(st.sampled_from(["ma o'", "an mu", "o an", "x 42", "ha pe be", "van den"]), typed))
def test_several_words_are_found_in_the_text_of_one_attribute(names: list[str], typed: str) -> None:
    """The index finds the entries that a look at the text of each attribute finds, one attribute after the other."""
    book, kinds = large(lenient=True, is_whole=True), [attribute_type(name) for name in names]
    by_index = found(book, Or(tuple(Substrings(name, typed.encode(), (), None) for name in names)), lenient=True)
    asserted = [(kind, substrings(kind, typed.encode(), (), None, naming_context())) for kind in kinds if kind]
    looks = [TaggedTextPredicate([attribute_tag(kind)], one.test) for kind, one in asserted if one]
    assert by_index == [entry for entry in book if any(look.matches(entry) for look in looks)]


@pytest.mark.parametrize("part", [b" ", b"-", b"( )"])
@pytest.mark.parametrize("book", LARGE)
def test_a_part_of_a_number_that_has_no_digits(book: tuple[bool, bool], part: bytes) -> None:
    """Strict matching takes blanks and hyphens out of it, and nothing is left."""
    is_whole, lenient = book
    for at in (Substrings("telephoneNumber", part, (), None), Substrings("telephoneNumber", None, (part,), None),
               Substrings("telephoneNumber", None, (), part), Equality("telephoneNumber", part)):  # fmt: skip
        found(large(lenient=lenient, is_whole=is_whole), at, lenient=lenient)


@pytest.mark.parametrize(
    ("terms", "times", "count"),
    [("ac", 1000, 28_000), ("ad", 1000, None), ("ab", 300, None), ("ad", 300, 9_600), ("e", 1000, 40_000)],
    ids=["few", "many", "more than a third", "less than that", "many in one row"],
)
def test_no_more_is_sorted_than_a_turn_allows(terms: str, times: int, count: int | None) -> None:
    """Of several rows, which are merged; a row by itself is as long as it is."""
    shares = {"a": range(24), "b": range(20, 44), "c": range(50, 54), "d": range(60, 68), "e": range(50, 90)}
    described = [EntryTerms({term for term, share in shares.items() if at in share}, {}, ()) for at in range(100)]
    index = index_of(described * times)
    positions = find_documents(any_of(list(terms)), index, ())
    assert (None if positions is None else len(positions)) == count
    assert positions is None or list(positions) == sorted(set(positions))


@pytest.mark.parametrize(
    ("times", "more", "parts"),
    [(600, "", None), (1000, "", [25_000, 15_000, 0]), (1000, "defgh", [20_689, 4_311, 15_000, 0])],
    ids=["few", "two parts", "a gap between parts"],
)
def test_many_documents_of_prefixes_are_found_in_parts(times: int, more: str, parts: list[int] | None) -> None:
    """A part takes no longer than a slice of work.  The parts together have each document once."""
    shares = {"1a": range(20), "1b": range(15, 25), "1c": range(70, 85), **{f"1{each}": range(20) for each in more}}
    described = [
        EntryTerms((), {prefix: 1 for prefix, share in shares.items() if at in share}, ()) for at in range(100)
    ]
    index = index_of(one for one in described for _ in range(times))
    query = any_of([PrefixQuery(prefix, 1) for prefix in shares])
    expected, found, start = find_documents(query, index, ()), [], 0
    while (part := documents_of_prefixes(query, index, start)) is not None:
        found.append(part[0])
        if not part[1]:
            break
        start = part[0][-1] + 1
    assert expected == [*range(25 * times), *range(70 * times, 85 * times)]
    assert ([len(part) for part in found] or None) == parts
    assert [document for part in found for document in part] == (expected if parts else [])


@pytest.mark.no_cover
@settings(max_examples=examples(400), deadline=None)
@given(st.sampled_from(LARGE), combined, st.integers(1, 500))
def test_the_first_ones_are_found_without_the_others(book: tuple[bool, bool], sought: Filter, most: int) -> None:
    """All that hold up to the last one that is given, or all there are."""
    is_whole, lenient = book
    on = large(lenient=lenient, is_whole=is_whole)
    matcher = prepare(sought, naming_context(lenient=lenient))
    positions, others = first_documents(matcher.query, on.index, on.entries, most)
    assert list(positions) == sorted(set(positions))
    assert len(positions) <= most
    end = positions[-1] if others and positions else -1 if others else len(on.entries)
    held = {at for at, entry in enumerate(on.entries) if at <= end and matcher.predicate.matches(entry)}
    counting = {at for at in range(len(on.entries)) if not (on.deleted and on.deleted[at])}
    assert held & counting <= {*positions}


@pytest.mark.parametrize(
    ("sought", "expected"),
    [
        (all_of(["e", "d"]), ([*range(60, 68), *range(160, 168), *range(260, 264)], True)),
        (all_of(["a", "c"]), ([], False)),
        (all_of(["a", "d"]), ([*range(60, 68), *range(160, 168), *range(260, 264)], True)),
        (all_of([any_of([*"acdeg", f"S{at}"]) for at in range(8)]), ([*range(20)], True)),
        (TermRange("S", "T"), ([*range(0, 4000, 200)], True)),
        (all_of([TermRange("S", "T"), "a"]), ([*range(0, 4000, 200)], True)),
        (any_of([TermRange("S", "T"), *"acde"]), ([*range(20)], True)),
        (all_of(["f", "a"]), ([0], False)),
        (any_of(["c", "f"]), ([0, *range(50, 54), *range(150, 154), *range(250, 254), *range(350, 354), 450, 451, 452],
                              True)),
        (TermRange("a", "e"), ([*range(20)], True)),
        (TermRange("c", "e"), ([*range(50, 54), *range(60, 68), *range(150, 154), *range(160, 164)], True)),
        (TermRange("f", "g"), ([0], False)),
        (ExactKey("#1"), ([100], False)),
        (None, ([*range(20)], True)),
    ],
    ids=[
        *("AND", "nobody", "nobody, too many", "often the same", "many terms", "AND many terms", "OR many terms"),
        *("one", "OR", "many", "some", "one term", "key", "anywhere"),
    ],
)  # fmt: skip
def test_of_much_the_first_ones_are_taken_out(sought: Narrowing | None, expected: tuple[list[int], bool]) -> None:
    """Twenty of a hundred thousand; of what would have to be looked through for them, no more than a turn allows."""
    shares = {"a": range(24), "c": range(50, 54), "d": range(60, 68), "e": range(50, 90), "g": range(100)}
    described = [
        EntryTerms({term for term, share in shares.items() if at in share}, {}, ()) for at in range(100)
    ] * 1000
    described[0] = EntryTerms({*described[0].terms, "f"}, {}, ())
    for at in range(0, len(described), 200):
        described[at] = EntryTerms({*described[at].terms, f"S{at}"}, {}, ())
    described[100] = EntryTerms(described[100].terms, {}, ("#1",))
    index = index_of(described)
    positions, others = first_documents(sought, index, (), 20)
    assert (list(positions), others) == expected


@cache
def index_of_words(length: int, times: int) -> Index:
    """Return the index of documents of which, in each series of `length`, five have "ma", and nearly all have "o"."""
    kinds: list[dict[str, int]] = [
        *({"1o": 1, "2ma": 1}, {"1o": 1, "2ma": 2}, {"1o": 4}, {"1o": 6, "2ma": 3}, {}),
        *({"2ma": 4}, {"1o": 8, "2ma": 9}, {"1o": 1}, {}, {"1o": 1}),
    ]
    return index_of([EntryTerms((), kinds[at] if at < 10 else {"1o": 1}, ()) for at in range(length)] * times)


@pytest.mark.parametrize(
    ("prefixes", "attributes", "in_series"),
    [
        (("1o", "2ma"), 3, [0, 1, 3]),
        (("2ma", "1o"), 3, [0, 1, 3]),
        (("1o", "2ma"), 1, [0]),
        (("1o", "1o", "2ma"), 4, []),
        (("1o", "2ma", "2xx"), 7, []),
    ],
)
@pytest.mark.parametrize("most", [1, 4, 1500, 90000])
@pytest.mark.parametrize("length", [30, 300], ids=["all at once", "one by one"])
@pytest.mark.parametrize("times", [3, 250], ids=["one step", "several steps"])
def test_words_stand_in_some_of_the_attributes(
    prefixes: tuple[str, ...], attributes: int, in_series: list[int], most: int, length: int, times: int
) -> None:
    """Each word has few letters.  The plan finds the first documents, or all documents."""
    index = index_of_words(length, times)
    expected = [start + at for start in range(0, length * times, length) for at in in_series]
    sought = CommonPrefixQuery(prefixes, attributes)
    assert find_documents(sought, index, ()) == expected
    first, has_more = first_documents(sought, index, (), most)
    assert list(first) == expected[:most]
    assert has_more or len(expected) <= most
    assert find_documents(sought, index_of(()), ()) == []
    assert [*find_documents(all_of([sought, "a"]), index, ())] == []


def test_no_more_postings_of_words_are_read_than_wanted() -> None:
    index = index_of([EntryTerms((), {"1o": 1, "2ma": 2 if at % 2 else 1}, ()) for at in range(40)])
    assert index.common_postings(("1o", "2ma"), 1, 4, 1) == ([0, 2], True)
    assert index.common_postings(("1o", "2ma"), 1, 4, 100) == ([0, 2, 4, 6], True)


@pytest.mark.parametrize(("most", "expected"), [(1, [0]), (2, [0, 2]), (9, [0, 2, 3])])
def test_one_of_several_prefixes_is_found_in_some_attributes(most: int, expected: list[int]) -> None:
    """Each document once, in order; the first documents, or all."""
    kinds: list[dict[str, int]] = [{"2ma": 1, "2mu": 3}, {"2ma": 2}, {"2mu": 1}, {"2ma": 5}]
    index = index_of([EntryTerms((), one, ()) for one in kinds])
    sought = any_of([PrefixQuery("2ma", 1), PrefixQuery("2mu", 1)])
    first, has_more = first_documents(sought, index, (), most)
    assert (list(first), has_more) == (expected, most < 3)
    assert find_documents(sought, index, ()) == [0, 2, 3]


def test_words_of_too_many_are_looked_for_in_slices() -> None:
    """Sixty thousand entries have each word: everybody is looked at, because reading all of them takes too long."""
    index = index_of([EntryTerms((), {"1o": 1, "2ma": 2}, ())] * 60_000 + [EntryTerms((), {"1o": 1, "2ma": 1}, ())])
    sought = CommonPrefixQuery(("1o", "2ma"), 1)
    assert find_documents(sought, index, ()) is None
    assert first_documents(sought, index, (), 9) == ([], True)


def test_more_words_than_are_kept() -> None:
    """A word that comes again, after more others than the indexer keeps, has the same terms."""
    words = [f"w{number:05}" for number in range(10_200)]
    many = [
        Contact(uid=f"c{at}", name=f"Ada {at:03}", title=" ".join(words[60 * at : 60 * at + 60])) for at in range(170)
    ]
    again = [Contact(uid=f"d{at}", name=f"Bea {at:03}", title="w00000 w00001") for at in range(3)]
    on = segment([*many, *again], lenient=True)
    for word, expected in (("w00000", 4), ("w00001", 4), ("w00002", 1), ("w10199", 1), ("w10200", 0)):
        assert len(found(on, read_filter(f"(title=*{word}*)"), lenient=True)) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 1000, 20_000])
def test_a_key_leads_to_what_has_it(count: int) -> None:
    """Each of however many, in up to five entries or forty, and no other; also where it was written down and read."""
    held = {f"#{at}": [*range(at, min(at + (40 if at % 50 == 1 else 1 + at % 5), count))] for at in range(count)}
    keys: list[list[str]] = [[] for _ in range(count)]
    for key, positions in held.items():
        for position in positions:
            keys[position].append(key)
    written = BytesIO()
    index = index_of(EntryTerms((), {}, own) for own in keys)
    index.write(RecordWriter(written))
    written.seek(0)
    for one in (index, Index.read(RecordReader(written))):
        assert {key: list(find_documents(ExactKey(key), one, ()) or ()) for key in held} == held
        assert not any(find_documents(ExactKey(f"#{at}"), one, ()) for at in range(count, count + 1000))


def test_keys_are_the_same_if_their_texts_are() -> None:
    """An OR of the same number in several attributes is one look; a term of the same letters is another."""
    assert any_of([ExactKey("#1"), ExactKey("#1")]) == ExactKey("#1")
    assert ExactKey("#1") != ExactKey("#2")
    assert len({ExactKey("#1"), ExactKey("#1"), "#1"}) == 2


BOOK = segment(
    [contact(at, name, [NUMBERS[at % len(NUMBERS)]], COMPANIES[at % 5], mail=True) for at, name in enumerate(NAMES)],
    lenient=True,
)


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("(cn=mu*)", 3),
        ("(|(cn=mu*)(sn=mu*)(givenName=mu*)(displayName=mu*))", 3),
        ("(cn=mueller*)", 3),
        ("(cn=*uell*)", 3),
        ("(cn=*ll*)", 5),
        ("(cn=*ll-*)", 5),
        ("(cn=685*)", 3),
        ("(cn=105*)", 1),
        ("(cn=608*)", 3),
        ("(&(objectClass=inetOrgPerson)(sn=mü*))", 3),
        ("(|(telephoneNumber=0301234567)(mobile=0301234567)(homePhone=0301234567))", 9),
        ("(telephoneNumber=+44*)", 2),
        ("(telephoneNumber=*7946*)", 2),
        ("(telephoneNumber=*79*)", 2),
        ("(telephoneNumber=*9460000)", 2),
        ("(uid=c3)", 1),
        ("(cn>=x)", 3),
        ("(&(sn>=o)(sn<=ozz))", 1),
        ("(&(cn>=x)(cn<=xzz))", 1),
        ("(shoeSize=5)", 0),
        ("(objectClass=group)", 0),
        ("(&(cn=*)(cn=nobody))", 0),
    ],
)
def test_an_index_looks_at_few(text: str, most: int) -> None:
    """Phones' filters are looked up; hardly any entry is looked at that does not match."""
    query, _ = prepare(read_filter(text), naming_context()).plan(BOOK.index, BOOK.entries)
    assert len(BOOK.find_documents(query)) <= most


def test_a_companys_numbers_are_told_apart_as_they_are_typed() -> None:
    """They begin alike; the digits behind that are looked up too."""
    block = segment(
        [contact(at, f"Desk {at}", [f"030 1234{at:04}"], "", mail=False) for at in range(1000)], lenient=True
    )
    for typed in ("03012340617", "+49301234061", "00493012340617"):
        asked = read_filter(f"(telephoneNumber={typed}*)")
        assert 1 <= len(found(block, asked, lenient=True)) <= 10
        assert len(block.find_documents(prepare(asked, naming_context()).query)) <= 60


@pytest.mark.parametrize("text", ["+999123001*", "+999*", "*99912300*", "+9991230011"])
def test_a_number_of_no_known_country_is_looked_up_with_its_plus(text: str) -> None:
    """Its country is not known, but it was written with a plus, and is asked for so."""
    on = segment([contact(at, "Ada", [f"+999 12300{at:02}"], "", mail=False) for at in range(50)], lenient=True)
    assert found(on, read_filter(f"(telephoneNumber={text})"), lenient=True)


@pytest.mark.parametrize("text", ["*#*", "*#", "*#1234567*", "*67#", "#12*"])
def test_a_part_of_a_number_that_begins_with_a_hash(text: str) -> None:
    """The part is no end of a number, for which the index has a key."""
    people = [contact(at, "Ada", ["#1234567#" if at else "030 1234567"], "", mail=False) for at in range(50)]
    assert len(found(segment(people, lenient=True), read_filter(f"(telephoneNumber={text})"), lenient=True)) == 49


@pytest.mark.parametrize("text", ["0049302", "00049302", "+49302"])
def test_a_short_number_with_a_country_code_is_compared_digit_by_digit(text: str) -> None:
    """A search text that is sure to match is sure to pass the slower test, too."""
    people = [contact(at, "Ada", ["+49302" if at else "+49303"], "", mail=False) for at in range(50)]
    by_index = found(segment(people, lenient=True), read_filter(f"(telephoneNumber={text})"), lenient=True)
    assert len(by_index) == (49 if text == "+49302" else 0)


@pytest.mark.parametrize("text", ["(cn=* a* )", "(cn=* a* b* )", "(sn=* a*  )", "(displayName=* a* )"])
def test_a_part_of_a_name_may_be_a_blank_at_its_end(text: str) -> None:
    """In strict matching, a blank ends each value, and begins no word."""
    found(large(lenient=False, is_whole=True), read_filter(text), lenient=False)


@pytest.mark.parametrize("text", ["(givenName=j*)", "(givenName=joc*)", "(givenName=jockel)", "(givenName=*)"])
def test_a_nickname_is_no_given_name_of_somebody_without_one(text: str) -> None:
    """The index has the first letters of the nickname for the attributes that the entry has."""
    people = [Contact(f"c{at}", name=f"Firm {at}", also=("Jockel",)) for at in range(50)]
    people[0] = replace(people[0], given_name="Jo")
    assert [entry.uid for entry in found(segment(people, lenient=True), read_filter(text), lenient=True)] == [b"c0"]


def test_a_key_may_be_that_of_another() -> None:
    """Keys are checksums; these two have the same one."""
    on = segment([Contact("plumless", name="Ada"), Contact("x", name="Bo")], lenient=True)
    assert on.entry_of_uid("buckeroo") is None
    found = on.entry_of_uid("plumless")
    assert found is not None
    assert found.attribute("cn") == (b"Ada",)


CROWD = segment(
    [contact(at, f"{NAMES[at % len(NAMES)]} {chr(97 + at % 26)}x", [NUMBERS[0]], "", mail=False) for at in range(1500)],
    lenient=True,
)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"(|{''.join(f'(cn={letter}*)' for letter in four)})" for four in combinations("abjmorxy", 4)),
        "(telephoneNumber=0301234567)" * 50,
        "".join(f"(cn>={letter})(cn<=z)(|(sn>={letter})(o=*))" for letter in "abcdefgh"),
    ],
    ids=["70 ORs of beginnings", "a number that all have", "ranges"],
)
def test_what_an_and_has_no_need_of_is_not_looked_up(text: str) -> None:
    """Of many large parts one is enough; the others are counted and stay in the index."""
    place = prepare(read_filter(f"(&{text}(cn=anna x*))"), naming_context()).query
    assert len(CROWD.find_documents(place)) < 200
    assert work.peak(lambda: CROWD.find_documents(place)) < 10_000


@pytest.mark.parametrize("text", ["abcdefghijkl", "abc def ghi jkl mno pqr stu vwx yz "], ids=["a word", "words"])
def test_a_long_text_is_looked_up_as_a_short_one_is(text: str) -> None:
    """A few words or pieces of it are enough to leave few entries."""
    short, long = (prepare(read_filter(f"(cn=*{times * text}*)"), naming_context()).query for times in (1, 30))
    assert work.calls(lambda: CROWD.find_documents(long)) == work.calls(lambda: CROWD.find_documents(short))
