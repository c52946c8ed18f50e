# SPDX-License-Identifier: MIT
"""The rollout of many phones: the CSV file that names the phones, and the zip with the settings of each phone.

The CSV file, from any spreadsheet program, is read and checked line by line.  The first line names the columns
``name``, ``account``, ``model``, ``mac``, ``label`` and ``placeholder`` in any order; only ``name`` and ``model`` are
required.  The columns are separated by commas, semicolons or tabs.

The zip has a sheet to print for each phone, and a settings file for each phone that takes a file.  All sheets are in
one HTML file, which `Render` makes, with a page for each phone.  The new passwords are stored only in the zip.

Only `check_file` reads the database; the other functions do no I/O.  Making a zip of hundreds of phones takes tenths of
a second, so the zip is not made on the reactor's thread.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from ldapgw.errors import closest
from ldapgw.files.csv_file import UnreadableLine, read_lines
from ldapgw.phones.description import MODELS, OTHER_MODEL, number_mode, read_label, read_mac, sign_in_name
from ldapgw.phones.provisioning.settings import PASSWORD_PLACEHOLDER, PLACEHOLDERS, Site
from ldapgw.phones.provisioning.sheet import Sheet, fields_by_hand, has_our_labels, make_sheet, settings_of
from ldapgw.phones.provisioning.vendors import Field, file_name, vendors_of
from ldapgw.phrase import Phrase, Texts, Translatable, read_texts
from ldapgw.store import accounts
from ldapgw.store import phones as stored
from ldapgw.store.phones import PhoneLogin, is_valid_name

# --- the file of phones -----------------------------------------------------------------------------------------------

# The maximum number of lines of a file.  A longer file is probably a mistake; a company with more phones can import
# several files.
MAX_LINES = 500

# The columns, by their headings in lower case, English and German.
_COLUMNS = {
    "name": "name",
    "phone": "name",
    "telefon": "name",
    "account": "account",
    "konto": "account",
    "owner": "account",
    "email": "account",
    "e-mail": "account",
    "model": "model",
    "modell": "model",
    "mac": "mac",
    "mac address": "mac",
    "mac-adresse": "mac",
    "label": "label",
    "bezeichnung": "label",
    "placeholder": "placeholder",
    "platzhalter": "placeholder",
}


class _ImportTexts(Texts, frozen=True):
    """The errors of a file and of its lines."""

    empty: str
    unreadable: str
    no_header: str
    unknown_column: str
    too_many: str
    no_name: str
    bad_name: str
    bad_label: str
    taken: str
    same_name: str
    no_account: str
    no_model: str
    unknown_model: str
    similar_model: str
    bad_mac: str
    not_other: str
    bad_placeholder: str
    same_mac: str
    taken_mac: str


TEXTS = read_texts("phones/texts/import", _ImportTexts)


def name_error(name: str) -> Translatable:
    """Return the error message for a phone's name, which suggests an allowed name; empty if the name is allowed."""
    return "" if is_valid_name(name) else Phrase(TEXTS.bad_name, {"name": sign_in_name(name, ())})


def label_error(label: str) -> Translatable:
    """Return the error message for a phone's label; empty if the label is allowed."""
    try:
        read_label(label)
    except ValueError:
        return TEXTS.bad_label
    return ""


@dataclass(frozen=True, slots=True)
class ImportLine:
    """A line of an import file.

    If the line has an error, the model, the MAC address, the placeholder and the label are texts as written.

    :ivar account: the addresses of the owners, as written; empty for a phone without an owner.
    :ivar account_ids: the owners' accounts in order; empty if there is no owner, or an account is unknown.
    :ivar model: a key of `MODELS`; empty for a phone of any other model.
    :ivar mac: 12 hexadecimal digits in lower case; empty if there is no MAC address.
    :ivar placeholder: one of `PLACEHOLDERS`; empty if not known.
    :ivar label: the text by which people know the phone; empty if there is no label.
    :ivar errors: the reasons why the phone cannot be added; empty if the phone can be added.
    """

    number: int
    name: str
    account: str
    model: str
    mac: str
    account_ids: tuple[int, ...] = ()
    placeholder: str = ""
    label: str = ""
    errors: tuple[Translatable, ...] = ()


