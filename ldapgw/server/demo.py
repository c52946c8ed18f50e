# SPDX-License-Identifier: MIT
"""``ldapgw demo``: the sandbox and a gateway in one process, with a connected account and a phone.

With ``--workspace``, a service account reads the contacts of a company of 200 people, and nobody has to consent.

This module is an entry point, which imports the reactor and passes the reactor on.  The demo writes a configuration
file into its folder, so that other commands can use the demo.  At the end, the demo removes all its files, including
its folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import join, quote
from urllib.parse import parse_qs, urlsplit

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.server import Site

from ldapgw.contact import Source
from ldapgw.directory.naming_context import phone_dn
from ldapgw.directory.passwords import generate_password, hash_password
from ldapgw.errors import LdapgwError, UserError
from ldapgw.google.sandbox.app import AUTHORIZATION, sandbox
from ldapgw.google.sandbox.delegation import key_file
from ldapgw.google.sandbox.tenant import (
    ADMINISTRATOR,
    ALICE,
    CLIENT_ID,
    CLIENT_SECRET,
    DOMAIN,
    SALES,
    demo_world,
    workspace_world,
)
from ldapgw.google.sandbox.world import World
from ldapgw.server import config
from ldapgw.server.config import Config
from ldapgw.server.foreground import stop_on_signals
from ldapgw.server.gateway import makeService
from ldapgw.server.listener import Listener
from ldapgw.server.reactor import WallClock, use_monotonic_clock
from ldapgw.server.state_dir import StateDir, lock_holder_pid
from ldapgw.store import accounts, phones
from ldapgw.store.accounts import Account
from ldapgw.store.database import Database
from ldapgw.store.files import replace_file
from ldapgw.store.phones import NumberMode, PhoneLogin

TENANT = "acme"
PHONE = "desk1"
# A file that distinguishes a demo's folder from a gateway's state_dir.
MARKER_FILE = "this-is-a-demo"
CONFIG_FILE = "ldapgw.toml"
KEY_FILE = "service-account.json"
# Seconds to wait for the first sync, which takes a second, or ten on a slow machine.
FIRST_SYNC_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the demo, all on 127.0.0.1.

    The number 0 stands for the preferred port, or for any free port if the preferred port is in use.
    """

    web: int = 0
    ldap: int = 0
    sandbox: int = 0


PREFERRED_PORTS = Ports(web=8080, ldap=3389, sandbox=8090)


def run_demo(folder: Path, ports: Ports, print_line: Callable[[str], None], *, workspace: bool = False) -> int:
    """Run the demo until SIGTERM or Ctrl-C.

    :param folder: the folder for the demo's state, which the demo creates, and removes at the end.
    :param print_line: prints a line of text.
    :param workspace: whether to show a Workspace with a service account instead of a consent.
    :returns: the exit status.
    :raises UserError: when the folder or a port cannot be used.
    """
    pid = lock_holder_pid(folder)
    if pid is not None:
        raise UserError(f"{folder}: another demo runs in this folder (process {pid})")
    free = Ports(*(_port(getattr(ports, name), getattr(PREFERRED_PORTS, name)) for name in ("web", "ldap", "sandbox")))
    failures: list[Failure] = []
    _prepare_folder(folder)
    try:
        clock = use_monotonic_clock(reactor)
        make_world = workspace_world if workspace else demo_world
        world = make_world(now=clock.seconds, random=os.urandom, issuer=f"http://127.0.0.1:{free.sandbox}")
        settings = _config(folder, free, key_file(world) if workspace else None)
        world.set_client(redirect_uris=(settings.redirect_uri,))
        Deferred.fromCoroutine(_demo(settings, free, world, clock, print_line)).addErrback(_stop_on_failure, failures)
        if not failures:
            reactor.run()
    finally:
        _remove_folder(folder)
    if failures:
        failures[0].raiseException()
    return 0


