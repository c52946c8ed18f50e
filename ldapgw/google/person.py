# SPDX-License-Identifier: MIT
"""Several telephone numbers in one field: as imports leave them, and as people type them who have one field alone.

A text is taken apart only where each part is a number by itself; so a slash behind an area code parts nothing.  Pure,
and bounded: no more than the first `_MOST` places are looked at where a number may end.

A contact from what the People API calls a person (people/v1, resource ``people``).  Pure.

Nearly every field of a person can be absent, and people type anything into the rest.  So no piece is trusted to have
the type that it should have: one that has not is passed over, and the rest is read.  Items of a field come in no
fixed order; they are read primary first, then those of the user's own contact before those of a profile, then as
they came.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from ldapgw.contact import OTHER_CONTACT_PREFIX, Address, Contact, Kind, Phone, Source
from ldapgw.google.person_text import clean, lines
from ldapgw.numbers import dial_string, phone_number
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC
from ldapgw.numbers.phone_number import Number

# Google's own CSV import puts it between all values of a kind.
_IMPORTED = ":::"
_SEPARATOR = re.compile(
    r"\s*(?:[\n|/]|[,;](?=\s)|(?<![^\W\d_])(?:or|and|oder|und|ou|et|o|e|y)(?![^\W\d_]))\s*", re.IGNORECASE
)
_MOST = 8
# An internal number has two digits or more, a public one seven.
_INTERNAL = 2
_FEWEST_DIGITS = _INTERNAL + SHORTEST_PUBLIC


def read_numbers(text: str, region: str, canonical: str = "") -> tuple[Number, ...]:
    """The telephone numbers in a field, in their order; as `number.parse` reads them.

    :param canonical: Google's ``canonicalForm``: where it is there the field holds one number.
    """
    if canonical:
        return _single_number(text, region, canonical)
    return tuple(found for part in text.split(_IMPORTED)[:_MOST] for found in _split_numbers(part, region))


def _split_numbers(text: str, region: str) -> tuple[Number, ...]:
    if sum(map(str.isdigit, text)) < _FEWEST_DIGITS:
        return _single_number(text, region)
    separators = [match.span() for match in _SEPARATOR.finditer(text)][:_MOST]
    # What each end of the text holds, the shortest first: a longer one needs them.
    found: dict[int, tuple[Number, ...]] = {}
    for start in reversed((0, *(end for _, end in separators))):
        behind = [(text[start:stop], found[end]) for stop, end in separators if end > start]
        found[start] = _numbers_in(text[start:], behind, region)
    return found[0]


def _numbers_in(text: str, behind: list[tuple[str, tuple[Number, ...]]], region: str) -> tuple[Number, ...]:
    """The numbers of a text.

    :param behind: each part that may be its first number, and what stands behind that.
    """
    next_best: tuple[Number, ...] = ()
    for part, others in behind:
        first = phone_number.parse(part, region) if len(part) <= dial_string.LONGEST else None
        if first is None:
            continue
        if first.e164 and others and others[0].e164:
            return first, *others
        if not next_best:
            next_best = _next_best(first, others)
    whole = _single_number(text, region)
    return next_best if next_best and not (whole and whole[0].e164) else whole


def _next_best(first: Number, others: tuple[Number, ...]) -> tuple[Number, ...]:
    """Numbers of which not all have a country: what there is to take where the text as a whole cannot be one."""
    whole = tuple(other for other in others if _is_whole(other))
    if _is_whole(first) and (first.e164 or whole):
        return first, *whole
    internal = len(first.digits) >= _INTERNAL and bool(others and others[0].e164)
    return (first, *others) if internal else ()


def _is_whole(one: Number) -> bool:
    """Whether a number has as many digits as a public one."""
    return bool(one.e164) or len(one.digits) >= SHORTEST_PUBLIC


def _single_number(text: str, region: str, canonical: str = "") -> tuple[Number, ...]:
    found = phone_number.parse(text, region, canonical)
    return (found,) if found else ()


Item = Mapping[str, Any]
Value = TypeVar("Value", bound=Hashable)

# The version of what is made of a person, its telephone numbers among it: another one means a full sync of everybody,
# which reads all persons anew (0005).  To be counted up with each change of that.
PARSER_VERSION = 2

# Google itself lists at most 100 addresses and numbers of a person.
MOST_VALUES = 100

# ``phoneNumbers.type``: the predefined ones, and what imports from other address books leave.  All else is a label
# of the user's own.
_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "work": Kind.WORK,
        "main": Kind.MAIN,
        "home": Kind.HOME,
        "mobile": Kind.MOBILE,
        "workmobile": Kind.MOBILE,
        "homefax": Kind.FAX,
        "workfax": Kind.FAX,
        "otherfax": Kind.FAX,
        "fax": Kind.FAX,
        "pager": Kind.PAGER,
        "workpager": Kind.PAGER,
    }
)

# ``metadata.sources.type`` whose id is the stable key, best first.
_KEY_TYPES: Mapping[Source, tuple[str, ...]] = MappingProxyType(
    {
        Source.CONTACTS: ("CONTACT",),
        Source.OTHER_CONTACTS: ("OTHER_CONTACT", "CONTACT"),
        Source.DIRECTORY: ("DOMAIN_PROFILE", "DOMAIN_CONTACT", "PROFILE"),
    }
)

# What the user typed goes before what a profile says.
_OWN_TYPES = ("CONTACT", "OTHER_CONTACT", "DOMAIN_CONTACT")

# System groups that Google keeps for old programs; ``myContacts`` and ``starred`` are the two that are shown.
_DEAD_GROUPS = frozenset(
    f"contactGroups/{name}" for name in ("all", "blocked", "chatBuddies", "coworkers", "family", "friends")
)

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_GROUP = re.compile(r"contactGroups/[A-Za-z0-9_-]{1,128}")
_MAIL = re.compile(r"[^\s@<>()\[\],;:\"\\]{1,64}@[^\s@<>()\[\],;:\"\\]{1,190}")
_URL = re.compile(r"https?://\S+|[^\s:/@]+\.[^\s:/@]+(?::\d+)?(?:/\S*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ParsedPerson:
    """What came of a person.

    :ivar contact: None where the person is deleted or was skipped.
    :ivar uid: as `Contact.uid`; empty where the resource name cannot be read.
    :ivar source_id: as `Contact.source_id`; may be empty for a deleted person.
    :ivar previous_uids: those of entries that this person has replaced (``metadata.previousResourceNames``).
    :ivar skipped: why there is no contact: ``empty``, ``unidentified`` (no readable id), or "" if there is one.
    :ivar unreadable_numbers: how many texts in the place of a number held nothing to dial.
    """

    contact: Contact | None
    uid: str
    source_id: str = ""
    deleted: bool = False
    previous_uids: tuple[str, ...] = ()
    skipped: str = ""
    unreadable_numbers: int = 0


def read_person(person: Mapping[str, Any], source: Source, region: str) -> ParsedPerson:
    """Read a person; never raises, whatever JSON object it is given.

    :param region: for numbers without a country code.
    """
    metadata = _object(person.get("metadata"))
    uid = _uid(person.get("resourceName"), source)
    previous = _list(metadata.get("previousResourceNames"))
    reading = ParsedPerson(
        contact=None,
        uid=uid,
        source_id=_source_id(metadata, source),
        deleted=metadata.get("deleted") is True,
        previous_uids=_unique(_uid(name, source) for name in previous),
    )
    if reading.deleted:
        return reading
    if not uid:
        return replace(reading, skipped="unidentified")
    contact, unreadable = _contact(person, reading, source, region)
    if not (contact.name or contact.organization or contact.phones or contact.emails or contact.addresses):
        return replace(reading, skipped="empty", unreadable_numbers=unreadable)
    return replace(reading, contact=contact, unreadable_numbers=unreadable)


def _contact(person: Item, reading: ParsedPerson, source: Source, region: str) -> tuple[Contact, int]:
    """The contact, empty or not, and how many numbers could not be read."""
    names = sorted(_items(person, "names"), key=lambda name: not _display_name(name))
    best = names[0] if names else {}
    nicknames = _texts(_items(person, "nicknames"), "value")
    name = _display_name(best) or next(iter(nicknames), "")
    organization = _organization(person)
    phones, unreadable = _phones(person, region)
    contact = Contact(
        uid=reading.uid,
        source=source,
        source_id=reading.source_id,
        name=name,
        given_name=clean(best.get("givenName")),
        family_name=clean(best.get("familyName")),
        also=_also(name, names, nicknames, organization),
        organization=clean(organization.get("name")),
        department=clean(organization.get("department")),
        title=clean(organization.get("title")),
        phones=phones,
        emails=_emails(person),
        addresses=_addresses(person),
        urls=_unique(url for url in _texts(_items(person, "urls"), "value") if _URL.fullmatch(url)),
        labels=_labels(person),
        updated=_updated(_object(person.get("metadata"))),
    )
    return contact, unreadable


def _display_name(name: Item) -> str:
    """``displayName`` is made by the server, and missing where the server had nothing to make it of."""
    parts = (clean(name.get(key)) for key in ("givenName", "middleName", "familyName"))
    return clean(name.get("displayName")) or clean(name.get("unstructuredName")) or clean(" ".join(filter(None, parts)))


def _also(name: str, names: list[Item], nicknames: tuple[str, ...], organization: Item) -> tuple[str, ...]:
    """Nicknames (maiden and former names are nicknames of a type), the names of merged profiles, and readings."""
    texts = [
        *nicknames,
        *map(_display_name, names),
        *map(_phonetic_name, names),
        clean(organization.get("phoneticName")),
    ]
    return tuple(text for text in _unique(texts) if text != name)


def _phonetic_name(name: Item) -> str:
    parts = (clean(name.get(f"phonetic{part}Name")) for part in ("Given", "Middle", "Family"))
    return clean(name.get("phoneticFullName")) or clean(" ".join(filter(None, parts)))


def _organization(person: Item) -> Item:
    """One with a name before one without, then the primary one, then a current one."""
    found = _items(person, "organizations")
    found.sort(key=lambda item: (not clean(item.get("name")), not _is_primary(item), item.get("current") is not True))
    return found[0] if found else {}


def _phones(person: Item, region: str) -> tuple[tuple[Phone, ...], int]:
    """Each number once, under its first type; one without a type takes that of its repetition."""
    found: dict[tuple[str, str], Phone] = {}
    untyped: set[tuple[str, str]] = set()
    unreadable = 0
    for item in _items(person, "phoneNumbers"):
        canonical = clean(item.get("canonicalForm"), dial_string.LONGEST)
        typed = "\n".join(lines(item.get("value"))) or canonical
        if not typed:
            continue
        numbers = read_numbers(typed, region, canonical)
        unreadable += not numbers
        kind = clean(item.get("type")).lower()
        for read in numbers:
            key = (read.e164 or read.digits, read.extension)
            if key not in found or (key in untyped and kind):
                first = found.get(key, Phone(Kind.OTHER, read))
                found[key] = Phone(_KINDS.get(kind, Kind.OTHER), first.number)
                (untyped.discard if kind else untyped.add)(key)
    return tuple(found.values()), unreadable


def _emails(person: Item) -> tuple[str, ...]:
    """Each address once, as it was first written; texts that are no address are left out."""
    found: dict[str, str] = {}
    for text in _texts(_items(person, "emailAddresses"), "value"):
        address = text.removeprefix("mailto:")
        if _MAIL.fullmatch(address):
            found.setdefault(address.casefold(), address)
    return tuple(found.values())


def _addresses(person: Item) -> tuple[Address, ...]:
    return tuple(address for address in _unique(map(_address, _items(person, "addresses"))) if address.lines)


def _address(item: Item) -> Address:
    street = lines(item.get("streetAddress")) or lines(item.get("poBox"))
    city, region, code, country = (clean(item.get(key)) for key in ("city", "region", "postalCode", "country"))
    country_code = clean(item.get("countryCode")).upper()
    built = (*street, f"{code} {city}".strip(), region, country)
    return Address(
        lines=lines(item.get("formattedValue")) or tuple(filter(None, built)),
        street=clean(" ".join(street)),
        city=city,
        region=region,
        postal_code=code,
        country_code=country_code if re.fullmatch(r"[A-Z]{2}", country_code) else "",
    )


def _labels(person: Item) -> tuple[str, ...]:
    """In a fixed order, which Google's is not."""
    groups = (_object(item.get("contactGroupMembership")) for item in _items(person, "memberships"))
    names = (group.get("contactGroupResourceName") for group in groups)
    return tuple(sorted({name for name in names if isinstance(name, str) and _GROUP.fullmatch(name)} - _DEAD_GROUPS))


