# SPDX-License-Identifier: MIT
"""Words for people, in English, that a page says in the language of its reader.

What is not in a template is marked where it stands, so that the tools find it, and translated where it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType


def gettext_noop(message: str) -> str:
    """The message itself: it tells the tools that a translation is wanted."""
    return message


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time in a phrase, in seconds since the epoch."""

    seconds: float

    def __str__(self) -> str:
        """To the minute, in UTC."""
        return datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A marked message with ``%(name)s`` in it.

    :ivar values: what stands there; a phrase is translated too, a moment is written as the language has it, a text
        stays as it is.
    """

    message: str
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        """In English."""
        return self.message % {name: str(value) for name, value in self.values.items()}


# A marked message without values may stand for itself.
Translatable = str | Phrase
