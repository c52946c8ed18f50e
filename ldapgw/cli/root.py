# SPDX-License-Identifier: MIT
"""``ldapgw [--config FILE] COMMAND``, and the one place where errors become lines on stderr.

A command's module is imported when the command is asked for, so that ``--version`` and completion are quick.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any

import click

from ldapgw import __version__
from ldapgw.errors import GoogleError, UserError

# In the order in which a newcomer needs them; the module holds a command of that name, with "_" for "-".
_MODULES = {
    "demo": "sandbox",
    "sandbox": "sandbox",
    "init": "init",
    "check": "check",
    "run": "run",
    "admin-link": "admin_link",
    "connect": "connect",
    "accounts": "accounts",
    "sync": "sync",
    "share": "accounts",
    "disconnect": "disconnect",
    "phones": "phones",
    "lookup": "lookup",
    "explain": "explain",
    "export": "export",
    "backup": "backup",
    "restore": "backup",
    "rotate-key": "backup",
}

# What a shell gives for a command that Ctrl-C has ended: 128 and the signal's number.
_INTERRUPTED = 130


class Commands(click.Group):
    """The commands, and what becomes of their errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """See `click.Group`."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """See `click.Group`."""
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(f"ldapgw.cli.{_MODULES[cmd_name]}"), cmd_name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what an operator can mend is a line each, never a traceback."""
        _never_fail_to_print()
        try:
            return super().invoke(ctx)
        except UserError as error:
            problems = error.problems
        except GoogleError as error:
            problems = (f"Google: {error.code}: {error.detail}",)
        except KeyboardInterrupt:
            return ctx.exit(_INTERRUPTED)
        from ldapgw.cli.output import hint

        for problem in problems:
            hint(f"ldapgw: {problem}")
        return ctx.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    "file",
    metavar="FILE",
    envvar="LDAPGW_CONFIG",
    default="/etc/ldapgw/ldapgw.toml",
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)
@click.version_option(__version__, prog_name="ldapgw", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, file: str) -> None:
    """Google contacts on desk phones, by LDAP."""
    from ldapgw.cli.site import Site

    ctx.obj = Site(file)


def _never_fail_to_print() -> None:
    """A name that the terminal's encoding lacks is shown escaped; no command fails for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
