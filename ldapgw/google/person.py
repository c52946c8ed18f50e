# SPDX-License-Identifier: MIT
"""The conversion of a person of the People API (people/v1, resource ``people``) into a contact.

Nearly every field of a person can be missing, and a field can contain anything, so the type of every value is checked.
`repair` removes values of a wrong type and items beyond the largest number of items, and reports *flaws* of the person
(`ldapgw.contact.Flaw`).  Google returns the items of a field in no fixed order.  Here the primary item comes first,
then the items of the user's own contact, then the items of a profile.  Otherwise the items stay in the order of the
answer.

`ldapgw.google.person_numbers` reads the telephone numbers.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

import msgspec

from ldapgw.contact import MOST_LEFT_OUT, OTHER_CONTACT_PREFIX, Address, Contact, Flaw, PhoneticName, Source
from ldapgw.google.person_numbers import NumberField, read_fields
from ldapgw.google.person_text import LONGEST, LONGEST_LINES, clean, lines
from ldapgw.numbers import dial_string

Item = Mapping[str, Any]

# The maximum number of items of a field.  Google itself returns at most 100 addresses and 100 numbers of a person.
MOST_VALUES: Final = 100
# Integers below this size are read as texts; no telephone number has more digits.
_LARGEST_NUMBER: Final = 10**40
_ANY_LENGTH: Final = 1 << 62

_NAMES: Final = ("displayName", "unstructuredName", "givenName", "middleName", "familyName")
_PHONETIC_NAMES: Final = ("phoneticFullName", "phoneticGivenName", "phoneticMiddleName", "phoneticFamilyName")
_ADDRESS_LINES: Final = ("formattedValue", "streetAddress", "poBox")
_ADDRESS_PARTS: Final = ("city", "region", "postalCode", "country", "countryCode")

# The texts in the items of each field, each with its greatest length; a longer text is a flaw.  A long label, URL or
# ``canonicalForm`` is no flaw, because nobody misses its end.
_TEXTS: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        "names": dict.fromkeys((*_NAMES, *_PHONETIC_NAMES), LONGEST),
        "nicknames": {"value": LONGEST},
        "fileAses": {"value": LONGEST},
        "organizations": dict.fromkeys(("name", "department", "title", "phoneticName"), LONGEST),
        "phoneNumbers": {"value": LONGEST_LINES, "canonicalForm": _ANY_LENGTH, "type": _ANY_LENGTH},
        "emailAddresses": dict.fromkeys(("value", "displayName"), LONGEST),
        "addresses": dict.fromkeys(_ADDRESS_LINES, LONGEST_LINES) | dict.fromkeys(_ADDRESS_PARTS, LONGEST),
        "sipAddresses": {"value": LONGEST},
        "urls": {"value": _ANY_LENGTH},
        "photos": {"url": _ANY_LENGTH},
        "memberships": {},
    }
)


def _good_items(field: str, texts: Mapping[str, int]) -> Any:
    """Return a msgspec type that accepts the values of a field only if no value has a flaw."""
    keys = [(key, Annotated[str, msgspec.Meta(max_length=longest)] | None, None) for key, longest in texts.items()]
    item: Any = msgspec.defstruct(field, keys, gc=False)
    return Annotated[list[item], msgspec.Meta(max_length=MOST_VALUES)] | None


# This msgspec type accepts a person only if no value has a flaw; fields and keys that are not in `_TEXTS` may have any
# value.  The check has to be quick, because a page has a thousand persons: a single call of msgspec checks a whole
# person.
_GOOD_PERSON: Final = msgspec.defstruct(
    "GoodPerson", [(field, _good_items(field, texts), None) for field, texts in _TEXTS.items()], gc=False
)


def repair(person: object) -> tuple[Item, frozenset[Flaw]]:
    """Return a person without values of wrong types, and the flaws that were found.

    A number in place of a text becomes a text.  Long texts and unreadable characters stay; other code shortens the
    texts and replaces the characters.
    """
    try:
        msgspec.convert(person, _GOOD_PERSON)
    except ValueError:
        return _repaired(person)
    return person, frozenset()  # type: ignore[return-value]  # msgspec converts only mappings


def _repaired(person: object) -> tuple[Item, frozenset[Flaw]]:
    if not isinstance(person, dict):
        return {}, frozenset({Flaw.VALUES})
    repaired, flaws = dict(person), set[Flaw]()
    for field, texts in _TEXTS.items():
        items = person.get(field)
        if isinstance(items, list):
            objects = [item for item in items[:MOST_VALUES] if isinstance(item, dict)]
            repaired[field] = [_repaired_item(item, texts, flaws) for item in objects]
            if len(items) > MOST_VALUES:
                flaws.add(Flaw.COUNT)
            if len(objects) < len(items[:MOST_VALUES]):
                flaws.add(Flaw.VALUES)
        elif items is not None:
            del repaired[field]
            flaws.add(Flaw.VALUES)
    return repaired, frozenset(flaws)


def _repaired_item(item: Item, texts: Mapping[str, int], flaws: set[Flaw]) -> Item:
    repaired = dict(item)
    for key, longest in texts.items():
        text = item.get(key)
        if isinstance(text, str):
            if len(text) > longest:
                flaws.add(Flaw.LENGTH)
        elif text is not None:
            flaws.add(Flaw.VALUES)
            is_number = isinstance(text, int) and not isinstance(text, bool) and abs(text) < _LARGEST_NUMBER
            repaired[key] = str(text) if is_number else ""
    return repaired


Value = TypeVar("Value", bound=Hashable)

# The version of the conversion of everything except telephone numbers (`ldapgw.numbers.stored_numbers.VERSION`).  A new
# version causes a full sync of every account within hours (docs/decisions/0005).  Raise the version with each change of
# the results that cannot wait for the next full sync.
PARSER_VERSION = 6

# A person has several items in ``metadata.sources``, and the id of one item becomes `Contact.source_id`.  For each
# `Source`, a tuple lists the types of items whose id is used, the best type first.
_KEY_TYPES: Final[Mapping[Source, tuple[str, ...]]] = MappingProxyType(
    {
        Source.CONTACTS: ("CONTACT",),
        Source.OTHER_CONTACTS: ("OTHER_CONTACT", "CONTACT"),
        Source.DIRECTORY: ("DOMAIN_PROFILE", "DOMAIN_CONTACT", "PROFILE"),
    }
)

# The types of sources with values that the user typed; these values come before the values of a profile.
_OWN_TYPES: Final = ("CONTACT", "OTHER_CONTACT", "DOMAIN_CONTACT")
# The types of sources that are profiles.  Only names and photos of a contact's own profile are used.
_PROFILE_TYPES: Final = ("PROFILE", "ACCOUNT", "DOMAIN_PROFILE")

# System groups that exist only for old programs; Google shows only ``myContacts`` and ``starred``.
_DEAD_GROUPS: Final = frozenset(
    f"contactGroups/{name}" for name in ("all", "blocked", "chatBuddies", "coworkers", "family", "friends")
)

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PERSON_NAME: Final = re.compile(r"(?:people|otherContacts)/([A-Za-z0-9_-]{1,128})")
# The id of a contact in ``metadata.sources``: the number in its resource name, in hexadecimal.
_HEXADECIMAL_ID: Final = re.compile(r"[0-9a-f]{1,16}")
# The resource name of a contact group.
LABEL_NAME: Final = re.compile(r"contactGroups/[A-Za-z0-9_-]{1,128}")
_MAIL: Final = re.compile(r"[^\s@<>()\[\],;:\"\\]{1,64}@[^\s@<>()\[\],;:\"\\]{1,190}")
# An address with a name, such as "Max Müller <max@x.example>".
_NAMED_MAIL: Final = re.compile(r"([^<>]*)<([^<>]*)>")
_SIP: Final = re.compile(r"sips?:[^\s@<>]{1,64}@[^\s@<>]{1,190}", re.IGNORECASE)
_URL: Final = re.compile(r"https?://\S+|[^\s:/@]+\.[^\s:/@]+(?::\d+)?(?:/\S*)?", re.IGNORECASE)

_PHOTO_URL: Final = re.compile(r"https?://[!-~]{1,2000}")
# The last second that a time in LDAP can have (RFC 4517 3.3.13).
_LAST_TIME: Final = 253402300799.0
# The suffix of a photo's address for a width and height of 240 pixels.
_PHOTO_SIZE: Final = "=s240"


@dataclass(frozen=True, slots=True)
class ParsedPerson:
    """The result of converting a person.

    :ivar contact: the contact, or None if the person is deleted or was skipped.
    :ivar uid: see `Contact.uid`; empty if the person has no readable id.
    :ivar source_id: see `Contact.source_id`; may be empty for a deleted person.
    :ivar previous_uids: uids of persons that this person has replaced (``metadata.previousResourceNames``).
    :ivar skipped: the reason for a missing contact: ``empty`` or ``unidentified`` (no readable id); otherwise "".
    :ivar unreadable_numbers: the number of values of ``phoneNumbers`` without anything to dial.
    :ivar photo_url: the address of the photo in a small size, or empty if there is no photo, or only a letter that
        Google has drawn.
    :ivar flaws: the reasons why the contact lacks values of the person, or why its uid is made from `source_id`, not
        from the resource name.
    """

    contact: Contact | None
    uid: str
    source_id: str = ""
    deleted: bool = False
    previous_uids: tuple[str, ...] = ()
    skipped: str = ""
    unreadable_numbers: int = 0
    photo_url: str = ""
    flaws: frozenset[Flaw] = frozenset()


def read_person(value: object, source: Source, region: str) -> ParsedPerson:
    """Convert a person.  No JSON value causes an exception.

    :param region: ISO 3166-1 code of the country for numbers without a country code.
    """
    person, flaws = repair(value)
    metadata = _object(person.get("metadata"))
    source_id = _source_id(metadata, source)
    uid = _uid(person.get("resourceName"), source)
    if not uid and (uid := _uid_of_source(source_id, source)):
        flaws |= {Flaw.ID}
    previous = _list(metadata.get("previousResourceNames"))
    reading = ParsedPerson(
        contact=None,
        uid=uid,
        source_id=source_id,
        deleted=metadata.get("deleted") is True,
        previous_uids=_unique([_uid(name, source) for name in previous]),
        flaws=flaws,
    )
    if reading.deleted:
        return reading
    if not uid:
        return replace(reading, skipped="unidentified", flaws=frozenset())
    contact, unreadable = _contact(person, reading, source, region)
    if not (contact.name or contact.organization or contact.phones or contact.emails or contact.addresses):
        return replace(reading, skipped="empty", unreadable_numbers=unreadable)
    return replace(reading, contact=contact, unreadable_numbers=unreadable, photo_url=_photo_url(person))


def _contact(person: Item, reading: ParsedPerson, source: Source, region: str) -> tuple[Contact, int]:
    """Return the contact, which may be empty, and the number of unreadable numbers."""
    if source is Source.CONTACTS:
        person = {field: items if field == "names" else _without_profiles(items) for field, items in person.items()}
    names = sorted(_items(person, "names"), key=lambda name: (not _display_name(name), _is_of_profile(name)))
    best = names[0] if names else {}
    nicknames = _texts(_items(person, "nicknames"), "value")
    organizations = _organizations(person)
    organization = organizations[0] if organizations else {}
    numbers = read_fields(_number_fields(person), region)
    sip_addresses = _unique((*_sip_addresses(person), *numbers.sip_addresses))
    name = _display_name(best) or next(iter(nicknames), "")
    if not name and not clean(organization.get("name")):
        # The People API refuses "fileAses" in ``personFields``, but a person may have the field nevertheless.
        filed_as = _texts(_items(person, "fileAses"), "value")
        sip_users = [address.partition(":")[2] for address in sip_addresses]
        name = next(iter((*filed_as, *_names_in_emails(person), *sip_users)), "")
    contact = Contact(
        uid=reading.uid,
        source=source,
        source_id=reading.source_id,
        name=name,
        given_name=clean(best.get("givenName")),
        family_name=clean(best.get("familyName")),
        also=_also(name, names, nicknames, organizations),
        organization=clean(organization.get("name")),
        department=clean(organization.get("department")),
        title=clean(organization.get("title")),
        phones=numbers.phones,
        emails=_emails(person),
        addresses=_addresses(person),
        urls=(
            *sip_addresses,
            *_unique([url for url in _texts(_items(person, "urls"), "value") if _URL.fullmatch(url)]),
        ),
        labels=_labels(person),
        updated=_updated(_object(person.get("metadata"))),
        phonetic=_phonetic(best, organization if not name else {}),
        left_out=numbers.left_out[:MOST_LEFT_OUT],
    )
    return contact, numbers.unreadable


def _display_name(name: Item) -> str:
    """Return ``displayName``, which Google composes, or the first available name if there is no ``displayName``."""
    parts = [clean(name.get(key)) for key in ("givenName", "middleName", "familyName")]
    return clean(name.get("displayName")) or clean(name.get("unstructuredName")) or clean(" ".join(filter(None, parts)))


def _also(name: str, names: list[Item], nicknames: tuple[str, ...], organizations: list[Item]) -> tuple[str, ...]:
    """Return the contact's other names: nicknames, names of profiles, phonetic names, and further employers.

    Maiden and former names are nicknames of certain types.

    :param organizations: the organizations, the best first.  The results lack the name of the first organization.
    """
    texts = [
        *nicknames,
        *map(_display_name, names),
        *map(_phonetic_name, names),
        *(clean(organization.get("phoneticName")) for organization in organizations[:1]),
        *(clean(organization.get("name")) for organization in organizations[1:]),
    ]
    known = {name, *(clean(organization.get("name")) for organization in organizations[:1])}
    return tuple(text for text in _unique(texts) if text not in known)


def _names_in_emails(person: Item) -> tuple[str, ...]:
    """Return the names in e-mail addresses: ``displayName``, and the text before an address in angle brackets."""
    items = _items(person, "emailAddresses")
    named = [_NAMED_MAIL.fullmatch(clean(item.get("value"))) for item in items]
    texts = [*_texts(items, "displayName"), *(clean(match[1].strip(" \"'")) for match in named if match)]
    return _unique([text for text in texts if not _MAIL.fullmatch(text)])


def _sip_addresses(person: Item) -> tuple[str, ...]:
    """Return the SIP addresses as URIs (RFC 3261 19.1), which phones can dial."""
    texts = _texts(_items(person, "sipAddresses"), "value")
    uris = [text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}" for text in texts]
    return _unique([uri for uri in uris if _SIP.fullmatch(uri)])


def _phonetic_name(name: Item) -> str:
    parts = [clean(name.get(f"phonetic{part}Name")) for part in ("Given", "Middle", "Family")]
    return clean(name.get("phoneticFullName")) or clean(" ".join(filter(None, parts)))


def _phonetic(name: Item, organization: Item) -> PhoneticName | None:
    """Return the pronunciation of the best name, or else of the organization; None if the pronunciation is unknown."""
    given, middle, family = (clean(name.get(f"phonetic{part}Name")) for part in ("Given", "Middle", "Family"))
    family_name = clean(name.get("familyName"))
    family_first = family_name and _display_name(name).startswith(family_name)
    parts = (family, given, middle) if family_first else (given, middle, family)
    # The joined parts are preferred to ``phoneticFullName``, whose parts may be in another order than in the display
    # name.
    full = "" if given and family else clean(name.get("phoneticFullName"))
    reading = full or clean(" ".join(filter(None, parts))) or clean(organization.get("phoneticName"))
    return PhoneticName(reading, given, family) if reading else None


def _organizations(person: Item) -> list[Item]:
    """Return the organizations, sorted by three keys: named first, then primary first, then current first."""
    organizations = _items(person, "organizations")
    organizations.sort(
        key=lambda item: (not clean(item.get("name")), not _is_primary(item), item.get("current") is not True)
    )
    return organizations


def _number_fields(person: Item) -> Iterator[NumberField]:
    """Yield the fields of telephone numbers, the best first."""
    for item in _items(person, "phoneNumbers"):
        canonical = clean(item.get("canonicalForm"), dial_string.LONGEST)
        text = "\n".join(lines(item.get("value"))) or canonical
        if text:
            yield NumberField.of(text, canonical, clean(item.get("type")))


def _emails(person: Item) -> tuple[str, ...]:
    """Return each e-mail address once, in its first spelling, without texts that are no addresses."""
    addresses: dict[str, str] = {}
    for text in _texts(_items(person, "emailAddresses"), "value"):
        named = _NAMED_MAIL.fullmatch(text)
        address = (named[2].strip() if named else text).removeprefix("mailto:")
        if _MAIL.fullmatch(address):
            addresses.setdefault(address.casefold(), address)
    return tuple(addresses.values())


def _addresses(person: Item) -> tuple[Address, ...]:
    return tuple(address for address in _unique(map(_address, _items(person, "addresses"))) if address.lines)


def _address(item: Item) -> Address:
    street = lines(item.get("streetAddress")) or lines(item.get("poBox"))
    city, region, code, country = (clean(item.get(key)) for key in ("city", "region", "postalCode", "country"))
    country_code = clean(item.get("countryCode")).upper()
    composed = (*street, f"{code} {city}".strip(), region, country)
    return Address(
        lines=lines(item.get("formattedValue")) or tuple(filter(None, composed)),
        street=clean(" ".join(street)),
        city=city,
        region=region,
        postal_code=code,
        country_code=country_code if re.fullmatch(r"[A-Z]{2}", country_code) else "",
    )


def _labels(person: Item) -> tuple[str, ...]:
    """Return the labels sorted, because Google returns them in changing order."""
    groups = [_object(item.get("contactGroupMembership")) for item in _items(person, "memberships")]
    names = [group.get("contactGroupResourceName") for group in groups]
    return tuple(
        sorted({name for name in names if isinstance(name, str) and LABEL_NAME.fullmatch(name)} - _DEAD_GROUPS)
    )


def _photo_url(person: Item) -> str:
    """Return the address of the photo that the user has chosen, or else of the photo in the contact's own profile.

    The size is at the end of the address, because Google ignores the documented parameter ``sz``.
    """
    photos = sorted(_objects(person.get("photos")), key=lambda item: (_is_of_profile(item), not _is_primary(item)))
    urls = [item.get("url") for item in photos if item.get("default") is not True]
    url = next((url for url in urls if isinstance(url, str) and _PHOTO_URL.fullmatch(url)), "")
    path, equals, _ = url.rpartition("=")
    return (path if equals else url) + _PHOTO_SIZE if url else ""


def _updated(metadata: Item) -> float:
    """Return the newest ``updateTime`` (RFC 3339) of the sources."""
    times = [_timestamp(source.get("updateTime")) for source in _objects(metadata.get("sources"))]
    return max(times, default=0.0)


def _timestamp(value: object) -> float:
    if not isinstance(value, str):
        return 0.0
    try:
        time = datetime.fromisoformat(value)
        return min(max(time.replace(tzinfo=time.tzinfo or UTC).timestamp(), 0.0), _LAST_TIME)
    except (ValueError, OverflowError):
        return 0.0


def _uid(resource_name: object, source: Source) -> str:
    """Return the uid for a resource name: ``c1`` for ``people/c1``, ``other-c1`` for ``otherContacts/c1``, or empty."""
    match = _PERSON_NAME.fullmatch(resource_name) if isinstance(resource_name, str) else None
    if match is None:
        return ""
    return OTHER_CONTACT_PREFIX + match[1] if source is Source.OTHER_CONTACTS else match[1]


def _uid_of_source(source_id: str, source: Source) -> str:
    """Derive the uid of a person with an unreadable resource name from Google's stable key; empty without a key."""
    if source is not Source.DIRECTORY and _HEXADECIMAL_ID.fullmatch(source_id):
        source_id = f"c{int(source_id, 16)}"
    return OTHER_CONTACT_PREFIX + source_id if source_id and source is Source.OTHER_CONTACTS else source_id


