# SPDX-License-Identifier: MIT
"""Folding: the forms under which a name is found."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.directory import name_folding
from tests.support import work
from tests.support.examples import examples


def finds(asked: str, stored: str) -> bool:
    """Return True if a text finds a whole stored text."""
    return bool(set(name_folding.query_variants(asked)) & set(name_folding.search_variants(stored)))


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("Müller", ["Mu\u0308ller", " müller ", "M\u00adüller", "\u202aMÜLLER\u202c", "müller\u200b"]),
        ("Mueller", ["Müller", "MUELLER"]),
        ("Joergen", ["jørgen", "jörgen"]),
        ("Kierkegaard", ["kierkegård", "kierkegard"]),
        ("Aaron Maaß", ["aron mass", "aaron maass"]),
        ("Œuvre", ["oeuvre", "ouvre", "œuvre"]),
        ("Ŋŋŉ Ĳssel", ["ngngn ijssel"]),
        ("\u202aRupert\u202c", ["rupert"]),
        ("Zoe\u0308", ["zoe", "zoë"]),
        ("Van\u00a0Den Berg", ["van den  berg"]),
        ("ﬁne Ｗｉｄｅ", ["fine wide"]),
        ("№ 5, ½ €", ["no 5 1 2", "no 5 12"]),
        ("❤\ufe0f Anna 1\ufe0f\u20e3", ["anna 1", "❤ anna 1"]),
        ("🐶", ["🐶"]),
        ("Rock ´n´ Roll", ["rock n roll", "rock 'n' roll"]),
        ("A.B.C.", ["abc", "a b c", "a. b. c."]),
        ("محمـد", ["محمد"]),
        ("علی", ["علي"]),
        ("№ 5", ["no 5", "№ 5"]),
        ("Acme™ Иванов", ["acme ivanov", "acme иванов"]),
        ("İ㎁", ["i\u0307㎁", "ina"]),
        ("王 ışık", ["王 IŞIK", "王 isik"]),
        ("王 小明", ["王小明", "王小 明"]),
        ("株式会社サンプル", ["株式会社 サンプル"]),
        ("しゅんじ", ["shunji", "shiyunji", "シュンジ"]),
        ("a\ud800b", ["ab", "a b"]),
        ("İ ı I i", ["i i i i", "İ İ İ İ"]),
    ],
    ids=ascii,
)
def test_a_name_is_found_however_it_is_typed(stored: str, typed: list[str]) -> None:
    """These cases cannot be shown, or are too odd, in the documentation's tables of examples."""
    assert [text for text in typed if not finds(text, stored)] == []


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("Möller", "Müller"),
        ("Schmidt", "Schmitt"),
        ("田中", "田钟"),
        ("王", "wan"),
        ("Muller", "ull"),
        ("A&B", "*"),
        ("Ada", ""),
        ("\u3164", "a"),
    ],
)
def test_other_names_are_not_found(stored: str, typed: str) -> None:
    """Folding goes no further than spelling."""
    assert not finds(typed, stored)


@pytest.mark.parametrize(
    ("text", "closed", "goes_on"),
    [
        ("mue", ("mue", "mu"), ("mue",)),
        ("joerg mue", ("joerg mue", "jorg mu"), ("joerg mue", "jorg mue")),
        ("maa", ("maa", "ma"), ("maa",)),
        ("muel", ("muel", "mul"), ("muel", "mul")),
        ("mü", ("mu",), ("mu",)),
    ],
)
def test_an_umlaut_at_the_end_may_be_none(text: str, closed: tuple[str, ...], goes_on: tuple[str, ...]) -> None:
    """More letters may follow: "mue" is the beginning of Mueller and of no Mustermann."""
    assert name_folding.query_variants(text) == closed
    assert name_folding.query_variants(text, open_ended=True) == goes_on


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Ödegaard", "odegaard"),
        ("Öztürk, Çağlar", "ozturk caglar"),
        ("Żółkiewski", "zolkiewski"),
        ("Петров", "petrov"),
        ("王小明", "wangxiaoming"),
        ("", ""),
        ("🐶", ""),
    ],
)
def test_names_are_sorted_by_their_main_form(text: str, key: str) -> None:
    """Ö stands at o, and other scripts among Latin names."""
    assert name_folding.collation_key(text) == key
    assert name_folding.variants(text)[0] == key


