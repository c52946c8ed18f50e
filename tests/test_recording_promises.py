# SPDX-License-Identifier: MIT
"""Each sentence that pages, commands and privacy sheets say about recordings has tests that show it."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module

import click
import pytest
from babel.messages.pofile import read_po

from ldapgw.cli import record as record_module
from ldapgw.cli.phones import phones
from tests.cli import test_record
from tests.support.checkout import ROOT

# By place, then by sentence: tests.
PROMISES = tomllib.loads((ROOT / "tests" / "data" / "recording_promises.toml").read_text())

# A message of the pages that is about recordings: a text that names recordings, or says what becomes of the file.
_MESSAGE = re.compile(r"\b[Rr]ecord|^The file (is deleted|contains real names)|restore the file")
# The sentence of a sheet or of another command that is about recordings.
_SENTENCE = re.compile(r"\b[Rr]ecord(ing|ed|s (a|the|them)\b)")


def sentences(text: str) -> Iterator[str]:
    return (one for one in re.split(r"(?<=[.?!]) (?=[A-Z`])", " ".join(text.split())) if " " in one)


def on_pages() -> Iterator[str]:
    """Yield the sentences of all pages: the keys of a catalog without the labels of buttons."""
    with (ROOT / "ldapgw" / "web" / "locale" / "de.po").open("rb") as file:
        texts = [message.id for message in read_po(file) if isinstance(message.id, str)]
    found = (text for text in texts if _MESSAGE.search(text) and text.endswith((".", "?")))
    return (sentence for text in found for sentence in sentences(text))


def in_commands() -> Iterator[str]:
    """Yield the sentences in the help of the commands."""
    options = [one.help for one in record_module.record.params if isinstance(one, click.Option)]
    texts = [record_module.record.help, record_module.replay.help, *options]
    yield from (one for text in texts for one in sentences(text or ""))
    others = [command.help or "" for command in phones.commands.values()]
    yield from (one for text in others for one in sentences(text) if _SENTENCE.search(one))


def in_sheets() -> Iterator[str]:
    """Yield the sentences of the row on recordings, and the sentences elsewhere that name recordings."""
    sheet = (ROOT / "docs" / "privacy.rst").read_text()
    [row] = re.findall(r"\n   \* - (Recordings of .*?)(?=\n   \* - )", sheet, re.DOTALL)
    yield from (one for cell in row.split("\n     - ") for one in sentences(cell))
    others = ((ROOT / name).read_text() for name in ("SECURITY.rst", "docs/employees.rst"))
    for text in (sheet.replace(row, ""), *others):
        blocks = re.split(r"\n\s*(?:\* - |- |\* |\n)", text)
        yield from (one for block in blocks for one in sentences(block) if _SENTENCE.search(one))


SAID = {"pages": on_pages, "commands": in_commands, "privacy sheets": in_sheets}


@pytest.mark.parametrize("place", SAID)
def test_each_sentence_about_recordings_has_its_test(place: str) -> None:
    """Each row of the table is a sentence that is said."""
    assert {*SAID[place]()} == {*PROMISES[place]}


@pytest.mark.parametrize("place", SAID)
def test_each_sentence_about_recordings_names_a_test(place: str) -> None:
    assert [sentence for sentence, tests in PROMISES[place].items() if not tests] == []


@pytest.mark.parametrize(
    "test", sorted({test for promises in PROMISES.values() for tests in promises.values() for test in tests})
)
def test_the_test_of_a_sentence_is_there(test: str) -> None:
    path, _, name = test.partition(".py::")
    assert callable(getattr(import_module(path.replace("/", ".")), name))


def test_each_text_that_the_commands_print_is_in_their_tests() -> None:
    """The tests compare whole outputs; values stand between the constants of a text."""
    calls = (node for node in ast.walk(ast.parse(inspect.getsource(record_module))) if isinstance(node, ast.Call))
    printed = (node for node in calls if getattr(node.func, "id", "") in ("UserError", "hint", "print_line"))
    parts = [str(one.value) for node in printed for one in ast.walk(node) if isinstance(one, ast.Constant)]
    said = inspect.getsource(test_record)
    assert len(parts) > 20
    assert [part for part in parts if part.strip(" :") not in said] == []
