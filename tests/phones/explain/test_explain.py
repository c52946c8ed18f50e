# SPDX-License-Identifier: MIT
"""The tests show the explanation of a query, with the books, the contacts found and the near misses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.access import BookAccess, Viewer
from ldapgw.directory.book import build_book, with_sharing
from ldapgw.directory.filter import Filter
from ldapgw.errors import DirectoryError
from ldapgw.phones.explain.explain import MAX_MISSES, explain
from ldapgw.phones.explain.model import (
    OPERATOR,
    TEXTS,
    USER,
    Explanation,
    ExplanationReader,
    MatchedTerm,
    MatchKind,
    MissReason,
    NumberReading,
    NumberVariant,
    SearchedBook,
    explanation_json,
)
from ldapgw.phones.explain.query import PhoneQuery, QueryKind
from ldapgw.phones.explain.terms import filter_terms, has_number_assertion, matched_terms
from ldapgw.phones.explain.view import PhoneView
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import BASE, awkward, naming_context, offices
from tests.support.phonebook.asked import Asked, held
from tests.support.phonebook.entries import entry, phone
from tests.support.phonebook.explain import (
    ALICE,
    BOB,
    CAROL,
    CISCO,
    CUSTOMERS,
    DAVE,
    DESK,
    HALL,
    contact,
    explained,
    sight,
    uids,
)
from tests.support.phonebook.office_searches import blind_dit, dit_of, search
from tests.support.phonebook.trees import dit_of as dit_of_books


@pytest.fixture(scope="module")
def desk() -> PhoneView:
    return sight()


KIRA = Contact("f1", name="Kira File", phones=(phone(Kind.WORK, "030 1112233"),))


def sight_of(
    viewer: Viewer, *contacts: Contact, key: str = "alice", name: str = ALICE, sharing: Sharing = Sharing.PRIVATE
) -> PhoneView:
    """Return the view of a phone on one book."""
    book = build_book(naming_context(), key, name, sharing, contacts, {}, per_number=False)
    return PhoneView(dit_of_books(book, context=naming_context()), viewer, "acme")


def found(told: Explanation) -> list[str]:
    return uids([match.dn for match in told.matches])


def missed(told: Explanation) -> dict[str, MissReason]:
    return {uids([miss.dn])[0]: miss.reason for miss in told.misses}


@pytest.mark.parametrize(
    ("viewer", "reasons"),
    [(DESK, {"kira": MissReason.PRIVATE_BOOK}), (HALL, dict.fromkeys(["karl", "kira"], MissReason.GROUP_BOOK))],
    ids=["in the group", "outside"],
)
def test_a_contact_without_the_label_that_a_group_sees(viewer: Viewer, reasons: dict[str, MissReason]) -> None:
    """To the group, the contact is private, and nobody is told to join a group of which the phone's account is."""
    context = replace(naming_context(), groups={"sales": frozenset({"alice"})})
    people = (contact("kira", "Kira File"), contact("karl", "Karl File", labels=("contactGroups/c",)))
    labels = {"contactGroups/c": "Customers"}
    bobs = build_book(context, "bob", BOB, Sharing.PRIVATE, people, labels, per_number=False)
    alices = build_book(context, "alice", ALICE, Sharing.PRIVATE, (), {}, per_number=False)
    dit = dit_of_books(alices, with_sharing(bobs, Sharing("group:sales"), "Customers"), context=context)
    assert missed(explained("file", PhoneView(dit, viewer, "acme"))) == reasons


# --- the query and the books ------------------------------------------------------------------------------------------


def test_what_a_pbx_puts_around_a_number() -> None:
    """A strip setting removes the added text, and a note says so.

    Without the setting, a note names the text that seems foreign.
    """
    told = explained("L0#0301234567", sight(strip=("l0#",)))
    assert (told.query.kind, told.numbers) == (QueryKind.NUMBER, (NumberVariant("+49301234567", NumberReading.TYPED),))
    assert [(note.code, str(note.message)) for note in told.notes if note.code != "region"] == [
        (
            "stripped",
            "The gateway searched for 0301234567 instead of L0#0301234567, because the strip setting removes text "
            "that the telephone system adds to numbers.",
        )
    ]
    assert found(told) == found(explained("0301234567", sight()))
    [note] = explained("L0#0301234567", sight()).notes
    assert (note.code, str(note.message).partition(".")[0]) == ("affix", "“L0#” doesn’t seem to belong to the number")


