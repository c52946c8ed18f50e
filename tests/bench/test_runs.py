# SPDX-License-Identifier: MIT
"""Every bench still runs, with tiny numbers, has a row for each load, and leaves nothing behind.

Only a run of the programs shows that a bench still fits the gateway and the servers that it starts.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.__main__ import BENCHES, main
from bench.asking import WORKLOADS
from bench.directory import PARTS, chosen
from bench.hostile import KINDS
from bench.parts import PARTS as PARTS_FOR_SPEED
from bench.report import COMPILED
from bench.servers import peak, resident
from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql
from tests.support.slapd import PROGRAM

needs_slapd = pytest.mark.skipif(PROGRAM is None and "CI" not in os.environ, reason="needs slapd (Debian's slapd)")
BENCH = (sys.executable, "-m", "bench")
FEW = "--contacts 50 --rounds 1 --seconds 0.1 --changes 2 --kills 1"
ATTACKS = (
    *("none", "100 idle", "50 slow-loris", "20 half handshakes", "3 read nothing", "bombs", "4 guess passwords"),
    *("10 ask for *abc*", *(f"20 ask for {name}" for name in KINDS)),
)
ROWS = {
    "directory --quick": (
        *(load.title for load in WORKLOADS.values()),
        *("first start, which builds the book", "memory above the empty process", "memory of the gateway, maximum"),
        *("from start to first answer", "time of a search for two letters", "a caller's name", "the same as JSON"),
        *("XML phone book (Cisco), a page", "XML phone book (Snom), two letters"),
        *("XML phone book (Yealink), its first 5,000", "search over LDAP meanwhile, p99"),
        *("CardDAV, the first sync of 5,000, the gateway's time", "the same, nothing has changed"),
    ),
    "hostile --quick": ATTACKS,
    "sync --quick": (
        *("nothing", "full sync, 2,500", "100 changes", "no news", "start, 500", "60 accounts", "one change"),
        *("no change", "5 changes", "60 accounts every 10 minutes"),
    ),
    "pages": ("front page", "my page", "a phone's settings", "why not found", "500 phones, filtered and sorted"),
    "parts --contacts 100 --rounds 1 --seconds 0.05": tuple(PARTS_FOR_SPEED),
    "replica --contacts 300 --changes 3": (
        *("first copy of 305 entries", "processor time of the gateway", "at the gateway, p50", "to the replica, p99"),
    ),
    f"cluster --only gateways {FEW}": ("found everywhere, p99",),
    f"cluster --only transactions {FEW}": ("transaction of 50, rewritten",),
    f"cluster --only starts {FEW}": ("start without PostgreSQL",),
}


@pytest.mark.parametrize("arguments", ROWS)
@pytest.mark.soak  # minutes of processor time
@needs_slapd
@needs_postgresql
def test_a_bench_has_a_row_for_each_load(arguments: str) -> None:
    """Such numbers say nothing of goals, but a search that fails is an error at any size."""
    command = (*BENCH, *arguments.split())
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode in ({0} if "--quick" in arguments else {0, 1}), done.stderr
    assert [row for row in ROWS[arguments] if row not in done.stdout] == [], done.stderr
    assert "errors" not in done.stdout


@pytest.mark.soak  # eight minutes; tests/ldap has the same limits one by one, but for memory
def test_attacks_in_full() -> None:
    """Connections are held or closed in time as they have to be, and memory stays within bounds.

    How long a phone waits is the bench's to judge: here other tests may be at work.
    """
    command = (*BENCH, "hostile", "--ours")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    rows = done.stdout.splitlines()
    assert [load for load in ATTACKS if not any(row.startswith(load) for row in rows)] == [], done.stderr
    assert [row for row in rows if "MISSED" in row and "search" not in row] == []


@pytest.mark.long  # a whole run
@needs_slapd
def test_another_checkout_runs_beside(tmp_path: Path) -> None:
    """Here this one itself, with stores of its own; and no process or file is left."""
    command = (*BENCH, "directory", "--quick", "--only", "prefix", "--ours", "--before", str(ROOT))
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, f"beside {ROOT}" in done.stdout) == (0, True), done.stderr
    ways = ["compiled", "not compiled"] if COMPILED.exists() else ["not compiled"]
    assert re.findall(r"^name, two letters +((?:not )?compiled) .* (?:ok|MISSED)$", done.stdout, re.MULTILINE) == ways
    assert (list(tmp_path.iterdir()), processes_in(tmp_path)) == ([], [])


@pytest.mark.long  # a whole run that is ended
@needs_slapd
def test_who_ends_it_ends_all_of_it(tmp_path: Path) -> None:
    """No server goes on, and no file stays."""
    command = (*BENCH, "directory", "--contacts", "300", "--only", "prefix", "--seconds", "60")
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as bench:
        assert bench.stderr is not None
        # It is about to measure for a minute then, with both servers up.
        while b": measuring" not in (line := bench.stderr.readline()):
            assert line, "the bench has ended by itself"
        bench.send_signal(signal.SIGINT)
        bench.stderr.read()
    assert (bench.returncode, list(tmp_path.iterdir()), processes_in(tmp_path)) == (130, [], [])


def processes_in(folder: Path) -> Sequence[str]:
    """Return the command lines of processes that name a folder."""
    listed = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


@pytest.mark.parametrize("name", BENCHES)
def test_each_bench_has_a_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script's own usage names each bench too, and the help of `directory` has a line for each load and part."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main([name, "--help"])
    told = capsys.readouterr().out
    assert f"usage: scripts/bench {name}" in told
    assert re.search(rf"^#   {name} ", (ROOT / "scripts" / "bench").read_text(), re.MULTILINE)
    lines = {line.split()[0] for line in told.splitlines() if line.strip()}
    assert {*WORKLOADS, *PARTS} <= lines or name != "directory"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--only=prefix,sufix", "sufix: expected of prefix,"),
        (f"--before={ROOT / 'tests'}", "expected a checkout of this"),
    ],
)
def test_options_that_cannot_be(option: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["directory", option])
    assert told in capsys.readouterr().err


def test_rows_bring_those_that_they_are_compared_with() -> None:
    """In the order of the table, whatever was asked for first."""
    names = [load.name for load in chosen(("strict-reverse", "and-snom", "memory"))]
    assert names == ["prefix", "and-snom", "reverse", "strict-reverse"]


def test_memory_is_that_of_all_processes() -> None:
    """The memory of a started process counts while the process runs; no other process has such memory."""
    hold = f"held = bytearray({64 << 20}); held[::4096] = bytes({64 << 8}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with peak(os.getpid()) as most:
            own = resident(os.getpid())
            while len(most) == 1:
                assert process.poll() is None
    assert most[-1] > own + 60
