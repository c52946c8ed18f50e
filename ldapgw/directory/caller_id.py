# SPDX-License-Identifier: MIT
"""Caller ID: makes the entries that a search for a complete number finds besides the viewer's contacts.

From a book that is shared only for caller ID, `find_callers` makes reduced entries.  The filter is evaluated on the
reduced entries, so that no filter can probe hidden attributes.  A `CallerIdBudget` limits the unknown numbers for which
a client may ask, because a client could try all numbers.

Contacts often have the number of a company's *switchboard*, such as "+49 7736 5559-0".  The company's employees call
from the numbers of extensions, such as "+49 7736 5559-123".  If no contact has the number of a caller,
`find_switchboards` finds the company by the longest beginning that the two numbers have in common.  The entry shows the
company's name and a question mark, because anybody in the company may be the caller.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import starmap
from operator import attrgetter
from typing import Final, Protocol

from ldapgw.directory import name_folding, normalization, query_plan
from ldapgw.directory.assertion import Alternatives, Assertion
from ldapgw.directory.dedup import precedence_of
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry, FixedAttributes, NumberFormatter
from ldapgw.directory.filter_matcher import NamedNumber
from ldapgw.directory.inet_org_person import OBJECT_CLASSES
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.normalization import SWITCHBOARD_MARK, is_switchboard
from ldapgw.directory.packed_attributes import PackedAttribute, PackedAttributes, encoded_texts, octets_of, unpack
from ldapgw.directory.query_plan import ExactKey
from ldapgw.directory.schema import NUMBER_TYPES, AttributeType, Family, attribute_type
from ldapgw.directory.segment import Segment
from ldapgw.numbers import phone_number

_SORT_KEY: Final = attrgetter("sort_key")
# A requested number, identified by the required strings and the sufficient strings of its assertion.
_Number = tuple[tuple[Alternatives, ...], Alternatives]


class CallerIdBudget(Protocol):
    """A limit on the unknown numbers that a client looks up in caller-ID books."""

    def take(self, count: int, *, is_trial: bool = False) -> bool:
        """Charge the client for requested numbers, and return whether the budget is sufficient.

        If the budget is too small, the client is not charged.  The refusal is counted, except in a trial.

        :param count: the number of telephone numbers.
        :param is_trial: whether this call is a trial.  If a trial is refused, the caller repeats the search without a
            trial, and the second refusal is counted.
        """

    def give_back(self, count: int) -> None:
        """Undo `take` for numbers that turned out to be numbers of contacts."""


def find_callers(
    segments: Sequence[Segment],
    numbers: Sequence[NamedNumber],
    context: NamingContext,
    own_namespaces: tuple[str, ...],
    slice_size: int,
    budget: CallerIdBudget | None,
) -> Generator[None, None, Segment | None]:
    """Find the caller-ID entries for the numbers that a filter names; yield None after each slice of work.

    :param own_namespaces: the UUID namespaces of the viewer's own books, whose contacts are left out.
    :param budget: the client's budget, or None if there is no limit.  If the filter names more numbers than the budget
        allows, nobody is found.
    :returns: a segment of the entries, or None if nobody is found.
    """
    if budget is not None and not budget.take(len({_number_of(assertion) for _, assertion, _ in numbers})):
        return None
    known: set[_Number] = set()
    query = query_plan.any_of([query for _, _, query in numbers])
    # The entry's DN contains the first number that matches.  With the attributes in the schema's order, the DN does not
    # depend on the order of the filter's terms.
    assertions = [(kind, [assertion for kinds, assertion, _ in numbers if kind in kinds]) for kind in NUMBER_TYPES]
    assertions = [(kind, of_kind) for kind, of_kind in assertions if of_kind]
    found: dict[str, Entry] = {}
    for segment in segments:
        deleted = segment.deleted
        for count, document in enumerate(segment.find_documents(query), start=1):
            entry = segment.entries[document]
            if not (deleted and deleted[document]) and entry.parent.uuid_namespace not in own_namespaces:
                caller = _caller_id_entry(entry, assertions, context, known)
                if caller is not None:
                    found.setdefault(caller.dn, caller)
            if count % slice_size == 0:
                yield None
    if budget is not None:
        budget.give_back(len(known))
    return Segment(tuple(sorted(found.values(), key=_SORT_KEY))) if found else None


def matching_numbers(
    entry: Entry, numbers: Sequence[NamedNumber], formatter: NumberFormatter | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the entry's numbers that a filter names; the keys are the attributes' names, in the schema's order.

    :param formatter: converts the values from the tenant's format to another format.
    """
    found = {
        kind.name: _matching_values(entry, kind, [assertion for kinds, assertion, _ in numbers if kind in kinds], set())
        for kind in NUMBER_TYPES
    }
    return {
        attribute: tuple(values) if formatter is None else tuple(starmap(formatter.value, values.items()))
        for attribute, values in found.items()
        if values
    }


