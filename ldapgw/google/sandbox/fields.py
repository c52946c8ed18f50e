# SPDX-License-Identifier: MIT
"""The fields of a person: the values that Google's server adds, field masks, and the check of persons of a file.

A person with ``metadata.sources`` is already in Google's format and is served unchanged.  The file of ``ldapgw sandbox
--people FILE`` has persons in the form of the People API, complete or in part.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from ldapgw.errors import UserError

# The paths of personFields, from the discovery document of the People API.
PERSON_FIELDS = frozenset(
    (
        "addresses",
        "ageRanges",
        "biographies",
        "birthdays",
        "calendarUrls",
        "clientData",
        "coverPhotos",
        "emailAddresses",
        "events",
        "externalIds",
        "genders",
        "imClients",
        "interests",
        "locales",
        "locations",
        "memberships",
        "metadata",
        "miscKeywords",
        "names",
        "nicknames",
        "occupations",
        "organizations",
        "phoneNumbers",
        "photos",
        "relations",
        "sipAddresses",
        "skills",
        "urls",
        "userDefined",
    )
)
# otherContacts.list allows only these fields, unless the source PROFILE is requested too.
OTHER_CONTACT_FIELDS = frozenset(("emailAddresses", "metadata", "names", "phoneNumbers", "photos"))
GROUP_FIELDS = frozenset(("clientData", "groupType", "memberCount", "metadata", "name"))

_LETTER = "https://lh3.googleusercontent.com/cm/letter=s100"

_ALWAYS = ("resourceName", "etag")
_WORDS = re.compile(r"[A-Z]?[a-z]+")
_PREDEFINED = re.compile(r"[a-z]+(?:[A-Z][a-z]+)*")
_EXTENSION = re.compile(r"[,;xX#]|ext", re.IGNORECASE)


class PersonKind(Enum):
    """The kinds of persons: the ``type`` in ``metadata.sources`` and the prefix of the resource names."""

    CONTACT = ("CONTACT", "people/c")
    OTHER_CONTACT = ("OTHER_CONTACT", "otherContacts/c")
    DOMAIN_PROFILE = ("DOMAIN_PROFILE", "people/")
    DOMAIN_CONTACT = ("DOMAIN_CONTACT", "people/")

    @property
    def source(self) -> str:
        """Return the ``type`` in ``metadata.sources``."""
        return self.value[0]


def complete(person: Mapping[str, Any], kind: PersonKind, number: int, updated: float) -> dict[str, Any]:
    """Return a person as Google would return it.

    :param number: the id, which is decimal in the resource name, and hexadecimal in the source of a contact.
    :param updated: time of the last change, in seconds since the epoch.
    """
    if isinstance(person.get("metadata"), Mapping) and person["metadata"].get("sources"):
        return {"resourceName": kind.value[1] + str(number), "etag": "%Eg==", **copy.deepcopy(dict(person))}
    source_id = f"{number:x}" if kind in (PersonKind.CONTACT, PersonKind.OTHER_CONTACT) else str(number)
    source = {"type": kind.source, "id": source_id}
    typed_fields = {
        name: _items(name, value, source) if isinstance(value, list) else copy.deepcopy(value)
        for name, value in person.items()
        if name not in ("resourceName", "etag", "metadata") and value not in (None, [])
    }
    completed = {
        "resourceName": person.get("resourceName", kind.value[1] + str(number)),
        "etag": "",
        "metadata": {"sources": [dict(source)], "objectType": "PERSON"},
        # Google draws a letter as the photo of a person without a photo.
        "photos": _items("photos", [{"url": _LETTER, "default": True}], source),
        **typed_fields,
    }
    if kind is PersonKind.DOMAIN_PROFILE:
        types = {"objectType": "PERSON", "userTypes": ["GOOGLE_USER", "GOOGLE_APPS_USER"]}
        completed["metadata"]["sources"][0]["profileMetadata"] = types
    return stamp(completed, updated)


def change(person: Mapping[str, Any], changes: Mapping[str, Any], updated: float) -> dict[str, Any]:
    """Return a person with replaced fields, a new etag, and a new time of change.

    :param changes: the new values; None or an empty list removes the field.
    """
    first = person["metadata"]["sources"][0]
    source = {key: first[key] for key in ("type", "id") if key in first}
    changed = copy.deepcopy(dict(person))
    for name, value in changes.items():
        if name in ("resourceName", "etag", "metadata"):
            continue
        if value in (None, []):
            changed.pop(name, None)
        else:
            changed[name] = _items(name, value, source) if isinstance(value, list) else copy.deepcopy(value)
    return stamp(changed, updated)


def stamp(person: dict[str, Any], updated: float) -> dict[str, Any]:
    """Set the etag and the time of change of a person, and return the person."""
    sources = person["metadata"].setdefault("sources", [{}])
    sources[0]["updateTime"] = timestamp(updated)
    digest = hashlib.sha256(json.dumps(person, sort_keys=True).encode()).digest()
    sources[0]["etag"] = "#" + base64.b64encode(digest[:6]).decode() + "="
    person["etag"] = "%Eg" + base64.b64encode(digest[6:18]).decode() + "=="
    return person


def tombstone(person: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry for a deleted person in an incremental list."""
    sources = [
        {key: source[key] for key in ("type", "id", "etag") if key in source}
        for source in person["metadata"].get("sources", ())
    ]
    metadata = {"sources": sources, "deleted": True, "objectType": "PERSON"}
    return {"resourceName": person["resourceName"], "etag": "%EgDel==", "metadata": metadata}


