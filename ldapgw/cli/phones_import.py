# SPDX-License-Identifier: MIT
"""``phones import``: adds the phones of a CSV file, all or none, and writes a settings file for each phone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from ldapgw.cli.output import confirm, counted, hint, new_files, print_json, print_line, print_table, some, yes_option
from ldapgw.cli.phone_output import no_protection, phone_site, warn_of_phones_that_find_nobody
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, act, as_json, now, only_tenant, pass_site
from ldapgw.directory.passwords import make_password
from ldapgw.errors import UserError
from ldapgw.files.spreadsheet import decode
from ldapgw.phones.import_file import ImportLine, UnfitImportFile, check_rows, read_rows
from ldapgw.phones.mac_address import show_mac
from ldapgw.phones.provisioning.settings import Site as PhoneSite
from ldapgw.phones.provisioning.settings import choose_endpoint
from ldapgw.phones.provisioning.sheet import vendors_of
from ldapgw.phones.rollout import NewPhone, make_files, make_zip, new_phone
from ldapgw.server.config import Config, Tenant
from ldapgw.server.endpoints import phone_server
from ldapgw.store import accounts, activity
from ldapgw.store import phones as stored
from ldapgw.store.activity import Act


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
def command(
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

    Without --out or --zip, the command only shows what it would add.  With one of them, it writes a settings file for
    each phone, named as the vendor's provisioning expects, and sheets.html to print.  Only these files have the
    passwords.
    """
    if out and zip_file:
        raise UserError("--out and --zip can't be used together; choose one")
    chosen = site.tenant(tenant)
    with site.create_store() as database:
        with database.begin() as connection:
            lines = _checked(connection, file.read(), chosen.name)
        errors = [line for line in lines if line.errors]
        if errors or not (out or zip_file):
            _show(lines, chosen, as_json=as_json)
        if errors:
            have = "has an error" if len(errors) == 1 else "have errors"
            raise UserError(
                f"{len(errors)} of {counted(len(lines), 'line')} {have}, so no phone is added; fix the file"
            )
        unable = _phones_that_cannot_connect(lines, site.config)
        for reason, names in unable.items():
            hint(f"! {some(names)} can't connect: {reason}, before you add them, because a password is shown only once")
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
            warn_of_phones_that_find_nobody(connection, chosen, without_owner)
    if as_json:
        print_json([_json_object(line, chosen) for line in lines])
    else:
        print_line(f"Added {counted(len(phones), 'phone')}. The settings and passwords are only in {zip_file or out}.")
        for names in unable.values():
            hint(
                f"! There are no settings for {some(names)}. Once they can connect, give each of them a new password: "
                f"ldapgw phones reset {names[0]}"
            )
    site.wait_for_gateway()


def _checked(connection: Connection, octets: bytes, tenant: str) -> tuple[ImportLine, ...]:
    """Return the lines of the file, checked against the existing accounts and phones.

    :raises UserError: when the file is not a list of phones.
    """
    try:
        rows = read_rows(decode(octets))
    except UnfitImportFile as error:
        raise UserError(str(error.reason)) from None
    owners = {account.address.lower(): account.id for account in accounts.read_all(connection, tenant)}
    taken = stored.read_taken(connection, [row.get("name", "") for _, row in rows])
    return check_rows(rows, owners, taken, stored.read_macs(connection, tenant))


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