def _source_id(metadata: Item, source: Source) -> str:
    sources = _objects(metadata.get("sources"))
    for source_type in _KEY_TYPES[source]:
        for item in sources:
            identifier = item.get("id")
            if item.get("type") == source_type and isinstance(identifier, str) and _ID.fullmatch(identifier):
                return identifier
    return ""


def _items(person: Item, field: str) -> list[Item]:
    """Return the items of a field, the best first."""
    items = _objects(person.get(field))
    items.sort(key=lambda item: (not _is_primary(item), _source_type(item) not in _OWN_TYPES))
    return items


def _is_primary(item: Item) -> bool:
    return _object(item.get("metadata")).get("primary") is True


def _is_of_profile(item: Item) -> bool:
    return _source_type(item) in _PROFILE_TYPES


def _without_profiles(value: object) -> object:
    """Return the items of a field without the items of the contact's own profile."""
    if not isinstance(value, list):
        return value
    return [item for item in value if not (isinstance(item, dict) and _is_of_profile(item))]


def _source_type(item: Item) -> object:
    return _object(_object(item.get("metadata")).get("source")).get("type")


def _texts(items: Iterable[Item], key: str) -> tuple[str, ...]:
    return _unique([clean(item.get(key)) for item in items])


def _unique(values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(value for value in dict.fromkeys(values) if value)


# --- Any JSON ---------------------------------------------------------------------------------------------------------


def _object(value: object) -> Item:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Item]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _list(value: object) -> list[Any]:
    return value[:MOST_VALUES] if isinstance(value, list) else []
