# SPDX-License-Identifier: MIT
"""The families of phones by vendor, read from ``ldapgw/phones/vendors``, and the sheet of settings for a phone.

A phone asks a provisioning server for its settings by a file name.  The phone puts its MAC address, in upper or lower
case, into its vendor's pattern of file names (`Vendor.mac_files`).  Some phones first fetch another file, which
contains the name of the file with the settings (`Vendor.boot_files`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec

from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import phone_dn
from ldapgw.phones.description import MODELS, OTHER_MODEL
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
    name_filter,
    number_attributes,
    number_filter,
)
from ldapgw.phones.provisioning.templates import NOT_VERIFIED, Format, render_boot_file, render_file, render_value
from ldapgw.phrase import gettext_noop, without_marks
from ldapgw.store.phones import NumberMode, PhoneLogin

# The maximum number of characters of a login name in Gigaset's phones.
_MAX_GIGASET_NAME = 50

# Two texts: the line above the steps, which is shown unless sources confirm all steps; and the mark beside a confirmed
# step.
FROM_OUR_NOTES = gettext_noop("From our notes; menus may differ by firmware.")
CONFIRMED_MARK = "✓"
# How a phone gets to trust a private authority, if no source says how.
_UNKNOWN_TRUST = gettext_noop(
    "We know no document that says whether this phone checks certificates. If the phone has a list of trusted "
    "certificates, load the certificate into this list."
)

_MEDIA_TYPES = {
    Format.XML: "application/xml",
    Format.TEXT: "text/plain; charset=utf-8",
    Format.JSON: "application/json",
}
_SECURITY_NAMES = {Security.LDAPS: "LDAPS", Security.STARTTLS: "StartTLS", Security.PLAIN: gettext_noop("None")}


class Advice(StrEnum):
    """Advice for the person who sets a phone up; the page has the texts."""

    NO_COMMON_SECURITY = "no_way"  # the gateway and the phone have no kind of protection in common
    LOOPBACK = "loopback"  # phones cannot reach the gateway at this host
    GUESSED_PORT = "guessed_port"  # the port is probably right, but not certainly
    PLAIN_ONLY = "plain_only"  # this model has no TLS
    PLAIN_HERE = "plain_here"  # the gateway offers no TLS that the model supports
    CERTIFICATE = "certificate"  # the phone has to trust the authority that issued the certificate
    HOST_NAME = "host_name"  # the phone checks the certificate against a host name, not an address
    OLD_FIRMWARE = "old_firmware"  # the keys for TLS need a newer firmware
    OLD_TLS = "old_tls"  # older firmware connects to the TLS port without TLS
    NAME_CHARACTERS = "name_characters"  # a login may have only letters and digits
    TLS_UNVERIFIED = "tls_unverified"  # the setting that switches TLS on is unverified
    STAR_ADDED = "star_added"  # firmware before 10.1.27 adds a second star, which is harmless
    ONE_NUMBER = "one_number"  # the phone shows one number: add the phone with --numbers entries
    NO_CALLER_LOOKUP = "no_caller_lookup"  # no document of the vendor says that the phone looks up callers' names
    FIELDS_ALONE = "fields_alone"  # only the web page fields are known, not the keys of a file
    NUMBER_FIELDS = "number_fields"  # the keys for the number attributes are unverified
    EXACT_NUMBER = "exact_number"  # the phone finds a number only if the whole number is equal
    NAME_LENGTH = "name_length"  # the login may have 50 characters at most
    LOGIN_BY_HAND = "login_by_hand"  # the keys of user name and password are not known
    CALLER_DELAY = "caller_delay"  # the phone waits for the caller's name before it rings
    LICENCE = "licence"  # old phones need a licence for LDAP
    SEARCH_ON_DEMAND = "search_on_demand"  # the softphone can fetch the whole book or search on demand


class VendorDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document about the settings of a vendor's phones, which the authors of the vendor's file have read.

    :ivar title: who wrote the document, its name, and the page or section; not translated.
    :ivar url: the address of the document at the vendor's own site.  Empty if the document is somewhere else, or has no
        lasting address; people then find the document by its title.
    :ivar confirms: the steps, and the names of files, that the document confirms, in the document's words.
    :ivar steps: the numbers of those steps whose menus the document names.
    """

    title: str
    url: str = ""
    confirms: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step that brings the settings into a phone.

    :ivar number: the number of the step, counted from 1.
    :ivar message: the step's text, to be translated, with marks around names (`ldapgw.phrase`).
    :ivar is_confirmed: whether a source names the menus of the step.
    """

    number: int
    message: str
    is_confirmed: bool

    @property
    def text(self) -> str:
        """Return the step's text as plain English text."""
        return without_marks(self.message)

    @property
    def marked_text(self) -> str:
        """Return the step's text, with a mark behind the text if the step is confirmed."""
        return f"{self.text} {CONFIRMED_MARK}" if self.is_confirmed else self.text


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value to enter by hand, with a label: the phone's own label, on its web page, or ldapgw's label.

    :ivar value: the value; in a field of `Vendor`, a template with the variables of the file's template.
    :ivar is_choice: true if the value is one of several choices on the phone; the value is then in ldapgw's words, and
        translated.
    :ivar unless_per_number: true if the field does not apply to a phone that gets one entry per number.
    """

    label: str
    value: str
    is_choice: bool = False
    unless_per_number: bool = False


class Vendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A family of phones that take the same file; its attributes are the keys of ``ldapgw/phones/vendors/KEY.toml``.

    :ivar key: the vendor's identifier in URLs; also the name of the vendor's files in ``ldapgw/phones/vendors``.
    :ivar title: name for people.
    :ivar series: the series of phones, for people.
    :ivar makes: keys of `ldapgw.phones.description.MODELS`.
    :ivar position: the vendor's position in the list of vendors, the smallest first.
    :ivar supported_security: the kinds of protection that the phones support, the best one for the phones first.
    :ivar name_filter: the recommended name filter, for the settings and for hints.
    :ivar number_filter: the recommended number filter, for the same uses.  If a phone takes no filter, this is the
        filter that the phone builds itself.
    :ivar max_hits: whether the phones' settings include a largest number of hits.
    :ivar attribute_setting: the name of the phone's setting for an attribute, for hints; empty if the phone has fields
        for the name attributes and the number attributes.
    :ivar list_setting: the setting, with its value, with which the phones list everybody before anything is typed;
        empty if no source confirms such a setting.
    :ivar file: the name of the file, whose template is ``KEY.j2``; empty if the values are entered by hand.
    :ivar format: the format of the file.
    :ivar mac_files: the names by which the phones ask a provisioning server for the file.  ``{mac}`` and ``{MAC}``
        stand for the MAC address, ``MODEL`` for the phone's model.  A file for people to copy has the first of these
        names, in which people replace ``MODEL``.  Empty if the phones do not ask by their MAC addresses.
    :ivar user_agent: a regular expression that matches the User-Agent of these phones, but not that of other phones of
        the make; empty if not known, or not needed to tell the phones apart.
    :ivar boot_files: regular expressions for the names of files that the phones fetch first, and from which the phones
        learn the name of the file with the settings.  The template of these files is ``KEY.boot.j2``.
    :ivar dhcp_option: the number of the DHCP option with the address of the provisioning server.
    :ivar dhcp_file: the text, with the phones' own placeholders, that follows the folder's address in this option;
        empty if the phones themselves add the name of the file.
    :ivar replaces_settings: true if a provisioning server's settings replace all settings of the phones.  Such phones
        lose the settings of a telephone system if they get their file from ldapgw.
    :ivar fields: the fields to enter by hand.
    :ivar has_our_labels: true if the labels of the fields are texts of ldapgw, which are translated; false if they are
        the phone's own words.
    :ivar attribute_fields: for phones that take a file, the values of the file that name attributes, as a person enters
        them by hand; the labels are texts of ldapgw.
    :ivar trust: how the phones get to trust a private authority, and what the phones do otherwise; empty if no source
        says so, or if the phones have no TLS.
    :ivar unverified: the keys that no source confirms, or a few words on these keys.
    :ivar advice: advice for this family, to which `make_sheet` adds advice about TLS.
    :ivar steps: the steps that bring the settings into a phone, in the words of its menus, with marks around these
        (`ldapgw.phrase`); the last step is a search on the phone.
    :ivar file_step: the number of the step that needs the file, beside which pages offer the file; 0 if no step does.
    :ivar plain_steps: the numbers of the steps that name nothing on the phone, so that no source has to confirm them.
    :ivar sources: the documents that the authors of the file have read.
    :ivar sources_checked: the month in which somebody last compared the file with its sources (``YYYY-MM``).
    :ivar tested: the models and firmware with which somebody tested the settings on a real phone; empty if nobody did.
    """

    key: str
    title: str
    series: str
    makes: tuple[str, ...]
    position: int
    supported_security: tuple[Security, ...]
    name_filter: str = name_filter("%")
    number_filter: str = number_filter("%")
    max_hits: bool = True
    attribute_setting: str = ""
    list_setting: str = ""
    file: str = ""
    format: Format = Format.TEXT
    mac_files: tuple[str, ...] = ()
    user_agent: str = ""
    boot_files: tuple[str, ...] = ()
    dhcp_option: int = 66
    dhcp_file: str = ""
    replaces_settings: bool = False
    fields: tuple[Field, ...] = ()
    has_our_labels: bool = False
    attribute_fields: tuple[Field, ...] = ()
    trust: str = ""
    unverified: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
    steps: tuple[str, ...] = ()
    file_step: int = 0
    plain_steps: tuple[int, ...] = ()
    sources: tuple[VendorDocument, ...] = ()
    sources_checked: str = ""
    tested: str = ""

    @property
    def media_type(self) -> str:
        """Return the media type of the file."""
        return _MEDIA_TYPES[self.format]

    @property
    def one_number(self) -> bool:
        """Return whether one entry per number suits the phones better than one entry per contact."""
        return any(MODELS[make].per_number for make in self.makes)

    @property
    def setup_steps(self) -> tuple[SetupStep, ...]:
        """Return the steps, for every page, sheet and command that shows them."""
        confirmed = {number for source in self.sources for number in source.steps}
        return tuple(SetupStep(number, message, number in confirmed) for number, message in enumerate(self.steps, 1))

    @property
    def unconfirmed_steps(self) -> frozenset[int]:
        """Return the numbers of the steps whose menus no source names."""
        return frozenset(
            step.number for step in self.setup_steps if not step.is_confirmed and step.number not in self.plain_steps
        )

    @property
    def steps_note(self) -> str:
        """Return the line above the steps, to be translated; empty if sources confirm all steps."""
        return FROM_OUR_NOTES if self.unconfirmed_steps else ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The settings of one phone for one vendor.

    :ivar link: the endpoint to which the phone connects.  None if the phone cannot connect; the sheet then has no
        settings.
    :ivar text: the text of the file; empty if there is none.
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
        render_file(vendor.key, vendor.format, values) if vendor.file else "",
        _rendered(
            [field for field in vendor.fields if not (field.unless_per_number and settings.per_number)],
            values,
        ),
        (*_about_server(settings), *_about_tls(vendor, endpoint), *_about_entries(vendor, settings, endpoint)),
        _ca_url(settings, endpoint),
    )


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


