# SPDX-License-Identifier: MIT
"""The tests run ``accounts`` and ``share``."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from ldapgw.cli import output
from ldapgw.contact import Flaw, Sharing, Source
from ldapgw.store import accounts, activity, contacts, sync_state, tenants
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.tenants import DelegatedUser
from tests.support.certificates import issue
from tests.support.kill import Killed
from tests.support.site.command_line import ACME, BETA, HEAD, THEN, Gateway, person

STALE = "No sync has succeeded since 2026-01-31 09:30 UTC. Phones still have the contacts from then."


def test_accounts_are_the_objects_of_status_json(gateway: Gateway) -> None:
    """``accounts --json`` prints the contract's account objects in a list."""
    gateway.fill(gateway.connect("alice@acme.example"), person("Jörg Müller", "030 1234567"))
    assert gateway.json("accounts") == [
        {
            "account": "alice@acme.example",
            "tenant": "acme",
            "state": "ok",
            "sharing": "private",
            "shared_label": "",
            "delegated": False,
            "contacts": 1,
            "numbers": 1,
            "last_sync": "2026-01-31T09:30:00Z",
            "next_sync": "2026-01-31T09:40:00Z",
            "error": None,
            "warnings": [{"code": "stale", "message": STALE}],
            "skipped": {},
            "sources": {"contacts": "off", "other_contacts": "off", "directory": "off"},
        }
    ]


def test_accounts_are_a_table_for_people(gateway: Gateway) -> None:
    """Each account is a row, and each trouble is a line that says what to do."""
    alice = gateway.connect("alice@acme.example")
    gateway.fill(alice, person("Jörg Müller", "030 1234567"))
    left_out = [
        ContactRecord.from_contact("c1", "1", None, "empty"),
        ContactRecord.from_contact("c2", "2", None, "empty", flaws=[Flaw.VALUES]),
    ]
    gateway.do(contacts.apply_changes, alice, Source.CONTACTS, left_out, ())
    gateway.connect("bob@acme.example", sharing=Sharing.SHARED)
    gateway.do(sync_state.fail, gateway.account("bob@acme.example"), "consent_revoked", THEN, None)
    shown = gateway.run("accounts").stdout.splitlines()
    assert [" ".join(line.split()) for line in shown[1:3]] == [
        "✓ alice@acme.example ok private 1 2026-01-31 09:30",
        "! bob@acme.example attention shared 0 –",
    ]
    assert shown[3:] == [
        f"! alice@acme.example: {STALE}",
        "  alice@acme.example: skipped: 2 empty",
        "  alice@acme.example: contacts to correct in Google Contacts (see the account's page): 1",
        "! bob@acme.example: Google no longer accepts the access that bob@acme.example granted on 2026-01-31 "
        "09:30 UTC. Reconnect on https://phonebook.example.com/acme/. Until then, the contacts stay as they "
        "are. (since 2026-01-31 09:30)",
        "! bob@acme.example: No sync has succeeded yet since the account was connected on 2026-01-31 09:30 UTC.",
    ]


def test_what_is_wrong_with_a_client_is_told_once(gateway: Gateway) -> None:
    """The trouble of a client is one line for its tenant; an owner's own trouble has a line of its own."""
    gateway.write(HEAD + ACME + BETA)
    for address, tenant in (("alice@acme.example", "acme"), ("bob@acme.example", "acme"), ("bo@beta.example", "beta")):
        gateway.fill(gateway.connect(address, tenant))
    gateway.do(tenants.raise_alarm, "acme", "api_disabled", THEN, "https://console.example/x")
    gateway.do(sync_state.fail, gateway.account("bob@acme.example"), "scope_missing", THEN, None)
    shown = gateway.run("accounts").stdout.splitlines()
    assert [line.split()[3] for line in shown[1:4]] == ["attention", "attention", "ok"]
    (alice, bob, _) = gateway.json("accounts")
    assert (alice["error"]["code"], alice["warnings"][:-1]) == ("api_disabled", [])
    assert (bob["error"]["code"], bob["warnings"][0]["code"]) == ("scope_missing", "api_disabled")
    told = [line for line in shown if "People API" in line or "checkbox" in line]
    assert told == [
        (
            "! tenant acme: Google’s People API is turned off, so contacts can’t update. The administrator has to turn "
            "on the API at https://console.example/x. (since 2026-01-31 09:30)"
        ),
        (
            "! bob@acme.example: The checkbox for contacts wasn’t checked on Google’s page. Reconnect bob@acme.example "
            "on https://phonebook.example.com/acme/ and check “See and download your contacts”. (since "
            "2026-01-31 09:30)"
        ),
    ]


