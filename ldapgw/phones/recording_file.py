# SPDX-License-Identifier: MIT
"""The file of a recording: lines of JSON, first a header, then the entries, then the messages, each with its time."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ldapgw.directory.access import NamingContext
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import SearchRequest, to_string
from ldapgw.directory.schema import attribute_type
from ldapgw.errors import ProtocolViolation, UserError
from ldapgw.numbers.phone_number import Number, NumberFormat
from ldapgw.phones.recording import RecordedEntry, RecordedMessage, Recording, Response, message_of

FORMAT = 1


def dump(recording: Recording) -> str:
    """The file of a recording."""
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
        "searches_left_out": recording.searches_left_out,
        "cut": recording.is_cut,
    }
    objects = [header, *map(_entry_object, recording.entries), *map(_message_object, recording.messages)]
    return "".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in objects)


def _entry_object(entry: RecordedEntry) -> dict[str, Any]:
    numbers = {
        name: [(number.typed, number.e164, number.national, number.digits) for number in values]
        for name, values in entry.numbers.items()
    }
    return {"dn": entry.dn, "attributes": dict(entry.attributes), "numbers": numbers, "aliases": entry.aliases}


def _message_object(message: RecordedMessage) -> dict[str, Any]:
    fields = {
        "at": round(message.at, 3),
        "connection": message.connection,
        "from": "phone" if message.from_phone else "gateway",
        "message": b64encode(message.octets).decode(),
    }
    request = message_of(message) if message.from_phone else None
    if request is not None and isinstance(request.request, SearchRequest):
        fields["filter"] = to_string(request.request.filter)  # for people; not read again
    return fields


def load(text: str) -> Recording:
    """Read the file of a recording.

    :raises UserError: when the text is no recording, or one of a later version.
    """
    lines = text.splitlines()
    header = _object(lines[0] if lines else "", 1)
    if header.get("format") != FORMAT:
        raise UserError("line 1: this is no recording that this version of ldapgw can read")
    try:
        recording = _read_header(header)
    except (AttributeError, KeyError, TypeError, ValueError):  # InvalidDn is a ValueError
        raise UserError("line 1: the header of the recording is damaged") from None
    entries: list[RecordedEntry] = []
    messages: list[RecordedMessage] = []
    for number, line in enumerate(lines[1:], start=2):
        values = _object(line, number)
        try:
            if "message" in values:
                messages.append(_read_message(values))
            else:
                entries.append(_read_entry(values))
        except (AttributeError, KeyError, TypeError, ValueError, ProtocolViolation):
            raise UserError(f"line {number}: this is neither an entry nor a message") from None
    return replace(recording, entries=tuple(entries), messages=tuple(messages))


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"line {number}: this is no line of a recording")
    return value


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
        # Recordings of former versions have none.
        number_format=NumberFormat(header["number_format"]) if header.get("number_format") else None,
        model=str(header["model"]),
        attribute_aliases={str(alias): _known_name(name) for alias, name in tenant["attribute_aliases"].items()},
        version=str(header["ldapgw"]),
        is_plain=bool(header["plain"]),
        left_out=int(header["left_out"]),
        searches_left_out=int(header["searches_left_out"]),
        is_cut=bool(header["cut"]),
    )


def _known_name(name: object) -> str:
    """The name of an attribute.

    :raises ValueError: when there is no such attribute.
    """
    kind = attribute_type(str(name))
    if kind is None:
        raise ValueError(name)
    return kind.name


def _read_entry(values: Mapping[str, Any]) -> RecordedEntry:
    return RecordedEntry(
        str(values["dn"]),
        {str(name): _strings(texts) for name, texts in values["attributes"].items()},
        {
            str(name): tuple(Number(*_strings(forms)) for forms in numbers)
            for name, numbers in values["numbers"].items()
        },
        _strings(values["aliases"]),
    )


def _read_message(values: Mapping[str, Any]) -> RecordedMessage:
    from_phone = {"phone": True, "gateway": False}[values["from"]]
    message = RecordedMessage(
        float(values["at"]), int(values["connection"]), from_phone, b64decode(values["message"], validate=True)
    )
    if not from_phone:
        Response.read(message.octets)
    return message


def _strings(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))
