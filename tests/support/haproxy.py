# SPDX-License-Identifier: MIT
"""A real HAProxy on loopback, with a folder of its own; ended by its process id."""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.site.running import PATIENCE, wait_until

# The address that it connects from.
ADDRESS = "127.0.0.2"

CONFIGURATION = """
global
    stats socket {folder}/stats mode 600
    maxconn 100
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    default-server inter 200ms fastinter 200ms downinter 200ms rise 1 fall 1 source {address}
"""


@dataclass(frozen=True)
class Haproxy:
    """A proxy that runs."""

    folder: Path

    def checks(self) -> dict[str, str]:
        """How the last health check of each server went, by its backend."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.folder / "stats"))
            client.sendall(b"show stat\n")
            said = b"".join(iter(lambda: client.recv(1 << 16), b"")).decode()
        rows = csv.DictReader(said.removeprefix("# ").splitlines())
        return {
            row["pxname"]: f"{row['status']} {row['check_status']}"
            for row in rows
            if row["svname"] not in ("FRONTEND", "BACKEND")
        }


@contextmanager
def haproxy(folder: Path, configuration: str) -> Iterator[Haproxy]:
    """Run it with listeners added to the configuration, until the block ends."""
    program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None and "CI" not in os.environ:
        pytest.skip("needs haproxy: scripts/setup")
    assert program
    file = folder / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(folder=folder, address=ADDRESS) + configuration)
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([program, "-db", "-f", str(file)], stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: (folder / "stats").exists() or process.poll() is not None, "haproxy listens")
        assert process.poll() is None, (folder / "haproxy.log").read_text()
        yield Haproxy(folder)
    finally:
        process.terminate()
        process.wait(PATIENCE)
