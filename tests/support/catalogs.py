# SPDX-License-Identifier: MIT
"""The catalogs of the pages' languages: ``scripts/catalogs`` brings them up to date with the texts and the code.

The catalogs and the template for translators, ``ldapgw.pot``, are kept in the order of their messages and without line
numbers, so that branches which add messages rarely collide.
"""

from __future__ import annotations

import html
import re
import sys
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "ldapgw" / "web" / "locale"
TEMPLATE = LOCALE / "ldapgw.pot"

# Keys of texts/*.toml whose values are for programs; all other strings are messages.
_DATA = {"document", "kind", "sign", "target", "who"}
# Headers that change by themselves, or say nothing.
_CHANGING = tuple(
    f'"{name}:'.encode()
    for name in (
        *("Project-Id-Version", "Report-Msgid-Bugs-To", "POT-Creation-Date", "PO-Revision-Date", "Last-Translator"),
        *("Language-Team", "Generated-By"),
    )
)
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "gettext_noop": None}
_HEADER = "# SPDX-License-Identifier: MIT"


def messages_of(value: object) -> Iterator[str]:
    """The messages in what a TOML file has, in its order."""
    match value:
        case str():
            yield from filter(None, [value])
        case {"message": str(message), "values": dict()}:
            yield message
        case dict():
            for key, inner in value.items():
                yield from messages_of(inner if key not in _DATA else None)
        case list():
            for inner in value:
                yield from messages_of(inner)


def extract_toml(
    file: IO[bytes], _keywords: Collection[str], _comment_tags: Collection[str], options: dict[str, Any]
) -> Iterator[tuple[int, None, str, list[str]]]:
    """Babel's method for the texts of an area."""
    for message in messages_of(tomllib.load(file)):
        yield 1, None, message, []


def extract_vendor(
    file: IO[bytes], keywords: object, comment_tags: object, options: object
) -> Iterator[tuple[int, None, str, list[str]]]:
    """The messages of a vendor's file: its steps, how it trusts, and the labels of fields that are ours."""
    vendor = tomllib.load(file)
    fields = vendor.get("fields" if vendor.get("has_our_labels") else "attribute_fields", ())
    labels = [field["label"] for field in fields]
    for message in filter(None, (*vendor["steps"], vendor.get("trust"), *labels)):
        yield 0, None, message, []


_METHODS = [
    ("web/templates/**.html", "jinja2"),
    ("phones/vendors/*.toml", extract_vendor),
    ("**/texts/*.toml", extract_toml),
    ("**.py", "python"),
]


def extracted() -> Catalog:
    """All messages of the texts, the code and the templates, each with its files."""
    catalog = Catalog(header_comment=_HEADER, fuzzy=False)
    found = extract_from_dir(
        ROOT / "ldapgw",
        method_map=_METHODS,
        options_map={"web/templates/**.html": {"trimmed": "true", "newstyle_gettext": "true"}},
        keywords=_KEYWORDS,
        directory_filter=lambda path: Path(path).name != "sandbox",
    )
    for file, line, message, _comments, _context in found:
        catalog.add(message, locations=[(f"ldapgw/{file}", line)])
    return catalog


def catalog_files() -> list[Path]:
    return sorted(LOCALE.glob("*.po"))


def stored(path: Path) -> Catalog:
    """A catalog as it is."""
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def written(path: Path, wanted: Catalog) -> bytes:
    """A catalog as it should be: all messages that are wanted, translated as far as they are, and no others."""
    known = stored(path)
    fresh = Catalog(locale=path.stem, header_comment=_HEADER, fuzzy=False)
    for message in wanted:
        if message.id:
            translated = known.get(message.id)
            fresh.add(message.id, translated.string if translated else None)
    return _octets(fresh, no_location=True)


def template(wanted: Catalog) -> bytes:
    """The template of a new catalog: all messages that are wanted, each with the files that have it."""
    return _octets(wanted, include_lineno=False)


def _octets(catalog: Catalog, **options: bool) -> bytes:
    octets = BytesIO()
    write_po(octets, catalog, width=120, sort_output=True, **options)
    return b"".join(line for line in octets.getvalue().splitlines(keepends=True) if not line.startswith(_CHANGING))


# A word alone may be the same in both, or part of somebody's name.
_FEWEST_WORDS = 2


@cache
def _pieces(tag: str) -> tuple[str, ...]:
    """Return the words of our English messages, without values and without words that the translation shares."""
    found = set()
    for message in stored(LOCALE / f"{tag}.po"):
        said, there = (
            " ".join(one if isinstance(one, list | tuple) else [one]) for one in (message.id, message.string)
        )
        for piece in re.split(r"%\(\w+\)s", said):
            words = " ".join(piece.split()).strip(" .,:;()…“”")
            if len(words.split()) >= _FEWEST_WORDS and words not in there:
                found.add(words)
    return tuple(sorted(found))


def english_in(text: str, tag: str) -> list[str]:
    """The English sentences, and parts of such, in a text or in HTML of another language."""
    plain = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())
    return [piece for piece in _pieces(tag) if re.search(rf"\b{re.escape(piece)}(?!\w)", plain)]


def main() -> int:
    """Write the template and the catalogs; tells what still wants a translation."""
    wanted = extracted()
    TEMPLATE.write_bytes(template(wanted))
    missing = 0
    for path in catalog_files():
        path.write_bytes(written(path, wanted))
        for message in stored(path):
            if message.id and not all([message.string] if isinstance(message.string, str) else message.string):
                missing += 1
                sys.stdout.write(f"{path.relative_to(ROOT)}: no translation of {message.id!r}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
