# SPDX-License-Identifier: MIT
"""The sheet of settings for a phone: the text of the vendor's file, or fields to enter by hand, with advice.

The template of a file is ``ldapgw/phones/vendors/KEY.j2``.  A value in text or XML is reduced to one line, so that no
value can add a line, add an element, or close the quotes around the value.  In XML, each value is also escaped, so that
the value fits into an attribute or a text.  In JSON, only the filter ``json`` changes values.  The templates have the
filters ``label(n)``, ``quoted``, ``json`` and ``text``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import msgspec

from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import phone_dn
from ldapgw.phones.description import OTHER_MODEL
from ldapgw.phones.provisioning.settings import (
    MAX_HITS,
    NAME_ATTRIBUTES,
    PASSWORD_PLACEHOLDER,
    LdapEndpoint,
    PhoneSettings,
    Security,
    Site,
    choose_endpoint,
    filters_for,
    number_attributes,
)
from ldapgw.phones.provisioning.vendors import Advice, Field, Format, Vendor, all_vendors, vendors_of
from ldapgw.phrase import gettext_noop
from ldapgw.store.phones import NumberMode, PhoneLogin

if TYPE_CHECKING:
    from jinja2 import Environment, Template

# The maximum number of characters of a login name in Gigaset's phones.
_MAX_GIGASET_NAME = 50
# The advice about certificates if no source says how a phone can be made to trust a private authority.
_UNKNOWN_TRUST = gettext_noop(
    "We know no document that says whether this phone checks certificates. If the phone has a list of trusted "
    "certificates, load the certificate into this list."
)
_SECURITY_NAMES = {Security.LDAPS: "LDAPS", Security.STARTTLS: "StartTLS", Security.PLAIN: gettext_noop("None")}
# The fields that a person fills in on nearly every phone, with the labels of the vendor `OTHER_MODEL`.
_GENERAL_FIELDS = ("Server", "Port", "Encryption", "Search base", "User name", "Password")
NOT_VERIFIED = "not verified by ldapgw with such a phone"


@dataclass(frozen=True, slots=True)
class Sheet:
    """The settings of one phone for one vendor.

    :ivar link: the endpoint to which the phone connects, or None if the phone cannot connect.  Without an endpoint, the
        sheet has no settings.
    :ivar text: the text of the file; empty if there is no file.
    :ivar ca_url: the address of the private authority's certificate, which the phone has to trust; empty if the phone
        needs no such certificate.
    """

    vendor: Vendor
    link: LdapEndpoint | None
    text: str = ""
    fields: tuple[Field, ...] = ()
    advice: tuple[Advice, ...] = ()
    ca_url: str = ""

    @property
    def trust(self) -> str:
        """Return how the phone gets to trust the certificate at `ca_url`; empty without `ca_url`.

        The text is to be translated, and has marks around names (`ldapgw.phrase`).
        """
        return (self.vendor.trust or _UNKNOWN_TRUST) if self.ca_url else ""

    @property
    def printed(self) -> str:
        """Return the text of the file or, without a file, a line for each field; empty if there are no settings."""
        return self.text or "".join(f"{field.label}: {field.value}\n" for field in self.fields)


def settings_of(login: PhoneLogin, site: Site, password: str = "") -> PhoneSettings:
    """Return the settings of a stored phone.

    :param password: the password; empty if the password is no longer known.
    """
    return PhoneSettings(
        server=site.server,
        base_dn=site.base_dn,
        login=login.name,
        bind_dn=str(phone_dn(login.name, Dn.parse(site.base_dn))),
        password=password or PASSWORD_PLACEHOLDER,
        title=site.title,
        per_number=login.numbers is NumberMode.ENTRIES,
        placeholder=login.placeholder,
        mac=login.mac,
        ca_url=site.ca_url,
    )


def make_sheet(vendor: Vendor, settings: PhoneSettings) -> Sheet:
    """Return the settings of a phone in its vendor's format."""
    endpoint = choose_endpoint(settings.server, vendor.supported_security)
    if endpoint is None:
        return Sheet(vendor, None, advice=(*_about_server(settings), Advice.NO_COMMON_SECURITY))
    values = _template_values(vendor, settings, endpoint)
    return Sheet(
        vendor,
        endpoint,
        _render_file(vendor, f"{vendor.key}.j2", values) if vendor.file else "",
        _rendered(
            [field for field in vendor.fields if not (field.unless_per_number and settings.per_number)],
            values,
        ),
        (*_about_server(settings), *_about_tls(vendor, endpoint), *_about_entries(vendor, settings, endpoint)),
        _ca_url(settings, endpoint),
    )


def boot_file(login: PhoneLogin, name: str, folder: str) -> tuple[Vendor, str] | None:
    """Return the vendor whose phones fetch a file with this name before the settings, and the text of this file.

    :param folder: the address of the folder with the files.
    :returns: None if the phones of the model fetch no file with this name.
    """
    for vendor in vendors_of(login.model):
        if any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern in vendor.boot_files):
            return vendor, _render_file(vendor, f"{vendor.key}.boot.j2", {"folder": folder, "mac": login.mac})
    return None


def fields_by_hand(sheet: Sheet, settings: PhoneSettings) -> tuple[Field, ...]:
    """Return the fields to enter by hand in a phone: the vendor's fields, or else the values of the vendor's file.

    The result is empty if the gateway and the phone have no kind of protection in common.

    :param sheet: the sheet that `make_sheet` has made of the settings.
    """
    vendor = sheet.vendor
    if sheet.link is None or sheet.fields:
        return sheet.fields
    other = msgspec.structs.replace(all_vendors()[OTHER_MODEL], supported_security=vendor.supported_security)
    filters = {"Name filter": vendor.name_filter, "Number filter": vendor.number_filter}
    general = make_sheet(other, settings).fields
    chosen = (field for field in general if field.label in _GENERAL_FIELDS or field.label in filters)
    return (
        *(Field(field.label, filters.get(field.label, field.value), field.is_choice) for field in chosen),
        *_rendered(vendor.attribute_fields, _template_values(vendor, settings, sheet.link)),
    )


