# SPDX-License-Identifier: MIT
"""A person's fields: what Google adds to what somebody typed, and what a mask lets through.

A person that has ``metadata.sources`` is in Google's own form already and is served as it stands.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

# People API, discovery document: the paths of personFields.
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
# otherContacts.list: these alone, unless the source PROFILE is asked for as well.
OTHER_CONTACT_FIELDS = frozenset(("emailAddresses", "metadata", "names", "phoneNumbers", "photos"))
GROUP_FIELDS = frozenset(("clientData", "groupType", "memberCount", "metadata", "name"))

_ALWAYS = ("resourceName", "etag")
_WORDS = re.compile(r"[A-Z]?[a-z]+")
_PREDEFINED = re.compile(r"[a-z]+(?:[A-Z][a-z]+)*")
_EXTENSION = re.compile(r"[,;xX#]|ext", re.IGNORECASE)


class PersonKind(Enum):
    """A source's kinds of person: the ``type`` of its metadata, and how its names begin."""

    CONTACT = ("CONTACT", "people/c")
    OTHER_CONTACT = ("OTHER_CONTACT", "otherContacts/c")
    DOMAIN_PROFILE = ("DOMAIN_PROFILE", "people/")
    DOMAIN_CONTACT = ("DOMAIN_CONTACT", "people/")

    @property
    def source(self) -> str:
        """The ``type`` in ``metadata.sources``."""
        return self.value[0]


def complete(person: Mapping[str, Any], kind: PersonKind, number: int, updated: float) -> dict[str, Any]:
    """A person as Google would return it.

    :param number: its id; a contact has it in decimal digits in its name and in hexadecimal ones in its source.
    :param updated: seconds since the epoch.
    """
    if isinstance(person.get("metadata"), Mapping) and person["metadata"].get("sources"):
        return {"resourceName": kind.value[1] + str(number), "etag": "%Eg==", **copy.deepcopy(dict(person))}
    source_id = f"{number:x}" if kind in (PersonKind.CONTACT, PersonKind.OTHER_CONTACT) else str(number)
    source = {"type": kind.source, "id": source_id}
    fields = {
        name: _items(name, value, source) if isinstance(value, list) else copy.deepcopy(value)
        for name, value in person.items()
        if name not in ("resourceName", "etag", "metadata") and value not in (None, [])
    }
    done = {
        "resourceName": person.get("resourceName", kind.value[1] + str(number)),
        "etag": "",
        "metadata": {"sources": [dict(source)], "objectType": "PERSON"},
        **fields,
    }
    if kind is PersonKind.DOMAIN_PROFILE:
        types = {"objectType": "PERSON", "userTypes": ["GOOGLE_USER", "GOOGLE_APPS_USER"]}
        done["metadata"]["sources"][0]["profileMetadata"] = types
    return stamp(done, updated)


def change(person: Mapping[str, Any], changes: Mapping[str, Any], updated: float) -> dict[str, Any]:
    """A person with fields replaced (None or empty: removed), and with the new etag and time that go with it."""
    first = person["metadata"]["sources"][0]
    source = {key: first[key] for key in ("type", "id") if key in first}
    done = copy.deepcopy(dict(person))
    for name, value in changes.items():
        if name in ("resourceName", "etag", "metadata"):
            continue
        if value in (None, []):
            done.pop(name, None)
        else:
            done[name] = _items(name, value, source) if isinstance(value, list) else copy.deepcopy(value)
    return stamp(done, updated)


def stamp(person: dict[str, Any], updated: float) -> dict[str, Any]:
    """Give a person the etag of its content and the time of its change."""
    sources = person["metadata"].setdefault("sources", [{}])
    sources[0]["updateTime"] = timestamp(updated)
    digest = hashlib.sha256(json.dumps(person, sort_keys=True).encode()).digest()
    sources[0]["etag"] = "#" + base64.b64encode(digest[:6]).decode() + "="
    person["etag"] = "%Eg" + base64.b64encode(digest[6:18]).decode() + "=="
    return person


def tombstone(person: Mapping[str, Any]) -> dict[str, Any]:
    """What an incremental list says of a deleted person."""
    sources = [
        {key: source[key] for key in ("type", "id", "etag") if key in source}
        for source in person["metadata"].get("sources", ())
    ]
    metadata = {"sources": sources, "deleted": True, "objectType": "PERSON"}
    return {"resourceName": person["resourceName"], "etag": "%EgDel==", "metadata": metadata}


def masked(resource: Mapping[str, Any], mask: Collection[str], sources: Collection[str]) -> dict[str, Any]:
    """The fields that a mask asks for, and of their items those that come from certain sources.

    :param sources: source types; empty: all.
    """
    return {
        name: _from_sources(name, value, sources) if sources else value
        for name, value in resource.items()
        if (name in mask or name in _ALWAYS) and (not sources or _from_sources(name, value, sources))
    }


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, with the microseconds that Google shows."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(value: str) -> str:
    """The ``canonicalForm`` of a number with a country code, without its extension; empty for any other number."""
    if not value.strip().startswith("+"):
        return ""
    number = _EXTENSION.split(value.replace("(0)", ""))[0]
    digits = "".join(sign for sign in number if sign in "0123456789")
    return f"+{digits}" if 7 <= len(digits) <= 15 else ""


def _items(name: str, values: list[Any], source: Mapping[str, str]) -> list[Any]:
    """A list field, each item with its metadata and with what the server makes of it; the first one is primary."""
    done = []
    for at, value in enumerate(values):
        item = copy.deepcopy(value)
        metadata: dict[str, Any] = {"primary": True, "source": dict(source), "sourcePrimary": True}
        item.setdefault("metadata", metadata if at == 0 else {"source": dict(source)})
        if "type" in item and name not in ("nicknames", "externalIds"):
            item.setdefault("formattedType", _formatted(str(item["type"])))
        if name == "phoneNumbers" and (number := canonical(str(item.get("value", "")))):
            item.setdefault("canonicalForm", number)
        if name == "names":
            _display(item)
        done.append(item)
    return done


def _formatted(kind: str) -> str:
    """A predefined type in words ("workFax": "Work Fax"); the owner's own one as it stands."""
    return " ".join(_WORDS.findall(kind)).title() if _PREDEFINED.fullmatch(kind) else kind


def _display(name: dict[str, Any]) -> None:
    """The display names that the server makes of a name's parts."""
    keys = ("honorificPrefix", "givenName", "middleName", "familyName")
    parts = [str(name.get(key, "")) for key in keys]
    given, family = parts[1], parts[3]
    shown = name.setdefault("displayName", name.get("unstructuredName") or " ".join(filter(None, parts)))
    last_first = f"{family}, {given}" if given and family and shown.startswith(given) else shown
    name.setdefault("displayNameLastFirst", last_first)
    name.setdefault("unstructuredName", shown)


def _from_sources(name: str, value: Any, sources: Collection[str]) -> Any:
    if name == "metadata" and "sources" in value:
        return {**value, "sources": [source for source in value["sources"] if source.get("type") in sources]}
    if not isinstance(value, list):
        return value
    return [item for item in value if _source_of(item) in sources]


def _source_of(item: Mapping[str, Any]) -> Any:
    return item.get("metadata", {}).get("source", {}).get("type")
