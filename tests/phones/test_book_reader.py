# SPDX-License-Identifier: MIT
"""Phones and PBXs read books over HTTP, in slices that keep nobody waiting, and get pictures of callers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageChops
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import number_formatter
from ldapgw.directory.filter import Scope
from ldapgw.directory.special_entries import Features
from ldapgw.errors import ResultCode
from ldapgw.ldap.admission import CallerIdLimits
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.book_reader import (
    MAX_NUMBER,
    PICTURE_SIZE,
    BookReader,
    ListLength,
    initials,
    initials_png,
    photo_png,
)
from ldapgw.phones.contact_list import BookChoice, ListedContact, ListQuery
from tests.support import work
from tests.support.phonebook import naming_context
from tests.support.phonebook.entries import phone
from tests.support.phonebook.turns import Turns
from tests.support.phonebook.wire import dit_of
from tests.support.photo import jpeg

DESK1 = Viewer("cn=desk1,ou=phones,dc=acme,dc=example", (Access("acme", ("alice",)),))
COUNT = 100
NAMES = [f"Person {at:03}" for at in range(COUNT)]


def numbered(at: int, name: str, *labels: str) -> Contact:
    numbers = (phone(Kind.MOBILE, f"+49 30 5550{at:03}"),)
    return Contact(f"c{at}", name=name, family_name=f"{at:03}", phones=numbers, labels=labels)


class Reading:
    """The reader has contacts with numbers and a contact without.

    Its clock stands still until the test asks for a result.
    """

    def __init__(
        self,
        *,
        lenient: bool = True,
        names: Sequence[str] = NAMES,
        label_count: int = 0,
        directory: Directory | None = None,
    ) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        context = replace(naming_context(), lenient=lenient)
        labels = {f"g{at}": f"Label {at}" for at in range(label_count)}
        contacts = [
            *(numbered(at, name, *([f"g{at % label_count}"] if labels else [])) for at, name in enumerate(names)),
            Contact("x", name="Nobody", emails=("x@a.example",)),
        ]
        dit = dit_of(contacts, context, labels) if directory is None else Dit((directory,), Features("1"))
        self.logged: list[tuple[int, ResultCode]] = []
        self.messages: list[bytes] = []
        limits = CallerIdLimits(self.clock.seconds, lambda _login, _address: None)
        self.reader = BookReader(
            lambda: dit,
            limits.budget,
            (self._observe,),
            self.clock.seconds,
            self.turns.first_turn_of,
            self.turns.turn_of,
        )

    def _observe(self, search: FinishedSearch) -> None:
        self.logged.append((search.entries, search.code))
        self.messages.append(search.message)

    def names(self, query: ListQuery, viewer: Viewer = DESK1) -> tuple[list[str], ListLength]:
        """Return the names of a list, and its length."""
        listed, length = self.listed(query, viewer)
        return [one.name for one in listed], length

    def numbers(self, query: ListQuery, viewer: Viewer) -> list[tuple[tuple[str, str], ...]]:
        """Return the numbers of each contact of a list."""
        return [one.numbers for one in self.listed(query, viewer)[0]]

    def labels(self, query: ListQuery) -> list[tuple[str, ...]]:
        """Return the labels of each contact of a list."""
        return [one.flags.labels for one in self.listed(query, has_origin=True)[0]]

    def length(self, query: ListQuery) -> ListLength:
        """Return the length of a list whose reader wants the number of all matching contacts."""
        return self.listed(query, counts_all=True)[1]

    def listed(self, query: ListQuery, viewer: Viewer = DESK1, **wanted: Any) -> tuple[list[ListedContact], ListLength]:
        """Return the contacts of a list, and its length."""
        length = ListLength()

        async def read() -> list[ListedContact]:
            reading = self.reader.contacts(viewer, "192.0.2.1", query, length, **wanted)
            return [one async for part in reading for one in part]

        return self.result(read()), length

    def result(self, work: Any) -> Any:
        done: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(done.append)
        self.clock.advance(0)
        return done[0]


@pytest.mark.parametrize(("form", "turns"), [(None, 2), (NumberFormat.DIAL, 7)])
def test_a_long_list_takes_several_turns(form: NumberFormat | None, turns: int) -> None:
    """A list has all contacts with a number, in order. Phones are answered between its parts.

    A list takes more turns if the numbers of its contacts have to be converted.
    """
    viewer = DESK1._replace(number_formatter=number_formatter(form, naming_context()))
    names, length = (reading := Reading()).names(ListQuery(), viewer)
    assert names == NAMES
    assert (length, reading.turns.asked) == (ListLength(COUNT, has_more=False), [DESK1.login] * turns)
    assert reading.logged == [(COUNT, ResultCode.SUCCESS)]


def test_many_labels() -> None:
    """A list with the contacts' labels takes no longer if there are more labels."""

    def read(label_count: int) -> int:
        reading = Reading(label_count=label_count)
        expected = [(f"Label {at % label_count}",) for at in range(COUNT)]
        assert reading.labels(ListQuery()) == expected
        return work.calls(lambda: reading.labels(ListQuery()))

    assert read(COUNT) < 2 * read(2)


