# SPDX-License-Identifier: MIT
"""``phones``: adds, lists, tests, changes and removes the logins of desk phones, and prints their settings.

A new password is shown once, and so is the settings file that has it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click
from sqlalchemy import Connection

from ldapgw.cli.confirm import confirm, yes_option
from ldapgw.cli.google import run_in_reactor
from ldapgw.cli.help import examples
from ldapgw.cli.output import NEVER, hint, local_time, new_file, print_json, print_line, print_table
from ldapgw.cli.phones_import import import_phones
from ldapgw.cli.replicas import add_replica, find_replica, print_replica, print_replicas, replica_json
from ldapgw.cli.site import Site, act, as_json, find_account, now, only_tenant, pass_site, phone_name
from ldapgw.directory.access import generate_password, hash_password, phone_dn
from ldapgw.directory.dn import Dn
from ldapgw.directory.number_formatter import PHONE_FORMATS
from ldapgw.errors import UserError
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.connection_test import ConnectionSettings, StepStatus
from ldapgw.phones.hints import Hint, PhoneCondition, PhoneProfile, hint_text, phone_condition
from ldapgw.phones.models import MODELS, OTHER_MODEL
from ldapgw.phones.provisioning.other import OTHER
from ldapgw.phones.provisioning.settings import PLACEHOLDERS, choose_endpoint
from ldapgw.phones.provisioning.sheet import Sheet, Vendor, make_sheet, settings_of
from ldapgw.phones.provisioning.vendors import VENDORS, vendors_of
from ldapgw.server.config import Tenant
from ldapgw.server.listener import ldap_url, phone_server
from ldapgw.store import accounts, activity
from ldapgw.store import phones as stored
from ldapgw.store.account_status import timestamp
from ldapgw.store.activity import Act
from ldapgw.store.phones import NumberMode, PhoneLogin, Refusal, wrong_password

# What is no text is no password and no certificate, and is said to be none.
_TEXT_FILE = click.File(encoding="utf-8", errors="replace")


def _phone_format(_context: click.Context, _parameter: click.Parameter, value: str | None) -> NumberFormat | None:
    """Check the format of a phone's numbers."""
    if value is not None and value not in PHONE_FORMATS:
        raise click.BadParameter(
            f"{value} is a format for a whole tenant (number_format in the configuration); "
            f"a phone can have {', '.join(PHONE_FORMATS)}"
        )
    return None if value is None else NumberFormat(value)


_placeholder = click.option(
    "--placeholder",
    type=click.Choice(PLACEHOLDERS),
    metavar="SIGN",
    help=f"For model {OTHER_MODEL}: the placeholder in the phone's filters for the text that you type: "
    f"{' '.join(PLACEHOLDERS)}. "
    "Put it in single quotes. Default: not known.",
)


@click.group(
    epilog=examples(
        "ldapgw phones add desk1 --account alice@acme.example --model yealink",
        "ldapgw phones list",
        "ldapgw phones test desk1",
    )
)
def phones() -> None:
    """Add, list, test, change and remove phones."""


phones.add_command(import_phones)