def test_only_the_local_part_of_an_email_address_has_a_form_as_one_word() -> None:
    """Nobody types a whole address without its dots."""
    assert name_folding.variants("Joe.O'Brien@x.example") == (
        *("joe o brien x example", "jo o brien x example"),
        *("joeobrien x example", "joobrien x example"),
        "joe.o'brien@x.example",
    )
    assert name_folding.variants("anna@x.example") == ("anna x example", "anna@x.example")
    assert name_folding.variants("a.b@") == ("a b", "ab", "a.b@")
    assert name_folding.variants("@x.example") == ("x example", "@x.example")


@pytest.mark.parametrize(
    "address",
    [
        "Maex.Moeller@post.example",
        "xa_+ae@a-b.example",
        "x@aa.example",
        ".x@@x.example",
        "xoe.ue@.a..ae",
        "x y.z@a.example",
    ],
)
def test_an_address_of_ascii_characters_has_the_forms_of_any_address(address: str) -> None:
    """The letter x in its wide form is no ASCII character, and otherwise the same letter."""
    *forms, _ = name_folding.variants(address)
    *others, _ = name_folding.variants(address.replace("x", "\uff58"))
    assert forms == others


def test_a_name_with_an_at_sign_is_no_email_address() -> None:
    assert name_folding.variants("@home") == ("home", "@home")
    assert name_folding.variants("P@rtner") == ("p rtner", "prtner", "p@rtner")
    assert name_folding.variants("Müller @ Co.") == ("muller co", "mueller co", "müller @ co.")


@pytest.mark.parametrize(
    ("asked", "stored", "is_found"),
    [
        ("o'brien@shop.example", "OBrien@shop.example", True),
        ("obrien@shop.example", "o'brien@shop.example", True),
        ("hans-peter@shop.example", "hanspeter@shop.example", True),
        ("a@b", "a.b@c.example", False),
        ("ab", "a.b@c.example", False),
        ("a.b@c.d", "a.b.c.d@e.example", False),
    ],
)
def test_an_email_address_is_a_whole_value(asked: str, stored: str, is_found: bool) -> None:
    assert is_found is not set(name_folding.query_variants(asked)).isdisjoint(name_folding.variants(stored))


def test_a_search_text_holds_only_the_punctuation_of_the_unchanged_text() -> None:
    assert name_folding.search_variants("O'Brien & Co_2.") == ("o brien co 2", "obrien co2", "\x10'\x10 & \x10_\x10.")
    assert name_folding.search_variants("C&A") == ("c a", "ca", "\x10&\x10")
    assert name_folding.search_variants("Müller") == name_folding.variants("Müller")


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("obrien", "o'brien@shop.example"),
        ("annemarie", "Anne-Marie@Work"),
        ("annemarie@", "anne-marie@shop.example"),
        ("cocacola", "Coca-Cola@Home"),
        ("müller", "jan-müller@shop.example"),
    ],
)
def test_the_beginning_of_an_email_address_finds_it(asked: str, stored: str) -> None:
    forms = [f" {form} " for form in name_folding.variants(stored)]
    assert any(f" {form}" in stored_form for form in name_folding.query_variants(asked) for stored_form in forms)


# Of every script, and more than there should be of what is treated in a special way.
TEXTS = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("aeou äöüÄÖÜßøåæœİıłđ'´-.,&*\u0301\u0308\u200b\ufe0f\ud800🐶иійщαυμπ王田ーシュ김สم"),
    ),
    max_size=40,
)


@settings(max_examples=examples(400), deadline=None)
@given(TEXTS)
def test_folding_is_idempotent(text: str) -> None:
    """The main form is its own main form, and no form holds anything that would break a line."""
    key = name_folding.collation_key(text)
    forms = name_folding.variants(text)

    assert name_folding.collation_key(key) == key
    assert forms[0] == key
    assert name_folding.variants(key)[0] == key
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789 ")
    assert not any(sign in form for form in forms for sign in "\n\f\t")
    assert "\x02" in text or not any("\x02" in form for form in forms)
    assert all(form == " ".join(form.split()) for form in forms)
    assert len(forms) <= 20


