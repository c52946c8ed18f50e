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
    """Whether a text finds a stored one as a whole."""
    return bool(set(name_folding.query_variants(asked)) & set(name_folding.variants(stored)))


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
    """What cannot be shown, or is too odd, for the tables of examples in the documentation."""
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
    """Where more letters may follow, "mue" is the beginning of Mueller and of no Mustermann."""
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
    ("digits", "matches", "fails"),
    [
        ("685", ["mul", "nuk", "685"], ["mu", "mua"]),
        ("4267068", ["hans mu", "4267068"], ["hansamu"]),
        ("11", ["11"], ["aa"]),
        (" 22 ", ["ab"], []),
    ],
)
def test_digits_are_keypad_letters(digits: str, matches: list[str], fails: list[str]) -> None:
    """Each digit stands for its letters and itself; 0 is the blank, 1 has no letters."""
    pattern = name_folding.keypad_pattern(digits)

    assert pattern
    assert [text for text in matches if not pattern.fullmatch(text)] == []
    assert [text for text in fails if pattern.fullmatch(text)] == []


@pytest.mark.parametrize("text", ["", "6a", "+49", "٦٨٥", "6 8"])
def test_other_texts_are_not_keyed(text: str) -> None:
    """Only digits alone are."""
    assert name_folding.keypad_pattern(text) is None


@pytest.mark.parametrize("sign", ["a", "ü", "и", "王", ".", "🐶", "\u0301", "ﷺ", "ae", "1", "シュ", "μπ"])
def test_a_megabyte_costs_little(sign: str) -> None:
    """A text is cut before it is folded, and a hostile one has no more forms than any other."""
    text = sign * (1_000_000 // len(sign))

    def fold_all() -> None:
        name_folding.variants(text)
        name_folding.query_variants(text)
        name_folding.collation_key(text)
        name_folding.keypad_pattern(text)

    assert work.calls(fold_all) < 100_000
    assert work.peak(fold_all) < 1_000_000
    assert len(name_folding.variants(text)) <= 10
