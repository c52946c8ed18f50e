# SPDX-License-Identifier: MIT
"""``phones import`` and ``phones provision``: give many phones their settings at once.

``phones import`` adds the phones of a CSV file, all or none, and writes a settings file for each phone.
``phones provision`` opens and closes the provisioning window, in which phones fetch their settings themselves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from ldapgw.cli.output import (
    confirm,
    counted,
    hint,
    local_time,
    new_files,
    print_json,
    print_line,
    print_table,
    some,
    yes_option,
)
from ldapgw.cli.phone_output import hint_on_phones_that_find_nobody, no_protection, phone_site
from ldapgw.cli.root import Choice, examples
from ldapgw.cli.site import Site, act, as_json, find_phone, now, only_tenant, pass_site, read_file
from ldapgw.directory.passwords import generate_password, make_password
from ldapgw.errors import UserError
from ldapgw.files.csv_file import decode
from ldapgw.phones.description import show_mac
from ldapgw.phones.provisioning.settings import Site as PhoneSite
from ldapgw.phones.provisioning.settings import choose_endpoint
from ldapgw.phones.provisioning.vendors import vendors_of
from ldapgw.phones.provisioning.window import (
    MINUTES,
    REASONS,
    DhcpSetting,
    WindowRow,
    dhcp_settings,
    opening_detail,
    phones_with_wrong_password,
    window_address,
    window_rows,
    without_tls,
)
from ldapgw.phones.rollout import (
    ImportLine,
    NewPhone,
    UnfitImportFile,
    check_file,
    make_files,
    make_zip,
    new_phone,
)
from ldapgw.server.config import Config, Tenant
from ldapgw.server.endpoints import phone_server
from ldapgw.server.state_dir import open_secret_box
from ldapgw.store import activity, provisioning
from ldapgw.store import phones as stored
from ldapgw.store.account_status import timestamp
from ldapgw.store.activity import Act
from ldapgw.store.provisioning import ProvisioningWindow, WindowRefusal
from ldapgw.store.secrets import SecretBox

_DURATIONS = {f"{minutes}m": minutes for minutes in MINUTES}


@click.command(
    name="provision",
    epilog=examples(
        "ldapgw phones provision --open 60m",
        "ldapgw phones provision --open 15m desk1 desk2",
        "ldapgw phones provision",
        "ldapgw phones provision --close",
    ),
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@only_tenant
@click.option(
    "--open",
    "duration",
    type=Choice([*_DURATIONS]),
    help="Open the window: for the phones that you name, or for all phones without a working login.",
)
@click.option("--plain-http", is_flag=True, help="With --open: also allow HTTP without TLS, which others can read.")
@click.option("--close", is_flag=True, help="Close the window.")
@click.option("--new-address", is_flag=True, help="Close the window, and give the next one a new address.")
@as_json
@pass_site
def provision(
    site: Site,
    names: Sequence[str],
    tenant: str | None,
    *,
    duration: str | None,
    plain_http: bool,
    close: bool,
    new_address: bool,
    as_json: bool,
) -> None:
    """Let phones fetch their settings by themselves, or show which phones have done so.

    While the window is open, each phone in provisioning_networks can fetch its settings once, by its MAC address. The
    settings have a new password; the old password works until the phone uses the new password.
    """
    if [duration is not None, close, new_address].count(True) > 1:
        raise click.UsageError("Choose one of --open, --close and --new-address.")
    if (names or plain_http) and duration is None:
        raise click.UsageError("The names of phones and --plain-http are allowed only with --open.")
    with site.create_store() if duration else site.open_store() as database, database.begin() as connection:
        chosen = site.tenant(tenant or _tenant_of(connection, names))
        secret_box = open_secret_box(connection, site.state.key_source)
        if duration is not None:
            _open(connection, chosen, secret_box, names, _DURATIONS[duration], plain_http=plain_http)
        elif close:
            activity.recorded(
                connection, act(chosen.name, Act.WINDOW_CLOSED), provisioning.close_window, chosen.name, now()
            )
        elif new_address:
            entry = act(chosen.name, Act.WINDOW_CLOSED)
            activity.recorded(connection, entry, provisioning.forget_window, chosen.name)
        window = provisioning.read_window(connection, chosen.name, secret_box)
        logins = stored.read_by_tenant(connection, chosen.name)
        rows = window_rows(logins, window, provisioning.read_window_phones(connection, chosen.name), now())
        refusals = provisioning.read_refusals(connection, chosen.name)
    address = "" if window is None else window_address(site.page(chosen.name), window)
    plain_address = without_tls(address) if window is not None and window.plain_http else ""
    settings = dhcp_settings((row.vendor for row in rows), address) if address else ()
    if as_json:
        print_json(_as_json(chosen, window, address, plain_address, settings, rows, refusals))
        return
    _print_window(window, settings, plain_address)
    _print_rows(rows, is_open=window is not None and window.is_open(now()))
    _print_refusals(refusals)


def _tenant_of(connection: Connection, names: Sequence[str]) -> str | None:
    """Return the tenant of the first phone in `names`, or None if there are no names.

    :raises UserError: when there is no such phone.
    """
    return next((find_phone(connection, name).tenant for name in names), None)


def _open(
    connection: Connection,
    tenant: Tenant,
    secret_box: SecretBox,
    names: Sequence[str],
    minutes: int,
    *,
    plain_http: bool,
) -> None:
    if not tenant.provisioning_networks:
        raise UserError(
            f"tenant.{tenant.name}.provisioning_networks is not set, so no phone could fetch its settings: set the "
            'networks of the phones, such as ["192.168.10.0/24"], and reload the gateway',
            is_setting=True,
        )
    found = [find_phone(connection, name) for name in names]
    foreign = next((login.name for login in found if login.tenant != tenant.name), None)
    if foreign is not None:
        raise UserError(f"{foreign} is not a phone of {tenant.name}")
    chosen = [*dict.fromkeys(login.name for login in found)] if found else None
    wrong = phones_with_wrong_password(stored.read_by_tenant(connection, tenant.name), now())
    activity.recorded(
        connection,
        act(tenant.name, Act.WINDOW_OPENED, detail=opening_detail(minutes, chosen, plain_http=plain_http)),
        provisioning.open_window,
        tenant.name,
        secret_box,
        generate_password(os.urandom),
        now(),
        minutes * 60.0,
        wrong if chosen is None else chosen,
        chosen=chosen is not None,
        plain_http=plain_http,
    )


def _print_window(window: ProvisioningWindow | None, settings: Sequence[DhcpSetting], plain_address: str) -> None:
    is_open = window is not None and window.is_open(now())
    if window is None or not is_open:
        print_line("The provisioning window is closed.")
    else:
        print_line(f"The provisioning window is open until {local_time(window.until, now())}.")
    for setting in settings:
        vendors = f" for {', '.join(setting.vendors)}" if setting.vendors else ""
        print_line(f"DHCP option {setting.option}{vendors}: {setting.value}")
    if is_open and plain_address:
        print_line(f"Without TLS: {plain_address}")
        hint("HTTP without TLS is allowed: others on the way can read the phones' passwords.")


def _print_rows(rows: Sequence[WindowRow], *, is_open: bool) -> None:
    if rows:
        print_table(
            ("phone", "mac", "file", "state"),
            [
                (row.login.name, show_mac(row.login.mac) or "-", _file(row) or "-", _state(row, is_open=is_open))
                for row in rows
            ],
        )


def _file(row: WindowRow) -> str:
    return row.fetch.file if row.fetch is not None and row.has_fetched else row.file


def _state(row: WindowRow, *, is_open: bool) -> str:
    if row.fetch is not None and row.fetch.fetched_at is not None:
        fetched = f"fetched {local_time(row.fetch.fetched_at, now())} from {row.fetch.address}"
        outcome = "signed in" if row.has_logged_in else "password replaced" if row.is_replaced else ""
        return f"{outcome} ({fetched})" if outcome else fetched
    return str(row.obstacle) or ("waiting" if is_open else "not fetched")


def _print_refusals(refusals: Sequence[WindowRefusal]) -> None:
    for refusal in refusals:
        times = "once" if refusal.count == 1 else f"{refusal.count} times"
        print_line(
            f"{show_mac(refusal.mac)} asked {times}, last from {refusal.address} at {local_time(refusal.at, now())}: "
            f"{REASONS[refusal.reason]}"
        )


def _as_json(
    tenant: Tenant,
    window: ProvisioningWindow | None,
    address: str,
    plain_address: str,
    settings: Sequence[DhcpSetting],
    rows: Sequence[WindowRow],
    refusals: Sequence[WindowRefusal],
) -> Mapping[str, object]:
    return {
        "tenant": tenant.name,
        "open": window is not None and window.is_open(now()),
        "until": timestamp(window.until if window else None),
        "plain_http": window is not None and window.plain_http,
        "address": address or None,
        "plain_address": plain_address or None,
        "dhcp": [
            {"option": setting.option, "value": setting.value, "vendors": setting.vendors} for setting in settings
        ],
        "phones": [
            {
                "name": row.login.name,
                "mac": show_mac(row.login.mac) or None,
                "file": _file(row) or None,
                "fetched_at": timestamp(row.fetch.fetched_at if row.fetch is not None else None),
                "fetched_from": (row.fetch.address if row.fetch is not None else "") or None,
                "signed_in": row.has_logged_in,
                "replaced": row.is_replaced,
                "obstacle": str(row.obstacle) or None,
            }
            for row in rows
        ],
        "refused": [
            {
                "mac": show_mac(refusal.mac),
                "reason": refusal.reason.value,
                "address": refusal.address,
                "at": timestamp(refusal.at),
                "count": refusal.count,
            }
            for refusal in refusals
        ],
    }


@click.command(
    name="import", epilog=examples("ldapgw phones import desks.csv", "ldapgw phones import desks.csv --zip desks.zip")
)
@click.argument("file", type=click.File("rb"))
@only_tenant
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the files into this directory.")
@click.option("--zip", "zip_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the files as a zip.")
@yes_option
@as_json
@pass_site
def import_phones(
    site: Site,
    file: Any,
    tenant: str | None,
    *,
    out: Path | None,
    zip_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Add the phones of a CSV file, all or none.

    FILE has the columns name, account, model, mac, label and placeholder.  The placeholder is the sign in the phone's
    filters that the phone replaces with the typed text; only phones of model "other" need it.

    Without --out or --zip, the command only shows what it would add.  With --out or --zip, the command writes a
    settings file for each phone, named as the vendor's provisioning expects, and sheets.html to print.  Only these
    files have the passwords.
    """
    if out and zip_file:
        raise UserError("--out and --zip can't be used together; choose one")
    chosen = site.tenant(tenant)
    with site.create_store() as database:
        with database.begin() as connection:
            lines = _checked(connection, read_file(file), chosen.name)
        errors = [line for line in lines if line.errors]
        if errors or not (out or zip_file):
            _show(lines, chosen, as_json=as_json)
        if errors:
            has_error = "has an error" if len(errors) == 1 else "have errors"
            raise UserError(
                f"{len(errors)} of {counted(len(lines), 'line')} {has_error}, so no phone is added; fix the file"
            )
        unable = _phones_that_cannot_connect(lines, site.config)
        for reason, names in unable.items():
            hint(
                f"! {some(names)} can't connect: {reason}. Change the settings before you add the phones; otherwise "
                "each of these phones needs a new password later."
            )
        if not (out or zip_file):
            hint(f"No phone was added yet. To add {counted(len(lines), 'phone')}, use --zip FILE or --out DIR.")
            return
        confirm(f"This adds {counted(len(lines), 'phone')} to {chosen.name}.", yes=yes)
        phones = _new_phones(lines, chosen.name)
        if out is not None:
            _make_folder(out)
        with (
            new_files(_contents(phones, phone_site(site, chosen), out, zip_file or Path())),
            database.begin() as connection,
        ):
            if not stored.add_all(connection, [phone.login for phone in phones]):
                raise UserError(
                    "another phone got one of these names or MAC addresses meanwhile, so no phone is added; try again"
                )
            activity.record(connection, *(act(chosen.name, Act.PHONE_ADDED, phone.login.name) for phone in phones))
            without_owner = [phone.login.name for phone in phones if not phone.login.account_ids]
            warning = hint_on_phones_that_find_nobody(connection, chosen, without_owner)
    if warning:
        hint(warning)
    if as_json:
        print_json([_json_object(line, chosen) for line in lines])
    else:
        print_line(f"Added {counted(len(phones), 'phone')}. The settings and passwords are only in {zip_file or out}.")
        for names in unable.values():
            hint(
                f"! There are no settings for {some(names)}. Once these phones can connect, give each a new password: "
                f"ldapgw phones reset {names[0]}"
            )
    site.wait_for_gateway()


