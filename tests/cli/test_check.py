# SPDX-License-Identifier: MIT
"""The tests run ``check``.

Only a real server and a real pool show what the checks of a database server find.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from ldapgw import is_compiled
from ldapgw.cli import check
from ldapgw.contact import Sharing
from ldapgw.directory.book import build_book
from ldapgw.peers.leadership import POOLED
from ldapgw.server import preflight
from ldapgw.server.state_dir import create_state_dir
from ldapgw.store import changes, contacts, phones, tenants
from ldapgw.store.changes import History
from ldapgw.store.database import revisions
from ldapgw.store.phones import LastBind, NumberMode, PhoneLogin
from ldapgw.store.tenants import DelegationSettings, EnteredClient, EnteredDelegation
from ldapgw.sync.book_cache import FOLDER, BookCache, BuiltBook
from tests.google.service_account import key_file
from tests.support.certificates import issue
from tests.support.disk import small_disk
from tests.support.pgbouncer import needs_pgbouncer, pgbouncer
from tests.support.postgresql import Server, needs_postgresql, new_url
from tests.support.site.command_line import ACME, BETA, HEAD, THEN, Gateway
from tests.support.site.running import free_ports
from tests.support.stage.sync import CONTEXT, read_generation

HOST = "phonebook.example.com"
CERTIFICATE, PRIVATE_KEY = "tls.certificate = cert.pem", "tls.private_key = key.pem"
# The item about the installation has these messages.
INSTALLATION = [] if is_compiled() else [check.NOT_COMPILED]
TLS = """
[tls]
certificate = "cert.pem"
private_key = "key.pem"
"""
found = Gateway.checked


def write_pair(gateway: Gateway, **given: Any) -> None:
    """Write a certificate and its private key to the configured files."""
    gateway.write(HEAD + TLS + ACME)
    _, file = issue(**({"host": HOST} | given)).write(gateway.folder)
    file.chmod(0o600)


def test_before_the_first_start(gateway: Gateway, tree) -> None:
    """The command and its JSON tell what the gateway will create, and create nothing.

    The lines for Google are there to copy.
    """
    before = tree()
    result = gateway.run("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.sub(r"\d+ MB", "# MB", result.stdout.replace(str(gateway.folder), "…")).splitlines() == [
        "✓ state_dir = …/state: will be created",
        "✓ database …/state/ldapgw.db: will be created",
        "✓ key file …/state/ldapgw.key: will be created",
        "✓ disk of …/state: # MB free",
        '✓ ldap.listen "tcp:0:interface=127.0.0.1": port 0 of 127.0.0.1 is free',
        '✓ web.listen "tcp:0:interface=127.0.0.1": port 0 of 127.0.0.1 is free',
        "✓ configuration …/ldapgw.toml",
        *(f"! installation: {message}" for message in INSTALLATION),
        "✓ tenant acme: dc=acme,dc=example, page https://phonebook.example.com/acme/",
        "",
        "To register with Google (Google Auth Platform, Clients):",
        "  Authorized redirect URI       https://phonebook.example.com/oauth/callback",
        "  Authorized JavaScript origin  https://phonebook.example.com",
    ]
    told = gateway.json("check")
    assert told["redirect_uri"] == "https://phonebook.example.com/oauth/callback"
    assert told["origin"] == "https://phonebook.example.com"
    assert [(item["item"], item["message"]) for item in told["items"] if item["state"] != "ok"] == [
        ("installation", message) for message in INSTALLATION
    ]
    assert tree() == before


def test_a_database_in_use_is_looked_at_and_not_touched(gateway: Gateway, tree) -> None:
    """The command reads the version of the database, and finds that the key file fits its secrets."""
    gateway.connect("alice@acme.example")
    before = tree()
    items = found(gateway)
    assert items["state_dir = state"] == ("ok", "can be written to")
    assert items["database state/ldapgw.db"] == ("ok", f"version {revisions()[0]}")
    assert items["key file state/ldapgw.key"] == ("ok", "fits the database")
    assert tree() == before


def test_a_store_that_has_to_be_there(gateway: Gateway, tree) -> None:
    """If the database is missing, as on a disk that is not mounted, no command begins with an empty database."""
    gateway.write("new_store = false\n" + HEAD + ACME)
    missing = "there is no database, and new_store is false; mount the disk with the database, restore a backup"
    for _ in range(2):
        before = tree()
        state, message = found(gateway, code=1)["database state/ldapgw.db"]
        assert (state, message[: len(missing)]) == ("failed", missing)
        for command in (("accounts",), ("phones", "add", "desk1", "--tenant", "acme")):
            assert "there is no database, and new_store is false" in gateway.refused(*command)
        assert tree() == before
        gateway.state_dir.mkdir(mode=0o700, exist_ok=True)
    create_state_dir(gateway.state_dir)
    assert found(gateway)["database state/ldapgw.db"] == ("ok", f"version {revisions()[0]}")


def test_numbers_that_have_gone_back(gateway: Gateway) -> None:
    """A cached book that is newer than the database shows that another tool has put back older data."""
    account_id = gateway.connect("alice@acme.example")
    gateway.do(changes.begin_epoch)
    generation = gateway.do(read_generation, account_id)
    assert generation is not None
    epoch, number = generation
    book = build_book(CONTEXT, "0", "alice@acme.example", Sharing.PRIVATE, [], {}, per_number=False)
    key, item = (CONTEXT, account_id, "0", "alice@acme.example", False), "cached books in state"
    for history, cached in ((History(epoch, "1"), number), (History("another", "1"), number + 1)):
        BookCache(gateway.state_dir / FOLDER).save("1", BuiltBook(history, cached, key, book))
        assert item not in found(gateway)
    BookCache(gateway.state_dir / FOLDER).save("1", BuiltBook(History(epoch, "1"), number + 1, key, book))
    assert found(gateway)[item] == (
        "warning",
        "1 is newer than the database, whose numbers have gone back; stop all gateways, delete the folder images in "
        "each state_dir, and start them",
    )


def test_a_database_of_a_newer_version(gateway: Gateway) -> None:
    """A database of a newer version is fine if this version can still use the database."""
    gateway.connect("alice@acme.example")
    with gateway.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        told = ("ok", "is from a newer version, and this version can use it")
        assert found(gateway)["database state/ldapgw.db"] == told


def test_a_database_file_that_everybody_may_read(gateway: Gateway) -> None:
    """The file is outside the state directory, in a folder that other users may enter."""
    folder = gateway.folder / "data"
    folder.mkdir(mode=0o755)
    file = folder / "contacts.db"
    gateway.connect("alice@acme.example")
    shutil.copy(gateway.state_dir / "ldapgw.db", file)
    gateway.write(f'database = "sqlite:///{file}"\n' + HEAD + ACME)
    told = ("ok", f"version {revisions()[0]}")
    assert found(gateway)["database data/contacts.db"] == told
    file.chmod(0o644)
    assert found(gateway, code=1)["database data/contacts.db"] == (
        "failed",
        "everybody can read it; run: chmod 600 data/contacts.db",
    )
    folder.chmod(0o750)
    assert found(gateway)["database data/contacts.db"] == told


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (-1, None),
        (3, ("warning", "is 2 hours behind the last sync; synchronize it, such as with timedatectl set-ntp true")),
    ],
    ids=["right", "behind"],
)
def test_a_clock_that_is_behind(gateway: Gateway, hours: float, told: tuple[str, str] | None) -> None:
    """If the last sync is in the future, the clock is behind."""
    gateway.connect("alice@acme.example")
    moment = datetime.now(UTC) + timedelta(hours=hours)
    with gateway.begin() as connection:
        connection.exec_driver_sql("UPDATE account SET last_sync = ?", (moment.timestamp(),))
    assert found(gateway).get("clock") == told


def test_the_file_alone(gateway: Gateway) -> None:
    """The command looks only at the configuration file, and fails if the file has a problem."""
    gateway.write(HEAD + ACME)
    done = gateway.run("check", "--file-only")
    assert (done.exit_code, done.stdout) == (0, f"✓ {gateway.file}\n")
    assert gateway.json("check", "--file-only")["items"][0]["state"] == "ok"
    assert not gateway.state_dir.exists()
    gateway.write(HEAD + ACME + "nonsense = 1\n")
    assert "nonsense: is not a key of this table" in gateway.refused("check", "--file-only")
    assert gateway.run("check", "--file-only", "--online").exit_code == 2


@needs_postgresql
def test_a_server_before_an_upgrade(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check promises no copy of a database on a server, because the upgrade makes none."""
    url, known = new_url(), revisions()
    monkeypatch.setattr("ldapgw.store.database.revisions", lambda: ("9999", *known))
    gateway.write(f'database = "{url.render_as_string(hide_password=False)}"\n{HEAD}{ACME}')
    messages = [told for item, told in found(gateway).items() if item.startswith("database ")]
    assert messages == [("warning", "is from an older version; the next start upgrades it")]


