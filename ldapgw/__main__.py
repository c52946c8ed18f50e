# SPDX-License-Identifier: MIT
"""``python -m ldapgw`` is the command ``ldapgw``."""

from ldapgw.cli import main

if __name__ == "__main__":
    main()
