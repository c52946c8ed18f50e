# SPDX-License-Identifier: MIT
"""The list of environment variables: each key of the reference, with what the reference and the messages say."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

from click.testing import CliRunner

from ldapgw.cli import main
from ldapgw.server.config.environment import read_settings
from ldapgw.server.config.load import expected_form
from ldapgw.server.config.tables import BookFile, Config, Delegation, Tenant
from tests.support.settings import REFERENCE, TABLES, rows, settings

# The variables of secrets that name a file.
IN_FILES = {
    "LDAPGW__DATABASE": "LDAPGW__DATABASE_FILE",
    "LDAPGW__ENCRYPTION_KEY": "LDAPGW__ENCRYPTION_KEY_FILE",
    "LDAPGW__GOOGLE__PROXY": "LDAPGW__GOOGLE__PROXY_FILE",
    "LDAPGW__TENANT__NAME__CLIENT_SECRET": "LDAPGW__TENANT__NAME__CLIENT_SECRET__FROM_FILE",
    "LDAPGW__TENANT__NAME__DIAL_URL": "LDAPGW__TENANT__NAME__DIAL_URL_FILE",
}
# The keys of a tenant that are tables: the reference has sections for these keys, and no rows.
TABLE_KEYS = [
    "LDAPGW__TENANT__NAME__DELEGATION: A service account with domain-wide delegation, which reads the contacts of a "
    "company's people without their consents. Value: a list, each item a table. Default: [].",
    "LDAPGW__TENANT__NAME__FILE: A file of contacts that is a book of the tenant, such as the extensions of the "
    "telephone system: CSV, vCard, or the phone book of a FRITZ!Box. Value: a list, each item a table. Default: [].",
]


def listed() -> list[str]:
    result = CliRunner().invoke(main, ["help", "variables"])
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_each_key_of_the_reference_has_a_line() -> None:
    document, expected = REFERENCE.read_text(), []
    for title, table in TABLES.items():
        if table in (Delegation, BookFile):
            continue
        prefix = {Config: "LDAPGW__", Tenant: "LDAPGW__TENANT__NAME__"}.get(table, f"LDAPGW__{title.strip('`[]')}__")
        hints, of_key = get_type_hints(table, include_extras=True), {row.key: row for row in rows(document, title)}
        for key in settings(table):
            if (table, key) != (Tenant, "name"):
                name, default = f"{prefix}{key}".upper(), document[of_key[key].place].strip("`")
                value = f"Value: {expected_form(hints[key])}. Default: {default}."
                in_file = f" {IN_FILES[name]} names a file that contains the value." if name in IN_FILES else ""
                expected.append(f"{name}: {of_key[key].meaning} {value}{in_file}")
    assert listed() == expected + TABLE_KEYS


def test_the_gateway_accepts_each_variable(tmp_path: Path) -> None:
    names = [line.partition(":")[0] for line in listed()]
    assert sorted(setting.name for setting in read_settings(dict.fromkeys(names, "x"))) == sorted(names)
    file = tmp_path / "value"
    file.write_text("x")
    found = read_settings(dict.fromkeys(IN_FILES.values(), str(file)))
    assert {setting.name: (setting.text, setting.is_secret) for setting in found} == dict.fromkeys(
        IN_FILES.values(), ("x", True)
    )
