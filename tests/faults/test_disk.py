# SPDX-License-Identifier: MIT
"""A disk that is full, locked, gone or damaged under a running gateway, or already when it starts.

Each is one line in the log.  Phones find what they found before, through all of it and on connections that they had;
once it is mended everything goes on, without a restart and with everything that was there.
Only a process shows what the kernel and SQLite say of a disk, on all of its threads.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from ldapgw.google.sandbox.tenant import ALICE
from ldapgw.server.state_dir import OpenStateDir, StateDir
from tests.support.disk import small_disk
from tests.support.site.office import BOOK, Office
from tests.support.site.running import Process, fetch, find_program, wait_until

# Each starts gateways, and starves, kills or ends them.  The quick test of tests/journeys/test_provisioning kills one.
pytestmark = pytest.mark.long

FROM_MEMORY = "phones are served from memory"
INTERRUPTED = "the connection that reports changes has ended"
# With PostgreSQL the log also says, once each, that the gateway hears of no changes and that its lead ends and begins.
OF_PEERS = (INTERRUPTED, "this gateway syncs from now on", "this gateway does not sync any more")
BACK = "the database can be used again"


class Running:
    """An office with its gateway, and a phone that stays connected."""

    def __init__(self, office: Office, gateway: Process) -> None:
        self.office = office
        self.gateway = gateway
        self.phone = office.phone()
        self.before = office.found()

    def serves(self) -> None:
        """Phones find what they found before, on an old connection and on a new one."""
        assert self.phone.read(BOOK) == self.before
        assert self.office.found() == self.before

    def said(self) -> str:
        # A phone that was just added may have been refused (`Site.add_phone`), of which a line tells later; and the
        # sync that failed is done again as soon as the database can be used.
        lines = self.gateway.said[self._said :].splitlines(keepends=True)
        # Nor does who leads, and who tells of changes: PostgreSQL's sessions end with it.
        beside = (
            "[ldapgw.phones.refused_logins#",
            "wrong login",
            "sync of account",
            "[ldapgw.peers.leadership#",
            "[ldapgw.store.postgresql_connection#",
        )
        return "".join(line for line in lines if not any(words in line for words in beside))

    @contextmanager
    def trouble(self, line: str, also: Sequence[str] = ()) -> Iterator[None]:
        """The block makes the database unusable; at its end that was undone.

        :param line: what the log says of it.
        :param also: what the log may say beside this.
        """
        self._said = len(self.gateway.said)
        self.office.edit()
        yield
        wait_until(lambda: BACK in self.said(), "the log says that it is back")
        lines = [said for said in self.said().splitlines() if not any(words in said for words in (*also, *OF_PEERS))]
        assert len(lines) == 2, self.said()
        trouble, back = lines
        assert trouble.endswith(FROM_MEMORY)
        assert line in trouble
        assert back.endswith(BACK)
        # A disk that is nearly full can be used for a moment: the log has said so before there was room for all.
        wait_until(lambda: "\nldapgw_database_ok 1.0\n" in self.page("/metrics")[1], "the figures say that it is back")
        # The sync that failed may have been done again by now.
        assert self.phone.read(BOOK) in (self.before, self.office.now)
        self.office.sync()
        self.before = self.office.now
        self.serves()
        assert self.said().count(INTERRUPTED) <= 1
        assert "Traceback" not in self.gateway.said

    def is_told(self) -> None:
        """In the log, in the figures and in the account, which needs attention where it can be read; phones are served.

        Whoever looks, and however often, there is one line.
        """
        wait_until(lambda: FROM_MEMORY in self.said(), "the log says that something is wrong")
        for _ in range(3):
            status, figures = self.page("/metrics")
            assert (status, "\nldapgw_database_ok 0.0\n" in figures) == (200, True)
            assert self.page("/readyz")[0] == 200
            status, body = self.page("/acme/status.json")
            told = json.loads(body)
            if status == 200:
                [account] = told["accounts"]
                assert (account["state"], account["error"]["code"]) == ("attention", "internal")
                assert "can’t use its database" in account["error"]["message"]
                assert self.page("/acme/")[0] == 200
            else:
                assert (status, "database" in told["error"]) == (503, True)
        self.serves()

    def page(self, path: str) -> tuple[int, str]:
        """Status and body of a page that Alice asks for."""
        return fetch(f"http://127.0.0.1:{self.office.site.web_port}{path}", self.office.cookie)

    def refused(self, *command: str) -> str:
        """The line of a command that cannot do anything now."""
        done = self.office.site.ldapgw(*command)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
        return done.stderr


@contextmanager
def running_office(office: Office) -> Iterator[Running]:
    with closing(office), office.running() as gateway:
        running = Running(office, gateway)
        yield running
        running.phone.close()


@pytest.fixture(scope="module", name="running")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for all of it: what one trouble leaves behind would be met by the next."""
    find_program("ldapsearch", "ldap-utils")
    with running_office(Office(tmp_path_factory.mktemp("office"), Random(7))) as running:
        yield running


def damage(path: Path, octets: Callable[[bytes], bytes]) -> None:
    """Change a file in place."""
    with path.open("r+b") as file:
        changed = octets(file.read())
        file.seek(0)
        file.write(changed)
        file.truncate()


