# SPDX-License-Identifier: MIT
"""The configuration file (``docs/reference/configuration.rst``), strictly decoded once into a frozen `Config`."""

from ldapgw.server.config.environment import merge, read_settings
from ldapgw.server.config.forms import LogLevels, Networks
from ldapgw.server.config.load import DEFAULT_FILE, decode, load
from ldapgw.server.config.tables import BookFile, Config, Google, Ldap, Serve, Sync, Tenant, Tls, Web

__all__ = [
    "DEFAULT_FILE",
    "BookFile",
    "Config",
    "Google",
    "Ldap",
    "LogLevels",
    "Networks",
    "Serve",
    "Sync",
    "Tenant",
    "Tls",
    "Web",
    "decode",
    "load",
    "merge",
    "read_settings",
]
