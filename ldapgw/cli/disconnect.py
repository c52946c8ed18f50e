# SPDX-License-Identifier: MIT
"""``disconnect``: revokes an account's grant at Google and deletes its tokens and contacts."""

from __future__ import annotations

import click

from ldapgw.cli.google import google_clients, run_in_reactor
from ldapgw.cli.output import hint, print_line
from ldapgw.cli.site import Site, account_tenant, act, find_account, now, pass_site
from ldapgw.errors import GoogleError, UserError
from ldapgw.google.endpoints import Client
from ldapgw.store import accounts, activity, revocations
from ldapgw.store.accounts import Account
from ldapgw.store.activity import Act
from ldapgw.store.copies import clean_copies
from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox


@click.command()
@click.argument("account")
@account_tenant
@pass_site
def disconnect(site: Site, account: str, tenant: str | None) -> None:
    """Revoke the access of ACCOUNT at Google, and forget its tokens and contacts.

    The account's phones stay, and have its book again once it is connected again.  Backups keep what they hold.
    """
    with site.open_store() as database:
        with database.begin() as connection:
            chosen = find_account(connection, account, tenant)
        if not chosen.is_connected:
            raise UserError(f"{chosen.address} is not connected")
        error = _revoke(site, database, chosen)
        with database.begin() as connection:
            entry = act(chosen.tenant, Act.DISCONNECTED, chosen.address)
            activity.recorded(connection, entry, revocations.disconnect_account, chosen.id, now(), revoked=not error)
        site.book_cache.delete(chosen.id)
        for line in clean_copies(database.file, now()) if database.file else ():
            hint(f"! {line}")
    if error:
        raise UserError(
            f"{chosen.address} is disconnected, its tokens and contacts are forgotten, but its access is not revoked "
            f"at Google ({error}); the gateway tries it for a day, and its owner can do it on "
            "https://myaccount.google.com/permissions"
        )
    print_line(f"{chosen.address} is disconnected: revoked at Google, tokens and contacts forgotten.")


def _revoke(site: Site, database: Database, account: Account) -> str:
    """Revoke the account's grant at Google, unless other tenants use the same grant.

    :returns: the error in a few words; empty: no error.
    """
    try:
        secret_box, clients = SecretBox.open(site.key_file, create=False), site.clients(database)
        with database.begin() as connection:
            tokens = accounts.read_tokens(connection, secret_box, account.id)
            is_shared = revocations.is_shared(connection, _sharers(clients, account.tenant), account.sub)
        if tokens is not None and not is_shared:
            oauth = google_clients(site.config).oauth
            run_in_reactor(lambda _: oauth.revoke(tokens.refresh_token))
    except GoogleError as error:
        return f"{error.code}: {error.detail}"
    except UserError as error:
        return error.problems[0]
    return ""


def _sharers(clients: dict[str, Client], tenant: str) -> list[str]:
    """The other tenants whose clients share their grants with a tenant's client."""
    client = clients.pop(tenant, None)
    return [name for name, other in clients.items() if client is not None and client.shares_grants_with(other)]
