# SPDX-License-Identifier: MIT
"""The form of all commands' help: examples at the end, commands in sections, a hint if a command is misspelled."""

from __future__ import annotations

from collections.abc import Mapping

import click
from click.exceptions import NoSuchCommand


def examples(*lines: str) -> str:
    """The epilog of a command's help, with an example on each line."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used.

    :ivar headings: the heading of a section of the help, by the section's first command.
    """

    headings: Mapping[str, str] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and name the nearest one if there is none.

        :raises click.UsageError: when there is no such command.
        """
        if not ctx.resilient_parsing and args and self.get_command(ctx, args[0]) is None and args[0][:1].isalpha():
            raise NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with a line each, in sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        heading = "Commands"
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        for name in names:
            heading = self.headings.get(name, heading)
            command = self.get_command(ctx, name)
            if command is not None:
                sections.setdefault(heading, []).append((name, command.get_short_help_str(limit)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows, col_max=max(map(len, names)))
