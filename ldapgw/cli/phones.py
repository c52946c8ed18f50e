# SPDX-License-Identifier: MIT
"""``phones``: adds, lists, tests, changes and removes the logins of desk phones, and prints their settings.

A new password, and a settings file with the password, are shown only once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import ClassVar, TextIO

import click
from click.shell_completion import CompletionItem
from sqlalchemy import Connection

from ldapgw.cli.output import (
    ask_for_password,
    confirm,
    hint,
    new_file,
    print_json,
    print_line,
    print_table,
    print_then_commit,
    write_target,
    yes_option,
)
from ldapgw.cli.phone_output import (
    bind_dn,
    hint_on_phones_that_find_nobody,
    login_sheet,
    no_protection,
    phone_json,
    phone_site,
    print_login,
    print_phones,
    print_steps,
    settings_json,
)
from ldapgw.cli.replicas import add_replica, print_replica, print_replicas, replica_json
from ldapgw.cli.root import Choice, examples
from ldapgw.cli.site import (
    TEXT_FILE,
    Site,
    act,
    as_json,
    find_account,
    find_login,
    find_phone,
    first_line,
    now,
    only_tenant,
    pass_site,
    password_option,
    phone_name,
    read_file,
    run_in_reactor,
    setting_type,
    text_type,
)
from ldapgw.directory.entry import PHONE_FORMATS
from ldapgw.directory.passwords import make_password, verify_password
from ldapgw.errors import UserError
from ldapgw.numbers.numbering_plan import dialling
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.description import MODELS, OTHER_MODEL, number_mode, read_label, read_mac, show_mac
from ldapgw.phones.provisioning.settings import PLACEHOLDERS, ConnectionSettings, StepStatus, choose_endpoint
from ldapgw.phones.provisioning.vendors import all_vendors, vendors_of
from ldapgw.server.config.forms import AreaCode
from ldapgw.server.endpoints import phone_server
from ldapgw.store import accounts, activity
from ldapgw.store import phones as stored
from ldapgw.store.accounts import Account
from ldapgw.store.activity import Act
from ldapgw.store.phones import NumberMode, PhoneLogin


def _phone_format(_context: click.Context, _parameter: click.Parameter, value: str | None) -> NumberFormat | None:
    """Check the format of a phone's numbers."""
    if value is not None and value not in PHONE_FORMATS:
        raise click.BadParameter(
            f"{value} is a format for a whole tenant (number_format in the configuration); "
            f"a phone can have {', '.join(PHONE_FORMATS)}"
        )
    return None if value is None else NumberFormat(value)


_mac = text_type(read_mac, "a MAC address such as 00:15:65:aa:bb:cc")
_label = text_type(read_label, "at most 64 characters, without control characters")


class _FamilyParam(click.ParamType[str]):
    """The type of an option that names a model, or a series within a model if the series has settings of its own.

    The names are read when a command line has the option, because most commands do not need the names.
    """

    name = "model"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return self._choice().convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return self._choice().shell_complete(ctx, param, incomplete)

    def _choice(self) -> Choice:
        return Choice([*dict.fromkeys((*MODELS, *all_vendors()))], case_sensitive=False)


_placeholder = click.option(
    "--placeholder",
    type=Choice(PLACEHOLDERS),
    metavar="SIGN",
    help=f"For model {OTHER_MODEL}: the placeholder in the phone's filters for the text that you type: "
    f"{' '.join(PLACEHOLDERS)}. "
    "Put it in single quotes. Default: not known.",
)


class _PhoneCommands(click.Group):
    """The group of the commands about phones.

    The module with the commands ``import`` and ``provision`` is imported only when one of these two commands is called,
    or the help of the group is printed.
    """

    _rollout: ClassVar[Mapping[str, str]] = {"import": "import_phones", "provision": "provision"}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._rollout])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._rollout:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module("ldapgw.cli.phones_rollout"), self._rollout[cmd_name])
        return command


@click.group(
    cls=_PhoneCommands,
    epilog=examples(
        "ldapgw phones add desk1 --account alice@acme.example --model yealink",
        "ldapgw phones list",
        "ldapgw phones test desk1",
    ),
)
def phones() -> None:
    """Add, list, test, change and remove phones."""


