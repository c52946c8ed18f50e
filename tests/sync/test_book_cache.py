# SPDX-License-Identifier: MIT
"""Images: a start reads books that were written down, if they are whole and of the same make; else it builds them."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from io import BytesIO
from pathlib import Path

import pytest

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.book import FILE_FORMAT, build_book, write_book
from ldapgw.directory.index import RecordWriter
from ldapgw.numbers.phone_number import parse
from ldapgw.store.changes import History
from ldapgw.sync import book_cache
from ldapgw.sync.book_cache import BookCache, BuildKey, BuiltBook, cache_name
from tests.support.stage.sync import ALICE, CONTEXT

MADE_OF: BuildKey = (CONTEXT, 1, "0", ALICE, False)


def book(*names: str) -> BuiltBook:
    people = [Contact(f"c{at}", name=name) for at, name in enumerate(names)]
    made = build_book(CONTEXT, "0", ALICE, Sharing.PRIVATE, people, {}, per_number=False)
    return BuiltBook(History("1", "2"), 7, MADE_OF, made)


@pytest.fixture
def folder(tmp_path: Path) -> BookCache:
    return BookCache(tmp_path / "images")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def load(folder: BookCache, made_of: BuildKey = MADE_OF) -> tuple[int, list[str]] | None:
    found = folder.load("1", made_of, CONTEXT, Sharing.PRIVATE)
    if found is None:
        return None
    assert found.history == History("1", "2")
    [segment] = found.book.segments.contacts
    return found.generation, [entry.attribute("cn")[0].decode() for entry in segment]


def test_an_image_is_a_private_file(folder: BookCache, tmp_path: Path) -> None:
    """It replaces the one before; nothing else is left there."""
    folder.save("1", book("Ada"))
    folder.save("1", book("Ada", "Bo"))
    assert load(folder) == (7, ["Ada", "Bo"])
    [file] = (tmp_path / "images").iterdir()
    assert (file.name, file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == ("1.image", 0o600, 0o700)


def test_an_image_of_other_things_does_not_count(
    folder: BookCache, monkeypatch: pytest.MonkeyPatch, caplog_twisted: list[str]
) -> None:
    """Of another account, by other settings, or by other code; there is nothing to say about that."""
    assert load(folder) is None
    folder.save("1", book("Ada"))
    assert load(folder, (CONTEXT, 2, "0", ALICE, False)) is None
    monkeypatch.setattr(book_cache, "FILE_FORMAT", FILE_FORMAT + 1)
    book_cache._code.cache_clear()
    assert load(folder) is None
    book_cache._code.cache_clear()
    assert caplog_twisted == []


def test_the_format_counts_what_makes_a_book() -> None:
    """A change of entries, index or file without a raised ``book.FILE_FORMAT`` changes this digest."""
    number = parse("0176 04069007", "DE")
    assert number is not None
    phones = (Phone(Kind.MOBILE, number),)
    people = [
        Contact("c1", name="Zoë Müller-O'Brien", phones=phones, labels=("contactGroups/friends",), updated=1e9),
        Contact("c2", organization="Größe & Söhne GmbH", phones=phones, emails=("info@soehne.example",)),
        Contact("c3", phones=phones),
    ]
    labels = {"contactGroups/friends": "Friends"}
    built = build_book(CONTEXT, "0", ALICE, Sharing.PRIVATE, people, labels, per_number=True)
    file = BytesIO()
    write_book(built, RecordWriter(file))
    assert (FILE_FORMAT, blake2b(file.getvalue(), digest_size=8).hexdigest()) == (11, "3e9d908677d8cea1")


@pytest.mark.parametrize(("least", "steps"), [(1, ["fsync", "replace"]), (2, ["replace"])], ids=["large", "small"])
def test_a_large_image_is_on_the_disk_before_it_counts(
    folder: BookCache, monkeypatch: pytest.MonkeyPatch, least: int, steps: list[str]
) -> None:
    """After a power cut, a large book is the former one or this one; a small book may be damaged, and is built anew."""
    monkeypatch.setattr("ldapgw.sync.book_cache._MIN_FLUSHED", least)
    real, order = os.fsync, []
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("fsync"), real(file)))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (order.append("replace"), replace(self, to)))
    folder.save("1", book("Ada"))
    assert order == steps


def cut(data: bytes) -> bytes:
    return data[:-1]


def changed(data: bytes) -> bytes:
    return data[:60] + bytes((data[60] ^ 1,)) + data[61:]


@pytest.mark.parametrize(
    "spoil", [cut, changed, lambda data: data + b"x", lambda data: b"", lambda data: b"abc"],
    ids=["cut", "changed", "longer", "empty", "short"],
)  # fmt: skip
def test_a_damaged_image_does_not_count(
    folder: BookCache, tmp_path: Path, json_log: list[dict[str, object]], spoil: Callable[[bytes], bytes]
) -> None:
    """One line says so."""
    folder.save("1", book("Ada"))
    file = tmp_path / "images" / "1.image"
    file.write_bytes(spoil(file.read_bytes()))
    assert load(folder) is None
    message = "the cached book 1 cannot be read, and is rebuilt: the file is damaged"
    kind = "the file is damaged"
    assert json_log == [
        {"event": "cached_book_unreadable", "message": message, "tenant": "acme", "account": 1, "kind": kind}
    ]


def test_a_folder_that_cannot_be_used(tmp_path: Path, caplog_twisted: list[str]) -> None:
    """Books are served without it."""
    (tmp_path / "images").write_text("a file")
    folder = BookCache(tmp_path / "images")
    folder.save("1", book("Ada"))
    assert load(folder) is None
    folder.delete_account(1)
    folder.prune()
    assert [line.partition(": ")[0] for line in caplog_twisted] == [
        "the cached book 1 cannot be written",
        "the cached book 1 cannot be read, and is rebuilt",
        *[f"{tmp_path}/images/1{ending}.image cannot be deleted" for ending in ("", "-directory")],
        f"{tmp_path}/images cannot be read",
    ]


def test_images_of_nobody_are_deleted(folder: BookCache, tmp_path: Path) -> None:
    """With what an interrupted writer has left."""
    folder.prune()
    for name in ("1", "2", cache_name(2, directory=True), "12"):
        folder.save(name, book("Ada"))
    (tmp_path / "images" / "3.new").touch()
    folder.delete_account(2)
    assert names(tmp_path / "images") == ["1.image", "12.image", "3.new"]
    (tmp_path / "images" / "12.new").touch()
    folder.prune([12], unfinished=True)
    assert names(tmp_path / "images") == ["12.image", "12.new"]
    folder.prune([12])
    assert names(tmp_path / "images") == ["12.image"]


def test_an_image_of_another_database_does_not_count(folder: BookCache, tmp_path: Path) -> None:
    """Its generation stands for other contacts there; what is no image at all has neither history nor generation."""
    folder.save("1", book("Ada"))
    for history, is_there in ((History("1", "2"), True), (History("2", "2"), False), (History("1", "3"), False)):
        found = folder.load("1", MADE_OF, CONTEXT, Sharing.PRIVATE, history)
        assert (found is not None) is is_there
    (tmp_path / "images" / "2.image").touch()
    assert list(folder.generations()) == [(1, History("1", "2"), 7)]
