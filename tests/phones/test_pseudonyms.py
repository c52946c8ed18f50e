# SPDX-License-Identifier: MIT
"""The tests attack pseudonyms, and show the parts of words, numbers and recordings that stay visible."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind
from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Or,
    Present,
    Scope,
    SearchRequest,
    Substrings,
    to_string,
)
from ldapgw.directory.schema import ATTRIBUTE_TYPES, Family
from ldapgw.phones.pseudonyms import Pseudonyms, with_pseudonyms
from ldapgw.phones.recording import RecordedEntry, RecordedSearch, Recording, dump
from tests.phones.attack import AREA_CODES, GIVEN_NAMES, MOBILE_CODES, SURNAMES, TRADES, Person, guesses, plain
from tests.support import asks, pdu
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, BOOK, contacts, naming_context, phonebook
from tests.support.phonebook.entries import FULL, phone
from tests.support.phonebook.recorded import record, requests
from tests.support.phonebook.wire import dit_of

SEEDS = st.integers(0, 10_000).map(Random)
PEOPLE = 70


def asked(filter_: Filter, *attributes: str) -> SearchRequest:
    return SearchRequest(BASE, Scope.WHOLE_SUBTREE, filter_, attributes=attributes)


# --- an attacker ------------------------------------------------------------------------------------------------------


@cache
def attacked() -> Recording:
    """Record searches for people whose names and area codes are in public lists, frequent ones more often.

    The phone lists all, types the first letters of twelve surnames, and looks up each number.
    """
    random = Random(1)

    def drawn(values: Sequence[str], mean: int) -> str:
        return values[min(int(random.expovariate(1 / mean)), len(values) - 1)]

    def number(code: str, size: int) -> str:
        return code + "".join(random.choice("0123456789") for _ in range(size - len(code)))

    names = {(drawn(GIVEN_NAMES, 50), drawn(SURNAMES, 70)) for _ in range(2 * PEOPLE)}
    people = [
        Contact(
            f"c{random.randrange(10**15)}",
            name=f"{given} {surname}",
            given_name=given,
            family_name=surname,
            organization=f"{drawn(SURNAMES, 70)} {random.choice(TRADES)}",
            phones=(
                phone(Kind.WORK, "+49" + number(drawn(AREA_CODES, 12), 10)),
                phone(Kind.MOBILE, "+49" + number(random.choice(MOBILE_CODES), 11)),
            ),
            emails=(f"{given}.{surname}@firm.example",),
        )
        for given, surname in sorted(names)[:: len(names) // PEOPLE][:PEOPLE]
    ]
    callers = [
        Or(tuple(Equality(name, one.number.national.encode()) for name in ("telephoneNumber", "mobile")))
        for person in people
        for one in person.phones
    ]
    typed = [Substrings("sn", one.family_name[:end].encode(), (), None) for one in people[::6] for end in range(1, 5)]
    attributes = ("cn", "sn", "givenName", "o", "mail", "telephoneNumber", "mobile")
    searches = [asked(term, *attributes) for term in (Present("cn"), *typed, *callers)]
    recording = record(dit_of(people, naming_context()), requests(*searches))
    assert len(recording.entries) == PEOPLE
    return recording


def recovered(plain: Recording, changed: Recording, same: Mapping[str, str]) -> Mapping[str, tuple[int, int]]:
    """Return the number of names and numbers that each attack on a changed recording gets back exactly.

    :param same: the DNs of entries in the changed recording, by those in the plain one.
    """
    truth = {same[entry.dn]: Person.of(entry) for entry in plain.entries}
    found = {}
    for attack, guessed in guesses(changed, Random(5)).items():
        pairs = [(truth[dn], guess) for dn, guess in guessed.items()]
        names = sum(real.name == guess.name for real, guess in pairs)
        found[attack] = names, sum(len({*real.numbers} & {*guess.numbers}) for real, guess in pairs)
    return found


def test_an_attacker_with_public_lists_gets_hardly_a_name_or_a_number_back() -> None:
    """No attack gets more than a tenth of the names, or of the numbers."""
    plain = attacked()
    changed = with_pseudonyms(plain, Random(2))
    pairs = zip(plain.searches, changed.searches, strict=True)
    same = {before.found[0]: after.found[0] for before, after in pairs if len(before.found) == 1}
    assert len(same) == PEOPLE
    found = recovered(plain, changed, same)
    assert max(names for names, _ in found.values()) <= PEOPLE / 10, found
    assert max(numbers for _, numbers in found.values()) <= 2 * PEOPLE / 10, found


def test_the_attacker_undoes_an_exchange_of_letters_and_digits() -> None:
    """The attack is real. A fixed exchange of letters and digits gives nearly everything back."""
    random = Random(3)
    tables = [
        str.maketrans(kind, "".join(random.sample(kind, len(kind)))) for kind in ("bcdfghjklmnpqrtvwxz", "123456789")
    ]

    def exchanged(name: str, values: Iterable[str]) -> tuple[str, ...]:
        if name in ("telephoneNumber", "mobile"):
            return tuple("+49" + value[3:].translate(tables[1]) for value in values)
        return tuple(value.lower().translate(tables[0]) for value in values)

    plain = attacked()
    entries = tuple(
        replace(entry, attributes={name: exchanged(name, values) for name, values in entry.attributes.items()})
        for entry in plain.entries
    )
    changed = replace(plain, entries=entries)
    names, numbers = recovered(plain, changed, {entry.dn: entry.dn for entry in plain.entries})["letters and digits"]
    assert names >= 60
    assert numbers >= 130


# --- words ------------------------------------------------------------------------------------------------------------


def pseudonyms(random: Random, *filters: str, numbers: Iterable[str] = ()) -> Pseudonyms:
    """Return the pseudonyms of a recording with these filters and numbers."""
    searches = [RecordedSearch(0, 1, True, asked(read_filter(text)), (), 0, ()) for text in filters]
    entries = [RecordedEntry("uid=a", {"telephoneNumber": tuple(numbers)})]
    context = naming_context(strip=("l0#",))
    return Pseudonyms(Recording(context, "", searches=tuple(searches), entries=tuple(entries)), random)


def number(made: Pseudonyms, text: str) -> str:
    return made.value("telephoneNumber", text)


def digits_of(text: str) -> str:
    return re.sub(r"\D", "", text)


def test_words_with_the_same_beginning_have_pseudonyms_without() -> None:
    """A pseudonym reveals neither the beginning, nor the end, nor the length of a word."""
    seen, sizes = Counter[bool](), set()
    for seed in range(200):
        made = pseudonyms(Random(seed))
        found = [made.text(word) for word in ("mustermann", "musterfrau", "hermann")]
        seen[found[0][:3] == found[1][:3] or found[0][-3:] == found[2][-3:]] += 1
        sizes.add(len(found[0]))
    assert seen[True] < 5
    assert sizes == {5, 6, 7, 8}


def test_no_two_words_have_one_pseudonym() -> None:
    """Thousands of words get different pseudonyms."""
    made = pseudonyms(Random(1))
    assert len({made.text(f"word{at}") for at in range(4000)}) == 4000


@given(SEEDS, st.sampled_from(["Müller", "müller", "MUELLER", "muller", "Mu\u0308ller"]))
def test_the_spellings_of_a_word_have_one_pseudonym(random: Random, spelling: str) -> None:
    """An umlaut and a capital remain visible, because a phone may have sent the wrong spelling."""
    made = pseudonyms(random)
    one, other = made.text("Müller"), made.text(spelling)
    assert (other.isascii(), other[0].isupper()) == (spelling.isascii(), spelling[0].isupper())
    assert plain(other) == plain(one)


@given(SEEDS)
def test_a_beginning_stays_common_where_a_filter_asks_for_it(random: Random) -> None:
    """Words keep as long a common beginning as a filter has, and other words begin differently."""
    made = pseudonyms(random, "(cn=m*)", "(cn=mü*)", "(cn=mül*)")
    typed = [to_string(made.filter(read_filter(text)))[4:-2] for text in ("(cn=m*)", "(cn=mu*)", "(cn=mül*)")]
    assert [len(text) for text in typed] == [1, 2, 3]
    shared = {"muller": 3, "muelheim": 3, "muster": 2, "meier": 1, "hahn": 0, "ott": 0, "zorn": 0}
    words = {word: made.text(word) for word in shared}
    assert {word: sum(text.startswith(plain(one)) for one in typed) for word, text in words.items()} == shared


@given(SEEDS)
def test_a_part_and_an_end_stay_where_a_filter_asks_for_them(random: Random) -> None:
    """The pseudonym of a filtered part or end is in every word that had this part or end."""
    made = pseudonyms(random, "(cn=*ster*)", "(sn=*mann)")
    part, end = (to_string(made.filter(read_filter(text)))[5:].strip("*)") for text in ("(cn=*ster*)", "(sn=*mann)"))
    words = {word: made.text(word) for word in ("mustermann", "hermann", "meister", "hahn")}
    assert [part in text for text in words.values()] == [True, False, True, False]
    assert [text.endswith(end) for text in words.values()] == [True, True, False, False]
    assert len({*words.values()}) == len(words)


def test_each_letter_of_an_alphabet_can_be_asked_for() -> None:
    """A phone may page through all letters. Words that begin with digits get none of these beginnings."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    made = pseudonyms(Random(1), *(f"(cn={letter}*)" for letter in letters))
    found = [to_string(made.filter(read_filter(f"(cn={letter}*)")))[4] for letter in letters]
    assert len({*found}) == len(letters)
    assert [made.text(f"{letter}bend")[0] for letter in letters] == found
    assert made.text("3M")[0] not in found


