# SPDX-License-Identifier: MIT
"""The tests run ``phones import``."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ldapgw.directory.passwords import verify_password
from ldapgw.store import phones
from tests.support.site.command_line import ACME, HEAD, Gateway

DESKS = "name;account;model;mac;label\ndesk1;Alice@acme.example;yealink;001565AABBCC;Büro von Alice\nhall;;cisco;;\n"


@pytest.fixture
def desks(tmp_path: Path, gateway: Gateway) -> Path:
    gateway.write((HEAD + ACME).replace("tcp:0:", "tcp:389:", 1))
    gateway.connect("alice@acme.example")
    path = tmp_path / "desks.csv"
    path.write_text(DESKS)
    return path


def stored(gateway: Gateway) -> list[tuple[str, int | None, str, str]]:
    return [(one.name, one.account_id, one.model, one.numbers.value) for one in gateway.do(phones.read_all)]


def run(gateway: Gateway, *arguments: str | Path, status: int = 0) -> str:
    result = gateway.run("phones", "import", *map(str, arguments), "--tenant", "acme")
    assert result.exit_code == status, result.output
    return result.stdout + result.stderr


def test_a_zip_of_two_phones(gateway: Gateway, desks: Path, tmp_path: Path) -> None:
    """The phones are stored, and their passwords are in the zip, which nobody else may read."""
    archive = tmp_path / "desks.zip"
    said = run(gateway, desks, "--zip", archive, "--yes")
    assert said.startswith(f"Added 2 phones. The settings and passwords are only in {archive}.\n! hall has no owner")
    assert stored(gateway) == [("desk1", 1, "yealink", "values"), ("hall", None, "cisco", "entries")]
    assert archive.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(archive) as files:
        assert files.namelist() == ["001565aabbcc.cfg", "hall.xml", "sheets.html"]
        text = files.read("001565aabbcc.cfg").decode()
    password = text.partition("ldap.password = ")[2].partition("\n")[0]
    desk1, hall = gateway.do(phones.read_all)
    assert verify_password(password.encode(), desk1.password)
    assert (desk1.mac, hall.mac) == ("001565aabbcc", "")


def test_phones_that_cannot_connect(gateway: Gateway, desks: Path, tmp_path: Path) -> None:
    """The phones know no TLS, and passwords need TLS.

    The command says so first, and at the end says what to do later.
    """
    text = gateway.file.read_text().replace("[web]", '[tls]\ncertificate = "c.pem"\nprivate_key = "k.pem"\n[web]', 1)
    gateway.write(text.replace("[ldap]", "[ldap]\nrequire_tls = true", 1))
    desks.write_text("name,model\n" + "".join(f"desk{at},mitel\n" for at in range(6)))
    for to in ((), ("--zip", tmp_path / "desks.zip", "--yes")):
        assert (
            "! desk0, desk1, desk2, desk3, desk4 and 1 more can't connect: Mitel phones know no encryption; set "
            "ldap.require_tls = false. Change the settings before you add the phones; otherwise each of these phones "
            "needs a new password later.\n"
        ) in (said := run(gateway, desks, *to))
    assert said.endswith(
        "! There are no settings for desk0, desk1, desk2, desk3, desk4 and 1 more. Once these phones can connect, give "
        "each a new password: ldapgw phones reset desk0\n"
    )


def test_a_directory_and_json(gateway: Gateway, desks: Path, tmp_path: Path) -> None:
    """The command does not overwrite an existing file, and then adds no phone."""
    out = tmp_path / "out"
    told = gateway.json("phones", "import", str(desks), "--tenant", "acme", "--out", str(out), "--yes")
    assert told[0] == {
        "line": 2,
        "name": "desk1",
        "label": "Büro von Alice",
        "tenant": "acme",
        "account": "Alice@acme.example",
        "model": "yealink",
        "mac": "00:15:65:aa:bb:cc",
        "placeholder": None,
        "error": None,
    }
    assert sorted(path.name for path in out.iterdir()) == ["001565aabbcc.cfg", "hall.xml", "sheets.html"]
    desks.write_text("name,model\ndesk9,snom\n")
    assert "cannot be created: File exists" in run(gateway, desks, "--out", out, "--yes", status=1)
    assert len(stored(gateway)) == 2
    assert not (out / "desk9.xml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No phone was added yet. To add 2 phones, use --zip FILE or --out DIR."),
        (["--zip", "new.zip"], "This adds 2 phones to acme. To go ahead without a terminal, add --yes."),
        (["--zip", "new.zip", "--out", "new"], "--out and --zip can't be used together; choose one"),
    ],
    ids=["preview", "not confirmed", "both"],
)
def test_nothing_is_added_yet(gateway: Gateway, desks: Path, arguments: list[str], said: str) -> None:
    assert said in run(gateway, desks, *arguments, status=1 if arguments else 0)
    assert stored(gateway) == []


def test_one_bad_line_and_no_phone_is_added(gateway: Gateway, desks: Path, tmp_path: Path) -> None:
    """The table names the line and its error."""
    desks.write_text(DESKS + "desk2;zoe@acme.example;snom;\n")
    said = run(gateway, desks, "--zip", tmp_path / "desks.zip", "--yes", status=1)
    assert "No one has connected with this address." in said
    assert "1 of 3 lines has an error, so no phone is added; fix the file" in said
    assert (stored(gateway), (tmp_path / "desks.zip").exists()) == ([], False)
    desks.write_text("desks\n")
    assert "The first line must name the columns" in run(gateway, desks, status=1)
    gateway.run("phones", "add", "lobby", "--mac", "00:15:65:aa:bb:cc")
    desks.write_text(DESKS)
    assert "001565AABBCC lobby has this MAC address already." in " ".join(run(gateway, desks, status=1).split())
