# SPDX-License-Identifier: MIT
"""Whether a text is a value of a syntax (RFC 4517 3.3).

A rule that is asked with anything else says neither yes nor no: the filter's term is Undefined (RFC 4511 4.5.1.7).
"""

from __future__ import annotations

import re
from collections.abc import Callable

# RFC 4517 3.2
_PRINTABLE = re.compile(r"[A-Za-z0-9'()+,\-./:=? ]+", re.ASCII)
# RFC 4512 1.4: a name or numbers between dots; neither holds a blank.
_OID = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9.]+", re.ASCII)
# RFC 4517 3.3.16
_INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
# RFC 4517 3.3.28: a backslash stands only before the hex of a dollar or of a backslash.  Empty lines are let pass.
_POSTAL_ADDRESS = re.compile(r"(?:[^\\]|\\24|\\5[Cc])*")


def conforms(syntax: str, text: str) -> bool:
    """Whether a text is a value of a syntax, by its OID; of one that is not in the table, the rule itself decides."""
    check = _CHECKS.get(syntax)
    return check is None or check(text)


def _is_postal_address(text: str) -> bool:
    return _POSTAL_ADDRESS.fullmatch(text) is not None


def _is_oid(text: str) -> bool:
    return _OID.fullmatch(text) is not None


def _is_printable(text: str) -> bool:
    return _PRINTABLE.fullmatch(text) is not None


def _is_integer(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None


_CHECKS: dict[str, Callable[[str], bool]] = {
    "1.3.6.1.4.1.1466.115.121.1.15": bool,
    "1.3.6.1.4.1.1466.115.121.1.26": str.isascii,
    "1.3.6.1.4.1.1466.115.121.1.27": _is_integer,
    "1.3.6.1.4.1.1466.115.121.1.38": _is_oid,
    "1.3.6.1.4.1.1466.115.121.1.41": _is_postal_address,
    "1.3.6.1.4.1.1466.115.121.1.50": _is_printable,
}
