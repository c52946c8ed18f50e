# SPDX-License-Identifier: MIT
"""Options and argument checks that several commands share."""

from __future__ import annotations

import click

from ldapgw.cli.site import Site
from ldapgw.store.phones import is_valid_name

pass_site = click.make_pass_decorator(Site)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

account_tenant = click.option(
    "--tenant", metavar="T", help="The tenant, where the address is an account in several of them."
)

only_tenant = click.option("--tenant", metavar="T", help="The tenant; may be left out where there is only one.")


def phone_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Check the name of a phone, which is part of a DN, of URLs and of the names of provisioning files.

    :raises click.BadParameter: when the name is not valid.
    """
    if not is_valid_name(value):
        raise click.BadParameter("expected 1 to 64 letters a-z, digits, dots, underscores and hyphens", ctx, param)
    return value