def test_an_address_cannot_steer_the_terminal(gateway: Gateway) -> None:
    """Control characters are shown as U+FFFD, and rich's markup is shown as text."""
    gateway.connect("[red]a\x1b[2J\x9b\u202e@acme.example")
    assert "[red]a\ufffd[2J\ufffd\ufffd@acme.example" in gateway.run("accounts").stdout


def test_a_certificate_that_ends_is_a_warning(gateway: Gateway) -> None:
    """The warning is the warning of ``status.json``; only ``check`` tells of a missing certificate."""
    gateway.connect("alice@acme.example")
    certificate, key = issue(days=20).write(gateway.folder)
    gateway.write(HEAD + f'[tls]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n' + ACME)
    assert "certificate_expiry" in [one["code"] for one in gateway.json("accounts")[0]["warnings"]]
    issue(days=90).write(gateway.folder)
    assert "certificate_expiry" not in [one["code"] for one in gateway.json("accounts")[0]["warnings"]]
    certificate.unlink()
    assert "certificate_expiry" not in [one["code"] for one in gateway.json("accounts")[0]["warnings"]]


def test_lists_of_one_tenant(gateway: Gateway) -> None:
    """``--tenant`` leaves other tenants out.

    An account whose tenant is gone is listed, because its tokens are still stored.
    """
    gateway.write(HEAD + ACME + BETA)
    for address, tenant in (("alice@acme.example", "acme"), ("bob@beta.example", "beta"), ("eve@old.example", "old")):
        gateway.connect(address, tenant)
    for tenant in ("acme", "beta"):
        gateway.run("phones", "add", f"{tenant}1", "--tenant", tenant)
    assert [one["account"] for one in gateway.json("accounts", "--tenant", "beta")] == ["bob@beta.example"]
    assert [one["tenant"] for one in gateway.json("accounts")] == ["acme", "beta", "old"]
    assert [one["name"] for one in gateway.json("phones", "list", "--tenant", "beta")] == ["beta1"]


@pytest.mark.parametrize("command", ["accounts", "phones list"])
def test_reading_creates_nothing(gateway: Gateway, tree, command: str) -> None:
    """Before the gateway's first start the list is empty, and no file is created."""
    before = tree()
    assert gateway.json(*command.split()) == []
    result = gateway.run(*command.split())
    assert (result.exit_code, result.stdout) == (0, "")
    assert "yet" in result.stderr
    assert tree() == before


def test_share(gateway: Gateway) -> None:
    """The address may have any case; a word that is no sharing is wrong usage."""
    gateway.connect("Alice@acme.example")
    result = gateway.run("share", "ALICE@acme.example", "callers")
    assert result.stdout.startswith("Alice@acme.example is now callers: ")
    assert gateway.json("accounts")[0]["sharing"] == "callers"
    result = gateway.run("share", "alice@acme.example", "public")
    assert result.exit_code == 2
    assert "'public' is not one of private, callers, shared, group:NAME" in result.stderr


def test_an_address_in_two_tenants_needs_the_tenant(gateway: Gateway) -> None:
    """The command asks for the tenant, and then changes only this tenant's account."""
    gateway.write(HEAD + ACME + BETA)
    gateway.connect("alice@acme.example", "acme")
    gateway.connect("alice@acme.example", "beta")
    assert gateway.refused("share", "alice@acme.example", "shared") == (
        "alice@acme.example is an account of acme and beta; choose a tenant with --tenant\n"
    )
    assert gateway.run("share", "alice@acme.example", "shared", "--tenant", "beta").exit_code == 0
    assert [one["sharing"] for one in gateway.json("accounts")] == ["private", "shared"]