# The fields that a person fills in on nearly every phone, with the labels of the vendor `OTHER_MODEL`.
_GENERAL_FIELDS = ("Server", "Port", "Encryption", "Search base", "User name", "Password")


@cache
def all_vendors() -> Mapping[str, Vendor]:
    """Return all vendors by their keys.  The first call reads the vendors' files, which takes some 20 ms.

    :raises ValueError: if a file is not TOML.
    :raises msgspec.ValidationError: if a key or a value of a file is unknown.
    """
    found = []
    for file in (files("ldapgw.phones") / "vendors").iterdir():
        key, _, ending = file.name.rpartition(".")
        if ending != "toml":
            continue
        try:
            found.append(msgspec.convert({"key": key, **tomllib.loads(file.read_text("utf-8"))}, Vendor))
        except (ValueError, msgspec.ValidationError) as error:
            error.add_note(f"in {file}")
            raise
    return MappingProxyType({vendor.key: vendor for vendor in sorted(found, key=lambda vendor: vendor.position)})


def vendors_of(model: str) -> tuple[Vendor, ...]:
    """Return the vendors that fit a model, the likeliest first; if no vendor fits, the vendor `OTHER_MODEL`.

    :param model: a key of `ldapgw.phones.description.MODELS`; empty if unknown.
    """
    candidates = [vendor for vendor in all_vendors().values() if model in vendor.makes]
    # Gigaset's desk phones with Snom's software come last, because most of Gigaset's phones do not have this software.
    return tuple(sorted(candidates, key=lambda vendor: vendor.makes[0] != model)) or (all_vendors()[OTHER_MODEL],)


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