TYPED, OUTSIDE_LINE = NumberReading.TYPED, NumberReading.WITHOUT_OUTSIDE_LINE


@pytest.mark.parametrize(
    ("area_code", "asked", "numbers"),
    [
        ("", "030 1234567", [("+49301234567", TYPED)]),
        ("", "00301234567", [("00301234567", TYPED), ("+49301234567", OUTSIDE_LINE)]),
        ("", "0 0171 2345678", [("001712345678", TYPED), ("+491712345678", OUTSIDE_LINE)]),
        ("", "442079460123", [("+49442079460123", TYPED), ("+442079460123", NumberReading.WITH_PLUS)]),
        ("", "204", [("204", TYPED)]),
        ("", "*31#0301234567", [("+49301234567", TYPED), ("*31#0301234567", TYPED)]),
        ("", "sip:0301234567@pbx.example", [("+49301234567", TYPED)]),
        ("", "1-800-FLOWERS", [("+18003569377", TYPED)]),
        ("30", "5550171", [("5550171", TYPED), ("+49305550171", NumberReading.WITH_AREA_CODE)]),
        ("30", "+49305550171", [("+49305550171", TYPED), ("5550171", NumberReading.WITHOUT_AREA_CODE)]),
        ("30", "0301234567", [("+49301234567", TYPED), ("1234567", NumberReading.WITHOUT_AREA_CODE)]),
    ],
)
def test_a_number_and_what_it_may_mean(area_code: str, asked: str, numbers: list[tuple[str, NumberReading]]) -> None:
    """The explanation lists each number once, with the reading that led to the number.

    A phone at a site reads a number with and without the area code of the site.
    """
    told = explained(asked, sight(DESK._replace(area_code=area_code)))
    assert told.numbers == tuple(NumberVariant(*one) for one in numbers)


@pytest.mark.parametrize(
    ("asked", "uids_found"),
    [("685", ["ann", "hans"]), ("0301", ["hans", "zoe"]), ("204", ["zentrale"]), ("sip:0301@pbx.example", [])],
)
def test_few_digits_may_be_typed(desk: PhoneView, asked: str, uids_found: list[str]) -> None:
    """Few digits find beginnings of numbers and letters on the keys. A note gives the filter of an incoming call."""
    told = explained(asked, desk)
    assert found(told) == uids_found
    ringing = f"(|(telephoneNumber={asked})(mobile={asked})(homePhone={asked}))"
    message = (
        "If a search has so few digits, the gateway assumes that someone typed them, and that they aren’t a caller’s "
        "number. "
        f"For an incoming call, the phone sends a different filter: {ringing}."
    )
    assert [(note.code, str(note.message)) for note in told.notes] == [("ringing", message)] * bool(uids_found)


@pytest.mark.parametrize(
    ("viewer", "own"), [(DESK, [(ALICE, BookAccess.OWN)]), (HALL, [])], ids=["of an account", "of nobody"]
)
def test_the_books_that_are_looked_in(viewer: Viewer, own: list[tuple[str, BookAccess]]) -> None:
    """The account's own book comes first. The list leaves out private books of other accounts."""
    books = [*own, (BOB, BookAccess.SHARED), ("directory", BookAccess.DIRECTORY), (CAROL, BookAccess.CALLERS)]
    assert explained("x", sight(viewer)).books == tuple(SearchedBook(*book) for book in books)


