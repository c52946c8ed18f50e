# SPDX-License-Identifier: MIT
"""A vendor, and the sheet of settings that one of its phones is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ldapgw.phones.models import MODELS
from ldapgw.phones.provisioning.filters import name_filter, number_filter
from ldapgw.phones.provisioning.settings import LdapEndpoint, PhoneSettings, Security, choose_endpoint

XML, TEXT, JSON = "application/xml", "text/plain; charset=utf-8", "application/json"


class Advice(StrEnum):
    """What somebody who sets a phone up has to know; the page has the words."""

    NO_COMMON_SECURITY = "no_way"  # the phone can do nothing that the gateway offers
    LOOPBACK = "loopback"  # no phone can reach the server by this name
    GUESSED_PORT = "guessed_port"  # the port is only likely to be the one
    PLAIN_ONLY = "plain_only"  # this model has no TLS
    PLAIN_HERE = "plain_here"  # the gateway has no TLS that the model knows
    CERTIFICATE = "certificate"  # load the certificate, where it is private
    HOST_NAME = "host_name"  # certificates are checked against a name, not an address
    OLD_FIRMWARE = "old_firmware"  # the keys of TLS came with a newer firmware
    TRUST_LIST = "trust_list"  # the certificate's file is named in TRUSTCERTS
    NAME_CHARACTERS = "name_characters"  # the login may have letters and digits alone
    TLS_UNVERIFIED = "tls_unverified"  # how TLS is switched on is not known for sure
    STAR_ADDED = "star_added"  # firmware before 10.1.27 adds the star itself: harmless
    ONE_NUMBER = "one_number"  # shows one number: add the phone with entries
    NO_CALLER_LOOKUP = "no_caller_lookup"  # callers' names are not looked up
    FIELDS_ALONE = "fields_alone"  # the keys are not known, the fields of its web page are
    NUMBER_FIELDS = "number_fields"  # which number fields it reads cannot be told to it for sure
    EXACT_NUMBER = "exact_number"  # compares whole numbers alone


@dataclass(frozen=True, slots=True)
class Field:
    """A value to be entered by hand; the label is that of the phone's own web page, or ours."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """A family of phones that take the same file.

    :ivar key: in addresses.
    :ivar series: of phones, for people.
    :ivar makes: words of `ldapgw.phones.models`.
    :ivar able: how it can protect a connection.
    :ivar file: the name of the file; empty: there is none, the fields are entered by hand.
    :ivar write: the file's text.
    :ivar fields: what is entered by hand.
    :ivar unverified: keys of which we are not sure.
    :ivar advice: what has to be known besides; that about TLS is found by `sheet`.
    :ivar name_filter: as it should be in such a phone, for hints.
    :ivar number_filter: likewise; of a phone that takes none, how it compares numbers by itself.
    :ivar max_hits: whether its settings have a largest number of hits.
    """

    key: str
    title: str
    series: str
    makes: tuple[str, ...]
    supported_security: tuple[Security, ...]
    name_filter: str = name_filter("%")
    number_filter: str = number_filter("%")
    max_hits: bool = True
    file: str = ""
    media_type: str = TEXT
    write: Callable[[PhoneSettings, LdapEndpoint], str] | None = None
    fields: Callable[[PhoneSettings, LdapEndpoint], Iterable[Field]] | None = None
    unverified: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()

    @property
    def one_number(self) -> bool:
        """Whether an entry for each number of a contact is better for it."""
        return any(MODELS[make].per_number for make in self.makes)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is shown of one vendor for one phone.

    :ivar link: how it connects; None: it cannot, and nothing is printed.
    :ivar text: of the file; empty: there is none.
    """

    vendor: Vendor
    link: LdapEndpoint | None
    text: str = ""
    fields: tuple[Field, ...] = ()
    advice: tuple[Advice, ...] = ()


def make_sheet(vendor: Vendor, settings: PhoneSettings) -> Sheet:
    """The settings of a phone, as its vendor wants them."""
    endpoint = choose_endpoint(settings.server, vendor.supported_security)
    if endpoint is None:
        return Sheet(vendor, None, advice=(*_about_server(settings), Advice.NO_COMMON_SECURITY))
    return Sheet(
        vendor,
        endpoint,
        vendor.write(settings, endpoint) if vendor.write else "",
        tuple(vendor.fields(settings, endpoint)) if vendor.fields else (),
        (*_about_server(settings), *_about_tls(vendor, endpoint), *_about_entries(vendor, settings)),
    )


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
    if _is_address(endpoint.host):
        yield Advice.HOST_NAME


def _about_entries(vendor: Vendor, settings: PhoneSettings) -> Iterable[Advice]:
    for advice in vendor.advice:
        if advice is Advice.NAME_CHARACTERS and settings.login.isalnum():
            continue
        yield advice
    if vendor.one_number and not settings.per_number:
        yield Advice.ONE_NUMBER


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
