# SPDX-License-Identifier: MIT
"""``disconnect`` and ``accounts remove``: end an account's grant at Google, and delete the account's data."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ldapgw.cli.confirm import confirm, yes_option
from ldapgw.cli.google import google_clients, run_in_reactor
from ldapgw.cli.help import examples
from ldapgw.cli.output import hint, print_line
from ldapgw.cli.site import Site, account_tenant, act, find_account, now, pass_site
from ldapgw.errors import GoogleError, UserError
from ldapgw.google.endpoints import Client
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts, activity, phones, revocations
from ldapgw.store.accounts import Account
from ldapgw.store.activity import Act
from ldapgw.store.copies import clean_copies
from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox


@click.command(epilog=examples("ldapgw disconnect alice@acme.example", "ldapgw disconnect alice@acme.example --yes"))
@click.argument("account")
@account_tenant
@yes_option
@pass_site
def disconnect(site: Site, account: str, tenant: str | None, *, yes: bool) -> None:
    """Revoke the access of ACCOUNT, and delete its contacts.

    Access is revoked at Google; tokens and contacts are deleted here. The account's phones stay, and find its
    contacts again once it's reconnected. Backups still contain them.
    """
    with site.open_store() as database:
        with database.begin() as connection:
            chosen = find_account(connection, account, tenant)
        if not chosen.is_connected:
            raise UserError(f"{chosen.address} is not connected")
        confirm(
            f"This disconnects {chosen.address}: access is revoked at Google, and {_contacts(chosen)} deleted here.",
            yes=yes,
        )
        error = _disconnect(site, database, chosen)
    if error:
        raise UserError(f"Disconnected {chosen.address} and deleted its tokens and contacts, but {error}")
    print_line(f"Disconnected {chosen.address}: access revoked at Google, tokens and contacts deleted.")


@click.command(
    name="remove",
    epilog=examples(
        "ldapgw accounts remove alice@acme.example --with-phones", "ldapgw accounts remove alice@acme.example --yes"
    ),
)
@click.argument("account")
@account_tenant
@click.option("--with-phones", is_flag=True, help="Also remove the account's phones. Otherwise they have no owner.")
@yes_option
@pass_site
def remove_account(site: Site, account: str, tenant: str | None, *, with_phones: bool, yes: bool) -> None:
    """Remove ACCOUNT and everything stored about it.

    For somebody who leaves. If it's connected, its access is revoked at Google first. Its phones stay unless you
    add --with-phones.
    """
    with site.open_store() as database:
        with database.begin() as connection:
            chosen = find_account(connection, account, tenant)
            owned = [login.name for login in phones.read_by_accounts(connection, [chosen.id])]
        confirm(f"This removes {chosen.address}: {_consequence(chosen, owned, with_phones=with_phones)}", yes=yes)
        error = _disconnect(site, database, chosen) if chosen.is_connected else ""
        with database.begin() as connection:
            entry = act(chosen.tenant, Act.ACCOUNT_REMOVED, chosen.address)
            activity.recorded(connection, entry, accounts.remove, chosen.id, with_phones=with_phones)
    if error:
        raise UserError(f"Removed {chosen.address}, but {error}")
    left = f" The phones {', '.join(owned)} belong to nobody now." if owned and not with_phones else ""
    gone = f" and {len(owned)} phone{'' if len(owned) == 1 else 's'}" if owned and with_phones else ""
    print_line(f"Removed {chosen.address}{gone}.{left}")
    if left:
        hint("! Give these phones new passwords (ldapgw phones reset NAME): the former owner may know the old ones.")


def _contacts(account: Account) -> str:
    return "its 1 contact is" if account.contacts == 1 else f"its {account.contacts} contacts are"


def _consequence(account: Account, owned: Sequence[str], *, with_phones: bool) -> str:
    revoked = "access is revoked at Google, " if account.is_connected else ""
    if not owned:
        return f"{revoked}{_contacts(account)} deleted here."
    stays = (
        "stop finding contacts immediately"
        if with_phones
        else "stay, and find only the shared books and the Workspace directory"
    )
    return f"{revoked}{_contacts(account)} deleted here. Its phones ({', '.join(owned)}) {stays}."


def _disconnect(site: Site, database: Database, account: Account) -> str:
    """Revoke an account's grant and delete its tokens and contacts.

    :returns: what could not be done at Google, and what happens next; empty: all was done.
    """
    error = _revoke(site, database, account)
    with database.begin() as connection:
        entry = act(account.tenant, Act.DISCONNECTED, account.address)
        activity.recorded(connection, entry, revocations.disconnect_account, account.id, now(), revoked=not error)
    site.book_cache.delete_account(account.id)
    disconnected = None if database.file else database.run(accounts.read_disconnected)
    for line in clean_copies(database.file or site.state_dir / DATABASE_FILE, now(), disconnected):
        hint(f"! {line}")
    return error and (
        f"its access is not revoked at Google yet ({error}). The gateway keeps trying for a day; the owner can do it "
        "at https://myaccount.google.com/permissions"
    )


def _revoke(site: Site, database: Database, account: Account) -> str:
    """Revoke the account's grant at Google, unless other tenants use the same grant.

    :returns: the error in a few words; empty: no error.
    """
    try:
        secret_box, clients = SecretBox.open(site.key_source, create=False), site.clients(database)
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
