# SPDX-License-Identifier: MIT
"""``phones provision``: opens and closes the provisioning window, in which phones fetch their settings themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import click
from sqlalchemy import Connection

from ldapgw.cli.output import hint, local_time, print_json, print_line, print_table
from ldapgw.cli.root import Choice, examples
from ldapgw.cli.site import Site, act, as_json, find_phone, now, only_tenant, pass_site
from ldapgw.directory.passwords import generate_password
from ldapgw.errors import UserError
from ldapgw.phones.description import show_mac
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
from ldapgw.server.config import Tenant
from ldapgw.server.state_dir import open_secret_box
from ldapgw.store import activity, windows
from ldapgw.store import phones as stored
from ldapgw.store.account_status import timestamp
from ldapgw.store.activity import Act
from ldapgw.store.secrets import SecretBox
from ldapgw.store.windows import ProvisioningWindow, WindowRefusal

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
def command(
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
    settings have a new password; the old password works until the phone uses the new one.
    """
    if [duration is not None, close, new_address].count(True) > 1:
        raise click.UsageError("Choose one of --open, --close and --new-address.")
    if (names or plain_http) and duration is None:
        raise click.UsageError("Names of phones and --plain-http belong to --open.")
    with site.create_store() if duration else site.open_store() as database, database.begin() as connection:
        chosen = site.tenant(tenant or _tenant_of(connection, names))
        secret_box = open_secret_box(connection, site.state.key_source)
        if duration is not None:
            _open(connection, chosen, secret_box, names, _DURATIONS[duration], plain_http=plain_http)
        elif close:
            activity.recorded(connection, act(chosen.name, Act.WINDOW_CLOSED), windows.close, chosen.name, now())
        elif new_address:
            entry = act(chosen.name, Act.WINDOW_CLOSED)
            activity.recorded(connection, entry, windows.forget_address, chosen.name)
        window = windows.read(connection, chosen.name, secret_box)
        logins = stored.read_by_tenant(connection, chosen.name)
        rows = window_rows(logins, window, windows.read_phones(connection, chosen.name), now())
        refusals = windows.read_refusals(connection, chosen.name)
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
    """Return the tenant of the named phones; None without names.

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
        windows.open_window,
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
