# SPDX-License-Identifier: MIT
"""Hints on a phone's search: each hint names a problem in plain words and says what to do about the problem.

The functions are pure: they do no I/O.  Each hint is a rule in a table, the gravest first.  A hint repeats nothing of
the text that somebody searched for, except what a PBX seems to have added to a number.  So a hint's code may be stored,
and a hint's text may be printed anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Self

from ldapgw.directory.entry import Selection
from ldapgw.directory.filter import (
    And,
    Equality,
    Extensible,
    Filter,
    Not,
    Or,
    Present,
    Scope,
    SearchRequest,
    Substrings,
    to_string,
)
from ldapgw.directory.schema import NUMBER_TYPES, attribute_type, class_chain
from ldapgw.errors import ResultCode
from ldapgw.numbers import dial_string
from ldapgw.phones.description import OTHER_MODEL
from ldapgw.phones.explain.query import asserted_parts, filter_items, is_placeholder, is_withheld, subject_of
from ldapgw.phones.logged_search import LoggedSearch
from ldapgw.phones.provisioning.settings import (
    MAX_HITS,
    NAME_ATTRIBUTES,
    NO_PLACEHOLDER,
    NUMBER_ATTRIBUTES,
    filters_for,
    name_filter,
    number_filter,
)
from ldapgw.phones.provisioning.vendors import vendors_of
from ldapgw.phrase import Phrase, Texts, read_texts
from ldapgw.store.phones import NumberMode, PhoneLogin

# The controls with which a client requests the entries in parts: paged results (RFC 2696) and virtual list views (an
# IETF draft).
_PAGING_CONTROLS = frozenset(("1.2.840.113556.1.4.319", "2.16.840.1.113730.3.4.9"))
_NAMES = frozenset((*NAME_ATTRIBUTES, "givenName", "displayName"))
_NUMBERS = frozenset((*NUMBER_ATTRIBUTES, "pager", "facsimileTelephoneNumber"))
_NUMBER_NAMES = frozenset(kind.name for kind in NUMBER_TYPES)
_CLASSES = frozenset(kind.name.lower() for kind in class_chain("inetOrgPerson"))
# The minimum number of digits of a complete number.  A number with fewer digits counts as the typed beginning of a
# number.
_WHOLE_NUMBER_DIGITS = 7
_TYPED_DIGITS = 3
# The number of entries that a phone's display shows at once.
_DISPLAY_ENTRIES = 20

# The shape of a number filter: for each attribute that is compared with a number, whether a star precedes the number.
# A star behind the number does not count, because most phones add a star there while somebody types.
FilterShape = frozenset[tuple[str, bool]]

_TERM = re.compile(r"\((\w+)=(\*?)[^*()]")


def _filter_shape(template: str) -> FilterShape:
    """Return the shape of a number filter.

    :param template: the filter, with a placeholder for the number.
    """
    return frozenset((name, bool(star)) for name, star in _TERM.findall(template) if name in _NUMBER_NAMES)


_USUAL_SHAPES = frozenset((_filter_shape(number_filter("%")),))


class Hint(StrEnum):
    """The codes of the hints, the gravest first."""

    ANONYMOUS = "anonymous"
    UNREADABLE = "unreadable"
    NO_SUCH_BASE = "no_such_base"
    SCOPE = "scope"
    PLACEHOLDER = "placeholder"
    UNKNOWN_ATTRIBUTES = "unknown_attributes"
    OBJECT_CLASS = "object_class"
    NO_CLASS = "no_class"
    NUMBER_ALONE = "number_alone"
    WILDCARD = "wildcard"
    LETTERS = "letters"
    NO_NAME = "no_name"
    NO_NUMBER = "no_number"
    ONE_NUMBER = "one_number"
    SMALL_LIMIT = "small_limit"
    NO_LIMIT = "no_limit"
    TIME_LIMIT = "time_limit"
    AFFIX = "affix"
    WITHHELD = "withheld"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class PhoneProfile:
    """Facts about a phone that its searches do not show.

    :ivar name_filter: the recommended name filter for the phone's model.
    :ivar number_filter: the recommended number filter for the phone's model.
    :ivar wants_all_numbers: true if the phone should ask for all numbers of a contact; false if the phone gets an entry
        for each number, or can show only one number.
    :ivar has_limit: whether the phone's settings include a largest number of hits.
    :ivar number_filter_shapes: the shapes of the number filters that ldapgw recommends for the model, or that the model
        builds itself.
    :ivar builds_filters: whether the phone builds its filters itself, in an unknown way.
    :ivar attribute_setting: the name of the phone's setting for an attribute, as in `Vendor.attribute_setting`.
    """

    base: str
    name_filter: str = name_filter("%")
    number_filter: str = number_filter("%")
    wants_all_numbers: bool = True
    has_limit: bool = True
    number_filter_shapes: frozenset[FilterShape] = _USUAL_SHAPES
    builds_filters: bool = False
    attribute_setting: str = ""

    @classmethod
    def for_login(cls, base: str, login: PhoneLogin) -> Self:
        """Return the profile of a stored phone."""
        per_number = login.numbers is NumberMode.ENTRIES
        return cls.for_model(base, login.model, per_number=per_number, placeholder=login.placeholder)

    @classmethod
    def for_model(cls, base: str, model: str, *, per_number: bool, placeholder: str = "") -> Self:
        """Return the profile of a model.

        :param model: a key of `ldapgw.phones.description.MODELS`; empty if unknown.
        :param placeholder: as in `ldapgw.store.phones.PhoneLogin`; used only if the model is unknown.
        """
        vendors = vendors_of(model)
        if vendors[0].key == OTHER_MODEL:
            by_name, by_number = filters_for(placeholder)
        else:
            by_name, by_number = vendors[0].name_filter, vendors[0].number_filter
        return cls(
            base,
            by_name,
            by_number,
            wants_all_numbers=not (per_number or vendors[0].one_number),
            has_limit=vendors[0].max_hits,
            number_filter_shapes=frozenset(_filter_shape(vendor.number_filter) for vendor in vendors),
            builds_filters=vendors[0].key == OTHER_MODEL and placeholder == NO_PLACEHOLDER,
            attribute_setting=vendors[0].attribute_setting,
        )


@dataclass(frozen=True, slots=True)
class DecodedSearch:
    """A logged search, decoded.

    :ivar request: the request; None if the message cannot be read as a search, or was too long to be logged.
    :ivar controls: object identifiers of the request's controls.
    """

    search: LoggedSearch
    request: SearchRequest | None = field(default=None, repr=False)
    controls: tuple[str, ...] = ()

    @property
    def filter(self) -> str:
        """Return the filter as a string (RFC 4515); empty if there is no request."""
        return to_string(self.request.filter) if self.request else ""

    @property
    def has_contacts(self) -> bool:
        """Return whether the search found contacts.

        The result is False if the search read one entry by its DN.  The result is also False for a search for any
        object class, because the entries may be books without contacts.
        """
        return self.search.has_entries and self.is_list and not self.is_for_any_class

    @property
    def is_list(self) -> bool:
        """Return whether the search looks for entries instead of reading one entry by its DN."""
        return self.request is not None and self.request.scope is not Scope.BASE_OBJECT

    @property
    def is_for_any_class(self) -> bool:
        """Return whether the filter accepts every object class, so that the search returns books besides contacts."""
        return self.request is not None and all(map(_is_any_class, filter_items(self.request.filter)))


def find_hints(decoded: DecodedSearch, profile: PhoneProfile) -> tuple[Hint, ...]:
    """Return the hints that apply to a search, the gravest first; empty if the search has no problem."""
    facts = _SearchFacts(decoded, profile)
    if decoded.search.login and _is_withheld(facts):
        return (Hint.WITHHELD,)  # no filter can find a name for a withheld number
    hints = tuple(hint for hint, applies in _RULES.items() if applies(facts))
    # A more serious hint already says why nobody was found.
    return hints[:-1] if len(hints) > 1 and hints[-1] is Hint.NOTHING else hints


def open_hints(searches: Iterable[DecodedSearch], profile: PhoneProfile) -> dict[Hint, DecodedSearch]:
    """Return the hints that still apply to a phone's settings, the gravest first, each with its last search.

    A search counts only if its settings equal the settings of the last search of the same kind.  Otherwise, somebody
    has changed the settings in the meantime.

    :param searches: the last searches, newest first.
    """
    settings: dict[object, object] = {}
    found: dict[Hint, DecodedSearch] = {}
    for decoded in searches:
        purpose, used = _settings_of(decoded)
        if settings.setdefault(purpose, used) == used:
            for hint in find_hints(decoded, profile):
                found.setdefault(hint, decoded)
    return {hint: found[hint] for hint in Hint if hint in found and hint not in HARMLESS}


def _settings_of(decoded: DecodedSearch) -> tuple[object, object]:
    """Return the kind of a search, and the parts of the search that come from the phone's settings."""
    request = decoded.request
    if request is None:
        return None, None
    subject = subject_of(request.filter)
    is_whole = sum(map(str.isdigit, subject.text)) >= _WHOLE_NUMBER_DIGITS
    terms = tuple(
        (type(item).__name__, getattr(item, "attribute", None), isinstance(item, Substrings) and item.initial is None)
        for item in filter_items(request.filter)
    )
    settings = (request.base, request.scope, request.size_limit, request.attributes, terms)
    return (subject.kind, is_whole, decoded.is_list), settings


