# SPDX-License-Identifier: MIT
"""Folding: the forms under which a name is found."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.directory import fold


def finds(asked: str, stored: str) -> bool:
    """Whether a text finds a stored one as a whole."""
    return bool(set(fold.asked(asked)) & set(fold.forms(stored)))


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("Müller", ["muller", "mueller", "Müller", "MÜLLER", "Mu\u0308ller", " müller "]),
        ("Mueller", ["muller", "mueller", "Müller"]),
        ("Muller", ["muller", "mueller", "Müller"]),
        ("Groß", ["gross", "groß", "GROSS", "GROẞ"]),
        ("Gross", ["groß"]),
        ("Łukasz Żółkiewski", ["lukasz zolkiewski", "łukasz żółkiewski", "LUKASZ  ZOLKIEWSKI"]),
        ("Jørgen", ["jorgen", "joergen", "jørgen", "jörgen"]),
        ("Joergen", ["jørgen"]),
        ("Kjær", ["kjaer", "kjar", "kjær", "kjär"]),
        ("Œuvre", ["oeuvre", "ouvre", "œuvre"]),
        ("İstanbul", ["istanbul", "İSTANBUL", "ıstanbul"]),
        ("Yıldırım", ["yildirim", "YILDIRIM"]),
        ("O'Brien", ["obrien", "o'brien", "o’brien", "o brien", "OBrien"]),
        ("D’Angelo", ["dangelo", "d'angelo", "d angelo"]),
        ("Möller-Schönfeld", ["moller schonfeld", "moeller-schoenfeld", "mollerschonfeld"]),
        ("van den  Berg", ["van den berg", "Van\u00a0Den Berg"]),
        ("Dr. Weber (Notdienst)", ["dr weber notdienst"]),
        ("Stille Post e.V.", ["stille post ev", "stille post e v", "Stille Post e. V."]),
        ("Schmidt & Söhne", ["schmidt sohne", "schmidt & soehne"]),
        ("Lisa 🐶", ["lisa", "LISA 🐶"]),
        ("🐶", ["🐶"]),
        ("\u202aRupert\u202c", ["rupert"]),
        ("Иванов", ["ivanov", "иванов", "ИВАНОВ"]),
        ("Ivanov", ["Иванов"]),
        ("Хрущёв", ["khrushchev", "хрущев", "хрущёв"]),
        ("Юрий", ["yuriy", "yurii", "юрий"]),
        ("Игорь", ["igor", "игорь"]),
        ("Παπαδόπουλος", ["papadopoulos", "παπαδοπουλος", "ΠΑΠΑΔΟΠΟΥΛΟΣ"]),
        ("Ευάγγελος", ["evangelos", "ευαγγελος"]),
        ("田中", ["田中"]),
        ("タナカ", ["tanaka", "タナカ", "ﾀﾅｶ"]),
        ("김민수", ["김민수", "gimminsu"]),
        ("Nguyễn Thị", ["nguyen thi", "nguyễn thị"]),
        ("ﬁne Ｗｉｄｅ", ["fine wide"]),
        ("Michael", ["michael", "michal"]),
        ("Hotel **** Adler", ["hotel adler", "Hotel **** Adler"]),
    ],
)
def test_a_name_is_found_however_it_is_typed(stored: str, typed: list[str]) -> None:
    """The table of examples, which is the documentation of folding too."""
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
    ],
)
def test_other_names_are_not_found(stored: str, typed: str) -> None:
    """Folding goes no further than spelling."""
    assert not finds(typed, stored)


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
    assert fold.collation(text) == key
    assert fold.forms(text)[0] == key


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_folding_is_idempotent(text: str) -> None:
    """The main form is its own main form, and no form holds anything that would break a line."""
    key = fold.collation(text)

    assert fold.collation(key) == key
    assert not any(sign in form for form in fold.forms(text) for sign in "\n\f\t")
    assert all(form == " ".join(form.split()) for form in fold.forms(text))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_every_text_finds_itself(text: str) -> None:
    """Unless nothing of it can be seen."""
    assert finds(text, text) or not fold.asked(text)


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
    pattern = fold.keypad(digits)

    assert pattern
    assert [text for text in matches if not pattern.fullmatch(text)] == []
    assert [text for text in fails if pattern.fullmatch(text)] == []


@pytest.mark.parametrize("text", ["", "6a", "+49", "٦٨٥", "6 8"])
def test_other_texts_are_not_keyed(text: str) -> None:
    """Only digits alone are."""
    assert fold.keypad(text) is None


@pytest.mark.parametrize("sign", ["a", "ü", "и", "王", ".", "🐶", "\u0301", "ﷺ", "ae"])
def test_a_megabyte_costs_little(sign: str) -> None:
    """A text is cut before it is folded."""
    text = sign * (1_000_000 // len(sign))
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        fold.forms(text)
        fold.asked(text)
        taken.append(time.perf_counter() - begun)

    assert min(taken) < 0.05