def has_our_labels(vendor: Vendor) -> bool:
    """Return whether the labels of `fields_by_hand` are texts of ldapgw, which are translated."""
    return vendor.has_our_labels or not vendor.fields


def _rendered(fields: Iterable[Field], values: Mapping[str, object]) -> tuple[Field, ...]:
    return tuple(Field(field.label, render_value(field.value, values), field.is_choice) for field in fields)


def _template_values(vendor: Vendor, settings: PhoneSettings, endpoint: LdapEndpoint) -> Mapping[str, object]:
    """Return the values for the templates, by the names that templates use (CONTRIBUTING.rst lists the names)."""
    by_name, by_number = vendor.name_filter, vendor.number_filter
    if vendor.key == OTHER_MODEL:
        by_name, by_number = filters_for(settings.placeholder)
    of_endpoint = ("host", "port", "authority", "address", "url")
    of_settings = ("base_dn", "login", "bind_dn", "password", "title", "per_number", "mac", "revision")
    return {
        **{name: getattr(endpoint, name) for name in of_endpoint},
        **{name: getattr(settings, name) for name in of_settings},
        "security": endpoint.security.value,
        "security_name": _SECURITY_NAMES[endpoint.security],
        "name_filter": by_name,
        "number_filter": by_number,
        "name_attributes": NAME_ATTRIBUTES,
        "number_attributes": number_attributes(per_number=settings.per_number),
        "max_hits": MAX_HITS,
        "plain_port": settings.server.port_for(Security.PLAIN),
        "not_verified": NOT_VERIFIED,
        "ca_url": _ca_url(settings, endpoint),
    }


def _ca_url(settings: PhoneSettings, endpoint: LdapEndpoint) -> str:
    return "" if endpoint.security is Security.PLAIN else settings.ca_url


def _about_server(settings: PhoneSettings) -> Iterable[Advice]:
    if settings.server.is_loopback:
        yield Advice.LOOPBACK
    if settings.server.is_port_guessed:
        yield Advice.GUESSED_PORT


def _about_tls(vendor: Vendor, endpoint: LdapEndpoint) -> Iterable[Advice]:
    if endpoint.security is Security.PLAIN:
        yield Advice.PLAIN_HERE if len(vendor.supported_security) > 1 else Advice.PLAIN_ONLY
        return
    yield Advice.CERTIFICATE
    if ":" in endpoint.host or endpoint.host.replace(".", "").isdigit():
        yield Advice.HOST_NAME


def _about_entries(vendor: Vendor, settings: PhoneSettings, endpoint: LdapEndpoint) -> Iterable[Advice]:
    for advice in vendor.advice:
        if advice is Advice.OLD_TLS and endpoint.security is Security.PLAIN:
            continue
        if advice is Advice.NAME_CHARACTERS and settings.login.isalnum():
            continue
        if advice is Advice.NAME_LENGTH and len(settings.login) <= _MAX_GIGASET_NAME:
            continue
        yield advice
    if vendor.one_number and not settings.per_number:
        yield Advice.ONE_NUMBER


# --- templates --------------------------------------------------------------------------------------------------------

_IN_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class _Escaped(str):
    """A text that is escaped already."""

    __slots__ = ()


def _render_file(vendor: Vendor, template: str, values: Mapping[str, object]) -> str:
    """Return the text of a file of a vendor.

    :raises jinja2.TemplateError: if the template is wrong, or names a value that is not there.
    """
    return _environment(_FINALIZERS[vendor.format]).get_template(template).render(values)


def render_value(template: str, values: Mapping[str, object]) -> str:
    """Return the value of a field to enter by hand; nothing is escaped.

    :raises jinja2.TemplateError: as for `_render_file`.
    """
    return _value_template(template).render(values)


def _one_line(value: str) -> str:
    """Return a value without line breaks and control characters, most of which XML 1.0 forbids as well."""
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") else char
                   for char in value).strip()  # fmt: skip


def _label(title: str, max_length: int) -> str:
    """Return the directory's name for a phone's menu, at most `max_length` characters long."""
    return _one_line(title)[:max_length].rstrip() or "Contacts"


def _quoted(value: str) -> str:
    """Return a value in double quotes; double quotes in the value become apostrophes, because there are no escapes."""
    return '"' + _one_line(value).replace('"', "'") + '"'


def _xml_text(value: str) -> str:
    """Escape a value for the text of an element, in which double quotes need no escape."""
    return _Escaped(_one_line(value).translate(_IN_TEXT))


def _xml_value(value: object) -> str:
    return value if isinstance(value, _Escaped) else _xml_text(str(value)).replace('"', "&quot;")


_FINALIZERS: Mapping[Format, Callable[[object], str]] = {
    Format.XML: _xml_value,
    Format.TEXT: lambda value: _one_line(str(value)),
    Format.JSON: str,
}


@cache  # the environment is cached, because it keeps the compiled templates
def _environment(finalize: Callable[[object], str]) -> Environment:
    # Jinja is imported here, so that commands that print no settings save 0.1 s of processor time.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701  Jinja escapes only for HTML; `finalize` escapes for each format
        loader=PackageLoader("ldapgw.phones", "vendors"),
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    to_json = partial(json.dumps, ensure_ascii=False, indent=2)
    environment.filters.update(label=_label, quoted=_quoted, json=to_json, text=_xml_text)
    return environment


@cache
def _value_template(template: str) -> Template:
    return _environment(str).from_string(template)