# --- found contacts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "uid", "held"),
    [
        ("adler", "zoe", [MatchedTerm("cn", "Zoë Adler", "(cn=adler*)", MatchKind.WORDS, "adler"),
                          MatchedTerm("sn", "Adler", "(sn=adler*)", MatchKind.WORDS, "adler")]),
        ("(cn=tanaka*)", "taro", [MatchedTerm("cn", "", "(cn=tanaka*)", MatchKind.ALSO, "tanaka tarou")]),
        ("030 9999999", "", []),
        ("(telephoneNumber=1234567)", "hans",
         [MatchedTerm("telephoneNumber", "+49301234567", "(telephoneNumber=1234567)", MatchKind.NUMBER_END)]),
        ("(mobile=+442079460123)", "ann",
         [MatchedTerm("mobile", "+442079460123", "(mobile=+442079460123)", MatchKind.NUMBER)]),
        ("(telephoneNumber=0307654329)", "meier",
         [MatchedTerm("facsimileTelephoneNumber", "+49307654329", "(telephoneNumber=0307654329)",
                      MatchKind.OTHER_KIND)]),
        ("(|(homePhone=0307654321)(pager=0307654321)(mobile~=030 7654321))", "meier",
         [MatchedTerm("homePhone", "+49307654321", "(homePhone=0307654321)", MatchKind.NUMBER)]),
        ("(mobile=*460*)", "ann", [MatchedTerm("mobile", "+442079460123", "(mobile=*460*)", MatchKind.DIGITS)]),
        ("(&(objectClass=person)(cn>=zo))", "zoe", [MatchedTerm("cn", "Zoë Adler", "(cn>=zo)", MatchKind.VALUE)]),
        (
            "(cn=karin meier)",
            "meier",
            [MatchedTerm("cn", "Karin Meier", "(cn=karin meier)", MatchKind.VALUE, "karin meier")],
        ),
        ("(&(facsimileTelephoneNumber=*)(!(cn=x)))", "meier",
         [MatchedTerm("facsimileTelephoneNumber", "", "(facsimileTelephoneNumber=*)", MatchKind.PRESENT)]),
        ("(uid=meier)", "meier", [MatchedTerm("uid", "meier", "(uid=meier)", MatchKind.VALUE)]),
    ],
    ids=["word", "reading", "nothing", "number", "its end", "of another kind", "of its own kind", "its digits", "order",
         "whole", "presence", "other"],
)  # fmt: skip
def test_why_it_was_found(desk: PhoneView, asked: str, uid: str, held: list[MatchedTerm]) -> None:
    """A match lists the values that make the filter true, and the form of each match."""
    told = explained(asked, desk)
    assert found(told) == [uid] * bool(uid)
    assert [match.matched_terms for match in told.matches] == [tuple(held)] * bool(uid)


def test_a_number_in_its_former_form_is_the_same_number() -> None:
    """Mexican mobile numbers had a 1 behind the country code until 2019."""
    [term] = filter_terms(read_filter("(mobile=+5215512345678)"))
    found_entry = entry(Contact("c1", phones=(phone(Kind.MOBILE, "+52 55 1234 5678"),)), lenient=True)
    [matched] = matched_terms(found_entry, [term], naming_context())
    assert (matched.attribute, matched.value, matched.kind) == ("mobile", "+525512345678", MatchKind.NUMBER)


def test_a_caller_of_a_book_that_cannot_be_browsed(desk: PhoneView) -> None:
    """The number finds the contact, and the explanation counts no miss. The name of the book stays hidden."""
    told = explained("0171 7654321", desk)
    assert [(match.name, match.book) for match in told.matches] == [("Iwan Muller", "")]
    assert told.misses == ()


