# SPDX-License-Identifier: MIT
"""Settings for Akuvox phones, as ``key = value`` lines.

The placeholder is a number sign (tancredi's template for these phones, in use with them); the phone adds the star.
"""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.lines import NOT_VERIFIED, one_line
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import Advice, Vendor
from ldapgw.phrase import gettext_noop

_UNVERIFIED = ("that the port alone selects LDAPS",)


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "NameFilter": name_filter("#"),
        "NumberFilter": number_filter("#"),
        "Server": link.host,
        "Port": str(link.port),
        "Root": settings.base_dn,
        "User": settings.login,
        "Pwd": settings.password,
        "MaxHits": str(MAX_HITS),
        "NameAttr": " ".join(NAME_ATTRIBUTES),
        "NumberAttr": " ".join(number_attributes(per_number=settings.per_number)),
        "DisplayName": "cn",
        "SearchDelay": "1000",
        "Enable": "1",
    }
    lines = [f"# {NOT_VERIFIED}: {text}" for text in _UNVERIFIED if link.security is not Security.PLAIN]
    lines += [f"Config.Ldap.LDAP.{key} = {one_line(value)}".rstrip() for key, value in values.items()]
    return "\n".join(lines) + "\n"


_STEPS = (
    gettext_noop("On the phone, open Menu > Status to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop(
        "Go to Upgrade > Advanced, and import the downloaded file under Config File. Or enter the values under "
        "PhoneBook > LDAP."
    ),
    gettext_noop("On the phone, open Contacts, choose LDAP, and search for someone."),
)

AKUVOX = Vendor(
    key="akuvox",
    title="Akuvox",
    series="SP-R50P, SP-R63G, W410, W480",
    makes=("akuvox",),
    supported_security=(Security.LDAPS, Security.PLAIN),
    name_filter=name_filter("#"),
    number_filter=number_filter("#"),
    file="akuvox-ldap.cfg",
    write=_write,
    unverified=_UNVERIFIED,
    advice=(Advice.TLS_UNVERIFIED,),
    steps=_STEPS,
)
