# SPDX-License-Identifier: MIT
"""A replica of two gateways behind HAProxy: whatever dies, it holds what they provide in the end.

Only slapd itself shows how it goes on after its provider is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from ldapgw.contact import Contact, Sharing
from tests.support import slapd
from tests.support.postgresql import Server, listening, needs_postgresql
from tests.support.proxies import ADDRESS, haproxy
from tests.support.site.caller import equal
from tests.support.site.cluster import ALICE, Pair
from tests.support.site.line import Phone
from tests.support.site.replicas import BASE, Replica, contact, ended, provided, search
from tests.support.site.running import PATIENCE, Process, free_ports, wait_until

pytestmark = [
    needs_postgresql,
    pytest.mark.skipif(
        (slapd.PROGRAM is None or shutil.which("ldapsearch") is None) and "CI" not in os.environ,
        reason="needs slapd and ldapsearch: sudo apt-get install slapd ldap-utils",
    ),
    # Ten kills and 10,000 entries, twice: minutes.  tests/journeys/test_replica.py has a replica of one gateway.
    pytest.mark.soak,
]

BOB = "bob@acme.example"
COUNT = 10_000
# A first copy of all entries takes no longer.
COPIED_SECONDS = 10.0
# Seconds that a copy of all entries may take on a machine that does other work too.
_COPY_PATIENCE = 600.0

PROXY = """
frontend ldap
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    option redispatch
    server one 127.0.0.1:{one} check
    server two 127.0.0.1:{two} check
"""


class World(Pair):
    """Two gateways with 10,000 contacts on one PostgreSQL, and HAProxy in front of them.

    :ivar contacts: those that are shared, by uid.
    :ivar gateways: the processes that run; a gateway that has died is replaced in its place.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__(folder, server)
        [self.proxy_port] = free_ports(1)
        self.contacts = {one.uid: one for one in map(contact, range(COUNT))}
        self.office.add_account(ALICE, Sharing.SHARED, self.contacts.values())
        self.office.add_account(BOB, Sharing.PRIVATE, [contact(90_000)])
        self.share_key()
        self.logins = {name: self.add_login(name, *more) for name, more in _LOGINS.items()}
        self.gateways: list[Process] = []
        self._stack = ExitStack()
        self._changes = 0
        self._starts = 0

    @contextmanager
    def running(self, folder: Path) -> Iterator[None]:
        one, two = (site.ldap_port for site in self.sites)
        with self._stack, haproxy(folder, PROXY.format(port=self.proxy_port, one=one, two=two)):
            self.gateways = [self.start(at) for at in range(2)]
            yield

    def start(self, at: int) -> Process:
        """A new process of a gateway, with a log of its own."""
        self._starts += 1
        return self._stack.enter_context(self.sites[at].running(name=f"gateway{self._starts}"))

    def serving(self) -> int:
        """Return the number of the gateway to which the replica is connected, by the latest log."""
        found = [at for at, one in enumerate(self.gateways) if one.status is None and _replicated(one)]
        assert found
        return max(found, key=lambda at: self.gateways[at].log.stat().st_mtime)

    def change(self) -> str:
        """Change 20 contacts, add five and delete five; the filter that finds one of them by its new name."""
        self._changes += 1
        number = self._changes
        stored: list[Contact] = [contact(20 * number + at, f"Karl Change{number:03}x{at:02}") for at in range(20)]
        stored += [contact(COUNT + 5 * number + at) for at in range(5)]
        deleted = [f"c{COUNT - 5 * number + at}" for at in range(5)]
        self.office.write(ALICE, stored, deleted)
        self.contacts |= {one.uid: one for one in stored}
        for uid in deleted:
            del self.contacts[uid]
        return f"(cn=Karl Change{number:03}x19)"

    def provided(self, at: int) -> dict[str, frozenset[str]]:
        login = self.logins["branch1"]
        return provided(self.sites[at], login["bind_dn"], login["password"])


_LOGINS: dict[str, tuple[str, ...]] = {"branch1": ("--replica",), "desk1": ("--account", BOB), "hall": ()}


