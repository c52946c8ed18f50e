# SPDX-License-Identifier: MIT
"""``check``, a start and a reload report the same problem in the same line.

Only a database server can be empty and can have the keys of other gateways.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from twisted.internet.testing import MemoryReactorClock

from ldapgw.errors import UserError
from ldapgw.server.check_result import Moment, Subject
from ldapgw.server.config import load
from ldapgw.server.gateway import makeService
from ldapgw.server.preflight import require, require_start
from ldapgw.server.state_dir import create_state_dir
from ldapgw.store import gateways
from ldapgw.store.database import Mode
from ldapgw.store.engines import database_at
from ldapgw.store.gateways import GatewayInfo
from ldapgw.store.secrets import SecretBox, new_key, read_keys, write_keys
from tests.support.certificates import issue
from tests.support.postgresql import TEMPLATE, needs_postgresql, new_url
from tests.support.site.command_line import ACME, HEAD, Gateway

TLS = '[tls]\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n'
# The preflight must find a port in use while a test runs.
LISTEN = '["tcp:0:interface=127.0.0.1"]'


@pytest.fixture(name="site")
def _site(gateway: Gateway) -> Gateway:
    """The gateway has a certificate and a connected account, and could start."""
    issue().write(gateway.folder)
    (gateway.folder / "key.pem").chmod(0o600)
    (gateway.folder / "other.pem").write_bytes(issue(which=7).key_pem())
    (gateway.folder / "secret.pem").write_bytes(issue().key_pem(BestAvailableEncryption(b"x")))
    gateway.write(HEAD + TLS + ACME)
    gateway.connect("alice@acme.example")
    return gateway


def at_check(site: Gateway) -> list[str]:
    result = site.run("check")
    failed = [line[2:] for line in result.stdout.splitlines() if line.startswith("✗ ")]
    refused = [line.removeprefix("ldapgw: ") for line in result.stderr.splitlines()]
    return failed or refused


def at_start(site: Gateway) -> list[str]:
    reactor = MemoryReactorClock()
    try:
        config = load(str(site.file))
        require_start(config)
        makeService(config, reactor, reactor)
    except UserError as error:
        return list(error.lines(str(site.file)))
    return []


def at_reload(site: Gateway, former: str) -> list[str]:
    """Return the problems at a reload."""
    file = site.folder / "former.toml"
    file.write_text(former)
    try:
        require(Subject(Moment.RELOAD, load(str(site.file)), current=load(str(file))))
    except UserError as error:
        return list(error.lines(str(site.file)))
    return []


def at_each_moment(site: Gateway, former: str = "") -> list[str]:
    """Return the problems, which are the same at `check`, a start and a reload.

    :param former: the configuration that is served; empty: the present one.
    """
    found = at_check(site)
    assert at_start(site) == found
    assert at_reload(site, former or site.file.read_text()) == found
    return found


def setting(old: str, new: str) -> Callable[[Gateway], None]:
    """Return a change of the configuration file."""

    def change(site: Gateway) -> None:
        text = site.file.read_text()
        assert old in text
        site.write(text.replace(old, new, 1))

    return change


def content(name: str, octets: bytes | None) -> Callable[[Gateway], None]:
    """Return a change of a file; None removes the file."""

    def change(site: Gateway) -> None:
        (site.folder / name).unlink()
        if octets is not None:
            (site.folder / name).write_bytes(octets)

    return change


def newer_version(site: Gateway) -> None:
    with site.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("UPDATE schema_version SET readable_from = '9999'")


def unfinished_copy(site: Gateway) -> None:
    with site.begin() as connection:
        connection.exec_driver_sql("UPDATE schema_version SET copied_from = 'another database'")


def lost_account(site: Gateway) -> None:
    (site.state_dir / "images").mkdir()
    (site.state_dir / "images" / "2.image").touch()


def other_key(site: Gateway) -> None:
    (site.state_dir / "ldapgw.key").unlink()
    write_keys(site.state_dir / "ldapgw.key", [new_key()])


def without_database(site: Gateway) -> None:
    for file in site.state_dir.glob("ldapgw.*"):
        file.unlink()
    setting("\nstate_dir", "\nnew_store = false\nstate_dir")(site)


TROUBLES: dict[str, tuple[Callable[[Gateway], object], list[str]]] = {
    "no TOML": (setting("[ldap]", "[ldap"), ["FILE: is not TOML: Expected ']' at the end of a table declaration"]),
    "unknown key": (setting("[ldap]", "[ldap]\nsize = 5"), ["FILE: ldap.size: is not a key of this table"]),
    "secret file missing": (
        setting('client_id = "client"\nclient_secret = "secret"', 'client_secret_file = "none.json"'),
        ['FILE: tenant "acme": client_secret_file = '],
    ),
    "setting missing": (setting('private_key = "key.pem"\n', ""), ["FILE: tls.private_key: is missing"]),
    "certificate missing": (
        content("cert.pem", None),
        ["FILE: tls.certificate = FOLDER/cert.pem: cannot be read: No such file or directory"],
    ),
    "no certificate": (
        content("cert.pem", b"x"),
        ["FILE: tls.certificate = FOLDER/cert.pem: expected certificates in PEM, the server's own first"],
    ),
    "no key": (content("key.pem", b"x"), ["FILE: tls.private_key = FOLDER/key.pem: expected a private key in PEM"]),
    "key of another certificate": (
        setting('"key.pem"', '"other.pem"'),
        [
            "FILE: tls.private_key = FOLDER/other.pem: does not belong to the first certificate of FOLDER/cert.pem "
            "(key values mismatch)"
        ],
    ),
    "passphrase": (
        setting('"key.pem"', '"secret.pem"'),
        ["FILE: tls.private_key = FOLDER/secret.pem: is protected by a passphrase, for which nobody can be asked"],
    ),
    "both files missing": (
        setting('"cert.pem"\nprivate_key = "key.pem"', '"none.pem"\nprivate_key = "none.key"'),
        ["FILE: tls.certificate = FOLDER/none.pem: cannot be", "FILE: tls.private_key = FOLDER/none.key: cannot be"],
    ),
    "authority missing": (
        setting("[tls]", '[tls]\nclient_ca = "none.pem"'),
        ["FILE: tls.client_ca = FOLDER/none.pem: cannot be read: No such file or directory"],
    ),
    "authority of Google missing": (
        setting("[tls]", '[google]\nca_file = "none.pem"\n[tls]'),
        ["FILE: google.ca_file = FOLDER/none.pem: cannot be read: No such file or directory"],
    ),
    "address of another machine": (
        setting(LISTEN, '["tcp:0:interface=192.0.2.1"]'),
        ['FILE: ldap.listen "tcp:0:interface=192.0.2.1": 192.0.2.1 is not an address of this machine'],
    ),
    "folder open": (
        lambda site: site.state_dir.chmod(0o755),
        ["FILE: state_dir = FOLDER/state: everybody can read it; run"],
    ),
    "newer database": (
        newer_version,
        [
            "database FOLDER/state/ldapgw.db: was made by a newer version of ldapgw; install that version, or restore "
            "a backup from before its upgrade; nothing was changed"
        ],
    ),
    "unfinished copy": (
        unfinished_copy,
        ["database FOLDER/state/ldapgw.db: a copy into this database was not finished; run the same ldapgw"],
    ),
    "damaged database": (
        content("state/ldapgw.db", b"this is no database, " * 500),
        ["database FOLDER/state/ldapgw.db: cannot be used: file is not a database; put a backup back"],
    ),
    "database gone": (
        content("state/ldapgw.db", None),
        ["database FOLDER/state/ldapgw.db: the database is gone, but its key"],
    ),
    "database empty": (
        content("state/ldapgw.db", b""),
        ["database FOLDER/state/ldapgw.db: the database is empty, but its key"],
    ),
    "account lost": (
        lost_account,
        ["database FOLDER/state/ldapgw.db: 1 account is missing from the database, although the account has"],
    ),
    "key file open": (
        lambda site: (site.state_dir / "ldapgw.key").chmod(0o644),
        ["key file FOLDER/state/ldapgw.key: other users can read the key file; run: chmod 600"],
    ),
    "key file missing": (
        content("state/ldapgw.key", None),
        ["key file FOLDER/state/ldapgw.key: the key file is missing, so the stored consents cannot be read"],
    ),
    "other key": (
        other_key,
        ["key file FOLDER/state/ldapgw.key: stored secrets do not fit the key file (account 1 of acme); put back"],
    ),
    "other key configured": (
        setting("\nstate_dir", f'\nencryption_key = "{new_key().decode()}"\nstate_dir'),
        ["key file FOLDER/state/ldapgw.key: has a key that encryption_key lacks; add this key"],
    ),
    "no database": (
        without_database,
        ["database FOLDER/state/ldapgw.db: there is no database, and new_store is false; mount"],
    ),
}


@pytest.mark.parametrize(("trouble", "lines"), TROUBLES.values(), ids=list(TROUBLES))
def test_a_problem_is_the_same_line_at_each_moment(
    site: Gateway, trouble: Callable[[Gateway], None], lines: list[str]
) -> None:
    """A start and a reload refuse what `check` calls failed."""
    former = site.file.read_text()
    assert (at_check(site), at_reload(site, former)) == ([], [])
    trouble(site)
    found = at_each_moment(site, former)
    expected = [line.replace("FILE", str(site.file)).replace("FOLDER", str(site.folder)) for line in lines]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_a_port_in_use_is_the_same_line_at_each_moment(site: Gateway) -> None:
    """The preflight does not try ports that this process listens on already."""
    former = site.file.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        endpoint = f"tcp:{port}:interface=127.0.0.1"
        setting(LISTEN, f'["{endpoint}"]')(site)
        expected = [
            f'{site.file}: ldap.listen "{endpoint}": port {port} of 127.0.0.1 is in use by another program; end that '
            "program, or set another port"
        ]
        assert at_each_moment(site, former) == expected
        require_start(load(str(site.file)), [endpoint])
        assert at_reload(site, site.file.read_text()) == []


def test_a_server_that_is_away_is_the_same_line_at_each_moment(site: Gateway) -> None:
    """The line does not show the password."""
    site.write('database = "postgresql://someone:secret@127.0.0.1:1/ldapgw"\n' + HEAD + ACME)
    expected = ["database postgresql://127.0.0.1:1/ldapgw: cannot be reached: Connection refused"]
    assert at_each_moment(site) == expected


def on_server(site: Gateway, template: str, settings: str = "") -> str:
    """Use a new database on a server; return its name in messages.

    :param template: the database to copy; "template0" is empty.
    """
    url = new_url(template)
    site.write(f'database = "{url.render_as_string(hide_password=False)}"\n' + settings + HEAD + ACME)
    with closing(database_at(url)) as database:
        return database.name


@needs_postgresql
@pytest.mark.parametrize("has_former", [False, True], ids=["no store", "former file"])
def test_an_empty_server_is_the_same_line_at_each_moment(site: Gateway, *, has_former: bool) -> None:
    """The settings need an existing database, or the folder still has the former database."""
    name = on_server(site, "template0", "" if has_former else "new_store = false\n")
    if not has_former:
        (site.state_dir / "ldapgw.db").unlink()
    former = f"there is {site.state_dir}/ldapgw.db; copy the file with ldapgw database copy, or move the file away"
    [line] = at_each_moment(site)
    assert line.startswith(f"database {name}: is empty, and {former if has_former else 'new_store is false; restore'} ")


@needs_postgresql
def test_another_key_than_that_of_other_gateways_is_the_same_line_at_each_moment(site: Gateway) -> None:
    """Neither gateway could read the secrets that the other gateway has sealed."""
    on_server(site, TEMPLATE)
    there = GatewayInfo("1", "south.example", "1.0", keys=SecretBox([new_key()]).fingerprints())
    with closing(database_at(load(str(site.file)).database)) as database:
        database.open()
        database.call(Mode.BESIDE, gateways.beat, there)
    key = f"{site.state_dir}/ldapgw.key"
    expected = [
        f"key file {key}: differs from the key of the gateway on south.example; copy the ldapgw.key of that "
        "gateway to this gateway"
    ]
    assert at_each_moment(site) == expected


def test_a_folder_that_cannot_be_created_is_the_same_line_at_each_moment(gateway: Gateway) -> None:
    """A reload cannot change the folder, so only `check` and a start examine another folder."""
    gateway.write((HEAD + ACME).replace('"state"', '"/proc/1/ldapgw"'))
    expected = [
        f"{gateway.file}: state_dir = /proc/1/ldapgw: cannot be created: /proc/1 cannot be written to by this user"
    ]
    assert at_check(gateway)[:1] == expected
    assert at_start(gateway) == expected


def test_a_reload_tries_the_tokens_when_a_key_is_gone(site: Gateway) -> None:
    """A reload tries the tokens only if a key that fits them may be gone."""
    file = site.state_dir / "ldapgw.key"
    config, keys = load(str(site.file)), read_keys(file)
    subject = Subject(Moment.RELOAD, config, current=config, keys=frozenset(keys))
    write_keys(file, [new_key(), *keys])
    require(subject)
    write_keys(file, [new_key()])
    with pytest.raises(UserError, match="stored secrets do not fit the key file"):
        require(subject)


def test_a_start_names_all_problems(site: Gateway) -> None:
    """A start names the problems that `check` names, before anything is created."""
    site.write(HEAD.replace(LISTEN, '["tcp:0:interface=192.0.2.1"]', 1) + TLS + ACME)
    content("cert.pem", None)(site)
    assert at_start(site) == at_check(site)
    assert len(at_start(site)) == 2


def test_a_second_start_is_refused(site: Gateway) -> None:
    """The start does not try the ports of the gateway that runs."""
    with socket.create_server(("127.0.0.1", 0)) as served, site.running():
        setting(LISTEN, f'["tcp:{served.getsockname()[1]}:interface=127.0.0.1"]')(site)
        [line] = at_start(site)
    assert line.startswith(f"{site.file}: state_dir = {site.state_dir}: is in use by another gateway (process ")


def test_an_expired_certificate_is_served(gateway: Gateway) -> None:
    """`check` fails, but a start and a reload go on, because phones that do not check the certificate still work."""
    issue(days=-1).write(gateway.folder)
    gateway.write(HEAD + TLS + ACME)
    create_state_dir(gateway.state_dir)
    [line] = at_check(gateway)
    assert line.startswith(f"{gateway.file}: tls.certificate = {gateway.folder}/cert.pem: has expired on ")
    assert at_start(gateway) == []
    assert at_reload(gateway, gateway.file.read_text()) == []
