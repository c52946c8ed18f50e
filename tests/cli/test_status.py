# SPDX-License-Identifier: MIT
"""``status``."""

from __future__ import annotations

import os

from ldapgw.store import accounts, phones, sync_state
from ldapgw.store.phones import LastSearch
from tests.support.site.command_line import ACME, HEAD, THEN, Gateway, person


def test_a_gateway_that_runs(gateway: Gateway) -> None:
    """One screen, and the same as an object; what a person has to do is at the end."""
    gateway.fill(gateway.connect("alice@acme.example"), person("Jörg Müller", "030 1234567"))
    gateway.connect("bob@acme.example")
    for name in ("desk1", "desk2", "desk3"):
        gateway.run("phones", "add", name)
    with gateway.begin() as connection:
        (bob,) = accounts.find_by_address(connection, "bob@acme.example")
        sync_state.fail(connection, bob, "consent_revoked", THEN, None)
        phones.store_last_searches(connection, {"desk1": LastSearch(THEN, "", THEN)})
        phones.store_last_searches(connection, {"desk2": LastSearch(THEN, "no_such_base", None)})
    with gateway.running():
        os.utime(gateway.state_dir / "ldapgw.pid", (THEN, THEN))
        lines = gateway.run("status").stdout.splitlines()
        told = gateway.json("status")
    assert lines[0] == f"✓ Gateway      running since 2026-01-31 09:30 (process {os.getpid()})"
    assert [line for line in lines if line.startswith(("Acme", "  Acc", "  Pho", "  Con"))] == [
        "Acme GmbH (acme)",
        "  Accounts     1 ok, 1 attention",
        "  Phones       1 working, 1 with settings to fix, 1 waiting",
        "  Contacts     1, last synced 2026-01-31 09:30",
    ]
    needed = lines[lines.index("Needs action:") + 1 :]
    assert [line.split(":")[0] for line in needed] == [
        "! bob@acme.example",
        "! bob@acme.example",
        "! Settings to fix in desk2. See",
    ]
    assert (told["running"], told["process"], told["since"]) == (True, os.getpid(), "2026-01-31T09:30:00Z")
    assert told["tenants"][0]["phones"] == {"working": 1, "problems": 1, "refused": 0, "waiting": 1}
    assert told["tenants"][0]["last_sync"] == "2026-01-31T09:30:00Z"


def test_a_gateway_that_is_stopped(gateway: Gateway) -> None:
    """The database says the rest; that it does not run needs action."""
    gateway.connect("alice@acme.example")
    lines = gateway.run("status").stdout.splitlines()
    assert lines[0] == "✗ Gateway      not running; this is what its database says"
    assert "! The gateway isn't running. Start it with: ldapgw run, or systemctl start ldapgw" in lines
    assert gateway.json("status")["running"] is False


def test_before_the_first_start(gateway: Gateway, tree) -> None:
    """Nothing is created; a tenant without a client is told what to do."""
    gateway.write(HEAD + ACME.replace('client_id = "client"\nclient_secret = "secret"\n', ""))
    before = tree()
    shown = gateway.run("status").stdout
    assert "… Database" in shown
    assert "! acme: no Google client yet" in shown
    assert tree() == before


def test_a_database_that_cannot_be_used(gateway: Gateway) -> None:
    """The screen says so, and so does the exit status."""
    gateway.state_dir.mkdir(mode=0o700)
    (gateway.state_dir / "ldapgw.db").write_bytes(b"this is no database, " * 100)
    result = gateway.run("status")
    assert result.exit_code == 1
    assert "✗ Database " in result.stdout
    assert result.stderr.count("\n") == 1
