# SPDX-License-Identifier: MIT
"""The program as a person runs it: processes of its own, real sockets on loopback, real ldapsearch."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner
from treq.client import HTTPClient
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.web.client import Agent

from ldapgw.cli import main
from ldapgw.google.sandbox.tenant import ALICE, CLIENT_ID, CLIENT_SECRET
from tests.support import browser
from tests.support.browser import Visit
from tests.support.site.visitor import MORE_SOURCES

PATIENCE = 120.0

CONFIG = """
{database}state_dir = "state"
[ldap]
listen = ["tcp:{ldap}:interface=127.0.0.1"]
size_limit = {size_limit}
[web]
listen = ["tcp:{web}:interface=127.0.0.1"]
public_url = "http://127.0.0.1:{web}"
[sync]
interval = "{interval}"
[google]
authorization_endpoint = "{google}/o/oauth2/v2/auth"
token_endpoint = "{google}/token"
revocation_endpoint = "{google}/revoke"
people_api = "{google}"
admin_api = "{google}"
issuer = "{google}"
[[tenant]]
name = "acme"
title = "Acme GmbH"
base_dn = "dc=acme,dc=example"
client_id = "{client_id}"
client_secret = "{client_secret}"
allowed_users = {allowed}
region = "DE"
sources = ["contacts", "other_contacts", "directory"]
"""


def wait_until(found: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return the first true result of `found`; fails the test when there is never one."""
    until = reactor.seconds() + patience
    while reactor.seconds() < until:
        result = found()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {patience} s")


# Ports below those of outgoing connections: so many for each process of pytest-xdist, begun at another one each run.
_FIRST_PORT, _PORTS, _WORKERS = 10_000, 1_000, 20
_offsets = itertools.count(os.getpid())


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, and that nobody else here is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _FIRST_PORT + worker % _WORKERS * _PORTS
    ports: list[int] = []
    for offset in itertools.islice(_offsets, _PORTS):
        if len(ports) == count:
            break
        with suppress(OSError), socket.create_server(("127.0.0.1", first + offset % _PORTS)) as probe:
            ports.append(probe.getsockname()[1])
    return ports


def fetch(url: str, cookie: str = "") -> tuple[int, str]:
    """Status and body of a page; 0 when nobody answers."""
    try:
        with urlopen(Request(url, headers={"Cookie": cookie}), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (URLError, OSError):
        return 0, ""


class Process:
    """A process that we started, and what it says."""

    def __init__(self, command: Sequence[str], log: Path, cwd: Path, **more: Any) -> None:
        self.log = log
        with log.open("wb") as file:
            self._popen = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=cwd, **more)

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._popen.poll()

    def send(self, how: signal.Signals) -> None:
        """Send a signal, where there is still somebody to get it."""
        if self.status is None:
            self._popen.send_signal(how)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit status."""
        self.send(how)
        return self._popen.wait(PATIENCE)

    def wait(self) -> int:
        return self._popen.wait(PATIENCE)


def find_program(name: str, package: str = "") -> str:
    """Return the path of a program of the system; a test without it is skipped, but fails in CI."""
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if path is None and "CI" not in os.environ:
        pytest.skip(f"needs {name}: sudo apt-get install {package or name}")
    assert path, f"{name} is missing"
    return path


@contextmanager
def running_program(
    name: str, arguments: Sequence[str], folder: Path, is_ready: Callable[[], object], **more: Any
) -> Iterator[Process]:
    """Run a program of the system until the block ends; its log is in the folder.

    :param more: for `subprocess.Popen`.
    """
    process = Process([find_program(name), *arguments], folder / f"{name}.log", folder, **more)
    try:
        wait_until(lambda: is_ready() or process.status is not None, f"{name} is ready")
        assert process.status is None, process.said
        yield process
    finally:
        process.end()


def listens(port: int) -> bool:
    """Return whether a port of loopback accepts connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def ldapsearch(url: str, login: str, password: str, *arguments: str) -> tuple[int, str]:
    """Run a real ldapsearch; return its exit status and what it says.

    :param login: of a phone or a replica; empty: the search is anonymous.
    """
    bound = ["-D", login, "-w", password] if login else []
    command = ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", url, *bound, *arguments]
    environment = {**os.environ, "LDAPNOINIT": "1"}
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, env=environment)
    return done.returncode, (done.stdout + done.stderr).decode()


