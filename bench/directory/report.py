# SPDX-License-Identifier: MIT
"""What was measured, as tables for a terminal and for the documents."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from math import floor, isfinite, log10
from os import cpu_count

from bench.asking import WORKLOADS
from bench.directory.rounds import P99_GOAL, Comparison
from bench.directory.servers import COMPILED, LIMIT, OURS, PURE, THEIRS
from bench.report import Figure, figure_table, simple_table
from tests.support.slapd import PROGRAM

SCRIPT = "scripts/bench directory"


@dataclass(frozen=True)
class Results:
    """All that was measured; its lists grow while it is.

    :ivar compared: beside slapd, by size.
    :ivar peers: beside other servers, all of one size.
    :ivar before: what the other checkout is, if one was measured.
    """

    compared: list[Comparison] = field(default_factory=list)
    peers: list[Comparison] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    before: str = ""

    def add(self, found: Comparison | Figure) -> None:
        """Keep something that was measured."""
        (self.figures if isinstance(found, Figure) else self.compared).append(found)

    @property
    def are_good(self) -> bool:
        """Whether all goals are met."""
        lower = any(change.is_lower for one in self.compared for change in one.changes())
        goals = [one.is_good for one in self.compared] + [one.met for one in self.figures]
        return all(goals) and not lower


def shown(results: Results) -> str:
    """What stands between the comments."""
    return "\n".join(("", f"Measured with {machine()}.", "", *lines(results), "", ""))


def machine() -> str:
    """What it was measured with."""
    versions = ["ldapgw compiled by mypyc"] if COMPILED.exists() else []
    versions += [f"{platform.python_implementation()} {platform.python_version()}", f"Twisted {version('twisted')}"]
    if PROGRAM is not None:
        said = subprocess.run([PROGRAM, "-VV"], capture_output=True, text=True, check=False).stderr
        versions += re.findall(r"slapd \d[.\d]*", said)[:1]
    return ", ".join((*versions, f"ldaptor {version('ldaptor')}", f"{cpu_count()} processors"))


def lines(results: Results) -> Iterator[str]:
    """All tables, as reStructuredText."""
    for count in dict.fromkeys(one.contacts for one in results.compared):
        found = [one for one in results.compared if one.contacts == count]
        beside = [one for one in found if one.workload.beside]
        yield from _titled(f"{count:,} contacts:", _compared([one for one in found if not one.workload.beside]))
        limited = [one for one in found if LIMIT in one.servers]
        if limited:
            title = f"{count:,} contacts, beside a server that answers the same octets from a table (the limit):"
            yield from _titled(title, _limited(limited))
        if beside:
            yield from _titled(
                f"{count:,} contacts; each load is compared with another load in the same rounds:",
                _beside(beside),
            )
        if any(True for one in found for _ in one.changes()):
            yield from _titled(f"{count:,} contacts, beside {results.before}; a second:", _changes(found))
    if results.peers:
        title = f"{results.peers[0].contacts:,} contacts, beside other servers; searches a second (times slapd):"
        yield from _titled(title, _peers(results.peers))
    if results.figures:
        yield from figure_table("With", "Figure", results.figures)


def _titled(title: str, rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield from (title, "")
    yield from simple_table(list(rows))
    yield ""


def _compared(found: Sequence[Comparison]) -> Iterator[Sequence[str]]:
    pure = [PURE] if all(PURE in one.servers for one in found) else []
    judged = bool(pure) and any(one.pure_goal for one in found)
    yield (
        "Load",
        "÷ slapd",
        "Goal",
        "",
        *pure,
        *(("Goal", "") if judged else ()),
        "p99 ÷ slapd",
        "Goal",
        "",
        "a second",
        "slapd",
        "p50, ms",
        "slapd",
        "p99",
        "slapd",
    )
    for one in found:
        ours, theirs = one.middle(OURS), one.middle(THEIRS) if THEIRS in one.servers else None
        yield (
            one.workload.title,
            _ratio(one.times()),
            f"≥ {one.goal:g}",
            _verdict(one, met=one.is_fast),
            *(_ratio(one.times(name)) for name in pure),
            *(_pure_goal(one) if judged else ()),
            _ratio(one.p99),
            f"≤ {P99_GOAL:g}",
            _verdict(one, met=one.is_even),
            f"{one.rate(OURS):,.0f}",
            f"{one.rate(THEIRS):,.0f}" if theirs else "not run",
            _number(ours.p50, 2),
            _number(theirs.p50 if theirs else None, 2),
            _number(ours.p99, 2),
            _number(theirs.p99 if theirs else None, 2),
        )


def _pure_goal(one: Comparison) -> tuple[str, str]:
    return (f"≥ {one.pure_goal:g}", _verdict(one, met=one.is_pure_fast)) if one.pure_goal else ("", "")


def _beside(found: Sequence[Comparison]) -> Iterator[Sequence[str]]:
    pure = [PURE] if all(PURE in one.servers for one in found) else []
    yield ("Load", "Compared with", "÷ that", "Goal", "", *pure, "a second", "that", "p50, ms", "p99")
    for one in found:
        ours, other = one.middle(OURS), replace(one, servers=one.beside)
        yield (
            one.workload.title,
            WORKLOADS[one.workload.beside].title,
            _ratio(one.part()),
            f"≥ {one.goal:g}",
            _verdict(one, met=one.is_fast),
            *(_ratio(one.part(name)) for name in pure),
            f"{one.rate(OURS):,.0f}",
            f"{other.rate(OURS):,.0f}",
            _number(ours.p50, 2),
            _number(ours.p99, 2),
        )


def _limited(found: Sequence[Comparison]) -> Iterator[Sequence[str]]:
    pure = [PURE] if all(PURE in one.servers for one in found) else []
    yield ("Load", "÷ limit", "Goal", "", *pure, "a second", "limit", "a search, µs", "limit")
    for one in found:
        ours, most = one.middle(OURS), one.middle(LIMIT)
        yield (
            one.workload.title,
            _ratio(one.times(OURS, LIMIT)),
            f"≥ {one.workload.limit:g}" if one.workload.limit else "",
            ("ok" if one.is_near_limit else "MISSED") if one.workload.limit else "",
            *(_ratio(one.times(name, LIMIT)) for name in pure),
            f"{one.rate(OURS):,.0f}",
            f"{one.rate(LIMIT):,.0f}",
            _number(ours.user + ours.system, 1),
            _number(most.user + most.system, 1),
        )


def _changes(found: Sequence[Comparison]) -> Iterator[Sequence[str]]:
    yield ("Load", "Run", "before", "least", "most", "now", "÷ before", "")
    for one in found:
        for change in one.changes():
            rates = (change.before, change.least, change.most, change.now)
            verdict = f"{one.errors} errors" if one.errors else "lower" if change.is_lower else "ok"
            yield (one.workload.title, change.how, *(f"{rate:,.0f}" for rate in rates), _ratio(change.times), verdict)


def _verdict(one: Comparison, *, met: bool) -> str:
    if one.errors:
        return f"{one.errors} errors"
    return "" if THEIRS not in one.servers and not one.beside else "ok" if met else "MISSED"


def _peers(found: Sequence[Comparison]) -> Iterator[Sequence[str]]:
    names = list(found[0].servers)
    yield ("Load", *names)
    for one in found:
        yield (one.workload.title, *(_of_peer(one, name) for name in names))


def _of_peer(one: Comparison, name: str) -> str:
    errors = one.middle(name).errors
    return f"{one.rate(name):,.0f} ({_ratio(one.times(name))})" + (f", {errors} errors" if errors else "")


def _ratio(value: float | None) -> str:
    """Three digits that say something, however small or large it is."""
    if value is None or not isfinite(value) or value <= 0:
        return "-"
    return f"{value:.{max(0, 2 - floor(log10(value)))}f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or not isfinite(value) else f"{value:,.{digits}f}"
