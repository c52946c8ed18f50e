# SPDX-License-Identifier: MIT
"""The file of a recording: lines of JSON, a header, then the entries, then the binds and searches by their time.

The files of several gateways that recorded the same phone stand one behind the other in one text.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import SearchRequest, to_string
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.schema import attribute_type
from ldapgw.errors import ProtocolViolation, UserError
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.request_encoder import encode_search
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.recording import Difference, RecordedBind, RecordedEntry, RecordedSearch, Recording

FORMAT = 2


def dump(recording: Recording) -> str:
    """Return the file of a recording."""
    context = recording.context
    header = {
        "format": FORMAT,
        "ldapgw": recording.version,
        "plain": recording.is_plain,
        "model": recording.model,
        "login": recording.login,
        "own_book": recording.own_book,
        "per_number": recording.per_number,
        "number_format": recording.number_format,
        "tenant": {
            "title": context.title,
            "base_dn": str(context.base),
            "region": context.region,
            "outside_line": context.outside_line,
            "number_format": context.number_format.value,
            "lenient": context.lenient,
            "strip": context.strip,
            "book_order": context.book_order,
            "attribute_aliases": dict(recording.attribute_aliases),
        },
        "left_out": recording.left_out,
        "cut": recording.is_cut,
    }
    requests = [*map(_bind_object, recording.binds), *map(_search_object, recording.searches)]
    requests.sort(key=lambda one: one["at"])
    objects = [header, *map(_entry_object, recording.entries), *requests]
    return "".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in objects)


def _entry_object(entry: RecordedEntry) -> dict[str, Any]:
    values = {"dn": entry.dn, "attributes": dict(entry.attributes)}
    return {**values, "decoy": True} if entry.is_decoy else values


def _bind_object(bind: RecordedBind) -> dict[str, Any]:
    return {"at": round(bind.at, 3), "connection": bind.connection, "bind": bind.name, "code": bind.code}


def _search_object(search: RecordedSearch) -> dict[str, Any]:
    request, note = search.request, search.note
    values = {
        "at": round(search.at, 3),
        "connection": search.connection,
        "bound": search.is_bound,
        # For people; the request is read from its octets, which have the phone's encoding of letters.
        "base": request.base,
        "scope": request.scope.name.lower(),
        "filter": to_string(request.filter),
        "attributes": request.attributes,
        "size_limit": request.size_limit,
        "controls": search.controls,
        "request": b64encode(encode_search(request)).decode(),
        "code": search.code,
        "found": search.found,
    }
    if note is not None:
        values["differs"] = {"missing": note.missing, "surplus": note.surplus, "code": note.code}
    return values


def load(text: str) -> tuple[Recording, ...]:
    """Read the file of a recording, which has a part for each gateway.

    :raises UserError: when the text is no recording, or has a format that this version cannot read.
    """
    parts: list[tuple[Recording, list[RecordedEntry], list[RecordedBind], list[RecordedSearch]]] = []
    for number, line in enumerate(text.splitlines() or [""], start=1):
        try:
            values = json.loads(line)
            if not parts or "format" in values:
                if values["format"] != FORMAT:
                    raise UserError(f"line {number}: this version of ldapgw can't read this recording")
                parts.append((_read_header(values), [], [], []))
                continue
            _, entries, binds, searches = parts[-1]
            if "dn" in values:
                entries.append(_read_entry(values))
            elif "bind" in values:
                binds.append(_read_bind(values))
            else:
                searches.append(_read_search(values))
        except (AttributeError, KeyError, TypeError, ValueError, ProtocolViolation):  # InvalidDn is a ValueError
            raise UserError(f"line {number}: this is no line of a recording") from None
    return tuple(
        replace(header, entries=tuple(entries), binds=tuple(binds), searches=tuple(searches))
        for header, entries, binds, searches in parts
    )


def _read_header(header: Mapping[str, Any]) -> Recording:
    tenant = header["tenant"]
    context = NamingContext(
        name="recorded",
        title=str(tenant["title"]),
        base=Dn.parse(tenant["base_dn"]),
        region=str(tenant["region"]),
        outside_line=str(tenant["outside_line"]),
        number_format=NumberFormat(tenant["number_format"]),
        lenient=bool(tenant["lenient"]),
        strip=_strings(tenant["strip"]),
        book_order=_strings(tenant["book_order"]),
    )
    return Recording(
        context=context,
        login=str(header["login"]),
        own_book=str(header["own_book"]),
        per_number=bool(header["per_number"]),
        number_format=NumberFormat(header["number_format"]) if header["number_format"] else None,
        model=str(header["model"]),
        attribute_aliases={str(alias): _known_name(name) for alias, name in tenant["attribute_aliases"].items()},
        version=str(header["ldapgw"]),
        is_plain=bool(header["plain"]),
        left_out=int(header["left_out"]),
        is_cut=bool(header["cut"]),
    )


def _known_name(name: object) -> str:
    """Return the name of an attribute.

    :raises ValueError: when there is no such attribute.
    """
    kind = attribute_type(str(name))
    if kind is None:
        raise ValueError(name)
    return kind.name


def _read_entry(values: Mapping[str, Any]) -> RecordedEntry:
    attributes = {str(name): _strings(texts) for name, texts in values["attributes"].items()}
    return RecordedEntry(str(values["dn"]), attributes, bool(values.get("decoy")))


def _read_bind(values: Mapping[str, Any]) -> RecordedBind:
    return RecordedBind(float(values["at"]), int(values["connection"]), str(values["bind"]), _code(values["code"]))


def _read_search(values: Mapping[str, Any]) -> RecordedSearch:
    request = decode(b64decode(values["request"], validate=True)).request
    if not isinstance(request, SearchRequest):
        raise ProtocolViolation("request: not a search")
    note = values.get("differs")
    return RecordedSearch(
        float(values["at"]),
        int(values["connection"]),
        bool(values["bound"]),
        request,
        _strings(values["controls"]),
        _code(values["code"]),
        _strings(values["found"]),
        Difference(_strings(note["missing"]), _strings(note["surplus"]), _code(note["code"])) if note else None,
    )


def _code(value: Any) -> int | None:
    return None if value is None else int(value)


def _strings(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))
