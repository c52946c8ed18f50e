# SPDX-License-Identifier: MIT
"""Settings for Linphone, as XML for remote provisioning; the format was read in liblinphone's source."""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import name_filter
from ldapgw.phones.provisioning.lines import element, nested_element, xml_document
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Vendor

_SIMPLE = "1"
_FILTER = name_filter("*%s*")


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "enable": "1",
        "server": link.url,
        "use_tls": "1" if link.security is Security.STARTTLS else "0",
        "auth_method": _SIMPLE,
        "bind_dn": settings.bind_dn,
        "password": settings.password,
        "base_object": settings.base_dn,
        "filter": _FILTER,
        "name_attribute": "cn",
        # Older versions show nothing unless the name attribute is in this list, too (linphone-desktop 648).
        "sip_attribute": "mobile,telephonenumber,homephone,cn",
        "max_results": str(MAX_HITS),
        "min_chars": "2",
    }
    section = nested_element(
        "section", (element("entry", value, name=key) for key, value in values.items()), name="ldap_0"
    )
    return xml_document(nested_element("config", [section], xmlns="http://www.linphone.org/xsds/lpconfig.xsd"))


LINPHONE = Vendor(
    key="linphone",
    title="Linphone",
    series="Linphone 4.4 or newer",
    makes=("linphone",),
    supported_security=(Security.LDAPS, Security.STARTTLS, Security.PLAIN),
    name_filter=_FILTER,
    file="linphone-ldap.xml",
    media_type=XML,
    write=_write,
)
