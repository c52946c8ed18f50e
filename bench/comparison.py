# SPDX-License-Identifier: MIT
"""Rounds, and what they show of servers side by side: ratios with goals, as tables.

Each round visits every load and every server once; another server is the first one in each round.  Other work of the
machine hits all servers of a round alike, so ratios hold where figures alone would not, and their median counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor, isfinite, isnan, log10, nan
from statistics import median

from bench.asking import WORKLOADS, Workload
from bench.load import Load, Round
from bench.people import Person
from bench.report import COMPILED, Figure, figure_table, judged, say, simple_table
from bench.servers import BEFORE, BEFORE_PURE, LDAPTOR, LIMIT, OURS, PURE, THEIRS, Server

# The number of contacts for which a load has goals of its own.
_GOALS_10K = 10_000
# A rate below this part of another checkout's rate is lower, unless a round of the other checkout was as low.
_LOWER = 0.95

Rounds = Mapping[str, Sequence[Round]]


@dataclass(frozen=True)
class Plan:
    """The plan of a measurement.

    :ivar seconds: of each round.
    """

    load: Load
    workloads: tuple[Workload, ...]
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """The rounds of a load, by the servers' names.

    :ivar beside: the rounds of the load that this load is compared with, if there is one.
    """

    contacts: int
    workload: Workload
    servers: Rounds
    beside: Rounds = field(default_factory=dict)

    def middle(self, server: str, figure: str) -> float:
        """Return the median of a server's rounds; of ``rate``, see `rate`."""
        return self.rate(server) if figure == "rate" else median(getattr(one, figure) for one in self.servers[server])

    def rate(self, server: str) -> float:
        """Return the searches a second; for whole books the entries, because a search may outlast a round."""
        return median(map(self._rate, self.servers[server]))

    def _rate(self, one: Round) -> float:
        return one.entries_s if self.workload.whole else one.searches_s

    def times(self, server: str = OURS, other: str = THEIRS) -> float:
        """Return the multiple of the other server's rate; nan if the other one did not take part."""
        return _median(self.servers.get(server), self.servers.get(other), self._rate)

    @property
    def errors(self) -> int:
        """The errors of all servers: there must be none."""
        return sum(one.errors for rounds in self.servers.values() for one in rounds)

    def ratios(self) -> list[Figure]:
        """Return the ratios to slapd, or to the other load of the same gateway."""
        usual, pure = self._goals()
        found = [self._ratio("÷ that" if self.workload.beside else "÷ slapd", self._of_other(OURS), usual)]
        found += [self._ratio(PURE, self._of_other(PURE), pure)] if PURE in self.servers else []
        if not self.workload.beside:
            p99 = _median(self.servers.get(OURS), self.servers.get(THEIRS), lambda one: one.p99)
            found.append(self._ratio("p99 ÷ slapd", p99, "≤ 0.5"))
        return found

    def ratios_to_limit(self) -> list[Figure]:
        """Return the ratios to the limit, whose goals are for compiled modules."""
        goal = self.workload.limit if COMPILED.exists() else None
        found = [self._ratio("÷ limit", self.times(OURS, LIMIT), f"≥ {goal:g}" if goal else "")]
        return found + ([self._ratio(PURE, self.times(PURE, LIMIT))] if PURE in self.servers else [])

    def _ratio(self, what: str, value: float, goal: str = "") -> Figure:
        """Return a ratio, with its goal if both servers took part."""
        return judged(self.workload.title, what, value, "" if isnan(value) else goal, text=_three_digits(value))

    def _of_other(self, server: str) -> float:
        if self.workload.beside:
            return _median(self.servers.get(server), self.beside.get(server), self._rate)
        return self.times(server)

    def _goals(self) -> tuple[str, str]:
        """Return the goals of the usual gateway, and of the one that is not compiled beside a compiled one."""
        own = self.workload.goals_10k
        if own is None or self.contacts != _GOALS_10K:
            return f"≥ {self.workload.goal:g}", ""
        compiled, pure = (f"≥ {goal:g}" for goal in own)
        # The usual gateway is not compiled where no gateway is.
        return (compiled, pure) if PURE in self.servers else (pure, "")

    def ratios_of_peers(self) -> list[Figure]:
        """Return the ratios to slapd where ldaptor takes part, which are not judged."""
        return [self._ratio("÷ slapd", self.times()), self._ratio("ldaptor ÷ slapd", self.times(LDAPTOR))]

    def changes(self) -> Iterator[Figure]:
        """Yield our rates beside those of another checkout, if one took part: each round of it may be as low."""
        # The usual gateway is not compiled where no gateway is.
        pure = PURE if PURE in self.servers else OURS
        for how, server, other in (("compiled", OURS, BEFORE), (PURE, pure, BEFORE_PURE)):
            if other in self.servers:
                rates, now = [self._rate(one) for one in self.servers[other]], self.rate(server)
                before = median(rates)
                times = _three_digits(now / before if before else nan)
                text = f"{now:,.0f} a second, {times} × {before:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
                is_met = now >= min(_LOWER * before, min(rates))
                yield Figure(self.workload.title, how, text, f"≥ {_LOWER:g} × before", met=is_met)

    @property
    def is_good(self) -> bool:
        """Return whether all goals are met, and no rate is lower than that of another checkout."""
        goals = (*self.ratios(), *self.ratios_to_limit(), *self.changes())
        return LDAPTOR in self.servers or (not self.errors and all(one.met for one in goals))