def _replicated(gateway: Process) -> list[str]:
    """Return a gateway's log lines about the replica, which comes through the proxy."""
    return [
        line for line in gateway.said.splitlines() if f"replica cn=branch1,ou=replicas,{BASE} from {ADDRESS}" in line
    ]


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    with listening() as server:
        yield World(tmp_path, server)


def make_replica(world: World, folder: Path, kind: str) -> Replica:
    site = world.sites[0]

    def rule(text: str) -> str:
        text = text.replace(
            f"provider=ldap://127.0.0.1:{site.ldap_port}", f"provider=ldap://127.0.0.1:{world.proxy_port}"
        )
        assert str(world.proxy_port) in text
        return text.replace("type=refreshAndPersist", "\n    ".join(f"type={kind}".split()))

    return Replica(site, folder, "branch1", world.logins["branch1"]["password"], rule=rule)


def finds(replica: Replica, login: dict[str, str], filter_text: str) -> bool:
    status, said = replica.search(filter_text, "uid", login=login["bind_dn"], password=login["password"])
    return status == 0 and "uid: " in said


def check_copy(world: World, replica: Replica) -> None:
    """The replica, both gateways and the test hold the same, entry for entry."""
    size = len(world.provided(0))
    wait_until(lambda: len(replica.everything()) == size, "the replica has all entries", _COPY_PATIENCE)
    wait_until(lambda: replica.everything() == world.provided(0), "the replica holds what the gateways provide")
    copy = replica.everything()
    assert world.provided(1) == copy
    uids = {line.removeprefix("uid: ") for entry in copy.values() for line in entry if line.startswith("uid: ")}
    assert uids == world.contacts.keys()


def check_hashes(world: World, replica: Replica) -> None:
    """The login of the replica sees the hashes of the phones' passwords; no phone's login does, here or there."""
    hashed = [dn for dn, entry in world.provided(0).items() if any(line.startswith("userPassword") for line in entry)]
    assert sorted(hashed) == [f"dn: cn={name},ou=phones,{BASE}" for name in ("desk1", "hall")]
    urls = [replica.url, *(f"ldap://127.0.0.1:{site.ldap_port}" for site in world.sites)]
    for url in urls:
        for name in ("desk1", "hall"):
            login = world.logins[name]
            given = {"login": login["bind_dn"], "password": login["password"]}
            for sought in ("(userPassword=*)", "(cn=desk1)"):
                status, said = search(url, "-z", "max", sought, "*", "+", **given)
                assert (status, "userPassword" in said, "cn=desk1" in said) == (0, False, False), said
    status, said = search(urls[1], "-E", "!sync=ro", "(objectClass=*)", "*", "+", **given)
    assert (status, "dn: " in said) == (50, False), said


@pytest.mark.parametrize("kind", ["refreshAndPersist", "refreshOnly interval=00:00:00:01"], ids=["persist", "poll"])
def test_replica_of_gateways_that_die(world: World, tmp_path: Path, kind: str) -> None:
    """Five ends of the replica, five of the gateway that it is connected to; contacts change meanwhile."""
    (tmp_path / "proxy").mkdir()
    replica = make_replica(world, tmp_path / "replica", kind)
    hall = world.logins["hall"]
    with ended(replica), world.running(tmp_path / "proxy"):
        replica.start()
        check_copy(world, replica)
        check_hashes(world, replica)
        for _ in range(5):
            assert replica.process is not None
            replica.process.end(signal.SIGKILL)
            sought = world.change()
            replica.start()
            wait_until(partial(finds, replica, hall, sought), "the change is at the replica", _COPY_PATIENCE)
        for _ in range(5):
            served = world.serving()
            other = world.gateways[1 - served]
            before = len(_replicated(other))
            world.gateways[served].end(signal.SIGKILL)
            sought = world.change()
            wait_until(partial(finds, replica, hall, sought), "the other gateway sends the change", _COPY_PATIENCE)
            assert len(_replicated(other)) > before
            world.gateways[served] = world.start(served)
        check_copy(world, replica)
        for gateway in world.gateways:
            assert "Traceback" not in gateway.said


