# SPDX-License-Identifier: MIT
"""A gateway whose contacts a test changes in the database, and OpenLDAP servers that replicate it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldapgw.contact import Contact, Kind, Phone, Sharing, Source
from ldapgw.numbers.phone_number import parse
from ldapgw.server.state_dir import OpenStateDir, StateDir
from ldapgw.store import accounts, contacts, sync_state
from ldapgw.store.accounts import NewGrant, SourceState
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.engines import database_at
from ldapgw.store.sync_state import SyncState
from ldapgw.sync.fetch import SourceQuery
from tests.support import slapd
from tests.support.site.running import PATIENCE, Process, Site, free_ports, ldapsearch, wait_until

BASE = "dc=acme,dc=example"
NOW = 1_790_000_000.0
# Until then nothing is synced by itself.
_LATER = NOW + 20 * 365 * 86400.0


def contact(number: int, name: str = "") -> Contact:
    """A contact with a number and a name of its own."""
    given, family = (name or f"Jörg Müller{number:05}").split(" ", 1)
    return Contact(
        uid=f"c{number}",
        source_id=f"s{number}",
        name=f"{given} {family}",
        given_name=given,
        family_name=family,
        phones=(Phone(Kind.WORK, parse(f"+4930{1_000_000 + number}", "DE")),),
        emails=(f"user{number}@example.com",),
        updated=NOW,
    )


def records(made: Iterable[Contact]) -> list[ContactRecord]:
    return [ContactRecord.from_contact(one.uid, one.source_id, one) for one in made]


@dataclass
class Office:
    """A site whose accounts have the contacts that a test writes, as syncs would.

    :ivar database: the URL of PostgreSQL; empty: SQLite.
    :ivar ids: the accounts' ids by address.
    """

    site: Site
    database: str = ""
    ids: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.site.folder / "state"

    def add_account(self, address: str, sharing: Sharing, made: Iterable[Contact]) -> None:
        """Add a connected account; only before the gateway runs."""
        state = OpenStateDir(StateDir(self.state, self.database))
        try:
            with state.database.begin() as connection:
                scopes = frozenset(("https://www.googleapis.com/auth/contacts.readonly",))
                grant = NewGrant(f"sub of {address}", address, scopes, "token", _LATER, "token", None)
                account_id = accounts.connect(
                    connection, state.secret_box, "acme", grant, sharing, NOW, shared_label=""
                )
                assert account_id is not None
                begun = sync_state.begin(connection, account_id)
                assert begun is not None
                sync_state.write_source_states(connection, account_id, {Source.CONTACTS: SourceState.ON})
                synced = SyncState("token", SourceQuery(Source.CONTACTS, "DE").fingerprint, _LATER)
                sync_state.set_sync_state(connection, account_id, Source.CONTACTS, synced)
                sync_state.end(connection, begun, NOW, _LATER)
        finally:
            state.close()
        self.ids[address] = account_id
        self.write(address, made)

    def transact(self, function: Callable[..., Any], *arguments: object) -> Any:
        """One transaction of another process than the gateway."""
        database = database_at(self.database or f"sqlite:///{self.state / 'ldapgw.db'}")
        database.open()
        try:
            with database.begin() as connection:
                return function(connection, *arguments)
        finally:
            database.close()

    def write(self, address: str, made: Iterable[Contact], deleted: Iterable[str] = ()) -> None:
        """Store contacts and delete others, as a sync does."""

        def apply(connection: Any) -> None:
            account_id = self.ids[address]
            sync_state.increment_generation(connection, account_id)
            contacts.apply_changes(connection, account_id, Source.CONTACTS, records(made), deleted)

        self.transact(apply)


@dataclass
class Replica:
    """An OpenLDAP server as ``ldapgw replica-config`` sets it up.

    :ivar password: of the replica's login at the gateway.
    :ivar rule: changes the printed configuration.
    """

    site: Site
    folder: Path
    name: str
    password: str
    arguments: tuple[str, ...] = ()
    rule: Callable[[str], str] = str
    process: Process | None = None

    def __post_init__(self) -> None:
        assert slapd.PROGRAM is not None, "needs slapd: sudo apt-get install slapd"
        self.folder.mkdir()
        (self.folder / "data").mkdir()
        [self.port] = free_ports(1)
        # A copy: where AppArmor confines the installed program, that one may not write here.
        shutil.copy(slapd.PROGRAM, self.folder / "slapd")
        file = self.folder / "password"
        file.write_text(self.password)
        printed = self.site.ldapgw("replica-config", self.name, "--password-file", str(file), *self.arguments)
        assert printed.returncode == 0, printed.stderr
        self.configuration = self.rule(
            printed.stdout.replace("/run/slapd", str(self.folder))
            .replace("/var/lib/ldap", str(self.folder / "data"))
            .replace("maxsize 10737418240", "maxsize 1073741824")
            .replace('retry="5 12 60 +"', 'retry="1 +"')
        )
        (self.folder / "slapd.conf").write_text(self.configuration)

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [str(self.folder / "slapd"), "-d", os.environ.get("SLAPD_DEBUG", "none"), "-h", self.url]
        self.process = Process([*command, "-f", "slapd.conf"], self.folder / "slapd.log", self.folder)
        wait_until(lambda: self._answers(), "slapd answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.status is None, self.process.said
        return self.search(scope="base", base="")[0] == 0

    def search(
        self, *arguments: str, login: str = "", password: str = "", base: str = BASE, scope: str = "sub"
    ) -> tuple[int, str]:
        return search(self.url, *arguments, login=login, password=password, base=base, scope=scope)

    def everything(self) -> dict[str, frozenset[str]]:
        """All that the server holds, read from its database."""
        done = subprocess.run(
            [str(self.folder / "slapd"), "-Tcat", "-f", "slapd.conf", "-o", "ldif-wrap=no"],
            capture_output=True,
            cwd=self.folder,
            timeout=PATIENCE,
            check=False,
        )
        return entries_of(done.stdout.decode())


def search(
    url: str, *arguments: str, login: str, password: str, base: str = BASE, scope: str = "sub"
) -> tuple[int, str]:
    """A real ldapsearch: its exit status and what it says."""
    return ldapsearch(url, login, password, "-b", base, "-s", scope, *arguments)


# A server adds these attributes to its own copy, or numbers them in its own way.
_OWN = ("entryCSN", "contextCSN", "creatorsName", "modifiersName")


def entries_of(ldif: str) -> dict[str, frozenset[str]]:
    """The attributes of each entry of LDIF by the entry's DN, without what a server has of its own."""
    found: dict[str, frozenset[str]] = {}
    for block in ldif.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines and lines[0].startswith("dn:"):
            found[lines[0]] = frozenset(line for line in lines[1:] if not line.startswith(_OWN))
    return found


def provided(site: Site, login: str, password: str) -> dict[str, frozenset[str]]:
    """All that the gateway gives a replica, as ldapsearch gets it by a refreshOnly of its own."""
    url = f"ldap://127.0.0.1:{site.ldap_port}"
    status, said = search(url, "-E", "!sync=ro", "(objectClass=*)", "*", "+", login=login, password=password)
    assert status == 0, said
    return entries_of(said)


@contextmanager
def ended(*replicas: Replica) -> Iterator[None]:
    """End servers with the block."""
    try:
        yield
    finally:
        for replica in replicas:
            if replica.process is not None:
                replica.process.end()
