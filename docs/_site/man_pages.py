# SPDX-License-Identifier: MIT
"""Writes man pages: of the commands from their help, and of the configuration file from its reference.

Usage: ``python docs/_site/man_pages.py FOLDER``
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from docutils import nodes
from docutils.core import publish_doctree, publish_from_doctree, publish_string

from ldapgw import __version__
from ldapgw.cli import main
from ldapgw.cli.root import COMMANDS

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "configuration.rst"

# What docutils adds to the pages: no date, so that the same sources give the same pages.
SETTINGS = {"report_level": 2, "halt_level": 2, "datestamp": None, "input_encoding": "unicode"}

MAIN_SECTIONS = """
EXIT STATUS
===========

0 if the command is done, 1 if it was refused or has failed, 2 if it was called in a wrong way.

ENVIRONMENT
===========

LDAPGW_CONFIG
    The configuration file, if there is no ``--config``.

Variables whose names begin with ``LDAPGW__`` are settings; see ldapgw-variables(1) and ldapgw.toml(5).

FILES
=====

/etc/ldapgw/ldapgw.toml
    The configuration; see ldapgw.toml(5).
/var/lib/ldapgw
    The database and the key file.

SEE ALSO
========

ldapgw.toml(5), {pages}
"""


def write_pages(folder: Path) -> None:
    """Write ``ldapgw.1``, a page for each command, and ``ldapgw.toml.5``."""
    context = click.Context(main, info_name="ldapgw", **main.context_settings)
    commands = list(_commands(main, context))
    pages = ", ".join(f"ldapgw-{child.info_name}(1)" for child in commands)
    _write(folder / "ldapgw.1", [*_main_page(context, commands), MAIN_SECTIONS.format(pages=pages)])
    for child in commands:
        page = [*_command_page(child), *_section("SEE ALSO", "ldapgw(1), ldapgw.toml(5)")]
        _write(folder / f"ldapgw-{child.info_name}.1", page)
    (folder / "ldapgw.toml.5").write_text(_configuration_page())


def _commands(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield click.Context(command, info_name=name, parent=context)


# --- commands ---------------------------------------------------------------------------------------------------------


def _main_page(context: click.Context, commands: Iterable[click.Context]) -> Iterator[str]:
    yield from _head("ldapgw", _short_help(context))
    yield from _synopsis(context)
    yield from _options(context)
    yield from _heading("COMMANDS", "=")
    headings = {next(iter(names)): heading for heading, names in COMMANDS.items()}
    for child in commands:
        if child.info_name in headings:
            yield from _heading(headings[str(child.info_name)], "-")
        yield f"**{child.info_name}**\n    {_short_help(child)}\n"
    yield from _examples(context, "=")


def _command_page(context: click.Context) -> Iterator[str]:
    yield from _head(f"ldapgw-{context.info_name}", _short_help(context))
    yield from _synopsis(context)
    yield from _options(context)
    yield from _examples(context, "=")
    if isinstance(context.command, click.Group):
        for child in _commands(context.command, context):
            yield from _heading(child.command_path, "=")
            yield f"{_usage(child)}\n\n{_help(child)}\n"
            yield from _option_list(child)
            yield from _examples(child, "-")


def _head(name: str, summary: str, section: int = 1) -> Iterator[str]:
    for line, text in (("=", name), ("-", summary)):
        yield from (line * len(text), text, line * len(text), "")
    yield from (f":Manual section: {section}", ":Manual group: ldapgw", f":Version: ldapgw {__version__}", "")


def _synopsis(context: click.Context) -> Iterator[str]:
    yield from _section("SYNOPSIS", _usage(context))
    yield from _section("DESCRIPTION", _help(context))


def _options(context: click.Context) -> Iterator[str]:
    yield from _heading("OPTIONS", "=")
    yield from _option_list(context)


def _option_list(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            names, text = record
            yield f"**{_escape(names)}**\n    {_escape(text)}\n"


def _examples(context: click.Context, underline: str) -> Iterator[str]:
    lines = (context.command.epilog or "").removeprefix("\b\nExamples:\n").splitlines()
    if lines:
        yield from _heading("EXAMPLES" if underline == "=" else "Examples", underline)
        yield from ("::", "", *(f"  {line}" for line in lines), "")


def _usage(context: click.Context) -> str:
    return f"**{context.command_path}** {_escape(' '.join(context.command.collect_usage_pieces(context)))}"


def _short_help(context: click.Context) -> str:
    return _escape(context.command.get_short_help_str(180).removesuffix("."))


def _help(context: click.Context) -> str:
    return _escape(inspect.cleandoc(context.command.help or "").partition("\f")[0].replace("\b\n", ""))


def _section(title: str, text: str) -> Iterator[str]:
    yield from _heading(title, "=")
    yield f"{text}\n"


def _heading(title: str, underline: str) -> Iterator[str]:
    yield from (title, underline * len(title), "")


def _escape(text: str) -> str:
    return re.sub(r"([\\*`_|])", r"\\\1", text)


def _write(file: Path, lines: Iterable[str]) -> None:
    page: str = publish_string(
        "\n".join(lines), writer="manpage", settings_overrides={**SETTINGS, "output_encoding": "unicode"}
    )
    file.write_text(page)


# --- the configuration file -------------------------------------------------------------------------------------------


def _configuration_page() -> str:
    """The reference as a page; terminals are too narrow for its tables, so that they become lists."""
    title, _, text = REFERENCE.read_text().partition("\n\n")
    assert title.strip("=\n") == "Configuration"
    head = (*_head("ldapgw.toml", "the configuration of ldapgw", 5), "DESCRIPTION", "===========", "")
    source = "\n".join((*head, text))
    document = publish_doctree(source, settings_overrides=SETTINGS)
    for table in list(document.findall(nodes.table)):
        table.replace_self(_as_list(table))
    for link in list(document.findall(nodes.reference)):
        if "://" not in link.get("refuri", ""):
            link.replace_self(link.children)
    page: str = publish_from_doctree(
        document, writer="manpage", settings_overrides={**SETTINGS, "output_encoding": "unicode"}
    )
    return page


def _as_list(table: nodes.table) -> nodes.definition_list:
    """A row's first cell with what it defines; of three cells, the second is a key's default."""
    rows = [list(row.findall(nodes.entry)) for body in table.findall(nodes.tbody) for row in body.findall(nodes.row)]
    made = nodes.definition_list()
    for first, *middle, last in rows:
        term = nodes.term()
        for paragraph in first.findall(nodes.paragraph):
            term += nodes.strong("", paragraph.astext())
        definition = nodes.definition("", *last.children)
        for cell in middle:
            default = cell.astext()
            definition += nodes.paragraph("", "Required." if default == "required" else f"Default: {default}")
        made += nodes.definition_list_item("", term, definition)
    return made


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