# The attributes of a caller-ID entry, besides the requested number.
_CALLER_ATTRIBUTES: Final = ("cn", "sn", "displayName")


def _caller_id_entry(
    entry: Entry,
    assertions: Sequence[tuple[AttributeType, Sequence[Assertion]]],
    context: NamingContext,
    known: set[_Number],
) -> Entry | None:
    """Return the caller-ID entry of a contact, or None if the contact has no number that a filter names.

    The entry holds cn, sn, displayName and the number, and nothing else.  The entry's RDN is the cn and the first
    matching number.  The entry's parent is the tenant, so that the DN reveals neither the book nor the contact's id.

    :param assertions: for each attribute, the filter's assertions about the attribute.  The filter names a value if one
        of the attribute's assertions is true of the value.
    :param known: a set of requested numbers; the function adds each requested number that the contact has.
    """
    numbers = {
        kind.name: _matching_values(entry, kind, assertions_of_kind, known) for kind, assertions_of_kind in assertions
    }
    numbers = {name: values for name, values in numbers.items() if values}
    if not numbers:
        return None
    texts = {name: [value.decode() for value in entry.attribute(name)] for name in _CALLER_ATTRIBUTES}
    requested = next((name, value) for name, values in numbers.items() for value in values)
    dn = Dn(((("cn", texts["cn"][0]), requested), *context.base.rdns))
    packed = {"objectClass": (b"", normalization.value_search_text(Family.OID, OBJECT_CLASSES))}
    packed |= {
        name: (encoded_texts(values), normalization.search_text(Family.TEXT, values, lenient=context.lenient))
        for name, values in texts.items()
    }
    packed |= {name: _packed_numbers(values) for name, values in numbers.items()}
    return Entry(PackedAttributes.pack(packed), FixedAttributes(octets_of(str(dn))), sort_key=entry.sort_key)


def _matching_values(
    entry: Entry, kind: AttributeType, assertions: Sequence[Assertion], known: set[_Number]
) -> dict[str, str]:
    """Return the values of an attribute that are requested numbers, each with the value's line in the search text."""
    text = entry.search_text(kind)
    if text is None or not any(asserted.test(text) for asserted in assertions):
        return {}
    found: dict[str, str] = {}
    for value, line in zip(entry.attribute(kind.name), normalization.lines_of(text), strict=True):
        passed = [_number_of(asserted) for asserted in assertions if asserted.test(f"\n{line}\n")]
        if passed:
            known.update(passed)
            found[value.decode()] = line
    return found


def _packed_numbers(lines: Mapping[str, str]) -> PackedAttribute:
    """Pack the values of an attribute, each with its line in the search text."""
    return encoded_texts(lines), "".join(f"\n{line}" for line in lines.values()) + "\n"


def _number_of(assertion: Assertion) -> _Number:
    return assertion.required, assertion.sufficient


# --- switchboards ---