# --- numbers ----------------------------------------------------------------------------------------------------------

NUMBERS = ("+49 30 1234567", "+49301234568", "+4930123", "+498912345", "204", "205", "+43158858")


@given(SEEDS)
def test_numbers_with_the_same_beginning_keep_a_same_beginning(random: Random) -> None:
    """Common beginnings keep their length and different numbers stay different. The country code and all signs stay."""
    made = pseudonyms(random, numbers=NUMBERS)
    changed = [number(made, text) for text in NUMBERS]
    assert [re.sub(r"\d", "1", text) for text in changed] == [re.sub(r"\d", "1", text) for text in NUMBERS]
    digits = [re.sub(r"\D", "", text) for text in changed]
    assert digits[0][:-1] == digits[1][:-1]
    assert digits[0][:7] == digits[2]
    assert digits[0][:3] != digits[3][:3]
    assert digits[4][:2] == digits[5][:2]
    assert len({*digits}) == len(NUMBERS)
    assert all(text.startswith("+49") for text in changed[:4])


def test_a_digit_says_nothing_about_another_digit() -> None:
    """Each beginning exchanges its next digit differently. The country of a foreign number is hidden."""
    seen: Counter[str] = Counter()
    countries = set()
    for seed in range(100):
        made = pseudonyms(Random(seed), numbers=("+493011111111",))
        digits = number(made, "+493011111111")[4:]
        assert len({*digits[1:]}) > 1
        seen.update(digits)
        countries.add(number(made, "+43158858")[1:3])
    assert min(seen.values()) > 50
    assert {*seen} == {*"0123456789"}
    assert len(countries) > 30