# --- near misses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "misses"),
    [
        ("kolumna", {"karla": MissReason.PRIVATE_BOOK}),
        ("0171 7654399", {"karla": MissReason.PRIVATE_BOOK, "iwan": MissReason.LAST_DIGITS}),
        ("iwan", {"iwan": MissReason.CALLERS_BOOK}),
        (
            "(&(mobile=01717654321)(mail=iwan*))",
            {"iwan": MissReason.CALLERS_BOOK, "karla": MissReason.LAST_DIGITS, "meier": MissReason.OTHER_BEGINNING},
        ),
        ("hans müller", {"hans2": MissReason.DUPLICATE}),
        ("Maier", {"meier": MissReason.SPELLING}),
        ("Mayer", {"meier": MissReason.SPELLING}),
        ("Karin Maier", {"meier": MissReason.SPELLING}),
        ("eier", {"meier": MissReason.INSIDE_WORD}),
        (
            "hans maschinenbau",
            {"hans": MissReason.WORDS_APART, "hans2": MissReason.SOME_WORDS, "hans3": MissReason.SOME_WORDS},
        ),
        ("karin schulz", {"meier": MissReason.SOME_WORDS}),
        ("klinik", {"theresa": MissReason.OTHER_ATTRIBUTE}),
        ("(cn=karin)", {"meier": MissReason.WHOLE_VALUE}),
        ("(&(telephoneNumber=*)(sn=stumm*))", {"theresa": MissReason.FILTER_TERM}),
        ("(&(sn=meier)(!(givenName=karin)))", {"meier": MissReason.FILTER_TERM}),
        ("(mobile=0307654329*)", {"meier": MissReason.OTHER_ATTRIBUTE}),
        ("+43 30 7654321", {"meier": MissReason.OTHER_COUNTRY, "iwan": MissReason.OTHER_BEGINNING}),
        ("030 7694321", {"meier": MissReason.ONE_DIGIT}),
        ("069 1002 123", {"zentrale": MissReason.LAST_DIGITS}),
        ("+49 69 555 204", {"zentrale": MissReason.SHORT_NUMBER}),
        ("567", {"hans": MissReason.SHORT_NUMBER, "hans2": MissReason.SHORT_NUMBER, "hans3": MissReason.SHORT_NUMBER}),
        ("nobody at all", {}),
        ("+1 212 555 0199", {}),
        ("(objectClass=device)", {}),
    ],
)
def test_why_it_was_not_found(desk: PhoneView, asked: str, misses: dict[str, MissReason]) -> None:
    """The explanation gives a reason for each contact that nearly matches."""
    assert missed(explained(asked, desk)) == misses


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("hans xyz", ["xyz"]),
        ("abc, müll. xyz", ["abc,", "xyz"]),
        ("(cn=hans xyz)", ["xyz"]),
        ("(|(sn=hans xyz*)(o=hans xyz*))", ["xyz"]),
        ("(o=hans maschinenbau*)", ["hans"]),
        ("karla hans", ["karla"]),
        ("hans hans", []),
        ("xyz", []),
        ("hans müller", []),
        ("(cn=*xyz* abc*)", []),
        ("(cn=karla abc d e f g h i j*)", []),
        ("(|(cn=4267099999*)(sn=4267099999*))", ["99999"]),
        ("(cn=90904267)", ["9"]),
        ("(cn=04267099999*)", []),
        ("(|(cn=4267099999*)(telephoneNumber=4267099999*))", []),
    ],
)
def test_words_that_nobody_has(desk: PhoneView, asked: str, words: list[str]) -> None:
    """A note names each typed word that no contact visible to the phone has."""
    notes = [note for note in explained(asked, desk).notes if note.code == "no_such_word"]
    assert [note.message.values["word"] for note in notes] == words


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ("(telephoneNumber=00301234567*)", ["star"]),
        ("(|(telephoneNumber=00301234567*)(mobile=00301234567*))", ["star"]),
        ("(telephoneNumber=00301234567)", []),
        ("(telephoneNumber=0301234567*)", []),
        ("(telephoneNumber=00309999999*)", []),
        ("(telephoneNumber=*0301234567*)", []),
        ("(cn=%*)", ["placeholder"]),
        ("(|(sn=$VALUE*)(o=$VALUE*))", ["placeholder", "placeholder"]),
        ("(telephoneNumber=%s)", ["placeholder"]),
        ("(cn=100%*)", []),
        ("anonymous", ["empty_number"]),
        (" Restricted ", ["empty_number"]),
        ("sip:anonymous@anonymous.invalid", ["empty_number"]),
        ("(cn=anonymous)", []),
    ],
)
def test_what_is_no_name_and_no_whole_number(asked: str, codes: list[str]) -> None:
    """Notes name a star behind a number with an unset outside line, a placeholder, and an anonymous caller."""
    notes = [note.code for note in explained(asked, sight(outside_line="")).notes]
    assert [code for code in notes if code in ("star", "placeholder", "empty_number")] == codes


