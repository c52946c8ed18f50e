# SPDX-License-Identifier: MIT
"""Rounds, and what they show of servers side by side: ratios with goals, as tables.

Each round visits every load and every server once; another server is the first one in each round.  Other work of the
machine hits all servers of a round alike, so ratios hold where figures alone would not, and their median counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import floor, isfinite, log10, nan
from statistics import median

from bench.asking import WORKLOADS, Workload
from bench.load import Load, Round
from bench.people import Person
from bench.process import Server
from bench.report import COMPILED, say, simple_table
from bench.servers import BEFORE, BEFORE_PURE, LIMIT, OURS, PURE, THEIRS

# The number of contacts for which a load has goals of its own.
_GOALS_10K = 10_000
# The part of slapd's p99 that our p99 may have.
_P99_GOAL = 0.5
# A rate below this part of another checkout's rate is lower, unless a round of the other checkout was as low.
_LOWER = 0.95

Rounds = Mapping[str, tuple[Round, ...]]


@dataclass(frozen=True)
class Plan:
    """How loads are measured.

    :ivar seconds: of each round.
    """

    load: Load
    workloads: tuple[Workload, ...]
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Ratio:
    """How a server compares with another one: the median of the rounds' ratios.

    :ivar head: the title of the ratio's column.
    :ivar value: None: one of both did not take part.
    :ivar goal: the ratio should not be below the goal, or not above with `at_most`; None: there is no goal.
    """

    head: str
    value: float | None
    goal: float | None = None
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        if self.value is None or self.goal is None:
            return True
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def cells(self, errors: int) -> tuple[str, str, str]:
        """Return the cells of the value, the goal and the verdict; errors are worse than a missed goal."""
        goal = "" if self.goal is None else f"{'≤' if self.at_most else '≥'} {self.goal:g}"
        verdict = "" if self.value is None or not goal else "ok" if self.is_met else "MISSED"
        return three_digits(self.value), goal, f"{errors} errors" if errors and goal else verdict


@dataclass(frozen=True)
class Change:
    """What has become of the rate of another checkout, in searches or entries a second.

    :ivar how: how both gateways run.
    :ivar before: the median of the other checkout's rounds, which are between `least` and `most`.
    :ivar now: the median of our rounds.
    """

    how: str
    before: float
    least: float
    most: float
    now: float

    @property
    def is_lower(self) -> bool:
        """Return whether we are slower by more than the other checkout's rounds differ."""
        return self.now < _LOWER * self.before and self.now < self.least


