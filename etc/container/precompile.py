# SPDX-License-Identifier: MIT
"""Imports all of ldapgw for the image's build: Python compiles only the modules that are imported.

The image's file system is read-only, so that a module without its compiled form is compiled at each start.
"""

import importlib
import pkgutil

import ldapgw
from ldapgw.server.reactor import install

# Twisted imports another reactor than the gateway's unless there is one.
install()
for module in pkgutil.walk_packages(ldapgw.__path__, "ldapgw."):
    # Alembic loads the migrations itself.
    if "migrations." not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
# SQLAlchemy imports a dialect only for a URL.
importlib.import_module("sqlalchemy.dialects.sqlite")
importlib.import_module("sqlalchemy.dialects.postgresql.psycopg")
