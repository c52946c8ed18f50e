# SPDX-License-Identifier: MIT
"""The help of each command has working examples, sections and hints at misspelled words. Harmful commands ask first."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from ldapgw.cli import main
from ldapgw.cli.output import clean, local_time
from ldapgw.cli.root import usual_words
from tests.support.command_index import commands
from tests.support.site.command_line import THEN, Gateway
from tests.test_docs import parse


def help_of(name: str) -> str:
    result = CliRunner().invoke(main, [*name.split(), "--help"])
    assert result.exit_code == 0, result.output
    return result.stdout


def examples_of(name: str) -> list[str]:
    _, found, examples = help_of(name).partition("Examples:\n")
    assert found, f"ldapgw {name} --help has no examples"
    return [line.strip() for line in examples.splitlines()]


# A group has a help of its own.
@pytest.mark.parametrize("name", ["", "phones", "activity", *commands()])
def test_every_help_has_examples_that_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("desk1.password", "desk1.jsonl", "desks.csv", "branch1.password", "db.password"):
        (tmp_path / file).touch()
    for line in examples_of(name):
        called = re.search(r"ldapgw [^>]*", line.removeprefix("source <(").removesuffix(")" if "<(" in line else ""))
        assert called is not None, line
        assert called[0].startswith(f"ldapgw {name}".strip()) or "--config" in line
        parse(shlex.split(called[0])[1:])


def test_commands_are_in_sections() -> None:
    shown = help_of("")
    headings = re.findall(r"(?m)^(\S.*):$", shown)
    assert headings == ["Options", "Set up", "Everyday", "Find out", "Maintain"]
    assert shown.index("Find out:") < shown.index("  lookup ") < shown.index("Maintain:")
    listed = re.findall(r"(?m)^  ([a-z]\S*)  +\S", shown)
    assert sorted(listed) == sorted({name.split()[0] for name in commands()})


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["looku"], "Error: No such command 'looku'. Did you mean 'lookup'?"),
        (["phones", "lst"], "Error: No such command 'lst'. Did you mean 'list'?"),
        (["accounts", "remov"], "Error: No such command 'remov'. Did you mean 'remove'?"),
        (["accounts", "--jsn"], "Error: No such option '--jsn'. Did you mean '--json'?"),
        (["xyzzy"], "Error: No such command 'xyzzy'."),
        (["export", "--format", "lidf"], "Did you mean 'ldif'?"),
        (["phones", "add", "desk1", "--model", "yelink"], "Did you mean 'yealink'?"),
        (["phones", "settings", "desk1", "--model", "gigset"], "Did you mean 'gigaset'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_misspelled_word_gets_a_hint(gateway: Gateway, words: list[str], hint: str) -> None:
    result = gateway.run(*words)
    assert (result.exit_code, result.stderr.splitlines()[-1][-len(hint) :]) == (2, hint)


@pytest.mark.parametrize(
    ("words", "usual"),
    [
        ("help", "--help"),
        ("help phones add", "phones add --help"),
        ("help variables", "variables"),
        ("version", "--version"),
        ("-v", "--version"),
        ("accounts list --json", "accounts --json"),
        ("phones", "phones list"),
        ("phones --json", "phones list --json"),
        ("phones --help", "phones --help"),
        ("phones add --help", "phones add --help"),
        ("status --config a.toml --json", "--config a.toml status --json"),
        ("phones --config=a.toml", "--config=a.toml phones list"),
        ("help status --config a.toml", "--config a.toml status --help"),
        ("--config a.toml phones list --config b.toml", "--config a.toml --config b.toml phones list"),
        ("lookup -- --config a", "lookup -- --config a"),
        ("status --config", "--config status"),
        ("", ""),
    ],
)
def test_words_in_another_place(words: str, usual: str) -> None:
    """Words in a usual but different place stand for the words of the help."""
    assert usual_words(words.split()) == usual.split()


def test_the_file_may_come_behind_the_command(gateway: Gateway) -> None:
    result = CliRunner().invoke(main, ["accounts", "list", "--json", "--config", str(gateway.file)])
    assert (result.exit_code, result.stdout) == (0, "[]\n")


def test_what_cannot_be_undone_asks_on_a_terminal(gateway: Gateway) -> None:
    """The question names the consequence; every answer but yes changes nothing."""
    gateway.run("phones", "add", "desk1")
    for answer in (b"n\n", b"\n"):
        code, said = gateway.ask(answer, "phones", "remove", "desk1")
        assert (code, said.splitlines()) == (
            1,
            [
                "This removes the phone desk1: it stops finding contacts immediately.",
                f"Continue? [y/N]: {answer.decode().strip()}",
                "ldapgw: nothing was changed",
            ],
        )
    assert [one["name"] for one in gateway.json("phones", "list")] == ["desk1"]
    assert gateway.ask(b"y\n", "phones", "remove", "desk1")[0] == 0
    assert gateway.json("phones", "list") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["phones", "remove", "desk1"],
        ["phones", "reset", "desk1"],
        ["disconnect", "alice@acme.example"],
        ["accounts", "remove", "alice@acme.example"],
        ["restore", "some.db"],
        ["backup", "kept.db"],
        ["sync", "alice@acme.example", "--accept-shrink"],
    ],
    ids=" ".join,
)
def test_nobody_to_ask(gateway: Gateway, arguments: list[str]) -> None:
    """Without a terminal and without ``--yes``, one line refuses, and nothing is changed."""
    gateway.connect("alice@acme.example")
    gateway.run("phones", "add", "desk1")
    kept = gateway.folder / "kept.db"
    kept.write_text("monday")
    arguments = [str(kept) if word == "kept.db" else word for word in arguments]
    before = gateway.json("phones", "list"), gateway.json("accounts")
    line = gateway.refused(*arguments)
    assert line.startswith("This ")
    assert line.endswith(" To go ahead without a terminal, add --yes.\n")
    assert line.count("\n") == 1
    assert (gateway.json("phones", "list"), gateway.json("accounts"), kept.read_text()) == (*before, "monday")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion(shell: str) -> None:
    """The script has the command that installs the script; zsh needs its own word on the first line."""
    result = CliRunner().invoke(main, ["completion"], env={"SHELL": f"/usr/bin/{shell}"})
    assert result.exit_code == 0
    assert result.stdout.startswith("#compdef ldapgw\n" if shell == "zsh" else "function _ldapgw_completion")
    assert f"#   ldapgw completion {shell} > " in result.stdout


def test_completion_of_another_shell() -> None:
    result = CliRunner().invoke(main, ["completion"], env={"SHELL": "/bin/csh"})
    assert (result.exit_code, result.stderr) == (
        1,
        "ldapgw: there is no completion for this shell; choose one of bash, zsh, fish\n",
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "–"), (THEN, "09:30"), (THEN - 86400, "2026-01-30 09:30"), (THEN + 86400, "2026-02-01 09:30")],
    ids=["none", "today", "yesterday", "tomorrow"],
)
def test_local_time(gateway: Gateway, seconds: float | None, expected: str) -> None:
    """A time of today has no date."""
    assert local_time(seconds, THEN + 3600) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jörg Müller", "Jörg Müller"),
        ("محمد", "محمد"),
        ("\x1b]0;title\x07", "\ufffd]0;title\ufffd"),
        ("a\nb\u2028c", "a\ufffdb\ufffdc"),
        ("exe.\u202efdp", "exe.\ufffdfdp"),
        ("a\u200f\u061c\udcff", "a\ufffd\ufffd\ufffd"),
        ("\x9b2J", "\ufffd2J"),
    ],
    ids=["latin", "arabic", "escape", "lines", "turned", "marks and half a sign", "C1"],
)
def test_clean(text: str, expected: str) -> None:
    """Characters that steer a terminal are replaced; names in any script stay."""
    assert clean(text) == expected
