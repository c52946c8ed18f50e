# SPDX-License-Identifier: MIT
"""``gateways``: what an administrator sees of the gateways on a database."""

from __future__ import annotations

import json

from click.testing import CliRunner

from ldapgw.cli import main
from ldapgw.store import gateways
from ldapgw.store.database import Mode
from ldapgw.store.engines import database_at
from ldapgw.store.gateways import GatewayInfo
from tests.support.postgresql import needs_postgresql, new_url
from tests.support.site.command_line import ACME, HEAD, Gateway


def test_sqlite_has_one_gateway(gateway: Gateway) -> None:
    """Which `status` shows."""
    gateway.connect("alice@acme.example")
    done = gateway.run("gateways")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "Only one gateway can use a SQLite database; ldapgw status shows it.\n"
    assert gateway.json("gateways") == []


@needs_postgresql
def test_several_on_one_database(gateway: Gateway) -> None:
    """Those that live come first."""
    url = new_url()
    gateway.write(f'database = "{url.render_as_string(hide_password=False)}"\n{HEAD}{ACME}')
    assert gateway.run("gateways").stderr == "No gateway has run on this database within a day.\n"
    database = database_at(url)
    for info in (
        GatewayInfo("1", "north.example", "1.0", contacts=1234, accounts=2, is_leader=True),
        GatewayInfo("2", "south.example", "1.1", roles=("serve",)),
    ):
        database.call(Mode.BESIDE, gateways.beat, info)
    database.close()
    north, south = json.loads(CliRunner().invoke(main, ["--config", str(gateway.file), "gateways", "--json"]).stdout)
    assert (north["name"], north["alive"], north["roles"]) == ("north.example", True, ["serve", "sync", "web"])
    assert (north["syncs"], north["contacts"], north["accounts"], north["version"]) == (True, 1234, 2, "1.0")
    assert (south["name"], south["roles"], south["syncs"]) == ("south.example", ["serve"], False)
    lines = gateway.run("gateways").stdout.splitlines()
    cells = [line.split() for line in lines[1:]]
    assert [(row[:2], row[-1]) for row in cells] == [(["✓", "north.example"], "✓"), (["✓", "south.example"], "–")]
    assert all(len(line) <= 80 for line in lines)