@pytest.mark.parametrize(("first", "count"), [(0, 10), (30, 5), (60, 40), (95, 10), (100, 5), (200, 5), (31, 33)])
def test_a_part(first: int, count: int) -> None:
    """A part has the requested contacts of the whole list, and says whether more contacts follow."""
    names, length = Reading().names(ListQuery(first=first, count=count))
    assert names == NAMES[first : first + count]
    assert length.has_more is (first + count < COUNT)


@pytest.mark.parametrize(("first", "count"), [(0, 10), (30, 5), (95, 10), (100, 5)])
def test_the_number_of_all_contacts(first: int, count: int) -> None:
    """Contacts behind the end of a part are counted, but neither read nor returned."""
    reading = Reading()
    assert reading.length(ListQuery(first=first, count=count)) == ListLength(COUNT, has_more=first + count < COUNT)
    assert reading.logged == [(min(count, COUNT - first), ResultCode.SUCCESS)]


def test_the_parts_of_a_list_share_a_count() -> None:
    """Reading a part begins behind the former part, and only the first part counts all contacts."""
    context = naming_context()
    books = tuple(
        build_book(
            context, key, key, sharing, [numbered(at, NAMES[at]) for at in range(first, COUNT, 2)], {}, per_number=False
        )
        for key, sharing, first in (("alice", Sharing.PRIVATE, 0), ("bob", Sharing.SHARED, 1))
    )
    reading, before = Reading(directory=Directory(context, books)), None
    for first in range(0, COUNT + 1, 20):
        reading.turns.asked.clear()
        listed, length = reading.listed(ListQuery(first=first, count=20), counts_all=True, before=before)
        assert [one.name for one in listed] == NAMES[first : first + 20]
        assert length == ListLength(COUNT, has_more=first + 20 < COUNT)
        assert first == 0 or len(reading.turns.asked) <= 3
        before = length.search


def test_a_part_of_a_changed_directory() -> None:
    """The part is counted from the list's beginning, because the former part has changed."""
    part, later = ListQuery(first=10, count=10), Reading(names=["Anna", *NAMES])
    before = Reading().listed(ListQuery(count=10), counts_all=True)[1].search
    listed, length = later.listed(part, counts_all=True, before=before)
    assert ([one.name for one in listed], length.total) == (NAMES[9:19], COUNT + 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pers 007", ["007"]),
        ("01 p", ["010", "011"]),
        ("7377001", ["010", "011"]),
        ("per pers", []),
        ("7370099", ["099"]),
    ],
)
def test_a_list_of_those_whose_name_has_the_words(text: str, found: list[str]) -> None:
    """Beginnings of words find a name in any order, and also as digits on the keys."""
    assert Reading().names(ListQuery(text=text))[0][:2] == [f"Person {number}" for number in found]


@pytest.mark.parametrize(
    ("letter", "found"),
    [("#", ["3M"]), ("a", ["Anna", "Äpfel"]), ("y", ["Yves"]), ("z", ["Żak", "Zoe"]), ("b", [])],
)
def test_a_letter(letter: str, found: list[str]) -> None:
    """A letter lists the names that begin with the letter, also with an accent.

    "#" lists the names that begin with a digit.
    """
    reading = Reading(names=["3M", "Anna", "Äpfel", "Yves", "Żak", "Zoe"])
    assert reading.names(ListQuery(letter=letter))[0] == found


@pytest.mark.parametrize(
    ("book", "found"),
    [
        (BookChoice.ALL, ["Dora", "Gerd", "Olga", "Sven"]),
        (BookChoice.OWN, ["Olga"]),
        (BookChoice.SHARED, ["Dora", "Gerd", "Sven"]),
        (BookChoice.DIRECTORY, ["Dora"]),
    ],
)
def test_the_choice_of_books(book: BookChoice, found: list[str]) -> None:
    """The shared books include a book that is shared with a group of the phone's owner."""
    context = replace(naming_context(), groups={"sales": frozenset(("alice@acme.example",))})
    directory = Directory(
        context,
        tuple(
            build_book(context, key, name, sharing, [numbered(at, person)], {}, per_number=False)
            for at, (key, name, sharing, person) in enumerate(
                (
                    ("alice", "alice@acme.example", Sharing.PRIVATE, "Olga"),
                    ("bob", "bob@acme.example", Sharing.SHARED, "Sven"),
                    ("file:sales", "sales", Sharing("group:sales"), "Gerd"),
                    ("file:service", "service", Sharing("group:service"), "Nobody"),
                    ("petra", "petra@acme.example", Sharing.PRIVATE, "Nobody"),
                    ("carl", "carl@acme.example", Sharing.CALLERS, "Nobody"),
                    (DIRECTORY, DIRECTORY, Sharing.SHARED, "Dora"),
                )
            )
        ),
    )
    assert Reading(directory=directory).names(ListQuery(book=book))[0] == found


