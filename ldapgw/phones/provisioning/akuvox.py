# SPDX-License-Identifier: MIT
"""Settings for Akuvox phones, as ``key = value`` lines.

The placeholder is a number sign (tancredi's template for these phones, in use with them); the phone adds the star.
"""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.lines import NOT_VERIFIED, one_line
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import Advice, Vendor

_UNVERIFIED = ("the port alone chooses LDAPS",)


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
)
