# SPDX-License-Identifier: MIT
"""How far syncs are that are under way; kept in memory, for people who wait for their first one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ldapgw.contact import Source


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sync is.

    :ivar source: what is being fetched.
    :ivar fetched: persons so far.
    :ivar total: how many there are by Google's own count; None where it does not say.
    :ivar place: the source's, counted from 1, among `places` that are fetched one after the other.
    """

    source: Source
    fetched: int
    total: int | None
    place: int = 1
    places: int = 1


class ProgressBoard:
    """Who syncs writes it, pages read it.

    Mutable: what is written.

    :param told: called with the account's id after each change.
    """

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._notes: dict[int, Progress] = {}

    def note(self, account_id: int, progress: Progress | None) -> None:
        """Write how far an account's sync is; None: it has ended."""
        if progress is not None:
            self._notes[account_id] = progress
        elif self._notes.pop(account_id, None) is None:
            return
        self._told(account_id)

    def of(self, account_id: int) -> Progress | None:
        """How far an account's sync is; None when none is running."""
        return self._notes.get(account_id)
