# SPDX-License-Identifier: MIT
"""What phones find, as the pages show it: values, and who looks them up."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """One entry.

    :ivar numbers: each once, as phones get it, with the LDAP attribute that holds it.
    :ivar book: of whose book it is; empty for a caller of a book that cannot be browsed.
    """

    name: str
    organization: str
    numbers: tuple[tuple[str, str], ...]
    mails: tuple[str, ...]
    book: str


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """What a search has found.

    :ivar complete: false when there is more.
    """

    hits: tuple[Hit, ...] = ()
    complete: bool = True


class Finder(Protocol):
    """Looks up the directory as phones do."""

    def find(self, tenant: str, books: Iterable[str], text: str) -> Awaitable[Found]:
        """What the phones of some accounts find for a name or a number, while it is typed.

        :param books: the keys (``sub``) of the accounts.
        """

    def example(self, tenant: str, book: str) -> Awaitable[Hit | None]:
        """A contact of a book with a name and a number, to explain things by; None when there is none.

        :param book: its key.
        """
