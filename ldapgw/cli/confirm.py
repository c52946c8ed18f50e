# SPDX-License-Identifier: MIT
"""Asks for confirmation before a command does something that cannot be undone."""

from __future__ import annotations

import sys

import click

from ldapgw.errors import UserError

yes_option = click.option("--yes", is_flag=True, help="Don't ask for confirmation.")


def confirm(consequence: str, *, yes: bool) -> None:
    """Ask on a terminal whether to go on.

    :param consequence: sentences that say what will happen.
    :param yes: whether the person has agreed in advance.
    :raises UserError: when the answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{consequence} To go ahead without a terminal, add --yes.")
    if not click.confirm(f"{consequence}\nContinue?", err=True):
        raise UserError("nothing was changed")
