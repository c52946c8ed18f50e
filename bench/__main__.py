# SPDX-License-Identifier: MIT
"""Runs a bench: its name, and its options.  ``benches.toml`` describes the benches."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from bench.report import Results, machine, results_of, say

BENCHES = tomllib.loads(Path(__file__).with_name("benches.toml").read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 1 if a goal was missed, unless the numbers are too small to tell."""
    benches = argparse.ArgumentParser(prog="scripts/bench", description="Runs a bench.", allow_abbrev=False)
    benches.add_argument("name", choices=sorted(BENCHES))
    all_given = list(sys.argv[1:] if arguments is None else arguments)
    name, given = benches.parse_args(all_given[:1]).name, all_given[1:]
    about = BENCHES[name]
    parser = argparse.ArgumentParser(
        prog=f"scripts/bench {name}",
        description=about["purpose"],
        epilog=about["explanation"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench, numbers = import_module(f"bench.{name}"), about.get("options", {})
    parts = ",".join(getattr(bench, "PARTS", ()))
    if parts:
        parser.add_argument("--only", default=parts, metavar="LIST", help=f"of {parts} (default: all)")
    if hasattr(bench, "add_options"):
        bench.add_options(parser)
    for flag, purpose in about.get("flags", {}).items():
        parser.add_argument(f"--{flag}", action="store_true", help=purpose)
    for option, number in numbers.items():
        shown = f"{number['help']} (default: %(default)s)" if "help" in number else argparse.SUPPRESS
        default = number["default"]
        parser.add_argument(f"--{option}", type=type(default), default=default, metavar="N", help=shown)
    if about.get("quick"):
        parser.add_argument("--quick", action="store_true", help="tiny numbers: shows that all of it runs, and no more")
    options = parser.parse_args(given)
    if parts:
        options.only = options.only.split(",")
        if unknown := [one for one in options.only if one not in bench.PARTS]:
            parser.error(f"{unknown[0]}: expected of {parts}")
    if about.get("quick") and options.quick:
        vars(options).update({option: number["quick"] for option, number in numbers.items() if "quick" in number})
    try:
        with tempfile.TemporaryDirectory(prefix="ldapgw-bench-") as folder:
            measured = bench.measure(options, Path(folder))
            load, what = about.get("columns", ("", ""))
            results = measured if isinstance(measured, Results) else results_of(load, what, measured)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        say("The bench was interrupted, and has ended its servers.")
        return 130
    contacts = f"; {options.contacts:,} contacts" if "help" in numbers.get("contacts", {}) else ""
    sys.stdout.write("\n".join((f"Measured with {machine()}{contacts}.", "", *results.lines, "")))
    return int(not (about.get("quick") and options.quick) and not results.are_good)


if __name__ == "__main__":
    # SIGTERM ends the bench as an error does, so that servers are ended and folders are deleted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
