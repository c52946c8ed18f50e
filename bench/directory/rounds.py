# SPDX-License-Identifier: MIT
"""Rounds: each visits every load and every server once, the servers in turn first; what counts is the median of them.

What else the machine does hits all servers alike then, and ratios hold where figures alone would not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import nan
from statistics import median

from bench.asking import Workload
from bench.directory.servers import BEFORE, BEFORE_PURE, COMPILED, LIMIT, OURS, PURE, THEIRS
from bench.load import Load, Round
from bench.people import Person
from bench.process import Server
from bench.report import say

# The number of contacts that a load's own goals are for.
GOALS_10K = 10_000
# Of slapd's p99, at most.
P99_GOAL = 0.5
# Of another checkout's rate: what is less is lower, unless a round of the other was as low.
LOWER = 0.95


@dataclass(frozen=True)
class Plan:
    """How it is measured.

    :ivar seconds: of each round.
    """

    load: Load
    workloads: tuple[Workload, ...]
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Change:
    """What has become of the rate of another checkout; all but the ratio are searches or entries a second.

    :ivar how: how both are run.
    :ivar before: the median of its rounds.
    :ivar least: of its rounds.
    :ivar most: likewise.
    :ivar now: the median of our rounds.
    """

    how: str
    before: float
    least: float
    most: float
    now: float

    @property
    def times(self) -> float:
        """How many times the other's rate we have; nan where it has none."""
        return self.now / self.before if self.before else nan

    @property
    def is_lower(self) -> bool:
        """Whether we are slower by more than its rounds differ."""
        return self.now < LOWER * self.before and self.now < self.least


@dataclass(frozen=True)
class Comparison:
    """What one load has shown: of each server its rounds, by its name.

    Ratios are made round by round, of what was measured within the same seconds; their median counts.

    :ivar beside: the same of the row that this one is compared with, if it is with one.
    """

    contacts: int
    workload: Workload
    servers: Mapping[str, tuple[Round, ...]]
    beside: Mapping[str, tuple[Round, ...]] = field(default_factory=dict)

    def middle(self, server: str) -> Round:
        """Of each figure of a server the median; of errors all."""
        rounds = self.servers[server]
        figures = {field.name: median(getattr(one, field.name) for one in rounds) for field in fields(Round)}
        return Round(**figures | {"errors": sum(one.errors for one in rounds)})

    def rate(self, server: str) -> float:
        """Searches a second; of whole books entries, because a search may outlast a round."""
        return median(map(self._rate, self.servers[server]))

    def times(self, server: str = OURS, other: str = THEIRS) -> float | None:
        """How many times the other's rate a server has; None where the other did not take part."""
        return _ratio(self.servers.get(server), self.servers.get(other), self._rate)

    def part(self, server: str = OURS) -> float | None:
        """How many times its own rate in the other row a server has; None where that was not measured."""
        return _ratio(self.servers.get(server), self.beside.get(server), self._rate)

    def changes(self) -> Iterator[Change]:
        """What has become of another checkout's rates; nothing where none took part."""
        # The usual gateway is not compiled where nothing is.
        pure = PURE if PURE in self.servers else OURS
        for how, server, other in (("compiled", OURS, BEFORE), (PURE, pure, BEFORE_PURE)):
            if other in self.servers:
                rates = [self._rate(one) for one in self.servers[other]]
                yield Change(how, median(rates), min(rates), max(rates), self.rate(server))

    @property
    def p99(self) -> float | None:
        """Our p99 as a part of slapd's."""
        return _ratio(self.servers.get(OURS), self.servers.get(THEIRS), lambda one: one.p99)

    @property
    def errors(self) -> int:
        """Of all servers: there must be none."""
        return sum(one.errors for rounds in self.servers.values() for one in rounds)

    @property
    def goal(self) -> float:
        """How many times the rate of slapd, or of the other row, we want to have."""
        goals = self.workload.goals_10k
        if goals is None or self.contacts != GOALS_10K:
            return self.workload.goal
        return goals[0] if PURE in self.servers else goals[1]  # the usual gateway is not compiled where nothing is

    @property
    def pure_goal(self) -> float | None:
        """The same where we are not compiled; None: there is no goal."""
        goals = self.workload.goals_10k
        return goals[1] if goals and self.contacts == GOALS_10K and PURE in self.servers else None

    @property
    def is_fast(self) -> bool:
        """Whether the goal for the rate is met."""
        times = self.part() if self.workload.beside else self.times()
        return not self.errors and (times is None or times >= self.goal)

    @property
    def is_pure_fast(self) -> bool:
        """Whether the goal where we are not compiled is met."""
        times = self.part(PURE) if self.workload.beside else self.times(PURE)
        return self.pure_goal is None or times is None or times >= self.pure_goal

    @property
    def is_near_limit(self) -> bool:
        """Whether the goal beside the limit is met, which is for what is compiled."""
        part = self.times(OURS, LIMIT)
        return part is None or self.workload.limit is None or not COMPILED.exists() or part >= self.workload.limit

    @property
    def is_good(self) -> bool:
        """Whether all goals are met."""
        return self.is_fast and self.is_pure_fast and self.is_even and self.is_near_limit

    @property
    def is_even(self) -> bool:
        """Whether the goal for p99 is met."""
        return self.p99 is None or self.p99 <= P99_GOAL

    def _rate(self, one: Round) -> float:
        return one.entries_s if self.workload.whole else one.searches_s


def _ratio(
    rounds: Sequence[Round] | None, others: Sequence[Round] | None, figure: Callable[[Round], float]
) -> float | None:
    if rounds is None or others is None:
        return None
    pairs = zip(rounds, others, strict=True)
    return median(figure(one) / figure(other) if figure(other) else nan for one, other in pairs)


def compare(
    plan: Plan, contacts: int, servers: Sequence[Server], people: Sequence[Person], strict: Sequence[Server] = ()
) -> list[Comparison]:
    """Put all loads on all servers; those that are compared with another row on gateways alone.

    :param strict: the gateways once more, under the same names, with strict matching.
    """
    gateways = [server for server in servers if server.name not in {THEIRS, LIMIT}]
    asked = {one: one.asked(servers[0].target.base, people) for one in plan.workloads}
    found: dict[tuple[str, str], list[Round]] = {}
    for at in range(plan.rounds):
        for workload, searches in asked.items():
            visited = strict if workload.strict else gateways if workload.beside else servers
            visited = [server for server in visited if server.name != LIMIT or workload.limit is not None]
            first = at % max(1, len(visited))
            for server in (*visited[first:], *visited[:first]):
                one = plan.load.round(server, searches, plan.seconds)
                found.setdefault((workload.name, server.name), []).append(one)
                say(f"  {workload.name}, {server.name}: {one}")
    return [Comparison(contacts, one, _rounds(found, one.name), _rounds(found, one.beside)) for one in asked]


def _rounds(found: Mapping[tuple[str, str], Sequence[Round]], workload: str) -> dict[str, tuple[Round, ...]]:
    return {server: tuple(rounds) for (name, server), rounds in found.items() if name == workload}
