# SPDX-License-Identifier: MIT
"""The texts that are data: the files of all areas are read, and a file that does not fit its class is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from ldapgw.phrase import Texts, read_texts
from tests.support.checkout import ROOT
from tests.test_layers import modules, name_of

# Tables that say nothing about some members: nothing is to be said about them, or another text says it.
INCOMPLETE = {
    **dict.fromkeys(("access", "named", "phone_hints"), 3),
    **dict.fromkeys(("administrators_advice", "readings", "visibility"), 4),
    "kinds": 6,
}


class Page(Texts, frozen=True):
    """A table of the file below."""

    title: str
    status: int = 200


class Area(Texts, frozen=True):
    """The whole file below."""

    pages: Mapping[str, Page]


def readers() -> dict[str, str]:
    """The module that reads each area."""
    found = {}
    for path in modules():
        for area in re.findall(r'read_texts\("([^"]+)"', path.read_text()):
            assert area not in found
            found[area] = f"ldapgw.{name_of(path)}"
    return found


def tables(texts: Texts) -> Iterator[tuple[str, type[Enum], Mapping[Any, Any]]]:
    """The tables by an enumeration, with their fields, in an area or a part of one."""
    for field, kind in get_type_hints(type(texts)).items():
        value = getattr(texts, field)
        if isinstance(value, Texts):
            yield from tables(value)
        elif get_origin(kind) is Mapping and issubclass(get_args(kind)[0], Enum):
            yield field, get_args(kind)[0], value


def test_every_file_is_read_by_one_module() -> None:
    """A file that nothing reads would be translated in vain."""
    files = {path.relative_to(ROOT / "ldapgw").with_suffix("").as_posix() for path in ROOT.glob("ldapgw/**/texts/*")}
    assert readers().keys() == files


def test_every_member_of_an_enumeration_has_its_text() -> None:
    """The tables that lack members are listed above, with their lengths."""
    areas = [value for name in readers().values() for value in vars(import_module(name)).values()]
    found = [table for texts in areas if isinstance(texts, Texts) for table in tables(texts)]
    assert {field: len(table) for field, kind, table in found if table.keys() != {*kind}} == INCOMPLETE


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[pages.a]\ntitle = "A"\nstatus = 404', ""),
        ("[pages.a]\nstatus = 404", "missing required field `title`"),
        ('[pages.a]\ntitle = "A"\nhint = "B"', "unknown field `hint`"),
        ('[pages.a]\ntitle = "A"\nstatus = "404"', "Expected `int`, got `str`"),
        ('[page.a]\ntitle = "A"', "unknown field `page`"),
    ],
)
def test_a_file_fits_its_class(tmp_path: Path, text: str, complaint: str) -> None:
    """A missing key, an unknown key and a value of another type end the import of the module."""
    (tmp_path / "area.toml").write_text(text)
    if complaint:
        with pytest.raises(msgspec.ValidationError, match=re.escape(complaint)):
            read_texts(str(tmp_path / "area"), Area)
    else:
        assert read_texts(str(tmp_path / "area"), Area) == Area({"a": Page("A", 404)})