@given(SEEDS)
def test_a_number_is_found_however_it_is_dialled(random: Random) -> None:
    """All forms of a number keep their own prefix and share the other digits."""
    made = pseudonyms(random, numbers=("+49301234567",))
    rest = number(made, "+49301234567").removeprefix("+49")
    heads = {
        "+49301234567": "49",
        "0301234567": "0",
        "00301234567": "00",
        "0049 30/1234567": "0049",
        "000493012 34567": "00049",
        "tel:+49-30-1234567": "49",
        "L0#0301234567": "00",
        "+49 (0)30 1234567": "490",
    }
    changed = {form: digits_of(number(made, form)) for form in heads}
    assert changed == {form: head + rest for form, head in heads.items()}
    beginnings = "+4 4, 003012 00, +49 49, 0049 0049, 0 0, +4930 49, 030123 0, +49301234 49"
    for beginning, head in map(str.split, beginnings.split(", ")):
        assert digits_of(number(made, beginning)) == (head + rest)[: len(digits_of(beginning))]
    address = number(made, "sip:+49301234567@pbx.example")
    assert address.startswith(f"sip:+49{rest}@")
    assert "pbx" not in address


@given(SEEDS)
def test_ends_stay_common_where_a_filter_asks_for_them(random: Random) -> None:
    """Numbers keep a common end if a filter searches for this end."""
    numbers = ("+49301234567", "+49892234567", "+49401111111")
    made = pseudonyms(random, "(telephoneNumber=*234567)", "(telephoneNumber=*1111)", numbers=numbers)
    changed = [number(made, text) for text in numbers]
    ends = [to_string(made.filter(read_filter(f"(telephoneNumber=*{end})")))[18:-1] for end in ("234567", "1111")]
    assert [text.endswith(ends[0]) for text in changed[:2]] == [True, True]
    assert changed[2].endswith(ends[1])


