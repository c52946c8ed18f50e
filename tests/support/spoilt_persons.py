# SPDX-License-Identifier: MIT
"""Spoilt persons and contact groups, as JSON that Google does not document: the fault ``broken_persons`` adds them.

They are octets, because no encoder writes most of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

_FIRST_NUMBER = 8_000_000_000_000_000_000


def _numbers(count: int) -> bytes:
    return json.dumps([{"value": f"+49 30 5550 {number:04}"} for number in range(count)]).encode()


_FIELDS = (
    ("half an emoji in a name", rb'"names":[{"displayName":"Smile \ud83d"}]'),
    ("half an emoji in a company", rb'"organizations":[{"name":"Smile \ude00 GmbH"}]'),
    ("half an emoji in a number", rb'"names":[{"displayName":"A"}],"phoneNumbers":[{"value":"030 5550101 \ud83d"}]'),
    ("half an emoji in a label", rb'"names":[{"displayName":"B"}],"phoneNumbers":[{"value":"101","type":"\ud83d"}]'),
    ("half an emoji in a key", rb'"names":[{"displayName":"C","\ud83d":1}]'),
    ("octets that are not UTF-8", b'"names":[{"displayName":"Ma\xf1ana"}]'),
    ("control characters", b'"names":[{"displayName":"D\\u0000\x01\x1b[31m E"}]'),
    ("a number in place of a name", b'"names":[{"displayName":4711}]'),
    ("a number in place of a phone number", b'"names":[{"displayName":"E"}],"phoneNumbers":[{"value":493055501}]'),
    ("a boolean in place of a name", b'"names":[{"displayName":true,"givenName":"F"}]'),
    ("a list in place of a name", b'"names":[{"displayName":["F"],"givenName":"G"}]'),
    ("a null in each list", b'"names":[null,{"displayName":"H"}],"phoneNumbers":[null],"emailAddresses":[null]'),
    ("a null in place of each list", b'"names":[{"displayName":"I"}],"phoneNumbers":null,"memberships":null'),
    ("a text in place of a list", b'"names":[{"displayName":"J"}],"phoneNumbers":"030 5550102"'),
    ("an object in place of a list", b'"names":[{"displayName":"K"}],"phoneNumbers":{"value":"030 5550103"}'),
    ("nothing but an object in place of a list", b'"names":{"displayName":"L"}'),
    ("an unknown field", b'"names":[{"displayName":"M","shoeSize":44}],"shoes":{"sizes":[44,null,"\xc3\x9f"]}'),
    ("100 kB in a name", b'"names":[{"displayName":"N%s"}]' % (b"n" * 100_000)),
    ("5,000 numbers", b'"names":[{"displayName":"O"}],"phoneNumbers":%s' % _numbers(5000)),
    ("an integer of 5,000 digits", b'"names":[{"displayName":"P"}],"phoneNumbers":[{"value":%s}]' % (b"9" * 5000)),
    ("a number out of range", b'"names":[{"displayName":"Q"}],"phoneNumbers":[{"value":1e999}]'),
    ("no number", b'"names":[{"displayName":"R"}],"phoneNumbers":[{"value":NaN}]'),
    ("500 lists in each other", b'"names":[{"displayName":"S"}],"urls":%s%s' % (b"[" * 500, b"]" * 500)),
    ("100,000 lists in each other", b'"names":[{"displayName":"T"}],"x":%s%s' % (b"[" * 100_000, b"]" * 100_000)),
    ("a key that comes twice", b'"names":[{"displayName":"U"}],"names":[{"displayName":"V"}]'),
    ("wrong metadata of a value", b'"names":[{"displayName":"W","metadata":[1]}]'),
    ("wrong memberships", b'"names":[{"displayName":"Y"}],"memberships":[{"contactGroupMembership":5}]'),
    ("wrong photos", b'"names":[{"displayName":"X"}],"photos":[{"url":7},"photo"],"etag":5'),
)  # fmt: skip

_NAMES = (
    ("an id with a slash", b'"people/c1/2"'),
    ("an id with half an emoji", rb'"people/c1\ud83d"'),
    ("a number in place of the id", b"5"),
)


def _person(number: int, fields: bytes, name: bytes = b"") -> bytes:
    source = b'{"type":"CONTACT","id":"%x","updateTime":"9999-12-31T23:59:59-23:59"}' % number
    return b'{"resourceName":%s,"metadata":{"sources":[%s]},%s}' % (name or b'"people/c%d"' % number, source, fields)


# The persons by what is wrong with them.
PERSONS: Mapping[str, bytes] = MappingProxyType(
    {
        **{wrong: _person(_FIRST_NUMBER + at, fields) for at, (wrong, fields) in enumerate(_FIELDS)},
        **{
            wrong: _person(_FIRST_NUMBER + 100 + at, b'"names":[{"displayName":"No ID %d"}]' % at, name)
            for at, (wrong, name) in enumerate(_NAMES)
        },
        "an id with a slash, and no source": b'{"resourceName":"people/c1/2","names":[{"displayName":"Nobody"}]}',
        "wrong metadata": b'{"resourceName":"people/c7","metadata":"CONTACT","names":[{"displayName":"Z"}]}',
        "no object, but null": b"null",
        "no object, but a text": rb'"\ud83d"',
        "no object, but a list": b"[[]]",
    }
)


def _group(name: bytes, resource_name: bytes) -> bytes:
    return b'{"resourceName":"contactGroups/%s","groupType":"USER_CONTACT_GROUP","name":%s}' % (resource_name, name)


# The contact groups by what is wrong with them.
GROUPS: Mapping[str, bytes] = MappingProxyType(
    {
        "half an emoji in a name": _group(rb'"\ud83d A"', b"8a"),
        "a number in place of a name": _group(b"5", b"8b"),
        "a control character in the id": _group(b'"B"', rb"\u0000"),
        "no object, but null": b"null",
    }
)