@pytest.mark.parametrize(
    ("asked", "lenient", "count", "codes"),
    [
        ("", True, 7, ["everybody", "list_filter"]),
        (" * ", True, 7, ["everybody", "list_filter"]),
        ("**", True, 7, ["everybody", "list_filter"]),
        ("", False, 7, ["everybody", "list_filter"]),
        ("(cn=*)", True, 7, ["everybody", "list_filter"]),
        ("(cn=)", True, 7, ["everybody", "list_filter"]),
        ("(cn=)", False, 0, ["list_filter"]),
        ("(&(cn=*)(sn=*))", True, 7, ["everybody", "list_filter"]),
        ("(&(telephoneNumber=*)(sn=**))", True, 6, ["everybody", "list_filter"]),
        ("(objectClass=person)", True, 7, ["everybody", "list_filter"]),
        (r"(cn=\2a*)", True, 0, ["typed_star"]),
        (r"(|(cn=\2a)(telephoneNumber=\2a))", True, 0, ["typed_star", "typed_star", "no_number"]),
        ("(telephoneNumber=)", True, 0, ["empty_number"]),
        ("(&(cn=*)(!(cn=ann*)))", True, 6, []),
        ("(cn=ann*)", True, 1, []),
    ],
)
def test_nothing_was_typed(asked: str, lenient: bool, count: int, codes: list[str]) -> None:
    """A search without text, or with a star alone, lists everybody, and the notes say so."""
    told = explained(asked, sight(lenient=lenient))
    assert (told.entry_count, [note.code for note in told.notes]) == (count, codes)


_TYPED_NOTHING = "Nothing was typed, so this search asks for everybody who has a value in the fields of the filter. "
_BY_THE_FILTER = (
    "Some phones list everybody before anything is typed, and others wait for the first letter. If this phone lists "
    "nobody, check its name filter: without a text, the filter has to become "
    "(&(objectClass=person)(|(cn=*)(sn=*)(o=*)))."
)
_BY_A_SETTING = " lists everybody before anything is typed only with this setting: "


@pytest.mark.parametrize(
    ("model", "messages"),
    [
        ("", [_BY_THE_FILTER]),
        ("yealink", [_BY_THE_FILTER]),
        ("snom", [f"Snom{_BY_A_SETTING}perform_initial_query_in_ldap_state = on."]),
        (
            "gigaset",
            [
                f"Gigaset DECT{_BY_A_SETTING}Enable list mode.",
                f"Snom{_BY_A_SETTING}perform_initial_query_in_ldap_state = on.",
            ],
        ),
        ("linphone", [f"Linphone{_BY_A_SETTING}min_chars = 0."]),
        ("bria", [f"Bria{_BY_A_SETTING}Type to filter list."]),
    ],
)
def test_the_setting_that_lists_everybody(desk: PhoneView, model: str, messages: list[str]) -> None:
    """The notes name the setting of each family of the phone's make, or the form that the filter needs."""
    first, *others = [str(note.message) for note in explained("*", desk, model=model).notes]
    assert first == f"{_TYPED_NOTHING}The phone gets all of them, in the order of their names: 7."
    assert others == messages


def test_the_setting_and_the_filter_where_nobody_is_listed() -> None:
    """The phone searched without text, but its filter has no star. Notes give the setting and the filter."""
    told = explained("(cn=)", sight(lenient=False), model="snom")
    assert [note.code for note in told.notes] == ["list_setting", "list_filter"]


@pytest.mark.parametrize(
    ("model", "size_limit", "messages"),
    [
        ("yealink", 1000, ["all of them, in the order of their names: 60.", "50"]),
        ("yealink", 55, ["only the first 55 of them, in the order of their names.", "50"]),
        ("yealink", 50, ["only the first 50 of them, in the order of their names."]),
        ("poly", 1000, ["all of them, in the order of their names: 60."]),
    ],
)
def test_how_many_of_everybody(model: str, size_limit: int, messages: list[str]) -> None:
    """A note says how many contacts the gateway sends. A second note follows if the phone's settings ask for fewer."""
    contacts = tuple(Contact(uid=f"c{number}", name=f"Person {number:02}") for number in range(60))
    told = explained("", sight_of(DESK, *contacts), model=model, size_limit=size_limit)
    assert [match.name for match in told.matches] == [contact.name for contact in contacts[:50]]
    assert [str(note.message) for note in told.notes] == [
        f"{_TYPED_NOTHING}The phone gets {messages[0]}",
        *(
            f"With the settings from the gateway, the phone asks for at most {count} contacts."
            for count in messages[1:]
        ),
        _BY_THE_FILTER,
    ]


def test_the_star_is_no_obstacle_once_the_outside_line_is_set(desk: PhoneView) -> None:
    assert found(explained("(telephoneNumber=00301234567*)", desk)) == ["hans"]


