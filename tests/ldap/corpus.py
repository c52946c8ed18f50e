# SPDX-License-Identifier: MIT
"""The corpus of hostile messages, and how an ending is judged by it.

Where the corpus has a strict reading of RFC 4511 4.1.1 beside the merely acceptable one, the strict one counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ldapgw.errors import ResultCode
from tests.support import pdu
from tests.support.phonebook.talk import NOTICE

# Where we differ from the corpus on purpose.
_ON_PURPOSE = {
    "bind-v2": {"error:success"},  # LDAPv2 is spoken here: old phones send it
}


@dataclass(frozen=True)
class Case:
    """A hostile message.

    :ivar acceptable: the tokens that its ending may have.
    """

    name: str
    octets: bytes
    acceptable: frozenset[str]


def _name(constant: str) -> str:
    first, *rest = constant.split("_")
    return first.lower() + "".join("DN" if word == "DN" else word.title() for word in rest)


_TOKENS = {code: "error:" + _name(code.name) for code in ResultCode}


def tokens(found: Iterable[pdu.Response], *, closed: bool) -> set[str]:
    """What happened, in the corpus's words."""
    seen = set()
    for one in found:
        if one.name == NOTICE:
            assert (one.message_id, one.kind) == (0, 0x78)
            seen.add("notice")
        elif one.code is not None:
            seen.add(_TOKENS[ResultCode(one.code)])
    return seen or {"close" if closed else "ignore"}


def _read() -> tuple[Case, ...]:
    data = json.loads((Path(__file__).parents[1] / "data" / "ldap_malformed.json").read_text())
    return tuple(
        Case(
            one["id"],
            bytes.fromhex(one["hex"]),
            frozenset(_ON_PURPOSE.get(one["id"]) or one.get("strict") or one["acceptable"]),
        )
        for one in data["cases"]
    )


CASES = _read()
