# SPDX-License-Identifier: MIT
"""Settings for Panasonic phones, as ``KEY="value"`` lines.

The first line is fixed: phones recognize the file by that line.  Commas separate attributes.  A phone that checks
certificates knows public authorities only; LDAP_ROOT_CERT_PATH is the URL of another one, which the gateway cannot
know.
"""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.lines import NOT_VERIFIED, quoted
from ldapgw.phones.provisioning.settings import LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import Advice, Document, Vendor
from ldapgw.phrase import gettext_noop

_UNVERIFIED = ("LDAP_SSL_VERIFY",)


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "LDAP_ENABLE": "Y",
        "LDAP_DNSSRV_ENABLE": "N",
        "LDAP_SERVER": link.address,
        "LDAP_SERVER_PORT": str(link.port),
        "LDAP_MAXRECORD": "20",
        "LDAP_NUMB_SEARCH_TIMER": "30",
        "LDAP_NAME_SEARCH_TIMER": "5",
        "LDAP_USERID": settings.login,
        "LDAP_PASSWORD": settings.password,
        "LDAP_NAME_FILTER": name_filter("%"),
        "LDAP_NUMB_FILTER": number_filter("%"),
        "LDAP_NAME_ATTRIBUTE": ",".join(NAME_ATTRIBUTES),
        "LDAP_NUMB_ATTRIBUTE": ",".join(number_attributes(per_number=settings.per_number)),
        "LDAP_BASEDN": settings.base_dn,
    }
    if link.security is not Security.PLAIN:
        values["LDAP_SSL_VERIFY"] = "1"
    lines = ["# Panasonic SIP Phone Standard Format File #"]
    for key, value in values.items():
        lines += [f"# {NOT_VERIFIED}:"] if key in _UNVERIFIED else []
        lines.append(f"{key}={quoted(value)}")
    return "\n".join(lines) + "\n"


_STEPS = (
    gettext_noop("Add the lines of the downloaded file to the phone’s configuration file on your provisioning server."),
    gettext_noop("Restart the phone, so that it reads the file."),
    gettext_noop("On the phone, open the phonebook, choose LDAP, and search for someone."),
)

PANASONIC = Vendor(
    key="panasonic",
    title="Panasonic",
    series="KX-HDV, KX-TGP",
    makes=("panasonic",),
    supported_security=(Security.LDAPS, Security.PLAIN),
    file="panasonic-ldap.cfg",
    write=_write,
    unverified=_UNVERIFIED,
    advice=(Advice.TLS_UNVERIFIED, Advice.ROOT_CERTIFICATE),
    steps=_STEPS,
    plain_steps=(2,),
    documents=(
        Document(
            "KX-HDV230 administrator guide (a copy), p. 51",
            "https://manualarchiveguide.com/manuals/Panasonic-KX-HDV230-Administrator-s-Manual-5434704?page=51",
            ("the format of the file",),
            (1,),
        ),
        Document(
            "KX-UTG300 administrator guide (a copy)",
            "https://manualsdump.com/en/manuals/panasonic-kx-utg300-kx-utg200/260856/44",
            ("Config{MAC}.cfg as an example",),
        ),
    ),
)
