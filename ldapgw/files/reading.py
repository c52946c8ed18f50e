# SPDX-License-Identifier: MIT
"""The reading of a whole file into its contacts or all its problems, and the report and the preview of a reading.

A file that has a problem is not used at all, because nobody would notice that one of its contacts is missing.  A
`FileReport` tells pages, commands and metrics how the reading ended.  A `FilePreview` tells an administrator which
contacts of a new file are new, changed and gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from itertools import chain, islice
from types import MappingProxyType
from typing import Final

from ldapgw.contact import Contact, Sharing, Source
from ldapgw.files.card import TEXTS, FileCard, FileProblem, read_phone_book, read_vcards
from ldapgw.files.csv_file import CsvFile, decode
from ldapgw.google.person import read_person
from ldapgw.google.person_text import clean
from ldapgw.numbers import stored_numbers
from ldapgw.numbers.field_text import split_field
from ldapgw.phrase import Phrase, Translatable

# The version of the rules by which files are read.  Raise the version with each change of the results.
VERSION: Final = 3

# The maximum size of a file in MiB; a file of a million contacts is smaller.
MOST_MIB: Final = 128
# The maximum number of problems that a reading keeps; a single mistake, such as a wrong delimiter, spoils every line.
MOST_PROBLEMS: Final = 100
# The maximum number of problems of a file that a command shows.
MOST_LINES: Final = 20
# The maximum number of rows of a preview.  A page with more rows would be slow, and nobody would read all rows.
MOST_ROWS: Final = 200

_RESOURCE: Final = "people/file"
# A number in which letters stand for the digits 0 and 1.  By Google's rules, only the digits in front would be read.
_MISTYPED: Final = re.compile("(?=.*[0-9])(?=.*[OoIl])[0-9OoIl+()/ .-]+")


@dataclass(frozen=True, slots=True, repr=False)
class FileReading:
    """The result of reading a file.

    :ivar contacts: the contacts in the order of the file, even if the file has problems.
    :ivar lines: the number of the line at which each contact begins.
    :ivar labels: the name of each label, by the key that `Contact.labels` has for the label.
    :ivar problems: the first `MOST_PROBLEMS` problems.
    :ivar problem_count: the number of all problems; the file may be used if this number is 0.
    :ivar ignored: the names of the columns that are ignored.
    """

    contacts: tuple[Contact, ...] = ()
    lines: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[FileProblem, ...] = ()
    problem_count: int = 0
    ignored: tuple[Translatable, ...] = ()

    @classmethod
    def refused(cls, reason: Translatable) -> FileReading:
        """Return the result for a file that cannot be read at all."""
        return cls(problems=(FileProblem(0, reason),), problem_count=1)


def read_contacts(octets: bytes, region: str) -> FileReading:
    """Read a file; the content of the file, not the file's name, decides which format the file has.

    :param region: ISO 3166-1 code of the country for numbers without a country code.
    """
    if len(octets) > MOST_MIB << 20:
        return FileReading.refused(Phrase(TEXTS.too_large, {"most": MOST_MIB}))
    text = decode(octets).lstrip("\ufeff")
    beginning = text[:4096].lstrip()
    if not beginning:
        return FileReading.refused(TEXTS.empty)
    if beginning[: len("BEGIN:VCARD")].upper() == "BEGIN:VCARD":
        return _read(read_vcards(text), region)
    if beginning.startswith(("<?xml", "<phonebook")):
        return _read(read_phone_book(text), region)
    if "\0" in beginning:
        return FileReading.refused(TEXTS.unknown_format)
    file = CsvFile(text)
    return replace(_read(file.read(), region), ignored=file.ignored)


def _read(found: Iterable[FileCard | FileProblem], region: str) -> FileReading:
    collector = _Collector(region)
    for each in found:
        if isinstance(each, FileProblem):
            collector.refuse(each)
        else:
            collector.add(each)
    if not collector.contacts and not collector.problem_count:
        return FileReading.refused(TEXTS.empty)
    return FileReading(
        tuple(collector.contacts),
        tuple(collector.lines),
        collector.labels,
        tuple(collector.problems),
        collector.problem_count,
    )


class _Collector:
    """The contacts and problems of a file so far.

    Mutable: all attributes.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self.contacts: list[Contact] = []
        self.lines: list[int] = []
        self.labels: dict[str, str] = {}
        self.problems: list[FileProblem] = []
        self.problem_count = 0
        self._ids: dict[str, int] = {}
        self._same: dict[tuple[str, ...], int] = {}

    def refuse(self, problem: FileProblem) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def add(self, card: FileCard) -> None:
        for line, column, text in card.numbers:
            if _MISTYPED.fullmatch(text):
                self.refuse(FileProblem(line, Phrase(TEXTS.no_number, {"column": column})))
                return
        person = {**card.person, "resourceName": _RESOURCE}
        read = read_person(person, Source.CONTACTS, self._region)
        if read.unreadable_numbers:
            self._refuse_numbers(card)
            return
        if read.contact is None:
            self.refuse(FileProblem(card.line, TEXTS.nobody))
            return
        if card.id in self._ids:
            self.refuse(FileProblem(card.line, Phrase(TEXTS.same_id, {"line": self._ids[card.id]})))
            return
        if card.id:
            self._ids[card.id] = card.line
        uid = _digest(self._identity(card, read.contact))
        labels = tuple(sorted({self._label(name) for name in map(clean, card.labels) if name}))
        self.contacts.append(replace(read.contact, uid=f"f{uid}", labels=labels))
        self.lines.append(card.line)

    def _identity(self, card: FileCard, contact: Contact) -> tuple[str, ...]:
        """Return the values by which a contact is recognized when the file is read again.

        If the file has an id for the contact, the value is this id.  Otherwise the values are the name, the first
        number, and a counter for contacts with the same name and number.
        """
        if card.id:
            return "id", card.id
        numbers = (phone.number.e164 or phone.number.digits for phone in contact.phones)
        key = "name", (contact.name or contact.organization).casefold(), next(numbers, "")
        count = self._same[key] = self._same.get(key, 0) + 1
        return (*key, str(count))

    def _label(self, name: str) -> str:
        """Return the resource name of the group that stands for a label."""
        resource = f"contactGroups/{_digest((name.casefold(),))}"
        self.labels.setdefault(resource, name)
        return resource

    def _refuse_numbers(self, card: FileCard) -> None:
        for line, column, text in card.numbers:
            if not stored_numbers.read(text, self._region) and not split_field(text).sip_addresses:
                self.refuse(FileProblem(line, Phrase(TEXTS.no_number, {"column": column})))


def _digest(parts: tuple[str, ...]) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=10).hexdigest()


# --- reports ----------------------------------------------------------------------------------------------------------


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
        """Return the first problem and the number of the other problems, in English; empty for a good file."""
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


# --- previews ---------------------------------------------------------------------------------------------------------


class Mark(StrEnum):
    """The result of comparing a contact of a new file with the present file."""

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
    :ivar rows: the first rows: new, changed and gone contacts come before unchanged contacts.
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

    :param before: the reading of the present file, which may have problems.
    :param after: the new file.
    """
    former = {contact.uid: contact for contact in before.contacts}
    found: dict[Mark, list[tuple[Contact, int | None]]] = {mark: [] for mark in Mark}
    for contact, line in zip(after.contacts, after.lines, strict=True):
        known = former.pop(contact.uid, None)
        # Labels are compared without regard to upper and lower case, because phones see no such difference.
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
