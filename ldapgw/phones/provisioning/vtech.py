# SPDX-License-Identifier: MIT
"""Settings for VTech phones, and for Snom's M100 and M500, as ``key = value`` lines.

The phone has one filter for first names and one for last names (VSP735 administrator and provisioning manual, p. 65);
a company without a person has its name as last name.
"""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import NUMBER_ATTRIBUTES, number_filter
from ldapgw.phones.provisioning.lines import label, one_line
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import Document, Vendor
from ldapgw.phrase import gettext_noop

_LAST_NAME = "(sn=%)"


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    work, mobile, home = NUMBER_ATTRIBUTES
    values = {
        "enable": "1",
        "directory_name": label(settings.title, 30),
        "server_address": link.host,
        "port": str(link.port),
        "authentication_type": "simple",
        "base": settings.base_dn,
        "user_name": settings.login,
        "access_password": settings.password,
        "max_hits": str(MAX_HITS),
        "firstname_filter": "(givenName=%)",
        "lastname_filter": _LAST_NAME,
        "number_filter": number_filter("%"),
        "firstname_attribute": "givenName",
        "lastname_attribute": "sn",
        "work_number_attributes": work,
        "mobile_number_attributes": "" if settings.per_number else mobile,
        "other_number_attributes": "" if settings.per_number else home,
        "protocol_version": "version_3",
        "search_delay": "0",
        "incall_lookup_enable": "1",
        "outcall_lookup_enable": "1",
    }
    return "".join(f"{f'remoteDir.ldap_{key} = {one_line(value)}'.rstrip()}\n" for key, value in values.items())


_STEPS = (
    gettext_noop("On the phone, open Menu > Status to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop("Only for a Snom M100 or M500: delete “remoteDir.” at the start of each line of the downloaded file."),
    gettext_noop(
        "Go to Servicing > Provisioning, and import the downloaded file under Import Configuration. Or enter the "
        "values under Contacts > LDAP."
    ),
    gettext_noop("On the phone, open Directory, choose LDAP, and search for someone."),
)

VTECH = Vendor(
    key="vtech",
    title="VTech",
    series="VSP, VCS; Snom M100, M500",
    makes=("vtech",),
    supported_security=(Security.PLAIN,),
    name_filter=_LAST_NAME,
    file="vtech-ldap.cfg",
    write=_write,
    steps=_STEPS,
    plain_steps=(3,),
    documents=(
        Document(
            "VSP735 administrator and provisioning manual (a copy), p. 65",
            "https://manualshive.com/en/manual/vtech/vsp735/1054389?page=65",
            ("Contacts > LDAP",),
        ),
        Document(
            "VSP600 administrator and provisioning manual (a copy), p. 54",
            "https://www.manualslib.com/manual/868725/Vtech-Vsp600.html?page=54",
            ("<model>_<MAC Address>.cfg",),
        ),
    ),
)