def test_a_zero_at_a_common_end_is_replaced() -> None:
    """Only a 0 at the beginning of a number has a meaning in the numbering plan."""
    numbers = ("+49301234560", "+49892234560")
    made = (pseudonyms(Random(seed), "(telephoneNumber=*234560)", numbers=numbers) for seed in range(100))
    assert {number(each, numbers[0])[-1] for each in made} == {*"0123456789"}


# --- a whole recording ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [contacts(), [FULL]], ids=["awkward", "with all values"])
def test_nothing_real_is_left(people: list[Contact]) -> None:
    """The file has no real name, number, address, base or login, neither in requests nor in answers."""
    by_name = SearchRequest(BOOK, Scope.WHOLE_SUBTREE, Substrings("cn", "Müller".encode(), (), None))
    messages = [
        *requests(asked(Present("cn")), by_name, asked(LessOrEqual("sn", b"Weber")), asked(Equality("o", b"Emerald"))),
        pdu.message(7, pdu.search("cn=desk1", 0)),
        pdu.message(8, pdu.search(BASE, 2), pdu.controls(asks.view(0, 1, b"Anna"), asks.sort("cn"))),
    ]
    recording = record(dit_of(people, naming_context()), messages)
    changed = with_pseudonyms(recording, Random(2))
    octets = "".join(repr(search.request.filter) for search in changed.searches)
    text = (dump(changed) + octets).casefold()
    values = [value for entry in recording.entries for values in entry.attributes.values() for value in values]
    words = {word.casefold() for value in values for word in re.findall(r"\w{5,}", value)}
    words |= {"acme", "desk1", "alice", "müller", "weber", "emerald", "anna"}
    assert len(words) > 15
    assert sorted(word for word in words if word in text) == []


@pytest.mark.parametrize(
    "attribute",
    [kind.name for kind in ATTRIBUTE_TYPES if kind.comparison.family is not Family.BINARY] + ["unknown"],
)
@pytest.mark.parametrize("text", ["Müller", "anna-maria", "0301234567", "2030555017", "20123456"])
def test_a_filter_on_any_attribute_keeps_no_name_and_no_number(attribute: str, text: str) -> None:
    """People may type a name or a number into a filter of any attribute."""
    made, value = pseudonyms(Random(5)), text.encode()
    filters: list[Filter] = [
        *(Equality(attribute, value), GreaterOrEqual(attribute, value), Approximate(attribute, value)),
        *(Substrings(attribute, value, (), None), Substrings(attribute, None, (value,), value)),
    ]
    changed = to_string(And(tuple(map(made.filter, filters))))
    assert [part for part in re.split(r"\W", text.casefold()) if part in changed.casefold()] == []


