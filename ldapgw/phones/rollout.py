# SPDX-License-Identifier: MIT
"""The settings of many phones in one zip: for each phone a file with the name that the phone expects, and a sheet.

The sheets are in one HTML file, made by `Render`, with a page to print for each phone.  The new passwords are stored
only in the zip.

The functions are pure: they do no I/O.  Making a zip of hundreds of phones takes tenths of a second, so the zip is not
made on the reactor's thread.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ldapgw.phones.import_file import ImportLine
from ldapgw.phones.models import number_mode
from ldapgw.phones.provisioning.file_names import file_name
from ldapgw.phones.provisioning.settings import PASSWORD_PLACEHOLDER, Site
from ldapgw.phones.provisioning.sheet import (
    Field,
    Sheet,
    fields_by_hand,
    has_our_labels,
    make_sheet,
    settings_of,
    vendors_of,
)
from ldapgw.store.phones import PhoneLogin

SHEETS_FILE = "sheets.html"


@dataclass(frozen=True, slots=True)
class NewPhone:
    """A phone with its password.

    :ivar password: the new password; empty if the password is no longer known.
    :ivar owner: the owner's address; empty for a phone without an owner.
    """

    login: PhoneLogin
    password: str = field(repr=False)
    owner: str = ""


@dataclass(frozen=True, slots=True)
class PrintSheet:
    """The printed sheet of one phone, for the person in front of the phone.

    :ivar fields: the values to enter in the phone, with the password.
    :ivar has_our_labels: true if the labels of the fields are texts of ldapgw, which are translated; false if they are
        the phone's own words.
    :ivar file: name of the phone's settings file; empty if there is none.
    :ivar code: an address with the phone's settings as a QR code, in SVG; empty if there is none.
    """

    phone: NewPhone
    sheet: Sheet
    fields: tuple[Field, ...] = field(repr=False)
    has_our_labels: bool
    file: str = ""
    code: str = field(default="", repr=False)

    def is_unknown(self, entered: Field) -> bool:
        """Return whether a field is for the password, and the gateway no longer knows the password."""
        return not self.phone.password and entered.value == PASSWORD_PLACEHOLDER


# A function that makes the HTML file of sheets (`ldapgw.web.rendering.Renderer.print_sheets`).
Render = Callable[[Sequence[PrintSheet]], str]


def new_phone(line: ImportLine, tenant: str, hashed: str, now: float) -> PhoneLogin:
    """Return the phone to store for a line of an import file, which must be a line without an error.

    :param now: seconds since the epoch.
    """
    return PhoneLogin(
        name=line.name,
        tenant=tenant,
        account_id=None,
        numbers=number_mode(line.model),
        password=hashed,
        created_at=now,
        model=line.model,
        placeholder=line.placeholder,
        mac=line.mac,
        label=line.label,
    ).with_accounts(line.account_ids)


def print_sheet(phone: NewPhone, site: Site, file: str = "", code: str = "") -> PrintSheet:
    """Return the printed sheet of a phone, with the fields and steps of its likeliest vendor."""
    settings = settings_of(phone.login, site, phone.password)
    vendor = vendors_of(phone.login.model)[0]
    sheet = make_sheet(vendor, settings)
    return PrintSheet(phone, sheet, fields_by_hand(sheet, settings), has_our_labels(vendor), file, code)


def make_files(phones: Sequence[NewPhone], site: Site, render: Render) -> Mapping[str, bytes]:
    """Return the files' contents by name: a settings file for each phone that takes one, and the sheets."""
    files: dict[str, bytes] = {}
    sheets = []
    for phone in phones:
        made = print_sheet(phone, site)
        name = _file_name(phone, made.sheet) if made.sheet.text else ""
        if name:
            files[name] = made.sheet.text.encode()
        sheets.append(replace(made, file=name))
    files[SHEETS_FILE] = render(sheets).encode()
    return files


def make_zip(phones: Sequence[NewPhone], site: Site, render: Render) -> bytes:
    """Make the zip with the files of `make_files`."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in make_files(phones, site, render).items():
            # The files' time is always the same, so that the same phones make the same zip.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return octets.getvalue()


def _file_name(phone: NewPhone, sheet: Sheet) -> str:
    """Return the name of a phone's file in the zip, which is made from the phone's name if there is no MAC address."""
    suffix = sheet.vendor.file.rpartition(".")[2]
    if not phone.login.mac:
        return f"{phone.login.name}.{suffix}"
    return file_name(sheet.vendor, phone.login.mac)
