# SPDX-License-Identifier: MIT
"""The state of a configured file and of its book, for pages, commands and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ldapgw.contact import Sharing
from ldapgw.files.card import FileProblem
from ldapgw.phrase import Translatable

# The most lines of a file that a command names.
MOST_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class FileReport:
    """The outcome of reading a file.

    :ivar version: the version of the file that was read; 0 if the file is missing.
    :ivar contacts: the number of contacts; 0 if there are problems.
    :ivar problems: the first problems; empty if the file is good.
    :ivar problem_count: the number of all problems.
    :ivar ignored: the names of the columns that are ignored.
    """

    version: int
    contacts: int = 0
    problems: tuple[FileProblem, ...] = ()
    problem_count: int = 0
    ignored: tuple[Translatable, ...] = ()

    @property
    def is_good(self) -> bool:
        return not self.problem_count

    @property
    def summary(self) -> str:
        """Return the first problem and the number of the others, in English; empty for a good file."""
        if self.is_good:
            return ""
        others = self.problem_count - 1
        return f"{self.problems[0]}" + (f" ({others} more problem{'s' if others > 1 else ''})" if others else "")


@dataclass(frozen=True, slots=True)
class FileStatus:
    """The state of a file and of its book.

    :ivar served: the number of contacts that phones find, or None if the file was never good.
    :ivar read_at: the time at which these contacts were read from the file, in seconds since the epoch, or None if the
        contacts are from an earlier run of the gateway.
    :ivar since: the time at which the problems of the file were found, in seconds since the epoch, or None if the file
        is good.
    """

    tenant: str
    name: str
    path: str
    sharing: Sharing
    report: FileReport
    served: int | None = None
    read_at: float | None = None
    since: float | None = None
