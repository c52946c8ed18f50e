# SPDX-License-Identifier: MIT
"""Runs each way in turn and prints the table; of each figure the best of the rounds."""

from __future__ import annotations

import argparse
import json
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from bench.aside.server import WAYS
from bench.table import simple_table
from tests.support.checkout import ROOT

PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Seen:
    """What somebody who searched has seen of one way, and the server of itself; seconds."""

    median: float
    p99: float
    longest_turn: float
    seconds: float
    used: float


def run(way: str, pages: int) -> Seen:
    command = [sys.executable, "-m", "bench.aside.server", way, str(pages)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        with socket.create_connection(("127.0.0.1", int(server.stdout.readline()))) as connection:
            assert server.stdout.readline() == "begun\n"
            times = sorted(search(connection, server))
        told = json.loads(server.stdout.readline())
    p99 = times[int(len(times) * 0.99)]
    return Seen(times[len(times) // 2], p99, told["longest"], told["seconds"], told["used"])


def search(connection: socket.socket, server: subprocess.Popen[str]) -> list[float]:
    """The times of searches, one after the other, until the server has read all."""
    times: list[float] = []
    while not select.select([server.stdout], [], [], PAUSE_SECONDS)[0]:
        began = time.perf_counter()
        connection.sendall(b"x\r\n")
        if not connection.recv(100):
            break
        times.append(time.perf_counter() - began)
    return times


def best(rounds: list[Seen]) -> Seen:
    return Seen(*(min(getattr(one, name) for one in rounds) for name in Seen.__dataclass_fields__))


def table(found: dict[str, Seen]) -> list[str]:
    """The lines of a table in reStructuredText."""
    rest = next(iter(found.values()))
    rows = [("Where", "Search, median", "Search, p99", "To idle", "Longest turn", "Page", "Of it ours")]
    for way, seen in found.items():
        figures = (seen.median, seen.p99, seen.longest_turn)
        median, p99, turn = (f"{figure * 1000:.1f} ms" for figure in figures)
        each = (f"{seen.seconds * 1000:.0f} ms", f"{seen.used * 1000:.0f} ms") if seen is not rest else ("", "")
        rows.append((way, median, p99, f"{seen.p99 / rest.p99:.1f}", turn, *each))
    return simple_table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="aside", description=__doc__)
    parser.add_argument("--pages", type=int, default=25, help="of a thousand persons each")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, list[Seen]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way, rounds in found.items():
            rounds.append(run(way, given.pages))
    each = {way: best(rounds) for way, rounds in found.items()}
    scaled = {
        way: Seen(one.median, one.p99, one.longest_turn, one.seconds / given.pages, one.used / given.pages)
        for way, one in each.items()
    }
    sys.stdout.write("\n".join(table(scaled)) + "\n")


if __name__ == "__main__":
    main()
