# SPDX-License-Identifier: MIT
"""The output of commands about phones: the list of phones, a login with its settings, hints and refused passwords."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from sqlalchemy import Connection

from ldapgw.cli.output import NEVER, hint, local_time, print_json, print_line, print_table
from ldapgw.cli.site import Site, now
from ldapgw.contact import Source
from ldapgw.directory.dn import Dn, folded
from ldapgw.directory.naming_context import phone_dn
from ldapgw.phones.description import MODELS, show_mac
from ldapgw.phones.hints import Hint, PhoneProfile, hint_text
from ldapgw.phones.provisioning.settings import Security, choose_endpoint
from ldapgw.phones.provisioning.settings import Site as PhoneSite
from ldapgw.phones.provisioning.sheet import Sheet, make_sheet, settings_of
from ldapgw.phones.provisioning.vendors import Vendor, vendors_of
from ldapgw.phones.summary import PhoneCondition, phone_condition
from ldapgw.phrase import without_marks
from ldapgw.server.config import Config, Tenant
from ldapgw.server.endpoints import certificate_url, ldap_url, phone_server
from ldapgw.store import accounts, contacts
from ldapgw.store.account_status import timestamp
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.phones import NumberMode, PhoneLogin, Refusal, wrong_password


def settings_json(sheet: Sheet) -> dict[str, Any] | None:
    """Return a phone's settings in JSON, or None if the phone can't connect."""
    if sheet.link is None:
        return None
    vendor = sheet.vendor
    return {
        "vendor": vendor.key,
        "file": vendor.file or None,
        "content": sheet.printed,
        "note": vendor.steps_note or None,
        "steps": [{"text": step.text, "confirmed": step.is_confirmed} for step in vendor.setup_steps],
        "ca_url": sheet.ca_url or None,
        "trust": without_marks(sheet.trust) or None,
    }


def print_steps(sheet: Sheet) -> None:
    """Print the steps that bring the settings into a phone, on stderr, because stdout may go to the settings file."""
    if sheet.vendor.steps_note:
        hint(sheet.vendor.steps_note)
    for step in sheet.vendor.setup_steps:
        hint(f"{step.number}. {step.marked_text}")
    if sheet.trust:
        hint(f"The phone has to trust this gateway's authority: {sheet.ca_url}")
        hint(without_marks(sheet.trust))


def no_protection(vendor: Vendor, config: Config) -> str:
    """Return a sentence that says why the phones of a vendor can't connect, and which settings to change."""
    if set(vendor.supported_security) == {Security.PLAIN}:
        port = "" if config.ldap.listen else ", and a port in ldap.listen"
        return f"{vendor.title} phones know no encryption; set ldap.require_tls = false{port}"
    return f"{vendor.title} and the gateway share no kind of connection; see ldap.listen, ldap.require_tls and [tls]"


def bind_dn(tenant: Tenant, login: PhoneLogin) -> str:
    return str(phone_dn(login.name, Dn.parse(tenant.base_dn)))


def phone_site(site: Site, tenant: Tenant) -> PhoneSite:
    """Return the values that the settings of a tenant's phones share."""
    ca_url = certificate_url(site.config, tenant.name) if site.trust_anchor else ""
    return PhoneSite(phone_server(site.config), tenant.base_dn, tenant.title or tenant.name, ca_url)


def login_sheet(site: Site, login: PhoneLogin, password: str, vendor: Vendor | None = None) -> Sheet:
    """Return the settings of a phone, as on the phone's page.

    :param vendor: the vendor whose settings are returned, or None for the vendor of the phone's model.
    """
    settings = settings_of(login, phone_site(site, site.tenant(login.tenant)), password)
    return make_sheet(vendor or vendors_of(login.model)[0], settings)


