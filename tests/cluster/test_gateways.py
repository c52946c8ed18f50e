# SPDX-License-Identifier: MIT
"""Three gateways on one PostgreSQL: one directory, one that syncs, and what is left when one of them is gone.

Gateways in one process would share their memory, and none of them could be killed.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.postgresql import needs_postgresql
from tests.support.site.cluster import ALICE, Cluster, World, running_cluster
from tests.support.site.office import BOOK
from tests.support.site.running import Process, wait_until

pytestmark = [needs_postgresql, pytest.mark.long]

# A gateway logs these lines when it becomes the leader, and when it is the leader no more.
TAKEN, ENDED = "this gateway syncs from now on", "this gateway does not sync any more"


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), 3) as world:
        yield world


def test_a_change_is_found_at_every_gateway(world: World) -> None:
    """Of contacts, by a sync of the one that syncs; of phones, by a command; both ways, there and gone."""
    cluster, _ = world
    for _ in range(3):
        cluster.office.edit()
        cluster.office.site.ldapgw("sync", ALICE, "--wait")
        wait_until(cluster.all_find, "every gateway finds the change")
    last = cluster.sites[-1]
    first = cluster.office.site
    last.add_phone("hall")
    wait_until(lambda: first.ldapsearch("-s", "base", phone="hall")[0] == 0, "the first one knows the phone")
    assert first.ldapgw("phones", "remove", "hall", "--yes").returncode == 0
    wait_until(lambda: last.ldapsearch("-s", "base", phone="hall")[0] == 49, "the last one knows the phone no more")


def test_a_port_that_gateways_share(tmp_path: Path) -> None:
    """Phones find the same at both; when one of the two gateways ends, the other one answers them all."""
    with closing(Cluster(tmp_path, 2)) as cluster:
        first, second = cluster.sites
        shared = f"tcp:{first.ldap_port}:"
        for site in cluster.sites:
            text = site.file.read_text().replace(f"tcp:{site.ldap_port}:", shared)
            site.file.write_text(text.replace("[ldap]", "[ldap]\nreuse_port = true", 1))
        with cluster.office.running() as gateway:
            second.ldap_port = first.ldap_port
            with cluster.start(second) as other:
                wait_until(lambda: all(one["contacts"] for one in cluster.known()), "both serve the contacts")
                phones = [cluster.office.phone() for _ in range(40)]
                assert all(phone.read(BOOK) == cluster.office.now for phone in phones)
                accepted = [accepted_by(one.pid, first.ldap_port) for one in (gateway, other)]
                assert (sum(accepted), min(accepted) > 0) == (40, True)
                for phone in phones:
                    phone.close()
                assert other.end() == 0
            assert all(cluster.found(first) == cluster.office.now for _ in range(20))


def accepted_by(pid: int, port: int) -> int:
    """Count the open connections to a port of the loopback address that a process has accepted."""
    local = f"{socket.htonl(0x7F000001):08X}:{port:04X}"
    rows = map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
    open_sockets = {f"socket:[{row[9]}]" for row in rows if (row[1], row[3]) == (local, "01")}
    return sum(str(file.readlink()) in open_sockets for file in Path(f"/proc/{pid}/fd").iterdir())


def test_one_of_them_syncs(world: World) -> None:
    """``ldapgw gateways`` tells which, and what all of them serve."""
    cluster, _ = world
    wait_until(lambda: len(cluster.syncing()) == 1, "one syncs")
    known = cluster.known()
    assert [one["alive"] for one in known] == [True] * 3
    assert sorted(one["syncs"] for one in known) == [False, False, True]
    wait_until(lambda: {one["contacts"] for one in cluster.known()} == {len(cluster.office.now)}, "all serve the same")


def test_another_one_takes_over(world: World) -> None:
    """From one that was killed, while phones are served by the others; the killed one comes back as one of them."""
    cluster, gateways = world
    [before] = cluster.syncing()
    position = syncing(gateways)
    gateways[position].end(signal.SIGKILL)
    others = [site for number, site in enumerate(cluster.sites) if number != position]
    cluster.office.edit()
    assert others[0].ldapgw("sync", ALICE).returncode == 0
    wait_until(lambda: all(cluster.found(site) == cluster.office.now for site in others), "the others go on")
    wait_until(lambda: cluster.syncing() not in ([], [before]), "another one says that it syncs")
    with cluster.start(cluster.sites[position]) as again:
        wait_until(cluster.all_find, "all find the same")
        assert "Traceback" not in again.said


def syncing(gateways: list[Process]) -> int:
    """The position of the process that syncs, as its log tells."""

    def found() -> list[int]:
        return [
            at
            for at, one in enumerate(gateways)
            if one.status is None and one.said.rfind(TAKEN) > one.said.rfind(ENDED)
        ]

    wait_until(found, "one syncs")
    [position] = found()
    return position
