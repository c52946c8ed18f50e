# SPDX-License-Identifier: MIT
"""The parts of the reference that are written from the code: the settings, the configuration's sample, and the metrics.

``scripts/settings`` writes them from the types, defaults and sentences in ``ldapgw/server/config/tables.py`` and from
``ldapgw/server/metrics.toml``; tests compare.  People write what follows the first sentence of a meaning.
"""

from __future__ import annotations

import re
from textwrap import fill

import msgspec

from ldapgw.server.config.tables import Table, all_tables, table_in
from ldapgw.server.config.written import default_text, meanings, table_header, written_file
from ldapgw.server.metrics import DESCRIPTIONS
from tests.support.checkout import ROOT

SAMPLE = ROOT / "etc" / "ldapgw.toml"
REFERENCE = ROOT / "docs" / "reference" / "configuration.rst"
OPERATIONS = ROOT / "docs" / "reference" / "operations.rst"

MARKED = "# set this"
# A reader who copies the sample replaces the examples of these keys.
TO_SET = {
    "state_dir",
    "web.public_url",
    "tenant.name",
    "tenant.base_dn",
    "tenant.client_secret_file",
    "tenant.allowed_users",
}
_HEAD = """\
# The configuration of ldapgw, a commented sample of the whole file.  Copy it to /etc/ldapgw/ldapgw.toml.
#
# Set the keys that are marked "set this".  A key behind a "#" has the default that it shows; a key that is marked
# "example" has no default.  docs/reference/configuration.rst explains every key.
"""


def settings(table: type[Table]) -> dict[str, msgspec.structs.FieldInfo]:
    """The settings of a table; fields that are tables have sections of their own."""
    return {field.name: field for field in msgspec.structs.fields(table) if not table_in(field.type)}


def titles() -> dict[tuple[str, ...], str]:
    """The titles of the sections of the reference, by the path of the table."""
    return {path: f"``{table_header('.'.join(path))}``" if path else "Top level" for path in all_tables()}


def default_cell(field: msgspec.structs.FieldInfo) -> str:
    """The default of a setting in the reference."""
    text = default_text(field)
    return text if text in ("required", "none") else f"``{text}``"


def written_reference(document: str) -> str:
    """The reference with the defaults and sentences of the tables of settings."""
    for path, title in titles().items():
        section = re.compile(
            rf"(?P<title>\n{re.escape(title)}\n=+\n\n)(?P<sentence>(?:\w.*\n)*?\w.*\.\n)?"
            r"(?P<more>(?:.*\n)*?     - Meaning\n)(?P<rows>(?:   .+\n)*)"
        )
        document = section.sub(lambda found, path=path: _section(found, path), document)
    return document


def _section(found: re.Match[str], path: tuple[str, ...]) -> str:
    table = all_tables()[path]
    row = re.compile(r"   \* - ``(\w+)``\n     - .*\n     - (?:.+\n)*?.*\.\n((?:       .+\n)*)")
    by_hand = dict(row.findall(found["rows"]))
    rows = (
        f"   * - ``{key}``\n     - {default_cell(field)}\n"
        f"{_filled(meanings(table)[key].sentence, '     - ', '       ')}{by_hand.get(key, '')}"
        for key, field in settings(table).items()
    )
    sentence = _filled(meanings(all_tables()[path[:-1]])[path[-1]].sentence) if path else ""
    return f"{found['title']}{sentence}{found['more']}{''.join(rows)}"


def written_operations(document: str) -> str:
    """The page about operations with the names, labels and help texts of all metrics."""
    row = re.compile(r"   \* - ``(ldapgw_\w+)(?:\{.*\})?``\n     - (?:.+\n)*?.*\.\n((?:       .+\n)*)")
    by_hand = dict(row.findall(document))
    rows = ""
    for name, (labels, help_text) in DESCRIPTIONS.items():
        title = f"{name}{{{','.join(labels)}}}" if labels else name
        rows += f"   * - ``{title}``\n{_filled(help_text, '     - ', '       ')}{by_hand.get(name, '')}"
    first, last = re.compile(r"   \* - ``ldapgw_").search(document), document.index("   * - ``process_")
    return document[: first.start() if first else last] + rows + document[last:]


def _filled(sentence: str, first: str = "", other: str = "") -> str:
    return fill(sentence, 120, initial_indent=first, subsequent_indent=other, break_on_hyphens=False) + "\n"


def written_sample() -> str:
    """The sample, whose keys to set have their examples as values."""
    examples = {
        ".".join((*path, key)): meaning.example
        for path, table in all_tables().items()
        for key, meaning in meanings(table).items()
    }
    return written_file(_HEAD, {key: examples[key] for key in TO_SET}, MARKED)


if __name__ == "__main__":
    REFERENCE.write_text(written_reference(REFERENCE.read_text()))
    OPERATIONS.write_text(written_operations(OPERATIONS.read_text()))
    SAMPLE.write_text(written_sample())