def hint_on_phones_that_find_nobody(connection: Connection, tenant: Tenant, without_owner: Sequence[str]) -> str:
    """Return a hint if phones without an owner find nobody, because nobody shares contacts yet; otherwise, return "".

    :param without_owner: the names of the phones.
    """
    from ldapgw.directory.access import TenantViewer  # most commands about phones do not need the module

    viewer = TenantViewer()
    files = tenant.file_tasks(per_number=False)
    if not without_owner or any(not viewer.access_to(file.book_key, file.sharing).is_hidden for file in files):
        return ""
    known = accounts.read_all(connection, tenant.name)
    if any(account.sources.get(Source.DIRECTORY) is SourceState.ON for account in known):
        return ""
    shared = [account for account in known if not viewer.access_to(account.sub, account.sharing).is_hidden]
    labels = contacts.read_labels_of(connection, [account.id for account in shared])
    if any(_shares_something(account, labels[account.id].values()) for account in shared):
        return ""
    who = f"{without_owner[0]} has" if len(without_owner) == 1 else f"{len(without_owner)} phones have"
    return (
        f"! {who} no owner, and {'finds' if len(without_owner) == 1 else 'find'} nobody until somebody shares contacts "
        "(ldapgw share), or switches the company directory on (on the page, under Account and sharing)."
    )


def _shares_something(account: Account, labels: Iterable[str]) -> bool:
    """Return whether an account has the label to which its sharing is limited, or shares all contacts.

    :param labels: the names of the labels that the last sync has found.
    """
    label = folded(account.shared_label)
    return not label or account.last_sync is None or label in map(folded, labels)