@dataclass(frozen=True)
class Comparison:
    """The rounds of a load, by the servers' names.

    :ivar beside: the rounds of the load that this load is compared with, if there is one.
    """

    contacts: int
    workload: Workload
    servers: Rounds
    beside: Rounds = field(default_factory=dict)

    def middle(self, server: str) -> Round:
        """Return the median of each figure of a server, and the sum of its errors."""
        rounds = self.servers[server]
        figures = {field.name: median(getattr(one, field.name) for one in rounds) for field in fields(Round)}
        return Round(**figures | {"errors": sum(one.errors for one in rounds)})

    def rate(self, server: str) -> float:
        """Return the searches a second; for whole books the entries, because a search may outlast a round."""
        return median(map(self._rate, self.servers[server]))

    def _rate(self, one: Round) -> float:
        return one.entries_s if self.workload.whole else one.searches_s

    def times(self, server: str = OURS, other: str = THEIRS) -> float | None:
        """Return the multiple of the other server's rate; None if the other one did not take part."""
        return _median(self.servers.get(server), self.servers.get(other), self._rate)

    @property
    def errors(self) -> int:
        """The errors of all servers: there must be none."""
        return sum(one.errors for rounds in self.servers.values() for one in rounds)

    @property
    def is_judged_by_limit(self) -> bool:
        return LIMIT in self.servers

    def ratios(self) -> list[Ratio]:
        """Return the ratios to slapd, or to the other load of the same gateway."""
        usual, pure = self._goals()
        found = [Ratio("÷ that" if self.workload.beside else "÷ slapd", self._of_other(OURS), usual)]
        if PURE in self.servers:
            found.append(Ratio(PURE, self._of_other(PURE), pure))
        if not self.workload.beside:
            p99 = _median(self.servers.get(OURS), self.servers.get(THEIRS), lambda one: one.p99)
            found.append(Ratio("p99 ÷ slapd", p99, _P99_GOAL, at_most=True))
        return found

    def _of_other(self, server: str) -> float | None:
        if self.workload.beside:
            return _median(self.servers.get(server), self.beside.get(server), self._rate)
        return self.times(server)

    def _goals(self) -> tuple[float, float | None]:
        """Return the goals of the usual gateway, and of the one that is not compiled beside a compiled one."""
        own = self.workload.goals_10k
        if own is None or self.contacts != _GOALS_10K:
            return self.workload.goal, None
        # The usual gateway is not compiled where no gateway is.
        return own if PURE in self.servers else (own[1], None)

    def ratios_to_limit(self) -> list[Ratio]:
        """Return the ratios to the limit, whose goals are for compiled modules."""
        goal = self.workload.limit if COMPILED.exists() else None
        found = [Ratio("÷ limit", self.times(OURS, LIMIT), goal or None)]
        return found + ([Ratio(PURE, self.times(PURE, LIMIT))] if PURE in self.servers else [])

    def changes(self) -> Iterator[Change]:
        """Yield what has become of the rates of another checkout, if one took part."""
        # The usual gateway is not compiled where no gateway is.
        pure = PURE if PURE in self.servers else OURS
        for how, server, other in (("compiled", OURS, BEFORE), (PURE, pure, BEFORE_PURE)):
            if other in self.servers:
                rates = [self._rate(one) for one in self.servers[other]]
                yield Change(how, median(rates), min(rates), max(rates), self.rate(server))

    @property
    def is_good(self) -> bool:
        """Return whether all goals are met, and no rate is lower than that of another checkout."""
        goals = [one.is_met for one in (*self.ratios(), *self.ratios_to_limit())]
        return not self.errors and all(goals) and not any(change.is_lower for change in self.changes())


def _median(
    rounds: Sequence[Round] | None, others: Sequence[Round] | None, figure: Callable[[Round], float]
) -> float | None:
    """Return the median of the rounds' ratios; None if one of both did not take part."""
    if rounds is None or others is None:
        return None
    pairs = zip(rounds, others, strict=True)
    return median(figure(one) / figure(other) if figure(other) else nan for one, other in pairs)


def compare(
    plan: Plan, contacts: int, servers: Sequence[Server], people: Sequence[Person], strict: Sequence[Server] = ()
) -> list[Comparison]:
    """Put all loads on all servers; loads that are compared with another load only on gateways.

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


def _rounds(found: Mapping[tuple[str, str], Sequence[Round]], workload: str) -> Rounds:
    return {server: tuple(rounds) for (name, server), rounds in found.items() if name == workload}


# --- tables ---


def tables(compared: Sequence[Comparison], before: str = "") -> Iterator[str]:
    """Yield the lines of all tables, by the number of contacts.

    :param before: the title of the other checkout, if one took part.
    """
    for count in dict.fromkeys(one.contacts for one in compared):
        found = [one for one in compared if one.contacts == count]
        contacts = f"{count:,} contacts"
        yield from titled(f"{contacts}:", _to_slapd([one for one in found if not one.workload.beside]))
        limited = [one for one in found if one.is_judged_by_limit]
        if limited:
            title = f"{contacts}, beside a server that answers the same octets from a table (the limit):"
            yield from titled(title, _to_limit(limited))
        beside = [one for one in found if one.workload.beside]
        if beside:
            title = f"{contacts}; each load is compared with another load in the same rounds:"
            yield from titled(title, _to_other_load(beside))
        changes = [(one, change) for one in found for change in one.changes()]
        if changes:
            yield from titled(f"{contacts}, beside {before}; a second:", _to_other_checkout(changes))


def titled(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table with its title."""
    yield from (title, "", *simple_table(rows), "")


# The cells of a row, each with the title of its column.
_Cells = Sequence[tuple[str, str]]


