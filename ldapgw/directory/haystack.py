# SPDX-License-Identifier: MIT
"""What an attribute's values are searched in: one string, worked out once, when a book is built.

A haystack is a row of lines, each between two line breaks, so that one ``in`` on one string answers most questions
about all values at once.  A line is

* of a text, in lenient matching: a form of it (`fold`) between two blanks: the start of any word is a blank and a
  letter.  The main forms come first, one for each value; behind a form feed come all others.
* of a telephone number, in lenient matching: its three forms (E.164, national, as typed) between tabs; one line for
  each value.  A form that it has not is empty.
* of all else: the value as its matching rule compares it (`prepare`); one line for each value.

`needle` asks the questions; the two modules know each other's form and nobody else does.
"""

from __future__ import annotations

from collections.abc import Iterable

from ldapgw.directory import fold, prepare
from ldapgw.directory.schema import Family
from ldapgw.number import Number, typed_digits


def of_texts(values: Iterable[str]) -> str:
    """Of texts, leniently."""
    read = [fold.forms(value) for value in values]
    lines = "".join([f"\n {main} " for main, *_ in read]) + "\n"
    return lines + _others(dict.fromkeys([form for _, *forms in read for form in forms]))


def of_others(values: Iterable[str]) -> str:
    """Of texts, leniently, that are not among an attribute's values and find the entry all the same."""
    return _others(dict.fromkeys([form for value in values for form in fold.forms(value)]))


def _others(forms: Iterable[str]) -> str:
    lines = "".join([f"\n {form} " for form in forms])
    return f"\f{lines}\n" if lines else ""


def of_numbers(numbers: Iterable[Number]) -> str:
    """Of telephone numbers, leniently."""
    return "".join([f"\n\t{one.e164}\t{one.national}\t{typed_digits(one)}\t" for one in numbers]) + "\n"


def of_values(family: Family, values: Iterable[str]) -> str:
    """Of any values, by the rules of RFC 4517."""
    return "".join(f"\n{prepare.line(family, value) or ''}" for value in values) + "\n"


def lines_of(haystack: str) -> list[str]:
    """The values' lines, without those that only help to find them."""
    return haystack.partition("\f")[0].split("\n")[1:-1]


def number_of(line: str) -> Number:
    """The telephone number of a line."""
    _, e164, national, digits, _ = line.split("\t")
    return Number("", e164, national, digits.removeprefix("+"))
