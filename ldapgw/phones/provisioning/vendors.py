# SPDX-License-Identifier: MIT
"""The families of phones by vendor, read from ``ldapgw/phones/vendors``, and the names of vendors' settings files.

A phone asks a provisioning server for its settings by a file name.  The phone puts its MAC address, in upper or lower
case, into its vendor's pattern of file names (`Vendor.mac_files`).  Some phones first fetch another file, which
contains the name of the file with the settings (`Vendor.boot_files`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec

from ldapgw.phones.description import MODELS, OTHER_MODEL
from ldapgw.phones.provisioning.settings import (
    Security,
    name_filter,
    number_filter,
)
from ldapgw.phrase import gettext_noop, without_marks

# The note above the setup steps if the vendor's documents do not confirm all steps.  `CONFIRMED_MARK` stands beside
# each confirmed step.
FROM_OUR_NOTES = gettext_noop("From our notes; menus may differ by firmware.")
CONFIRMED_MARK = "✓"


class Format(StrEnum):
    """The format of a vendor's file, which decides how values are written."""

    XML = "xml"
    TEXT = "text"
    JSON = "json"


_MEDIA_TYPES = {
    Format.XML: "application/xml",
    Format.TEXT: "text/plain; charset=utf-8",
    Format.JSON: "application/json",
}


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
    EXACT_NUMBER = "exact_number"  # the phone finds a number only if all digits are equal
    NAME_LENGTH = "name_length"  # the login may have 50 characters at most
    LOGIN_BY_HAND = "login_by_hand"  # the keys of user name and password are not known
    CALLER_DELAY = "caller_delay"  # the phone rings only after the search for the caller's name
    LICENCE = "licence"  # old phones need a licence for LDAP
    SEARCH_ON_DEMAND = "search_on_demand"  # the softphone can fetch the whole book or search on demand


class VendorDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document about the settings of a vendor's phones, which the authors of the vendor's file have read.

    :ivar title: the author, the name, and the page or section of the document; not translated.
    :ivar url: the address of the document at the vendor's own site.  The address is empty if the document is somewhere
        else, or has no lasting address.
    :ivar confirms: the steps, and the names of files, that the document confirms, in the document's words.
    :ivar steps: the numbers of the steps whose menus the document names.
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
    :ivar is_confirmed: whether a document (`VendorDocument.steps`) names the menus of the step.
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
    """A value to enter by hand, with a label: either the label on the phone's web page, or a label of ldapgw.

    :ivar value: the value.  In `Vendor`, the value is a template with the same variables as the template of the
        settings file.
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
    :ivar supported_security: the kinds of protection that the phones support, the best protection first.
    :ivar name_filter: the recommended name filter, for the settings and for hints.
    :ivar number_filter: the recommended number filter, or the filter that the phones build themselves.
    :ivar max_hits: whether the phones' settings include a largest number of hits.
    :ivar attribute_setting: the name of the phone's setting for an attribute, for hints; empty if the phone has fields
        for the name attributes and the number attributes.
    :ivar list_setting: the setting, with its value, that makes the phones list everybody before anything is typed;
        empty if no source confirms a setting.
    :ivar file: the name of the file, whose template is ``KEY.j2``; empty if the values are entered by hand.
    :ivar format: the format of the file.
    :ivar mac_files: the names by which the phones ask a provisioning server for the file.  ``{mac}`` and ``{MAC}``
        stand for the MAC address, ``MODEL`` for the phone's model.  The first name is also the name of a phone's file
        in a zip archive (`ldapgw.phones.rollout`); people replace ``MODEL`` in this name.  There are no names if the
        phones do not ask by their MAC addresses.
    :ivar user_agent: a regular expression that matches the User-Agent of the phones, but of no other phones of the
        make; empty if not known or not needed.
    :ivar boot_files: regular expressions for the names of files that the phones fetch first.  The files, whose template
        is ``KEY.boot.j2``, contain the name of the file with the settings.
    :ivar dhcp_option: the number of the DHCP option with the address of the provisioning server.
    :ivar dhcp_file: the text that follows the folder's address in the DHCP option, with the phones' own placeholders;
        empty if the phones themselves add the name of the file.
    :ivar replaces_settings: true if a provisioning server's settings replace all settings of the phones.  A file from
        ldapgw then deletes the settings of a telephone system.
    :ivar fields: the fields to enter by hand.
    :ivar has_our_labels: true if the labels of the fields are texts of ldapgw, which are translated; false if the
        labels are the phone's own words.
    :ivar attribute_fields: the fields for attributes, for people who set up a phone without its file; the labels are
        texts of ldapgw.
    :ivar trust: how the phones get to trust a private authority, and what the phones do otherwise; empty if no source
        is known, or if the phones have no TLS.
    :ivar unverified: the keys of the file that no source confirms, or a few words about the keys.
    :ivar advice: advice for this family, to which `make_sheet` adds advice about TLS.
    :ivar steps: the steps that bring the settings into a phone; the last step is a search on the phone.  The words of
        the phone's menus have marks around them (`ldapgw.phrase`).
    :ivar file_step: the number of the step that needs the file; pages offer the file beside the step; 0 if no step
        needs the file.
    :ivar plain_steps: the numbers of the steps that name nothing on the phone, and that no source has to confirm.
    :ivar sources: the documents that the authors of the file have read.
    :ivar sources_checked: the month in which somebody last compared the file with its sources (``YYYY-MM``).
    :ivar tested: the models and firmware with which somebody tested the settings on a real phone; empty if nobody has
        tested the settings.
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
        return _MEDIA_TYPES[self.format]

    @property
    def one_number(self) -> bool:
        """Return whether one entry per number suits the phones better than one entry per contact."""
        return any(MODELS[make].per_number for make in self.makes)

    @property
    def setup_steps(self) -> tuple[SetupStep, ...]:
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
        """Return the note above the setup steps, to be translated.

        The note is empty if the documents in `sources` confirm all steps that name menus.
        """
        return FROM_OUR_NOTES if self.unconfirmed_steps else ""


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


# --- names of files ---------------------------------------------------------------------------------------------------

# Many phones ask for files such as y000000000108.cfg (Yealink) and 000000000000.cfg (Poly), whose digits are no MAC
# address.
_MAC = "(?!000000)[0-9A-Fa-f]{12}"
_ANY_MAC = re.compile(f"(?<![0-9A-Fa-f])(?P<mac>{_MAC})(?![0-9A-Fa-f])")


def file_name(vendor: Vendor, mac: str) -> str:
    """Return the name of a phone's file: the name by which the phone asks, or else the MAC address.

    :param mac: 12 hexadecimal digits in lower case.
    """
    pattern = next(iter(vendor.mac_files), f"{{mac}}.{vendor.file.rpartition('.')[2]}")
    return pattern.format(mac=mac, MAC=mac.upper())


def mac_of_file(name: str) -> str:
    """Return the MAC address in the name of a file, in lower case; empty if the name contains no MAC address."""
    match = next(filter(None, (_match_file(vendor, name) for vendor in all_vendors().values())), None)
    match = match or _ANY_MAC.search(name)
    return match["mac"].lower() if match else ""


def is_settings_file(name: str) -> bool:
    """Return whether a file has the name of a vendor's settings file, with a MAC address."""
    return any(_match_file(vendor, name) for vendor in all_vendors().values())


def vendor_of_file(model: str, name: str, user_agent: str = "") -> Vendor | None:
    """Return the vendor of a model whose phones ask for a file with this name, or None if there is no such vendor.

    Several series of a make may ask for the same name, but need different settings.  The function prefers the series
    whose `Vendor.user_agent` matches the phone's User-Agent.  If no series matches, a series without `user_agent` is
    returned.

    :param model: a key of `ldapgw.phones.description.MODELS`; empty if unknown.
    :param user_agent: the header of the request.
    """
    vendors = vendors_of(model)
    known = [vendor for vendor in vendors if vendor.user_agent and re.search(vendor.user_agent, user_agent)]
    others = [vendor for vendor in vendors if not vendor.user_agent]
    return next((vendor for vendor in (known or others) if _match_file(vendor, name)), None)


def _match_file(vendor: Vendor, name: str) -> re.Match[str] | None:
    return next(filter(None, (_file_pattern(pattern).fullmatch(name) for pattern in vendor.mac_files)), None)


@cache
def _file_pattern(pattern: str) -> re.Pattern[str]:
    regex = re.escape(pattern)
    for mark, value in ((r"\{mac\}", f"(?P<mac>{_MAC})"), (r"\{MAC\}", f"(?P<mac>{_MAC})"), ("MODEL", "[0-9A-Za-z-]+")):
        regex = regex.replace(mark, value)
    return re.compile(regex, re.IGNORECASE)
