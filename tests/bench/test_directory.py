# SPDX-License-Identifier: MIT
"""The bench still runs, says what it does, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.directory.__main__ import PARTS, chosen, main
from bench.directory.asking import WORKLOADS
from bench.directory.servers import COMPILED, PROGRAM, PURE
from tests.support.checkout import ROOT

COMMAND = (sys.executable, "-m", "bench.directory")
needs_servers = pytest.mark.skipif(PROGRAM is None and "CI" not in os.environ, reason="needs slapd (Debian's slapd)")


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"TMPDIR": str(folder)} if folder else {})
    return subprocess.run(
        (*COMMAND, *arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def processes_in(folder: Path) -> list[str]:
    """Command lines that speak of a folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue  # it has ended
        if str(folder) in line:
            found.append(line)
    return found


def test_help_says_what_is_measured(capsys):
    """Every load and every other part has its line; the script hands its arguments on."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    lines = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert [name for name in (*WORKLOADS, *PARTS) if name not in lines] == []
    script = ROOT / "scripts" / "bench"
    assert os.access(script, os.X_OK)
    assert script.read_text().endswith('exec .venv/bin/python -m "bench.$name" "$@"\n')


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "prefix,sufix"], "sufix: expected of prefix,"),
        (["--docs", "--ours"], "--docs needs slapd"),
        (["--before", str(ROOT / "tests")], "expected a checkout of this project"),
        pytest.param(["--docs", "--before", str(ROOT)], "--docs and --before", marks=needs_servers),
    ],
    ids=["unknown part", "no ratios in the page", "no checkout", "no other checkout in the page"],
)
def test_options_that_cannot_be(arguments, told, capsys):
    """Nothing is started."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert (ended.value.code, told in capsys.readouterr().err) == (2, True)


def test_rows_bring_those_that_they_are_compared_with():
    """In the order of the table, whatever was asked for first."""
    assert [one.name for one in chosen(("strict-reverse", "and-snom", "memory"))] == [
        "prefix",
        "and-snom",
        "reverse",
        "strict-reverse",
    ]


@pytest.mark.long  # a whole run
@needs_servers
def test_another_checkout_runs_beside(tmp_path):
    """Here this one itself, with stores of its own; and no process or file is left."""
    parts = ("--only", "prefix", "--ours", "--before", str(ROOT))
    done = run("--quick", "--json", *parts, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ways = ["compiled", PURE] if COMPILED.exists() else [PURE]
    assert [(one["load"], [each["how"] for each in one["changes"]]) for one in found["compared"]] == [("prefix", ways)]
    assert found["before"].startswith(str(ROOT))
    assert (list(tmp_path.iterdir()), processes_in(tmp_path)) == ([], [])


@pytest.mark.soak  # more than a minute of processor time; test_another_checkout_runs_beside runs one load
@needs_servers
def test_all_of_it_runs(tmp_path):
    """Every load on every server without an error, every figure; and no process or file is left."""
    done = run("--quick", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    pure = {PURE} if COMPILED.exists() else set()
    slapds = [name for name, one in WORKLOADS.items() if not one.beside]
    ours = {name: {"ldapgw", *pure} | ({"slapd"} if name in slapds else set()) for name in WORKLOADS}
    peers = {name: {"ldapgw", "slapd", "ldaptor"} for name in slapds}
    for part, servers in (("compared", ours), ("peers", peers)):
        assert {one["load"]: set(one["servers"]) for one in found[part]} == servers
        rounds = [each for one in found[part] for measured in one["servers"].values() for each in measured]
        assert [each for each in rounds if each["errors"] or not each["searches"]] == []
    assert [one["load"] for one in found["compared"] if one["part"]] == [
        name for name in WORKLOADS if name not in slapds
    ]
    assert [(one["load"], one["what"]) for one in found["figures"]] == [
        ("300 contacts", "first start, which builds the book"),
        ("300 contacts", "memory above the empty process"),
        ("300 contacts", "memory of the gateway, maximum"),
        ("100 of 300 change", "in effect"),
        ("100 of 300 change", "longest reactor turn"),
        ("100 of 300 change", "searches that saw only part of a sync"),
        ("100 of 300 change", "search, p99"),
        ("100 of 300 change", "search, longest"),
        ("nothing changes", "longest reactor turn"),
        ("300 contacts in 20 books", "from start to first answer"),
        ("300 contacts in 20 books", "time of a search for two letters"),
        ("300 contacts, over HTTP", "a caller's name"),
        ("300 contacts, over HTTP", "the same as JSON"),
        ("300 contacts, over HTTP", "XML phone book (Cisco), a page"),
        ("300 contacts, over HTTP", "XML phone book (Snom), two letters"),
        ("300 contacts, over HTTP", "XML phone book (Yealink), its first 5,000"),
        ("300 contacts, over HTTP", "search over LDAP meanwhile, p99"),
    ]
    assert (list(tmp_path.iterdir()), processes_in(tmp_path)) == ([], [])


@pytest.mark.long  # a whole run that is ended
@needs_servers
def test_who_ends_it_ends_all_of_it(tmp_path):
    """No server goes on, and no file stays."""
    command = (*COMMAND, "--contacts", "300", "--only", "prefix", "--seconds", "60")
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE
    ) as bench:
        assert bench.stderr is not None
        # It is about to measure for a minute then, with both servers up.
        while b"ldapsearch finds" not in (line := bench.stderr.readline()):
            assert line, "the bench has ended by itself"
        bench.send_signal(signal.SIGINT)
        bench.stderr.read()
    assert (bench.returncode, list(tmp_path.iterdir()), processes_in(tmp_path)) == (130, [], [])