@phones.command(
    epilog=examples(
        "ldapgw phones add desk1 --account alice@acme.example --model yealink",
        "ldapgw phones add desk3 --account alice@acme.example --account bob@acme.example",
        "ldapgw phones add lobby --model snom --mac 00:04:13:aa:bb:cc --settings lobby.xml",
        "ldapgw phones add desk2 --model other --placeholder '%s' --json",
        "ldapgw phones add --replica branch1",
    )
)
@click.argument("name", callback=phone_name)
@only_tenant
@click.option(
    "--account",
    "owners",
    metavar="ADDRESS",
    multiple=True,
    help="The phone's owner. If you give the option several times, the phone finds the contacts of all these accounts. "
    "Without an owner, the phone finds only the shared books and the Workspace directory.",
)
@click.option(
    "--model",
    type=Choice([*MODELS, OTHER_MODEL], case_sensitive=False),
    metavar="MODEL",
    help=f"The phone's vendor: {', '.join(MODELS)}, or {OTHER_MODEL} (the default).",
)
@_placeholder
@click.option(
    "--numbers",
    type=Choice([numbers.value for numbers in NumberMode]),
    help="Return one entry per contact (values) or one entry per number (entries), for phones that show only one "
    "number. Default: depends on the model.",
)
@click.option(
    "--number-format",
    type=Choice([*NumberFormat], case_sensitive=False),
    callback=_phone_format,
    metavar="FORMAT",
    help=f"How this phone gets numbers: {', '.join(PHONE_FORMATS)}. Default: the tenant's number_format.",
)
@click.option(
    "--area-code",
    type=setting_type(AreaCode),
    metavar="DIGITS",
    help="The area code of the phone's site: calls within the area are signaled without it. Default: the tenant's "
    "area_code.",
)
@click.option(
    "--mac",
    type=_mac,
    metavar="ADDRESS",
    help="The phone's MAC address, by which the phone can fetch its settings (ldapgw phones provision).",
)
@click.option(
    "--label",
    type=_label,
    metavar="TEXT",
    help='What people call the phone, such as "Alice\'s office"; pages and lists show it beside the name.',
)
@click.option("--settings", "target", metavar="FILE", help="Write the model's settings to FILE; - stands for stdout.")
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
    owners: Sequence[str],
    model: str | None,
    placeholder: str | None,
    numbers: str | None,
    number_format: NumberFormat | None,
    area_code: str | None,
    mac: str | None,
    label: str | None,
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
        if owners or any(
            option is not None for option in (model, placeholder, numbers, number_format, area_code, mac, label, target)
        ):
            raise click.UsageError("A replica has no owner, model, numbers or settings: see ldapgw replica-config.")
        add_replica(site, name, tenant, private=private, extra_values=not no_extra_values, as_json=as_json)
        return
    if private or no_extra_values:
        raise click.UsageError("--private and --no-extra-values are options of a --replica.")
    chosen = site.tenant(tenant)
    model = "" if model in (None, OTHER_MODEL) else str(model)
    _check_placeholder(model, placeholder)
    password, hashed = make_password(os.urandom)
    _check_target(target, as_json=as_json)

    def change(connection: Connection) -> tuple[PhoneLogin, list[str], str]:
        found = _find_accounts(connection, owners, chosen.name)
        login = PhoneLogin(
            name=name,
            tenant=chosen.name,
            account_id=None,
            numbers=NumberMode(numbers) if numbers else number_mode(model),
            model=model,
            password=hashed,
            created_at=now(),
            number_format=number_format,
            placeholder=placeholder or "",
            area_code=dialling(chosen.region).area_code(area_code or ""),
            mac=mac or "",
            label=label or "",
        ).with_accounts([account.id for account in found])
        _check_mac(connection, login)
        if not activity.recorded(connection, act(chosen.name, Act.PHONE_ADDED, name), stored.add, login):
            raise _name_taken(name)
        warning = hint_on_phones_that_find_nobody(connection, chosen, [] if found else [name])
        return login, [account.address for account in found], warning

    def show(added: tuple[PhoneLogin, list[str], str]) -> None:
        login, addresses, warning = added
        if warning:
            hint(warning)
        sheet = login_sheet(site, login, password)
        if write is not None:
            write(sheet.printed.encode())
        print_login(site, login, addresses, password, sheet, target=target, as_json=as_json)

    to_stdout = target in (None, "-")
    with nullcontext() if to_stdout else new_file(Path(str(target))) as write, site.create_store() as database:
        print_then_commit(database, change, show)
    site.wait_for_gateway()


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
        addresses = {account.id: account.address for account in accounts.read_all(connection)}
    logins = [login for login in found if login.replica is None]
    replicas = [login for login in found if login.replica is not None]
    if as_json:
        listed = [phone_json(site, login, addresses) for login in logins]
        print_json([*listed, *(replica_json(site.find_tenant(login.tenant), login) for login in replicas)])
        return
    if not logins:
        hint("There are no phones yet. Add one with: ldapgw phones add NAME")
    else:
        print_phones(site, logins, addresses, wide=wide)
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
    type=_FamilyParam(),
    metavar="MODEL",
    help="Print the settings for this model instead of the phone's own model.",
)
@_placeholder
@click.option(
    "--output", "-o", "target", metavar="FILE", default="-", help="Write to FILE; - stands for standard output."
)
@password_option
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

    You can download the same settings from the phone's page. The gateway doesn't know the password. Without
    --password-file, the settings have the word PASSWORD in place of the password. The steps that bring the settings
    into the phone go to standard error.
    """
    _check_target(target if target != "-" else None, as_json=as_json)
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
    vendor = vendors_of(login.model)[0] if model is None else all_vendors().get(model) or vendors_of(model)[0]
    _check_placeholder("" if vendor.key == OTHER_MODEL else vendor.key, placeholder)
    login = login if placeholder is None else replace(login, placeholder=placeholder)
    sheet = login_sheet(site, login, first_line(password_file) or "", vendor)
    if sheet.link is None:
        raise UserError(f"{login.name} can't connect: {no_protection(vendor, site.config)}")
    if as_json:
        print_json(settings_json(sheet))
        return
    write_target(target, sheet.printed.encode())
    print_steps(sheet)


@phones.command(epilog=examples("ldapgw phones rename desk1 reception"))
@click.argument("name", metavar="OLD")
@click.argument("new_name", metavar="NEW", callback=phone_name)
@pass_site
def rename(site: Site, name: str, new_name: str) -> None:
    """Rename a phone.

    The name is also the phone's user name, so enter the new name in the phone. The password stays the same.
    """
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
        entry = act(login.tenant, Act.PHONE_RENAMED, login.name, new_name)
        if not activity.recorded(connection, entry, stored.rename, login.name, new_name):
            raise _name_taken(new_name)
    print_line(f"Renamed {login.name} to {new_name}. Enter {new_name} as the user name in the phone.")


@phones.command(
    epilog=examples(
        "ldapgw phones move desk1 --account bob@acme.example",
        "ldapgw phones move desk1 --nobody",
        "ldapgw phones move desk1 --account bob@acme.example --keep-password",
    )
)
@click.argument("name")
@click.option(
    "--account",
    "owners",
    metavar="ADDRESS",
    multiple=True,
    help="The new owner. If you give the option several times, the phone finds the contacts of all these accounts.",
)
@click.option(
    "--nobody",
    is_flag=True,
    help="Remove the owner: the phone finds only the shared books and the Workspace directory.",
)
@click.option(
    "--keep-password",
    is_flag=True,
    help="Don't give the phone a new password. The former owner may know the old password.",
)
@as_json
@pass_site
def move(site: Site, name: str, *, owners: Sequence[str], nobody: bool, keep_password: bool, as_json: bool) -> None:
    """Give a phone to other accounts, or to nobody.

    The phone gets a new password, because the former owner may know the old password; the command prints the new login
    and its settings. The phone's secret address and provisioning address stop working, and a running recording ends.
    """
    if bool(owners) == nobody:
        raise click.UsageError("Choose one of --account ADDRESS and --nobody.")
    if keep_password and as_json:
        raise click.UsageError("--json prints a new login, but --keep-password makes none: leave out one of them.")
    password, hashed = make_password(os.urandom) if not keep_password else ("", "")

    def change(connection: Connection) -> tuple[PhoneLogin, list[str]]:
        login = find_phone(connection, name)
        site.tenant(login.tenant)
        found = _find_accounts(connection, owners, login.tenant)
        addresses = [account.address for account in found]
        entry = act(login.tenant, Act.PHONE_MOVED, login.name, ", ".join(addresses))
        ids = [account.id for account in found]
        if not activity.recorded(connection, entry, stored.set_accounts, login.name, ids):
            raise UserError(f"{login.name} belongs to {_names(addresses)} already")
        if password:
            entry = act(login.tenant, Act.PHONE_PASSWORD, login.name)
            activity.recorded(connection, entry, stored.set_password, login.name, hashed, now())
        return login, addresses

    def show(moved: tuple[PhoneLogin, list[str]]) -> None:
        login, addresses = moved
        whose = "these accounts'" if len(addresses) > 1 else "that account's"
        finds = f"finds {whose} contacts" if addresses else "finds only the shared books and the Workspace directory"
        if not as_json:
            print_line(f"{login.name} now belongs to {_names(addresses)}: it {finds}.")
        if password:
            print_login(site, login, addresses, password, login_sheet(site, login, password), as_json=as_json)

    with site.open_store() as database:
        print_then_commit(database, change, show)
    if password:
        site.wait_for_gateway()


@phones.command(epilog=examples("ldapgw phones remove desk1", "ldapgw phones remove desk1 --yes"))
@click.argument("name")
@yes_option
@pass_site
def remove(site: Site, name: str, *, yes: bool) -> None:
    """Remove a phone, or the login of a replica. The phone stops finding contacts immediately."""
    with site.open_store() as database:
        with database.begin() as connection:
            login = find_login(connection, name)
        if login.replica:
            question = f"removes the login of the replica {login.name}; the replica keeps its copy until you delete it."
        else:
            question = f"removes the phone {login.name}: it stops finding contacts immediately."
        confirm(f"This {question}", yes=yes)
        with database.begin() as connection:
            entry = act(login.tenant, Act.REPLICA_REMOVED if login.replica else Act.PHONE_REMOVED, login.name)
            activity.recorded(connection, entry, stored.remove, login.name)
    print_line(f"Removed {login.name}.")


@phones.command(
    epilog=examples(
        "ldapgw phones reset desk1",
        "ldapgw phones reset desk1 --mac 00:15:65:aa:bb:cc",
        "ldapgw phones reset desk1 --yes --json",
    )
)
@click.argument("name")
@click.option(
    "--mac",
    type=_mac,
    metavar="ADDRESS",
    help="The MAC address of the device that replaces the phone's former device. An empty address removes the known "
    "one.",
)
@yes_option
@as_json
@pass_site
def reset(site: Site, name: str, *, mac: str | None, yes: bool, as_json: bool) -> None:
    """Give a phone, or the login of a replica, a new password. The old password stops working immediately."""
    password, hashed = make_password(os.urandom)

    def change(connection: Connection) -> tuple[PhoneLogin, Sequence[str]]:
        login = find_login(connection, name)
        entry = act(login.tenant, Act.REPLICA_PASSWORD if login.replica else Act.PHONE_PASSWORD, login.name)
        activity.recorded(connection, entry, stored.set_password, login.name, hashed, now())
        if mac is not None:
            login = replace(login, mac=mac)
            _check_mac(connection, login)
            entry = act(login.tenant, Act.PHONE_MAC, login.name, show_mac(mac))
            activity.recorded(connection, entry, stored.set_mac, login.name, mac)
        return login, accounts.read_addresses_of(connection, login.account_ids)

    def show(changed: tuple[PhoneLogin, Sequence[str]]) -> None:
        login, owners = changed
        if login.replica:
            print_replica(site, login, password, as_json=as_json)
        else:
            print_login(site, login, owners, password, login_sheet(site, login, password), as_json=as_json)

    with site.open_store() as database:
        with database.begin() as connection:
            login = find_login(connection, name)
        if mac is not None and login.replica:
            raise click.UsageError("A replica has no MAC address.")
        site.tenant(login.tenant)
        until = (
            "the replica gets no changes until its configuration has the new password."
            if login.replica
            else "the phone finds no contacts until you enter the new password in the phone."
        )
        confirm(f"This gives {login.name} a new password: {until}", yes=yes)
        print_then_commit(database, change, show)
    if not login.replica:
        site.wait_for_gateway()


@phones.command(
    name="test",
    epilog=examples("ldapgw phones test desk1", "ldapgw phones test desk1 --password-file desk1.password --json"),
)
@click.argument("name")
@password_option
@click.option(
    "--ca-file", type=TEXT_FILE, help="Certificates that the phones trust. Default: the authority of tls.certificate."
)
@as_json
@pass_site
def try_login(site: Site, name: str, *, password_file: TextIO | None, ca_file: TextIO | None, as_json: bool) -> None:
    """Test the connection that a phone will make.

    The command resolves the host, connects, starts TLS, logs in, and searches by name and by number. On a terminal, the
    command asks for the password. Without a password, the command skips the login and the searches.
    """
    from ldapgw.phones.reachability import WRONG_PASSWORD, read_ca, try_phone

    ca = read_file(ca_file) if ca_file else site.trust_anchor
    if ca_file:
        read_ca(ca)
    with site.open_store() as database, database.begin() as connection:
        login = find_phone(connection, name)
    tenant = site.tenant(login.tenant)
    vendor, *_ = vendors_of(login.model)
    endpoint = choose_endpoint(phone_server(site.config), vendor.supported_security)
    if endpoint is None:
        raise UserError(f"{login.name} can't connect: {no_protection(vendor, site.config)}")
    password = ask_for_password() if password_file is None else first_line(password_file) or ""
    is_right = not password or _is_password(login, password)
    ca_url = "" if ca_file else phone_site(site, tenant).ca_url
    # The gateway would count a login with a wrong password as the phone's own mistake.  So the command replaces a wrong
    # password by an empty password, with which `try_phone` skips the login.
    tried = password if is_right else ""
    access = ConnectionSettings(endpoint, bind_dn(tenant, login), tenant.base_dn, tried, ca, ca_url)
    results = run_in_reactor(lambda reactor: try_phone(access, reactor))
    if not is_right and results[-1].status is not StepStatus.FAILED:
        results = (*(step for step in results if step.status is not StepStatus.SKIPPED), WRONG_PASSWORD)
    rows = [(step.step.value, step.status.value, str(step.message)) for step in results]
    if as_json:
        steps = [dict(zip(("step", "state", "message"), row, strict=True)) for row in rows]
        print_json({"name": login.name, "url": endpoint.url, "steps": steps})
    else:
        print_table(("step", "state", "found"), rows)
    if any(step.status is StepStatus.FAILED for step in results):
        raise UserError(f"{login.name} does not work at {endpoint.url}: {results[-1].step.value}")


def _name_taken(name: str) -> UserError:
    unique = "names are unique on a gateway, regardless of upper and lower case"
    return UserError(f"a phone named {name} already exists; {unique}")


def _is_password(login: PhoneLogin, password: str) -> bool:
    """Return whether a password is the phone's password, or a new password that the phone has fetched but not used."""
    stored = [known for known in (login.password, login.next_password) if known]
    return any(verify_password(password.encode("utf-8", "surrogateescape"), known) for known in stored)


def _check_placeholder(model: str, placeholder: str | None) -> None:
    """Refuse ``--placeholder`` for a known model, because the model determines the placeholder in the filters."""
    if model and placeholder is not None:
        raise click.UsageError(f"--placeholder is only for --model {OTHER_MODEL}: {model} phones have their own.")


def _check_mac(connection: Connection, login: PhoneLogin) -> None:
    """Refuse a phone's MAC address if another phone of the tenant has the address."""
    other = stored.read_by_mac(connection, login.tenant, login.mac) if login.mac else None
    if other is not None and other.name != login.name:
        raise UserError(f"{other.name} has this MAC address already")


def _check_target(target: str | None, *, as_json: bool) -> None:
    """Refuse to write both JSON and settings to standard output."""
    if target is not None and as_json:
        raise click.UsageError("--json prints the settings too: leave out the option that writes the settings.")


def _find_accounts(connection: Connection, addresses: Sequence[str], tenant: str) -> list[Account]:
    """Return the accounts with the given addresses, in the order of the addresses, each account once."""
    found = [find_account(connection, address, tenant) for address in addresses]
    return list({account.id: account for account in found}.values())


def _names(addresses: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(addresses[:-1]), *addresses[-1:]))) or "nobody"
