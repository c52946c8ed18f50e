# SPDX-License-Identifier: MIT
"""``accounts``, ``share`` and ``disconnect``: list, share, disconnect and remove the accounts.

``accounts`` also shows the state of each account's syncs.  ``disconnect`` and ``accounts remove`` revoke an account's
grant at Google, and delete the account's data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import click
from sqlalchemy import Connection

from ldapgw.cli.output import confirm, counted, hint, local_time, print_json, print_line, print_table, yes_option
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, account_tenant, act, as_json, find_account, now, pass_site
from ldapgw.contact import Sharing
from ldapgw.directory.dn import folded
from ldapgw.errors import GoogleError, StoreError, UserError
from ldapgw.server.state_dir import DATABASE_FILE
from ldapgw.store import accounts as stored
from ldapgw.store import activity, phones
from ldapgw.store.account_status import account_to_json, rejected_phones, with_database_error
from ldapgw.store.accounts import Account
from ldapgw.store.activity import Act, ActivityEntry
from ldapgw.store.contacts import read_labels
from ldapgw.store.database import Database, check_writable
from ldapgw.store.phones import Refusal
from ldapgw.store.secrets import SecretBox

_WITHOUT_KEY = "Without the key, the gateway can't revoke the access either"

SIGNS = {"ok": "✓", "syncing": "✓", "waiting": "…", "attention": "!", "disconnected": "✗"}

_SEEN_BY = {
    Sharing.PRIVATE: "only its own phones find its contacts",
    Sharing.CALLERS: "others' phones show the names of callers from its contacts, and nothing else",
    Sharing.SHARED: "all phones of the tenant find its contacts",
}


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "ldapgw accounts", "ldapgw accounts --wide", "ldapgw accounts remove alice@acme.example --with-phones"
    ),
)
@click.option("--tenant", metavar="T", help="List only this tenant's accounts.")
@click.option("--wide", is_flag=True, help="Show all columns, however wide the terminal is.")
@as_json
@pass_site
@click.pass_context
def accounts(ctx: click.Context, site: Site, tenant: str | None, *, wide: bool, as_json: bool) -> None:
    """List the accounts and what needs action, or remove an account."""
    if ctx.invoked_subcommand is not None:
        return
    if tenant is not None:
        site.tenant(tenant)
    with site.open_store() as database:
        with database.begin() as connection:
            known = stored.read_all(connection, tenant)
            rejected = rejected_phones(phones.read_all(connection), now())
        write_error = _write_error(database)
    since = now() if write_error else None
    known = tuple(with_database_error(account, since) for account in known)
    objects = account_objects(site, known, rejected)
    if as_json:
        print_json(objects)
    elif not known:
        hint(f"There are no accounts yet. Connect one at {site.config.web.public_url}/")
    else:
        _print(site, known, objects, write_error, wide=wide)


def account_objects(
    site: Site, known: Collection[Account], rejected: Mapping[int | None, Sequence[tuple[str, Refusal]]]
) -> list[dict[str, Any]]:
    """Return the account objects of ``status.json``.

    :param rejected: the phones with a wrong password, by their account's id (`rejected_phones`).
    """
    validity, objects = site.certificate_validity, []
    certificate_ends = validity.expiry_if_near(now()) if validity else None
    for account in known:
        tenant, page = site.find_tenant(account.tenant), site.page(account.tenant)
        sources, refused = tenant.sources if tenant else (), rejected.get(account.id, ())
        objects.append(account_to_json(account, sources, page, now(), certificate_ends, rejected=refused))
    return objects


def _write_error(database: Database) -> str:
    """Return the reason why a readable database cannot be written to; empty if the database can be written to."""
    try:
        with database.begin() as connection:
            check_writable(connection, thoroughly=False)
    except StoreError as error:
        return error.problems[0]
    return ""


def _read_sharing(_context: click.Context, _parameter: click.Parameter, text: str) -> Sharing:
    """Read the argument that says with whom a book is shared.

    :raises click.BadParameter: when the argument is none of the allowed values.
    """
    try:
        return Sharing(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not one of {', '.join(_SEEN_BY)}, group:NAME") from None


@click.command(
    epilog=examples(
        "ldapgw share alice@acme.example shared",
        "ldapgw share alice@acme.example callers --label Customers",
        "ldapgw share alice@acme.example shared --all-contacts",
        "ldapgw share alice@acme.example private",
    )
)
@click.argument("account")
@click.argument("sharing", metavar="private|callers|group:NAME|shared", callback=_read_sharing)
@click.option("--label", metavar="NAME", default="", help="Share only the contacts with this Google label.")
@click.option("--all-contacts", is_flag=True, help="Share all contacts, even if only those with a label were shared.")
@account_tenant
@pass_site
def share(site: Site, account: str, sharing: Sharing, label: str, tenant: str | None, *, all_contacts: bool) -> None:
    """Choose whose phones find the contacts of ACCOUNT.

    The account's own phones always find the contacts.

    private: no other phones. callers: all phones of the tenant, but only to show who is calling. group:NAME: the
    phones of the accounts in a group of the configuration. shared: all phones of the tenant.

    An account that shares only the contacts with one label keeps the label, unless you choose --label or
    --all-contacts. A private account without a label gets the shared_label of its tenant.
    """
    if label and all_contacts:
        raise click.UsageError("Choose one of --label NAME and --all-contacts.")
    with site.open_store() as database, database.begin() as connection:
        chosen_account = find_account(connection, account, tenant)
        _check_group(sharing, site, chosen_account.tenant)
        if sharing is Sharing.PRIVATE and (label or all_contacts):
            options = "--label and --all-contacts"
            raise UserError(f"a private book shares no contacts; leave out {options}, or do not choose private")
        if label:
            _check_label(connection, chosen_account, label)
        elif not all_contacts:
            configured = site.find_tenant(chosen_account.tenant)
            label = chosen_account.label_to_share(configured.shared_label if configured else "")
        entry = act(chosen_account.tenant, Act.SHARING_CHANGED, chosen_account.address, sharing.value)
        activity.recorded(connection, entry, stored.set_sharing, chosen_account.id, sharing, label)
    seen_by = _SEEN_BY.get(sharing, f"its own phones and those of the group {sharing.group} find its contacts")
    of_label = f" (only those with the label {label})" if label and sharing is not Sharing.PRIVATE else ""
    print_line(f"{chosen_account.address} is now {sharing.value}: {seen_by}{of_label}.")


def _check_label(connection: Connection, account: Account, label: str) -> None:
    """Refuse a label that an account does not have.

    :raises UserError: when the account has no such label.
    """
    labels = sorted(read_labels(connection, account.id).values(), key=str.casefold)
    if folded(label) not in map(folded, labels):
        known = f"there are: {', '.join(labels)}" if labels else "it has none"
        raise UserError(f'{account.address} has no label "{label}" in Google Contacts; {known}')


def _check_group(sharing: Sharing, site: Site, tenant: str) -> None:
    """Refuse to share a book with a group that its tenant does not have.

    :raises UserError: when the tenant has no such group.
    """
    configured = site.find_tenant(tenant)
    groups = [group.name for group in configured.group] if configured else []
    if sharing.group and sharing.group not in groups:
        known = f"there are: {', '.join(groups)}" if groups else "it has none; add a [[tenant.group]]"
        raise UserError(f'tenant "{tenant}" has no group "{sharing.group}"; {known}', is_setting=True)


def _print(
    site: Site, known: Collection[Account], objects: Collection[dict[str, Any]], write_error: str, *, wide: bool
) -> None:
    """Print the table of accounts and a line for each problem.

    :param write_error: the reason why the database cannot be written to, which concerns all accounts.
    """
    several = wide or len({account.tenant for account in known} | {tenant.name for tenant in site.config.tenant}) > 1
    tenant_column = ("tenant",) if several else ()
    more = ("numbers#", "next sync") if wide else ()
    columns = ("", "account", *tenant_column, "state", "sharing", "contacts#", "last sync", *more)
    rows = (
        (
            SIGNS[item["state"]],
            account.address,
            *([account.tenant] if several else []),
            item["state"],
            account.sharing.value + (f" (label {item['shared_label']})" if item["shared_label"] else ""),
            str(account.contacts),
            local_time(account.last_sync, now()),
            *([str(account.numbers), local_time(account.next_sync, now())] if wide else []),
        )
        for account, item in zip(known, objects, strict=True)
    )
    print_table(columns, rows, keep=("", "account"), wide=wide)
    if write_error:
        print_line(f"! database: {write_error}")
        return
    for line in problem_lines(known, objects):
        print_line(line)


def problem_lines(known: Collection[Account], objects: Collection[dict[str, Any]]) -> Iterator[str]:
    """Yield each account's problems with their remedies; a problem of the whole tenant is reported once."""
    reported: set[str] = set()
    for account, item in zip(known, objects, strict=True):
        alarm, error = account.alarm, item["error"]
        for problem in (*([error] if error else ()), *item["warnings"]):
            is_alarm = alarm is not None and problem["code"] == alarm.code
            if is_alarm and account.tenant in reported:
                continue
            who = f"tenant {account.tenant}" if is_alarm else account.address
            status = alarm if is_alarm else account.error if problem is error else None
            since = f" (since {local_time(status.since, now())})" if status else ""
            yield f"! {who}: {problem['message']}{since}"
        if alarm is not None:
            reported.add(account.tenant)
        skipped = {reason: count for reason, count in item["skipped"].items() if reason != "flawed"}
        if skipped:
            reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in skipped.items())
            yield f"  {account.address}: skipped: {reasons}"
        if flawed := item["skipped"].get("flawed"):
            yield f"  {account.address}: contacts to correct in Google Contacts (see the account's page): {flawed}"