def print_login(
    site: Site,
    login: PhoneLogin,
    owners: Sequence[str],
    password: str,
    sheet: Sheet,
    *,
    target: str | None = None,
    as_json: bool,
) -> None:
    """Print the login and the settings of a phone as JSON, or as lines for a person who enters them in the phone.

    :param owners: the addresses of the phone's accounts.
    :param target: the file for the settings, or None for no file; with ``-``, the settings go to standard output, and
        everything else to standard error.
    """
    tenant = site.tenant(login.tenant)
    endpoint = choose_endpoint(phone_server(site.config), sheet.vendor.supported_security) if login.model else None
    values = {
        "name": login.name,
        "label": login.label or None,
        "tenant": login.tenant,
        "account": next(iter(owners), None),
        "accounts": list(owners),
        "bind_dn": bind_dn(tenant, login),
        "password": password,
        "base_dn": tenant.base_dn,
        "ldap_url": endpoint.url if endpoint and endpoint.port else ldap_url(site.config),
    }
    if phone_server(site.config).is_loopback:
        hint("! Phones can't reach this server: set [web] public_url to a host name that they can reach.")
    if sheet.link is None:
        hint(f"! {login.name} can't connect: {no_protection(sheet.vendor, site.config)}")
    if as_json:
        print_json({**values, "settings": settings_json(sheet)})
        return
    shared = "shared books" + (", the Workspace directory" if Source.DIRECTORY in tenant.sources else "")
    rows = (
        ("phone", login.name),
        *([("label", login.label)] if login.label else []),
        *([("tenant", login.tenant)] if len(site.config.tenant) > 1 else []),
        ("finds", f"contacts of {', '.join(owners)}, {shared}" if owners else shared),
        *_numbers_row(login),
        *([("number format", login.number_format)] if login.number_format else []),
        *([("area code", login.area_code)] if login.area_code else []),
        *([("MAC address", show_mac(login.mac))] if login.mac else []),
        ("server", values["ldap_url"]),
        ("user name", f"{login.name}  (as a DN: {values['bind_dn']})"),
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
    """Return the row that says that a phone gets one entry per number; no row for other phones."""
    model = MODELS.get(login.model)
    reason = f", because {model.reason}" if model and model.per_number else ""
    return [("numbers", f"one entry each{reason}")] if login.numbers is NumberMode.ENTRIES else []


def phone_json(site: Site, login: PhoneLogin, addresses: Mapping[int, str]) -> dict[str, Any]:
    tenant = site.find_tenant(login.tenant)
    return {
        "name": login.name,
        "label": login.label or None,
        "tenant": login.tenant,
        "account": next(iter(login.owners(addresses)), None),
        "accounts": login.owners(addresses),
        "model": login.model or None,
        "placeholder": login.placeholder or None,
        "mac": show_mac(login.mac) or None,
        "numbers": login.numbers.value,
        "number_format": login.number_format,
        "area_code": login.area_code or None,
        "bind_dn": bind_dn(tenant, login) if tenant else None,
        "created": timestamp(login.created_at),
        "last_seen": timestamp(login.last_seen),
        "last_address": login.last_address,
        "last_search": timestamp(login.searched_at),
        "worked": timestamp(login.worked_at),
        "hint": {"code": login.search_hint, "message": _hint(site, login)} if login.search_hint else None,
        "refused": refusal_json(wrong_password(login, now())),
    }


def refusal_json(refused: Refusal | None) -> dict[str, Any] | None:
    """Return the JSON object of refused logins with a wrong password, or None if no login was refused."""
    if refused is None:
        return None
    return {
        "code": "wrong_password",
        "last": timestamp(refused.when),
        "address": refused.address,
        "count": refused.count,
    }


def refusal_line(refused: Refusal) -> str:
    """Return a line that says when, from where and how often a phone had a wrong password, and what to do."""
    times = "once" if refused.count == 1 else f"{refused.count} times"
    return (
        f"refused {times}, last {local_time(refused.when, now())} from {refused.address}; "
        "enter the password again, or give the phone a new one (ldapgw phones reset)"
    )


def _problem(site: Site, login: PhoneLogin) -> str:
    """Return a text on a phone's gravest problem; empty without a problem.

    The order is: a wrong password, a new password that the phone has not used yet, a password that a former owner may
    know, and the hint about the last search.
    """
    refused = wrong_password(login, now())
    if refused is not None:
        return f"wrong password: {refusal_line(refused)}"
    if login.has_unused_password:
        return f"new password, created {local_time(login.password_made_at, now())}, waiting for the phone"
    if login.former_owner:
        return f"a former owner may know the password; give the phone a new one (ldapgw phones reset {login.name})"
    return _hint(site, login)


def _hint(site: Site, login: PhoneLogin) -> str:
    """Return the hint about the last search; empty without a hint, or if another version of ldapgw stored the hint."""
    if login.search_hint not in {*Hint}:
        return ""
    tenant = site.find_tenant(login.tenant)
    profile = PhoneProfile.for_login(tenant.base_dn if tenant else "", login)
    return str(hint_text(Hint(login.search_hint), profile))


_SIGNS = {
    PhoneCondition.WORKING: "✓",
    PhoneCondition.PROBLEMS: "!",
    PhoneCondition.REFUSED: "✗",
    PhoneCondition.WAITING: "…",
}


def _wide_values(login: PhoneLogin) -> Sequence[str]:
    """Return the values of the columns that only a wide table of phones has."""
    return (
        show_mac(login.mac) or NEVER,
        login.numbers.value,
        login.number_format or NEVER,
        login.last_address or NEVER,
    )


def print_phones(site: Site, logins: Sequence[PhoneLogin], addresses: Mapping[int, str], *, wide: bool) -> None:
    """Print the table of phones, and a line for each hint."""
    several = wide or len({login.tenant for login in logins} | {tenant.name for tenant in site.config.tenant}) > 1
    tenant_column, all_columns = ("tenant",) if several else (), ("mac", "numbers", "format", "from") if wide else ()
    has_labels = any(login.label for login in logins)
    label_column = ("label",) if has_labels else ()
    columns = ("", "phone", *label_column, *tenant_column, "account", "model", *all_columns, "last seen", "last search")
    rows = (
        (
            _SIGNS[phone_condition(login, now())],
            login.name,
            *([login.label or NEVER] if has_labels else []),
            *([login.tenant] if several else []),
            ", ".join(login.owners(addresses)) or NEVER,
            login.model or NEVER,
            *(_wide_values(login) if wide else []),
            local_time(login.last_seen, now()),
            local_time(login.searched_at, now()),
        )
        for login in logins
    )
    print_table(columns, rows, keep=("", "account", "phone"), wide=wide)
    for login in logins:
        if text := _problem(site, login):
            sign = _SIGNS[phone_condition(login, now())]
            print_line(f"{sign if sign in '!✗' else ' '} {login.name}: {text}")
