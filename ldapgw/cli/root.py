# SPDX-License-Identifier: MIT
"""``ldapgw [--config FILE] COMMAND``: finds and runs the command, and prints errors as lines on stderr.

The module of a command is imported when the command is used, so that ``--version`` and completion are quick.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any

import click

from ldapgw import __version__, is_compiled
from ldapgw.cli.help import LazyGroup, examples
from ldapgw.errors import GoogleError, UserError

# The module of each command, in the order of the help.  A module defines the command under the command's name, with "_"
# for "-".
_MODULES = {
    "demo": "sandbox",
    "sandbox": "sandbox",
    "init": "init",
    "check": "check",
    "run": "run",
    "admin-link": "run",
    "connect": "connect",
    "status": "status",
    "accounts": "accounts",
    "sync": "sync",
    "share": "accounts",
    "disconnect": "accounts",
    "phones": "phones",
    "replica-config": "replicas",
    "lookup": "lookup",
    "explain": "lookup",
    "numbers": "numbers",
    "history": "sync",
    "gateways": "gateways",
    "record": "record",
    "replay": "record",
    "export": "export",
    "activity": "activity",
    "backup": "backup",
    "restore": "backup",
    "rotate-key": "backup",
    "database": "database",
    "completion": "completion",
}
# The headings of the help, by the first command below each.
_HEADINGS = {"demo": "Set up", "status": "Everyday", "lookup": "Find out", "export": "Maintain"}

# A shell's exit status for a command ended by Ctrl-C: 128 plus the signal's number.
_INTERRUPTED = 130


class Commands(LazyGroup):
    """The group of all commands, which turns their errors into messages."""

    headings = _HEADINGS

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(f"ldapgw.cli.{_MODULES[cmd_name]}"), cmd_name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; each problem that an operator can solve is printed as a line without a traceback."""
        _never_fail_to_print()
        try:
            return super().invoke(ctx)
        except UserError as error:
            problems = error.lines(ctx.obj.loaded_file)
        except GoogleError as error:
            problems = (f"Google: {error.code}: {error.detail}",)
        except KeyboardInterrupt:
            return ctx.exit(_INTERRUPTED)
        from ldapgw.cli.output import hint

        for problem in problems:
            hint(f"ldapgw: {problem}")
        return ctx.exit(1)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "ldapgw demo", "ldapgw status", "ldapgw phones add desk1 --account alice@acme.example", "ldapgw lookup mül"
    ),
)
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
@click.version_option(
    __version__,
    prog_name="ldapgw",
    message=f"%(prog)s %(version)s ({'compiled' if is_compiled() else 'not compiled'})",
)
@click.pass_context
def main(ctx: click.Context, file: str) -> None:
    """Google contacts on desk phones, over LDAP.

    Run ldapgw COMMAND --help for the options and examples of a command.
    """
    from ldapgw.cli.site import Site

    ctx.obj = Site(file)


def _never_fail_to_print() -> None:
    """Print characters that the terminal's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
