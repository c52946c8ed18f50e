# SPDX-License-Identifier: MIT
"""A changed configuration is tried before the running gateway is replaced, and systemd is told of each state."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from twisted.internet.task import Clock

from ldapgw.errors import UserError
from ldapgw.server.check_result import Moment, Subject
from ldapgw.server.config import Config, load
from ldapgw.server.config.forms import ServerEndpoints
from ldapgw.server.counters import ReloadStatus
from ldapgw.server.foreground import Reload, ServiceManager, take_ports
from ldapgw.server.preflight import require
from ldapgw.server.state_dir import create_state_dir
from tests.support.site.running import free_ports

FILE = """
state_dir = "{folder}/state"
[ldap]
listen = ["tcp:{port}:interface=127.0.0.1"]
[web]
public_url = "http://localhost:8080"
[[tenant]]
name = "acme"
base_dn = "dc=acme,dc=example"
"""


@pytest.fixture
def former(tmp_path: Path) -> Config:
    """Return the served configuration."""
    create_state_dir(tmp_path / "state")
    (tmp_path / "former.toml").write_text(FILE.format(folder=tmp_path, port=free_ports(1)[0]))
    return load(str(tmp_path / "former.toml"), {})


def examine(config: Config, current: Config) -> None:
    require(Subject(Moment.RELOAD, config, current=current))


def changed(tmp_path: Path, old: str, new: str) -> Config:
    text = (tmp_path / "former.toml").read_text()
    assert old in text
    (tmp_path / "changed.toml").write_text(text.replace(old, new, 1))
    return load(str(tmp_path / "changed.toml"), {})


def test_what_can_change(tmp_path: Path, former: Config) -> None:
    """The reload accepts the same configuration, another tenant, another port, and other settings."""
    examine(former, former)
    second = '[[tenant]]\nname = "beta"\nbase_dn = "dc=beta,dc=example"\n[[tenant]]'
    examine(changed(tmp_path, "[[tenant]]", second), former)
    examine(changed(tmp_path, former.ldap.listen[0], f"tcp:{free_ports(1)[0]}:interface=127.0.0.1"), former)
    more = 'allowed_users = ["@acme.example"]\nregion = "AT"\n[sync]\ninterval = "5m"'
    examine(changed(tmp_path, 'base_dn = "dc=acme,dc=example"', f'base_dn = "dc=acme,dc=example"\n{more}'), former)
    examine(changed(tmp_path, "[ldap]", 'log_level = ["debug"]\n[ldap]\nsize_limit = 5'), former)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("/state", "/other", "state_dir: cannot change"),
        (
            "state_dir",
            'database = "postgresql+psycopg://ldapgw@127.0.0.1/x"\nroles = ["serve"]\nstate_dir',
            "roles: cannot change",
        ),
        ("state_dir", 'database = "sqlite:////nowhere"\nstate_dir', "database: cannot change"),
        (":interface=127.0.0.1", "", "the address of a port cannot change"),
        ("[ldap]", "[ldap]\nreuse_port = true", "ldap.reuse_port: cannot change"),
        ("listen = [", 'listen = ["unix:/none/s", ', 'ldap.listen "unix:/none/s": only TCP ports can be added'),
    ],
    ids=["state_dir", "roles", "database", "address", "shared port", "unix"],
)
def test_what_cannot_change(tmp_path: Path, former: Config, old: str, new: str, told: str) -> None:
    """These settings need a restart. The other refusals have their tests in tests/cli/test_preflight.py."""
    with pytest.raises(UserError, match=told):
        examine(changed(tmp_path, old, new), former)


def test_a_socket_of_systemd(former: Config) -> None:
    """Twisted forgets the socket after the start, so the executed program would not find the socket."""
    endpoints = ServerEndpoints(["systemd:domain=INET:index=0"])
    given = msgspec.structs.replace(former, ldap=msgspec.structs.replace(former.ldap, listen=endpoints))
    with pytest.raises(UserError, match="the sockets of systemd cannot change"):
        examine(given, given)


def test_a_key_that_joins_the_key_file(tmp_path: Path, former: Config) -> None:
    """The setting may have another key in front of the current key."""
    file = (tmp_path / "state" / "ldapgw.key").read_text().strip()
    other = Fernet.generate_key().decode()
    examine(changed(tmp_path, "[ldap]", f'encryption_key = "{other} {file}"\n[ldap]'), former)


class ThreadedReactor(Clock):
    """The reactor is its own thread pool, and queues the work until a call of `work`."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Callable[..., None], Callable[[], object]]] = []

    def getThreadPool(self) -> ThreadedReactor:  # noqa: N802 - Twisted's name
        return self

    def callInThreadWithCallback(  # noqa: N802 - Twisted's name
        self, on_result: Callable[..., None], function: Callable[[], object]
    ) -> None:
        self.waiting.append((on_result, function))

    def callFromThread(self, function: Callable[..., object], *args: Any, **kw: Any) -> None:  # noqa: N802
        function(*args, **kw)

    def work(self) -> None:
        on_result, function = self.waiting.pop()
        on_result(True, function())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_configuration_that_another_signal_outdates_is_dropped(former: Config) -> None:
    """The outdated file is closed, and the configuration is read again. A cancelled reload reads nothing more."""
    reactor, status = ThreadedReactor(), ReloadStatus(5.0)
    reload = Reload(reactor, "ldapgw.toml", former, lambda: former, status, dict, ServiceManager())
    before = descriptors()
    reload.ask()
    reload.ask()
    reactor.work()
    assert (len(reactor.waiting), descriptors()) == (1, before)
    reload.cancel()
    reactor.work()
    reload.ask()
    assert reactor.waiting == []


