# SPDX-License-Identifier: MIT
"""Separates the numbers of a field from addresses of other services: SIP addresses, links, and messengers' user names.

People write a SIP address (RFC 3261 19.1) in the place of a number, beside a number, or behind a name.  A SIP address
whose user is a public number counts as this number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from ldapgw.numbers import dial_string
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC

# The maximum number of characters of a field that are read.  Nobody writes a number behind so many characters.
LONGEST_FIELD: Final = 1024

# A pattern for three things: a link; a user name of a messenger, which may be a number; and a SIP address, from which
# the password (RFC 3261 19.1.1) is left out.
_ADDRESS: Final = re.compile(
    r"<?(?:"
    r"(?:https?://wa\.me/|whatsapp:|skype:|facetime(?:-audio)?:)(?P<name>[^\s<>,;|?]*)[^\s<>,;|]*"
    r"|(?:viber://chat\?number=)(?P<number>[^\s<>,;|&]+)"
    r"|(?:(?:xmpp|mailto|live|im|iax2?|h323|tg|teams|https?):|t\.me/|(?<![a-z])(?!tel|callto|sip)[a-z][a-z0-9+.-]+://)[^\s<>,;|]+"
    r"|(?:(?P<scheme>sips?:)/*)?(?P<user>[^\s@<>(),|/:]{1,64})(?::[^\s@<>(),|/:]{1,64})?@(?P<host>[^\s@<>(),|/]{1,190})"
    r")>?",
    re.IGNORECASE,
)
# Two patterns for SIP addresses: blanks within the address, and a blank in place of the colon.
_BEHIND_SCHEME: Final = re.compile(r"\b(sips?)[: ]+(?=[^\s@]{1,64} ?@)", re.IGNORECASE)
_AROUND_AT: Final = re.compile(r" ?@ ?")
# Signs that separate an address from a number beside the address.
_SEPARATORS: Final = " ,;:/|&\n"
# The minimum number of digits of a number beside an address; fewer digits belong to a name or a remark.
_SHORTEST_BESIDE: Final = 3


class SplitField(NamedTuple):
    """The parts of a field.

    :ivar sip_addresses: SIP URIs, such as ``sip:501@pbx.example``.
    :ivar numbers: the text of the numbers; line breaks stand in the places of the addresses.
    """

    sip_addresses: tuple[str, ...]
    numbers: str


def split_field(text: str) -> SplitField:
    """Separate the addresses in a field from the numbers; a field without an address is left as it is."""
    text = text[:LONGEST_FIELD]
    if not any(sign in text for sign in ("@", ":", "%40", "t.me/")):
        return SplitField((), text)
    cleaned = "\n".join(map(dial_string.clean, text.splitlines()))
    cleaned = cleaned.replace("%40", "@")
    cleaned = _AROUND_AT.sub("@", _BEHIND_SCHEME.sub(r"\1:", cleaned))
    addresses = [found for found in _ADDRESS.finditer(cleaned) if not _is_public(found["user"])]
    if not addresses:
        return SplitField((), text)
    sip_addresses = (
        (found["scheme"] or "sip:").lower() + found["user"] + "@" + found["host"].rstrip(".;")
        for found in addresses
        if found["host"]
    )
    numbers = (part.strip(_SEPARATORS) for part in _between(cleaned, addresses))
    return SplitField(
        tuple(dict.fromkeys(sip_addresses)),
        "\n".join(part for part in numbers if sum(map(str.isdigit, part)) >= _SHORTEST_BESIDE),
    )


def _between(text: str, addresses: list[re.Match[str]]) -> Iterator[str]:
    """Yield the texts between the addresses, and each messenger's user name if the user name is a public number."""
    position = 0
    for found in addresses:
        yield text[position : found.start()]
        name = found["name"] or found["number"]
        if _is_public(name):
            yield unquote(name)
        position = found.end()
    yield text[position:]


def _is_public(user: str | None) -> bool:
    """Return True if the user in an address is a public number; parameters behind the number are ignored."""
    number = dial_string.plain(unquote(user or "").partition(";")[0])
    return number is not None and (number[0] or len(number[1]) >= SHORTEST_PUBLIC)
