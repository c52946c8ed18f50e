# SPDX-License-Identifier: MIT
"""``ldapgw [--config FILE] COMMAND``: finds, runs and completes the command, and prints errors as lines on stderr.

The module of a command is imported when the command is used, so that ``--version`` and completion are quick.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from ldapgw import __version__, is_compiled
from ldapgw.errors import GoogleError, UserError, closest

# The commands under the headings of the help, each with its module and a line of help.  A module defines a command
# under the command's name, with "_" in place of "-".
COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Set up": {
        "demo": ("run", "Run a demo gateway with a stand-in for Google."),
        "sandbox": ("run", "Run a stand-in for Google on this machine."),
        "init": ("init", "Write the configuration file."),
        "certificate": ("init", "Make a certificate and a private authority."),
        "variables": ("variables", "List the environment variables of the configuration."),
        "check": ("check", "Check the configuration and everything it points to."),
        "run": ("run", "Run the gateway in the foreground."),
        "admin-link": ("run", "Print a one-time link to the administration of a tenant."),
        "connect": ("connect", "Connect a Google account from the command line."),
    },
    "Everyday": {
        "status": ("status", "Show how the gateway, accounts and phones are doing."),
        "accounts": ("accounts", "List the accounts and what needs action, or remove an account."),
        "sync": ("sync", "Sync the named accounts now, or all connected accounts."),
        "share": ("accounts", "Choose whose phones find the contacts of ACCOUNT."),
        "disconnect": ("accounts", "Revoke the access of ACCOUNT, and delete its contacts."),
        "phones": ("phones", "Add, list, test, change and remove phones."),
        "replica-config": ("replicas", "Print an OpenLDAP configuration for the replica NAME."),
    },
    "Find out": {
        "lookup": ("lookup", "Search as a phone does."),
        "explain": ("lookup", "Explain why a phone finds a contact or doesn't."),
        "numbers": ("lookup", "Check the telephone numbers of contacts."),
        "history": ("sync", "Show the last syncs of ACCOUNT."),
        "gateways": ("status", "Show the gateways that share a PostgreSQL database."),
        "record": ("record", "Record what a phone sends and receives."),
        "replay": ("record", "Repeat the searches of a recording."),
    },
    "Maintain": {
        "export": ("export", "Write contacts as LDIF, vCard or CSV."),
        "activity": ("export", "Export the log of who did what."),
        "backup": ("backup", "Copy the database to FILE, even while the gateway runs."),
        "restore": ("backup", "Restore a backup."),
        "rotate-key": ("backup", "Encrypt all secrets with a new key."),
        "database": ("backup", "Move the gateway to another database."),
        "completion": ("root", "Print the completion script for a shell."),
    },
}

# A shell's exit status for a command ended by Ctrl-C: 128 plus the signal's number.
_INTERRUPTED = 130

# The errors of writing a command's output to a full disk or a broken device.
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# The configuration file, unless another file is named; the units of systemd read this file.
CONFIG_FILE = "/etc/ldapgw/ldapgw.toml"

# The file in which each shell looks for the completion script.
_COMPLETION_FILES = {
    "bash": "~/.local/share/bash-completion/completions/ldapgw",
    "zsh": "~/.zfunc/_ldapgw    # a folder in $fpath, before compinit",
    "fish": "~/.config/fish/completions/ldapgw.fish",
}


def examples(*lines: str) -> str:
    """Return the epilog of a command's help, with an example on each line."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