@dataclass(frozen=True)
class _SearchFacts:
    """The facts about a search that the rules test."""

    decoded: DecodedSearch
    profile: PhoneProfile

    @cached_property
    def request(self) -> SearchRequest:
        return self.decoded.request or SearchRequest("", Scope.BASE_OBJECT, And(()))

    @cached_property
    def terms(self) -> tuple[Filter, ...]:
        return tuple(filter_items(self.request.filter))

    @cached_property
    def values(self) -> tuple[str, ...]:
        return tuple(text for term in self.terms for text in _texts(term))

    @cached_property
    def numbers(self) -> tuple[Filter, ...]:
        """Return the terms that compare telephone numbers."""
        return tuple(term for term in self.terms if _attribute(term) in _NUMBER_NAMES and not isinstance(term, Present))

    @property
    def has_model_filter(self) -> bool:
        """Return whether the phone's model determines how the filter compares numbers, so that no setting can help."""
        if self.profile.builds_filters:
            return True
        shape = ((_attribute(term), isinstance(term, Substrings) and not term.initial) for term in self.numbers)
        return frozenset(shape) in self.profile.number_filter_shapes

    @cached_property
    def requested_attributes(self) -> frozenset[str] | None:
        """Return the requested attributes; None for all user attributes."""
        selection = Selection.parse(self.request.attributes)
        return None if selection.all_user else selection.names

    @property
    def code(self) -> ResultCode:
        return self.decoded.search.code

    @property
    def is_empty_result(self) -> bool:
        """Return whether the search looked for entries, succeeded, and returned no entry."""
        return self.decoded.search.entries == 0 and self.code is ResultCode.SUCCESS and self.decoded.is_list