# --- names of files ---------------------------------------------------------------------------------------------------

# The digits in names such as y000000000108.cfg (Yealink) and 000000000000.cfg (Poly), for which many phones ask, are no
# MAC address.
_MAC = "(?!000000)[0-9A-Fa-f]{12}"
_ANY_MAC = re.compile(f"(?<![0-9A-Fa-f])(?P<mac>{_MAC})(?![0-9A-Fa-f])")


def file_name(vendor: Vendor, mac: str) -> str:
    """Return the name of a phone's file: the name by which the phone asks, or else the MAC address.

    :param mac: 12 hexadecimal digits in lower case.
    """
    pattern = next(iter(vendor.mac_files), f"{{mac}}.{vendor.file.rpartition('.')[2]}")
    return pattern.format(mac=mac, MAC=mac.upper())


def mac_of_file(name: str) -> str:
    """Return the MAC address in the name of a file, in lower case; empty if the name contains none."""
    match = next(filter(None, (_match_file(vendor, name) for vendor in all_vendors().values())), None)
    match = match or _ANY_MAC.search(name)
    return match["mac"].lower() if match else ""


def is_settings_file(name: str) -> bool:
    """Return whether a file's name fits the pattern, with some MAC address, of any vendor's settings files."""
    return any(_match_file(vendor, name) for vendor in all_vendors().values())