@pytest.mark.parametrize(("name", "found"), [("Müller", 3), ("nobody", 0)])
def test_only_entries_of_answers_are_in_the_file_and_invented_ones(name: str, found: int) -> None:
    """Invented entries are in the phone's own book, so a maintainer can try the filter."""
    recording = record(phonebook(), requests(asked(Substrings("cn", name.encode(), (), None), "cn")))
    changed = with_pseudonyms(recording, Random(2))
    [search] = changed.searches
    invented = {entry.dn for entry in changed.entries if entry.is_decoy}
    assert {entry.dn for entry in changed.entries} - invented == {*search.found}
    assert (len(search.found), len(invented), search.note) == (found, 10, None)
    assert all(dn.endswith(f",ou={changed.own_books[0]},{changed.context.base}") for dn in invented)


def test_answers_lose_the_order_of_the_names_and_what_they_find_otherwise_is_noted() -> None:
    """A range depends on the order of the real names, and a listing finds the invented entries too."""
    searches = (asked(LessOrEqual("sn", b"Mueller")), asked(Present("sn")), asked(Equality("sn", b"weber")))
    recording = record(phonebook(), requests(*searches))
    changed = with_pseudonyms(recording, Random(2))
    for entries in (*(search.found for search in changed.searches), [entry.dn for entry in changed.entries]):
        assert [*entries] == sorted(entries)
    assert [len(one.found) for one in changed.searches] == [len(one.found) for one in recording.searches]
    a_range, listing, equality = (search.note for search in changed.searches)
    invented = tuple(entry.dn for entry in changed.entries if entry.is_decoy)
    assert a_range is not None
    assert a_range.missing
    assert listing is not None
    assert (listing.missing, tuple(sorted(listing.surplus)), listing.code) == ((), invented, 0)
    assert equality is None


def test_the_encoding_of_a_value_stays() -> None:
    """A value in ISO 8859-1 stays in ISO 8859-1, and the end of a range of all names stays."""
    made = pseudonyms(Random(5))
    changed = made.filter(Equality("cn", "Bär".encode("latin-1")))
    assert isinstance(changed, Equality)
    with pytest.raises(UnicodeDecodeError):
        changed.value.decode()
    assert changed.value.decode("latin-1") == made.text("Bär")
    assert made.filter(LessOrEqual("cn", b"zz")) == LessOrEqual("cn", b"zz")


def test_dns_and_values() -> None:
    """Attribute types and the gateway's own names stay, and so do values that say nothing about a person."""
    made = pseudonyms(Random(5), numbers=("+49301234567",))
    dn = made.dn("CN=desk1, ou=phones,DC=acme")
    assert re.fullmatch("cn=[a-z]+,ou=phones,dc=[a-z]+", dn)
    assert made.dn(r"uid=a\,b,dc=x") == f"uid={made.text('a')}\\,{made.text('b')},dc={made.value('dc', 'x')}"
    assert made.dn('"no dn') == made.text('"no dn')
    assert made.value("objectClass", "person") == "person"
    assert made.value("createTimestamp", "2026") == "2026"
    assert made.value("hasSubordinates", "TRUE") == "TRUE"
    assert made.value("supportedLDAPVersion", "3") == "3"
    assert made.value("attributeTypes", "cn") == "cn"
    assert made.value("entryDN", "dc=acme") == made.dn("dc=acme")
    assert made.dn(r"cn=Anna+telephoneNumber=\+49301234567").endswith(
        rf"+telephonenumber=\{number(made, '+49301234567')}"
    )


def test_each_recording_has_its_own_pseudonyms() -> None:
    recording = record(phonebook(), requests(asked(Present("cn"), "cn")))
    texts = [dump(with_pseudonyms(recording, Random(seed))) for seed in (1, 1, 2)]
    assert texts[0] == texts[1]
    words = [{word for word in re.findall("[A-Z][a-z]+", text) if len(word) > 4} for text in texts[1:]]
    assert len(words[0]) > 50
    assert len(words[0] & words[1]) < 5