def test_who_is_found_is_no_miss_and_hides_what_is_merely_like(desk: PhoneView) -> None:
    """If the number is found, the explanation leaves out contacts with similar numbers."""
    told = explained("030 7654321", desk)
    assert (found(told), told.misses) == (["meier"], ())


def test_a_private_copy_of_who_was_found_is_no_news(desk: PhoneView) -> None:
    """The explanation names a duplicate in a visible book, but none in a private book."""
    assert missed(explained("030 1234567", desk)) == {"hans2": MissReason.DUPLICATE}
    assert found(explained("030 1234567", sight(HALL))) == ["hans2"]
    assert missed(explained("030 1234567", sight(HALL))) == {}


def test_a_base_that_leaves_them_out(desk: PhoneView) -> None:
    """The branch of a label holds only the contacts with this label.

    The explanation names contacts outside the base.
    """
    told = explained("karin", desk, base=CUSTOMERS)
    assert (told.base, [match.dn for match in told.matches], told.misses) == (CUSTOMERS, [f"uid=meier,{CUSTOMERS}"], ())
    assert missed(explained("theresa", desk, base=CUSTOMERS)) == {"theresa": MissReason.OUTSIDE_BASE}
    assert missed(explained("ann", desk, base=f"OU={ALICE}, {BASE}")) == {"ann": MissReason.OUTSIDE_BASE}
    assert found(explained("ann", desk, base="")) == ["ann"]
    with pytest.raises(DirectoryError):
        explained("ann", desk, base="dc=nowhere")


def test_a_limit_that_cuts_them_off(desk: PhoneView) -> None:
    """The explanation names the contacts that the size limit leaves out."""
    told = explained("mul", desk, size_limit=1)
    assert (found(told), told.entry_count, told.complete) == (["ann"], 1, False)
    assert missed(told) == {
        "hans": MissReason.SIZE_LIMIT, "hans2": MissReason.SIZE_LIMIT,
        "hans3": MissReason.PRIVATE_BOOK, "iwan": MissReason.CALLERS_BOOK
    }  # fmt: skip


def test_a_phone_that_gets_an_entry_for_each_number() -> None:
    """Such a phone gets no contact without a number, and all numbers have the same attribute."""
    cisco = sight(CISCO)
    assert found(explained("karin", cisco)) == ["meier-2", "meier-1"]
    assert missed(explained("theresa", cisco)) == {"theresa": MissReason.NO_NUMBER}
    assert missed(explained("(homePhone=0307654321*)", cisco))["meier"] is MissReason.NUMBER_ENTRIES
    assert missed(explained("hans", cisco)) == {"hans2": MissReason.DUPLICATE}


def test_what_is_in_the_way_in_ones_own_book_is_told_first() -> None:
    """Misses in visible books come before misses in private books. A user learns nothing of the private books."""
    told = explained("(mobile=01712345678*)", sight(CISCO))
    assert [(miss.reason, miss.book) for miss in told.misses][:3] == [
        (MissReason.NUMBER_ENTRIES, ALICE), (MissReason.NUMBER_ENTRIES, BOB), (MissReason.PRIVATE_BOOK, DAVE)
    ]  # fmt: skip
    told = explained("(mobile=01712345678*)", sight(CISCO), reader=USER)
    reasons = [miss.reason for miss in told.misses]
    assert (reasons[:2], MissReason.PRIVATE_BOOK in reasons) == ([MissReason.NUMBER_ENTRIES] * 2, False)


@pytest.mark.parametrize(
    ("asked", "found_by_letter", "misses"),
    [
        ("mueller", [], {"hans": MissReason.STRICT_MATCHING, "hans2": MissReason.STRICT_MATCHING}),
        ("müller", ["hans"], {"hans2": MissReason.DUPLICATE}),
        ("030 1234567", [], {"hans": MissReason.STRICT_MATCHING, "hans2": MissReason.STRICT_MATCHING}),
        ("+49 30 1234567", ["hans"], {"hans2": MissReason.DUPLICATE}),
    ],
)
def test_matching_by_the_letter(asked: str, found_by_letter: list[str], misses: dict[str, MissReason]) -> None:
    """The explanation names contacts that lenient matching would find and RFC 4517 does not."""
    told = explained(asked, sight(lenient=False))
    assert (told.lenient, found(told)) == (False, found_by_letter)
    mine = {uid: reason for uid, reason in missed(told).items() if uid in ("hans", "hans2")}
    assert mine == misses


