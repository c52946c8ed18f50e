# SPDX-License-Identifier: MIT
"""From SQLite to PostgreSQL by commands, and life there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldapgw.store.engines import database_at
from ldapgw.store.transfer import mark_unfinished
from tests.support.postgresql import needs_postgresql, new_url
from tests.support.site.command_line import ACME, HEAD, Gateway

pytestmark = needs_postgresql

ALICE = "alice@acme.example"


@pytest.fixture
def url() -> str:
    return new_url(template="template0").render_as_string()


def on_server(gateway: Gateway, url: str) -> None:
    gateway.write(f'database = "{url}"\n{HEAD}{ACME}')


def test_there_and_back(gateway: Gateway, url: str, tmp_path: Path) -> None:
    """All commands find there what they found before; the database that was copied is as it was."""
    gateway.connect(ALICE)
    gateway.run("phones", "add", "desk1", "--account", ALICE)
    before = gateway.json("accounts"), gateway.json("phones", "list")
    said = gateway.run("database", "copy", "--to", url)
    assert said.exit_code == 0, said.stderr
    assert "✓ phone: 1\n" in said.stdout
    assert said.stdout.splitlines()[-2].endswith(", and compared each of them.")
    assert (gateway.json("accounts"), gateway.json("phones", "list")) == before
    assert "is in use; name an empty database" in gateway.refused("database", "copy", "--to", url)
    on_server(gateway, url)
    assert (gateway.json("accounts"), gateway.json("phones", "list")) == before
    assert gateway.json("status")["database"]["server"].startswith("postgresql://")
    gateway.run("backup", str(tmp_path / "monday.db"))
    gateway.run("phones", "remove", "desk1", "--yes")
    assert gateway.json("phones", "list") == []
    assert gateway.run("restore", str(tmp_path / "monday.db"), "--yes").exit_code == 0
    assert [phone["name"] for phone in gateway.json("phones", "list")] == ["desk1"]
    back = f"sqlite:///{tmp_path / 'back.db'}"
    assert gateway.run("database", "copy", "--to", back).exit_code == 0
    gateway.write(f'database = "{back}"\n{HEAD}{ACME}')
    assert [phone["name"] for phone in gateway.json("phones", "list")] == ["desk1"]


def test_what_is_not_copied(gateway: Gateway, url: str) -> None:
    """Nothing is begun while a gateway runs, without a database, or onto itself."""
    assert "there is no database yet" in gateway.refused("database", "copy", "--to", url)
    gateway.connect(ALICE)
    itself = f"sqlite:///{gateway.state_dir / 'ldapgw.db'}"
    assert "is the configured database" in gateway.refused("database", "copy", "--to", itself)
    with gateway.running():
        assert "another gateway runs" in gateway.refused("database", "copy", "--to", url)
    on_server(gateway, url)
    assert gateway.json("accounts") == []
    told = gateway.refused("phones", "add", "desk1", "--account", ALICE)
    assert "copy that with ldapgw database copy" in told or "there is no account" in told


def test_a_copy_that_has_not_ended_is_not_used(gateway: Gateway, url: str) -> None:
    """One line says what to do; the copy goes on."""
    gateway.connect(ALICE)
    assert gateway.run("database", "copy", "--to", url).exit_code == 0
    database = database_at(url)
    database.unfinished_copy_of = "x"
    database.run(mark_unfinished)
    database.close()
    on_server(gateway, url)
    assert gateway.refused("accounts").endswith(
        "a copy into it was not finished; run the same ldapgw database copy again\n"
    )
    gateway.write(HEAD + ACME)
    assert gateway.run("database", "copy", "--to", url).exit_code == 0
    on_server(gateway, url)
    assert [account["account"] for account in gateway.json("accounts")] == [ALICE]
