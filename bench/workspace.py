# SPDX-License-Identifier: MIT
"""The first sync of a company that a service account reads, by ``ldapgw demo --workspace``."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure, judged
from tests.support.site.running import Process, fetch, free_ports

# The people of the demo's company, except a person who is suspended.
_PEOPLE = 199


def measure(_given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    web, ldap, sandbox = free_ports(3)
    command = [sys.executable, "-m", "ldapgw", "demo", "--workspace", "--state", str(folder / "demo")]
    ports = ("--port", f"{web}", "--ldap-port", f"{ldap}", "--sandbox-port", f"{sandbox}")
    begun = time.monotonic()
    demo = Process([*command, *ports], folder / "log", Path.cwd())
    try:
        for people in (1, _PEOPLE // 2, _PEOPLE):
            while _synced(web) < people:
                assert demo.status is None, demo.said
                time.sleep(0.1)
            yield judged("first sync", f"{people} people", time.monotonic() - begun, "< 60 s")
    finally:
        demo.end()


def _synced(port: int) -> int:
    """Return how many accounts are synced without an error."""
    _, text = fetch(f"http://127.0.0.1:{port}/metrics")
    return sum(int(float(figure)) for figure in re.findall(r'(?m)^ldapgw_accounts\{.*state="ok".*\} (\S+)$', text))