@dataclass
class Site:
    """A folder with a configuration, and the sandbox that it points to.

    :ivar google: the URL of the sandbox; if it is not given, the sandbox is the site's own.
    :ivar database: the URL of a database on a server; empty: the database is a file in the folder.
    """

    folder: Path
    interval: str = "1h"
    more: str = ""
    people: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=lambda: {ALICE: ()})
    allowed: Sequence[str] = ("@acme.example",)
    size_limit: int = 1000
    google: str = ""
    database: str = ""
    sandbox: Process | None = None
    phones: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ldap_port, self.web_port, self.sandbox_port = free_ports(3)
        self.google = self.google or f"http://127.0.0.1:{self.sandbox_port}"
        self.page = f"http://127.0.0.1:{self.web_port}/acme/"
        self.file = self.folder / "ldapgw.toml"
        self.file.write_text(
            CONFIG.format(
                database=f'database = "{self.database}"\n' if self.database else "",
                ldap=self.ldap_port,
                web=self.web_port,
                google=self.google,
                interval=self.interval,
                size_limit=self.size_limit,
                client_id=CLIENT_ID,
                client_secret=CLIENT_SECRET,
                allowed=json.dumps(self.allowed),
            )
            + self.more
        )

    # --- the sandbox ---

    def start_sandbox(self) -> None:
        people = self.folder / "people.json"
        people.write_text(json.dumps({"accounts": self.people}))
        command = [sys.executable, "-m", "ldapgw", "sandbox", "--port", str(self.sandbox_port), "--people", str(people)]
        self.sandbox = Process(command, self.folder / "sandbox.log", self.folder)
        wait_until(lambda: fetch(f"{self.google}/sandbox/state")[0] == 200, "the sandbox answers")
        self.turn("add-redirect-uri", uri=f"http://127.0.0.1:{self.web_port}/oauth/callback")

    def turn(self, control: str, **given: Any) -> Any:
        """Turn one of the sandbox's controls."""
        request = Request(
            f"{self.google}/sandbox/{control}",
            json.dumps(given).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def persons(self, source: str, account: str = ALICE) -> list[dict[str, Any]]:
        """Return an account's persons in the sandbox."""
        url = f"{self.google}/sandbox/persons?account={account}&source={source}"
        with urlopen(Request(url, headers={"Accept": "application/json"}), timeout=PATIENCE) as answer:
            persons: list[dict[str, Any]] = json.load(answer)["persons"]
        return persons

    def empty_sandbox(self) -> None:
        """Take away what the sandbox has of its own for Alice."""
        for source in ("other_contacts", "directory"):
            for person in self.persons(source):
                self.turn("delete-person", account=ALICE, resourceName=person["resourceName"])

    def end_sandbox(self) -> None:
        if self.sandbox is not None:
            self.sandbox.end()
            self.sandbox = None

    # --- the gateway ---

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ldapgw", "--config", str(self.file), *arguments]

    def ldapgw(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands to its end, in this process: a process of its own takes seconds for its imports."""
        done = CliRunner().invoke(main, ["--config", str(self.file), *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands to its end, as a process: the command runs a reactor, or is about processes."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=False)

    @contextmanager
    def running(self, command: Sequence[str] | None = None, name: str = "gateway") -> Iterator[Process]:
        """The gateway, until the block ends."""
        gateway = Process(command or self.command("run"), self.folder / f"{name}.log", self.folder)
        try:
            wait_until(lambda: self.is_ready() or gateway.status is not None, "the gateway is ready")
            assert gateway.status is None, gateway.said
            yield gateway
        finally:
            gateway.end()

    def is_ready(self) -> bool:
        return fetch(f"http://127.0.0.1:{self.web_port}/readyz")[0] == 200

    async def consent(self, account: str = ALICE, **kw: Any) -> Visit:
        """Take somebody through the page and the consents, until all sources are on; the page after the first."""
        http = HTTPClient(Agent(reactor))
        visit = await browser.consent(http, self.page + "connect", account=account, **kw)
        for source in MORE_SOURCES:
            await browser.switch_on(http, self.page, source, account=account)
        return visit

    def accounts(self) -> list[dict[str, Any]]:
        found = self.ldapgw("accounts", "--json")
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)

    def figure(self, name: str, **labels: str) -> float:
        """Return a figure of the gateway's metrics, or 0 if there is none.

        Asked as often as one likes: a page takes milliseconds, a command of ours the better part of a second.
        """
        told = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        beginning = f"{name}{{{told}}} " if told else f"{name} "
        _, body = fetch(f"http://127.0.0.1:{self.web_port}/metrics")
        return next(
            (float(line.removeprefix(beginning)) for line in body.splitlines() if line.startswith(beginning)), 0
        )

    def wait_for_sync(self, accounts: int = 1, tenant: str = "acme") -> None:
        """Until so many accounts of a tenant are synced and fine, and no sync is asked for."""

        def is_synced() -> bool:
            return self.figure("ldapgw_accounts", tenant=tenant, state="ok") == accounts and not self._is_syncing()

        wait_until(is_synced, "a good sync")

    def _is_syncing(self) -> bool:
        """Return True if a sync runs or is requested, as after a source's start; a server's database is not read."""
        if self.database:
            return False
        with closing(sqlite3.connect(f"file:{self.folder / 'state' / 'ldapgw.db'}?mode=ro", uri=True)) as database:
            busy = "SELECT EXISTS (SELECT 1 FROM account WHERE syncing OR wish IS NOT NULL OR due IS NOT NULL)"
            return bool(database.execute(busy).fetchone()[0])

    def synced(self) -> dict[str, Any]:
        """The only account, once it is synced and fine."""
        self.wait_for_sync()
        return next(account for account in self.accounts() if account["state"] == "ok")

    def add_login(self, name: str, *arguments: str) -> dict[str, str]:
        """Add a phone, or a replica, by the command."""
        added = self.ldapgw("phones", "add", name, "--json", *arguments)
        assert added.returncode == 0, added.stderr
        login: dict[str, str] = json.loads(added.stdout)
        return login

    def add_phone(self, name: str = "desk1", *arguments: str) -> Mapping[str, str]:
        """A phone of Alice's unless the arguments say more; its password is kept."""
        phone = self.add_login(name, *(arguments or ("--account", ALICE)))
        self.phones[name] = phone["password"]
        wait_until(lambda: self.ldapsearch("-s", "base", phone=name)[0] == 0, "the gateway knows the phone")
        return phone

    def ldapsearch(self, *arguments: str, phone: str = "desk1", base: str = "dc=acme,dc=example") -> tuple[int, str]:
        """A real ldapsearch, bound as a phone; "" is nobody.  Its exit status and what it says."""
        password = self.phones[phone] if phone else ""
        return ldapsearch(f"ldap://127.0.0.1:{self.ldap_port}", phone, password, "-b", base, *arguments)

    def values(self, attribute: str, *arguments: str, **asked: str) -> list[str]:
        """The values of an attribute that a search finds, in order.

        :param asked: as `ldapsearch` takes it.
        """
        status, said = self.ldapsearch(*arguments, attribute, **asked)
        assert status == 0, said
        prefix = f"{attribute}: "
        return [line.removeprefix(prefix) for line in said.splitlines() if line.startswith(prefix)]

    def names(self, filter_text: str = "(cn=*)", phone: str = "desk1") -> list[str]:
        """The uids that a search finds, in order."""
        return self.values("uid", filter_text, phone=phone)


@contextmanager
def new_site(folder: Path, **given: Any) -> Iterator[Site]:
    """A site with its sandbox, until the block ends.

    :param given: as `Site` takes it.
    """
    find_program("ldapsearch", "ldap-utils")
    site = Site(folder, **given)
    try:
        site.start_sandbox()
        yield site
    finally:
        site.end_sandbox()
