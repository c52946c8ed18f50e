# SPDX-License-Identifier: MIT
"""Why an entry matches: the values of it that make terms of the filter true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ldapgw.directory import assertion, name_folding
from ldapgw.directory.access import NamingContext
from ldapgw.directory.assertion import TextPredicate
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Approximate, Equality, GreaterOrEqual, LessOrEqual, Present, Substrings, to_string
from ldapgw.directory.schema import AttributeType, Family
from ldapgw.numbers import phone_number
from ldapgw.phones.explain.model import Held
from ldapgw.phones.explain.terms import Leaf, each_value, forms_of, test_of
from ldapgw.phones.explain.texts import How


def holding(entry: Entry, leaves: Iterable[Leaf], context: NamingContext) -> tuple[Held, ...]:
    """The terms that an entry makes true, each with the value that does so.

    That something is there, and the class of the entry, are told where there is nothing else.
    """
    found = [held for leaf in leaves for kind in leaf.kinds if (held := _held(entry, leaf, kind, context))]
    telling = [held for held in found if held.how is not How.PRESENT and held.attribute != "objectClass"]
    return tuple(dict.fromkeys(telling or found))


def _held(entry: Entry, leaf: Leaf, kind: AttributeType, context: NamingContext) -> Held | None:
    term = to_string(leaf.term)
    if isinstance(leaf.term, Present):
        return Held(kind.name, "", term, How.PRESENT) if entry.search_text(kind) is not None else None
    test = test_of(leaf, kind, context)
    if test is None:
        return None
    for value, sought in each_value(entry, kind, context):
        if test(sought):
            how, form = _how(leaf, sought, context)
            return Held(kind.name, value, term, how, form)
    everything = entry.search_text(kind)
    if everything is None or not test(everything):
        return None
    return Held(kind.name, "", term, How.ALSO, next(_other_lines(everything, test), ""))


def _other_lines(everything: str, test: TextPredicate) -> Iterator[str]:
    """The forms of other names that pass a test."""
    _, _, others = everything.partition("\f")
    return (line.strip() for line in others.split("\n") if line and test(f"\n{line}\n"))


def _how(leaf: Leaf, sought: str, context: NamingContext) -> tuple[How, str]:
    if isinstance(leaf.term, GreaterOrEqual | LessOrEqual):
        return How.VALUE, ""
    if leaf.family is Family.NUMBER:
        return _how_number(leaf, sought, context), ""
    if leaf.family is not Family.TEXT or not leaf.text:
        return How.VALUE, ""
    pattern = name_folding.keypad_pattern(leaf.text) if context.lenient else None
    form = next((form for form in forms_of(leaf, context) if form in sought), "")
    if pattern and not form:
        spelt = pattern.search(sought)
        return How.KEYS, spelt[0].strip() if spelt else ""
    return (How.WORDS if context.lenient and _begins(leaf) else How.VALUE), form


def _begins(leaf: Leaf) -> bool:
    """Whether a term asks for the beginning of a word and no more."""
    match leaf.term:
        case Substrings(initial=initial, any=(), final=None):
            return bool(initial)
        case _:
            return False


def _how_number(leaf: Leaf, sought: str, context: NamingContext) -> How:
    if not context.lenient or not isinstance(leaf.term, Equality | Approximate):
        return How.DIGITS
    [line] = assertion.lines_of(sought)
    stored = assertion.number_of(line)
    asked = phone_number.readings(leaf.text, context.region, context.outside_line)
    exact = any(stored.e164 == one.e164 if one.e164 else stored.digits == one.digits for one in asked)
    return How.NUMBER if exact else How.NUMBER_END