def test_a_port_that_was_kept_is_not_for_other_programs() -> None:
    """A worker process that inherits the socket would keep the port after the gateway's end."""
    with socket.create_server(("127.0.0.1", 0)) as kept:
        kept.set_inheritable(True)
        environment = {"_LDAPGW_KEPT_PORTS": json.dumps({"tcp:389": kept.detach()})}
        ports = take_ports(environment)
    assert ({endpoint: port.get_inheritable() for endpoint, port in ports.items()}, environment) == (
        {"tcp:389": False},
        {},
    )
    ports["tcp:389"].close()


# --- systemd ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, ServiceManager()),
        ({"NOTIFY_SOCKET": "/run/notify"}, ServiceManager("/run/notify")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "7"}, ServiceManager("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000"}, ServiceManager("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "8"}, ServiceManager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, ServiceManager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "often"}, ServiceManager("/n")),
    ],
    ids=["none", "unwatched", "watched", "anybody", "another", "zero", "nonsense"],
)
def test_the_environment_names_it(environment: Mapping[str, str], found: ServiceManager) -> None:
    """A watchdog of another process does not count, as in ``sd_watchdog_enabled(3)``."""
    assert ServiceManager.of(environment, 7) == found


@pytest.mark.parametrize("prefix", ["", "@"], ids=["path", "abstract"])
def test_it_is_told(tmp_path: Path, prefix: str) -> None:
    """Each state is a datagram."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path if not prefix else "\0" + path)
        manager = ServiceManager(prefix + path, 1.5)
        manager.ready()
        manager.alive()
        manager.reloading(12.5)
        manager.executing()
        manager.stopping()
        told = [receiver.recv(1024).decode() for _ in range(6)]
    assert told == [
        "READY=1",
        "WATCHDOG_USEC=1500000",
        "WATCHDOG=1",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "WATCHDOG_USEC=3600000000",
        "STOPPING=1",
    ]


def test_nobody_listens(tmp_path: Path) -> None:
    """The gateway goes on without a listener."""
    ServiceManager(str(tmp_path / "none"), 1.5).ready()
    ServiceManager().ready()
