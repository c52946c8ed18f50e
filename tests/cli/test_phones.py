# SPDX-License-Identifier: MIT
"""The tests run ``phones``."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from ldapgw.cli import main, site
from ldapgw.cli.output import print_then_commit
from ldapgw.contact import Sharing, Source
from ldapgw.directory.passwords import verify_password
from ldapgw.errors import UserError
from ldapgw.phones.description import MODELS
from ldapgw.phones.provisioning.settings import ServerAddress, Site
from ldapgw.phones.provisioning.sheet import make_sheet, settings_of
from ldapgw.phones.provisioning.vendors import all_vendors, vendors_of
from ldapgw.phrase import without_marks
from ldapgw.store import accounts, activity, contacts, phones, sync_state
from ldapgw.store.accounts import SourceState
from ldapgw.store.activity import Act
from ldapgw.store.files import prepare_state_dir
from ldapgw.store.phones import LastBind, LastSearch, PhoneLogin, Refusal
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS
from tests.support.certificates import issue
from tests.support.site.command_line import ACME, BETA, HEAD, THEN, Gateway
from tests.support.stage.databases import open_file, open_in_memory
from tests.support.stage.web import Stage, owner

# The gateway listens on a port that phones can use.
LISTENING = (HEAD + ACME).replace("tcp:0:interface=127.0.0.1", "tcp:389", 1)
SERVER = ServerAddress("phonebook.example.com", 389)
PRIVATE = LISTENING.replace("[ldap]\n", '[ldap]\nlisten_tls = ["tcp:636"]\n').replace(
    "[web]\n", '[tls]\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n\n[web]\n'
)


def stored(gateway: Gateway) -> dict[str, PhoneLogin]:
    return {login.name: login for login in gateway.do(phones.read_all)}


def test_add_prints_the_contracts_object(gateway: Gateway) -> None:
    """The object has exactly these keys; the password fits the stored hash."""
    gateway.connect("alice@acme.example")
    told = gateway.json("phones", "add", "desk1", "--account", "Alice@acme.example", "--tenant", "acme")
    password = told.pop("password")
    assert re.fullmatch(r"[0-9a-z]{20}", password)
    assert told == {
        "name": "desk1",
        "label": None,
        "tenant": "acme",
        "account": "alice@acme.example",
        "accounts": ["alice@acme.example"],
        "bind_dn": "cn=desk1,ou=phones,dc=acme,dc=example",
        "base_dn": "dc=acme,dc=example",
        "ldap_url": "ldap://phonebook.example.com",
        "settings": None,
    }
    login = stored(gateway)["desk1"]
    assert verify_password(password.encode(), login.password)
    assert (login.account_id, login.numbers) == (1, "values")


def test_add_warns_of_a_server_that_no_phone_reaches(gateway: Gateway) -> None:
    """The warning goes to stderr, so programs can read stdout."""
    gateway.write(LISTENING)
    gateway.connect("bob@acme.example", sharing=Sharing.SHARED)
    assert gateway.run("phones", "add", "hall").stderr == ""
    gateway.write(LISTENING.replace("https://phonebook.example.com", "http://localhost:8080"))
    added = gateway.run("phones", "add", "desk1", "--json")
    assert added.stderr == (
        "! Phones can't reach this server: set [web] public_url to a host name that they can reach.\n"
    )
    assert '"ldap_url": "ldap://localhost:389"' in added.stdout


def test_add_warns_of_a_phone_that_finds_nobody(gateway: Gateway) -> None:
    """The phone has no owner and nobody shares contacts; with the company directory there is no warning."""
    told = (
        " has no owner, and finds nobody until somebody shares contacts (ldapgw share), or switches the company "
        "directory on (on the page, under Account and sharing).\n"
    )
    gateway.write(LISTENING.replace("[[tenant]]", '[[tenant]]\nsources = ["contacts", "directory"]'))
    account_id = gateway.connect("alice@acme.example")
    assert gateway.run("phones", "add", "hall").stderr == f"! hall{told}"
    assert gateway.run("phones", "add", "desk1", "--account", "alice@acme.example").stderr == ""
    gateway.do(sync_state.write_source_states, account_id, {Source.DIRECTORY: SourceState.ON})
    added = gateway.run("phones", "add", "lobby")
    assert added.stderr == ""
    assert rows(added.stdout)["finds"] == "shared books, the Workspace directory"


@pytest.mark.parametrize(("sharing", "warns"), [("shared", False), ("callers", False), ("group:sales", True)])
def test_a_file_for_phones_without_an_owner(gateway: Gateway, sharing: str, warns: bool) -> None:
    """The phone finds the file's contacts, unless the file is only for a group; status asks for no accounts."""
    group = '\n[[tenant.group]]\nname = "sales"\naccounts = ["alice@acme.example"]\n'
    file = f'\n[[tenant.file]]\nname = "extensions"\npath = "extensions.csv"\nsharing = "{sharing}"\n'
    gateway.write(LISTENING + group + file)
    added = gateway.run("phones", "add", "hall")
    assert ("finds nobody" in added.stderr) == warns
    assert not [action for action in gateway.json("status")["actions"] if "nobody has connected yet" in action]