def masked(resource: Mapping[str, Any], mask: Collection[str], sources: Collection[str]) -> dict[str, Any]:
    """Return the fields in a mask, with the items of some sources only.

    :param sources: source types, or empty for all sources.
    """
    return {
        name: _from_sources(name, value, sources) if sources else value
        for name, value in resource.items()
        if (name in mask or name in _ALWAYS) and (not sources or _from_sources(name, value, sources))
    }


def timestamp(seconds: float) -> str:
    """Format a time as RFC 3339 in UTC, with microseconds, as Google does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(value: str) -> str:
    """Return the ``canonicalForm`` of a number with a country code, without the extension; empty for other numbers."""
    if not value.strip().startswith("+"):
        return ""
    number = _EXTENSION.split(value.replace("(0)", ""))[0]
    digits = "".join(char for char in number if char in "0123456789")
    return f"+{digits}" if 7 <= len(digits) <= 15 else ""


def _items(name: str, values: list[Any], source: Mapping[str, str]) -> list[Any]:
    """Return the items of a field with the metadata and values that the server adds; the first item is primary."""
    items = []
    for index, value in enumerate(values):
        item = copy.deepcopy(value)
        metadata: dict[str, Any] = {"primary": True, "source": dict(source), "sourcePrimary": True}
        item.setdefault("metadata", metadata if index == 0 else {"source": dict(source)})
        if "type" in item and name not in ("nicknames", "externalIds"):
            item.setdefault("formattedType", _formatted_type(str(item["type"])))
        if name == "phoneNumbers" and (number := canonical(str(item.get("value", "")))):
            item.setdefault("canonicalForm", number)
        if name == "names":
            _add_display_names(item)
        items.append(item)
    return items


def _formatted_type(kind: str) -> str:
    """Return a predefined type in words ("Work Fax" for "workFax"), or a user's own type unchanged."""
    return " ".join(_WORDS.findall(kind)).title() if _PREDEFINED.fullmatch(kind) else kind


def _add_display_names(name: dict[str, Any]) -> None:
    """Add the display names that the server composes from the parts of a name."""
    keys = ("honorificPrefix", "givenName", "middleName", "familyName")
    parts = [str(name.get(key, "")) for key in keys]
    given, family = parts[1], parts[3]
    display_name = name.setdefault("displayName", name.get("unstructuredName") or " ".join(filter(None, parts)))
    last_first = f"{family}, {given}" if given and family and display_name.startswith(given) else display_name
    name.setdefault("displayNameLastFirst", last_first)
    name.setdefault("unstructuredName", display_name)


def _from_sources(name: str, value: Any, sources: Collection[str]) -> Any:
    if name == "metadata" and "sources" in value:
        return {**value, "sources": [source for source in value["sources"] if source.get("type") in sources]}
    if not isinstance(value, list):
        return value
    return [item for item in value if _source_of(item) in sources]


def _source_of(item: Mapping[str, Any]) -> Any:
    return item.get("metadata", {}).get("source", {}).get("type")


# --- files of persons -------------------------------------------------------------------------------------------------

# The key of the persons if the file names no account.
FIRST_ACCOUNT = ""

_FORMS = 'expected a list of persons, {"connections": [person…]} or {"accounts": {"address": [person…]…}}'


def load_people(path: str) -> dict[str, list[dict[str, Any]]]:
    """Return the persons of a file by their account's address, or by `FIRST_ACCOUNT` if the file names no accounts.

    :raises UserError: if the file has problems; the error has all problems, each with the person and the field.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: is not JSON; {_FORMS}") from None
    lists = _lists(document)
    if lists is None:
        raise UserError(f"{path}: {_FORMS}")
    problems = [f"{path}: {problem}" for address, persons in lists.items() for problem in _problems(address, persons)]
    if problems:
        raise UserError(problems)
    return lists


def check_person(person: object) -> str:
    """Return the problem of a person, or "" if the person is valid."""
    if not isinstance(person, Mapping):
        return "expected an object, a person of the People API"
    for name, value in person.items():
        if name in ("resourceName", "etag"):
            if not isinstance(value, str) or not value:
                return f'"{name}": expected text'
        elif name == "metadata":
            if not isinstance(value, Mapping) or not _is_list_of_objects(value.get("sources", [])):
                return f'"{name}": expected an object, and "sources" in it a list of objects'
        elif name in PERSON_FIELDS and value is not None and not _is_list_of_objects(value):
            return f'"{name}": expected a list of objects'
    if not any(name in PERSON_FIELDS for name in person):
        return f"has no field of a person, such as {', '.join(sorted(PERSON_FIELDS)[:3])}, names, phoneNumbers"
    return ""


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _lists(document: object) -> dict[str, list[dict[str, Any]]] | None:
    if isinstance(document, list):
        return {FIRST_ACCOUNT: document}
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("connections"), list):
        return {FIRST_ACCOUNT: document["connections"]}
    accounts = document.get("accounts")
    if isinstance(accounts, dict) and all(isinstance(persons, list) for persons in accounts.values()):
        return accounts
    return None


def _problems(address: str, persons: list[dict[str, Any]]) -> Iterator[str]:
    if address and ("@" not in address.strip("@") or address != address.strip()):
        yield f"account {json.dumps(address)}: expected an address"
    for number, person in enumerate(persons, 1):
        if problem := check_person(person):
            yield f"{address + ': ' if address else ''}person {number}: {problem}"
