# SPDX-License-Identifier: MIT
"""The settings of many phones in one zip: a file for each phone, as its vendor's provisioning names it, and sheets.

The sheets are one HTML file to print, a page for each phone.  The zip is the only place where the new passwords are.
Pure; a zip of hundreds of phones takes tenths of a second, so it is not for the reactor's thread.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from ldapgw.phones.import_file import ImportLine
from ldapgw.phones.models import MODELS
from ldapgw.phones.provisioning.settings import PhoneSettings, ServerAddress
from ldapgw.phones.provisioning.sheet import Sheet, Vendor, make_sheet, settings_of
from ldapgw.phones.provisioning.vendors import fields_by_hand, has_our_labels, vendors_of
from ldapgw.phrase import Translatable, gettext_noop
from ldapgw.store.phones import PhoneLogin

SHEETS_FILE = "sheets.html"

# What the vendors' phones ask a provisioning server for; other phones' files are named by the MAC address alone.
# Those of Yealink, Grandstream, Poly, Mitel, Panasonic, Htek and VTech are in the documents of these vendors, though
# not whether Mitel's and VTech's MAC addresses are in upper case; the others are not verified.
# MODEL stands for the phone's model, which people have to fill in.
_MAC_NAMES: Mapping[str, str] = {
    "yealink": "{mac}.cfg",
    "snom": "{MAC}.xml",
    "grandstream": "cfg{mac}.xml",
    "grandstream-dp": "cfg{mac}.xml",
    # A Poly phone's {mac}.cfg lists the files with its settings; this is one of them.
    "poly": "{mac}-ldap.cfg",
    "cisco-mpp": "{mac}.xml",
    "cisco-spa": "spa{mac}.xml",
    "fanvil": "{mac}.cfg",
    "fanvil-text": "{mac}.cfg",
    "mitel": "{MAC}.cfg",
    "panasonic": "Config{MAC}.cfg",
    "htek": "cfg{mac}.xml",
    "akuvox": "{mac}.cfg",
    "vtech": "MODEL_{MAC}.cfg",
    "gigaset-maxwell": "{MAC}.xml",
}

_MAC = "[0-9A-Fa-f]{12}"

_TITLE = gettext_noop("Phone settings")
_OWNER = gettext_noop("Owner")
_MODEL = gettext_noop("Model")
_FILE = gettext_noop("File")
_SHOWN_ONCE = gettext_noop("The passwords are shown only here. Keep these pages safe, and destroy them after setup.")
_NO_SECURITY = gettext_noop("This phone can’t connect: it supports no encryption that the gateway offers.")

_STYLE = (
    "body{font:11pt/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem}"
    "section{break-after:page;margin-bottom:3rem}h1{font-size:1.1rem}h2{font-size:1.6rem;margin:0 0 .5rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;"
    "border-top:1px solid #ccc;overflow-wrap:anywhere}th{font-weight:500;width:16rem}code{font-size:.95em}"
    "@media print{body{margin:0;max-width:none}h1{display:none}section:last-child{break-after:auto}}"
)


@dataclass(frozen=True, slots=True)
class Site:
    """What the settings of all phones of a tenant have in common.

    :ivar title: the tenant's name for people, and the directory's name on phones.
    """

    server: ServerAddress
    base_dn: str
    title: str


@dataclass(frozen=True, slots=True)
class NewPhone:
    """A phone with a new password.

    :ivar owner: the owner's address; empty: nobody's phone.
    :ivar mac: 12 hexadecimal digits in lower case; empty: not known.
    """

    login: PhoneLogin
    password: str = field(repr=False)
    owner: str = ""
    mac: str = ""


def new_phone(line: ImportLine, tenant: str, password: str, hashed: str, now: float) -> NewPhone:
    """The phone of a line without an error."""
    login = PhoneLogin(
        name=line.name,
        tenant=tenant,
        account_id=line.account_id,
        numbers=line.numbers,
        password=hashed,
        created_at=now,
        model=line.model,
        placeholder=line.placeholder,
    )
    return NewPhone(login, password, line.account, line.mac)


def make_files(
    phones: Sequence[NewPhone], site: Site, translate: Callable[[Translatable], str] = str, language: str = "en"
) -> Mapping[str, bytes]:
    """The files of the zip by their names: a vendor's file for each phone that takes one, and the sheets.

    :param translate: renders a text of the sheets in a language.
    :param language: the tag of that language.
    """
    files: dict[str, bytes] = {}
    sections = []
    for phone in phones:
        sheet = make_sheet(vendors_of(phone.login.model)[0], _settings(phone, site))
        name = _file_name(phone, sheet) if sheet.text else ""
        if name:
            files[name] = sheet.text.encode()
        sections.append(_section(phone, sheet, site, name, translate))
    files[SHEETS_FILE] = _document(sections, site.title, translate, language).encode()
    return files


def make_zip(
    phones: Sequence[NewPhone], site: Site, translate: Callable[[Translatable], str] = str, language: str = "en"
) -> bytes:
    """A zip of `make_files`."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in make_files(phones, site, translate, language).items():
            # Always of the same time, so that the same phones make the same zip.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return octets.getvalue()


