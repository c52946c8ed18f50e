# SPDX-License-Identifier: MIT
"""A whole gateway in memory, put together by its own composition root: only the sockets and the time are ours.

Between it and Google is the sandbox, with a `Line` that can break, be listened to, or end the process.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, make_url
from sqlalchemy.exc import OperationalError
from treq.testing import StubTreq
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport

from ldapgw.directory.passwords import hash_password
from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.world import World
from ldapgw.peers.change_feed import ChangeFeed
from ldapgw.peers.leadership import BEAT_SECONDS
from ldapgw.server.config import Config, decode
from ldapgw.server.gateway import Gateway, makeService
from ldapgw.server.reactor import WallClock
from ldapgw.server.workers import WorkerProcess
from ldapgw.store import accounts, phones, sync_state
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.store.backup import back_up, back_up_server, restore, restore_server
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.key_rotation import find_unready, prepare, rotate
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.secrets import KeySource, SecretBox
from tests.support import pdu, postgresql
from tests.support.disk import crash
from tests.support.kill import Kill
from tests.support.postgresql import Notices
from tests.support.site.company import ATTRIBUTES, Entries
from tests.support.site.line import taken
from tests.support.stage.sync import connect, consent

NOW = 1_800_000_000.0
GOOGLE = "http://127.0.0.1:1"
BASE = "dc=acme,dc=example"
PASSWORD = "secret"
HASHED = hash_password(PASSWORD, lambda count: bytes(count))


def settings(folder: Path, interval: str = "1h", database: str = "") -> Config:
    """A tenant with all sources.

    :param database: the URL of a database on a server; empty: it is a file.
    """
    document = {
        **({"database": database} if database else {}),
        "state_dir": str(folder / "state"),
        "ldap": {"listen": ["tcp:3389"]},
        "web": {"public_url": "https://phonebook.example.com", "listen": ["tcp:8081"]},
        "sync": {"interval": interval},
        "google": {
            "authorization_endpoint": GOOGLE + "/o/oauth2/v2/auth",
            "token_endpoint": GOOGLE + "/token",
            "revocation_endpoint": GOOGLE + "/revoke",
            "people_api": GOOGLE,
            "issuer": GOOGLE,
        },
        "tenant": [
            {
                "name": "acme",
                "base_dn": BASE,
                "client_id": "client",
                "client_secret": "GOCSPX-EXAMPLE",
                "allowed_users": ["@acme.example"],
                "region": "DE",
                "sources": ["contacts", "other_contacts", "directory"],
            }
        ],
    }
    return decode(document, str(folder / "ldapgw.toml"))


class Line:
    """The line to Google.

    :ivar calls: that were made since somebody set it to 0.
    :ivar before: called before each call with how many there were; may raise.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.hang_up()
        self.calls = 0
        self.before: Callable[[int], None] = lambda _: None
        self.kill = Kill()

    def hang_up(self) -> None:
        """Let go of the connections, all of which are kept in memory."""
        self._http = StubTreq(sandbox(self.world))

    def request(self, *args: Any, **kw: Any) -> Any:
        self.calls += 1
        self.kill.step()
        self.before(self.calls)
        answer = self._http.request(*args, **kw)
        self.kill.step()
        return answer