@pytest.mark.parametrize("is_synced", [True, False])
@pytest.mark.parametrize(
    ("sharing", "label", "warns"),
    [
        ("shared", "", False),
        ("callers", "", False),
        ("private", "", True),
        ("group:sales", "", True),
        ("shared", "customers", False),
        ("callers", "friends", True),
        ("shared", "friends", True),
    ],
)
def test_an_account_for_phones_without_an_owner(
    gateway: Gateway, sharing: str, label: str, is_synced: bool, warns: bool
) -> None:
    """The account has to share all contacts, or a label that the account has; before a sync, the labels are unknown."""
    account_id = gateway.connect("alice@acme.example")
    gateway.do(accounts.set_sharing, account_id, Sharing(sharing), label)
    if is_synced:
        gateway.fill(account_id)
        gateway.do(contacts.set_labels, account_id, {"contactGroups/1": "Customers"})
    added = gateway.run("phones", "add", "hall")
    assert ("finds nobody" in added.stderr) == (warns and (is_synced or not label))


def rows(printed: str) -> dict[str, str]:
    """Return the lines of a login or of settings by their labels."""
    return dict(re.split(r"  +", line.strip(), maxsplit=1) for line in printed.splitlines() if "  " in line)


def test_add_prints_what_to_type_into_a_phone(gateway: Gateway) -> None:
    """Each setting has a line, the password too; a phone without an owner finds shared contacts."""
    gateway.write(LISTENING)
    shown = rows(gateway.run("phones", "add", "hall").stdout)
    assert verify_password(shown.pop("password").split()[0].encode(), stored(gateway)["hall"].password)
    told = {key: shown[key] for key in ("phone", "finds", "server", "user name", "base DN", "Name filter")}
    assert told == {
        "phone": "hall",
        "finds": "shared books",
        "server": "ldap://phonebook.example.com:389",
        "user name": "hall  (as a DN: cn=hall,ou=phones,dc=acme,dc=example)",
        "base DN": "dc=acme,dc=example",
        "Name filter": "(&(objectClass=person)(|(cn=%*)(sn=%*)(o=%*)))",
    }


@pytest.mark.parametrize("model", [*MODELS, "other"])
def test_all_ways_print_the_same_settings(gateway: Gateway, tmp_path: Path, model: str) -> None:
    """The model's own settings are the same, octet by octet, when the phone is added, later, and as JSON."""
    gateway.write(LISTENING)
    file = tmp_path / "settings"
    added = gateway.run("phones", "add", "desk1", "--model", model, "--settings", str(file))
    assert added.exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    password = rows(added.stdout)["password"].split()[0]
    (tmp_path / "password").write_text(f"{password}\n")
    asked = gateway.run("phones", "settings", "desk1", "--password-file", str(tmp_path / "password"))
    login = stored(gateway)["desk1"]
    vendor = vendors_of(login.model)[0]
    sheet = make_sheet(vendor, settings_of(login, Site(SERVER, "dc=acme,dc=example", "Acme GmbH"), password))
    assert file.read_bytes() == asked.stdout_bytes == sheet.printed.encode()
    if sheet.link is None:
        return
    assert password in asked.stdout
    told = gateway.json("phones", "add", "desk2", "--model", model)
    content = told["settings"].pop("content")
    steps = [{"text": step.text, "confirmed": step.is_confirmed} for step in vendor.setup_steps]
    named = {"vendor": vendor.key, "file": vendor.file or None}
    authority = {"ca_url": sheet.ca_url or None, "trust": sheet.trust or None}
    assert told["settings"] == {**named, "note": vendor.steps_note or None, "steps": steps, **authority}
    content = content.replace(told["password"], password).replace("desk2", "desk1")
    assert without_revision(content) == without_revision(sheet.printed)
    without = gateway.run("phones", "settings", "desk1").stdout
    assert without_revision(without) == without_revision(sheet.printed.replace(password, "PASSWORD"))


def without_revision(text: str) -> str:
    """Return the file without the digits that change with the password."""
    return re.sub(r"Version([>:])2\.[0-9]{10}", r"Version\g<1>2.", text)


# Each model, and any other phone, has one test of a vendor whose file its page offers.
FILES = [(model, vendor.key) for model in (*MODELS, "other") for vendor in vendors_of(model)[:1] if vendor.file]