def _median(rounds: Sequence[Round] | None, others: Sequence[Round] | None, figure: Callable[[Round], float]) -> float:
    """Return the median of the rounds' ratios; nan if one of both did not take part or gave no answer in a round."""
    pairs = zip(rounds or (), others or (), strict=bool(rounds and others))
    ratios = [figure(one) / figure(other) if figure(other) else nan for one, other in pairs]
    return nan if any(map(isnan, ratios)) else median(ratios or [nan])


def compare(
    plan: Plan, contacts: int, servers: Sequence[Server], people: Sequence[Person], strict: Sequence[Server] = ()
) -> list[Comparison]:
    """Put all loads on all servers; loads that are compared with another load only on gateways.

    :param strict: the gateways once more, under the same names, with strict matching.
    """
    gateways = [server for server in servers if server.name not in {THEIRS, LIMIT}]
    asked = [(one, one.asked(servers[0].target.base, people)) for one in plan.workloads]
    found: dict[str, dict[str, list[Round]]] = defaultdict(lambda: defaultdict(list))
    for at in range(plan.rounds):
        for workload, searches in asked:
            visited = strict if workload.strict else gateways if workload.beside else servers
            visited = [server for server in visited if server.name != LIMIT or workload.limit is not None]
            first = at % max(1, len(visited))
            for server in (*visited[first:], *visited[:first]):
                one = plan.load.round(server, searches, plan.seconds)
                found[workload.name][server.name].append(one)
                say(f"  {workload.name}, {server.name}: {one}")
    return [Comparison(contacts, one, found[one.name], found.get(one.beside, {})) for one in plan.workloads]


# --- tables ---

# Columns: the title, a server, and a figure of the server: its rate, a figure of `Round`, or its processor time.
_Column = tuple[str, str, str]
# The usual gateway with the load that the load is compared with.
_THAT = "that"
_TO_SLAPD = (
    *(("a second", OURS, "rate"), ("slapd", THEIRS, "rate"), ("p50, ms", OURS, "p50"), ("slapd", THEIRS, "p50")),
    *(("p99", OURS, "p99"), ("slapd", THEIRS, "p99")),
)
_TO_LIMIT = (
    *(("a second", OURS, "rate"), ("limit", LIMIT, "rate")),
    *(("a search, µs", OURS, "worked"), ("limit", LIMIT, "worked")),
)
_TO_OTHER_LOAD = (("a second", OURS, "rate"), (_THAT, _THAT, "rate"), ("p50, ms", OURS, "p50"), ("p99", OURS, "p99"))
_TO_PEERS = (("a second", OURS, "rate"), ("slapd", THEIRS, "rate"), ("ldaptor", LDAPTOR, "rate"))


def tables(compared: Sequence[Comparison], before: str = "") -> Iterator[str]:
    """Yield the lines of all tables, by the number of contacts.

    :param before: the title of the other checkout, if one took part.
    """
    for count in dict.fromkeys(one.contacts for one in compared):
        found = [one for one in compared if one.contacts == count and LDAPTOR not in one.servers]
        beside, limited = [one for one in found if one.workload.beside], [one for one in found if LIMIT in one.servers]
        usual = [one for one in found if not one.workload.beside]
        peers = [one for one in compared if one.contacts == count and LDAPTOR in one.servers]
        limit = "a server that answers the same octets from a table (the limit)"
        for more, chosen, ratios, columns in (
            ("", usual, Comparison.ratios, _TO_SLAPD),
            (f", beside {limit}", limited, Comparison.ratios_to_limit, _TO_LIMIT),
            ("; each load is compared with another load in the same rounds", beside, Comparison.ratios, _TO_OTHER_LOAD),
            (", beside other servers", peers, Comparison.ratios_of_peers, _TO_PEERS),
        ):
            if chosen:
                yield from (f"{count:,} contacts{more}:", "", *simple_table(_rows(chosen, ratios, columns)), "")
        if changes := [change for one in found for change in one.changes()]:
            yield from (f"{count:,} contacts, beside {before}:", "", *figure_table("Load", "Run", changes), "")


def _rows(
    found: Sequence[Comparison], ratios: Callable[[Comparison], Sequence[Figure]], columns: Sequence[_Column]
) -> list[list[str]]:
    """Return the rows of a table, the head first: loads, ratios, and figures of servers.

    A ratio has columns for its goal and its verdict if any row has a goal for the ratio.
    """
    judged_ratios = [any(one.goal for one in column) for column in zip(*map(ratios, found), strict=True)]
    rows: list[list[tuple[str, str]]] = []
    for one in found:
        cells = [("Load", one.workload.title + (f", {one.errors} errors" if one.errors else ""))]
        if one.workload.beside:
            cells.append(("Compared with", WORKLOADS[one.workload.beside].title))
        for ratio, is_judged in zip(ratios(one), judged_ratios, strict=True):
            cells.append((ratio.what, ratio.text))
            cells += [("Goal", ratio.goal), ("", ratio.verdict)] if is_judged else []
        rows.append([*cells, *((title, _cell(one, server, figure)) for title, server, figure in columns)])
    return [[title for title, _ in rows[0]], *([cell for _, cell in row] for row in rows)]


def _cell(one: Comparison, server: str, figure: str) -> str:
    if server == _THAT:
        one, server = replace(one, servers=one.beside), OURS
    if server not in one.servers:
        return "not run" if figure == "rate" else "-"
    value = one.middle(server, figure)
    digits = {"rate": 0, "worked": 1}.get(figure, 2)
    return f"{value:,.{digits}f}" if isfinite(value) else "-"


def _three_digits(value: float) -> str:
    """Return a ratio with three digits that say something, however small or large the ratio is."""
    if not isfinite(value) or value <= 0:
        return "-"
    return f"{value:.{max(0, 2 - floor(log10(value)))}f}"
