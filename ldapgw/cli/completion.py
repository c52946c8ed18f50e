# SPDX-License-Identifier: MIT
"""``completion``: prints the script that completes commands and options in a shell."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from ldapgw.cli.root import Choice, examples
from ldapgw.errors import UserError

# The file in which each shell looks for the script.
_FILES = {
    "bash": "~/.local/share/bash-completion/completions/ldapgw",
    "zsh": "~/.zfunc/_ldapgw    # a folder in $fpath, before compinit",
    "fish": "~/.config/fish/completions/ldapgw.fish",
}


@click.command(
    epilog=examples(
        "ldapgw completion bash > ~/.local/share/bash-completion/completions/ldapgw",
        "ldapgw completion fish > ~/.config/fish/completions/ldapgw.fish",
        "source <(ldapgw completion zsh)",
    )
)
@click.argument("shell", type=Choice([*_FILES]), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the completion script for a shell. Default: the current shell."""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    completer = get_completion_class(shell)
    if shell not in _FILES or completer is None:
        raise UserError(f"there is no completion for this shell; choose one of {', '.join(_FILES)}")
    click.echo(completer(ctx.find_root().command, {}, "ldapgw", "_LDAPGW_COMPLETE").source().strip())
    # The hint is at the end, because zsh needs "#compdef" on the first line.
    click.echo(f"\n# To install this script:\n#   ldapgw completion {shell} > {_FILES[shell]}")