class Machine:
    """A machine with a disk and a clock, on which a gateway runs or not.

    :param server: the URL of the gateway's database on a PostgreSQL server; empty: the machine has it in a file.
    :ivar ahead: what its clock is wrong by, in seconds.
    """

    def __init__(self, folder: Path, world: World, reactor: MemoryReactorClock, server: str = "") -> None:
        self.folder = folder
        self._server = server
        self._notices: list[Notices] = []
        self.settings = settings(folder, database=server)
        self.reactor = reactor
        self.wall = WallClock(reactor, lambda: NOW + reactor.seconds() + self.ahead)
        self.ahead = 0.0
        self.line = Line(world)
        self.gateway: Gateway | None = None
        self.commands: Database | None = None

    # --- the process ---

    def start(self) -> None:
        """Start a gateway; nothing is asked of Google before the clock goes on."""
        self.reactor.tcpServers.clear()
        self.kill = self.line.kill = Kill()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ldapgw.server.google.http_client", lambda *_args, **_named: self.line)
            if self._server:
                patch.setattr(
                    "ldapgw.store.postgresql.PostgresqlDatabase.change_detector",
                    lambda database: self._notice(database),
                )
            gc.freeze()  # it collects what it makes, and need not look at all the tests
            self.gateway = makeService(self.settings, self.reactor, self.wall)
        self.gateway._threads = ()  # all happens here and now
        for part in [part for part in self.gateway.services if isinstance(part, WorkerProcess)]:
            part.disownServiceParent()  # its thread would outlive a gateway that is killed
        self.database = self.gateway._state.database
        for engine in self._engines():
            self.kill.watch_database(engine)
        self.gateway.begin()
        self.just_started = True

    def stop(self) -> None:
        """As SIGTERM does."""
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            ended = gateway.stopService()
            for _ in range(10):
                self.reactor.advance(0.1)
            assert ended.called
            self._nothing_is_left()

    def lose(self) -> None:
        """As SIGKILL does: nothing of it runs any more, and the kernel lets go of what it held."""
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            self.kill.left, self.kill.dead = None, True
            for call in list(self.reactor.getDelayedCalls()):
                call.cancel()
            if self._server:
                gateway._state.close()
                self._let_server_forget()
                return
            crash(self.folder / "state", gateway._state.close)

    def _let_server_forget(self) -> None:
        """Have the server notice that the gateway is no more, and end its sessions, as it does when a process ends."""
        for notices in self._notices:
            notices.close()
        self._notices.clear()
        postgresql.shared().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{make_url(self._server).database}' AND application_name = 'ldapgw'"
        )
        postgresql.shared().execute("UPDATE gateway SET seen_at = 0", make_url(self._server).database or "")

    def _notice(self, database: Database) -> Notices:
        self._notices.append(Notices(database.url))
        return self._notices[-1]

    def _engines(self) -> list[Engine]:
        syncing = [self.database._sync_engine] if self._server else []  # type: ignore[attr-defined]
        return [self.database.engine, *syncing]

    def _nothing_is_left(self) -> None:
        left = self.reactor.getDelayedCalls()
        assert not left, left

    def scrap(self) -> None:
        """Let go of everything."""
        self.lose()
        if self.commands is not None:
            self.commands.close()
        gc.unfreeze()

    def run(self, seconds: float) -> None:
        """Let time pass, a little more than asked so that what is due then is done."""
        if self.just_started and self.gateway is not None:
            # Its first look needs the store's thread; here it came before all services were started.
            self.just_started = False
            next(part for part in self.gateway.services if isinstance(part, ChangeFeed)).refresh_now()
        self.reactor.advance(seconds)
        for _ in range(3):
            self.reactor.advance(0.01)

    # --- the database, as a command has it ---

    def transact(self, function: Callable[..., Any], *args: object, **kw: object) -> Any:
        """One transaction of another process."""
        if self.commands is None:
            self.commands = database_at(self._server or f"sqlite:///{self._file}")
            self.commands.open()
        return self.commands.run(function, *args, **kw)

    def connect(self, address: str) -> None:
        """As the page does once a consent was given."""
        now = self.wall.seconds()
        grant = consent(self.line.world, address, now, "client")
        secret_box = SecretBox.open(KeySource(self.key_file), create=False)
        self.transact(connect, secret_box, grant, now=now)

    def account(self, address: str) -> Account:
        (found,) = self.transact(accounts.find_by_address, address)
        return found

    def ask(self, address: str, kind: SyncRequest) -> None:
        """``ldapgw sync ADDRESS``."""
        self.transact(sync_state.request_sync, self.account(address).id, kind)

    def add_phone(self, name: str, owner: str) -> None:
        login = PhoneLogin(name, "acme", self.account(owner).id, NumberMode.VALUES, HASHED, NOW)
        assert self.transact(phones.add, login)

    def back_up(self, file: Path) -> None:
        """``ldapgw backup FILE``."""
        if self._server:
            assert self.commands is not None
            back_up_server(self.commands, file)
        else:
            back_up(self._file, file)

    def restore(self, file: Path) -> None:
        """``ldapgw restore FILE``."""
        secret_box = SecretBox.open(KeySource(self.key_file), create=False)
        if self._server:
            assert self.commands is not None
            restore_server(file, self.commands, secret_box, self._file)
        else:
            restore(file, self._file, secret_box)

    def rotate_key(self, key: bytes) -> None:
        """``ldapgw rotate-key``, which waits until a gateway that shares the database knows the key."""
        assert self.commands is not None
        if self._server and self.gateway is not None:
            key = prepare(self.commands, self.key_file)
            for _ in range(5):
                self.run(BEAT_SECONDS)
            assert not self.transact(find_unready, key)
        rotate(self.commands, self.key_file, key, date(2027, 1, 15))

    @property
    def key_file(self) -> Path:
        return self.folder / "state" / "ldapgw.key"

    @property
    def _file(self) -> Path:
        return self.folder / "state" / "ldapgw.db"

    # --- trouble with the disk ---

    def fail_at(self, statement: int, count: int, reason: str) -> Callable[[], None]:
        """Have statements fail from one of them on, as a disk that is full or broken would.

        :param count: how many; a disk that is nearly full has room for a little.
        :returns: mends it.
        """
        seen = 0

        def broken(*_: object) -> None:
            nonlocal seen
            seen += 1
            if statement <= seen < statement + count:
                raise OperationalError("", {}, self._trouble(reason))

        watched = [(engine, name) for engine in self._engines() for name in ("before_cursor_execute", "commit")]
        for engine, name in watched:
            event.listen(engine, name, broken)

        def mend() -> None:
            for engine, name in watched:
                event.remove(engine, name, broken)

        return mend

    def _trouble(self, reason: str) -> Exception:
        """Return the error that the database's driver raises for a reason of SQLite's."""
        if not self._server:
            return sqlite3.OperationalError(reason)
        import psycopg

        kinds = {
            "database or disk is full": psycopg.errors.DiskFull,
            "disk I/O error": psycopg.errors.IoError,
            "database is locked": psycopg.errors.LockNotAvailable,
            "attempt to write a readonly database": psycopg.errors.ReadOnlySqlTransaction,
        }
        return kinds[reason](reason)

    # --- a phone ---

    def served(self, phone: str, base: str) -> Entries:
        """All entries below a base that a phone finds, with what matters of them; none where it does not exist."""
        door = next(door for port, door, *_ in self.reactor.tcpServers if port == 3389)
        protocol, transport = door.buildProtocol(IPv4Address("TCP", "192.0.2.1", 5)), StringTransport()
        protocol.makeConnection(transport)
        wanted = pdu.search(base, 2, attributes=ATTRIBUTES)
        protocol.dataReceived(pdu.message(1, pdu.bind(phone, PASSWORD.encode())) + pdu.message(2, wanted))
        for _ in range(100):
            answers = pdu.responses(transport.value())
            if answers and answers[-1].kind == 0x65:
                break
            self.reactor.advance(0.001)
        protocol.dataReceived(pdu.message(3, pdu.UNBIND))
        protocol.connectionLost()
        bound, *entries, done = answers
        assert bound.code == 0, bound
        assert done.code in (0, 32), done
        return dict(taken(entries))
