# SPDX-License-Identifier: MIT
"""Holds translatable texts outside templates: English messages with values, translated when a page shows them.

Messages are data: the file ``texts/AREA.toml`` of a package has the messages of an area, and `read_texts` reads the
file into a frozen class.  A message that only one statement uses may stand in the code, marked with `gettext_noop`.
The extraction tool finds the messages in both places.  The page translates a message into the user's language.

In a message about a phone, asterisks surround each name of a menu, a key or a button, so that pages and documents can
set the names in bold.  The sign › stands between menus: ``Go to *Settings › LDAP*.``
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from types import MappingProxyType
from typing import TypeVar

import msgspec

_MARK = "*"


def gettext_noop(message: str) -> str:
    """Return the message; the call marks the message for the extraction tool."""
    return message


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time in a phrase.

    :ivar seconds: the time in seconds since the epoch.
    :ivar is_ago: whether a page may write the time relative to now: "2 minutes ago".
    """

    seconds: float
    is_ago: bool = False

    def __str__(self) -> str:
        """Format the time in UTC, to the minute."""
        return datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A translatable message with placeholders ``%(name)s``.

    :ivar values: the value of each placeholder.  A `Phrase` is translated too, a `Timestamp` is formatted for the
        language, and a text stays as it is.
    """

    message: str
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        """Format the message in English."""
        return self.message % {name: str(value) for name, value in self.values.items()}


# A translatable message; a message without values may be a plain string.
Translatable = str | Phrase


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of the classes into which files of texts are read.

    Each key of a file becomes a field.  Each table becomes an object of another subclass of `Texts`.
    """


AreaTexts = TypeVar("AreaTexts", bound=Texts)


def read_texts(area: str, kind: type[AreaTexts]) -> AreaTexts:
    """Read the texts of an area from its file.

    :param area: the path of the file below the package ``ldapgw``, without ``.toml``.
    :param kind: the class of the object that the whole file becomes.
    :raises msgspec.ValidationError: if a key is missing, is unknown, or has a value of another type.
    """
    return msgspec.convert(tomllib.loads(files("ldapgw").joinpath(f"{area}.toml").read_text("utf-8")), kind)


def joined(phrases: Sequence[Phrase]) -> Phrase:
    """Join one or more phrases into a list separated by commas."""
    first = phrases[0]
    return first if len(phrases) == 1 else Phrase("%(one)s, %(more)s", {"one": first, "more": joined(phrases[1:])})


def without_marks(sentence: str) -> str:
    """Return a sentence as plain text."""
    return sentence.replace(_MARK, "")


def with_names(sentence: str, name: Callable[[str], str], other: Callable[[str], str]) -> str:
    """Return a sentence in a markup language.

    :param name: writes the name of a menu, a key or a button in this language.
    :param other: writes the words between the names in this language.
    """
    pieces = sentence.split(_MARK)
    return "".join(name(piece) if index % 2 else other(piece) for index, piece in enumerate(pieces))