def _settings(phone: NewPhone, site: Site) -> PhoneSettings:
    return settings_of(phone.login, site.server, site.base_dn, site.title, phone.password)


def is_mac_name(vendor: Vendor, file: str) -> bool:
    """Whether a file's name is the one that the vendor's phones ask for, with some MAC address."""
    pattern = re.escape(_mac_pattern(vendor))
    for mark, value in ((r"\{mac\}", _MAC), (r"\{MAC\}", _MAC), ("MODEL", "[0-9A-Za-z]+")):
        pattern = pattern.replace(mark, value)
    return re.fullmatch(pattern, file) is not None


def _mac_pattern(vendor: Vendor) -> str:
    return _MAC_NAMES.get(vendor.key, f"{{mac}}.{vendor.file.rpartition('.')[2]}")


def _file_name(phone: NewPhone, sheet: Sheet) -> str:
    """The file's name in the zip; phones whose MAC address is not known get a file with their own name."""
    suffix = sheet.vendor.file.rpartition(".")[2]
    if not phone.mac:
        return f"{phone.login.name}.{suffix}"
    return _mac_pattern(sheet.vendor).format(mac=phone.mac, MAC=phone.mac.upper())


def _section(phone: NewPhone, sheet: Sheet, site: Site, file: str, translate: Callable[[Translatable], str]) -> str:
    vendor = sheet.vendor
    rows: list[tuple[str, str]] = [(translate(_OWNER), phone.owner or "–")]
    model = MODELS[phone.login.model].title if phone.login.model else "–"
    rows.append((translate(_MODEL), f"{model}, MAC {phone.mac}" if phone.mac else model))
    if file:
        rows.append((translate(_FILE), file))
    fields = fields_by_hand(vendor, _settings(phone, site))
    rows += [(translate(one.label) if has_our_labels(vendor) else one.label, one.value) for one in fields]
    steps = "".join(f"<li>{escape(translate(step))}" for step in vendor.steps)
    advice = f"<ol>{steps}</ol>" if sheet.link else f"<p>{escape(translate(_NO_SECURITY))}</p>"
    return f"<section><h2>{escape(phone.login.name)}</h2>{advice}{_table(rows)}</section>"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f"<tr><th scope=row>{escape(label)}<td><code>{escape(value)}</code>" for label, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _document(sections: Iterable[str], title: str, translate: Callable[[Translatable], str], language: str) -> str:
    heading = escape(f"{translate(_TITLE)} · {title}")
    return (
        f'<!doctype html><html lang="{language}"><meta charset=utf-8><title>{heading}</title><style>{_STYLE}</style>'
        f"<h1>{heading}</h1><p>{escape(translate(_SHOWN_ONCE))}</p>\n" + "\n".join(sections) + "\n</html>\n"
    )
