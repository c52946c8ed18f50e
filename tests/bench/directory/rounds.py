# SPDX-License-Identifier: MIT
"""Rounds: each visits every load and every server once, the servers in turn first; what counts is the median of them.

What else the machine does hits all servers alike then, and ratios hold where figures alone would not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median

from tests.bench.directory.asking import Workload
from tests.bench.directory.load import Load, Round
from tests.bench.directory.people import Person
from tests.bench.process import Server


@dataclass(frozen=True)
class Measured:
    """What the rounds of one load on one server come to."""

    workload: Workload
    server: str
    rounds: tuple[Round, ...]

    @property
    def middle(self) -> Round:
        """Of each figure the median; of errors the sum."""
        figures = {field.name: median(getattr(one, field.name) for one in self.rounds) for field in fields(Round)}
        return Round(**figures | {"errors": sum(one.errors for one in self.rounds)})

    @property
    def rate(self) -> float:
        """What servers are compared by: searches a second; of whole books, which may outlast a round, entries."""
        return self.middle.entries_s if self.workload.name == "list" else self.middle.searches_s


def interleaved(
    load: Load,
    servers: Sequence[Server],
    workloads: Iterable[Workload],
    people: Sequence[Person],
    rounds: int,
    seconds: float,
) -> Mapping[tuple[str, str], Measured]:
    """Measure all loads on all servers: by load and server."""
    asked = {one: one.asked(servers[0].target.base, people) for one in workloads}
    found: dict[tuple[Workload, str], list[Round]] = {(one, server.name): [] for one in asked for server in servers}
    for at in range(rounds):
        turned = [*servers[at % len(servers) :], *servers[: at % len(servers)]]
        for workload, searches in asked.items():
            for server in turned:
                one = load.round(server.target, searches, seconds)
                found[workload, server.name].append(one)
                _say(f"  {workload.name} {server.name}: {one.searches_s:,.0f}/s, {one.p99:.2f} ms, {one.errors} errors")
    return {
        (workload.name, server): Measured(workload, server, tuple(measured))
        for (workload, server), measured in found.items()
    }


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
