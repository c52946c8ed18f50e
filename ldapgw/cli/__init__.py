# SPDX-License-Identifier: MIT
"""The command ``ldapgw``: for administrators, what the page is for users.

`main` is the door; a module holds a group of commands.
"""

from ldapgw.cli.root import main

__all__ = ["main"]
