# SPDX-License-Identifier: MIT
"""The first sync of a company that a service account reads, by ``ldapgw demo --workspace``."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from bench.report import Figure, Results, judged, results_of, say
from tests.support.site.running import Process, fetch, free_ports

# The people of the demo's company, except a person who is suspended.
_PEOPLE = 199
_PATIENCE = 600.0


def measure(_given: argparse.Namespace, folder: Path) -> Results:
    web, ldap, sandbox = free_ports(3)
    command = [sys.executable, "-m", "ldapgw", "demo", "--workspace", "--state", str(folder / "demo")]
    begun, figures = time.monotonic(), list[Figure]()
    ports = ("--port", f"{web}", "--ldap-port", f"{ldap}", "--sandbox-port", f"{sandbox}")
    demo = Process([*command, *ports], folder / "log", Path.cwd())
    try:
        for people in (1, _PEOPLE // 2, _PEOPLE):
            while _synced(web) < people:
                if demo.status is not None or time.monotonic() - begun > _PATIENCE:
                    say(demo.said)
                    raise SystemExit(f"the demo has ended, or has not synced {people} people")
                time.sleep(0.1)
            seconds = time.monotonic() - begun
            figures.append(judged("first sync", f"{people} people", seconds, "< 60 s"))
    finally:
        demo.end()
    return results_of("Load", "Figure", figures)


def _synced(port: int) -> int:
    """Return how many accounts are synced without an error."""
    _, text = fetch(f"http://127.0.0.1:{port}/metrics")
    return sum(int(float(figure)) for figure in re.findall(r'(?m)^ldapgw_accounts\{.*state="ok".*\} (\S+)$', text))
