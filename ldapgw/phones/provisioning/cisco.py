# SPDX-License-Identifier: MIT
"""Settings for Cisco phones, as XML.

Each field of the phone's search form has a separate filter, written ``attribute:(filter)``.
"""

from __future__ import annotations

from functools import partial

from ldapgw.phones.provisioning.lines import element, label, nested_element, xml_document
from ldapgw.phones.provisioning.settings import LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Advice, Vendor

# Only the first attribute with t=p can be dialled.
_COLUMNS = "a=cn,n=Name;a=telephoneNumber,n=Work,t=p;a=mobile,n=Mobile"
_LAST_NAME = "sn:(sn=$VALUE*)"
_NUMBER = "telephoneNumber:(telephoneNumber=*$VALUE*)"
_COLUMNS_PER_NUMBER = "a=cn,n=Name;a=telephoneNumber,n=Number,t=p"


def _write(server: str, settings: PhoneSettings, item_4: str) -> str:
    values = {
        "LDAP_Dir_Enable": "Yes",
        "LDAP_Corp_Dir_Name": label(settings.title, 30),
        "LDAP_Server": server,
        "LDAP_Search_Base": settings.base_dn,
        "LDAP_Auth_Method": "Simple",
        "LDAP_Client_DN": settings.bind_dn,
        "LDAP_Username": "",
        "LDAP_Password": settings.password,
        "LDAP_Last_Name_Filter": _LAST_NAME,
        "LDAP_First_Name_Filter": "givenName:(givenName=$VALUE*)",
        "LDAP_Search_Item_3": "Company",
        "LDAP_Item_3_Filter": "o:(o=*$VALUE*)",
        "LDAP_Search_Item_4": "Number",
        item_4: _NUMBER,
        "LDAP_Display_Attrs": _COLUMNS_PER_NUMBER if settings.per_number else _COLUMNS,
        "LDAP_Number_Mapping": "",
    }
    return xml_document(nested_element("flat-profile", (element(key, value, ua="na") for key, value in values.items())))


def _mpp(settings: PhoneSettings, link: LdapEndpoint) -> str:
    server = link.url if link.security is Security.LDAPS else link.authority
    return _write(server, settings, "LDAP_Item_4_Filter")


def _spa(settings: PhoneSettings, link: LdapEndpoint) -> str:
    # SPA phones spell this key with a small i.
    return _write(link.authority, settings, "LDAP_item_4_Filter")


_cisco = partial(
    Vendor, name_filter=_LAST_NAME, number_filter=_NUMBER, max_hits=False, media_type=XML, makes=("cisco",)
)

CISCO_MPP = _cisco(
    key="cisco-mpp",
    title="Cisco MPP",
    series="6800, 7800, 8800",
    supported_security=(Security.LDAPS, Security.PLAIN),
    file="cisco-mpp-ldap.xml",
    write=_mpp,
    unverified=("LDAP_Server (ldaps://)",),
    advice=(Advice.TLS_UNVERIFIED,),
)
CISCO_SPA = _cisco(
    key="cisco-spa",
    title="Cisco SPA",
    series="SPA3xx, SPA5xx",
    supported_security=(Security.PLAIN,),
    file="cisco-spa-ldap.xml",
    write=_spa,
    advice=(Advice.NO_CALLER_LOOKUP,),
)
