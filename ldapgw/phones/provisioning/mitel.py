# SPDX-License-Identifier: MIT
"""Mitel and Aastra: ``key: value`` lines; login, password and server are one value.

The keys that choose the number fields could not be verified, so they are left out: the phone's own standard holds.
"""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import name_filter
from ldapgw.phones.provisioning.lines import one_line, quoted
from ldapgw.phones.provisioning.settings import LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import Advice, Vendor


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "ldap server": f"{settings.login}:{settings.password}@{link.authority}",
        "ldap base dn": settings.base_dn,
        "ldap search filter": name_filter("%"),
        "ldap search scope": "subtree",
        "ldap cn attribute": "cn",
    }
    return "".join(f"{key}: {_value(value)}\n" for key, value in values.items())


def _value(value: str) -> str:
    """A sharp sign begins a comment outside of quotes."""
    return quoted(value) if "#" in value or '"' in value else one_line(value)


MITEL = Vendor(
    key="mitel",
    title="Mitel",
    series="6700, 6800, 6900; Aastra",
    makes=("mitel",),
    supported_security=(Security.PLAIN,),
    max_hits=False,
    file="mitel-ldap.cfg",
    write=_write,
    advice=(Advice.NUMBER_FIELDS,),
)