@pytest.mark.parametrize("lenient", [True, False])
def test_who_calls(lenient: bool) -> None:
    """A number of any kind finds the caller, also with strict matching."""
    reading = Reading(lenient=lenient)
    found = reading.result(reading.reader.find_caller(DESK1, "192.0.2.1", "+49305550007"))
    assert (found.name, found.number) == ("Person 007", ("+49305550007", "mobile"))
    assert reading.result(reading.reader.find_caller(DESK1, "192.0.2.1", "+49305559999")) is None
    assert [count for count, _ in reading.logged] == [1, 0]
    request = decode(reading.messages[0]).request
    assert (request.base, request.scope, request.size_limit) == ("dc=acme,dc=example", Scope.WHOLE_SUBTREE, 1)


@pytest.mark.parametrize("lenient", [True, False])
def test_numbers_have_the_phones_format(lenient: bool) -> None:
    """Lists and callers have the numbers in the phone's format."""
    reading = Reading(lenient=lenient)
    viewer = DESK1._replace(number_formatter=number_formatter(NumberFormat.DIAL, naming_context(lenient=lenient)))
    found = reading.result(reading.reader.find_caller(viewer, "192.0.2.1", "+49305550007"))
    assert (found.name, found.number, found.text("mobile")) == ("Person 007", ("00305550007", "mobile"), "00305550007")
    assert reading.numbers(ListQuery(first=7, count=1), viewer) == [(("00305550007", "mobile"),)]
    assert reading.numbers(ListQuery(first=7, count=1), DESK1) == [(("+49305550007", "mobile"),)]


@pytest.mark.parametrize(
    ("kinds", "listed"),
    [
        ([Kind.FAX, Kind.HOME, Kind.PAGER], [("+49305550001", "home")]),
        ([Kind.FAX], [("+49305550000", "work")]),
        ([Kind.PAGER], [("+49305550000", "work")]),
    ],
)
def test_faxes_and_pagers(kinds: list[Kind], listed: list[tuple[str, str]]) -> None:
    """The list has a fax or pager only for a contact without any other number."""
    phones = tuple(phone(kind, f"+49 30 555000{at}") for at, kind in enumerate(kinds))
    context = naming_context()
    person = Contact("c1", name="Anna Ahrens", phones=phones)
    book = build_book(context, "alice", "alice@acme.example", Sharing.PRIVATE, [person], {}, per_number=False)
    assert Reading(directory=Directory(context, (book,))).numbers(ListQuery(), DESK1) == [tuple(listed)]


def test_what_cannot_be_found() -> None:
    """The reader finds nothing for a tenant that is not served, and for a text too long for a number."""
    reading = Reading()
    gone = Viewer("cn=x", (Access("gone"),))
    assert reading.result(reading.reader.find_caller(gone, "192.0.2.1", "030")) is None
    assert reading.result(reading.reader.find_caller(DESK1, "192.0.2.1", "0" * (MAX_NUMBER + 1))) is None
    assert reading.names(ListQuery(), gone)[0] == []
    assert reading.names(ListQuery(number="0" * (MAX_NUMBER + 1)))[0] == []
    assert reading.logged == []


def opened(png: bytes) -> Image.Image:
    picture = Image.open(BytesIO(png), formats=("PNG",))
    return picture.convert("RGB")


def test_a_photo_keeps_its_pixels() -> None:
    photo = Image.open(BytesIO(jpeg(size=120))).convert("RGB")
    made = opened(photo_png(jpeg(size=120)))
    assert made.size == (120, 120)
    assert ImageChops.difference(made, photo).getbbox() is None


def test_initials_are_white_on_a_colour_of_the_name() -> None:
    anna, same, berta = map(opened, map(initials_png, ("Anna Berg", "Anna Berg", "Berta Adler")))
    assert anna.size == (PICTURE_SIZE, PICTURE_SIZE)
    assert anna.tobytes() == same.tobytes() != berta.tobytes()
    colours = anna.getcolors(PICTURE_SIZE * PICTURE_SIZE)
    assert colours is not None
    (_, background), (_, letters) = sorted(colours, reverse=True)[:2]
    assert (background, letters) == (anna.getpixel((0, 0)), (255, 255, 255))


def test_initials() -> None:
    names = {
        "Anna Berg": "AB",
        "Dr. Anna Maria von Berg": "DB",
        "anna": "A",
        "Öz Çelik": "OC",
        "Юрий Жуков": "YZ",
        "田中 太郎": "TT",
        "Müller & Söhne (work)": "MW",
        **dict.fromkeys(("+49 30 1234567", "***", ""), "#"),
    }
    assert {name: initials(name) for name in names} == names
