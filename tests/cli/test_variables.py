# SPDX-License-Identifier: MIT
"""The list of environment variables: each key of the reference, with what the reference and the messages say."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

from click.testing import CliRunner

from ldapgw.cli import main
from ldapgw.server.config.environment import read_settings
from ldapgw.server.config.load import expected_form
from ldapgw.server.config.tables import all_tables
from tests.support import rst
from tests.support.settings import REFERENCE, titles

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
    """A line has the first sentence of the key's meaning, the form in messages, and the default of the reference."""
    lines, expected = listed(), []
    for path, table in all_tables().items():
        hints = get_type_hints(table, include_extras=True)
        for key, default, meaning in rst.rows(rst.section(REFERENCE, titles()[path].strip("`"))):
            if len(path) < 2 and (*path, key.text) != ("tenant", "name"):
                name = "__".join(("LDAPGW", *path, key.text)).replace("tenant", "tenant__name").upper()
                sentence = lines[len(expected)].partition(": ")[2].partition(" Value: ")[0]
                assert sentence.endswith(".")
                assert " ".join(meaning.text.split()).startswith(sentence)
                value = f"Value: {expected_form(hints[key.text])}. Default: {default.text}."
                in_file = f" {IN_FILES[name]} names a file that contains the value." if name in IN_FILES else ""
                expected.append(f"{name}: {sentence} {value}{in_file}")
    assert lines == expected + TABLE_KEYS


def test_the_gateway_accepts_each_variable(tmp_path: Path) -> None:
    names = [line.partition(":")[0] for line in listed()]
    assert sorted(setting.name for setting in read_settings(dict.fromkeys(names, "x"))) == sorted(names)
    file = tmp_path / "value"
    file.write_text("x")
    found = read_settings(dict.fromkeys(IN_FILES.values(), str(file)))
    assert {setting.name: (setting.text, setting.is_secret) for setting in found} == dict.fromkeys(
        IN_FILES.values(), ("x", True)
    )