def test_databases_before_the_next_start(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start upgrades an older database, so an older database is a warning.

    A database in memory is a warning too.
    """
    gateway.connect("alice@acme.example")
    item, known = "database state/ldapgw.db", revisions()
    monkeypatch.setattr("ldapgw.store.database.revisions", lambda: ("9999", *known))
    assert found(gateway)[item] == ("warning", "is from an older version; the next start upgrades it and keeps a copy")
    (gateway.state_dir / "ldapgw.db").write_bytes(b"")
    (gateway.state_dir / "ldapgw.key").unlink()
    assert found(gateway)[item] == ("ok", "is empty; will be set up")
    gateway.write('database = "sqlite://"\n' + HEAD + ACME)
    assert found(gateway)["database"][0] == "warning"


@pytest.mark.parametrize(
    ("pair", "item", "state", "message"),
    [
        ({"days": 29.1}, CERTIFICATE, "warning", "in 29 days; renew it"),
        ({"days": -0.5}, CERTIFICATE, "failed", "has expired on"),
        ({"since": 2}, CERTIFICATE, "failed", "check the machine's clock"),
        ({"host": "*.example.net"}, CERTIFICATE, "warning", "is for *.example.net, not for phonebook.example.com"),
        ({"host": None}, CERTIFICATE, "warning", "names no host"),
        (
            {"host": "*.example.com"},
            CERTIFICATE,
            "ok",
            f"valid until {datetime.now(UTC) + timedelta(days=90):%Y-%m-%d}",
        ),
        ({}, PRIVATE_KEY, "ok", "fits the certificate"),
    ],
    ids=["soon", "expired", "future", "other host", "no host", "wildcard", "key"],
)
def test_a_certificate(gateway: Gateway, pair, item: str, state: str, message: str) -> None:
    write_pair(gateway, **pair)
    told, text = found(gateway, code=state == "failed")[item]
    assert told == state
    assert message in text


def test_a_key_that_everybody_may_read(gateway: Gateway) -> None:
    write_pair(gateway)
    (gateway.folder / "key.pem").chmod(0o644)
    assert found(gateway)[PRIVATE_KEY] == ("warning", "everybody can read it; run: chmod o= key.pem")


@pytest.mark.parametrize(
    ("authority", "state", "message"),
    [
        (lambda: issue("authority", authority=True).pem, "ok", "valid until"),
        (lambda: issue("authority", authority=True, days=-1).pem, "failed", "has expired on"),
        (lambda: b"x", "failed", "expected certificates in PEM, of those who sign phones' certificates"),
    ],
    ids=["good", "expired", "no PEM"],
)
def test_who_signs_the_certificates_of_phones(gateway: Gateway, authority, state: str, message: str) -> None:
    """The command examines the authority of phones' certificates.

    Without require_tls, phones without TLS need no certificate.
    """
    write_pair(gateway)
    gateway.write(HEAD + TLS + 'client_ca = "ca.pem"\n' + ACME)
    (gateway.folder / "ca.pem").write_bytes(authority())
    items = found(gateway, code=state == "failed")
    told, text = items["tls.client_ca = ca.pem"]
    assert (told, text[: len(message)]) == (state, message)
    assert items["tls.client_ca"] == (
        "warning",
        "phones that do not use TLS need no certificate; set ldap.require_tls, or no ldap.listen",
    )


def test_service_accounts(gateway: Gateway) -> None:
    """The command warns of a group without a service account, and of a key file that everybody may read.

    A wrong key fails.
    """
    group = '[[tenant.group]]\nname = "sales"\ngoogle_group = "sales@acme.example"\n'
    missing = (
        "google_group needs a service account, which reads the members of the group: set [[tenant.delegation]], or "
        "enter the service account on the page Google"
    )
    gateway.write(HEAD + ACME + group)
    assert found(gateway)["tenant acme"] == ("warning", missing)
    entered = EnteredDelegation("acme", key_file().decode(), DelegationSettings("alice@acme.example", ("*",)), THEN)
    gateway.do(tenants.enter_delegation, gateway.secret_box, entered)
    items = found(gateway)
    assert items["tenant acme"][0] == "ok"
    assert items["key file state/ldapgw.key"] == ("ok", "fits the database")
    (gateway.state_dir / "ldapgw.key").write_bytes(Fernet.generate_key())
    state, message = found(gateway, code=1)["key file state/ldapgw.key"]
    assert state == "failed"
    assert "service account of acme" in message
    configured = 'key_file = "sa.json"\nadministrator = "alice@acme.example"\nusers = ["*"]\n'
    gateway.write(HEAD + ACME + group + "[[tenant.delegation]]\n" + configured)
    shutil.rmtree(gateway.state_dir)
    file = gateway.folder / "sa.json"
    file.write_bytes(key_file())
    for mode, told in ((0o604, ("warning", "everybody can read it; run: chmod o= sa.json")), (0o600, None)):
        file.chmod(mode)
        items = found(gateway)
        assert (items.get("secret sa.json"), items["tenant acme"][0]) == (told, "ok")


def test_a_proxy_that_inspects(gateway: Gateway) -> None:
    """A warning says what the owner of the proxy's authority can do."""
    gateway.write(HEAD + '[google]\nca_file = "ca.pem"\n' + ACME)
    (gateway.folder / "ca.pem").write_bytes(issue(authority=True).pem)
    items = found(gateway)
    assert items["google.ca_file = ca.pem"][0] == "ok"
    assert items["google.ca_file"] == (
        "warning",
        "whoever holds the key of this authority can read Google's tokens and contacts; people can connect only if the "
        "proxy does not inspect www.googleapis.com (check --online tries it)",
    )


@needs_postgresql
@needs_pgbouncer
@pytest.mark.long  # only a real pool gives a session to several connections, and needs a server with a port
def test_a_pool_in_transaction_mode(gateway: Gateway) -> None:
    """In transaction mode the gateway could neither lead nor listen, so the check fails; session mode is fine."""
    [port] = free_ports(1)
    server = Server.create(listens=True, port=port)
    try:
        server.start()
        for mode, code, told in (
            ("transaction", 1, ("failed", POOLED)),
            ("session", 0, ("ok", "is empty; will be set up")),
        ):
            with pgbouncer(gateway.folder / mode, server, mode, "options") as url:
                gateway.write(f'database = "{url.render_as_string(hide_password=False)}"\n{HEAD}{ACME}')
                items = found(gateway, code=code)
                assert [items[item] for item in items if item.startswith("database ")] == [told]
    finally:
        server.delete()


def test_a_line_about_a_setting_names_the_file(gateway: Gateway) -> None:
    """A line about a setting begins with the configuration file; a line about another file names that file."""
    gateway.write('database = "sqlite://"\n' + HEAD + TLS + ACME.replace('"@acme.example"', '"*"'))
    lines = [line[2:] for line in gateway.run("check").stdout.splitlines() if line.startswith(("! ", "✗ "))]
    assert [line for line in lines if not line.startswith(str(gateway.folder))] == [
        f"installation: {message}" for message in INSTALLATION
    ]
    assert {line.split(": ")[1].split()[0] for line in lines if line.startswith(f"{gateway.file}: ")} == {
        "database",
        "tenant",
        "tls.certificate",
        "tls.private_key",
    }


def test_what_fails_is_counted_on_stderr(gateway: Gateway) -> None:
    gateway.write(HEAD + TLS + ACME)
    result = gateway.run("check")
    assert (result.exit_code, result.stderr) == (1, f"ldapgw: {gateway.file}: check found 2 problems\n")
    assert result.stdout.count("✗ ") == 2


@pytest.mark.parametrize(
    ("change", "item", "message"),
    [
        (('client_id = "client"\nclient_secret = "secret"\n', ""), "tenant acme", "has no Google client yet"),
        (('["@acme.example"]\nadmins = ["root@acme.example"]', "[]"), "tenant acme", "nobody is allowed to connect"),
        (('["@acme.example"]', '["*"]'), "tenant acme", "everybody with a Google account may connect"),
        (
            ('admins = ["root@acme.example"]', 'anonymous_networks = ["0.0.0.0/0"]'),
            "tenant acme",
            "anonymous_networks contains every address",
        ),
        (
            ('admins = ["root@acme.example"]', 'provisioning_networks = ["::/0"]'),
            "tenant acme",
            "provisioning_networks contains every address",
        ),
        (('["tcp:0:interface=127.0.0.1"]', '["tcp:0"]'), "ldap.listen", "cross the network unencrypted"),
        (("https://phonebook.example.com", "https://192.168.1.10"), "web.public_url", "Google refuses redirect URIs"),
    ],
    ids=["client", "nobody", "everybody", "anonymous", "provisioning", "unencrypted", "redirect URI"],
)
def test_warnings(gateway: Gateway, change: tuple[str, str], item: str, message: str) -> None:
    """These settings work, but are probably a mistake; the check succeeds with a warning."""
    gateway.write((HEAD + ACME).replace(*change))
    state, text = found(gateway)[item]
    assert state == "warning"
    assert message in text


def test_settings_of_the_environment(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command lists the variables; their secrets are not in the file, which everybody may read."""
    gateway.write(HEAD + ACME.partition("client_id")[0])
    gateway.file.chmod(0o644)
    monkeypatch.setenv("LDAPGW__TENANT__ACME__CLIENT_ID", "1-a.apps.googleusercontent.com")
    monkeypatch.setenv("LDAPGW__TENANT__ACME__CLIENT_SECRET", "sesame")
    assert found(gateway)["configuration ldapgw.toml"] == ("ok", "")
    names = "LDAPGW__TENANT__ACME__CLIENT_ID, LDAPGW__TENANT__ACME__CLIENT_SECRET"
    assert found(gateway)["environment"] == ("ok", f"sets {names}")


def test_files_of_secrets_that_variables_name(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command warns if everybody can read the file of a secret; the file of another setting may be read."""
    gateway.write(HEAD + ACME.partition("client_id")[0])
    (tmp_path / "key").write_text("0123456789-0123456789_0123456789-0123456789=")
    (tmp_path / "secret").write_text("sesame")
    (tmp_path / "region").write_text("AT")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    proxy = credentials / "LDAPGW__GOOGLE__PROXY"
    proxy.write_text("http://max:secret@127.0.0.1:1")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("LDAPGW__ENCRYPTION_KEY__FROM_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("LDAPGW__TENANT__ACME__CLIENT_ID", "1-a.apps.googleusercontent.com")
    monkeypatch.setenv("LDAPGW__TENANT__ACME__CLIENT_SECRET__FROM_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("LDAPGW__TENANT__ACME__REGION__FROM_FILE", str(tmp_path / "region"))
    files = [tmp_path / "key", tmp_path / "secret", tmp_path / "region", proxy]
    for mode in (0o644, 0o602, 0o600):
        for file in files:
            file.chmod(mode)
        told = {item: (state, message.partition(";")[0]) for item, (state, message) in found(gateway).items()}
        assert [one for item, one in told.items() if item.startswith("secret ")] == (
            [("warning", "everybody can read it")] * 3 if mode != 0o600 else []
        )
    assert not any("region" in item for item in told)


def test_groups_that_are_not_as_they_look(gateway: Gateway) -> None:
    """The command warns of a member without an account, and of a book that is shared with a missing group."""
    gateway.write(HEAD + ACME + 'group = [{ name = "sales", accounts = ["Alice@acme.example", "bob@acme.example"] }]\n')
    gateway.connect("alice@acme.example", sharing=Sharing("group:sales"))
    assert found(gateway)["tenant acme"] == ("warning", "group sales: there is no connected account bob@acme.example")
    gateway.write(HEAD + ACME)
    assert found(gateway)["tenant acme"] == (
        "warning",
        "the contacts of alice@acme.example are shared with the group sales, which is not in [[tenant.group]]: only "
        "the account's own phones find them; add the group, or choose another sharing with ldapgw share",
    )


@pytest.mark.parametrize("key", ["labels", "exclude_labels", "block_label"])
def test_a_label_that_google_does_not_have(gateway: Gateway, key: str) -> None:
    """The command warns of a label that no synced account has; before the first sync there is no warning."""
    account_id = gateway.connect("alice@acme.example")
    value = '"Privte"' if key == "block_label" else '["Privte", "FRIENDS", "starred"]'
    gateway.write(HEAD + ACME + f"{key} = {value}\n")
    assert found(gateway)["tenant acme"][0] == "ok"
    gateway.fill(account_id)
    gateway.do(contacts.set_labels, account_id, {"contactGroups/1": "Friends"})
    assert found(gateway)["tenant acme"] == (
        "warning",
        f"{key}: no account has the label 'Privte' in Google Contacts; correct the setting, or create the label",
    )


def test_a_book_of_the_order_that_is_nobodys(gateway: Gateway) -> None:
    """The command warns of an address without a connected account; addresses may have any case."""
    gateway.write(HEAD + ACME + 'book_order = ["Alice@acme.example", "boss@acme.example", "directory", "own"]\n')
    assert found(gateway)["tenant acme"][0] == "ok"
    gateway.connect("alice@acme.example")
    assert found(gateway)["tenant acme"] == ("warning", "book_order: there is no connected account boss@acme.example")


@pytest.mark.parametrize(
    ("mode", "secret", "state"),
    [(0o640, True, "ok"), (0o644, True, "warning"), (0o666, True, "warning"), (0o644, False, "ok")],
)
def test_a_configuration_that_everybody_may_read(gateway: Gateway, mode: int, secret: bool, state: str) -> None:
    inline = 'client_id = "client"\nclient_secret = "secret"\n'
    gateway.write((HEAD + ACME) if secret else (HEAD + ACME).replace(inline, ""))
    gateway.file.chmod(mode)
    told = "has a client_secret, and everybody can read it; run: chmod o= ldapgw.toml"
    assert found(gateway)["configuration ldapgw.toml"] == (state, told if state == "warning" else "")


def test_other_secrets_in_the_configuration(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passwords of the database and of a proxy count too; passwords from the environment do not."""
    gateway.write(
        'database = "postgresql://someone:secret@127.0.0.1:1/ldapgw"\n'
        + HEAD
        + '[google]\nproxy = "http://max:secret@127.0.0.1:1"\n'
        + ACME.replace('client_id = "client"\nclient_secret = "secret"\n', "")
    )
    gateway.file.chmod(0o604)
    item = "configuration ldapgw.toml"
    assert found(gateway, code=1)[item] == (
        "warning",
        "has a password of the database and a password of a proxy, and everybody can read it; run: chmod o= "
        "ldapgw.toml",
    )
    monkeypatch.setenv("LDAPGW__DATABASE", "postgresql://someone:secret@127.0.0.1:1/ldapgw")
    monkeypatch.setenv("LDAPGW__GOOGLE__PROXY", "http://max:secret@127.0.0.1:1")
    assert found(gateway, code=1)[item] == ("ok", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another group")
def test_files_that_other_groups_may_read(gateway: Gateway) -> None:
    """Only the gateway's own groups may read the configuration, the client's secret and the private key."""
    write_pair(gateway)
    client = gateway.folder / "client.json"
    client.write_text('{"web": {"client_id": "client", "client_secret": "secret"}}')
    inline = 'client_id = "client"\nclient_secret = "secret"\n'
    gateway.write(HEAD + TLS + ACME.replace(inline, 'client_secret_file = "client.json"\n') + BETA)
    files = (gateway.file, client, gateway.folder / "key.pem")
    gateway.state_dir.mkdir(mode=0o700)
    nobody = pwd.getpwnam("nobody")
    os.chown(gateway.state_dir, nobody.pw_uid, nobody.pw_gid)
    items = ("configuration ldapgw.toml", "secret client.json", PRIVATE_KEY)
    for group, told in ((nobody.pw_gid, "ok"), (0, "ok"), (54321, "warning")):
        for file in files:
            os.chown(file, 0, group)
            file.chmod(0o640)
        states = found(gateway)
        assert {states.get(item, ("ok", ""))[0] for item in items} == {told}
    assert [states[item][1] for item in items] == [
        "has a client_secret, and the group 54321 can read it; run: chmod g= ldapgw.toml",
        "the group 54321 can read it; run: chmod g= client.json",
        "the group 54321 can read it; run: chmod g= key.pem",
    ]
    client.chmod(0o604)
    assert found(gateway)["secret client.json"][1] == "everybody can read it; run: chmod o= client.json"


def test_old_keys_are_named(gateway: Gateway) -> None:
    """The command says when each old key can be deleted; an old key that other users can read fails."""
    gateway.connect("alice@acme.example")
    gateway.run("rotate-key")
    [kept] = gateway.state_dir.glob("ldapgw.key.*")
    day = kept.name.removeprefix("ldapgw.key.")
    item = f"old key state/{kept.name}"
    assert found(gateway)[item] == (
        "ok",
        f"is for backups from before the rotation on {day}; delete the file when you have no such backups any more",
    )
    kept.chmod(0o640)
    assert found(gateway, code=1)[item] == (
        "failed",
        f"other users can read the key file; run: chmod 600 state/{kept.name}",
    )


def test_a_disk_without_room(gateway: Gateway) -> None:
    """A full disk fails, and a disk with little room for the next upgrade is a warning."""
    with small_disk(gateway.state_dir, 100_000):
        item, told = "disk of state", "MB free; make room: an upgrade may need 200 MB and 1000 inodes"
        state, message = found(gateway)[item]
        assert (state, message.partition(" ")[2]) == ("warning", told)
    gateway.state_dir.rmdir()
    with small_disk(gateway.state_dir, 1000):
        state, message = found(gateway, code=1)[item]
        assert (state, message) == ("failed", "is full, the gateway cannot store anything: 1 MB free; make room")


@pytest.mark.parametrize(
    ("free", "inodes", "database", "state", "message"),
    [
        (300_000_000, (5000, 2000), 0, "ok", "300 MB free"),
        (300_000_000, (5000, 2000), 151_000_000, "warning", "300 MB free; make room: an upgrade may need 302 MB and"),
        (
            300_000_000,
            (5000, 999),
            0,
            "warning",
            "300 MB and 999 inodes free; make room: an upgrade may need 200 MB and",
        ),
        (300_000_000, (5000, 0), 0, "failed", "is full, the gateway cannot store anything: 300 MB and 0 inodes free"),
        (300_000_000, (0, 0), 0, "ok", "300 MB free"),
        (16_000_000, (5000, 2000), 0, "failed", "is full, the gateway cannot store anything: 16 MB free; make room"),
    ],
    ids=["room", "large database", "few inodes", "no inodes", "without inodes", "no room"],
)
def test_room_on_a_disk(free: int, inodes: tuple[int, int], database: int, state: str, message: str) -> None:
    """An upgrade needs twice the size of the database; a file system such as btrfs has no number of inodes."""
    files, available = inodes
    room = os.statvfs_result(
        (4096, 1000, free // 1000, free // 1000, free // 1000, files, available, available, 0, 255)
    )
    result = preflight._disk("disk", room, max(preflight.MIN_FREE, 2 * database))
    assert (result.status, result.message[: len(message)]) == (state, message)


def test_tls_that_phones_need_not_use(gateway: Gateway) -> None:
    """The command warns while passwords may still cross the network without TLS."""
    write_pair(gateway)
    listening = gateway.file.read_text().replace('["tcp:0:interface=127.0.0.1"]', '["tcp:0"]')
    gateway.write(listening)
    assert found(gateway)["ldap.require_tls"][0] == "warning"
    gateway.write(listening.replace("[ldap]", "[ldap]\nrequire_tls = true"))
    assert "ldap.require_tls" not in found(gateway)


def test_passwords_that_crossed_the_internet(gateway: Gateway) -> None:
    """The command counts logins without TLS from public addresses.

    Behind a proxy that ends TLS the gateway cannot tell.
    """
    addresses = {"desk1": ("192.168.1.7", False), "desk2": ("8.8.4.4", True), "desk3": ("2a00:1450::1", False)}
    with gateway.begin() as connection:
        for name, (address, over_tls) in addresses.items():
            phones.add(connection, PhoneLogin(name, "acme", None, NumberMode.VALUES, "hash", THEN))
            phones.store_last_binds(connection, {name: LastBind(THEN, address, "hash", over_tls)})
    state, message = found(gateway)["ldap.listen"]
    assert state == "warning"
    assert message.startswith("1 phone (desk3) sent the password without TLS from a public address; set ")
    gateway.do(phones.set_password, "desk3", "another", THEN)
    assert "without TLS from a public" not in str(found(gateway))
    gateway.write(gateway.file.read_text().replace("[ldap]", '[ldap]\nproxy_protocol = ["192.0.2.1"]'))
    assert "without TLS from a public" not in str(found(gateway))


def test_a_client_that_was_entered_on_the_page(gateway: Gateway) -> None:
    """The tenant then has a client, and the client's secret shows that the key fits."""
    gateway.write((HEAD + ACME).replace('client_id = "client"\nclient_secret = "secret"\n', ""))
    gateway.do(tenants.enter_client, gateway.secret_box, EnteredClient("acme", "1-a", "hush", 1790000000.0))
    items = found(gateway)
    assert items["tenant acme"][0] == "ok"
    assert ("ok", "fits the database") in items.values()


def test_the_calls_of_each_google_project(gateway: Gateway) -> None:
    """Tenants with clients of one Google project share its limit.

    If the calls do not fit, the command names an interval.
    """
    one_project = [text.replace('client_id = "client"', 'client_id = "7-a"') for text in (ACME, BETA)]
    sources = 'sources = ["contacts", "other_contacts", "directory"]\n'
    gateway.write(HEAD + one_project[0] + sources + one_project[1])
    item = "google.calls_per_minute"
    assert item not in found(gateway)
    gateway.connect("alice@acme.example")
    assert found(gateway)[item] == (
        "ok",
        "Google project 7: 1 account × 2 calls every 10m make 0.2 of at most 120 calls a minute",
    )
    for number in range(24):
        gateway.connect(f"user{number}@beta.example", "beta")
    gateway.write(HEAD + "[google]\ncalls_per_minute = 3\n" + "".join(one_project))
    assert found(gateway)[item] == (
        "ok",
        "Google project 7: 25 accounts × 1 call every 10m make 2.5 of at most 3 calls a minute",
    )
    gateway.write(HEAD + "[google]\ncalls_per_minute = 2\n" + "".join(one_project))
    assert found(gateway)[item] == (
        "warning",
        "Google project 7: 25 accounts × 1 call every 10m make 2.5 of at most 2 calls a minute; "
        'set sync.interval = "13m" or longer',
    )


def test_tenants_that_left_the_configuration(gateway: Gateway) -> None:
    """Accounts of such a tenant are neither synced nor served, which only this warning shows."""
    gateway.write(HEAD + ACME + BETA)
    gateway.connect("alice@acme.example")
    gateway.connect("bob@beta.example", "beta")
    assert found(gateway)["tenant beta"][0] == "ok"
    gateway.write(HEAD + ACME)
    assert found(gateway)["tenant beta"] == (
        "warning",
        "is not in the configuration, but has 1 account, which stay stored and are neither synced nor served",
    )


@pytest.mark.parametrize(
    ("proxies", "readers", "warned"),
    [
        ("127.0.0.1", "127.0.0.0/8", False),
        ("10.0.0.7", "10.0.0.0/8", True),
        ("10.0.0.0/8", "10.0.0.7", True),
        ("10.0.0.7", "192.168.0.0/16", False),
        ("10.0.0.7", "fd00::/8", False),
        ("127.0.0.1", "0.0.0.0/0", True),
    ],
)
@pytest.mark.parametrize("key", ["trusted_proxies", "proxy_protocol"])
def test_a_proxy_in_the_networks_of_others(
    gateway: Gateway, proxies: str, readers: str, warned: bool, key: str
) -> None:
    """A client that a proxy does not name has the proxy's address, so the networks should not contain the proxy."""
    web = f'{key} = ["{proxies}"]\nmetrics_networks = ["{readers}"]\n'
    text = (HEAD + ACME).replace("[web]\n", "[web]\n" + web)
    gateway.write(f'{text}provisioning_networks = ["{readers}"]\n')
    told = found(gateway)
    for setting in ("web.metrics_networks", "tenant.acme.provisioning_networks"):
        assert (told.get(setting, ("", ""))[0] == "warning") is warned