class UnfitImportFile(Exception):
    """Raised when a file cannot be read as a list of phones."""

    def __init__(self, reason: Translatable) -> None:
        super().__init__(str(reason))
        self.reason = reason


def read_rows(text: str) -> tuple[tuple[int, Mapping[str, str]], ...]:
    """Return the lines below the headings, each as the line's number and its values by column.

    :raises UnfitImportFile: when the file is no list of phones.
    """
    if not text.strip():
        raise UnfitImportFile(TEXTS.empty)
    if "\0" in text:
        raise UnfitImportFile(TEXTS.unreadable)
    columns: Sequence[str] = ()
    found: list[tuple[int, Mapping[str, str]]] = []
    try:
        for number, values in read_lines(text):
            if not columns:
                columns = _columns(values)
                continue
            found.append((number, dict(zip(columns, values, strict=False))))
    except UnreadableLine:
        raise UnfitImportFile(TEXTS.unreadable) from None
    if not columns:
        raise UnfitImportFile(TEXTS.no_header)
    if not found:
        raise UnfitImportFile(TEXTS.empty)
    if len(found) > MAX_LINES:
        raise UnfitImportFile(Phrase(TEXTS.too_many, {"lines": len(found), "most": MAX_LINES}))
    return tuple(found)


def _columns(headings: Sequence[str]) -> list[str]:
    """Return the column of each heading; empty for a heading that an import does not use.

    :raises UnfitImportFile: when a column is missing, or a heading is probably a misspelt column.
    """
    found = [_COLUMNS.get(heading.casefold(), "") for heading in headings]
    if not {"name", "model"} <= {*found}:
        raise UnfitImportFile(TEXTS.no_header)
    missing = [heading for heading, column in _COLUMNS.items() if column not in found]
    for heading, column in zip(headings, found, strict=True):
        if not column and (meant := closest(heading.casefold(), missing)):
            raise UnfitImportFile(Phrase(TEXTS.unknown_column, {"column": heading, "meant": meant}))
    return found


def check_file(connection: Connection, tenant: str, text: str) -> tuple[ImportLine, ...]:
    """Return the lines of a file, checked against the existing accounts and phones.

    :raises UnfitImportFile: when the file is no list of phones.
    """
    rows = read_rows(text)
    owners = {address.lower(): key for key, address in accounts.read_addresses(connection, tenant)}
    taken = stored.read_taken(connection, [row.get("name", "") for _, row in rows])
    return check_rows(rows, owners, taken, stored.read_macs(connection, tenant))


def check_rows(
    rows: Sequence[tuple[int, Mapping[str, str]]],
    account_ids: Mapping[str, int],
    taken: Collection[str],
    taken_macs: Mapping[str, str],
) -> tuple[ImportLine, ...]:
    """Check each line.

    :param account_ids: the ids of the tenant's accounts by their addresses in lower case.
    :param taken: the names in `rows` that phones of the gateway already have, in lower case.
    :param taken_macs: the names of the tenant's phones by their MAC addresses.
    """
    titles = {model.title.casefold(): key for key, model in MODELS.items()}
    names: dict[str, int] = {}
    macs: dict[str, int] = {}
    lines = []
    for number, row in rows:
        name, account, written = row.get("name", ""), row.get("account", ""), row.get("model", "")
        model = written.casefold()
        model = titles.get(model, model)
        mac, bad_mac = read_written_mac(row.get("mac", ""))
        placeholder, label = row.get("placeholder", ""), row.get("label", "")
        owners = find_owners(account, account_ids)
        found: Iterable[Translatable] = (
            _name_error(name, names, taken),
            TEXTS.no_account if owners is None else "",
            _model_error(written, model),
            bad_mac or _mac_error(mac, macs, taken_macs),
            _placeholder_error(placeholder, model),
            label_error(label),
        )
        errors = tuple(error for error in found if error)
        names.setdefault(name.lower(), number)
        if mac:
            macs.setdefault(mac, number)
        lines.append(
            ImportLine(
                number,
                name,
                account,
                written if errors else "" if model == OTHER_MODEL else model,
                row.get("mac", "") if errors else mac,
                owners or (),
                placeholder,
                label if errors else read_label(label),
                errors,
            )
        )
    return tuple(lines)


