# SPDX-License-Identifier: MIT
"""States that earlier versions left on disk (``tests/data/upgrades``): how they are made, and how a test gets one.

A file is the dump of the database that a commit's own gateway wrote.  Its first lines, which are comments of SQL, have
the commit, the key, and the password of the phone.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldapgw.cli.google import run_in_reactor
from ldapgw.google.sandbox.tenant import ALICE
from tests.support.checkout import ROOT
from tests.support.site.running import Site, wait_until

FOLDER = ROOT / "tests" / "data" / "upgrades"
PHONE = "desk1"


def _person(given: str, family: str, *numbers: tuple[str, str]) -> Mapping[str, Any]:
    """A person as the People API has them."""
    return {
        "names": [{"displayName": f"{given} {family}", "givenName": given, "familyName": family}],
        "phoneNumbers": [
            {"type": kind, "value": number, "canonicalForm": number.replace(" ", "")} for kind, number in numbers
        ],
    }


PEOPLE: tuple[Mapping[str, Any], ...] = (
    _person("Jörg", "Müller", ("work", "+49 30 1234567"), ("mobile", "+49 171 1234567")),
    _person("Łukasz", "Nowak", ("home", "+48 22 1234567")),
    _person("Ivan", "Ivanov", ("work", "+49 30 7654321")),
)

_HEAD = re.compile(r"-- (commit|key|password) ([\w=-]+)\n")


@dataclass(frozen=True, slots=True)
class StoredState:
    """A file of ``tests/data/upgrades``.

    :ivar file: its name begins with the revision of the database.
    :ivar commit: whose code has written the database.
    :ivar key: the only line of the key file.
    :ivar password: of the phone.
    """

    file: Path
    commit: str
    key: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def revision(self) -> str:
        return self.file.stem

    def write(self, state_dir: Path) -> None:
        """Create the state directory as that version's gateway has left it."""
        state_dir.mkdir(mode=0o700)
        key = state_dir / "ldapgw.key"
        key.write_text(f"{self.key}\n")
        with closing(sqlite3.connect(state_dir / "ldapgw.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(self.file.read_text())
        for path in state_dir.iterdir():
            path.chmod(0o600)


def read_states() -> list[StoredState]:
    """All of them, the oldest first."""
    return [
        StoredState(file=file, **dict(_HEAD.findall(file.read_text()))) for file in sorted(FOLDER.glob("[0-9]*.sql"))
    ]


def make(commit: str) -> Path:
    """Run a commit's gateway with a sandbox of its own until it has an account, contacts and a phone; dump that."""
    with tempfile.TemporaryDirectory() as folder:
        checkout, work = Path(folder, "checkout"), Path(folder, "site")
        work.mkdir()
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(checkout), commit], check=True)
        try:
            # The processes that are started import from here first.
            os.chdir(checkout)
            os.environ["PYTHONPATH"] = str(checkout)
            return _make(Site(work, people={ALICE: PEOPLE}), commit)
        finally:
            os.chdir(ROOT)
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)


def _make(site: Site, commit: str) -> Path:
    site.start_sandbox()
    site.empty_sandbox()
    try:
        with site.running():
            run_in_reactor(lambda _: site.consent())
            wait_until(lambda: [one for one in site.accounts() if one["state"] == "ok"], "a good sync")
            site.add_phone(PHONE, "--account", ALICE, "--numbers", "entries")
            shared = site.ldapgw("share", ALICE, "callers")
            assert shared.returncode == 0, shared.stderr
    finally:
        site.end_sandbox()
    state_dir = site.folder / "state"
    with closing(sqlite3.connect(state_dir / "ldapgw.db")) as connection:
        [revision] = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        statements = [*connection.iterdump(), ""]
    key = (state_dir / "ldapgw.key").read_text().strip()
    head = [f"-- commit {commit}", f"-- key {key}", f"-- password {site.phones[PHONE]}"]
    file = FOLDER / f"{revision}.sql"
    file.write_text("\n".join([*head, *statements]))
    return file


if __name__ == "__main__":
    sys.stdout.write(f"{make(sys.argv[1])}\n")
