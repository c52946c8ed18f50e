# SPDX-License-Identifier: MIT
"""Reading the project's documents: their tables, their commands, their links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree

from tests.support.checkout import ROOT


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: its words, and those of them that are code."""

    text: str
    literals: tuple[str, ...]


def documents() -> list[Path]:
    """All documents of the project."""
    return sorted([*ROOT.glob("*.rst"), *(ROOT / "changes").glob("*.rst"), *(ROOT / "docs").rglob("*.rst")])


def with_passage(document: str, begin: str, passage: str, end: str) -> str:
    """A document with another passage between the lines that begin and end the passage."""
    before, _, rest = document.partition(begin)
    _, _, behind = rest.partition(end)
    return f"{before}{begin}\n\n{passage}\n{end}{behind}"


def read(path: Path) -> nodes.document:
    """A parsed document."""
    return _parsed(path)[0]


def problems(path: Path) -> list[str]:
    """Return docutils' messages about a document, with the mildest ones."""
    return _parsed(path)[1].splitlines()


def section(path: Path, title: str) -> nodes.section:
    """A section by its title."""
    found = [one for one in read(path).findall(nodes.section) if one[0].astext() == title]
    assert len(found) == 1, f"{path.name}: {len(found)} sections {title}"
    return found[0]


def titles(path: Path) -> list[str]:
    """The titles of all sections."""
    return [one[0].astext() for one in read(path).findall(nodes.section)]


def rows(part: nodes.Element) -> list[tuple[Cell, ...]]:
    """The rows of the tables right in a section, headers left out."""
    return [row for table in part.children if isinstance(table, nodes.table) for row in _rows(table)]


def table(path: Path, title: str) -> list[tuple[Cell, ...]]:
    """The rows of the table with a title, header left out."""
    found = [one for one in read(path).findall(nodes.table) if one[0].astext() == title]
    assert len(found) == 1, f"{path.name}: {len(found)} tables {title}"
    return _rows(found[0])


def literal_blocks(part: nodes.Element) -> list[str]:
    """The blocks of code in a part."""
    return [block.astext() for block in part.findall(nodes.literal_block)]


def code(part: nodes.Element) -> list[str]:
    """The pieces of code in a part's sentences."""
    return [literal.astext() for literal in part.findall(nodes.literal)]


def shell_lines(part: nodes.Element) -> Iterator[str]:
    """The lines of all blocks of code; those that go on with a backslash are one."""
    for block in literal_blocks(part):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip())


def local_links(path: Path) -> list[Path]:
    """The files that a document's links lead to."""
    found = (one["refuri"] for one in read(path).findall(nodes.reference) if "refuri" in one)
    return [path.parent / uri.partition("#")[0] for uri in found if "://" not in uri and not uri.startswith("mailto:")]


def pictures(path: Path) -> list[Path]:
    """The files of a document's pictures."""
    return [(path.parent / one["uri"]).resolve() for one in read(path).findall(nodes.image) if "://" not in one["uri"]]


@cache
def _parsed(path: Path) -> tuple[nodes.document, str]:
    said = StringIO()
    settings = {
        "report_level": 1,
        "halt_level": 5,
        "warning_stream": said,
        "file_insertion_enabled": False,
        "syntax_highlight": "none",
    }
    document = publish_doctree(path.read_text(), source_path=str(path), settings_overrides=settings)
    return document, said.getvalue()


def _rows(table: nodes.table) -> list[tuple[Cell, ...]]:
    return [
        tuple(_cell(entry) for entry in row.findall(nodes.entry))
        for body in table.findall(nodes.tbody)
        for row in body.findall(nodes.row)
    ]


def _cell(entry: nodes.entry) -> Cell:
    return Cell(entry.astext(), tuple(code(entry)))