def _updated(metadata: Item) -> float:
    """The newest ``updateTime`` (RFC 3339) of the sources."""
    times = (_timestamp(source.get("updateTime")) for source in _objects(metadata.get("sources")))
    return max(times, default=0.0)


def _timestamp(value: object) -> float:
    if not isinstance(value, str):
        return 0.0
    try:
        read = datetime.fromisoformat(value)
        return max(read.replace(tzinfo=read.tzinfo or UTC).timestamp(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def _uid(resource_name: object, source: Source) -> str:
    """``people/c1`` → ``c1``, ``otherContacts/c1`` → ``other-c1``; empty if it is none of these."""
    if not isinstance(resource_name, str):
        return ""
    identifier = resource_name[:200].rpartition("/")[2]
    if not _ID.fullmatch(identifier):
        return ""
    return OTHER_CONTACT_PREFIX + identifier if source is Source.OTHER_CONTACTS else identifier


def _source_id(metadata: Item, source: Source) -> str:
    sources = _objects(metadata.get("sources"))
    for wanted in _KEY_TYPES[source]:
        for item in sources:
            identifier = item.get("id")
            if item.get("type") == wanted and isinstance(identifier, str) and _ID.fullmatch(identifier):
                return identifier
    return ""


def _items(person: Item, field: str) -> list[Item]:
    """The items of a field, best first."""
    found = _objects(person.get(field))
    found.sort(key=lambda item: (not _is_primary(item), _source_type(item) not in _OWN_TYPES))
    return found


def _is_primary(item: Item) -> bool:
    return _object(item.get("metadata")).get("primary") is True


def _source_type(item: Item) -> object:
    return _object(_object(item.get("metadata")).get("source")).get("type")


def _texts(items: Iterable[Item], key: str) -> tuple[str, ...]:
    return _unique(clean(item.get(key)) for item in items)


def _unique(values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(value for value in dict.fromkeys(values) if value)


def _object(value: object) -> Item:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Item]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _list(value: object) -> list[Any]:
    return value[:MOST_VALUES] if isinstance(value, list) else []
