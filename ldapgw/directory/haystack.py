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


def of_texts(values: Iterable[str], also: Iterable[str] = ()) -> str:
    """Of texts, leniently.

    :param also: texts that find the entry as well, though they are not among its values.
    """
    lines = ""
    others: dict[str, None] = {}
    for value in values:
        main, *more = fold.forms(value)
        lines += f"\n {main} "
        others |= dict.fromkeys(more)
    for value in also:
        others |= dict.fromkeys(fold.forms(value))
    if not others:
        return lines + "\n"
    return lines + "\n\f\n " + " \n ".join(others) + " \n"


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
