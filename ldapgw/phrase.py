# SPDX-License-Identifier: MIT
"""Translatable texts outside templates: English messages with values, translated when a page shows them.

A message is marked with `gettext_noop` where it is defined, so that the extraction tool finds it.  The page translates
it into the language of its reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType


def gettext_noop(message: str) -> str:
    """Return the message; the call marks the message for the extraction tool."""
    return message


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time in a phrase; `seconds` is counted since the epoch."""

    seconds: float

    def __str__(self) -> str:
        """Format the time in UTC, to the minute."""
        return datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A marked message with placeholders ``%(name)s``.

    :ivar values: by placeholder.  A `Phrase` is translated too, a `Timestamp` is formatted for the language, a text
        stays as it is.
    """

    message: str
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        """Format the message in English."""
        return self.message % {name: str(value) for name, value in self.values.items()}


# A marked message without values may be a plain string.
Translatable = str | Phrase


def joined(phrases: Sequence[Phrase]) -> Phrase:
    """At least one phrase as a list separated by commas."""
    first = phrases[0]
    return first if len(phrases) == 1 else Phrase("%(one)s, %(more)s", {"one": first, "more": joined(phrases[1:])})
