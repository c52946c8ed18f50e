# SPDX-License-Identifier: MIT
"""The reading of a whole file: its contacts, or all its problems.

A file that has a problem is not used at all, because nobody would notice that one of its contacts is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from ldapgw.contact import Contact, Source
from ldapgw.files.card import TEXTS, FileCard, FileProblem
from ldapgw.files.csv_file import CsvFile
from ldapgw.files.fritzbox import read_phone_book
from ldapgw.files.spreadsheet import decode
from ldapgw.files.vcard import read_vcards
from ldapgw.google.person import read_person
from ldapgw.google.person_text import clean
from ldapgw.numbers import stored_numbers
from ldapgw.numbers.sip_addresses import split_field
from ldapgw.phrase import Phrase, Translatable

# The version of the rules by which files are read.  Raise the version with each change of the results.
VERSION: Final = 2

# The most octets of a file, in MiB; a file of a million contacts is smaller.
MOST_MIB: Final = 128
# The most problems that are kept; one mistake, such as a wrong delimiter, spoils every line.
MOST_PROBLEMS: Final = 100

_RESOURCE: Final = "people/file"
# A number in which letters stand for the digits 0 and 1.  By Google's rules, only the digits in front would be read.
_MISTYPED: Final = re.compile("(?=.*[0-9])(?=.*[OoIl])[0-9OoIl+()/ .-]+")


@dataclass(frozen=True, slots=True, repr=False)
class FileReading:
    """The result of reading a file.

    :ivar contacts: the contacts in the order of the file, also if there are problems.
    :ivar lines: the number of the line at which each contact begins.
    :ivar labels: the names of the labels; the keys are the labels of the contacts (`Contact.labels`).
    :ivar problems: the first `MOST_PROBLEMS` problems.
    :ivar problem_count: the number of all problems; the file may be used if there are none.
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
        """Return the reading of a file that cannot be read at all."""
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
        """Return what makes a contact the same contact when the file is read again.

        This is the contact's own id if the file has ids.  Otherwise it is the name with the first number, and a counter
        if several contacts have both in common.
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