async def _demo(
    settings: Config, ports: Ports, world: World, clock: WallClock, print_line: Callable[[str], None]
) -> None:
    print_line("Starting the sandbox, a stand-in for Google …")
    listener = Listener(reactor, "sandbox", f"tcp:{ports.sandbox}:interface=127.0.0.1", Site(sandbox(world)))
    listener.privilegedStartService()
    print_line("Starting the gateway …")
    gateway = makeService(settings, reactor, clock, file=str(Path(settings.state_dir) / CONFIG_FILE))
    gateway.begin()
    stop_on_signals(gateway)
    page = f"{settings.web.public_url}/{TENANT}/"
    (admin,) = settings.tenant[0].admins
    if settings.tenant[0].delegation:
        print_line(f"Reading the contacts of {DOMAIN} with the service account …")
    else:
        print_line(f"Connecting {admin} through the OAuth consent, and switching the company directory on …")
        await _connect(page, admin)
    database = StateDir.of(settings).database()
    database.open()
    account = await _wait_for_first_sync(database, admin)
    password = _add_phone(database, account, clock.seconds())
    database.close()
    bind_dn = str(phone_dn(PHONE, settings.tenant[0].naming_context().base))
    await deferLater(reactor, 2.0)  # the gateway notices the new phone within 2 s
    for line in _summary_lines(settings, ports, account, page, bind_dn, password):
        print_line(line)


async def _connect(page: str, address: str) -> None:
    """Connect the account, and switch the directory on, as the account's owner does in a browser."""
    http = HTTPClient(Agent(reactor))
    await _consent(http, f"{page}connect", address, page)
    account_page = await (await http.get(f"{page}account")).text()
    token = re.search('name="token" value="([^"]+)"', account_page)
    form = {"token": token[1] if token else "", "source": Source.DIRECTORY.value, "switch": "on"}
    answer = await http.post(f"{page}source", data=form)
    # The page leads to Google by the header ``Refresh``, because the page's Content-Security-Policy forbids forms that
    # redirect to another host.
    refresh = answer.headers.getRawHeaders("refresh", [f"0; url={page}account"])[0]
    await _consent(http, refresh.removeprefix("0; url="), address, f"{page}account")


async def _consent(http: HTTPClient, url: str, address: str, end: str) -> None:
    """Grant everything that the sandbox's consent page asks for.

    :param url: a URL that leads to the consent page.
    :param address: the address of the account that is chosen on the consent page.
    :param end: the URL of the gateway's page at which the consent ends.
    """
    consent_page = (await http.get(url)).request.absoluteURI.decode()
    scopes = parse_qs(urlsplit(consent_page).query).get("scope", [""])[0].split()
    form = {"account": address, "scope": scopes, "decision": "continue"}
    # Twisted resolves relative redirects against the host of the first request.  The consent page redirects to another
    # host, the gateway, so a new request begins there.
    redirect = await http.post(consent_page, data=form, allow_redirects=False)
    answer = await http.get(redirect.headers.getRawHeaders("location", [consent_page])[0])
    reached = answer.request.absoluteURI.decode()
    if answer.code != 200 or reached != end:
        raise UserError(f"the consent did not end on {end} but on {reached} with status {answer.code}")


def _summary_lines(
    settings: Config, ports: Ports, account: Account, page: str, bind_dn: str, password: str
) -> list[str]:
    search = ["ldapsearch", "-x", "-LLL", "-H", f"ldap://127.0.0.1:{ports.ldap}", "-D", bind_dn, "-w", password]
    search += ["-b", str(settings.tenant[0].base_dn), "(cn=mul*)", "cn", "telephoneNumber", "mobile"]
    sources = "              Under “Account and sharing”, switch on more contacts, and see Google ask for them."
    staff = "The contacts of all other people follow within a minute; nobody has to consent."
    return [
        f"{account.contacts} contacts with {account.numbers} numbers are synced.",
        *([staff] if settings.tenant[0].delegation else []),
        "",
        f"Page:         {page}  (sign in as {account.address}, an administrator)",
        f"              There, under Phones, {PHONE} has its settings; or add a phone of your own.",
        *([] if settings.tenant[0].delegation else [sources]),
        f"Sandbox:      {settings.google.people_api}/",
        f"Phone login:  {bind_dn}  password {password}",
        "A search, to paste into another terminal:",
        join(search),
        "",
        "To use the other commands with this demo, paste into another terminal:",
        f"export LDAPGW_CONFIG={quote(str(Path(settings.state_dir) / CONFIG_FILE))}",
        f"{_command()} lookup mül --phone {PHONE}",
        f"{_command()} phones add desk2 --account {account.address} --model yealink",
        "",
        "Ctrl-C ends the demo.",
    ]


def _command() -> str:
    """Return the shell command of this installation: ``ldapgw``, or the path if the shell does not find the command."""
    script = Path(sys.executable).with_name("ldapgw")
    found = shutil.which("ldapgw")
    if script.exists() and (found is None or not script.samefile(found)):
        return quote(str(script))
    return "ldapgw"


