# SPDX-License-Identifier: MIT
"""A gateway of several processes, as a person runs it: one directory, one set of limits, one end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from ldapgw.google.sandbox.tenant import ALICE
from tests.faults.office import Office
from tests.faults.phone import Phone
from tests.support.site.running import Process, Site, wait_until

pytestmark = pytest.mark.long  # starts gateways; tests/server and tests/sync have the parts

COUNT = 3
# The kernel spreads connections by their ports: so many reach all of three processes but once in a million times.
CONNECTIONS = 36


def processes(gateway: Process) -> list[int]:
    """The process ids of a gateway, the supervisor's aside."""
    listed = subprocess.run(["pgrep", "-P", str(gateway.pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


class Processes:
    """An office whose gateway has several processes."""

    def __init__(self, folder: Path) -> None:
        self.office = Office(folder, Random(17))
        site = self.site = self.office.site
        command = site.command("run", "--processes", str(COUNT))
        running, site.running = site.running, lambda name: running(command, name)  # type: ignore[method-assign, misc]

    def found(self) -> set[int]:
        """The states of the book that many connections find."""
        return {self.office.which() for _ in range(CONNECTIONS)}

    def sync(self) -> None:
        """``ldapgw sync --wait``; the other processes get the change within a second or two."""
        done = self.site.ldapgw("sync", ALICE, "--wait")
        assert done.returncode == 0, done.stderr

    def fails(self, connections: int = CONNECTIONS // 3) -> int:
        """How many of many connections are refused, end, or find nothing."""
        return sum(self.site.ldapsearch("(telephoneNumber=*)", "uid")[0] != 0 for _ in range(connections))


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Processes, Process]]:
    world = Processes(tmp_path_factory.mktemp("processes"))
    try:
        with world.office.running() as gateway:
            wait_until(lambda: world.fails(CONNECTIONS) == 0, "every process knows the phone")
            yield world, gateway
    finally:
        world.office.end()


@pytest.mark.soak  # tests/sync/test_follower and tests/server/test_processes have the parts
def test_a_change_is_found_at_every_process(world: tuple[Processes, Process]) -> None:
    """Of contacts and of phones: a new one, one that is gone."""
    group, gateway = world
    assert len(processes(gateway)) == COUNT
    office, site = group.office, group.site
    for _ in range(2):
        office.edit()
        group.sync()
        latest = {len(office.states) - 1}
        wait_until(lambda latest=latest: group.found() == latest, "every process finds the change")
    site.add_phone("hall")
    wait_until(lambda: not any(site.ldapsearch("-s", "base", phone="hall")[0] for _ in range(20)), "all know the phone")
    phones = [Phone(site.ldap_port, "hall", site.phones["hall"]) for _ in range(CONNECTIONS)]
    assert site.ldapgw("phones", "remove", "hall", "--yes").returncode == 0
    for phone in phones:  # each process ends the connections of a login that is gone
        while phone.socket.recv(4096):
            pass
        phone.close()
    assert site.ldapsearch("-s", "base", phone="hall")[0] == 49


@pytest.mark.soak  # tests/sync/test_follower and tests/server/test_processes have the parts
def test_what_phones_do_anywhere_is_noted(world: tuple[Processes, Process]) -> None:
    """Logins, searches and refusals; the figures are those of all processes, those that died included."""
    group, gateway = world
    site = group.site
    counted: dict[str, Callable[[], float]] = {
        "searches": lambda: site.figure("ldapgw_ldap_searches_total", result="success"),
        "kinds": lambda: site.figure("ldapgw_search_duration_seconds_count", kind="name"),
        "bucket": lambda: site.figure("ldapgw_search_duration_seconds_bucket", kind="name", le="+Inf"),
        "binds": lambda: site.figure("ldapgw_ldap_binds_total", result="success"),
    }
    before = {name: read() for name, read in counted.items()}
    for _ in range(CONNECTIONS):
        assert site.ldapsearch("(cn=a*)", "cn")[0] == 0
    after = {name: figure + CONNECTIONS for name, figure in before.items()}
    wait_until(lambda: {name: read() for name, read in counted.items()} == after, "all are counted")
    assert all(site.figure("ldapgw_process_cpu_seconds_total", process=str(at + 1)) for at in range(COUNT))
    for pid in processes(gateway):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(processes(gateway)) == COUNT and site.is_ready(), "others take their places")
    site.phones["desk1"], right = "wrong", site.phones["desk1"]
    assert site.ldapsearch("-s", "base")[0] == 49
    site.phones["desk1"] = right
    wait_until(lambda: "wrong password" in site.ldapgw("phones", "list").stdout, "the refusal is told")
    assert re.search(r"\[ldapgw\.ldap\.server#info, process [1-3]\] wrong login from ", gateway.said)
    assert group.fails() == 0
    wait_until(lambda: "wrong password" not in site.ldapgw("phones", "list").stdout, "the good login is noted")


def test_no_search_fails_while_processes_are_killed(world: tuple[Processes, Process]) -> None:
    """A connection to one that is dead waits for the next one in its place."""
    group, gateway = world
    for _ in range(3):
        for pid in processes(gateway):
            os.kill(pid, signal.SIGKILL)
            # Until it has died, on another processor, it may accept a connection.
            wait_until(lambda pid=pid: not is_alive(pid), "it has died")
            assert group.fails() == 0
        wait_until(lambda: len(processes(gateway)) == COUNT and group.site.is_ready(), "others take their places")
    group.office.edit()
    group.sync()
    wait_until(lambda: group.found() == {len(group.office.states) - 1}, "every process finds the change")
    assert "Traceback" not in gateway.said


def test_all_end_together(tmp_path: Path) -> None:
    """By a signal, and with the supervisor, however that ends; then another gateway may begin."""
    group = Processes(tmp_path)
    try:
        for how, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 0)):
            with group.office.running(how.name) as gateway:
                pids = processes(gateway)
                wait_until(lambda: group.fails(CONNECTIONS) == 0, "every process knows the phone")
                assert gateway.end(how) == status
                wait_until(lambda pids=pids: not any(map(is_alive, pids)), "all have ended")
            assert "Traceback" not in gateway.said
    finally:
        group.office.end()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("what", ["ldap", "web"])
def test_a_port_in_use_ends_the_start(tmp_path: Path, what: str) -> None:
    """With one line, and no process is left."""
    site = Site(tmp_path)
    port = site.ldap_port if what == "ldap" else site.web_port
    with socket.create_server(("127.0.0.1", port)):
        done = site.ldapgw("run", "--processes", "2")
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("ldapgw: ")]
    assert f'{what}.listen "tcp:{port}:interface=127.0.0.1": cannot listen: Address already in use' in line
    assert "Traceback" not in done.stderr


def test_only_tcp_ports_are_shared(tmp_path: Path) -> None:
    """A socket of systemd, or a Unix socket, is one socket."""
    site = Site(tmp_path)
    site.file.write_text(site.file.read_text().replace(f"tcp:{site.ldap_port}:interface=127.0.0.1", "unix:ldap.sock"))
    done = site.ldapgw("run", "--processes", "2")
    assert done.returncode == 1
    assert "only TCP ports can be shared by processes; leave out --processes" in done.stderr