@phones.command(
    epilog=examples(
        "ldapgw phones add desk1 --account alice@acme.example --model yealink",
        "ldapgw phones add lobby --model snom --settings lobby.xml",
        "ldapgw phones add desk2 --model other --placeholder '%s' --json",
        "ldapgw phones add --replica branch1",
    )
)
@click.argument("name", callback=phone_name)
@only_tenant
@click.option(
    "--account",
    metavar="ADDRESS",
    help="The phone's owner. Without one, it finds only the shared books and the Workspace directory.",
)
@click.option(
    "--model",
    type=click.Choice([*MODELS, OTHER_MODEL], case_sensitive=False),
    metavar="MODEL",
    help=f"The phone's vendor: {', '.join(MODELS)}, or {OTHER_MODEL} (the default).",
)
@_placeholder
@click.option(
    "--numbers",
    type=click.Choice([numbers.value for numbers in NumberMode]),
    help="Return one entry per contact (values) or one entry per number (entries), for phones that show only one "
    "number. Default: what the model needs.",
)
@click.option(
    "--number-format",
    type=click.Choice([*NumberFormat], case_sensitive=False),
    callback=_phone_format,
    metavar="FORMAT",
    help=f"How this phone gets numbers: {', '.join(PHONE_FORMATS)}. Default: the tenant's number_format.",
)
@click.option("--settings", "target", metavar="FILE", help="Write the model's settings to FILE; -: to standard output.")
@click.option("--replica", is_flag=True, help="Add the login of an OpenLDAP replica instead of a phone.")
@click.option(
    "--private", is_flag=True, help="The replica holds private books too. Each person's page says that a copy exists."
)
@click.option(
    "--no-extra-values", is_flag=True, help="Don't add other number formats and folded names to the replica's entries."
)
@as_json
@pass_site
def add(
    site: Site,
    name: str,
    tenant: str | None,
    *,
    account: str | None,
    model: str | None,
    placeholder: str | None,
    numbers: str | None,
    number_format: NumberFormat | None,
    target: str | None,
    replica: bool,
    private: bool,
    no_extra_values: bool,
    as_json: bool,
) -> None:
    """Add a phone, and print its login and its settings.

    The password is shown only once.
    """
    if replica:
        if any(option is not None for option in (account, model, placeholder, numbers, number_format, target)):
            raise click.UsageError("A replica has no owner, model, numbers or settings: see ldapgw replica-config.")
        add_replica(site, name, tenant, private=private, extra_values=not no_extra_values, as_json=as_json)
        return
    if private or no_extra_values:
        raise click.UsageError("--private and --no-extra-values are options of a --replica.")
    chosen = site.tenant(tenant)
    model = "" if model in (None, OTHER_MODEL) else str(model)
    _check_placeholder(model, placeholder)
    password = generate_password(os.urandom)
    _check_target(target, as_json=as_json)
    with _target_file(target) as file:
        with site.create_store() as database, database.begin() as connection:
            owner = find_account(connection, account, chosen.name) if account is not None else None
            login = PhoneLogin(
                name=name,
                tenant=chosen.name,
                account_id=owner.id if owner else None,
                numbers=NumberMode(numbers) if numbers else _numbers_for(model),
                model=model,
                password=hash_password(password, os.urandom),
                created_at=now(),
                number_format=number_format,
                placeholder=placeholder or "",
            )
            if not activity.recorded(connection, act(chosen.name, Act.PHONE_ADDED, name), stored.add, login):
                raise UserError(f"a phone named {name} already exists; names are unique on a gateway, in any case")
        sheet = _sheet(site, login, vendors_of(model)[0], password)
        if file is not None:
            os.write(file, sheet.printed.encode())
    _print_login(site, login, owner.address if owner else None, password, sheet, target=target, as_json=as_json)


@phones.command(name="list", epilog=examples("ldapgw phones list", "ldapgw phones list --wide"))
@click.option("--tenant", metavar="T", help="List only this tenant's phones.")
@click.option("--wide", is_flag=True, help="Show all columns, however wide the terminal is.")
@as_json
@pass_site
def list_phones(site: Site, tenant: str | None, *, wide: bool, as_json: bool) -> None:
    """List the phones, and what to fix in their settings."""
    if tenant is not None:
        site.tenant(tenant)
    with site.open_store() as database, database.begin() as connection:
        found = [login for login in stored.read_logins(connection) if tenant in (None, login.tenant)]
        addresses = _addresses(connection)
    logins = [login for login in found if login.replica is None]
    replicas = [login for login in found if login.replica is not None]
    if as_json:
        listed = [_json_object(site, login, addresses) for login in logins]
        print_json([*listed, *(replica_json(_tenant_of(site, login), login) for login in replicas)])
        return
    if not logins:
        hint("There are no phones yet. Add one with: ldapgw phones add NAME")
    else:
        _print_phones(site, logins, addresses, wide=wide)
    if replicas:
        print_replicas(replicas)


