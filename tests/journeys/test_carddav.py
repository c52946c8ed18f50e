# SPDX-License-Identifier: MIT
"""CardDAV with a client that exists: vdirsyncer finds the address books by the host alone, and keeps them in step.

A client of ours would ask for what we answer; this one asks as its makers have read the RFCs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest_twisted
import vobject

from ldapgw.google.sandbox.tenant import ALICE
from tests.journeys.test_serving import person
from tests.support.site.running import PATIENCE, Site, wait_until

_CONFIG = """
[general]
status_path = "{folder}/status/"
[pair contacts]
a = "phonebook"
b = "local"
collections = ["from a"]
conflict_resolution = "a wins"
[storage phonebook]
type = "carddav"
url = "{url}"
username = "desk1"
password = "{password}"
read_only = true
[storage local]
type = "filesystem"
path = "{folder}/contacts/"
fileext = ".vcf"
"""


class Vdirsyncer:
    """A machine on which the program runs, with a folder of its own."""

    def __init__(self, folder: Path, url: str, password: str) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "config").write_text(_CONFIG.format(folder=folder, url=url, password=password))

    def run(self, command: str) -> str:
        """Return the program's output; the program asks about each folder to make."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "vdirsyncer", command],
            input="y\n" * 10,
            env={**os.environ, "VDIRSYNCER_CONFIG": str(self._folder / "config")},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def contacts(self) -> dict[str, Any]:
        """The vCards that it has, by name."""
        cards = [vobject.readOne(file.read_text()) for file in self._folder.glob("contacts/*/*.vcf")]
        return {card.fn.value: card for card in cards}


@pytest_twisted.ensureDeferred
async def test_in_step_with_google(site: Site, tmp_path: Path) -> None:
    """Contacts come, change and go; what is unchanged is not read again."""
    site.empty_sandbox()
    for at in range(120):
        site.turn("add-person", account=ALICE, person=person(f"Person {at:03}", f"030 23125 {100 + at}"))
    gone = site.turn("add-person", account=ALICE, person=person("Gerd Gone", "030 23125 99"))["resourceName"]
    with site.running() as gateway:
        await site.consent()
        site.synced()
        site.add_phone()
        client = Vdirsyncer(tmp_path / "client", f"http://127.0.0.1:{site.web_port}/", site.phones["desk1"])
        assert ALICE in client.run("discover")
        client.run("sync")
        found = client.contacts()
        assert len(found) == 121
        assert (found["Gerd Gone"].tel.value, found["Gerd Gone"].version.value) == ("+49302312599", "3.0")

        again = client.run("sync")
        assert "Copying" not in again
        assert "Deleting" not in again

        site.turn("delete-person", account=ALICE, resourceName=gone)
        site.turn("add-person", account=ALICE, person=person("Nora Neu", "030 23125 98"))
        assert site.process("sync", "--wait").returncode == 0
        wait_until(lambda: site.ldapsearch("(cn=nora neu)")[1].count("uid: ") == 1, "the change is there")
        changes = [line for line in client.run("sync").splitlines() if line.startswith(("Copying", "Deleting"))]
        assert [line.partition(" ")[0] for line in sorted(changes)] == ["Copying", "Deleting"]
        assert client.contacts().keys() == (found.keys() - {"Gerd Gone"}) | {"Nora Neu"}
    assert "Traceback" not in gateway.said
