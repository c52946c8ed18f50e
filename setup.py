# SPDX-License-Identifier: MIT
"""Compiles what every search runs through, where ``LDAPGW_COMPILE=1`` asks for it; everything else is in setup.cfg.

Compiled by mypyc, the same modules take half the time (docs/decisions/0042).  Without it they run as they are.
"""

import os

from setuptools import setup

# Functions and what they keep.  No frozen dataclass that goes to another process: mypyc's cannot be unpickled.
COMPILED = [
    *("ber", "dialstring", "number", "numberplan"),
    *(
        "directory/blocks",
        "directory/dn",
        "directory/encodings",
        "directory/fold",
        "directory/glance",
        "directory/index",
        "directory/matcher",
        "directory/matching",
    ),
    *("directory/needle", "directory/plan", "directory/searching", "directory/shelf", "directory/terms"),
    *("ldap/filter", "ldap/pattern", "ldap/shortcut"),
]

if os.environ.get("LDAPGW_COMPILE") == "1":
    try:
        from mypyc.build import mypycify
    except ImportError:
        setup(setup_requires=["mypy[mypyc] >=2.0"])
    else:
        settings = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
        setup(ext_modules=mypycify([*settings, *(f"ldapgw/{name}.py" for name in COMPILED)]))
else:
    setup()