def checkpoint(path: Path) -> None:
    """Have all of a database in its file."""
    with sqlite3.connect(path, timeout=30) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def test_full(running: Running) -> None:
    """Nothing can be written, as on a disk without room; what can be read is told as it was."""
    with running.trouble("look at the disk: it is full, or it fails"):
        checkpoint(running.office.database)
        # Room for the log, and for no page of the database.
        room = max(running.gateway.log.stat().st_size, 8) + (20 << 10)
        limits = resource.prlimit(running.gateway.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        assert running.office.site.ldapgw("sync", ALICE).returncode == 0
        running.is_told()
        [account] = running.office.site.accounts()
        assert account["contacts"] == len(running.before)
        resource.prlimit(running.gateway.pid, resource.RLIMIT_FSIZE, limits)


def test_locked_by_another_program(running: Running) -> None:
    """It may read, and waits for its turn; a command gives up after ten seconds with a line."""
    reason = "database is locked; another program keeps it locked; end that program"
    with running.trouble(reason), running.office.locked():
        assert "database is locked" in running.refused("sync", ALICE)
        assert running.page("/acme/")[0] == 200
        running.is_told()


def test_gone_and_back(running: Running) -> None:
    """With all that belongs to it, with its folder or alone; no new one is made meanwhile."""
    state, away = running.office.state, running.office.folder / "away"
    with running.trouble("cannot be used"):
        state.rename(away)
        running.is_told()
        assert running.page("/acme/connect")[0] == 503
        running.refused("sync", ALICE)
        assert not state.exists()
        away.rename(state)
    away.mkdir()
    with running.trouble("No such file or directory; put it back"):
        files = list(running.office.state.glob("ldapgw.db*"))
        for file in files:
            file.rename(away / file.name)
        running.is_told()
        for command in (("accounts",), ("phones", "list"), ("phones", "add", "ghost")):
            assert "the database is gone" in running.refused(*command)
        assert not running.office.database.exists()
        for file in files:
            (away / file.name).rename(file)


LOSSES = {
    "deleted": lambda path: [file.unlink() for file in path.parent.glob("ldapgw.db*")],
    "overwritten": lambda path: damage(path, lambda octets: octets[:4096] + b"\xff" * (len(octets) - 4096)),
    "cut off": lambda path: damage(path, lambda octets: octets[: len(octets) // 3 // 4096 * 4096]),
    "emptied": lambda path: damage(path, lambda _: b""),
    "another file": lambda path: damage(path, lambda octets: b"this is no database, " * (len(octets) // 20)),
}


@pytest.mark.parametrize(
    "lose",
    [
        pytest.param(lose, id=name, marks=() if name in ("deleted", "overwritten") else pytest.mark.soak)
        for name, lose in LOSSES.items()
    ],
)
def test_lost_and_restored(running: Running, lose: Callable[[Path], object]) -> None:
    """The backup is put back while the gateway runs: contacts, consent and phone are there."""
    office, backup = running.office, running.office.folder / "backup.db"
    assert office.site.ldapgw("backup", str(backup), "--yes").returncode == 0
    # The restored database is another one, which the gateway may notice before it can write.
    with running.trouble("put", also=("rebuilds all books",)):
        checkpoint(office.database)
        lose(office.database)
        office.site.ldapgw("sync", ALICE)
        running.is_told()
        running.refused("accounts")
        done = office.site.ldapgw("restore", str(backup), "--yes")
        assert done.returncode == 0, done.stderr


def test_files_that_are_deleted_and_put_back_by_hand(tmp_path: Path) -> None:
    """A log that was deleted loses nothing; a file from before is refused until somebody accepts what is missing."""
    with closing(Office(tmp_path / "office", Random(11))) as office:
        site, file, former = office.site, office.database, tmp_path / "former.db"
        twistd = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "ldapgw"]
        OpenStateDir(StateDir(office.state)).close()
        shutil.copy(file, former)
        with office.running() as gateway:
            file.with_name("ldapgw.db-wal").unlink()
            wait_until(lambda: "has been deleted while the gateway runs" in gateway.said, "the log says so")
            gateway.end(signal.SIGKILL)
        with office.running("after"):
            assert office.found() == office.now
        shutil.copy(former, file)
        assert "1 account is missing from the database, although " in site.ldapgw("check").stdout
        with site.running([*twistd, "--config", str(site.file), "--accept"]):
            assert site.accounts() == []
        (office.state / "images" / "7.image").touch()
        with site.running(site.command("run", "--accept")):
            assert site.accounts() == []


def test_a_disk_that_is_really_full_and_then_read_only(tmp_path: Path) -> None:
    """While it runs and when it starts: phones find what is stored, and it goes on when the disk can be written.

    `tests.faults.test_start` has each start on such a disk, in memory.
    """
    with closing(Office(tmp_path / "office", Random(9))) as office, small_disk(office.state, 1000) as disk:
        with office.running() as gateway:
            running = Running(office, gateway)
            with running.trouble("database or disk is full; make room on the disk"):
                disk.fill()
                office.site.ldapgw("sync", ALICE)
                running.is_told()
                disk.make_room()
            running.phone.close()
            before = office.found()
        disk.make_read_only()
        with office.running("read-only") as gateway:
            assert fetch(f"http://127.0.0.1:{office.site.web_port}/readyz") == (200, "degraded\n")
            assert office.found() == before
            assert gateway.said.count(FROM_MEMORY) == 1
            disk.make_writable()
            wait_until(lambda: BACK in gateway.said, "the log says that it is back")
            office.edit()
            office.sync()
            assert "Traceback" not in gateway.said