@phones.command(
    epilog=examples(
        "ldapgw phones settings desk1",
        "ldapgw phones settings desk1 --password-file desk1.password --output desk1.cfg",
        "ldapgw phones settings desk1 --model snom",
        "ldapgw phones settings desk2 --placeholder '#'",
    )
)
@click.argument("name")
@click.option(
    "--model",
    type=click.Choice([*dict.fromkeys((*MODELS, *VENDORS))], case_sensitive=False),
    metavar="MODEL",
    help="Print the settings for this model instead of the phone's own.",
)
@_placeholder
@click.option("--output", "-o", "target", metavar="FILE", default="-", help="Write to FILE; -: to standard output.")
@click.option("--password-file", type=_TEXT_FILE, help="A file with the phone's password on its first line.")
@as_json
@pass_site
def settings(
    site: Site,
    name: str,
    *,
    model: str | None,
    placeholder: str | None,
    target: str,
    password_file: TextIO | None,
    as_json: bool,
) -> None:
    """Print the settings of a phone for its model.

    It's the same file as on the phone's page. The gateway doesn't know the password: without --password-file,
    the settings have the word PASSWORD instead.
    """
    _check_target(target if target != "-" else None, as_json=as_json)
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
    vendor = vendors_of(login.model)[0] if model is None else VENDORS.get(model) or vendors_of(model)[0]
    _check_placeholder("" if vendor is OTHER else vendor.key, placeholder)
    login = login if placeholder is None else replace(login, placeholder=placeholder)
    sheet = _sheet(site, login, vendor, password_file.readline().strip() if password_file else "")
    if sheet.link is None:
        raise UserError(f"{login.name} can't connect: {_no_protection(vendor)}")
    if as_json:
        print_json(_settings_json(sheet))
        return
    with _target_file(target) as file:
        if file is None:
            click.echo(sheet.printed.encode(), nl=False)
        else:
            os.write(file, sheet.printed.encode())


@phones.command(epilog=examples("ldapgw phones rename desk1 reception"))
@click.argument("name", metavar="OLD")
@click.argument("new_name", metavar="NEW", callback=phone_name)
@pass_site
def rename(site: Site, name: str, new_name: str) -> None:
    """Rename a phone.

    The name is the phone's user name too: enter the new one in the phone. The password stays the same.
    """
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
        entry = act(login.tenant, Act.PHONE_RENAMED, login.name, new_name)
        if not activity.recorded(connection, entry, stored.rename, login.name, new_name):
            raise UserError(f"a phone named {new_name} already exists; names are unique on a gateway, in any case")
    print_line(f"Renamed {login.name} to {new_name}. Enter {new_name} as the user name in the phone.")


@phones.command(
    epilog=examples("ldapgw phones move desk1 --account bob@acme.example", "ldapgw phones move desk1 --nobody")
)
@click.argument("name")
@click.option("--account", metavar="ADDRESS", help="The new owner.")
@click.option(
    "--nobody",
    is_flag=True,
    help="Remove the owner: the phone finds only the shared books and the Workspace directory.",
)
@pass_site
def move(site: Site, name: str, *, account: str | None, nobody: bool) -> None:
    """Give a phone to another account, or to nobody. Its login stays the same."""
    if (account is None) != nobody:
        raise click.UsageError("Choose one of --account ADDRESS and --nobody.")
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
        owner = find_account(connection, account, login.tenant) if account is not None else None
        entry = act(login.tenant, Act.PHONE_MOVED, login.name, owner.address if owner else "")
        activity.recorded(connection, entry, stored.set_owner, login.name, owner.id if owner else None)
    nobody_finds = "it finds only the shared books and the Workspace directory"
    found = f"{owner.address}: it finds that account's contacts" if owner else f"nobody: {nobody_finds}"
    print_line(f"{login.name} now belongs to {found}.")


@phones.command(epilog=examples("ldapgw phones remove desk1", "ldapgw phones remove desk1 --yes"))
@click.argument("name")
@yes_option
@pass_site
def remove(site: Site, name: str, *, yes: bool) -> None:
    """Remove a phone, or the login of a replica. It stops finding contacts immediately."""
    with site.open_store() as database:
        with database.begin() as connection:
            replica = find_replica(connection, name)
            login = replica or find_phone(connection, name)
        if replica is not None:
            question = (
                f"This removes the login of the replica {login.name}; the replica keeps its copy until you delete it."
            )
        else:
            question = f"This removes the phone {login.name}: it stops finding contacts immediately."
        confirm(question, yes=yes)
        with database.begin() as connection:
            entry = act(login.tenant, Act.REPLICA_REMOVED if replica else Act.PHONE_REMOVED, login.name)
            activity.recorded(connection, entry, stored.remove, login.name)
    print_line(f"Removed {login.name}.")