@pytest.mark.parametrize(("disconnected", "shared"), [("1", "2"), ("2", "1"), ("", "2")])
def test_an_address_that_google_gave_to_another_user(gateway: Gateway, disconnected: str, shared: str) -> None:
    """If a tenant has two accounts with one address, the command changes the connected account, or else the newest."""
    ids = {sub: gateway.connect("alice@acme.example", sub=sub) for sub in ("1", "2")}
    if disconnected:
        gateway.do(accounts.disconnect, ids[disconnected])
    assert gateway.run("share", "alice@acme.example", "shared").exit_code == 0
    assert [one.sub for one in gateway.do(accounts.read_all) if one.sharing is Sharing.SHARED] == [shared]


def test_share_with_a_group(gateway: Gateway) -> None:
    """The group has to be a group of the account's tenant; the list of accounts names the group."""
    gateway.write(HEAD + ACME + 'group = [{ name = "sales", accounts = ["bob@acme.example"] }]\n')
    gateway.connect("alice@acme.example")
    assert gateway.run("share", "alice@acme.example", "group:sales").stdout == (
        "alice@acme.example is now group:sales: its own phones and those of the group sales find its contacts.\n"
    )
    assert [one["sharing"] for one in gateway.json("accounts")] == ["group:sales"]
    assert 'tenant "acme" has no group "staff"; there are: sales' in gateway.refused(
        "share", "alice@acme.example", "group:staff"
    )
    gateway.write(HEAD + ACME)
    assert 'tenant "acme" has no group "sales"; it has none; add a [[tenant.group]]' in gateway.refused(
        "share", "alice@acme.example", "group:sales"
    )


def test_share_a_label(gateway: Gateway) -> None:
    """Only contacts with the label are shared, whatever the case of the label, until somebody shares all contacts."""
    account_id = gateway.connect("alice@acme.example")
    command = ("share", "alice@acme.example", "callers", "--label", "customers")
    assert gateway.refused(*command) == 'alice@acme.example has no label "customers" in Google Contacts; it has none\n'
    gateway.do(contacts.set_labels, account_id, {"contactGroups/1": "Customers"})
    assert gateway.run(*command).stdout == (
        "alice@acme.example is now callers: others' phones show the names of callers from its contacts, and nothing "
        "else (only those with the label customers).\n"
    )
    assert [(one["sharing"], one["shared_label"]) for one in gateway.json("accounts")] == [("callers", "customers")]
    assert "callers (label customers)" in gateway.run("accounts").stdout
    assert "there are: Customers" in gateway.refused("share", "alice@acme.example", "shared", "--label", "VIP")
    for options in (["--label", "customers"], ["--all-contacts"]):
        assert "leave out --label" in gateway.refused("share", "alice@acme.example", "private", *options)
    expected = [
        (["private"], ("private", "")),
        (["shared"], ("shared", "customers")),
        (["callers"], ("callers", "customers")),
        (["shared", "--all-contacts"], ("shared", "")),
        (["callers"], ("callers", "")),
    ]
    for arguments, shared in expected:
        assert gateway.run("share", "alice@acme.example", *arguments).exit_code == 0
        assert [(one["sharing"], one["shared_label"]) for one in gateway.json("accounts")] == [shared]
    assert gateway.run("share", "alice@acme.example", "shared", "--all-contacts", "--label", "x").exit_code == 2


