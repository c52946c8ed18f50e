# SPDX-License-Identifier: MIT
"""``disconnect``: gives a grant back to Google, and forgets what came of it."""

from __future__ import annotations

import click

from ldapgw.cli.google import oauth, run_in_reactor
from ldapgw.cli.options import account_tenant, pass_site
from ldapgw.cli.output import print_line
from ldapgw.cli.site import Site, find_account, now
from ldapgw.errors import GoogleError, StoreError, UserError
from ldapgw.google.endpoints import Client
from ldapgw.store import accounts, revocations
from ldapgw.store.accounts import Account
from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox


@click.command()
@click.argument("account")
@account_tenant
@pass_site
def disconnect(site: Site, account: str, tenant: str | None) -> None:
    """Revoke the access of ACCOUNT at Google, and forget its tokens and contacts.

    The account's phones stay, and have its book again once it is connected again.
    """
    with site.open_store() as database:
        with database.begin() as connection:
            found = find_account(connection, account, tenant)
        if not found.is_connected:
            raise UserError(f"{found.address} is not connected")
        trouble = _revoke(site, database, found)
        with database.begin() as connection:
            revocations.disconnect_account(connection, found.id, now(), revoked=not trouble)
        site.images.delete(found.id)
    if trouble:
        raise UserError(
            f"{found.address} is disconnected, its tokens and contacts are forgotten, but its access is not revoked at "
            f"Google ({trouble}); the gateway tries it for a day, and its owner can do it on "
            "https://myaccount.google.com/permissions"
        )
    print_line(f"{found.address} is disconnected: revoked at Google, tokens and contacts forgotten.")


def _revoke(site: Site, database: Database, account: Account) -> str:
    """Give the grant back; what went wrong, in a few words, empty if nothing did."""
    try:
        vault, clients = SecretBox.open(site.key_file, create=False), site.clients(database)
        with database.begin() as connection:
            held = accounts.read_tokens(connection, vault, account.id)
            is_shared = revocations.is_shared(connection, _sharers(clients, account.tenant), account.sub)
        if held is not None and not is_shared:
            run_in_reactor(lambda reactor: oauth(site.config, reactor).revoke(held.refresh_token))
    except GoogleError as error:
        return f"{error.code}: {error.detail}"
    except StoreError as error:
        return error.problems[0]
    return ""


def _sharers(clients: dict[str, Client], tenant: str) -> list[str]:
    """The other tenants that a grant to a tenant's client counts for."""
    its = clients.pop(tenant, None)
    return [name for name, other in clients.items() if its is not None and its.shares_grants_with(other)]