@phones.command(epilog=examples("ldapgw phones reset desk1", "ldapgw phones reset desk1 --yes --json"))
@click.argument("name")
@yes_option
@as_json
@pass_site
def reset(site: Site, name: str, *, yes: bool, as_json: bool) -> None:
    """Give a phone, or the login of a replica, a new password. The old one stops working immediately."""
    password = generate_password(os.urandom)
    with site.open_store() as database:
        with database.begin() as connection:
            replica = find_replica(connection, name)
            login = replica or find_phone(connection, name)
            address = _addresses(connection).get(login.account_id)
        site.tenant(login.tenant)
        confirm(
            f"This gives {login.name} a new password: it gets no changes until its configuration has the new password."
            if replica
            else f"This gives {login.name} a new password: it finds no contacts until you enter the new password in "
            "the phone.",
            yes=yes,
        )
        with database.begin() as connection:
            entry = act(login.tenant, Act.REPLICA_PASSWORD if replica else Act.PHONE_PASSWORD, login.name)
            hashed = hash_password(password, os.urandom)
            activity.recorded(connection, entry, stored.set_password, login.name, hashed)
    if replica is not None:
        print_replica(site, replica, password, as_json=as_json)
        return
    sheet = _sheet(site, login, vendors_of(login.model)[0], password)
    _print_login(site, login, address, password, sheet, as_json=as_json)


@phones.command(
    name="test",
    epilog=examples("ldapgw phones test desk1", "ldapgw phones test desk1 --password-file desk1.password --json"),
)
@click.argument("name")
@click.option("--password-file", type=_TEXT_FILE, help="A file with the phone's password on its first line.")
@click.option("--ca-file", type=_TEXT_FILE, help="Certificates of a private CA, as installed on the phones.")
@as_json
@pass_site
def try_login(site: Site, name: str, *, password_file: TextIO | None, ca_file: TextIO | None, as_json: bool) -> None:
    """Test the connection that a phone will make.

    Resolves the host, connects, starts TLS, logs in, and searches by name and by number. On a terminal, it asks for
    the password. Without a password, it skips the login and the searches.
    """
    from ldapgw.phones.reachability import read_ca, try_phone

    ca = ca_file.read() if ca_file else ""
    if ca_file:
        read_ca(ca)
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
    tenant = site.tenant(login.tenant)
    vendor, *_ = vendors_of(login.model)
    endpoint = choose_endpoint(phone_server(site.config), vendor.supported_security)
    if endpoint is None:
        raise UserError(f"{login.name} can't connect: {_no_protection(vendor)}")
    access = ConnectionSettings(endpoint, _bind_dn(tenant, login), tenant.base_dn, _password(password_file), ca)
    results = run_in_reactor(lambda reactor: try_phone(access, reactor))
    if as_json:
        steps = [{"step": one.step.value, "state": one.status.value, "message": str(one.message)} for one in results]
        print_json({"name": login.name, "url": endpoint.url, "steps": steps})
    else:
        print_table(
            ("step", "state", "found"), [(one.step.value, one.status.value, str(one.message)) for one in results]
        )
    if any(one.status is StepStatus.FAILED for one in results):
        raise UserError(f"{login.name} does not work at {endpoint.url}: {results[-1].step.value}")


def _password(file: TextIO | None) -> str:
    """The phone's password; empty where there is no file and nobody to ask."""
    if file is not None:
        return file.readline().strip()
    if not sys.stdin.isatty():
        return ""
    question = "The phone's password (leave empty to skip the login)"
    return str(click.prompt(question, "", hide_input=True, err=True)).strip()


def find_phone(connection: Connection, name: str) -> PhoneLogin:
    """Find a phone by its name, ignoring case.

    :raises UserError: when there is no phone of that name.
    """
    login = stored.read_by_name(connection, name)
    if login is None:
        raise UserError(f"there is no phone named {name}; see ldapgw phones list")
    return login


def _numbers_for(model: str) -> NumberMode:
    return NumberMode.ENTRIES if model and MODELS[model].per_number else NumberMode.VALUES


