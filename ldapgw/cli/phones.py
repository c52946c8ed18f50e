# SPDX-License-Identifier: MIT
"""``phones``: adds, lists, tests, resets and removes the logins of desk phones; a new password is shown once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click
from sqlalchemy import Connection

from ldapgw.cli.google import run_in_reactor
from ldapgw.cli.output import hint, local_time, print_json, print_line, print_table
from ldapgw.cli.phones_import import import_phones
from ldapgw.cli.site import Site, act, as_json, find_account, now, only_tenant, pass_site, phone_name
from ldapgw.directory.access import generate_password, hash_password, phone_dn
from ldapgw.directory.dn import Dn
from ldapgw.directory.number_formatter import PHONE_FORMATS
from ldapgw.errors import UserError
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.connection_test import ConnectionSettings, StepStatus
from ldapgw.phones.hints import Hint, PhoneProfile, hint_text
from ldapgw.phones.models import MODELS
from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, number_attributes
from ldapgw.phones.provisioning.settings import choose_endpoint
from ldapgw.phones.provisioning.vendors import vendors_of
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


@click.group()
def phones() -> None:
    """Add, list and remove phones' logins."""


phones.add_command(import_phones)


@phones.command()
@click.argument("name", callback=phone_name)
@only_tenant
@click.option("--account", metavar="ADDRESS", help="Whose phone it is; without one it finds shared books alone.")
@click.option(
    "--model",
    type=click.Choice([*MODELS], case_sensitive=False),
    metavar="MODEL",
    help=f"The make: {', '.join(MODELS)}.",
)
@click.option(
    "--numbers",
    type=click.Choice([numbers.value for numbers in NumberMode]),
    help="One entry a contact, or one entry a number for phones that show one number alone.  "
    "Without it, what suits the model; else values.",
)
@click.option(
    "--number-format",
    type=click.Choice([*NumberFormat], case_sensitive=False),
    callback=_phone_format,
    metavar="FORMAT",
    help=f"How numbers are written for this phone: {', '.join(PHONE_FORMATS)}.  "
    "Without it, as the tenant's number_format says.",
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
    numbers: str | None,
    number_format: NumberFormat | None,
    as_json: bool,
) -> None:
    """Add a phone, and print its login and its settings."""
    chosen = site.tenant(tenant)
    password = generate_password(os.urandom)
    with site.create_store() as database, database.begin() as connection:
        owner = find_account(connection, account, chosen.name) if account is not None else None
        login = PhoneLogin(
            name=name,
            tenant=chosen.name,
            account_id=owner.id if owner else None,
            numbers=NumberMode(numbers) if numbers else _numbers_for(model),
            model=model or "",
            password=hash_password(password, os.urandom),
            created_at=now(),
            number_format=number_format,
        )
        if not activity.recorded(connection, act(chosen.name, Act.PHONE_ADDED, name), stored.add, login):
            raise UserError(f"there is a phone {name} already; names are unique on a gateway, in any case")
    _print_login(site, login, owner.address if owner else None, password, as_json=as_json)


@phones.command(name="list")
@click.option("--tenant", metavar="T", help="The phones of this tenant alone.")
@as_json
@pass_site
def list_phones(site: Site, tenant: str | None, *, as_json: bool) -> None:
    """List the phones, with when and from where each was last seen, its last search and what was off with it."""
    if tenant is not None:
        site.tenant(tenant)
    with site.open_store() as database, database.begin() as connection:
        logins = [login for login in stored.read_all(connection) if tenant in (None, login.tenant)]
        addresses = _addresses(connection)
    if as_json:
        print_json([_json_object(site, login, addresses) for login in logins])
    elif not logins:
        hint("There is no phone yet; add one with: ldapgw phones add NAME")
    else:
        _print_phones(site, logins, addresses)


@phones.command()
@click.argument("name")
@pass_site
def remove(site: Site, name: str) -> None:
    """Remove a phone: its login is refused from now on."""
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
        activity.recorded(connection, act(login.tenant, Act.PHONE_REMOVED, login.name), stored.remove, login.name)
    print_line(f"{login.name} is removed.")


@phones.command()
@click.argument("name")
@as_json
@pass_site
def reset(site: Site, name: str, *, as_json: bool) -> None:
    """Give a phone a new password; the old one is refused from now on."""
    password = generate_password(os.urandom)
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
        address = _addresses(connection).get(login.account_id)
        site.tenant(login.tenant)
        entry = act(login.tenant, Act.PHONE_PASSWORD, login.name)
        hashed = hash_password(password, os.urandom)
        activity.recorded(connection, entry, stored.set_password, login.name, hashed)
    _print_login(site, login, address, password, as_json=as_json)