def find_owners(written: str, account_ids: Mapping[str, int]) -> tuple[int, ...] | None:
    """Return the accounts of the addresses in a text, in order, or None if an address has no account.

    :param written: addresses with commas, semicolons or blanks between them; empty for nobody.
    :param account_ids: the ids of the tenant's accounts by their addresses in lower case.
    """
    addresses = dict.fromkeys(re.split(r"[\s,;]+", written.strip().lower()) if written.strip() else ())
    if not addresses.keys() <= account_ids.keys():
        return None
    return tuple([account_ids[address] for address in addresses])


def _name_error(name: str, names: Mapping[str, int], taken: Collection[str]) -> Translatable:
    """Return the error message for a name; empty if the name is allowed.

    :param names: for each name in an earlier line, the number of the line.
    """
    if not name:
        return TEXTS.no_name
    if error := name_error(name):
        return error
    if name.lower() in names:
        return Phrase(TEXTS.same_name, {"line": names[name.lower()]})
    return TEXTS.taken if name.lower() in taken else ""


def _model_error(written: str, model: str) -> Translatable:
    if not written:
        return Phrase(TEXTS.no_model, {"models": _models()})
    if model in {OTHER_MODEL, *MODELS}:
        return ""
    if meant := closest(model, MODELS):
        return Phrase(TEXTS.similar_model, {"model": written, "meant": meant})
    return Phrase(TEXTS.unknown_model, {"model": written, "models": _models()})


def read_written_mac(written: str) -> tuple[str, Translatable]:
    """Return the MAC address that somebody has written, and an error message, which is empty if there is no error."""
    try:
        return read_mac(written), ""
    except ValueError:
        return "", Phrase(TEXTS.bad_mac, {"mac": written})


def _mac_error(mac: str, macs: Mapping[str, int], taken_macs: Mapping[str, str]) -> Translatable:
    """Return the error message for a MAC address; empty if the MAC address is allowed.

    :param macs: for each MAC address in an earlier line, the number of the line.
    """
    if mac in macs:
        return Phrase(TEXTS.same_mac, {"line": macs[mac]})
    return Phrase(TEXTS.taken_mac, {"phone": taken_macs[mac]}) if mac in taken_macs else ""


def _placeholder_error(placeholder: str, model: str) -> Translatable:
    if not placeholder or model not in {OTHER_MODEL, *MODELS}:
        return ""
    if model != OTHER_MODEL:
        return TEXTS.not_other
    if placeholder in PLACEHOLDERS:
        return ""
    return Phrase(TEXTS.bad_placeholder, {"placeholder": placeholder, "placeholders": " ".join(PLACEHOLDERS)})


def _models() -> str:
    return ", ".join((*MODELS, OTHER_MODEL))


# --- the zip of settings ----------------------------------------------------------------------------------------------

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
    :ivar has_our_labels: true if the labels of the fields are texts of ldapgw, which are translated; false if the
        labels are the phone's own words.
    :ivar file: name of the phone's settings file; empty if there is no file.
    :ivar code: an address with the phone's settings as a QR code, in SVG; empty if there is no such address.
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
    """Return the phone to store for a line without errors.

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
    """Return the contents of the files by name: the settings files of the phones, and a file with all sheets."""
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
            # All files have the same fixed time, so that the same phones make the same zip.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return octets.getvalue()


def _file_name(phone: NewPhone, sheet: Sheet) -> str:
    """Return the name of a phone's file in the zip, which is made from the phone's name if there is no MAC address."""
    suffix = sheet.vendor.file.rpartition(".")[2]
    if not phone.login.mac:
        return f"{phone.login.name}.{suffix}"
    return file_name(sheet.vendor, phone.login.mac)