@settings(max_examples=examples(400), deadline=None)
@given(TEXTS)
def test_every_text_finds_itself(text: str) -> None:
    """As it is, in other case, and by each of its forms; unless nothing of it can be seen."""
    asked = [
        text,
        text.upper(),
        text.lower(),
        *(form for form in name_folding.variants(text) if name_folding.query_variants(form)),
    ]

    assert [one for one in asked if not finds(one, text) and name_folding.query_variants(text)] == []


@settings(max_examples=examples(400), deadline=None)
@given(st.text("aeouàüxyz 1é", max_size=20))
def test_the_short_ways_are_the_long_way(text: str) -> None:
    """A text that is folded letter by letter has the forms of one that has to be looked at as a whole."""
    short, long = name_folding.variants(f"{text} é"), name_folding.variants(f"{text} e\u0301")

    assert short[0] == long[0]
    assert set(short) == set(long)


@pytest.mark.parametrize(
    ("digits", "readings"),
    [
        ("685", ["685"]),
        ("4267068", ["4267 68", "4267068"]),
        ("829403000", ["8294 3000", "8294 3 00", "8294 300 ", "829403000", "829403 00", "82940300 "]),
        ("0301", [" 3 1", " 301", "03 1", "0301"]),
        ("0", [" ", "0"]),
        ("11", ["11"]),
    ],
)
def test_a_zero_is_a_blank_or_stands_for_itself(digits: str, readings: list[str]) -> None:
    """Of several in a row, the first or the last one may be a blank."""
    assert sorted(name_folding.keypad_readings(digits)) == sorted(readings)


def test_of_many_zeros_few_are_blanks() -> None:
    digits = "20" * 16
    assert digits in name_folding.keypad_readings(digits)
    assert len(name_folding.keypad_readings(digits)) <= 9


@pytest.mark.parametrize(("text", "digits"), [("685", "685"), (" 22 ", "22"), ("1" * 32, "1" * 32)])
def test_digits_may_be_letters_on_the_keys(text: str, digits: str) -> None:
    assert name_folding.keypad_digits(text) == digits


@pytest.mark.parametrize("text", ["", "6a", "+49", "٦٨٥", "6 8", "1" * 33])
def test_other_texts_are_not_keyed(text: str) -> None:
    """Only digits alone are, and no more of them than anybody types."""
    assert name_folding.keypad_digits(text) == ""


@pytest.mark.parametrize(
    ("text", "keyed"),
    [
        ("\n hans muller 3 \n", "\n 4267 685537 3 \n"),
        ("павел смирновскии", "52234 65465526444"),
        ("γιαννησ", "2426647"),
        ("احمد المحمدي", "3685 3886857"),
        ("פרץ", "978"),
        ("田中 a", "田中 2"),
    ],
)
def test_letters_are_on_keys(text: str, keyed: str) -> None:
    """Of each script that has them; anything else stays as it is."""
    assert name_folding.on_keys(text) == keyed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pet mei", [("pet",), ("mei",)]),
        ("  Pet.  Mei, ", [("pet",), ("mei",)]),
        ("o'brien & x", [("o brien", "obrien"), ("x",)]),
        ("王小明 x", [("王 小 明",), ("x",)]),
        ("müll joe", [("mull",), ("joe",)]),
        ("** &", []),
        ("", []),
    ],
)
def test_words_are_what_blanks_separate(text: str, words: list[tuple[str, ...]]) -> None:
    """Each has its variants; punctuation alone is no word."""
    assert name_folding.typed_words(text, open_ended=True) == words


@pytest.mark.parametrize("sign", ["a", "ü", "и", "王", ".", "🐶", "\u0301", "ﷺ", "ae", "1", "シュ", "μπ"])
def test_a_megabyte_costs_little(sign: str) -> None:
    """A text is cut before it is folded, and a hostile one has no more forms than any other."""
    text = sign * (1_000_000 // len(sign))

    def fold_all() -> None:
        name_folding.variants(text)
        name_folding.query_variants(text)
        name_folding.collation_key(text)
        name_folding.keypad_digits(text)
        name_folding.typed_words(text, open_ended=True)

    assert work.calls(fold_all) < 100_000
    assert work.peak(fold_all) < 1_000_000
    assert len(name_folding.variants(text)) <= 10