def _texts(term: Filter) -> Iterator[str]:
    return (part.decode("utf-8", "replace").strip() for part in asserted_parts(term))


def _digits(term: Filter) -> int:
    return sum(character.isdigit() for text in _texts(term) for character in text)


def _attribute(term: Filter) -> str:
    """Return the name of a term's attribute; empty for an unknown attribute."""
    kind = attribute_type(getattr(term, "attribute", None) or "")
    return kind.name if kind else ""


# Rules


def _needs_unknown_attribute(search_filter: Filter) -> bool:
    """Return whether a filter is never true because of attributes that contacts don't have.

    An AND is never true if one of its terms has an unknown attribute, such as the objectCategory of Active Directory.
    A NOT with an unknown attribute is never true either.
    """
    match search_filter:
        case And(terms):
            return any(map(_needs_unknown_attribute, terms))
        case Or(terms):
            return bool(terms) and all(map(_needs_unknown_attribute, terms))
        case Not(And() | Or() | Not() | Present()) | Extensible(attribute=None):
            return False
        case Not(term):  # the term is Undefined, and so is its negation (RFC 4511 4.5.1.7)
            return _needs_unknown_attribute(term)
        case _:
            return not _attribute(search_filter)


def _has_unknown_class(facts: _SearchFacts) -> bool:
    terms = [term for term in facts.terms if isinstance(term, Equality) and _attribute(term) == "objectClass"]
    return facts.is_empty_result and any(text.lower() not in _CLASSES for term in terms for text in _texts(term))