def _checked(connection: Connection, octets: bytes, tenant: str) -> tuple[ImportLine, ...]:
    """Return the lines of the file, checked against the existing accounts and phones.

    :raises UserError: when the file is not a list of phones.
    """
    try:
        return check_file(connection, tenant, decode(octets))
    except UnfitImportFile as error:
        raise UserError(str(error.reason)) from None


def _phones_that_cannot_connect(lines: Sequence[ImportLine], config: Config) -> Mapping[str, list[str]]:
    """Return the names of phones that support none of the gateway's connections, by the reason."""
    unable: dict[str, list[str]] = {}
    for line in lines:
        vendor, *_ = vendors_of(line.model)
        if choose_endpoint(phone_server(config), vendor.supported_security) is None:
            unable.setdefault(no_protection(vendor, config), []).append(line.name)
    return unable


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created: {error.strerror}") from None


def _new_phones(lines: Sequence[ImportLine], tenant: str) -> list[NewPhone]:
    made = [(line, *make_password(os.urandom)) for line in lines]
    return [NewPhone(new_phone(line, tenant, hashed, now()), password, line.account) for line, password, hashed in made]


def _contents(phones: Sequence[NewPhone], site: PhoneSite, out: Path | None, zip_file: Path) -> Mapping[Path, bytes]:
    """Return the content of each file to write, by path."""
    from ldapgw.web.rendering import Renderer  # imported here, because the import loads the web page's libraries

    render = partial(Renderer("").print_sheets, "en", site.title)
    if out is None:
        return {zip_file: make_zip(phones, site, render)}
    return {out / name: content for name, content in make_files(phones, site, render).items()}


def _show(lines: Sequence[ImportLine], tenant: Tenant, *, as_json: bool) -> None:
    if as_json:
        print_json([_json_object(line, tenant) for line in lines])
        return
    print_table(
        ("line#", "name", "account", "model", "mac", "error"),
        [(str(line.number), line.name, line.account, line.model, _shown_mac(line), _errors(line)) for line in lines],
    )


def _errors(line: ImportLine) -> str:
    return " ".join(map(str, line.errors))


def _shown_mac(line: ImportLine) -> str:
    """Return the MAC address as people read it; a line with an error has the MAC address as it was written."""
    return line.mac if line.errors else show_mac(line.mac)


def _json_object(line: ImportLine, tenant: Tenant) -> dict[str, Any]:
    return {
        "line": line.number,
        "name": line.name,
        "label": line.label or None,
        "tenant": tenant.name,
        "account": line.account or None,
        "model": line.model or None,
        "mac": _shown_mac(line) or None,
        "placeholder": line.placeholder or None,
        "error": _errors(line) or None,
    }