# The text that follows a company's name, because the caller may not belong to the company.
_PERHAPS: Final = " ?"
# The maximum number of digits of an extension.
_LONGEST_EXTENSION: Final = 6
# The minimum number of digits, including the country code, in front of an extension.
_SHORTEST_BEGINNING: Final = 7

# The attributes of `_SHOWN` get the company's name as their value, and the attributes of `_KEPT` are copied.  The entry
# also has the number of the switchboard.  All other attributes are left out, because their values may be about a
# person.
_SHOWN: Final = ("cn", "displayName", "sn")
_KEPT: Final = ("objectClass", "uid", "o")


def find_switchboards(
    segments: Iterable[Segment], callers: Iterable[str], context: NamingContext, own_namespaces: tuple[str, ...]
) -> Segment | None:
    """Return the entries of the companies to which callers may belong; None if no company is found.

    If several contacts have the same company and switchboard, the entry of the contact in the first book is returned.

    :param segments: the contacts that the viewer may browse.
    :param own_namespaces: the UUID namespaces of the viewer's own books, the first book first.
    """
    segments = tuple(segments)
    found: dict[tuple[str, str], Entry] = {}
    for caller in callers:
        readings = phone_number.readings(caller, context.region, context.outside_line, context.area_code)
        for beginning in _beginnings([reading.e164 for reading in readings]):
            companies = [entry for segment in segments for entry in _companies(segment, beginning)]
            companies.sort(key=lambda entry: (precedence_of(entry, own_namespaces), entry.sort_key))
            for entry in companies:
                key = name_folding.collation_key(_company_of(entry)), beginning
                if key not in found:
                    found[key] = _named_perhaps(entry, lenient=context.lenient)
            if companies:
                break
    return Segment(tuple(sorted(found.values(), key=_SORT_KEY))) if found else None


def _beginnings(numbers: Iterable[str]) -> Sequence[str]:
    """Return the beginnings that a caller's number may share with the numbers of a company, the longest first.

    The result includes each complete number, because a network may signal only the company's number, without an
    extension.
    """
    beginnings = {
        number[: len(number) - digits]
        for number in numbers
        for digits in range(_LONGEST_EXTENSION + 1)
        if len(number) - digits > _SHORTEST_BEGINNING
    }
    return sorted(beginnings, key=len, reverse=True)


def _companies(segment: Segment, beginning: str) -> Iterable[Entry]:
    """Yield the entries of the companies whose extensions have numbers that begin with `beginning`."""
    form, deleted = f"\t{beginning}{SWITCHBOARD_MARK}\t", segment.deleted
    for document in segment.find_documents(ExactKey(beginning + SWITCHBOARD_MARK)):
        entry = segment.entries[document]
        if not (deleted and deleted[document]) and form in entry.text:
            yield entry


def _company_of(entry: Entry) -> str:
    return next(value.decode() for name in ("o", "cn") for value in entry.attribute(name))


def _named_perhaps(entry: Entry, *, lenient: bool) -> Entry:
    """Copy an entry, and replace the names by the company's name and `_PERHAPS`.

    Only numbers of switchboards are copied.  All other numbers may belong to a person of the company who is not the
    caller.
    """
    company = _company_of(entry) + _PERHAPS
    texts = normalization.text_search_text([company]) if lenient else ""
    packed = {
        name: (values, text)
        for name, values in entry.sets().items()
        if (kind := attribute_type(name)) is not None and name not in unpack(entry.parent.shared.values)
        for text in [entry.search_text(kind) or ""]
        if name in _KEPT
    }
    for kind in NUMBER_TYPES:
        pairs = zip(entry.attribute(kind.name), normalization.lines_of(entry.search_text(kind) or ""), strict=True)
        numbers = {value.decode(): line for value, line in pairs if is_switchboard(line)}
        packed |= {kind.name: _packed_numbers(numbers)} if numbers else {}
    packed |= {name: (encoded_texts([company]), texts) for name in _SHOWN}
    return Entry(PackedAttributes.pack(packed), entry.parent, sort_key=entry.sort_key)
