# SPDX-License-Identifier: MIT
"""The command ``ldapgw`` for administrators; each module holds a command or a group of related commands.

`main` is the entry point.
"""

from ldapgw.cli.root import main

__all__ = ["main"]
