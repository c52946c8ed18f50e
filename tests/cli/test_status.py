# SPDX-License-Identifier: MIT
"""The tests run ``status``, ``gateways`` and ``admin-link``.

Only PostgreSQL has several gateways, which the command lists.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest

from ldapgw.cli.output import local_time
from ldapgw.cli.site import now
from ldapgw.contact import Sharing
from ldapgw.google.delegation import REFUSAL_TEXTS, DelegationRefusal
from ldapgw.store import gateways, phones, provisioning, sign_ins, sync_state, tenants
from ldapgw.store.account_status import timestamp
from ldapgw.store.database import Mode
from ldapgw.store.engines import database_at
from ldapgw.store.gateways import GatewayInfo
from ldapgw.store.phones import LastSearch
from ldapgw.store.provisioning import Mistake, UnfitClient
from ldapgw.store.tenants import DelegatedUser, DelegationSettings, EnteredDelegation
from tests.support.certificates import issue
from tests.support.postgresql import needs_postgresql, new_url
from tests.support.site.command_line import ACME, BETA, HEAD, THEN, Gateway, person


def test_a_gateway_that_runs(gateway: Gateway) -> None:
    """The screen and the object show the same state; the actions for people are at the end."""
    gateway.fill(gateway.connect("alice@acme.example"), person("Jörg Müller", "030 1234567"))
    gateway.connect("bob@acme.example")
    for name in ("desk1", "desk2", "desk3"):
        gateway.run("phones", "add", name)
    gateway.do(sync_state.fail, gateway.account("bob@acme.example"), "consent_revoked", THEN, None)
    searches = {"desk1": LastSearch(THEN, "", THEN), "desk2": LastSearch(THEN, "no_such_base", None)}
    gateway.do(phones.store_last_searches, searches)
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


def test_devices_that_cannot_connect(gateway: Gateway) -> None:
    """Each device of the last day has its address and the advice."""
    gateway.connect("alice@acme.example")
    today = now()
    plain = UnfitClient("192.0.2.17", Mistake.PLAIN_ON_TLS_PORT, today)
    clients = [
        replace(plain, address="192.0.2.18", mistake=Mistake.TLS_ON_PLAIN_PORT),
        plain,
        replace(plain, address="192.0.2.19", at=THEN),
        replace(plain, address="192.0.2.20", mistake=Mistake.UNKNOWN_AUTHORITY),
        replace(plain, address="192.0.2.21", mistake=Mistake.PASSWORD_WITHOUT_TLS),
    ]
    gateway.do(provisioning.add_unfit_clients, clients, THEN)
    with gateway.running():
        lines = gateway.run("status").stdout.splitlines()
        told = gateway.json("status")
    at = local_time(today, now())
    assert lines[lines.index("Devices that can't connect, within a day:") + 1 :] == [
        f"! 192.0.2.17 speaks LDAP without TLS to the port for TLS, last at {at}. Switch LDAPS on in the device, or "
        "enter the port for LDAP without TLS.",
        f"! 192.0.2.18 speaks TLS to the port for LDAP without TLS, last at {at}. Enter the port for LDAPS in the "
        "device.",
        f"! 192.0.2.20 does not know the authority of the gateway's certificate, last at {at}. Load ca.crt into the "
        "device (ldapgw phones settings), and enter the gateway's host name there.",
        f"! 192.0.2.21 sends a password without TLS, which ldap.require_tls refuses, last at {at}. Switch LDAPS or "
        "StartTLS on in the device.",
        "",
        "✓ Nothing else needs action.",
    ]
    assert told["wrong_ports"] == [
        {"address": "192.0.2.17", "speaks_tls": False, "last": timestamp(today)},
        {"address": "192.0.2.18", "speaks_tls": True, "last": timestamp(today)},
    ]
    assert told["unknown_authority"] == [{"address": "192.0.2.20", "last": timestamp(today)}]
    assert told["password_without_tls"] == [{"address": "192.0.2.21", "last": timestamp(today)}]
    assert told["actions"] == []


@pytest.mark.parametrize(
    ("days", "line", "action"),
    [
        (90, "✓ Certificate  valid for 89 days", ""),
        (20, "! Certificate  valid for 19 days", "expires soon"),
        (-1, "✗ Certificate  expired", "has expired"),
        (None, "✗ Certificate  FILE can't be read; see: ldapgw check", ""),
    ],
)
def test_certificates(gateway: Gateway, days: int | None, line: str, action: str) -> None:
    """A certificate that ends within a month needs action."""
    gateway.write(HEAD + '[tls]\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n' + ACME)
    file = gateway.folder / "cert.pem"
    if days is not None:
        issue(days=days).write(gateway.folder)
    lines = gateway.run("status").stdout.splitlines()
    assert line.replace("FILE", str(file)) in lines
    assert [one for one in lines if one.startswith("! The certificate")] == (
        [f"! The certificate {file} {action}. Renew it."] if action else []
    )
    assert (gateway.json("status")["certificate_expires"] is None) is (days is None)


def test_a_workspace(gateway: Gateway) -> None:
    """The line has the number of users and the time of the last read, or the refusal.

    The action names who has to act.
    """
    assert gateway.json("status")["tenants"][0]["workspace"] is None
    settings = DelegationSettings("admin@acme.example", users=("*",))
    users = [DelegatedUser(sub, f"{sub}@acme.example") for sub in ("ann", "ben")]
    read_at = now() - 12.5 * 60

    def shown() -> list[str]:
        return [line for line in gateway.run("status").stdout.splitlines() if "Workspace " in line]

    def told() -> tuple[object, ...]:
        workspace = gateway.json("status")["tenants"][0]["workspace"]
        return workspace["users"], workspace["last_read"], workspace["error"]

    entered = EnteredDelegation("acme", "the key file", settings, THEN)
    gateway.do(tenants.enter_delegation, gateway.secret_box, entered)
    assert (shown(), told()) == (["… Workspace    not read yet"], (0, None, None))
    apply = {"scopes": frozenset(), "sharing": Sharing.PRIVATE, "shared_label": "", "now": read_at}
    gateway.do(tenants.apply_users, "acme", users, {}, (), **apply)
    assert shown() == ["✓ Workspace    reads 2 users, last read 12 minutes ago"]
    assert told() == (2, timestamp(read_at), None)
    gateway.do(tenants.record_workspace_failure, "acme", "short_list", THEN)
    assert shown()[0].startswith("! Workspace    Google's list of users lacks most of the known users.")
    gateway.do(tenants.record_workspace_failure, "acme", DelegationRefusal.BAD_KEY, THEN)
    text = REFUSAL_TEXTS[DelegationRefusal.BAD_KEY]
    assert shown() == [f"! Workspace    {text.what}"]
    assert told() == (2, timestamp(read_at), {"code": "bad_key", "message": text.what, "since": timestamp(THEN)})
    needed = f"acme: {text.what} The administrator of the gateway: {text.todo}"
    assert needed in gateway.json("status")["actions"]


def test_a_gateway_that_is_stopped(gateway: Gateway) -> None:
    """The database has the other values; the stopped gateway needs action."""
    gateway.connect("alice@acme.example")
    lines = gateway.run("status").stdout.splitlines()
    assert lines[0] == "✗ Gateway      not running; this is what its database says"
    assert "! The gateway isn't running. Start it with: ldapgw run, or systemctl start ldapgw" in lines
    assert gateway.json("status")["running"] is False


def test_before_the_first_start(gateway: Gateway, tree) -> None:
    """The command creates nothing, and says what a tenant without a client has to do."""
    gateway.write(HEAD + ACME.replace('client_id = "client"\nclient_secret = "secret"\n', ""))
    before = tree()
    shown = gateway.run("status").stdout
    assert "… Database" in shown
    assert "! acme: no Google client yet" in shown
    assert tree() == before


def test_a_database_that_cannot_be_used(gateway: Gateway) -> None:
    gateway.state_dir.mkdir(mode=0o700)
    (gateway.state_dir / "ldapgw.db").write_bytes(b"this is no database, " * 100)
    result = gateway.run("status")
    assert result.exit_code == 1
    assert "✗ Database " in result.stdout
    assert result.stderr.count("\n") == 1


def test_sqlite_has_one_gateway(gateway: Gateway) -> None:
    gateway.connect("alice@acme.example")
    done = gateway.run("gateways")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "Only one gateway can use a SQLite database; to see its state, run: ldapgw status\n"
    assert gateway.json("gateways") == []


@needs_postgresql
def test_several_on_one_database(gateway: Gateway) -> None:
    """The table lists the gateways that are alive."""
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
    north, south = gateway.json("gateways")
    assert (north["name"], north["alive"], north["roles"]) == ("north.example", True, ["serve", "sync", "web"])
    assert (north["syncs"], north["contacts"], north["accounts"], north["version"]) == (True, 1234, 2, "1.0")
    assert (south["name"], south["roles"], south["syncs"]) == ("south.example", ["serve"], False)
    lines = gateway.run("gateways").stdout.splitlines()
    cells = [line.split() for line in lines[1:]]
    assert [(row[:2], row[-1]) for row in cells] == [(["✓", "north.example"], "✓"), (["✓", "south.example"], "–")]
    assert all(len(line) <= 80 for line in lines)


LINK = re.compile(r"https://phonebook\.example\.com/acme/link\?key=([A-Za-z0-9_-]{43})\n")


def taken(gateway: Gateway, key: str, tenant: str = "acme") -> bool:
    return gateway.do(sign_ins.take_admin_link, key, tenant, now())


def test_the_link_is_all_that_it_prints(gateway: Gateway) -> None:
    """The link works before the gateway's first start; each link is a new one, and works once."""
    links = []
    for _ in range(2):
        result = gateway.run("admin-link", "--tenant", "acme")
        assert result.exit_code == 0, result.output
        assert result.stderr == "Open the link in a browser. The link works once, within an hour.\n"
        links.append(LINK.fullmatch(result.stdout))
    keys = [link[1] for link in links if link]
    assert len(set(keys)) == 2
    assert [taken(gateway, key) for key in (*keys, *keys)] == [True, True, False, False]


def test_a_link_as_json(gateway: Gateway) -> None:
    told = gateway.json("admin-link")
    assert LINK.fullmatch(told["link"] + "\n")
    assert told["tenant"] == "acme"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["expires"])


def test_the_tenant_of_a_link(gateway: Gateway) -> None:
    """The tenant has to exist, and has to be given if there are several; the link works only for this tenant."""
    assert 'there is no tenant "beta"' in gateway.refused("admin-link", "--tenant", "beta")
    gateway.write(HEAD + ACME + BETA)
    assert gateway.run("admin-link").exit_code == 2
    key = gateway.json("admin-link", "--tenant", "beta")["link"].partition("key=")[2]
    assert not taken(gateway, key)
    assert taken(gateway, key, "beta")