@pytest.mark.parametrize(("model", "vendor"), FILES, ids=[model for model, _ in FILES])
def test_the_page_has_the_file_that_the_command_prints(
    gateway: Gateway, tmp_path: Path, model: str, vendor: str
) -> None:
    """The files are the same, octet by octet, with the password and with the word in its place.

    The gateway's certificate comes from a private authority, which the files of some phones name.
    """
    gateway.write(PRIVATE)
    issue().write(gateway.folder)
    path = f"/acme/phones/desk1/settings/{vendor}"
    prepare_state_dir(gateway.state_dir)
    server = replace(SERVER, tls_port=636, start_tls=True)
    stage = Stage(database=open_file(gateway.state_dir / "ldapgw.db"), server=server, certificate="private")
    browser = owner(stage, model=model)
    page = browser.get("/acme/phones/desk1").body
    password = page.partition('<code id="the-password">')[2].partition("<")[0]
    (tmp_path / "password").write_text(f"{password}\n")
    command = ("phones", "settings", "desk1")
    with_password = gateway.run(*command, "--password-file", str(tmp_path / "password"))
    answer = browser.get(path)
    assert (answer.status, answer.body.encode()) == (200, with_password.stdout_bytes)
    assert password in answer.body
    stage.clock.advance(PASSWORD_SECONDS)
    assert browser.get(path).body.encode() == gateway.run(*command).stdout_bytes


def test_settings_go_to_standard_output_alone(gateway: Gateway) -> None:
    """The settings can be redirected, because the login goes to stderr.

    An existing file stays, and then no phone is added.
    """
    gateway.write(LISTENING)
    added = gateway.run("phones", "add", "desk1", "--model", "yealink", "--settings", "-")
    assert added.stdout.startswith("#!version:1.0.0.1\nldap.enable = 1\n")
    assert rows(added.stderr)["password"].split()[0] in added.stdout
    assert "cannot be created: File exists" in gateway.refused(
        "phones", "add", "desk2", "--settings", str(gateway.file)
    )
    assert [*stored(gateway)] == ["desk1"]


def test_the_steps_go_to_standard_error(gateway: Gateway) -> None:
    """The settings can be redirected, because the steps go to stderr.  A private authority is named there too."""
    gateway.write(LISTENING)
    gateway.run("phones", "add", "desk1", "--model", "yealink")
    for vendor in ("yealink", "bria"):
        told = gateway.run("phones", "settings", "desk1", "--model", vendor).stderr
        steps = [f"{step.number}. {step.marked_text}" for step in all_vendors()[vendor].setup_steps]
        assert told.splitlines() == [*filter(None, [all_vendors()[vendor].steps_note]), *steps]
    gateway.write(PRIVATE)
    issue().write(gateway.folder)
    *_, address, trust = gateway.run("phones", "settings", "desk1").stderr.splitlines()
    assert address == "The phone has to trust this gateway's authority: https://phonebook.example.com/acme/ca.crt"
    assert trust == without_marks(all_vendors()["yealink"].trust)


def test_settings_of_another_model(gateway: Gateway) -> None:
    """The option takes the word of a model or of the page; settings of a phone that cannot connect are refused."""
    gateway.write(LISTENING)
    gateway.run("phones", "add", "desk1", "--model", "yealink")
    assert gateway.run("phones", "settings", "desk1", "--model", "snom").stdout.startswith("<?xml")
    assert gateway.run("phones", "settings", "desk1", "--model", "fanvil-text").exit_code == 0
    assert "desk1 can't connect: " in gateway.refused("phones", "settings", "desk1", "--model", "avaya-j100")


def test_another_phone_has_its_own_placeholder(gateway: Gateway) -> None:
    """The settings have the placeholder when the phone is added and later; a known model takes no placeholder."""
    gateway.write(LISTENING)
    added = rows(gateway.run("phones", "add", "desk1", "--model", "other", "--placeholder", "#").stdout)
    by_hash = "(&(objectClass=person)(|(cn=#*)(sn=#*)(o=#*)))"
    assert added["Name filter"] == by_hash
    assert json.loads(gateway.run("phones", "settings", "desk1").stdout)["name_filter"] == by_hash
    tried = json.loads(gateway.run("phones", "settings", "desk1", "--placeholder", "none").stdout)
    assert tried["name_filter"] == "(objectClass=person)"
    (listed,) = gateway.json("phones", "list")
    assert listed["placeholder"] == "#"
    for arguments in (("add", "desk2", "--model", "snom"), ("settings", "desk1", "--model", "snom")):
        refused = gateway.run("phones", *arguments, "--placeholder", "%")
        assert (refused.exit_code, "--placeholder is only for --model other: snom" in refused.stderr) == (2, True)
    assert [*stored(gateway)] == ["desk1"]


