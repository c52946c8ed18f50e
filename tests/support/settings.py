# SPDX-License-Identifier: MIT
"""The sample of the configuration file and the column "Default" of its reference, generated from the table of settings.

``ldapgw/server/config/tables.py`` has the type and the default of each setting, and the reference has what the setting
means.  ``scripts/settings`` writes the defaults into the reference, and the sample with the first sentence of each
meaning; a test compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, get_args, get_type_hints

import msgspec

from ldapgw.server.config import Config
from ldapgw.server.config.tables import (
    BookFile,
    Delegation,
    Google,
    Ldap,
    Serve,
    Sync,
    Table,
    Tenant,
    Tls,
    Web,
    default_text,
    toml_text,
)
from tests.support.checkout import ROOT

# The sections of the reference, in the order of the file.
TABLES: dict[str, type[Table]] = {
    "Top level": Config,
    "``[ldap]``": Ldap,
    "``[tls]``": Tls,
    "``[web]``": Web,
    "``[sync]``": Sync,
    "``[serve]``": Serve,
    "``[google]``": Google,
    "``[[tenant]]``": Tenant,
    "``[[tenant.delegation]]``": Delegation,
    "``[[tenant.file]]``": BookFile,
}
SAMPLE = ROOT / "ldapgw" / "server" / "config" / "ldapgw.toml"
REFERENCE = ROOT / "docs" / "reference" / "configuration.rst"

MARKED = "# set this"
EXAMPLE = "# example"

_HEAD = """\
# The configuration of ldapgw, a commented sample of the whole file.  Copy it to /etc/ldapgw/ldapgw.toml.
#
# Set the keys that are marked "set this".  A key behind a "#" has the default that it shows; a key that is marked
# "example" has no default.  docs/reference/configuration.rst explains every key.
#
# Relative paths are relative to this file.  Durations: "90s", "10m", "2h", "7d".  Sizes: "512B", "64KiB", "1MiB".
# Ports are Twisted server endpoints: "tcp:389" is all IPv4 addresses, "tcp:389:interface=192.0.2.1" one of them,
# "tcp6:389" all IPv6 addresses and, on Linux, all IPv4 addresses too unless "tcp:389" is there as well.
#
# After a change: ldapgw check, then systemctl reload ldapgw, or send SIGHUP to a gateway that you have started by hand.
"""
# The values of the sample that whoever copies it replaces.
_TO_SET: dict[type[Table], dict[str, object]] = {
    Config: {"state_dir": "/var/lib/ldapgw"},
    Web: {"public_url": "https://phonebook.example.com"},
    Tenant: {
        "name": "acme",
        "base_dn": "dc=acme,dc=example",
        "client_secret_file": "client_secret.json",
        "allowed_users": ["@acme.example"],
    },
}
# Values that the sample shows where there is no default, or none that says anything.
_EXAMPLES: dict[type[Table], dict[str, object]] = {
    Config: {"database": "sqlite:////var/lib/ldapgw/ldapgw.db", "database_password_file": "/etc/ldapgw/db.password",
        "encryption_key": "replace-this-example-replace-this-example-r="},
    Ldap: {"listen_tls": ["tcp:636"]},
    Web: {"listen_tls": ["tcp:443"]},
    Tls: {"certificate": "fullchain.pem", "private_key": "privkey.pem", "client_ca": "phones-ca.pem"},
    Google: {"calls_per_minute": 600, "proxy": "http://user:password@proxy:3128", "ca_file": "inspection-ca.pem"},
    Tenant: {"title": "Acme GmbH", "client_id": "123456789012-abc.apps.googleusercontent.com",
        "client_secret": "GOCSPX-abc", "admins": ["admin@acme.example"]},
    Delegation: {"key_file": "service-account.json", "administrator": "admin@acme.example", "users": ["@acme.example"]},
    BookFile: {"name": "extensions", "path": "extensions.csv"},
}  # fmt: skip
# The tables that few gateways have, so the sample has them as comments.
_RARE = (Tls, Delegation, BookFile)


@dataclass(frozen=True, slots=True)
class Row:
    """A setting in the reference.

    :ivar place: where the text of the default is in the document.
    :ivar meaning: the first sentence of the meaning, as plain text.
    """

    key: str
    place: slice
    meaning: str


def settings(table: type[Table]) -> dict[str, msgspec.structs.FieldInfo]:
    """The settings of a table; fields that are tables have sections of their own."""
    hints = get_type_hints(table)
    return {field.name: field for field in msgspec.structs.fields(table) if not _is_table(hints[field.name])}


def _is_table(hint: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, Table) for part in (hint, *get_args(hint)))


def default_cell(field: msgspec.structs.FieldInfo) -> str:
    """The default of a setting in the reference."""
    text = default_text(field)
    return text if text in ("required", "none") else f"``{text}``"


def rows(document: str, title: str) -> list[Row]:
    """The settings in a section of the reference."""
    heading = f"\n{title}\n{'=' * len(title)}\n"
    section = re.compile(rf"{re.escape(heading)}(?:(?!\n====).|\n(?!====))*").search(document)
    assert section is not None, title
    row = re.compile(r"   \* - ``(\w+)``\n     - (.*)\n     - (.+\n(?:       .+\n)*)")
    return [
        Row(found[1], slice(*found.span(2)), plain(re.split(r"(?<=\.)\n", found[3])[0]))
        for found in row.finditer(document, *section.span())
    ]


def plain(text: str) -> str:
    """A sentence of the reference without its markup, in one line."""
    line = " ".join(text.split())
    line = re.sub(r" \(`[^`]*<[^`]*>`__\)", "", line)
    line = re.sub(r"`([^`<]*) <[^`]*>`__", r"\1", line)
    return re.sub(r"``([^`]*)``", r"\1", line)


def written_reference(document: str) -> str:
    """The reference with the defaults of the table of settings."""
    for title, table in TABLES.items():
        fields = settings(table)
        for row in reversed(rows(document, title)):
            document = document[: row.place.start] + default_cell(fields[row.key]) + document[row.place.stop :]
    return document


def written_sample(document: str) -> str:
    """The sample, with the first sentences of the reference."""
    return _HEAD + "".join(f"{line}\n" for title, table in TABLES.items() for line in _section(document, title, table))


def _section(document: str, title: str, table: type[Table]) -> Iterator[str]:
    header = title.strip("`")
    if table is not Config:
        intro = re.search(rf"\n{re.escape(title)}\n=+\n\n(?!\.\.)((?:.|\n)*?\.)\n", document)
        yield ""
        yield from _comment(plain(intro[1])) if intro else ()
        yield f"{f'#{header}':<55} {EXAMPLE}" if table in _RARE else header
    meanings = {row.key: row.meaning for row in rows(document, title)}
    first = "" if table is Config else next(iter(meanings))
    for key, field in settings(table).items():
        if key != first:
            yield ""
        yield from _comment(meanings[key])
        yield _line(table, key, field)


def _line(table: type[Table], key: str, field: msgspec.structs.FieldInfo) -> str:
    for values, start, mark in ((_TO_SET, "", MARKED), (_EXAMPLES, "#", EXAMPLE)):
        if key in values.get(table, {}):
            return f"{f'{start}{key} = {json.dumps(values[table][key])}':<55} {mark}"
    return f"#{key} = {toml_text(field.default)}"


def _comment(text: str) -> list[str]:
    return wrap(text, 118, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def write() -> None:
    document = written_reference(REFERENCE.read_text())
    REFERENCE.write_text(document)
    SAMPLE.write_text(written_sample(document))


if __name__ == "__main__":
    write()
