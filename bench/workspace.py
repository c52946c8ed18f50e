# SPDX-License-Identifier: MIT
"""How long the first sync of a company lasts that a service account reads."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from bench.directory.report import machine
from bench.report import Figure, command_line, end_on_sigterm, figure_table, say
from tests.support.site.running import Process, free_ports

# The people of the demo's company, except one who is suspended.
PEOPLE = 199
GOAL = 60.0
_PATIENCE = 600.0
_GLANCE = 0.1

EXPLANATION = """\
The program is "ldapgw demo --workspace": a sandbox and a gateway in one process, so the processor time is that of both.
The time lasts from the start of the process until the metrics count so many accounts without an error.  The sandbox
answers at once and has no quota, so the figure says nothing about Google.
"""


def main() -> int:
    end_on_sigterm()
    command_line("scripts/bench workspace", __doc__, EXPLANATION).parse_args()
    with tempfile.TemporaryDirectory(prefix="ldapgw-bench-") as made:
        found = dict(measure(Path(made)))
    figures = [
        Figure("first sync", f"{people} people", f"{seconds:.1f} s", f"< {GOAL:.0f} s", seconds < GOAL)
        for people, seconds in found.items()
    ]
    sys.stdout.write("\n".join((machine(), "", *figure_table("Load", "Figure", figures), "")))
    return 0 if PEOPLE in found and found[PEOPLE] < GOAL else 1


def measure(folder: Path) -> Iterator[tuple[int, float]]:
    """Yield, for some numbers of people, the seconds until so many are synced."""
    web, ldap, sandbox = free_ports(3)
    command = [sys.executable, "-m", "ldapgw", "demo", "--workspace", "--state", str(folder / "demo")]
    begun = time.monotonic()
    ports = ("--port", f"{web}", "--ldap-port", f"{ldap}", "--sandbox-port", f"{sandbox}")
    demo = Process([*command, *ports], folder / "log", Path.cwd())
    try:
        for people in (1, PEOPLE // 2, PEOPLE):
            while synced(web) < people:
                if demo.status is not None or time.monotonic() - begun > _PATIENCE:
                    say(f"the demo has ended, or has not synced {people} people:\n{demo.said}")
                    return
                time.sleep(_GLANCE)
            yield people, time.monotonic() - begun
    finally:
        demo.end()


def synced(port: int) -> int:
    """Return how many accounts are synced without an error."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    return sum(int(float(figure)) for figure in re.findall(r'(?m)^ldapgw_accounts\{.*state="ok".*\} (\S+)$', text))


if __name__ == "__main__":
    sys.exit(main())