def test_share_with_the_label_of_the_tenant(gateway: Gateway) -> None:
    """A private book without a label of its own first shares the tenant's label."""
    gateway.write(HEAD + ACME + 'shared_label = "Business"\n')
    gateway.connect("alice@acme.example")
    assert "(only those with the label Business)" in gateway.run("share", "alice@acme.example", "shared").stdout
    assert [(one["sharing"], one["shared_label"]) for one in gateway.json("accounts")] == [("shared", "Business")]
    assert gateway.run("share", "alice@acme.example", "shared", "--all-contacts").exit_code == 0
    assert gateway.run("share", "alice@acme.example", "callers").exit_code == 0
    assert [(one["sharing"], one["shared_label"]) for one in gateway.json("accounts")] == [("callers", "")]


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The database on this disk can be read, and takes nothing more."""

    def full(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "user_version" in statement:
            raise OperationalError(statement, {}, sqlite3.OperationalError("database or disk is full"))

    event.listen(Engine, "before_cursor_execute", full)
    yield
    event.remove(Engine, "before_cursor_execute", full)


@pytest.mark.usefixtures("full_disk")
def test_a_database_that_takes_nothing_is_told_once(gateway: Gateway) -> None:
    """One line says what is wrong for all accounts, and each account needs attention."""
    for name in ("alice", "bob"):
        gateway.connect(f"{name}@acme.example")
    _, alice, bob, trouble = gateway.run("accounts").stdout.splitlines()
    assert [" ".join(line.split()[:4]) for line in (alice, bob)] == [
        "! alice@acme.example attention private",
        "! bob@acme.example attention private",
    ]
    assert trouble == f"! database: {gateway.state_dir / 'ldapgw.db'}: cannot be used: database or disk is full"
    found = gateway.json("accounts")
    assert [(one["state"], one["error"]["code"]) for one in found] == [("attention", "internal")] * 2


@pytest.mark.parametrize("with_phones", [False, True])
def test_remove(gateway: Gateway, with_phones: bool) -> None:
    """The stored data of the account is gone; its phones go too, or belong to nobody.

    A phone with another owner stays with that owner.
    """
    for name in ("alice", "bob"):
        gateway.connect(f"{name}@acme.example")
    gateway.do(accounts.disconnect, 1)
    gateway.run("phones", "add", "desk1", "--account", "alice@acme.example")
    gateway.run("phones", "add", "pair", "--account", "alice@acme.example", "--account", "bob@acme.example")
    options = ["--with-phones"] if with_phones else []
    done = gateway.run("accounts", "remove", "Alice@acme.example", "--yes", *options)
    ending = " and 1 phone." if with_phones else ". The phones desk1 belong to nobody now."
    ending += " The phones pair stay with their other owners.\n"
    assert (done.exit_code, done.stdout) == (0, f"Removed alice@acme.example{ending}")
    assert "Give these phones new passwords" in done.stderr
    assert [one["account"] for one in gateway.json("accounts")] == ["bob@acme.example"]
    nobodys = [] if with_phones else [None]
    assert [one["account"] for one in gateway.json("phones", "list")] == [*nobodys, "bob@acme.example"]
    log = [(one.act, one.subject) for one in gateway.do(activity.read_since, "acme", 0.0)]
    removed = [("phone_removed", "desk1")] if with_phones else []
    assert log[2:] == [("account_removed", "alice@acme.example"), *removed]


def test_remove_without_a_revocation(gateway: Gateway) -> None:
    """The command names the phones that need new passwords before the trouble at Google."""
    gateway.connect("alice@acme.example")
    gateway.run("phones", "add", "desk1", "--account", "alice@acme.example")
    (gateway.state_dir / "ldapgw.key").unlink()
    done = gateway.run("accounts", "remove", "alice@acme.example", "--yes")
    assert (done.exit_code, done.stdout) == (1, "Removed alice@acme.example. The phones desk1 belong to nobody now.\n")
    advice, trouble = done.stderr.splitlines()
    assert advice == (
        "! Give these phones new passwords (ldapgw phones reset NAME): the former owner may know the old ones."
    )
    assert trouble == (
        "ldapgw: Removed alice@acme.example, but its access is not revoked at Google "
        f"({gateway.state_dir / 'ldapgw.key'}: the key file is missing, so the stored consents cannot be read; put it "
        "back from a backup). Without the key, the gateway can't revoke the access either; the owner can do it at "
        "https://myaccount.google.com/permissions"
    )


def test_remove_an_account_that_is_connected_while_the_command_asks(gateway: Gateway) -> None:
    """The command removes the account and says that the new grant is not revoked at Google."""
    gateway.do(accounts.disconnect, gateway.connect("alice@acme.example"))

    def connect() -> None:
        gateway.connect("alice@acme.example")
        (gateway.state_dir / "ldapgw.key").unlink()

    code, said = gateway.ask(b"y\n", "accounts", "remove", "alice@acme.example", meanwhile=connect)
    assert (code, "Removed alice@acme.example, but its access is not revoked at Google " in said) == (1, True)
    assert gateway.json("accounts") == []
    log = gateway.do(activity.read_since, "acme", 0.0)
    assert [(one.act, one.subject) for one in log] == [("account_removed", "alice@acme.example")]


def test_remove_cleans_the_copies_of_the_database_first(gateway: Gateway) -> None:
    """A later start could not know a removed account, so the copies are clean even if the command is killed early."""
    gateway.fill(gateway.connect("alice@acme.example"), person("Jörg Müller", "030 1234567"))
    copy = gateway.state_dir / "ldapgw.db.before-restore"
    with closing(sqlite3.connect(gateway.state_dir / "ldapgw.db")) as database:
        database.execute("VACUUM INTO ?", (str(copy),))

    def killed(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("DELETE FROM"):
            raise Killed

    event.listen(Engine, "before_cursor_execute", killed)
    try:
        with pytest.raises(Killed):
            gateway.run("accounts", "remove", "alice@acme.example", "--yes")
    finally:
        event.remove(Engine, "before_cursor_execute", killed)
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("SELECT connected_at, refresh_token FROM account").fetchall() == [(None, None)]
        assert database.execute("SELECT * FROM contact").fetchall() == []
    assert gateway.account("alice@acme.example").contacts == 1


LONG = "maximiliane.von-der-hohenburg@buchhaltung.acme.example"


@pytest.mark.parametrize("command", [("disconnect",), ("accounts", "remove")])
def test_a_delegated_account(gateway: Gateway, command: tuple[str, ...]) -> None:
    """Nothing is revoked at Google, because nobody has consented; the service account may read the contacts again."""
    values = {"scopes": frozenset(), "sharing": Sharing.PRIVATE, "shared_label": "", "now": THEN}
    user = DelegatedUser("117", "alice@acme.example")
    gateway.do(tenants.apply_users, "acme", [user], {}, (), **values)
    assert gateway.secret_box
    assert [one["delegated"] for one in gateway.json("accounts")] == [True]
    done = gateway.run(*command, "alice@acme.example", "--yes")
    assert (done.exit_code, done.stdout) == (
        0,
        "Disconnected alice@acme.example: tokens and contacts deleted.\n"
        if command == ("disconnect",)
        else "Removed alice@acme.example.\n",
    )
    assert done.stderr == (
        "! If Google Workspace still has this user, the service account of acme reads the contacts again within an "
        "hour, unless alice@acme.example is in the setting exclude.\n"
    )
    assert [one["delegated"] for one in gateway.json("accounts")] == ([False] if command == ("disconnect",) else [])


def test_long_addresses_stay_whole_at_80_columns(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other columns are broken into lines instead, and a phone's name only if the name is long too."""
    monkeypatch.setattr(output, "_UNBOUNDED", 80)
    gateway.write(HEAD + ACME + BETA)
    account_id = gateway.connect(LONG, sharing=Sharing.SHARED)
    gateway.fill(account_id, person("Jörg Müller", "030 1234567"))
    gateway.connect("bob@beta.example", "beta")
    gateway.do(sync_state.fail, gateway.account(LONG), "consent_revoked", THEN, None)
    for name in ("desk1", "reception-desk-2nd-floor"):
        gateway.run("phones", "add", name, "--account", LONG, "--tenant", "acme")
        for command in ("accounts", "phones list"):
            lines = gateway.run(*command.split()).stdout.splitlines()
            table = [line for line in lines if not re.match(r"! \S", line)]
            assert max(map(len, table)) <= 80, command
            rows = [line for line in table if f" {LONG} " in line]
            assert rows, command
            assert command == "accounts" or name != "desk1" or " desk1 " in rows[0]