def _check_placeholder(model: str, placeholder: str | None) -> None:
    """Refuse a placeholder for a phone of a known model, whose filters have their own."""
    if model and placeholder is not None:
        raise click.UsageError(f"--placeholder is only for --model {OTHER_MODEL}: {model} phones have their own.")


def _check_target(target: str | None, *, as_json: bool) -> None:
    """Refuse two things at once on standard output."""
    if target is not None and as_json:
        raise click.UsageError("--json has the settings already: leave out the file.")


@contextmanager
def _target_file(target: str | None) -> Iterator[int | None]:
    """The file for settings; None: there is none, or it is standard output.

    :raises UserError: when the file exists, or cannot be created.
    """
    if target in (None, "-"):
        yield None
        return
    with new_file(Path(str(target))) as file:
        yield file


def _sheet(site: Site, login: PhoneLogin, vendor: Vendor, password: str) -> Sheet:
    """The settings of a phone, as its page has them."""
    tenant = site.tenant(login.tenant)
    title = tenant.title or tenant.name
    return make_sheet(vendor, settings_of(login, phone_server(site.config), tenant.base_dn, title, password))


def _settings_json(sheet: Sheet) -> dict[str, Any] | None:
    if sheet.link is None:
        return None
    return {"vendor": sheet.vendor.key, "file": sheet.vendor.file or None, "content": sheet.printed}


def _no_protection(vendor: Vendor) -> str:
    return f"{vendor.title} and the gateway share no kind of connection; see ldap.listen and [tls]"


def _addresses(connection: Connection) -> Mapping[int | None, str]:
    return {account.id: account.address for account in accounts.read_all(connection)}


def _bind_dn(tenant: Tenant, login: PhoneLogin) -> str:
    return str(phone_dn(login.name, Dn.parse(tenant.base_dn)))


def _print_login(
    site: Site,
    login: PhoneLogin,
    address: str | None,
    password: str,
    sheet: Sheet,
    *,
    target: str | None = None,
    as_json: bool,
) -> None:
    """Print the login and the settings of a phone as JSON, or as lines for a person who enters them in the phone.

    :param target: where the settings are written, if anywhere; with ``-``, standard output has nothing else.
    """
    tenant = site.tenant(login.tenant)
    told = {
        "name": login.name,
        "tenant": login.tenant,
        "account": address,
        "bind_dn": _bind_dn(tenant, login),
        "password": password,
        "base_dn": tenant.base_dn,
        "ldap_url": ldap_url(site.config),
    }
    if phone_server(site.config).is_loopback:
        hint("! Phones can't reach this server: set [web] public_url to a host name that they can reach.")
    if sheet.link is None:
        hint(f"! {login.name} can't connect: {_no_protection(sheet.vendor)}")
    if as_json:
        print_json({**told, "settings": _settings_json(sheet)})
        return
    shared = "shared books, the Workspace directory"
    rows = (
        ("phone", login.name),
        *([("tenant", login.tenant)] if len(site.config.tenant) > 1 else []),
        ("finds", f"contacts of {address}, {shared}" if address else shared),
        *_numbers_row(login),
        *([("number format", login.number_format)] if login.number_format else []),
        ("server", told["ldap_url"]),
        ("user name", f"{login.name}  (as a DN: {told['bind_dn']})"),
        ("password", f"{password}  (shown only once)"),
        ("base DN", tenant.base_dn),
    )
    write = hint if target == "-" else print_line
    for label, value in rows:
        write(f"{label:<18} {value}")
    if target == "-":
        click.echo(sheet.printed.encode(), nl=False)
    elif target is not None:
        print_line(f"{'settings':<18} {target}")
    elif sheet.link is not None:
        print_line("")
        print_line(f"Settings for {sheet.vendor.title}" + (f", {sheet.vendor.file}:" if not sheet.fields else ":"))
        if sheet.fields:
            width = max(len(field.label) for field in sheet.fields)
            for field in sheet.fields:
                print_line(f"  {field.label:<{width}}  {field.value}")
        else:
            click.echo(sheet.text.encode(), nl=False)