def test_a_phone_of_several_accounts(gateway: Gateway) -> None:
    """The owners have the order of the options; the list names all owners, and an owner can be taken away."""
    for address in ("alice@acme.example", "bob@acme.example"):
        gateway.connect(address)
    both = ("--account", "bob@acme.example", "--account", "Alice@acme.example", "--account", "bob@acme.example")
    told = gateway.json("phones", "add", "desk1", *both)
    assert (told["account"], told["accounts"]) == ("bob@acme.example", ["bob@acme.example", "alice@acme.example"])
    assert stored(gateway)["desk1"].account_ids == (2, 1)
    assert "bob@acme.example, alice@acme.example" in gateway.run("phones", "list").stdout
    assert gateway.refused("phones", "move", "desk1", *both) == (
        "desk1 belongs to bob@acme.example and alice@acme.example already\n"
    )
    moved = gateway.run("phones", "move", "desk1", "--account", "alice@acme.example", "--keep-password")
    assert moved.stdout == "desk1 now belongs to alice@acme.example: it finds that account's contacts.\n"
    assert stored(gateway)["desk1"].account_ids == (1,)
    known = "desk1: a former owner may know the password; give the phone a new one (ldapgw phones reset desk1)"
    assert known in gateway.run("phones", "list").stdout


def test_rename_and_move(gateway: Gateway) -> None:
    """A new owner means a new password unless the old password is kept; contradictions are refused."""
    gateway.connect("alice@acme.example")
    gateway.connect("bob@acme.example")
    gateway.run("phones", "add", "desk1", "--account", "alice@acme.example")
    gateway.run("phones", "add", "hall")
    password = stored(gateway)["desk1"].password
    assert gateway.run("phones", "rename", "DESK1", "lobby").stdout == (
        "Renamed desk1 to lobby. Enter lobby as the user name in the phone.\n"
    )
    assert "a phone named Hall already exists" in gateway.refused("phones", "rename", "lobby", "Hall")
    assert gateway.run("phones", "move", "lobby", "--account", "Bob@acme.example", "--keep-password").stdout == (
        "lobby now belongs to bob@acme.example: it finds that account's contacts.\n"
    )
    assert (stored(gateway)["lobby"].account_id, stored(gateway)["lobby"].password) == (2, password)
    assert gateway.refused("phones", "move", "lobby", "--account", "bob@acme.example") == (
        "lobby belongs to bob@acme.example already\n"
    )
    told = gateway.json("phones", "move", "lobby", "--account", "alice@acme.example")
    lobby = stored(gateway)["lobby"]
    assert verify_password(told["password"].encode(), lobby.password)
    assert (told["name"], told["account"], lobby.account_id) == ("lobby", "alice@acme.example", 1)
    assert "lobby: new password, created " in gateway.run("phones", "list").stdout
    first, *lines = gateway.run("phones", "move", "lobby", "--nobody").stdout.splitlines()
    assert first == "lobby now belongs to nobody: it finds only the shared books and the Workspace directory."
    [printed] = [line.split()[1] for line in lines if line.startswith("password")]
    lobby = stored(gateway)["lobby"]
    assert (lobby.account_id, verify_password(printed.encode(), lobby.password)) == (None, True)
    assert gateway.refused("phones", "move", "lobby", "--nobody") == "lobby belongs to nobody already\n"
    for options in ([], ["--nobody", "--account", "bob@acme.example"], ["--nobody", "--keep-password", "--json"]):
        assert gateway.run("phones", "move", "lobby", *options).exit_code == 2
    gateway.write(HEAD + ACME + BETA)
    gateway.connect("eve@beta.example", "beta")
    assert gateway.refused("phones", "move", "lobby", "--account", "eve@beta.example") == (
        'there is no account eve@beta.example in tenant "acme": connect the account on the page first\n'
    )


@pytest.mark.parametrize(
    ("options", "numbers", "told"),
    [
        ([], "values", None),
        (["--model", "yealink"], "values", None),
        (["--model", "cisco"], "entries", "one entry each, because it dials only one number per entry"),
        (["--model", "cisco", "--numbers", "values"], "values", None),
        (["--model", "snom", "--numbers", "entries"], "entries", "one entry each"),
    ],
    ids=["none", "any", "one number alone", "a person knows better", "asked for"],
)
def test_a_model_says_how_numbers_are_shown(
    gateway: Gateway, options: list[str], numbers: str, told: str | None
) -> None:
    """The model decides unless an option decides; the choice is stored, and the output names one entry per number."""
    shown = gateway.run("phones", "add", "desk1", *options).stdout
    login = stored(gateway)["desk1"]
    assert (login.numbers, login.model) == (numbers, options[1] if "--model" in options else "")
    assert re.findall(r"(?m)^numbers +(.*)", shown) == ([told] if told else [])


