# SPDX-License-Identifier: MIT
"""``admin-link``: prints a one-time link that opens a tenant's administration before anybody can sign in."""

from __future__ import annotations

import secrets

import click

from ldapgw.cli.help import examples
from ldapgw.cli.output import hint, print_json, print_line
from ldapgw.cli.site import Site, act, as_json, now, only_tenant, pass_site
from ldapgw.store import activity, sign_ins
from ldapgw.store.account_status import timestamp
from ldapgw.store.activity import Act
from ldapgw.store.database import Database
from ldapgw.store.sign_ins import LINK_SECONDS


@click.command(epilog=examples("ldapgw admin-link", "ldapgw admin-link --tenant acme --json"))
@only_tenant
@as_json
@pass_site
def admin_link(site: Site, tenant: str | None, *, as_json: bool) -> None:
    """Print a one-time link to the administration of a tenant.

    It works within an hour. Use it before anybody can sign in. Later, the tenant's admins sign in on its page.
    """
    name = site.tenant(tenant).name
    created_at = now()
    with site.create_store() as database:
        link = make_admin_link(site, database, name, created_at)
    if as_json:
        print_json({"link": link, "tenant": name, "expires": timestamp(created_at + LINK_SECONDS)})
        return
    print_line(link)
    hint("Open it in a browser. It works once, within an hour.")


def make_admin_link(site: Site, database: Database, tenant: str, created_at: float) -> str:
    """Make a link that opens the administration of a tenant once, within an hour."""
    token = secrets.token_urlsafe(32)
    with database.begin() as connection:
        entry = act(tenant, Act.ADMIN_LINK_MADE)
        activity.recorded(connection, entry, sign_ins.make_admin_link, token, tenant, created_at)
    return f"{site.page(tenant)}link?key={token}"
