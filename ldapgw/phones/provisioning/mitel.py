# SPDX-License-Identifier: MIT
"""Settings for Mitel and Aastra phones, as ``key: value`` lines; login, password and server are one value.

The phone replaces the percent sign of its filter by ``a*``, ``b*`` and so on (6800i administrator guide, A-113), and
the guide speaks of one percent sign.  So the filter asks for the family name alone; in a filter for all names people
would also come under the letters of their other words.  The keys for the number attributes could not be verified, so
the file leaves them out and the phone uses its default.
"""

from __future__ import annotations

from ldapgw.phones.provisioning.lines import one_line, quoted
from ldapgw.phones.provisioning.settings import LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import Advice, Document, Vendor
from ldapgw.phrase import gettext_noop

_FILTER = "(&(objectClass=person)(sn=%))"


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "ldap server": f"{settings.login}:{settings.password}@{link.authority}",
        "ldap base dn": settings.base_dn,
        "ldap search filter": _FILTER,
        "ldap search scope": "subtree",
        "ldap cn attribute": "cn",
    }
    return "".join(f"{key}: {_value(value)}\n" for key, value in values.items())


def _value(value: str) -> str:
    """Quote a value with a number sign, which begins a comment outside of quotes."""
    return quoted(value) if "#" in value or '"' in value else one_line(value)


_STEPS = (
    gettext_noop("On the phone, press Options and open Status > IP&MAC Addresses to see its IP address."),
    gettext_noop(
        "These settings go into the phone’s configuration file: add the lines of the downloaded file to startup.cfg, "
        "or to the file named after the phone’s MAC address, on your provisioning server."
    ),
    gettext_noop("Restart the phone: Options > Restart."),
    gettext_noop("On the phone, open Directory, choose LDAP, and search for someone."),
)

MITEL = Vendor(
    key="mitel",
    title="Mitel",
    series="6700, 6800, 6900; Aastra",
    makes=("mitel",),
    supported_security=(Security.PLAIN,),
    name_filter=_FILTER,
    max_hits=False,
    file="mitel-ldap.cfg",
    write=_write,
    advice=(Advice.NUMBER_FIELDS, Advice.NO_CALLER_LOOKUP),
    steps=_STEPS,
    documents=(
        Document(
            "6800 series administrator guide 4.2 (a copy), p. 46",
            "https://manualshive.com/ru/manual/mitel/6800-series/1807020?page=46",
            ("startup.cfg", "<mac>.cfg"),
            (2,),
        ),
    ),
)
