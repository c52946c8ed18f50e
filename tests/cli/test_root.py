# SPDX-License-Identifier: MIT
"""The tests show the program as a whole: its commands, exit codes and errors.

Only a process shows its imports, its standard streams and its exit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ldapgw import __version__, is_compiled
from ldapgw.cli import main, site
from ldapgw.errors import NetworkFailure
from tests.support.site.command_line import ACME, HEAD, Gateway


def test_version() -> None:
    """The line has the version and if the program is compiled; the command needs no configuration."""
    kind = "compiled" if is_compiled() else "not compiled"
    assert CliRunner().invoke(main, ["--version"]).stdout == f"ldapgw {__version__} ({kind})\n"


_COUNT_IMPORTS = """
import sys
own = set(sys.modules)
import click
from ldapgw.cli import main
try:
    if sys.argv[1:]:
        main(sys.argv[1:])
    else:
        main.shell_complete(click.Context(main), "")
finally:
    slow = {"alembic", "pygments", "twisted.internet.reactor"} & {*sys.modules}
    print(len({*sys.modules} - own), *slow, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        ("--help", 150),
        ("completion bash", 150),
        ("", 150),
        ("help variables", 400),
        ("status", 450),
        ("accounts", 500),
        ("phones list", 520),
        ("lookup mull --phone desk1", 660),
        ("explain mull --phone desk1", 660),
    ],
)
def test_commands_are_quick(gateway: Gateway, arguments: str, most: int) -> None:
    """The imports take most of the time of a short command; this test runs in processes that have imported nothing."""
    gateway.connect("alice@acme.example")
    gateway.run("phones", "add", "desk1", "--account", "alice@acme.example")
    command = [sys.executable, "-c", _COUNT_IMPORTS, *arguments.split()]
    environment = {**os.environ, "LDAPGW_CONFIG": str(gateway.file)}
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    count, *slow = ran.stderr.splitlines()[-1].split()
    assert (ran.returncode, slow) == (0, [])
    assert int(count) < most


def test_the_list_has_the_first_sentence_of_each_help() -> None:
    """The list does not import the commands' modules, so its sentences are written a second time."""
    assert isinstance(main, click.Group)
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in main.commands}
    lines = {name: command.get_short_help_str(1000) for name, command in found.items() if command is not None}
    assert lines == {name: listed.help for name, listed in main.commands.items()}


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["init", "--region", "xx"],
        ["accounts", "--what"],
        ["share", "alice@acme.example"],
        ["phones", "add"],
        ["phones", "add", "desk1", "--numbers", "many"],
        ["lookup"],
        ["explain", "mull"],
        ["disconnect"],
        ["sandbox", "--port", "70000"],
    ],
    ids=" ".join,
)
def test_wrong_usage(gateway: Gateway, arguments: list[str]) -> None:
    result = gateway.run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["check"],
        ["accounts"],
        ["sync"],
        ["share", "alice@acme.example", "shared"],
        ["disconnect", "alice@acme.example"],
        ["phones", "add", "desk1"],
        ["phones", "list"],
        ["phones", "remove", "desk1"],
        ["phones", "reset", "desk1"],
        ["lookup", "mull"],
    ],
    ids=" ".join,
)
def test_a_broken_configuration_is_a_line_a_problem(gateway: Gateway, arguments: list[str]) -> None:
    """Every command that needs the configuration names all of its problems."""
    gateway.write((HEAD + ACME).replace("https://", "http://").replace("tcp:0", "tcp:x", 1))
    lines = gateway.refused(*arguments).splitlines()
    assert {line.split(" = ")[0] for line in lines} == {
        f"{gateway.file}: ldap.listen",
        f"{gateway.file}: web.public_url",
    }
    assert not gateway.state_dir.exists()


NO_TENANT = '{file}: there is no tenant "gamma"; there are: acme'
NO_ACCOUNT = "there is no account eve@acme.example: connect the account on the page first"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        *((f"{command} --tenant gamma", NO_TENANT) for command in ("accounts", "sync", "phones list", "phones add x")),
        *((command, NO_ACCOUNT) for command in ("share eve@acme.example shared", "disconnect eve@acme.example")),
        ("sync eve@acme.example", NO_ACCOUNT),
    ],
)
def test_refused(gateway: Gateway, command: str, line: str) -> None:
    assert gateway.refused(*command.split()) == line.format(file=gateway.file) + "\n"
    assert not gateway.state_dir.exists()