def test_the_nearest_come_first_and_few(desk: PhoneView) -> None:
    """The nearest contacts come first. Behind a limit, the explanation only counts the others."""
    told = explained("0171 7654322", desk)
    assert [(miss.name, miss.reason) for miss in told.misses] == [
        ("Iwan Muller", MissReason.LAST_DIGITS), ("Karla Kolumna", MissReason.LAST_DIGITS)
    ]  # fmt: skip
    everybody = explained("(objectClass=*)", desk, size_limit=1)
    assert (len(everybody.misses), everybody.more_misses) == (MAX_MISSES, 1)


# --- for a user's eyes ------------------------------------------------------------------------------------------------


ADMINISTRATOR = ExplanationReader(hides_private_books=True, is_admin=True)


@pytest.mark.parametrize("asked", ["0171 7654399", "(&(mobile=01717654399)(sn=nobody))"])
def test_an_administrator_is_told_that_somebody_has_the_number(desk: PhoneView, asked: str) -> None:
    """The administrator learns nothing else of the contact, whatever else the filter asks.

    A user does not learn of the contact.
    """
    assert explained(asked, desk, reader=USER).misses == ()
    [miss] = explained(asked, desk, reader=ADMINISTRATOR).misses
    assert (miss.reason, miss.name, miss.dn, miss.book) == (MissReason.PRIVATE_BOOK, "", "", "")
    assert str(miss.message) == "A contact in someone else’s private address book has this number."
    assert str(miss.advice) == "Ask your colleagues who has this contact and could share it."


@pytest.mark.parametrize(
    "asked",
    ["kolumna", "iwan", "0171 765439", "(mobile=*7654399)", "(mobile=0171765439*)", "(!(!(cn=karla*)))", "(cn=*)",
     "(&(cn=karla*)(!(mobile=01717654399)))"],
)  # fmt: skip
@pytest.mark.parametrize("reader", [USER, ADMINISTRATOR], ids=["user", "administrator"])
def test_nobody_can_feel_for_what_others_have(desk: PhoneView, reader: ExplanationReader, asked: str) -> None:
    """The explanation reveals neither names nor parts of numbers from private books and books for callers' names."""
    told = explained(asked, desk, reader=reader)
    everything = repr([(miss.name, miss.dn, miss.book, str(miss.message)) for miss in told.misses])
    assert not {miss.reason for miss in told.misses} & {MissReason.PRIVATE_BOOK, MissReason.CALLERS_BOOK}
    assert all(word not in everything for word in ("Karla", "Iwan", DAVE, CAROL))


@pytest.mark.parametrize("administers", [False, True], ids=["user", "administrator"])
def test_ones_own_other_book_is_told_of(desk: PhoneView, administers: bool) -> None:
    """The reader's own private book is named, though the phone belongs to another account.

    Books of other people are not named.
    """
    reader = ExplanationReader(hides_private_books=True, is_admin=administers, own_books=frozenset(("dave",)))
    [miss] = explained("kolumna", desk, reader=reader).misses
    assert str(miss.advice) == "This contact is yours. If you share your contacts, this phone finds it, too."
    assert (miss.reason, miss.name, miss.book) == (MissReason.PRIVATE_BOOK, "Karla Kolumna", DAVE)
    assert explained("iwan", desk, reader=reader).misses == ()


def test_a_user_gets_no_advice_for_administrators(desk: PhoneView) -> None:
    """The advice to a user names no command."""
    [miss] = explained("(&(telephoneNumber=*)(sn=stumm*))", desk, reader=USER).misses
    assert "ldapgw" not in str(miss.advice)


