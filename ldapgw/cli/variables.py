# SPDX-License-Identifier: MIT
"""``variables``: lists the environment variables of the configuration, each with its meaning, form and default."""

from __future__ import annotations

import click
from msgspec.structs import fields

from ldapgw.cli.root import examples
from ldapgw.server.config.environment import PREFIX, file_variable
from ldapgw.server.config.forms import Secret
from ldapgw.server.config.load import expected_form
from ldapgw.server.config.tables import all_tables
from ldapgw.server.config.written import default_text, meanings


@click.command(epilog=examples("ldapgw variables"))
def variables() -> None:
    """List the environment variables of the configuration.

    Each line has a variable, its meaning, the form of its value, and the default in the notation of the file. NAME
    stands for the name of a tenant, in capitals and with an underscore for each hyphen.

    A variable with the suffix __FROM_FILE names a file that contains the value. A variable with the suffix _FILE does
    the same, unless the name with this suffix is the name of a key, such as CLIENT_SECRET_FILE. The line of a secret
    also has the variable for its file.
    """
    # A table has no variable, because each of its settings has a variable.  A tenant's name has no variable, because
    # the name is part of the names of the tenant's variables.
    without = {("tenant", "name"), *(path for path in all_tables() if len(path) == 1)}
    for path, table in all_tables().items():
        for field in fields(table) if len(path) < 2 else ():
            if (*path, field.name) in without:
                continue
            name = PREFIX + "__".join((*path, field.name)).replace("tenant__", "tenant__name__").upper()
            is_secret = isinstance(field.type, type) and issubclass(field.type, Secret)
            in_file = f" {file_variable(name)} names a file that contains the value." if is_secret else ""
            form, default = expected_form(field.type), default_text(field)
            meaning = meanings(table)[field.name].sentence.replace("``", "")
            click.echo(f"{name}: {meaning} Value: {form}. Default: {default}.{in_file}")