async def _wait_for_first_sync(database: Database, address: str) -> Account:
    deadline = reactor.seconds() + FIRST_SYNC_TIMEOUT_SECONDS
    while reactor.seconds() < deadline:
        with database.begin() as connection:
            connected = accounts.find_by_address(connection, address)
        if connected and connected[0].last_sync is not None and not _is_sync_due(connected[0]):
            return connected[0]
        await deferLater(reactor, 0.1)
    raise UserError("the first sync did not end; this should not happen, please report it")


def _is_sync_due(account: Account) -> bool:
    """Return whether a sync of an account is running or requested."""
    return account.syncing or account.requested_sync is not None or account.pending_sync is not None


def _add_phone(database: Database, account: Account, now: float) -> str:
    password = generate_password(os.urandom)
    hashed = hash_password(password, os.urandom)
    with database.begin() as connection:
        phones.add(connection, PhoneLogin(PHONE, TENANT, account.id, NumberMode.VALUES, hashed, now))
    return password


def _config(folder: Path, ports: Ports, service_account: bytes | None) -> Config:
    """Write the demo's configuration file, and read it as every command does.

    :param service_account: the key file of the service account, which is written into the folder, or None.
    """
    file = folder.absolute() / CONFIG_FILE
    document = _DOCUMENT.format(
        state_dir=json.dumps(str(folder.absolute())),  # a JSON text is valid TOML too
        ports=ports,
        google=f"http://127.0.0.1:{ports.sandbox}",
        authorization=AUTHORIZATION,
        tenant=TENANT,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        admin=ALICE if service_account is None else ADMINISTRATOR,
    )
    if service_account is not None:
        key = folder.absolute() / KEY_FILE
        with replace_file(key) as new:
            new.write_bytes(service_account)
        document += _DELEGATION.format(
            key_file=json.dumps(str(key)), administrator=ADMINISTRATOR, domain=DOMAIN, sales=SALES
        )
    with replace_file(file) as new:
        new.write_bytes(document.encode())
    return config.load(str(file), {})


_DOCUMENT = """\
# The configuration of a demo, which the demo deletes at its end.
state_dir = {state_dir}

[ldap]
listen = ["tcp:{ports.ldap}:interface=127.0.0.1"]

[web]
listen = ["tcp:{ports.web}:interface=127.0.0.1"]
public_url = "http://localhost:{ports.web}"

[sync]
interval = "5s"

[google]
authorization_endpoint = "{google}{authorization}"
token_endpoint = "{google}/token"
revocation_endpoint = "{google}/revoke"
people_api = "{google}"
admin_api = "{google}"
issuer = "{google}"

[[tenant]]
name = "{tenant}"
title = "Acme GmbH"
base_dn = "dc=acme,dc=example"
client_id = "{client_id}"
client_secret = "{client_secret}"
admins = ["{admin}"]
allowed_users = ["*"]
sources = ["contacts", "other_contacts", "directory"]
"""


_DELEGATION = """\
remove_leavers = "14d"

[[tenant.group]]
name = "sales"
google_group = "{sales}"

[[tenant.delegation]]
key_file = {key_file}
administrator = "{administrator}"
users = ["@{domain}"]
"""


def _port(requested: int, preferred: int) -> int:
    """Return the requested port if it is free; if no port is requested, return the preferred port or any free port."""
    for port in [requested] if requested else [preferred, 0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise UserError(f"port {requested} on 127.0.0.1 is in use")


def _prepare_folder(folder: Path) -> None:
    """Create the folder, after removing the folder that a killed demo has left.

    :raises UserError: when the folder holds other files, because the demo must not delete the state of a gateway.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER_FILE).exists():
        raise UserError(f"{folder}: is not empty, and was not created by ldapgw demo; choose another folder")
    _remove_folder(folder)
    folder.mkdir(mode=0o700, parents=True)
    (folder / MARKER_FILE).touch()


def _remove_folder(folder: Path) -> None:
    """Remove a demo's files, the marker file last, so that an interrupted removal can be repeated."""
    if folder.exists():
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != MARKER_FILE:
                path.unlink()
        (folder / MARKER_FILE).unlink(missing_ok=True)
        folder.rmdir()


def _stop_on_failure(failure: Failure, failures: list[Failure]) -> None:
    """End a demo that cannot be set up; an unexpected exception is printed with its traceback."""
    failures.append(failure)
    if not failure.check(LdapgwError):
        failure.printTraceback()
    if reactor.running:
        reactor.stop()
