# SPDX-License-Identifier: MIT
"""Compiles what every search runs through, where ``LDAPGW_COMPILE=1`` asks for it; everything else is in setup.cfg.

Compiled by mypyc, the same modules take half the time (docs/decisions/0042).  Without it they run as they are.
"""

import os

from setuptools import setup

# Functions and what they keep.  No frozen dataclass that goes to another process: mypyc's cannot be unpickled.
COMPILED = [
    *("ber", "catalog", "credential", "dialstring", "metrics", "number", "numberplan", "searches"),
    *(
        "directory/batch",
        "directory/blocks",
        "directory/dn",
        "directory/encodings",
        "directory/entry",
        "directory/fold",
        "directory/glance",
        "directory/index",
        "directory/matcher",
        "directory/matching",
    ),
    *("directory/needle", "directory/plan", "directory/searching", "directory/shelf", "directory/terms"),
    *("ldap/answer", "ldap/bind", "ldap/connections", "ldap/controls", "ldap/deadlines", "ldap/decode", "ldap/encode"),
    *("ldap/filter", "ldap/framing", "ldap/inquiry", "ldap/line", "ldap/messages", "ldap/outbox", "ldap/pattern"),
    *("ldap/reader", "ldap/session", "ldap/shortcut", "ldap/turn", "ldap/writer"),
]

if os.environ.get("LDAPGW_COMPILE") == "1":
    try:
        from mypyc.build import mypycify
    except ImportError:
        setup(setup_requires=["mypy[mypyc] >=2.0"])
    else:
        settings = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
        extensions = mypycify([*settings, *(f"ldapgw/{name}.py" for name in COMPILED)])
        for extension in extensions:
            # Functions of one library call each other as they are, not as whatever another library may name likewise.
            extension.extra_compile_args.append("-fno-semantic-interposition")
        setup(ext_modules=extensions)
else:
    setup()
