# SPDX-License-Identifier: MIT
"""Runs it all and prints the tables."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench.directory import __doc__ as purpose
from tests.bench.directory.asking import WORKLOADS
from tests.bench.directory.load import Load
from tests.bench.directory.people import person
from tests.bench.directory.rounds import interleaved
from tests.bench.directory.seed import alone
from tests.bench.directory.servers import gateway, slapd
from tests.bench.table import simple_table

_SAMPLE = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-directory", description=purpose)
    parser.add_argument("--contacts", type=int, action="append", metavar="N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default=",".join(WORKLOADS))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="bench-directory-") as name:
        folder = Path(name)
        load = Load(folder)
        for count in given.contacts or (10_000, 100_000):
            with ExitStack() as stack:
                ours = stack.enter_context(gateway(folder / f"ldapgw-{count}", alone(count)))
                sys.stderr.write(f"gateway ready after {ours.started:.1f} s, {ours.resident:.0f} MiB\n")
                theirs = stack.enter_context(slapd(folder / f"slapd-{count}", count))
                sys.stderr.write(f"slapd ready after {theirs.started:.1f} s\n")
                people = [person(at) for at in range(0, count, max(1, count // _SAMPLE))]
                workloads = [WORKLOADS[one] for one in given.only.split(",")]
                found = interleaved(load, (ours, theirs), workloads, people, given.rounds, given.seconds)
                rows = [
                    (
                        "load",
                        "goal",
                        "ratio",
                        "ldapgw",
                        "slapd",
                        "p50",
                        "slapd",
                        "p99",
                        "slapd",
                        "found",
                        "slapd",
                        "errors",
                        "slapd",
                    )
                ]
                for one in workloads:
                    a, b = found[one.name, "ldapgw"], found[one.name, "slapd"]
                    rows.append(
                        (
                            one.title,
                            f"{one.goal:g}",
                            f"{a.rate / b.rate:.3f}",
                            f"{a.rate:,.0f}",
                            f"{b.rate:,.0f}",
                            f"{a.middle.p50:.3f}",
                            f"{b.middle.p50:.3f}",
                            f"{a.middle.p99:.3f}",
                            f"{b.middle.p99:.3f}",
                            f"{a.middle.found:.1f}",
                            f"{b.middle.found:.1f}",
                            str(a.middle.errors),
                            str(b.middle.errors),
                        )
                    )
                sys.stdout.write(f"{count:,} contacts\n" + "\n".join(simple_table(rows)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