@pytest.mark.parametrize(
    ("kind", "visible_seconds"),
    [("refreshAndPersist", 1.0), ("refreshOnly interval=00:00:00:01", 1.0 + 1.0)],
    ids=["persist", "poll"],
)
def test_replica_is_quick(world: World, tmp_path: Path, kind: str, visible_seconds: float) -> None:
    """It has all entries within ten seconds, and 99 of 100 changes a second after their commit; one that polls, later.

    It polls once a second.
    """
    (tmp_path / "proxy").mkdir()
    replica = make_replica(world, tmp_path / "replica", kind)
    hall = world.logins["hall"]
    with ended(replica), world.running(tmp_path / "proxy"):
        began = time.monotonic()
        replica.start()
        wait_until(partial(is_complete, replica, hall), "the replica has all entries", _COPY_PATIENCE)
        copied = time.monotonic() - began
        check_copy(world, replica)
        waited = []
        with closing(Phone(replica.port, hall["bind_dn"], hall["password"])) as phone:
            for number in range(100):
                name = f"Karl Single{number:03}"
                world.office.write(ALICE, [contact(number, name)])
                committed = time.monotonic()
                found = partial(phone.find, BASE, equal("cn", name), ("uid",))
                wait_until(found, "the change is at the replica")
                waited.append(time.monotonic() - committed)
        waited.sort()
        sys.stdout.write(
            f"\ncopied in {copied:.1f} s; visible after {waited[50]:.3f} s, 99 of 100 after {waited[98]:.3f} s\n"
        )
        assert copied <= COPIED_SECONDS
        assert waited[98] <= visible_seconds


def is_complete(replica: Replica, login: dict[str, str]) -> bool:
    """Return True if the replica has the cookie, which comes behind the last entry."""
    found = replica.search("contextCSN", login=login["bind_dn"], password=login["password"], scope="base")
    return "contextCSN: " in found[1]


def test_replica_resumes_at_another_gateway(world: World, tmp_path: Path) -> None:
    """Its cookie is good there: where nothing has changed, nothing is sent."""
    (tmp_path / "proxy").mkdir()
    replica = make_replica(world, tmp_path / "replica", "refreshAndPersist")
    with ended(replica), world.running(tmp_path / "proxy"):
        replica.start()
        check_copy(world, replica)
        served = world.serving()
        other = world.gateways[1 - served]
        before = len(_replicated(other))
        world.gateways[served].end(signal.SIGKILL)
        wait_until(lambda: len(_replicated(other)) > before, "the replica is at the other gateway")
        assert _replicated(other)[-1].endswith("resumed, 0 changes")


def test_gateway_without_the_database_takes_nothing_away(world: World, tmp_path: Path) -> None:
    """A gateway that started stale answers busy, and the replica keeps all; with the database, it sends the change."""
    (tmp_path / "proxy").mkdir()
    replica = make_replica(world, tmp_path / "replica", "refreshAndPersist")
    sites = world.sites
    with ended(replica), world.running(tmp_path / "proxy"):
        replica.start()
        check_copy(world, replica)
        copy = replica.everything()
        wait_until(lambda: all((one.folder / "state" / "logins.sealed").exists() for one in sites), "a snapshot")
        wait_until(lambda: all(any((one.folder / "state" / "images").glob("*.image")) for one in sites), "cached books")
        world.server.stop(immediately=True)
        for gateway in world.gateways:
            gateway.end(signal.SIGKILL)
        log = replica.folder / "slapd.log"
        world.gateways = [world.start(at) for at in range(2)]
        wait_until(lambda: "LDAP_RES_SEARCH_RESULT (51)" in log.read_text(), "the gateway is busy", PATIENCE)
        assert not any(map(_replicated, world.gateways))
        assert replica.everything() == copy
        world.server.start()
        sought = world.change()
        found = partial(finds, replica, world.logins["hall"], sought)
        wait_until(found, "the change is at the replica", _COPY_PATIENCE)
        check_copy(world, replica)
