# SPDX-License-Identifier: MIT
"""Writes entries as LDIF (RFC 2849), which other directory servers can load."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

from ldapgw.directory.entry import Entry
from ldapgw.directory.schema import ATTRIBUTE_TYPES

_NAMES = tuple(kind.name for kind in ATTRIBUTE_TYPES if not kind.operational)

# RFC 2849 note 2: implementations should fold lines at 76 octets.
_LONGEST = 76

# RFC 2849: a SAFE-STRING has none of NUL, CR and LF, and nothing beyond ASCII; readers lose other control characters.
_UNSAFE = frozenset((*range(0x20), 0x7F))


def ldif(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the LDIF record of each entry; a parent entry has to come before its children."""
    yield b"version: 1\n"
    for entry in entries:
        pairs = [("dn", entry.dn.encode()), *((name, value) for name in _NAMES for value in entry.attribute(name))]
        yield b"\n" + b"".join(_line(name, value) for name, value in pairs)


def _line(name: str, value: bytes) -> bytes:
    value_spec = b": " + value if _is_safe(value) else b":: " + base64.b64encode(value)
    line = name.encode() + value_spec
    rest = (line[start : start + _LONGEST - 1] for start in range(_LONGEST, len(line), _LONGEST - 1))
    return b"\n ".join((line[:_LONGEST], *rest)) + b"\n"


def _is_safe(value: bytes) -> bool:
    is_safe_string = value.isascii() and not _UNSAFE.intersection(value)
    # The grammar allows a blank at the end, but editors remove it (RFC 2849 note 8).
    return is_safe_string and value[:1] not in (b" ", b":", b"<") and value[-1:] != b" "