@pytest.mark.parametrize("form", ["e164", "international", "national", "dial", None])
def test_a_number_format_of_its_own(gateway: Gateway, form: str | None) -> None:
    """The format is stored and printed; without the option the phone has the tenant's format."""
    options = ["--number-format", form] if form else []
    shown = gateway.run("phones", "add", "desk1", "--model", "cisco", *options).stdout
    assert stored(gateway)["desk1"].number_format == form
    assert re.findall(r"(?m)^number format +(.*)", shown) == ([form] if form else [])


def test_add_creates_the_state_folder_for_our_eyes_only(gateway: Gateway) -> None:
    """Phones can be added before the gateway's first start."""
    gateway.run("phones", "add", "desk1")
    assert gateway.state_dir.stat().st_mode & 0o777 == 0o700
    assert (gateway.state_dir / "ldapgw.db").stat().st_mode & 0o077 == 0


NAME = "expected 1 to 64 letters a-z, digits, dots, underscores and hyphens"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(((name,), NAME) for name in ("", "desk 1", "jörg", "a" * 65, "desk1\n", "a,b")),
        (
            ("desk1", "--number-format", "typed"),
            "typed is a format for a whole tenant (number_format in the configuration); a phone can have e164, "
            "international, national, dial",
        ),
        (("desk1", "--number-format", "local"), "'local' is not one of"),
        (("desk1", "--model", "acme"), "'yealink', 'snom', 'poly'"),
        (("desk1", "--mac", "00:15:65"), "expected a MAC address such as 00:15:65:aa:bb:cc"),
        (("desk1", "--mac", "001565aabbcc", "--replica"), "A replica has no owner, model, numbers or settings"),
        (("desk1",), "Missing option '--tenant'; the tenants are: acme, beta"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_phone_that_cannot_be(gateway: Gateway, arguments: tuple[str, ...], message: str) -> None:
    """The usage is explained; with several tenants the tenant is needed."""
    gateway.write(HEAD + ACME + BETA)
    result = gateway.run("phones", "add", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not gateway.state_dir.exists()


# These commands print a new password.
NEW_PASSWORDS = (
    ("add", "desk1"),
    ("add", "desk1", "--json"),
    ("add", "desk1", "--model", "yealink", "--settings", "-"),
    ("add", "desk1", "--model", "yealink", "--settings", "desk1.cfg"),
    ("add", "--replica", "desk1"),
    ("reset", "desk2", "--yes"),
    ("reset", "branch2", "--yes"),
    ("move", "desk2", "--account", "alice@acme.example"),
)


@pytest.mark.parametrize("arguments", NEW_PASSWORDS, ids=" ".join)
def test_nothing_changes_if_the_password_cannot_be_printed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """A password is shown only once, so a command that cannot print the password stores nothing and leaves no file."""
    gateway.write(LISTENING)
    gateway.connect("alice@acme.example")
    gateway.run("phones", "add", "desk2")
    gateway.run("phones", "add", "--replica", "branch2")
    before = gateway.do(phones.read_all), gateway.do(activity.read_since, None, 0.0)
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        patch.chdir(gateway.folder)
        code = main(["--config", str(gateway.file), "phones", *arguments], standalone_mode=False)
    message = "ldapgw: the output cannot be written, so nothing was changed: No space left on device"
    assert (code, capsys.readouterr().err.splitlines()[-1]) == (1, message)
    assert (gateway.do(phones.read_all), gateway.do(activity.read_since, None, 0.0)) == before
    assert not (gateway.folder / "desk1.cfg").exists()


class Terminal(io.BytesIO):
    """A terminal notes at each line if another program could write to the database."""

    def __init__(self, database: Path) -> None:
        super().__init__()
        self._database = database
        self.could_write: list[bool] = []

    def write(self, line: Any) -> int:
        with closing(sqlite3.connect(self._database, timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
                self.could_write.append(True)
            except sqlite3.OperationalError:
                self.could_write.append(False)
        return len(line)


@pytest.mark.parametrize("arguments", NEW_PASSWORDS, ids=" ".join)
def test_the_database_is_not_locked_while_a_password_is_printed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Otherwise a stopped terminal would keep the gateway from writing."""
    gateway.write(LISTENING)
    gateway.connect("alice@acme.example")
    gateway.run("phones", "add", "desk2")
    gateway.run("phones", "add", "--replica", "branch2")
    terminal = Terminal(gateway.state_dir / "ldapgw.db")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(terminal, write_through=True))
        patch.setattr(sys, "stderr", io.TextIOWrapper(terminal, write_through=True))
        patch.chdir(gateway.folder)
        main(["--config", str(gateway.file), "phones", *arguments], standalone_mode=False)
    assert {*terminal.could_write} == {True}


def test_a_name_is_taken_in_any_case(gateway: Gateway) -> None:
    """Phones of all tenants bind with the bare name, so the name is unique on the gateway."""
    gateway.write(HEAD + ACME + BETA)
    gateway.run("phones", "add", "desk1", "--tenant", "acme")
    assert gateway.refused("phones", "add", "DESK1", "--tenant", "beta") == (
        "a phone named DESK1 already exists; names are unique on a gateway, regardless of upper and lower case\n"
    )


def test_an_account_of_another_tenant_is_none(gateway: Gateway) -> None:
    gateway.write(HEAD + ACME + BETA)
    gateway.connect("alice@acme.example", "acme")
    lines = gateway.refused("phones", "add", "desk1", "--tenant", "beta", "--account", "alice@acme.example")
    assert lines == 'there is no account alice@acme.example in tenant "beta": connect the account on the page first\n'
    assert stored(gateway) == {}


def test_list_shows_when_and_where_phones_were_seen(gateway: Gateway) -> None:
    """The list has rows for people and objects for programs, and no hashes."""
    gateway.connect("alice@acme.example")
    gateway.run(
        *("phones", "add", "desk1", "--account", "alice@acme.example", "--model", "Cisco", "--number-format", "Dial"),
        *("--mac", "00-15-65-AA-BB-CC"),
    )
    gateway.run("phones", "add", "hall")
    password = {login.name: login.password for login in gateway.do(phones.read_all)}["desk1"]
    gateway.do(phones.store_last_binds, {"desk1": LastBind(THEN, "192.0.2.7", password)})
    gateway.do(phones.store_last_searches, {"desk1": LastSearch(THEN + 60, "no_such_base", THEN)})
    listed = gateway.json("phones", "list")
    assert all(re.fullmatch(r"20..-..-..T..:..:..Z", one.pop("created")) for one in listed)
    desk1 = {
        "name": "desk1",
        "label": None,
        "tenant": "acme",
        "account": "alice@acme.example",
        "accounts": ["alice@acme.example"],
        "model": "cisco",
        "placeholder": None,
        "mac": "00:15:65:aa:bb:cc",
        "numbers": "entries",
        "number_format": "dial",
        "area_code": None,
        "bind_dn": "cn=desk1,ou=phones,dc=acme,dc=example",
        "last_seen": "2026-01-31T09:30:00Z",
        "last_address": "192.0.2.7",
        "last_search": "2026-01-31T09:31:00Z",
        "worked": "2026-01-31T09:30:00Z",
        "hint": {"code": "no_such_base", "message": "The phone’s search base doesn’t exist. Use dc=acme,dc=example"},
        "refused": None,
    }
    hall = {
        "name": "hall",
        "tenant": "acme",
        "accounts": [],
        "numbers": "values",
        "bind_dn": "cn=hall,ou=phones,dc=acme,dc=example",
    }
    assert listed == [desk1, {**dict.fromkeys(desk1), **hall}]
    assert [" ".join(line.split()) for line in gateway.run("phones", "list").stdout.splitlines()[1:]] == [
        "! desk1 alice@acme.example cisco 2026-01-31 09:30 2026-01-31 09:31",
        "… hall – – – –",
        "! desk1: The phone’s search base doesn’t exist. Use dc=acme,dc=example",
    ]
    heads, desk, *_ = gateway.run("phones", "list", "--wide").stdout.splitlines()
    assert ("mac" in heads.split(), "00:15:65:aa:bb:cc" in desk.split()) == (True, True)


def test_a_label(gateway: Gateway) -> None:
    """The list has labels if a phone has one; a refused name is answered with a name that is allowed."""
    refused = gateway.run("phones", "add", "Büro von Alice, 2. OG")
    assert "such as buero-von-alice-2-og" in " ".join(refused.stderr.split())
    gateway.run("phones", "add", "hall")
    assert "label" not in gateway.run("phones", "list").stdout
    added = gateway.run("phones", "add", "desk1", "--label", " Büro von Alice,  2. OG ")
    assert f"{'label':<18} Büro von Alice, 2. OG" in added.stdout
    lines = [" ".join(line.split()) for line in gateway.run("phones", "list", "--wide").stdout.splitlines()]
    assert [line.partition(" acme")[0] for line in lines[1:]] == ["… desk1 Büro von Alice, 2. OG", "… hall –"]
    assert [phone["label"] for phone in gateway.json("phones", "list")] == ["Büro von Alice, 2. OG", None]
    assert "at most 64 characters" in gateway.run("phones", "add", "desk2", "--label", "x" * 65).stderr


def test_a_wrong_password(gateway: Gateway) -> None:
    """The list, the explanation, the account's warnings and ``status`` tell of the wrong password."""
    gateway.connect("alice@acme.example")
    gateway.run("phones", "add", "desk1", "--account", "alice@acme.example")
    (login,) = gateway.do(phones.read_all)
    gateway.do(phones.store_refusals, {"desk1": (Refusal(THEN, "192.0.2.7", 3), login.password)})
    told = "wrong password: refused 3 times, last 2026-01-31 09:30 from 192.0.2.7; enter the password again"
    lines = gateway.run("phones", "list").stdout.splitlines()
    assert lines[1].startswith("✗")
    assert lines[2].startswith(f"✗ desk1: {told}")
    assert f"desk1 has a {told}" in gateway.run("explain", "zzzz", "--phone", "desk1").stdout
    refused = {"code": "wrong_password", "last": "2026-01-31T09:30:00Z", "address": "192.0.2.7", "count": 3}
    assert gateway.json("phones", "list")[0]["refused"] == refused
    assert gateway.json("explain", "zzzz", "--phone", "desk1")["refused"] == refused
    assert "rejected_login" in [one["code"] for one in gateway.json("accounts")[0]["warnings"]]
    status = gateway.json("status")
    assert status["tenants"][0]["phones"] == {"working": 0, "problems": 0, "refused": 1, "waiting": 0}
    assert "Wrong password in desk1. See: ldapgw phones list" in status["actions"]


def test_remove(gateway: Gateway) -> None:
    """The login is gone from the database; the name may have any case."""
    gateway.run("phones", "add", "Desk1")
    assert gateway.run("phones", "remove", "desk1", "--yes").stdout == "Removed Desk1.\n"
    assert stored(gateway) == {}


def test_reset_gives_a_new_password(gateway: Gateway) -> None:
    """The object is that of ``add``; the old password no longer fits."""
    gateway.connect("alice@acme.example")
    before = gateway.json("phones", "add", "desk1", "--account", "alice@acme.example")
    after = gateway.json("phones", "reset", "DESK1", "--yes")
    old, new = before.pop("password"), after.pop("password")
    assert before == after
    found = stored(gateway)["desk1"].password
    assert [verify_password(one.encode(), found) for one in (old, new)] == [False, True]


def test_a_mac_address_is_of_one_phone_of_a_tenant(gateway: Gateway) -> None:
    """The address is printed, and can be changed for another device; a refused address changes nothing."""
    gateway.write(HEAD + ACME + BETA)
    for name, tenant in (("desk1", "acme"), ("hall", "beta")):
        said = gateway.run("phones", "add", name, "--tenant", tenant, "--mac", "0015.65AA.BBCC").stdout
        assert rows(said)["MAC address"] == "00:15:65:aa:bb:cc"
    taken = "desk1 has this MAC address already\n"
    assert gateway.refused("phones", "add", "desk2", "--tenant", "acme", "--mac", "001565aabbcc") == taken
    assert "MAC address" not in rows(gateway.run("phones", "add", "desk2", "--tenant", "acme").stdout)
    before = stored(gateway)
    assert gateway.refused("phones", "reset", "desk2", "--yes", "--mac", "00:15:65:aa:bb:cc") == taken
    assert stored(gateway) == before
    for mac in ("000413aabbcc", ""):
        gateway.run("phones", "reset", "desk1", "--yes", "--mac", mac)
        assert stored(gateway)["desk1"].mac == mac
    entries = gateway.do(activity.read_page, "acme").entries[::-1]
    assert [one.detail for one in entries if one.act == Act.PHONE_MAC] == ["00:04:13:aa:bb:cc", ""]
    gateway.run("phones", "add", "--replica", "branch1", "--tenant", "acme")
    refused = gateway.run("phones", "reset", "branch1", "--yes", "--mac", "000413aabbcc")
    assert (refused.exit_code, "A replica has no MAC address." in refused.stderr) == (2, True)


@pytest.mark.parametrize("command", ["remove", "reset"])
def test_a_phone_that_is_not_there(gateway: Gateway, command: str) -> None:
    assert (
        gateway.refused("phones", command, "desk9", "--yes")
        == "there is no phone named desk9; see ldapgw phones list\n"
    )
    assert not gateway.state_dir.exists()


def test_a_phone_whose_tenant_is_gone(gateway: Gateway) -> None:
    """The phone is listed and can be removed, but gets no new password."""
    gateway.write(HEAD + ACME + BETA)
    gateway.run("phones", "add", "b1", "--tenant", "beta")
    gateway.write(HEAD + ACME)
    assert gateway.json("phones", "list")[0]["bind_dn"] is None
    line = f'{gateway.file}: there is no tenant "beta"; there are: acme\n'
    assert gateway.refused("phones", "reset", "b1") == line
    assert gateway.run("phones", "remove", "b1", "--yes").exit_code == 0


def test_an_authority_that_is_no_text(gateway: Gateway) -> None:
    gateway.run("phones", "add", "desk1")
    file = gateway.folder / "octets"
    file.write_bytes(b"\xff\xfe\x00")
    refused = gateway.refused("phones", "test", "desk1", "--ca-file", str(file))
    assert refused.endswith("the file with the authority's certificates: expected certificates in PEM\n")


def test_replicas_are_listed_apart(gateway: Gateway) -> None:
    """A replica is added, listed and removed, and gets a new password; the list keeps replicas apart from phones."""
    added = json.loads(gateway.run("phones", "add", "branch1", "--replica", "--json").stdout)
    dn = "cn=branch1,ou=replicas,dc=acme,dc=example"
    assert (added["bind_dn"], added["replica"], added["extra_values"]) == (dn, "shared", True)
    private = gateway.run("phones", "add", "vault", "--replica", "--private", "--no-extra-values")
    assert "all books, private ones too" in private.stdout
    assert private.stderr == (
        "Next: ldapgw replica-config vault prints the configuration of OpenLDAP.\n"
        "! From now on, each person's page says that this replica may copy all contacts, including private ones.\n"
    )
    [branch, vault] = json.loads(gateway.run("phones", "list", "--json").stdout)
    assert (branch["name"], branch["replica"], vault["replica"], vault["extra_values"]) == (
        "branch1", "shared", "private", False,
    )  # fmt: skip
    assert "Replica" in gateway.run("phones", "list").stdout
    assert gateway.run("phones", "add", "BRANCH1").exit_code == 1
    reset = json.loads(gateway.run("phones", "reset", "branch1", "--yes", "--json").stdout)
    assert reset["password"] != added["password"]
    assert "Removed branch1" in gateway.run("phones", "remove", "Branch1", "--yes").stdout
    for wrong in (("--private",), ("--replica", "--model", "yealink"), ("--replica", "--account", "a@acme.example")):
        assert gateway.run("phones", "add", "x", *wrong).exit_code == 2


def test_configuration_of_a_replica(gateway: Gateway, tmp_path: Path) -> None:
    """The configuration for OpenLDAP has both forms; the password is there only if a file gives the password."""
    gateway.write(LISTENING)
    gateway.run("phones", "add", "branch1", "--replica")
    assert "a replica on another machine needs TLS" in gateway.refused("replica-config", "branch1")
    gateway.write(LISTENING.replace("https://phonebook.example.com", "http://localhost:8080"))
    gateway.run("phones", "add", "vault", "--replica", "--private")
    shared = gateway.run("replica-config", "branch1").stdout
    assert 'credentials="PASSWORD"' in shared
    assert 'attrs="*,+"' in shared
    assert "set.expand" not in shared
    (tmp_path / "secret").write_text("hush\n")
    target = tmp_path / "slapd.conf"
    options = ("--password-file", str(tmp_path / "secret"), "--output", str(target), "--pass-through")
    assert gateway.run("replica-config", "VAULT", *options).exit_code == 0
    written = target.read_text()
    assert 'credentials="hush"' in written
    assert "set.expand" in written
    assert "overlay remoteauth" in written
    assert ("userPassword" in written, target.stat().st_mode & 0o777) == (False, 0o600)
    assert "olcSyncrepl: {0}rid=001" in gateway.run("replica-config", "branch1", "--ldif").stdout
    passing = gateway.run("replica-config", "branch1", "--ldif", "--pass-through").stdout
    assert "olcRemoteAuthMapping: ldapgw ldap://localhost" in passing
    assert "olcRemoteAuthDomainAttribute: associatedDomain" in passing
    assert "olcModuleLoad: remoteauth" in passing
    assert "back_mdb" not in passing
    assert gateway.run("replica-config", "nobody").exit_code == 1
    (tmp_path / "secret").write_text("\n")
    said = gateway.refused("replica-config", "branch1", "--password-file", str(tmp_path / "secret"))
    assert "--password-file: the first line is empty" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("phones", "import", "/dev/zero"),
        ("replay", "/dev/zero"),
        ("phones", "test", "desk1", "--ca-file", "/dev/zero"),
        ("database", "copy", "--to", "postgresql+psycopg://ldapgw@db/ldapgw", "--password-file", "/dev/zero"),
    ],
    ids=" ".join,
)
def test_an_endless_file_is_refused(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """The command reads no more than the largest file that it needs."""
    monkeypatch.setattr(site, "MAX_FILE_SIZE", 1_000_000)
    gateway.run("phones", "add", "desk1")
    assert gateway.refused(*arguments) == "/dev/zero: is larger than 1 MB\n"


def test_an_output_that_does_not_hold_is_reported() -> None:
    """Another command may take the name of a phone while the login is printed."""
    shown: list[str] = []

    def change(_: Connection) -> str:
        if shown:
            raise UserError("desk1: there is such a phone already")
        return "the login of desk1"

    with closing(open_in_memory()) as database, pytest.raises(UserError) as refused:
        print_then_commit(database, change, shown.append)
    assert (shown, str(refused.value)) == (
        ["the login of desk1"],
        "nothing was changed, so ignore the output above: desk1: there is such a phone already",
    )
