# SPDX-License-Identifier: MIT
"""The preview of a file that is to replace another one: which contacts are new, changed and gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Final

from ldapgw.contact import Contact
from ldapgw.files.card import FileProblem
from ldapgw.files.reading import FileReading
from ldapgw.phrase import Translatable

# The most rows of a preview.  A page with more rows would be slow, and nobody reads them.
MOST_ROWS: Final = 200


class Mark(StrEnum):
    """The difference of a contact to the former file."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"
    SAME = "same"


@dataclass(frozen=True, slots=True, repr=False)
class PreviewRow:
    """A contact of the preview.

    :ivar line: the number of the line in the new file, or None for a contact that is gone.
    """

    mark: Mark
    line: int | None
    name: str
    organization: str
    numbers: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class FilePreview:
    """The preview of a file.

    :ivar version: the version of the file that would be replaced.
    :ivar may_replace: whether the gateway may write the file.
    :ivar counts: the number of contacts by their marks.
    :ivar rows: the first rows: what is new, changed and gone comes first.
    :ivar problems: the first problems of the new file.
    """

    version: int
    may_replace: bool
    counts: dict[Mark, int]
    rows: tuple[PreviewRow, ...]
    problems: tuple[FileProblem, ...] = ()
    problem_count: int = 0
    ignored: tuple[Translatable, ...] = ()

    @property
    def row_count(self) -> int:
        """Return the number of all rows."""
        return sum(self.counts.values())


def compare(before: FileReading, after: FileReading, version: int, *, may_replace: bool) -> FilePreview:
    """Return the preview of a file.

    :param before: the present file, also if it has problems.
    :param after: the new file.
    """
    former = {contact.uid: contact for contact in before.contacts}
    found: dict[Mark, list[tuple[Contact, int | None]]] = {mark: [] for mark in Mark}
    for contact, line in zip(after.contacts, after.lines, strict=True):
        known = former.pop(contact.uid, None)
        # Two files may write the same labels in another case, which is no difference for phones.
        mark = Mark.NEW if known is None else Mark.SAME if known == contact else Mark.CHANGED
        found[mark].append((contact, line))
    found[Mark.GONE] = [(contact, None) for contact in former.values()]
    rows = chain.from_iterable(_rows(mark, contacts, before, after) for mark, contacts in found.items())
    return FilePreview(
        version,
        may_replace,
        {mark: len(contacts) for mark, contacts in found.items()},
        tuple(islice(rows, MOST_ROWS)),
        after.problems,
        after.problem_count,
        after.ignored,
    )


def _rows(
    mark: Mark, contacts: list[tuple[Contact, int | None]], before: FileReading, after: FileReading
) -> Iterator[PreviewRow]:
    names = before.labels if mark is Mark.GONE else after.labels
    for contact, line in contacts:
        yield PreviewRow(
            mark,
            line,
            contact.name,
            contact.organization,
            tuple(phone.number.typed for phone in contact.phones),
            tuple(sorted(names[label] for label in contact.labels)),
        )
