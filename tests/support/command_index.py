# SPDX-License-Identifier: MIT
"""The index of commands in the reference, written from the sections and the sentences of ``ldapgw --help``.

``python -m tests.support.command_index`` writes the index; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from textwrap import wrap

import click
from docutils import nodes

from ldapgw.cli import main
from ldapgw.cli.root import COMMANDS
from tests.support import rst
from tests.support.checkout import ROOT

DOCUMENT = ROOT / "docs" / "reference" / "commands.rst"
PAGES = ROOT / "docs" / "reference" / "commands"
BEGIN = ".. The index begins here; python -m tests.support.command_index writes it"
END = ".. The index ends here"


def commands() -> dict[str, click.Command]:
    """All commands that do something, by their words."""
    context = click.Context(main)
    found: dict[str, click.Command] = {}
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                found[name] = command
            of_group = ((sub, command.get_command(context, sub)) for sub in command.list_commands(context))
            found |= {f"{name} {sub}": one for sub, one in of_group if one is not None}
        else:
            found[name] = command
    return found


def written(document: str) -> str:
    """A document with the index in its place."""
    lines = (line for heading, words in COMMANDS.items() for line in _section(heading, words))
    return rst.with_passage(document, BEGIN, "\n".join(lines), END)


def _section(heading: str, words: Iterable[str]) -> Iterator[str]:
    yield from (heading, "=" * len(heading), "")
    for word in words:
        page = PAGES / f"{word}.rst"
        title = rst.read(page)["title"]
        for name in (title, *rst.titles(page)):
            if command := commands().get(name):
                place = f"commands/{page.name}{'' if name == title else f'#{nodes.make_id(name)}'}"
                sentence = re.split(r"(?<=\.) ", " ".join((command.help or "").split()))[0]
                line = f"* `{name} <{place}>`__: {sentence}"
                yield from wrap(line, 120, subsequent_indent="  ", break_on_hyphens=False)
    yield ""


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
