# SPDX-License-Identifier: MIT
"""A start on a disk that is full or read-only: phones find what is stored, and all goes on once it can be written.

What is stored was left by a gateway that ended in good order, or by one that was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from ldapgw.errors import StoreError
from ldapgw.google.sandbox.world import RegisteredClient, World
from ldapgw.server.state_dir import OpenStateDir, StateDir, lock_holder_pid
from tests.support.disk import Disk, crash, small_disk
from tests.support.site.company import CONTACTS, Company, Entries, Person
from tests.support.stage.databases import one_more_migration
from tests.support.stage.machine import BASE, GOOGLE, NOW, Machine

pytestmark = pytest.mark.long  # starts gateways

ALICE, PHONE = "alice@acme.example", "desk1"
LOOPBACK = IPv4Address("TCP", "127.0.0.1", 5)
BACK = "the database can be used again"

FULL: tuple[Callable[[Disk], None], ...] = (Disk.fill, Disk.make_room)
READ_ONLY: tuple[Callable[[Disk], None], ...] = (Disk.make_read_only, Disk.make_writable)
DISKS = pytest.mark.parametrize(("spoil", "mend"), [FULL, READ_ONLY], ids=["full", "read-only"])


class Office:
    """Alice's book, her gateway on a small disk, and her phone.

    :ivar found: what her phone finds.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.disk = disk
        reactor = MemoryReactorClock()
        drawn = iter(range(10**6))
        self.world = World(
            now=lambda: NOW + reactor.seconds(), random=lambda count: next(drawn).to_bytes(count, "big"), issuer=GOOGLE
        )
        self.world.register(RegisteredClient("client", "GOCSPX-EXAMPLE", ("https://x.example/cb",)))
        self.world.add_account(ALICE, "Alice", "Acme", hd="acme.example")
        self.company = Company(self.world)
        self.machine = Machine(folder, self.world, reactor)
        self.machine.start()
        self.machine.connect(ALICE)
        self.machine.add_phone(PHONE, ALICE)
        self.machine.run(60)
        self.company.add(ALICE, CONTACTS, Person("Ida", "Zimmer", numbers=(("work", 101),)))
        self.machine.run(7200)
        # The log is begun anew, and holds what the database itself has no room for.
        assert self.machine.commands is not None
        with self.machine.commands.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        for last in range(200, 240):
            self.company.add(ALICE, CONTACTS, Person("Ida", f"Person {last}", numbers=(("work", last),)))
            if last % 4 == 3:
                self.machine.run(7200)
        self.found = self.phone_finds()
        assert len(self.found) == 41
        self.machine.run(10)
        self._let_go()

    def phone_finds(self) -> Entries:
        return self.machine.served(f"cn={PHONE},ou=phones,{BASE}", f"ou={ALICE},{BASE}")

    def page(self, path: str) -> str:
        """Return the answer of the page's port."""
        door = next(door for port, door, *_ in self.machine.reactor.tcpServers if port == 8081)
        protocol, transport = door.buildProtocol(LOOPBACK), StringTransport(peerAddress=LOOPBACK)
        protocol.makeConnection(transport)
        protocol.dataReceived(f"GET {path} HTTP/1.0\r\nHost: phonebook.example.com\r\n\r\n".encode())
        self.machine.reactor.advance(0)
        protocol.connectionLost(Failure(ConnectionDone()))
        return transport.value().decode()

    def _let_go(self) -> None:
        """End the commands: no process but the gateway has a file open."""
        if self.machine.commands is not None:
            self.machine.commands.close()
            self.machine.commands = None


@pytest.fixture(name="office")
def _office(tmp_path: Path) -> Iterator[Office]:
    with small_disk(tmp_path / "state", 2000) as disk:
        office = Office(tmp_path, disk)
        yield office
        if office.machine.gateway is not None:
            office.machine.gateway._state.close()
            office.machine.gateway = None
        office.machine.scrap()


@DISKS
@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_phones_find_what_is_stored_until_all_goes_on(
    office: Office,
    is_killed: bool,
    spoil: Callable[[Disk], None],
    mend: Callable[[Disk], None],
    caplog_twisted: list[str],
) -> None:
    """One line says what is wrong, and one that it is over; readiness and figures say so too."""
    if is_killed:
        crash(office.disk.folder, office.machine.stop)
    else:
        office.machine.stop()
    spoil(office.disk)
    caplog_twisted.clear()
    office.machine.start()
    [trouble] = [line for line in caplog_twisted if "phones are served from memory" in line]
    assert "nothing is lost, and syncs wait until the database can be written" in trouble
    for _ in range(3):
        office.machine.run(60)
        assert office.phone_finds() == office.found
        assert office.page("/readyz").startswith("HTTP/1.0 200 OK")
        assert office.page("/readyz").endswith("\r\n\r\ndegraded\n")
        assert "\nldapgw_database_ok 0.0\n" in office.page("/metrics")
    assert [
        line
        for line in caplog_twisted
        if line != trouble and "contacts in" not in line and not line.startswith("Page ")
    ] == []

    mend(office.disk)
    office.machine.run(60)
    assert caplog_twisted[-1] == BACK
    assert office.page("/readyz").endswith("\r\n\r\nready\n")
    assert "\nldapgw_database_ok 1.0\n" in office.page("/metrics")
    office.company.add(ALICE, CONTACTS, Person("Zoe", numbers=(("work", 102),)))
    office.machine.run(7200)
    assert len(office.phone_finds()) == len(office.found) + 1
    office.machine.stop()


@DISKS
def test_a_store_that_is_older_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Disk], None], mend: Callable[[Disk], None]
) -> None:
    """It has to be upgraded, which is one line; nothing is changed, and it is upgraded once that can be done."""
    with small_disk(tmp_path / "state", 1500) as disk:
        OpenStateDir(StateDir(disk.folder)).close()
        monkeypatch.setattr("ldapgw.store.database._MIGRATIONS", one_more_migration(tmp_path / "migrations"))
        before = (disk.folder / "ldapgw.db").read_bytes()
        spoil(disk)
        with pytest.raises(StoreError, match="is from an older version and must be upgraded first") as caught:
            OpenStateDir(StateDir(disk.folder))
        assert len(caught.value.problems) == 1
        assert (disk.folder / "ldapgw.db").read_bytes() == before
        assert lock_holder_pid(disk.folder) is None
        mend(disk)
        state = OpenStateDir(StateDir(disk.folder))
        assert not state.database.is_read_only
        state.close()


@DISKS
def test_there_is_nothing_to_serve(tmp_path: Path, spoil: Callable[[Disk], None], mend: Callable[[Disk], None]) -> None:
    """A first start needs a disk that can be written."""
    with small_disk(tmp_path / "state", 1500) as disk:
        spoil(disk)
        with pytest.raises(StoreError, match=r"Read-only file system|No space left on device|disk"):
            OpenStateDir(StateDir(disk.folder))
        mend(disk)
        OpenStateDir(StateDir(disk.folder)).close()