def _numbers_row(login: PhoneLogin) -> Sequence[tuple[str, str]]:
    """The row about several numbers, for a phone that gets one entry per number."""
    model = MODELS.get(login.model)
    reason = f", because {model.reason}" if model and model.per_number else ""
    return [("numbers", f"one entry each{reason}")] if login.numbers is NumberMode.ENTRIES else []


def _json_object(site: Site, login: PhoneLogin, addresses: Mapping[int | None, str]) -> dict[str, Any]:
    tenant = _tenant_of(site, login)
    return {
        "name": login.name,
        "tenant": login.tenant,
        "account": addresses.get(login.account_id),
        "model": login.model or None,
        "placeholder": login.placeholder or None,
        "numbers": login.numbers.value,
        "number_format": login.number_format,
        "bind_dn": _bind_dn(tenant, login) if tenant else None,
        "created": timestamp(login.created_at),
        "last_seen": timestamp(login.last_seen),
        "last_address": login.last_address,
        "last_search": timestamp(login.searched_at),
        "worked": timestamp(login.worked_at),
        "hint": {"code": login.search_hint, "message": _hint(site, login)} if login.search_hint else None,
        "refused": refusal_json(wrong_password(login, now())),
    }


def refusal_json(refused: Refusal | None) -> dict[str, Any] | None:
    """A wrong password in JSON; None: the phone has none."""
    if refused is None:
        return None
    return {
        "code": "wrong_password",
        "last": timestamp(refused.when),
        "address": refused.address,
        "count": refused.count,
    }


def refusal_line(refused: Refusal) -> str:
    """When, from where and how often a phone had a wrong password, and what to do."""
    times = "once" if refused.count == 1 else f"{refused.count} times"
    return (
        f"refused {times}, last {local_time(refused.when, now())} from {refused.address}; "
        "enter the password again, or give the phone a new one (ldapgw phones reset)"
    )


def _problem(site: Site, login: PhoneLogin) -> str:
    """A wrong password, else the hint about the last search; empty: no problem."""
    refused = wrong_password(login, now())
    return f"wrong password: {refusal_line(refused)}" if refused is not None else _hint(site, login)


def _hint(site: Site, login: PhoneLogin) -> str:
    """The hint about the last search; empty: no hint, or the hint of another version of ldapgw."""
    if login.search_hint not in {*Hint}:
        return ""
    tenant = _tenant_of(site, login)
    profile = PhoneProfile.for_login(tenant.base_dn if tenant else "", login)
    return str(hint_text(Hint(login.search_hint), profile))


def _tenant_of(site: Site, login: PhoneLogin) -> Tenant | None:
    """The phone's tenant; None when the tenant is no longer in the configuration."""
    return next((tenant for tenant in site.config.tenant if tenant.name == login.tenant), None)


_SIGNS = {
    PhoneCondition.WORKING: "✓",
    PhoneCondition.PROBLEMS: "!",
    PhoneCondition.REFUSED: "✗",
    PhoneCondition.WAITING: "…",
}


def _sign(login: PhoneLogin) -> str:
    """Whether a phone works: yes, with settings to change, not used yet, or refused."""
    return _SIGNS[phone_condition(login, now())]


def _print_phones(site: Site, logins: Sequence[PhoneLogin], addresses: Mapping[int | None, str], *, wide: bool) -> None:
    """Print the table of phones, and a line for each hint."""
    several = wide or len({login.tenant for login in logins} | {tenant.name for tenant in site.config.tenant}) > 1
    tenant_column, all_columns = ("tenant",) if several else (), ("numbers", "format", "from") if wide else ()
    columns = ("", "phone", *tenant_column, "account", "model", *all_columns, "last seen", "last search")
    rows = (
        (
            _sign(login),
            login.name,
            *([login.tenant] if several else []),
            addresses.get(login.account_id, NEVER),
            login.model or NEVER,
            *([login.numbers.value, login.number_format or NEVER, login.last_address or NEVER] if wide else []),
            local_time(login.last_seen, now()),
            local_time(login.searched_at, now()),
        )
        for login in logins
    )
    print_table(columns, rows, keep=("", "account", "phone"), wide=wide)
    for login in logins:
        if text := _problem(site, login):
            sign = _sign(login)
            print_line(f"{sign if sign in '!✗' else ' '} {login.name}: {text}")
