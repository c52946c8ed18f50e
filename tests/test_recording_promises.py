# SPDX-License-Identifier: MIT
"""Each sentence that the page, the commands and the privacy sheet say about recordings has a test that shows it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import import_module

import click
import pytest

from ldapgw.cli.record import record, replay
from ldapgw.web.layout import FLASH_MESSAGES
from ldapgw.web.phone_texts import CONFIRMATIONS
from tests.support.checkout import ROOT

# By place, then by sentence: tests.
PROMISES = tomllib.loads((ROOT / "tests" / "data" / "recording_promises.toml").read_text())


def sentences(text: str) -> Iterator[str]:
    return (sentence for sentence in re.split(r"(?<=[.?!]) (?=[A-Z])", " ".join(text.split())) if sentence)


def said() -> Iterator[tuple[str, str]]:
    """The sentences about recordings, each with its place."""
    templates = ROOT / "ldapgw" / "web" / "templates"
    page = (templates / "phone.html").read_text()
    fold = page[page.index('parts.fold("recording"') :].partition('parts.card("change"')[0]
    texts = [text for text in re.findall(r'_\("([^"]*)"', fold) if " " in text and text.endswith(".")]
    texts += [str(one.sentence) for name, one in FLASH_MESSAGES.items() if name.startswith("recording-")]
    texts += [str(CONFIRMATIONS["record"].title), str(CONFIRMATIONS["record"].consequence)]
    yield from (("page", sentence) for text in texts for sentence in sentences(text))
    [item] = re.findall(r'_\("(If someone records [^"]*)"', (templates / "privacy.html").read_text())
    yield from (("privacy page", sentence) for sentence in sentences(item))
    record_options = [one.help or "" for one in record.params if isinstance(one, click.Option)]
    texts = [record.help or "", *record_options, replay.help or ""]
    yield from (("commands", sentence) for text in texts for sentence in sentences(text))
    sheet = (ROOT / "docs" / "privacy.rst").read_text()
    [row] = re.findall(r"\n   \* - (Recordings of .*?)(?=\n   \* - )", sheet, re.DOTALL)
    yield from (("privacy sheet", sentence) for cell in row.split("\n     - ") for sentence in sentences(cell))


def test_each_sentence_about_recordings_has_its_test() -> None:
    """And each row of the table is a sentence that is said."""
    found: dict[str, set[str]] = {}
    for place, sentence in said():
        found.setdefault(place, set()).add(sentence)
    assert found == {place: {*promises} for place, promises in PROMISES.items()}


@pytest.mark.parametrize(
    "test", sorted({test for promises in PROMISES.values() for tests in promises.values() for test in tests})
)
def test_the_test_of_a_sentence_is_there(test: str) -> None:
    path, _, name = test.partition(".py::")
    assert callable(getattr(import_module(path.replace("/", ".")), name))