@click.command(epilog=examples("ldapgw disconnect alice@acme.example", "ldapgw disconnect alice@acme.example --yes"))
@click.argument("account")
@account_tenant
@yes_option
@pass_site
def disconnect(site: Site, account: str, tenant: str | None, *, yes: bool) -> None:
    """Revoke the access of ACCOUNT, and delete its contacts.

    Access is revoked at Google; tokens and contacts are deleted here. The account's phones stay, and find its
    contacts again once the account is reconnected. Backups still contain the contacts.
    """
    with site.open_store() as database:
        with database.begin() as connection:
            chosen = find_account(connection, account, tenant)
        if not chosen.is_connected:
            raise UserError(f"{chosen.address} is not connected")
        confirm(
            f"This disconnects {chosen.address}: {_revoked(chosen, 'access is revoked at Google, and ')}"
            f"{_contacts(chosen)} deleted here.",
            yes=yes,
        )
        entry = act(chosen.tenant, Act.DISCONNECTED, chosen.address)
        is_revoked, error = _disconnect(site, database, chosen, entry)
    if error:
        raise UserError(f"Disconnected {chosen.address} and deleted its tokens and contacts, but {error}")
    revoked = "access revoked at Google, " if is_revoked else ""
    print_line(f"Disconnected {chosen.address}: {revoked}tokens and contacts deleted.")
    _warn_of_delegation(chosen)