def _has_no_class(facts: _SearchFacts) -> bool:
    decoded = facts.decoded
    return decoded.is_list and decoded.search.has_entries and decoded.is_for_any_class


def _is_any_class(term: Filter) -> bool:
    is_any = isinstance(term, Present) or (isinstance(term, Equality) and term.value.lower() == b"top")
    return is_any and _attribute(term) == "objectClass"


def _searches_one_number(facts: _SearchFacts) -> bool:
    """Return whether a number's beginning is searched in one attribute only.

    The result is False for a complete number, because a search finds a complete number in any number attribute.
    """
    names = {*map(_attribute, facts.numbers)}
    is_typed = any(isinstance(term, Substrings) and _digits(term) >= _TYPED_DIGITS for term in facts.numbers)
    return names == {"telephoneNumber"} and is_typed and facts.profile.wants_all_numbers and not facts.has_model_filter


def _has_wildcard(facts: _SearchFacts) -> bool:
    has_whole_number = any(
        isinstance(term, Substrings) and _digits(term) >= _WHOLE_NUMBER_DIGITS for term in facts.numbers
    )
    return facts.is_empty_result and has_whole_number and not facts.has_model_filter


def _has_letters(facts: _SearchFacts) -> bool:
    comparisons = [term for term in facts.terms if not isinstance(term, Present)]
    text = "".join(part for term in facts.numbers for part in _texts(term))
    is_word = text.replace(" ", "").isalpha() and not _is_withheld(facts)
    return facts.is_empty_result and len(comparisons) == len(facts.numbers) and is_word


def _requests_none_of(facts: _SearchFacts, names: frozenset[str]) -> bool:
    requested = facts.requested_attributes
    return facts.decoded.is_list and requested is not None and not requested & names


def _shows_no_number(facts: _SearchFacts) -> bool:
    """Return whether a search by name requests no number, so that the user cannot call."""
    return not facts.numbers and _requests_none_of(facts, _NUMBERS)


def _shows_one_number(facts: _SearchFacts) -> bool:
    requested = (facts.requested_attributes or frozenset[str]()) & frozenset(NUMBER_ATTRIBUTES)
    is_by_name = facts.decoded.is_list and not facts.numbers
    return is_by_name and requested == {"telephoneNumber"} and facts.profile.wants_all_numbers


def _has_no_limit(facts: _SearchFacts) -> bool:
    exceeds_limit = facts.profile.has_limit and facts.decoded.search.entries > MAX_HITS
    is_unlimited = facts.request.size_limit == 0 and _PAGING_CONTROLS.isdisjoint(facts.decoded.controls)
    return facts.decoded.is_list and exceeds_limit and is_unlimited


