# SPDX-License-Identifier: MIT
"""A gateway's files in a folder of the test's own, and the command run on them in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import Connection

from ldapgw.cli import main
from ldapgw.contact import Contact, Kind, Sharing, Source
from ldapgw.server.state_dir import StateDirLock
from ldapgw.store import accounts, contacts, sync_state
from ldapgw.store.accounts import Account, NewGrant
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.files import prepare_state_dir
from ldapgw.store.secrets import KeySource, SecretBox
from tests.support.phonebook.entries import phone
from tests.support.stage.databases import open_file

ACME = """
[[tenant]]
name = "acme"
title = "Acme GmbH"
base_dn = "dc=acme,dc=example"
client_id = "client"
client_secret = "secret"
allowed_users = ["@acme.example"]
admins = ["root@acme.example"]
"""


BETA = ACME.replace("acme", "beta").replace("Acme", "Beta")


HEAD = """
state_dir = "state"

[ldap]
listen = ["tcp:0:interface=127.0.0.1"]

[web]
listen = ["tcp:0:interface=127.0.0.1"]
public_url = "https://phonebook.example.com"
"""


# A moment in the past; 2026-01-31 09:30 UTC.
THEN = 1769851800.0


class _Terminal(io.BytesIO):
    """What a person types at a terminal, and what happens before the person types."""

    def __init__(self, answer: bytes, meanwhile: Callable[[], object]) -> None:
        super().__init__(answer)
        self._meanwhile = meanwhile

    def read1(self, size: int | None = -1, /) -> bytes:
        if self.tell() == 0:
            self._meanwhile()
        return super().read1(size)

    def isatty(self) -> bool:
        return True


class Gateway:
    """The files of a gateway that may not have been started yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "ldapgw.toml"
        self.state_dir = folder / "state"
        self.write(HEAD + ACME)

    def write(self, configuration: str) -> None:
        self.file.write_text(configuration)
        self.file.chmod(0o640)

    def run(self, *arguments: str) -> Result:
        """``ldapgw --config FILE ARGUMENTS``; nothing but what was meant to end it may have ended it."""
        result = CliRunner().invoke(main, ["--config", str(self.file), *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def ask(self, answer: bytes, *arguments: str, meanwhile: Callable[[], object] = lambda: None) -> tuple[int, str]:
        """Run a command at a terminal, where a person answers; the exit status, and what it prints on stderr.

        :param meanwhile: called before the person answers.
        """
        terminal = _Terminal(answer, meanwhile)
        result = CliRunner().invoke(main, ["--config", str(self.file), *arguments], input=terminal)
        return result.exit_code, result.stderr

    def json(self, *arguments: str) -> Any:
        """Return a command's output with ``--json``; nothing else may be on stdout."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def checked(self, *, code: int = 0) -> dict[str, tuple[str, str]]:
        """Return the results of ``check --json``: state and message by item, paths relative to the gateway's folder."""
        result = self.run("check", "--json")
        assert result.exit_code == code, result.output
        items = json.loads(result.stdout)["items"]
        place = f"{self.folder}/"
        return {one["item"].replace(place, ""): (one["state"], one["message"].replace(place, "")) for one in items}

    def refused(self, *arguments: str) -> str:
        """The lines that a command prints when it is refused."""
        result = self.run(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stderr
        assert all(line.startswith("ldapgw: ") for line in result.stderr.splitlines())
        return result.stderr.replace("ldapgw: ", "")

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, as the gateway would have one."""
        prepare_state_dir(self.state_dir)
        database = open_file(self.state_dir / "ldapgw.db")
        with database.begin() as connection:
            yield connection
        database.close()

    def do(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call a function of the store in a transaction of its own."""
        with self.begin() as connection:
            return function(connection, *args, **kw)

    def account(self, address: str) -> Account:
        """Return the account of an address."""
        [found] = self.do(accounts.find_by_address, address)
        return found

    @property
    def secret_box(self) -> SecretBox:
        prepare_state_dir(self.state_dir)
        return SecretBox.open(KeySource(self.state_dir / "ldapgw.key"), create=True)

    def connect(self, address: str, tenant: str = "acme", *, sharing: Sharing = Sharing.PRIVATE, sub: str = "") -> int:
        """An account that has given consent."""
        grant = NewGrant(sub or address, address, frozenset(), "at", THEN + 3600, f"rt-{address}", None)
        account_id = self.do(accounts.connect, self.secret_box, tenant, grant, sharing, THEN, shared_label="")
        assert isinstance(account_id, int)
        return account_id

    def fill(self, account_id: int, *found: Contact) -> None:
        """A sync that has ended well and brought contacts."""
        with self.begin() as connection:
            contacts.apply_changes(
                connection,
                account_id,
                Source.CONTACTS,
                [ContactRecord.from_contact(one.uid, one.uid, one) for one in found],
                (),
            )
            begun = sync_state.begin(connection, account_id)
            assert begun is not None
            sync_state.increment_generation(connection, account_id)
            sync_state.end(connection, begun, THEN, THEN + 600)

    @contextmanager
    def running(self) -> Iterator[None]:
        """As long as another process would hold the lock."""
        prepare_state_dir(self.state_dir)
        lock = StateDirLock(self.state_dir)
        lock.write_pid()
        yield
        lock.release()


def person(name: str, number: str, uid: str = "", *, kind: Kind = Kind.WORK, organization: str = "") -> Contact:
    """A contact with one number."""
    given, _, family = name.rpartition(" ")
    return Contact(
        uid=uid or "c" + name.lower().replace(" ", ""),
        name=name,
        given_name=given,
        family_name=family,
        organization=organization,
        phones=(phone(kind, number),),
        emails=(f"{family.lower()}@mail.example",),
    )