@accounts.command(
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
    """Remove ACCOUNT and everything stored about the account.

    Use this command when somebody leaves. If the account is connected, its access is also revoked at Google.
    The account's phones stay unless you add --with-phones.
    """
    with site.open_store() as database:
        with database.begin() as connection:
            chosen = find_account(connection, account, tenant)
            logins = phones.read_by_accounts(connection, [chosen.id])
        owned = [login.name for login in logins if len(login.account_ids) == 1]
        shared = [login.name for login in logins if len(login.account_ids) > 1]
        confirm(f"This removes {chosen.address}: {_consequence(chosen, owned, with_phones=with_phones)}", yes=yes)
        entry = act(chosen.tenant, Act.ACCOUNT_REMOVED, chosen.address)
        _, error = _disconnect(site, database, chosen, entry, with_phones=with_phones)
    left = f" The phones {', '.join(owned)} belong to nobody now." if owned and not with_phones else ""
    left += f" The phones {', '.join(shared)} stay with their other owners." if shared else ""
    gone = f" and {counted(len(owned), 'phone')}" if owned and with_phones else ""
    print_line(f"Removed {chosen.address}{gone}.{left}")
    if left:
        hint("! Give these phones new passwords (ldapgw phones reset NAME): the former owner may know the old ones.")
    _warn_of_delegation(chosen)
    if error:
        raise UserError(f"Removed {chosen.address}, but {error}")


def _revoked(account: Account, words: str) -> str:
    """Return `words` if the account has a consent that can be revoked, or else an empty text."""
    return words if account.has_consent else ""


def _warn_of_delegation(account: Account) -> None:
    if account.delegated:
        hint(
            f"! If Google Workspace still has this user, the service account of {account.tenant} reads the contacts "
            f"again within an hour, unless {account.address} is in the setting exclude."
        )


def _contacts(account: Account) -> str:
    return "its 1 contact is" if account.contacts == 1 else f"its {account.contacts} contacts are"


def _consequence(account: Account, owned: Sequence[str], *, with_phones: bool) -> str:
    revoked = _revoked(account, "access is revoked at Google, ")
    if not owned:
        return f"{revoked}{_contacts(account)} deleted here."
    stays = (
        "stop finding contacts immediately"
        if with_phones
        else "stay, and find only the shared books and the Workspace directory"
    )
    return f"{revoked}{_contacts(account)} deleted here. Its phones ({', '.join(owned)}) {stays}."


def _disconnect(
    site: Site, database: Database, account: Account, entry: ActivityEntry, *, with_phones: bool | None = None
) -> tuple[bool, str]:
    """Disconnect or remove an account, and then revoke its grant.

    :param with_phones: see `ldapgw.store.revocations.end_account`.
    :returns: whether the grant was revoked, and a text that says what could not be done at Google and what happens
        next; the text is empty if nothing failed.
    """
    # The modules are imported here, so that the commands that disconnect nobody are quicker.
    from ldapgw.store.copies import clean_copies
    from ldapgw.store.revocations import end_account

    # The account is removed from the copies of the database before the database itself is changed.  In the other order,
    # the account would stay in the copies if the command ended early: a gateway that starts cleans the copies too, but
    # does not know an account that is no longer in the database.
    try:
        lines = clean_copies(database.file or site.state.path / DATABASE_FILE, now(), [account.identity])
    except OSError as reason:
        lines = [f"the copies of the database cannot be cleaned: {reason.strerror}"]
    for line in lines:
        hint(f"! {line}")
    revocation_id = database.run(end_account, account.id, entry, with_phones=with_phones)
    site.book_cache.delete_account(account.id)
    is_revoked, error = (False, "") if revocation_id is None else _revoke(site, database, account, revocation_id)
    return is_revoked, error and (
        f"its access is not revoked at Google {error}; the owner can do it at https://myaccount.google.com/permissions"
    )


def _revoke(site: Site, database: Database, account: Account, revocation_id: int) -> tuple[bool, str]:
    """Revoke the grant of a disconnected account at Google, unless a connected account uses the same grant.

    :returns: whether the grant was revoked, and a text about the error for the caller's message.  The text names the
        error, and says what the gateway does next.  The text is empty if there is no error.
    """
    from ldapgw.store import revocations

    try:
        secret_box = SecretBox.open(site.state.key_source, create=False)
        with database.begin() as connection:
            pending = revocations.read(connection, secret_box, revocation_id)
            client_id = account.client_id if pending is None else pending.client_id
            is_in_use = revocations.is_shared(connection, client_id, account.sub)
            is_pending = revocations.is_pending(connection, revocation_id)
        if not is_pending and not is_in_use:  # a running gateway has revoked the grant meanwhile
            return True, ""
        if is_in_use:
            hint(
                "! The access at Google is not revoked: the account was connected again in the meantime, or another "
                "tenant uses the same Google account."
            )
        elif pending is None:
            return False, f"({site.state.key_source.name}: does not fit the stored consent). {_WITHOUT_KEY}"
        else:
            # The module is imported here, so that commands that send no request to Google start faster.
            from ldapgw.cli.site import google_clients, run_in_reactor

            oauth, token = google_clients(site.config).oauth, pending.token
            run_in_reactor(lambda _: oauth.revoke(token))
    except StoreError as error:
        return False, f"({error.problems[0]}). {_WITHOUT_KEY}"
    except (GoogleError, UserError) as error:
        reason = error.problems[0] if isinstance(error, UserError) else f"{error.code}: {error.detail}"
        return False, f"yet ({reason}). The gateway keeps trying for a day"
    database.run(revocations.remove, revocation_id)
    return not is_in_use, ""
