# SPDX-License-Identifier: MIT
"""How evenly connections are spread over processes: calculated, for docs/explanation/scale.rst.

The kernel gives each new connection to one of the sockets of a port, by a hash of its addresses and ports, whatever the
other connections of that socket do (``net/core/sock_reuseport.c`` of Linux).  So the processes get connections as boxes
get balls that are thrown at random.
"""

from __future__ import annotations

import sys
from random import Random
from statistics import fmean

from bench.table import simple_table

PROCESSES = 16
CONNECTIONS = (16, 100, 1000, 10_000)
# Balls that are thrown for each row.
_THROWN = 2_000_000


def busiest(connections: int, processes: int, trials: int, random: Random) -> float:
    """The mean number of connections of the process that has most."""
    return fmean(_most(connections, processes, random) for _ in range(trials))


def _most(connections: int, processes: int, random: Random) -> int:
    counts = [0] * processes
    for process in random.choices(range(processes), k=connections):
        counts[process] += 1
    return max(counts)


def lines() -> list[str]:
    """A table: what all processes do when the busiest of them is busy all the time, and all connections ask alike."""
    random = Random(0)
    rows = [("Connections", "Mean of a process", "Busiest process", "All together, in processes")]
    for count in CONNECTIONS:
        most = busiest(count, PROCESSES, _THROWN // count, random)
        rows.append((f"{count:,}", f"{count / PROCESSES:,.1f}", f"{most:,.1f}", f"{count / most:.1f}"))
    return simple_table(rows)


if __name__ == "__main__":
    sys.stdout.write("\n".join([*lines(), ""]))