def _rows(
    found: Sequence[Comparison],
    names: Callable[[Comparison], _Cells],
    ratios: Callable[[Comparison], Sequence[Ratio]],
    figures: Callable[[Comparison], _Cells],
) -> list[list[str]]:
    """Return the rows of a table, the head first: names, ratios and figures of each comparison.

    A ratio has columns for its goal and its verdict if any row has a goal for the ratio.
    """
    judged = [any(one.goal is not None for one in column) for column in zip(*map(ratios, found), strict=True)]
    rows: list[list[tuple[str, str]]] = []
    for one in found:
        cells = list(names(one))
        for ratio, is_judged in zip(ratios(one), judged, strict=True):
            value, goal, verdict = ratio.cells(one.errors)
            cells += [(ratio.head, value), *([("Goal", goal), ("", verdict)] if is_judged else [])]
        rows.append([*cells, *figures(one)])
    return [[title for title, _ in rows[0]], *([cell for _, cell in row] for row in rows)]


def _title(one: Comparison) -> _Cells:
    return [("Load", one.workload.title)]


def _to_slapd(found: Sequence[Comparison]) -> list[list[str]]:
    def figures(one: Comparison) -> _Cells:
        ours, theirs = one.middle(OURS), one.middle(THEIRS) if THEIRS in one.servers else None
        return [
            ("a second", f"{one.rate(OURS):,.0f}"),
            ("slapd", f"{one.rate(THEIRS):,.0f}" if theirs else "not run"),
            ("p50, ms", _number(ours.p50, 2)),
            ("slapd", _number(theirs.p50 if theirs else nan, 2)),
            ("p99", _number(ours.p99, 2)),
            ("slapd", _number(theirs.p99 if theirs else nan, 2)),
        ]

    return _rows(found, _title, Comparison.ratios, figures)


def _to_limit(found: Sequence[Comparison]) -> list[list[str]]:
    def figures(one: Comparison) -> _Cells:
        ours, limit = one.middle(OURS), one.middle(LIMIT)
        return [
            ("a second", f"{one.rate(OURS):,.0f}"),
            ("limit", f"{one.rate(LIMIT):,.0f}"),
            ("a search, µs", _number(ours.user + ours.system, 1)),
            ("limit", _number(limit.user + limit.system, 1)),
        ]

    return _rows(found, _title, Comparison.ratios_to_limit, figures)


def _to_other_load(found: Sequence[Comparison]) -> list[list[str]]:
    def names(one: Comparison) -> _Cells:
        return [*_title(one), ("Compared with", WORKLOADS[one.workload.beside].title)]

    def figures(one: Comparison) -> _Cells:
        ours, other = one.middle(OURS), replace(one, servers=one.beside)
        rates = [("a second", f"{one.rate(OURS):,.0f}"), ("that", f"{other.rate(OURS):,.0f}")]
        return [*rates, ("p50, ms", _number(ours.p50, 2)), ("p99", _number(ours.p99, 2))]

    return _rows(found, names, Comparison.ratios, figures)


def _to_other_checkout(changes: Sequence[tuple[Comparison, Change]]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("Load", "Run", "before", "least", "most", "now", "÷ before", "")]
    for one, change in changes:
        rates = (f"{rate:,.0f}" for rate in (change.before, change.least, change.most, change.now))
        times = three_digits(change.now / change.before if change.before else nan)
        verdict = f"{one.errors} errors" if one.errors else "lower" if change.is_lower else "ok"
        rows.append((one.workload.title, change.how, *rates, times, verdict))
    return rows


def peer_table(found: Sequence[Comparison]) -> Iterator[str]:
    """Yield the lines of a table of rates of all servers, with their multiples of slapd's rate."""
    title = f"{found[0].contacts:,} contacts, beside other servers; searches a second (times slapd):"
    names = list(found[0].servers)
    rows = [["Load", *names], *([one.workload.title, *(_peer(one, name) for name in names)] for one in found)]
    yield from titled(title, rows)


def _peer(one: Comparison, name: str) -> str:
    errors = one.middle(name).errors
    return f"{one.rate(name):,.0f} ({three_digits(one.times(name))})" + (f", {errors} errors" if errors else "")


def three_digits(value: float | None) -> str:
    """Return a ratio with three digits that say something, however small or large the ratio is."""
    if value is None or not isfinite(value) or value <= 0:
        return "-"
    return f"{value:.{max(0, 2 - floor(log10(value)))}f}"


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if isfinite(value) else "-"