def test_a_missing_configuration(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--config", str(tmp_path / "no.toml"), "accounts"])
    assert result.exit_code == 1
    assert result.stderr == (
        f"ldapgw: {tmp_path / 'no.toml'}: there is no such configuration file; create a file with ldapgw init, or name "
        "your file with --config or LDAPGW_CONFIG (a demo prints the line that sets LDAPGW_CONFIG)\n"
    )


def test_the_configuration_comes_from_the_environment(gateway: Gateway) -> None:
    result = CliRunner().invoke(main, ["accounts", "--json"], env={"LDAPGW_CONFIG": str(gateway.file)})
    assert (result.exit_code, result.stdout) == (0, "[]\n")


@pytest.mark.parametrize("command", ["accounts", "phones list", "lookup mull", "sync", "phones add desk1"])
def test_a_damaged_database_is_one_line(gateway: Gateway, command: str) -> None:
    gateway.state_dir.mkdir(mode=0o700)
    (gateway.state_dir / "ldapgw.db").write_bytes(b"this is no database, " * 100)
    lines = gateway.refused(*command.split())
    told = "cannot be used: file is not a database; put a backup back: ldapgw restore FILE"
    assert lines == f"{gateway.state_dir / 'ldapgw.db'}: {told}\n"


def test_a_state_folder_that_everybody_sees_is_refused(gateway: Gateway) -> None:
    gateway.state_dir.mkdir(mode=0o755)
    gateway.state_dir.chmod(0o755)
    assert "everybody can read it" in gateway.refused("phones", "add", "desk1")
    assert list(gateway.state_dir.iterdir()) == []


def test_root_creates_no_database_for_another_user(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's user could not open root's database."""
    gateway.state_dir.mkdir(mode=0o700)
    monkeypatch.setattr(site.os, "geteuid", lambda: 0)
    monkeypatch.setattr(site, "_owner", lambda path: 1234)
    assert "belongs to another user" in gateway.refused("phones", "add", "desk1")
    assert list(gateway.state_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NetworkFailure("DNSLookupError"), (1, "ldapgw: Google: network: DNSLookupError\n")),
        (KeyboardInterrupt(), (130, "")),
        (BrokenPipeError(32, "Broken pipe"), (1, "")),
        (OSError(5, "Input/output error"), (1, "ldapgw: the output or a file cannot be written: Input/output error\n")),
    ],
    ids=["google", "ctrl-c", "broken pipe", "broken device"],
)
def test_what_ends_a_command(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, error: BaseException, expected: tuple[int, str]
) -> None:
    """Google's refusal is a line; Ctrl-C and a closed pipe are quiet."""

    def fail(file: str) -> None:
        raise error

    monkeypatch.setattr(site, "load", fail)
    result = gateway.run("accounts")
    assert (result.exit_code, result.stderr) == expected


def test_a_closed_pipe_is_quiet(gateway: Gateway) -> None:
    """``ldapgw … | head -0`` ends without a word."""
    gateway.connect("alice@acme.example")
    command = f"{sys.executable} -m ldapgw --config {gateway.file} accounts | true"
    assert subprocess.run(["bash", "-c", command], capture_output=True, check=False).stderr == b""


def test_a_command_without_an_output_succeeds() -> None:
    """A job of cron may close the output; only a process can begin without an output."""
    command = f"{sys.executable} -m ldapgw completion bash >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_output_on_a_full_disk_is_one_line(gateway: Gateway) -> None:
    """The output fits into a buffer, which only a process of its own writes at the end."""
    gateway.connect("alice@acme.example")
    command = [sys.executable, "-m", "ldapgw", "--config", str(gateway.file), "accounts", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=environment)
    said = b"ldapgw: the output or a file cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("pasted", [b"http://[\n", b"https://phonebook.example.com/acme/\n"])
def test_pasting_another_text_is_one_line(gateway: Gateway, pasted: bytes) -> None:
    """The line shows the beginning of the right text."""
    code, told = gateway.ask(pasted, "connect", "--paste")
    expected = (
        "ldapgw: this is not the right address: paste the address that begins with http://localhost:8085/oauth/callback"
    )
    assert (code, told.splitlines()[-1]) == (1, expected)


@pytest.mark.parametrize("arguments", [["phones", "reset", "m\udcfcller", "--yes"], ["history", "\udcff"]])
def test_an_argument_that_is_not_utf_8_is_one_line(gateway: Gateway, arguments: list[str]) -> None:
    """A terminal in Latin-1 sends such octets for an umlaut."""
    gateway.connect("alice@acme.example")
    told = "the command line has a text that is not UTF-8; set the terminal and the locale to UTF-8\n"
    assert gateway.refused(*arguments) == told


def test_a_terminal_of_few_signs(gateway: Gateway) -> None:
    """Characters that the locale's encoding lacks are escaped, without a traceback; JSON is UTF-8 all the same."""
    gateway.connect("łukasz@acme.example")
    command = [sys.executable, "-m", "ldapgw", "--config", str(gateway.file), "accounts"]
    environment = {"PYTHONIOENCODING": "latin-1", "PATH": ""}
    shown = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    assert b"\\u0142ukasz@acme.example" in shown
    told = subprocess.run([*command, "--json"], capture_output=True, check=True, env=environment).stdout
    assert '"łukasz@acme.example"'.encode() in told
