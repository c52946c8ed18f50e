# SPDX-License-Identifier: MIT
"""The entry point of ``python -m ldapgw``, which is the same as the command ``ldapgw``."""

from ldapgw.cli import main

if __name__ == "__main__":
    main()
