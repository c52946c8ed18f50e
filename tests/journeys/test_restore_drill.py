# SPDX-License-Identifier: MIT
"""The drill of ``docs/how-to/upgrade.rst``: a backup of one machine serves phones on another one.

The new machine has other paths and another user, and Google cannot be reached.  Only a process runs as another user.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ldapgw.google.sandbox.tenant import ALICE
from ldapgw.store.database import revisions
from tests.support.site.running import PATIENCE, Site, find_program, wait_until
from tests.support.site.visitor import connect

pytestmark = pytest.mark.long  # starts gateways

PHONE = "desk1"
NUMBERS = ("+48221234567", "+491711234567", "+49301234567", "+49307654321")
PEOPLE = [
    {"names": [{"givenName": f"Person {number}"}], "phoneNumbers": [{"type": "work", "value": number}]}
    for number in NUMBERS
]


@dataclass
class Machine(Site):
    """A machine whose gateway has a user of its own, where we are root.

    :ivar prefix: what comes before a command of that user.
    """

    prefix: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        return [*self.prefix, *super().command(*arguments)]

    def run(self, *arguments: str, as_root: bool = False) -> str:
        """Run a command to its end, as the gateway's user or as root; what it prints."""
        command = self.command(*arguments)[len(self.prefix) if as_root else 0 :]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


def as_another_user() -> list[str]:
    """Return the program that runs a command as nobody, if we are root.

    An interpreter below root's home can be read with a capability only, which allows no writing.
    """
    if os.geteuid():
        return []
    user = pwd.getpwnam("nobody")
    prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    if subprocess.run([*prefix, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return prefix


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module", name="old")
def _old(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine whose gateway has ended, with Alice's contacts, which callers find, and a phone of hers."""
    old = Machine(tmp_path_factory.mktemp("old"), people={ALICE: PEOPLE})
    old.start_sandbox()
    try:
        old.empty_sandbox()
        with old.running():
            connect(old.page, ALICE)
            wait_until(lambda: [one for one in old.accounts() if one["state"] == "ok"], "a good sync")
            old.add_phone(PHONE, "--account", ALICE, "--numbers", "entries")
            assert old.ldapgw("share", ALICE, "callers").returncode == 0
    finally:
        old.end_sandbox()
    return old


def test_a_restore_drill(old: Machine, folder: Path) -> None:
    """Phones sign in with their passwords, and find what they found; everything belongs to the gateway's user.

    Both root and the gateway's user may restore.
    """
    find_program("ldapsearch", "ldap-utils")
    backups = folder / "backups"
    told = old.ldapgw("backup", str(backups), "--keep", "14").stdout
    [backup] = backups.iterdir()
    assert told.startswith(f"Saved the database to {backup} (")

    (folder / "new").mkdir(mode=0o711)
    new = Machine(folder / "new", prefix=as_another_user())
    state_dir = new.folder / "srv" / "phonebook"
    new.file.write_text(new.file.read_text().replace('state_dir = "state"', f'state_dir = "{state_dir}"'))
    new.file.chmod(0o640)
    state_dir.parent.mkdir(mode=0o711)
    state_dir.mkdir(mode=0o700)
    shutil.copy(old.folder / "state" / "ldapgw.key", state_dir)
    copied = folder / "copied.db"
    shutil.copy(backup, copied)
    if new.prefix:
        user = pwd.getpwnam("nobody")
        shutil.chown(new.file, "root", user.pw_gid)
        for path in (state_dir, state_dir / "ldapgw.key", copied):
            shutil.chown(path, user.pw_uid, user.pw_gid)

    for is_root in (True, False):
        for file in state_dir.glob("ldapgw.db*"):
            file.unlink()
        told = new.run("restore", str(copied), "--yes", as_root=is_root)
        assert told == f"Restored {copied}. Now start the gateway.\n"
        assert {path.stat().st_uid for path in state_dir.rglob("*")} == {state_dir.stat().st_uid}
    checked = json.loads(new.run("check", "--json"))["items"]
    assert [item for item in checked if item["state"] == "failed"] == []
    states = {item["item"]: item["message"] for item in checked}
    assert states[f"database {state_dir / 'ldapgw.db'}"] == f"version {revisions()[0]}"
    assert states[f"key file {state_dir / 'ldapgw.key'}"] == "fits the database"

    new.phones[PHONE] = old.phones[PHONE]
    with new.running():
        status, said = new.ldapsearch("(telephoneNumber=*)", "telephoneNumber")
        assert status == 0, said
        assert sorted(re.findall(r"telephoneNumber: (\+\d+)", said)) == list(NUMBERS)
        [account] = new.accounts()
        assert (account["account"], account["contacts"], account["sharing"]) == (ALICE, 4, "callers")
        ports = [item for item in json.loads(new.run("check", "--json"))["items"] if ".listen" in item["item"]]
        assert {(item["state"], item["message"].rpartition(" answers")[2]) for item in ports} == {
            ("ok", " without TLS"),
            ("ok", ", and the gateway is ready"),
        }
    assert {path.stat().st_uid for path in state_dir.rglob("*")} == {state_dir.stat().st_uid}
