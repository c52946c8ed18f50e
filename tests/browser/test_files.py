# SPDX-License-Identifier: MIT
"""The journey of an administrator who replaces a file of contacts; tests/web has each problem of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.walk import Walk, Way, journeys
from tests.support.site.running import Site, new_site

GOOD = "name;extension\nAnna Schmidt;204\nJörg Müller;205\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("files") / "extensions.csv"
    file.write_text(GOOD)
    return file


@pytest.fixture(scope="module")
def site(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    more = f'[[tenant.file]]\nname = "extensions"\npath = "{file}"\n'
    with new_site(tmp_path_factory.mktemp("site"), more=more) as site, site.running():
        yield site


def send(here: Walk, text: str) -> None:
    """Choose a file with this text, and send the form."""
    here.css("input[type=file]").set_input_files({"name": "new.csv", "mimeType": "text/csv", "buffer": text.encode()})
    here.send("admin/files/extensions")


def replacing(here: Walk, file: Path) -> None:
    """A bad line is named, a good file is shown before it counts, and then it counts."""
    here.administer("acme")
    here.go("admin/files")
    if here.way.size == "wide":
        one_row = "document.querySelector('.top').offsetHeight < 2 * document.querySelector('.user').offsetHeight"
        assert here.page.evaluate(one_row), "the account or the navigation has a row of its own"
    here.stop("files")
    here.follow("/admin/files/extensions")
    here.stop("file-upload")
    here.expected = ("400",)
    send(here, "name;extension\nAnna Schmidt;none\n")
    expect(here.css("#preview li")).to_contain_text("2")
    expect(here.css("#preview table")).to_have_count(0)  # the good lines of a bad file are no change
    here.stop("file-problems")
    new = f"{GOOD}Way {here.way.number};{300 + here.way.number}\n"
    send(here, new)
    expect(here.css("main")).to_contain_text(f"Way {here.way.number}")
    here.stop("file-preview")
    here.send("admin/files/extensions/replace")
    expect(here.css("main > .note.good")).to_have_text(here.say("The file is replaced. Phones find its contacts now."))
    here.stop("file-replaced")
    assert file.read_text("utf-8-sig").split() == new.split()


@journeys(replacing)
def test_replacing(another: Callable[[], Walk], journey: Callable[..., None], way: Way, file: Path) -> None:
    """Each page fits, speaks one language, and has nothing that axe finds."""
    journey(another(), file)
