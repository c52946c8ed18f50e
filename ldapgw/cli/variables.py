# SPDX-License-Identifier: MIT
"""``variables``: lists the environment variables of the configuration, each with its meaning, form and default."""

from __future__ import annotations

import re
from importlib.resources import files

import click
from msgspec.structs import fields

from ldapgw.cli.root import examples
from ldapgw.server.config.environment import PREFIX, TABLES, file_variable
from ldapgw.server.config.forms import Secret
from ldapgw.server.config.load import expected_form
from ldapgw.server.config.tables import default_text

# The line of a table or a setting in the sample configuration; the "#" is in front of a default and of an example.
_LINE = re.compile(r"#?(?:\[+(?P<table>[a-z_.]+)\]|(?P<key>[a-z_]+) = )")


@click.command(epilog=examples("ldapgw variables"))
def variables() -> None:
    """List the environment variables of the configuration.

    Each line has a variable, its meaning, the form of its value, and the default in the notation of the file. NAME
    stands for the name of a tenant, in capitals and with an underscore for each hyphen.

    With the suffix __FROM_FILE, a variable names a file that contains the value; so does the suffix _FILE, unless a key
    has this name. The line of a secret also has such a variable.
    """
    settings = {".".join((*path, field.name)): field for path, table in TABLES.items() for field in fields(table)}
    # Tables have no variables, and a tenant's name is part of the names of its variables.
    for path in ("tenant.name", *(name for (name,) in filter(None, TABLES))):
        del settings[path]
    for path, meaning in _meanings().items():
        if field := settings.get(path):
            name = PREFIX + path.replace("tenant.", "tenant.name.").replace(".", "__").upper()
            is_secret = isinstance(field.type, type) and issubclass(field.type, Secret)
            in_file = f" {file_variable(name)} names a file that contains the value." if is_secret else ""
            form, default = expected_form(field.type), default_text(field)
            click.echo(f"{name}: {meaning} Value: {form}. Default: {default}.{in_file}")


def _meanings() -> dict[str, str]:
    """Return the comments on the tables and settings of the sample, by paths such as ``ldap.size_limit``."""
    meanings: dict[str, str] = {}
    table, comment = "", ""
    for line in files("ldapgw.server.config").joinpath("ldapgw.toml").read_text("utf-8").splitlines():
        if line.startswith("# "):
            comment += line.removeprefix("#")
            continue
        if found := _LINE.match(line):
            table = found["table"] or table
            meanings[".".join(filter(None, (table, found["key"])))] = comment.strip()
        comment = ""
    return meanings