def _affix(facts: _SearchFacts) -> str:
    """Return the text in a filter that a PBX seems to have put before or after a number, or an empty text."""
    texts = ("".join(_texts(term)) for term in facts.numbers)
    return next(filter(None, map(dial_string.affix_of, texts)), "")


def _is_withheld(facts: _SearchFacts) -> bool:
    texts = ("".join(_texts(term)) for term in facts.numbers if isinstance(term, Equality) or [*_texts(term)])
    return any(map(is_withheld, texts))


_RULES: Mapping[Hint, Callable[[_SearchFacts], bool]] = {
    Hint.ANONYMOUS: lambda facts: not facts.decoded.search.login,
    Hint.UNREADABLE: lambda facts: facts.decoded.request is None and bool(facts.decoded.search.message),
    Hint.NO_SUCH_BASE: lambda facts: facts.code in {ResultCode.NO_SUCH_OBJECT, ResultCode.INVALID_DN_SYNTAX},
    Hint.SCOPE: lambda facts: facts.is_empty_result and facts.request.scope is Scope.SINGLE_LEVEL,
    Hint.PLACEHOLDER: lambda facts: any(map(is_placeholder, facts.values)),
    Hint.UNKNOWN_ATTRIBUTES: lambda facts: _needs_unknown_attribute(facts.request.filter),
    Hint.OBJECT_CLASS: _has_unknown_class,
    Hint.NO_CLASS: _has_no_class,
    Hint.NUMBER_ALONE: _searches_one_number,
    Hint.WILDCARD: _has_wildcard,
    Hint.LETTERS: _has_letters,
    Hint.NO_NAME: lambda facts: _requests_none_of(facts, _NAMES),
    Hint.NO_NUMBER: _shows_no_number,
    Hint.ONE_NUMBER: _shows_one_number,
    Hint.SMALL_LIMIT: lambda facts: (
        facts.code is ResultCode.SIZE_LIMIT_EXCEEDED and 0 < facts.request.size_limit < _DISPLAY_ENTRIES
    ),
    Hint.NO_LIMIT: _has_no_limit,
    Hint.TIME_LIMIT: lambda facts: facts.code is ResultCode.TIME_LIMIT_EXCEEDED,
    Hint.AFFIX: lambda facts: facts.is_empty_result and bool(_affix(facts)),
    Hint.WITHHELD: _is_withheld,
    Hint.NOTHING: lambda facts: facts.is_empty_result,
}

# Hints that ask for no change in the phone.
HARMLESS = frozenset((Hint.WITHHELD, Hint.NOTHING, Hint.TIME_LIMIT))
# Hints that ask for a change in the phone.
TO_FIX = frozenset(Hint) - HARMLESS
# Hints whose texts tell the reader to ask the administrator.
NAME_ADMINISTRATOR = frozenset((Hint.AFFIX,))


class _HintTexts(Texts, frozen=True):
    """The texts of hints.

    :ivar named: texts that name the phone's setting for attributes (`PhoneProfile.attribute_setting`).
    """

    hints: Mapping[Hint, str]
    named: Mapping[Hint, str]


_TEXTS = read_texts("phones/texts/hints", _HintTexts)


def hint_text(hint: Hint, profile: PhoneProfile, decoded: DecodedSearch | None = None) -> Phrase:
    """Return the text of a hint, with the values to enter in the phone.

    :param decoded: the search that the hint is about; None if the search is no longer known.
    """
    named = _TEXTS.named if profile.attribute_setting else {}
    return Phrase(
        named.get(hint, _TEXTS.hints[hint]),
        {
            "base": profile.base,
            "name_filter": profile.name_filter,
            "number_filter": profile.number_filter,
            "name_attributes": " ".join(NAME_ATTRIBUTES),
            "number_attributes": " ".join(NUMBER_ATTRIBUTES),
            "setting": profile.attribute_setting,
            "affix": (_affix(_SearchFacts(decoded, profile)) if decoded else "") or "…",
        },
    )