@phones.command(name="test")
@click.argument("name")
@click.option("--password-file", type=_TEXT_FILE, help="A file with the phone's password in its first line.")
@click.option("--ca-file", type=_TEXT_FILE, help="Certificates of a private authority, as installed on the phones.")
@as_json
@pass_site
def try_login(site: Site, name: str, *, password_file: TextIO | None, ca_file: TextIO | None, as_json: bool) -> None:
    """Try what the phone will meet: name, port, TLS, login and a search by name and by number.

    The password is asked for on a terminal; without it, the login and the searches are skipped.
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
        raise UserError(f"{login.name} cannot connect: {vendor.title} and the gateway have no protection in common")
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
    return str(click.prompt("Password of the phone (empty: skip the login)", "", hide_input=True, err=True)).strip()


def find_phone(connection: Connection, name: str) -> PhoneLogin:
    """Find a phone by its name, ignoring case.

    :raises UserError: when there is no phone of that name.
    """
    login = stored.read_by_name(connection, name)
    if login is None:
        raise UserError(f"there is no phone {name}")
    return login


def _numbers_for(model: str | None) -> NumberMode:
    return NumberMode.ENTRIES if model and MODELS[model].per_number else NumberMode.VALUES


def _addresses(connection: Connection) -> Mapping[int | None, str]:
    return {account.id: account.address for account in accounts.read_all(connection)}


def _bind_dn(tenant: Tenant, login: PhoneLogin) -> str:
    return str(phone_dn(login.name, Dn.parse(tenant.base_dn)))


def _print_login(site: Site, login: PhoneLogin, address: str | None, password: str, *, as_json: bool) -> None:
    """Print the settings of a phone as JSON, or as lines for a person who types them into the phone."""
    tenant = site.tenant(login.tenant)
    settings = {
        "name": login.name,
        "tenant": login.tenant,
        "account": address,
        "bind_dn": _bind_dn(tenant, login),
        "password": password,
        "base_dn": tenant.base_dn,
        "ldap_url": ldap_url(site.config),
    }
    if phone_server(site.config).is_loopback:
        hint("No phone can reach this server: set [web] public_url to a name that phones can reach.")
    if as_json:
        print_json(settings)
        return
    vendor, *_ = vendors_of(login.model)
    rows = (
        ("phone", login.name),
        ("tenant", login.tenant),
        ("finds", f"the book of {address}, shared books" if address else "shared books"),
        *_numbers_row(login),
        *([("number format", login.number_format)] if login.number_format else []),
        ("server", settings["ldap_url"]),
        ("bind DN", f"{settings['bind_dn']}  (or just {login.name})"),
        ("password", f"{password}  (shown this once)"),
        ("base DN", tenant.base_dn),
        ("name filter", vendor.name_filter),
        ("number filter", vendor.number_filter),
        ("name attributes", " ".join(NAME_ATTRIBUTES)),
        ("number attributes", " ".join(number_attributes(per_number=login.numbers is NumberMode.ENTRIES))),
    )
    for label, value in rows:
        print_line(f"{label:<18} {value}")


def _numbers_row(login: PhoneLogin) -> Sequence[tuple[str, str]]:
    """The row about several numbers, for a phone that gets an entry for each number."""
    model = MODELS.get(login.model)
    reason = f", because {model.reason}" if model and model.per_number else ""
    return [("numbers", f"an entry for each{reason}")] if login.numbers is NumberMode.ENTRIES else []


def _json_object(site: Site, login: PhoneLogin, addresses: Mapping[int | None, str]) -> dict[str, Any]:
    tenant = _tenant_of(site, login)
    return {
        "name": login.name,
        "tenant": login.tenant,
        "account": addresses.get(login.account_id),
        "model": login.model or None,
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
    return f"✗ wrong password: {refusal_line(refused)}" if refused is not None else _hint(site, login)


def _hint(site: Site, login: PhoneLogin) -> str:
    """The hint about the last search; empty: no hint, or the hint of another version of ldapgw."""
    if login.search_hint not in {*Hint}:
        return ""
    tenant = _tenant_of(site, login)
    base = tenant.base_dn if tenant else ""
    profile = PhoneProfile.for_model(base, login.model, per_number=login.numbers is NumberMode.ENTRIES)
    return str(hint_text(Hint(login.search_hint), profile))


def _tenant_of(site: Site, login: PhoneLogin) -> Tenant | None:
    """The phone's tenant; None when the tenant is no longer in the configuration."""
    return next((tenant for tenant in site.config.tenant if tenant.name == login.tenant), None)


def _print_phones(site: Site, logins: Sequence[PhoneLogin], addresses: Mapping[int | None, str]) -> None:
    print_table(
        ("phone", "tenant", "account", "model", "numbers", "format", "last seen", "from", "last search", "hint"),
        (
            (
                login.name,
                login.tenant,
                addresses.get(login.account_id, ""),
                login.model,
                login.numbers.value,
                login.number_format or "",
                local_time(login.last_seen, now()) or "never",
                login.last_address or "",
                local_time(login.searched_at, now()),
                _problem(site, login),
            )
            for login in logins
        ),
    )