class Choice(click.Choice[str]):
    """The type of an option with fixed values; the error about a misspelt value suggests the most similar value."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        message = super().get_invalid_choice_message(value, ctx)
        close = closest(str(value).lower(), map(str, self.choices))
        return f"{message} Did you mean '{close}'?" if close else message


def usual_words(args: Sequence[str]) -> list[str]:
    """Return a command line in the form that click expects.

    ``--config FILE`` may come behind the command.  The words ``help`` and ``version`` stand for the options ``--help``
    and ``--version``, and ``help variables`` stands for ``variables``.  The word ``list`` is optional behind
    ``accounts`` and ``phones``.

    :param args: the command line without the program's name.
    """
    config: list[str] = []
    words = list(args)
    end = words.index("--") if "--" in words else len(words)
    for position in range(end - 1, -1, -1):
        if words[position] == "--config":
            config = [*words[position : position + 2], *config]
            del words[position : position + 2]
        elif words[position].startswith("--config="):
            config = [words.pop(position), *config]
    match words:
        case ["help", "variables"]:
            words = ["variables"]
        case ["help", *command]:
            words = [*command, "--help"]
        case ["version" | "-v"]:
            words = ["--version"]
        case ["accounts", "list", *options]:
            words = ["accounts", *options]
        case ["phones"]:
            words = ["phones", "list"]
        case ["phones", option, *options] if option.startswith("-") and option not in ("-h", "--help"):
            words = ["phones", "list", option, *options]
    return [*config, *words]


class Commands(click.Group):
    """The group of all commands; the group prints the errors of its commands as messages.

    A command's module is imported when the command is used; the list of commands is made only from `COMMANDS`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse a command line, after `usual_words` has converted it to the form that click expects."""
        return super().parse_args(ctx, args if ctx.resilient_parsing else usual_words(args))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        module = next((names[cmd_name][0] for names in COMMANDS.values() if cmd_name in names), None)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"ldapgw.cli.{module}"), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  likewise
        """Write the commands with a line each, in sections."""
        longest = max(map(len, self.commands))
        for heading, names in COMMANDS.items():
            with formatter.section(heading):
                lines = [self.commands[name].get_short_help_str(formatter.width - 6 - longest) for name in names]
                formatter.write_dl([*zip(names, lines, strict=True)], col_max=longest)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, or an option."""
        found = {name: command for name, command in self.commands.items() if name.startswith(incomplete)}
        items = [CompletionItem(name, help=command.get_short_help_str()) for name, command in found.items()]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and print each problem that an operator can solve as a line without a traceback."""
        _never_fail_to_print()
        try:
            outcome = super().invoke(ctx)
            if sys.stdout is not None:  # None if standard output is closed (">&-")
                sys.stdout.flush()
        except OSError as error:
            if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
                raise
            from ldapgw.cli.output import discard_output

            discard_output()
            problems: Sequence[str] = (f"the output or a file cannot be written: {os.strerror(error.errno)}",)
        except UnicodeEncodeError as error:
            # Python reads octets that are not UTF-8 as lone surrogates, which no database takes.
            if error.reason != "surrogates not allowed":
                raise
            problems = ("the command line has a text that is not UTF-8; set the terminal and the locale to UTF-8",)
        except UserError as error:
            problems = error.lines(ctx.obj.loaded_file if ctx.obj else "")
        except GoogleError as error:
            problems = (f"Google: {error.code}: {error.detail}",)
        except KeyboardInterrupt:
            return ctx.exit(_INTERRUPTED)
        else:
            return outcome
        from ldapgw.cli.output import hint

        for problem in problems:
            hint(f"ldapgw: {problem}")
        return ctx.exit(1)


@click.group(
    cls=Commands,
    commands={name: click.Command(name, help=line) for names in COMMANDS.values() for name, (_, line) in names.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "ldapgw demo",
        "ldapgw status",
        "ldapgw phones add desk1 --account alice@acme.example",
        "ldapgw lookup mül --phone desk1",
    ),
)
@click.option(
    "--config",
    "file",
    metavar="FILE",
    envvar="LDAPGW_CONFIG",
    default=CONFIG_FILE,
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)
@click.version_option(
    __version__,
    prog_name="ldapgw",
    message=f"%(prog)s %(version)s ({'compiled' if is_compiled() else 'not compiled'})",
)
def main(file: str) -> None:
    """Google contacts on desk phones, over LDAP.

    Run ldapgw COMMAND --help for the options and examples of a command.
    """


@click.command(
    epilog=examples(
        "ldapgw completion bash > ~/.local/share/bash-completion/completions/ldapgw",
        "ldapgw completion fish > ~/.config/fish/completions/ldapgw.fish",
        "source <(ldapgw completion zsh)",
    )
)
@click.argument("shell", type=Choice([*_COMPLETION_FILES]), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the completion script for a shell. Default: the current shell."""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    completer = get_completion_class(shell)
    if shell not in _COMPLETION_FILES or completer is None:
        raise UserError(f"there is no completion for this shell; choose one of {', '.join(_COMPLETION_FILES)}")
    click.echo(completer(ctx.find_root().command, {}, "ldapgw", "_LDAPGW_COMPLETE").source().strip())
    # The hint is at the end, because zsh needs "#compdef" on the first line.
    click.echo(f"\n# To install this script:\n#   ldapgw completion {shell} > {_COMPLETION_FILES[shell]}")


def _never_fail_to_print() -> None:
    """Let Python print escapes for characters that the terminal's encoding lacks, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
