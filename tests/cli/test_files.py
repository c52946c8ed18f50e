# SPDX-License-Identifier: MIT
"""Commands examine files of contacts, and find their contacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site.command_line import ACME, HEAD, Gateway

FILE = """
[[tenant.file]]
name = "extensions"
path = "extensions.csv"
"""
PROBLEM = "line 4: Column “extension”: expected a telephone number, such as 204 or +49 30 1234567."
TWO = "name,extension,shoe size\nJörg Müller,204,44\nAnna Schmidt,205,38\n"


@pytest.fixture
def file(gateway: Gateway) -> Path:
    gateway.write(HEAD + ACME + FILE)
    file = gateway.folder / "extensions.csv"
    file.write_text(TWO)
    return file


def names(gateway: Gateway, *arguments: str) -> list[str]:
    return [one["name"] for one in gateway.json("lookup", *arguments)]


def about_file(gateway: Gateway, command: str) -> list[str]:
    """Return the lines of a command that are about the file, with paths relative to the test's folder."""
    result = gateway.run(command)
    lines = (line.replace(f"{gateway.folder}/", "") for line in result.stdout.splitlines())
    return [line for line in lines if "extensions" in line]


def test_check_reads_the_file(gateway: Gateway, file: Path) -> None:
    """The command counts the contacts and names the ignored columns."""
    assert about_file(gateway, "check") == [
        "✓ tenant acme: file extensions = extensions.csv: 2 contacts; ignored columns: shoe size"
    ]
    file.write_text("name,extension\nAnna,205\n")
    assert about_file(gateway, "check") == ["✓ tenant acme: file extensions = extensions.csv: 1 contact"]


def test_check_names_bad_lines(gateway: Gateway, file: Path) -> None:
    """The command names the first twenty bad lines, and counts further bad lines."""
    file.write_text(TWO + "Zoë,none,\n" * 21)
    result = gateway.run("check")
    assert result.exit_code == 1
    lines = about_file(gateway, "check")
    place = "✗ ldapgw.toml: tenant acme: file extensions = extensions.csv"
    assert lines[0] == f"{place}: {PROBLEM}"
    assert (len(lines), lines[-1]) == (21, f"{place}: 1 more line has a problem")
    file.unlink()
    assert about_file(gateway, "check") == [f"{place}: The file can’t be read: No such file or directory."]


def test_check_knows_the_file_in_the_order_of_books(gateway: Gateway, file: Path) -> None:
    gateway.write(HEAD + ACME + 'book_order = ["extensions", "own"]\n' + FILE)
    gateway.connect("alice@acme.example")
    assert "there is no connected account" not in gateway.run("check").stdout


def test_status(gateway: Gateway, file: Path) -> None:
    """Each file is a line, and a file with a problem needs action."""
    gateway.connect("alice@acme.example")
    assert about_file(gateway, "status") == ["✓ File         extensions: 2 contacts"]
    [told] = gateway.json("status")["tenants"][0]["files"]
    assert told == {
        "name": "extensions",
        "path": str(file),
        "sharing": "shared",
        "contacts": 2,
        "problems": [],
        "error": None,
    }
    file.write_text(TWO + "Zoë,none,\n" * 2)
    assert about_file(gateway, "status") == [
        "! File         extensions: has a problem",
        f"! acme: fix the file extensions.csv: {PROBLEM} (1 more problem) Until then, phones find the last good "
        "contacts of this file.",
    ]
    told = gateway.json("status")
    assert told["tenants"][0]["files"][0]["problems"][0] == {"line": 4, "message": PROBLEM.partition(": ")[2]}
    assert any("fix the file" in action for action in told["actions"])


@pytest.mark.parametrize(
    ("sharing", "by_name", "by_number"),
    [("shared", ["Anna Schmidt"], ["Anna Schmidt"]), ("callers", [], ["Anna Schmidt"]), ("group:sales", [], [])],
)
def test_lookup_explain_and_rights(
    gateway: Gateway, file: Path, sharing: str, by_name: list[str], by_number: list[str]
) -> None:
    """A phone finds the contacts that the sharing allows; a phone of the group finds all contacts in each case."""
    group = '\n[[tenant.group]]\nname = "sales"\naccounts = ["alice@acme.example"]\n'
    gateway.write(HEAD + ACME + group + FILE + f'sharing = "{sharing}"\n')
    for name in ("alice", "bob"):
        gateway.connect(f"{name}@acme.example")
        gateway.run("phones", "add", name, "--account", f"{name}@acme.example")
    assert names(gateway, "anna", "--phone", "bob") == by_name
    assert names(gateway, "205", "--phone", "bob") == by_number
    assert names(gateway, "205") == by_number
    assert names(gateway, "205", "--phone", "alice") == ["Anna Schmidt"]
    told = gateway.json("explain", "205", "--phone", "bob")
    assert told["found"] == len(by_number)
    seen = {book["name"]: book["seen"] for book in told["books"]}
    assert seen.get("extensions") == {"shared": "shared", "callers": "callers", "group:sales": None}[sharing]


def test_nothing_found(gateway: Gateway, file: Path) -> None:
    """The command says how to learn the reason."""
    gateway.connect("alice@acme.example")
    result = gateway.run("lookup", "nobody")
    assert "Nothing found. To see why" in result.stderr


def test_export(gateway: Gateway, file: Path) -> None:
    """Each format has the file's contacts with the other books; the export of one account leaves the file out."""
    gateway.connect("alice@acme.example")
    ldif = gateway.run("export", "--format", "ldif").stdout
    assert "dn: ou=extensions,dc=acme,dc=example" in ldif
    assert ldif.count("telephoneNumber: 20") == 2
    written = gateway.run("export", "--format", "csv").stdout
    assert [line.split(",")[0:3:2] for line in written.splitlines()][1:] == [
        ["extensions", "Anna Schmidt"],
        ["extensions", "Jörg Müller"],
    ]
    assert "Schmidt" not in gateway.run("export", "--format", "csv", "--account", "alice@acme.example").stdout
    file.write_text("broken")
    assert "Schmidt" not in gateway.run("export", "--format", "vcard").stdout