def vendor_of_file(model: str, name: str, user_agent: str = "") -> Vendor | None:
    """Return that vendor of a model whose phones ask for a file with this name; None if there is no such vendor.

    Several series of a make may ask for the same name, but need different settings.  Then the series whose
    `Vendor.user_agent` matches the phone's User-Agent is returned.  If no series matches, a series without `user_agent`
    is returned.

    :param model: a key of `ldapgw.phones.description.MODELS`; empty if unknown.
    :param user_agent: the header of the request.
    """
    vendors = vendors_of(model)
    known = [vendor for vendor in vendors if vendor.user_agent and re.search(vendor.user_agent, user_agent)]
    others = [vendor for vendor in vendors if not vendor.user_agent]
    return next((vendor for vendor in (known or others) if _match_file(vendor, name)), None)


def boot_file(login: PhoneLogin, name: str, folder: str) -> tuple[Vendor, str] | None:
    """Return the vendor whose phones fetch a file with this name before the settings, and the text of this file.

    :param folder: the address of the folder with the files.
    :returns: None if phones of this model fetch no such file.
    """
    for vendor in vendors_of(login.model):
        if any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern in vendor.boot_files):
            return vendor, render_boot_file(vendor.key, vendor.format, {"folder": folder, "mac": login.mac})
    return None


def _match_file(vendor: Vendor, name: str) -> re.Match[str] | None:
    return next(filter(None, (_file_pattern(pattern).fullmatch(name) for pattern in vendor.mac_files)), None)


@cache
def _file_pattern(pattern: str) -> re.Pattern[str]:
    regex = re.escape(pattern)
    for mark, value in ((r"\{mac\}", f"(?P<mac>{_MAC})"), (r"\{MAC\}", f"(?P<mac>{_MAC})"), ("MODEL", "[0-9A-Za-z-]+")):
        regex = regex.replace(mark, value)
    return re.compile(regex, re.IGNORECASE)
