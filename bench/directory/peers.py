# SPDX-License-Identifier: MIT
"""Other servers that hold a directory in memory: ldaptor's own, and ldapjs; both with the people of a small book."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.directory.people import ldif, person
from bench.directory.seed import OWNER, PHONE, SECRET
from bench.directory.servers import BASE, LOGIN
from bench.phone import Target
from bench.process import Server, running
from tests.support.checkout import ROOT
from tests.support.site.running import free_ports

NODE = shutil.which("node")
NODE_FOLDER = ROOT / "tests" / "bench" / "ldapjs"


def write_ldif(folder: Path, count: int) -> Path:
    """The people, for a peer to read."""
    file = folder / "people.ldif"
    with file.open("w", encoding="utf-8") as opened:
        opened.writelines(ldif(map(person, range(count)), BASE, OWNER, PHONE, SECRET))
    return file


@contextmanager
def ldaptor(folder: Path, people: Path, answers: Callable[[Target], bool]) -> Iterator[Server]:
    """The ``LDAPServer`` of ldaptor on its ``inmemory`` tree."""
    command = [sys.executable, "-m", "bench.directory.ldaptor_server"]
    with _peer("ldaptor", command, folder, people, answers) as server:
        yield server


@contextmanager
def ldapjs(folder: Path, people: Path, answers: Callable[[Target], bool]) -> Iterator[Server]:
    """The server of ldapjs with the loop of its documentation."""
    with _peer("ldapjs", [NODE or "node", NODE_FOLDER / "server.js"], folder, people, answers) as server:
        yield server


def has_ldapjs(node: str | None = NODE, folder: Path = NODE_FOLDER) -> bool:
    """Whether it can be run: Node is there, and it was installed before."""
    return node is not None and (folder / "node_modules" / "ldapjs").is_dir()


def install_ldapjs() -> None:
    """Have npm fetch it, into a folder that git does not see."""
    if not has_ldapjs():
        options = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
        subprocess.run(["npm", "ci", *options], cwd=NODE_FOLDER, check=True)


@contextmanager
def _peer(
    name: str, command: Sequence[str | Path], folder: Path, people: Path, answers: Callable[[Target], bool]
) -> Iterator[Server]:
    [port] = free_ports(1)
    own = folder / name
    own.mkdir()
    target = Target(port, 0, BASE, LOGIN, SECRET)
    with running(name, [*command, str(port), people], own, target, answers) as server:
        yield server