@pytest.mark.no_cover
@pytest.mark.parametrize("reader", [USER, ADMINISTRATOR], ids=["user", "administrator"])
def test_nothing_of_others_shows_through(reader: ExplanationReader) -> None:
    """The explanation is the same without the hidden books, except for the sentence for an administrator."""
    sentences = 0
    for number in range(300):
        asked = search(number)
        desk = offices.office(asked.seed).desks[asked.desk]
        for tenant, _ in desk.tenants:
            query = PhoneQuery("", QueryKind.FILTER, asked.filter)
            told = []
            for dit in (dit_of(asked.seed), blind_dit(asked.seed, asked.desk)):
                before = PhoneView(dit, desk.viewer, tenant)
                found = explain(query, before, private=before.hidden_books(), size_limit=9, reader=reader)
                told.append(explanation_json(found))
            said = [miss for miss in told[0]["misses"] if not miss["name"]]
            assert [miss["message"] for miss in said] in ([], [TEXTS.private_book_message])
            assert not said or has_number_assertion(asked.filter)
            told[0]["misses"] = [miss for miss in told[0]["misses"] if miss["name"]]
            assert told[0] == told[1]
            sentences += len(said)
    assert sentences > 5 if reader.is_admin else not sentences


# --- notes ------------------------------------------------------------------------------------------------------------


def test_what_is_to_be_known_of_terms(desk: PhoneView) -> None:
    """Each term with a peculiarity gets a single note."""
    read = "(415) 555-0100 has neither a country code nor a leading 0, so it was read as a number in the region DE: "
    notes = {
        "(IMHandle=x*)": ("unknown_attribute", "(IMHandle=x*) never matches: no entry has that attribute."),
        "(telephoneNumber=foo)": ("no_number", "(telephoneNumber=foo) never matches: this isn’t a phone number."),
        "(mobile=)": ("empty_number", "(mobile=) never matches: a caller who hides their number can’t be found."),
        "(mobile=\\28415\\29 555-0100)": ("region", f"{read}+494155550100."),
    }
    for term, note in notes.items():
        told = explained(f"(|(cn=x){term})", desk).notes
        assert [(one.code, str(one.message)) for one in told] == [note]


# --- any filter -------------------------------------------------------------------------------------------------------

AWKWARD = PhoneView(awkward.make_dit(lenient=True), awkward.VIEWER, "acme")
ASKED = Asked(held(AWKWARD.dit))


@pytest.mark.no_cover
@settings(max_examples=examples(80), deadline=None)
@given(ASKED.filters())
def test_any_filter_can_be_explained(sought: Filter) -> None:
    """The matches are the results of the search, and no entry is both a match and a miss."""
    told = explain(PhoneQuery("", QueryKind.FILTER, sought), AWKWARD, size_limit=1000, reader=OPERATOR)
    entries = AWKWARD.search(sought, awkward.BASE, 1000).entries
    assert told.entry_count == len(entries)
    assert [match.dn for match in told.matches] == [entry.dn for entry in entries[:50]]
    assert {miss.dn for miss in told.misses}.isdisjoint(entry.dn for entry in entries)
    assert all(str(miss.message) and str(miss.advice) for miss in told.misses)


@pytest.mark.parametrize(
    ("asked", "sharing", "advice"),
    [("kira", "group:sales", "shared"), ("0301112233", "group:sales", "callers"), ("kira", "callers", "shared")],
)
def test_the_sharing_of_a_file(asked: str, sharing: str, advice: str) -> None:
    """The configuration sets the sharing of a file, so the advice names the setting and no command."""
    [miss] = explained(asked, sight_of(HALL, KIRA, key="file:sales", name="sales", sharing=Sharing(sharing))).misses
    assert miss.reason in (MissReason.GROUP_BOOK, MissReason.CALLERS_BOOK)
    assert str(miss.advice) == (
        f'To let all phones find the contact, set sharing = "{advice}" for the file sales in the configuration.'
    )


@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        ("kira pfeil", "Leave out “pfeil”, or correct the contact in the file sales."),
        ("kyra", "Type fewer letters of the name, or correct the contact in the file sales."),
        (
            "0301112234",
            "If the caller is from the same company as this contact, save the caller’s number in the file sales, too.",
        ),
        ("0301312233", "Correct the number in the file sales."),
    ],
)
def test_a_contact_to_correct_in_a_file(asked: str, advice: str) -> None:
    """The advice names the file, because the contact cannot be corrected at Google."""
    view = sight_of(HALL, KIRA, key="file:sales", name="sales", sharing=Sharing.SHARED)
    for reader in (OPERATOR, USER):
        assert [str(miss.advice) for miss in explained(asked, view, reader=reader).misses] == [advice]
