# SPDX-License-Identifier: MIT
"""Settings for Cisco phones, as XML.

Each field of the phone's search form has a separate filter, written ``attribute:(filter)``.  An MPP phone uses search
item 3 for the names of callers alone ("Reverse Name Lookup" in the administration guides of the 6800, 7800 and 8800).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ldapgw.phones.provisioning.lines import element, label, nested_element, xml_document
from ldapgw.phones.provisioning.settings import LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Advice, Document, Vendor
from ldapgw.phrase import gettext_noop

# Only the first attribute with t=p can be dialled.
_COLUMNS = "a=cn,n=Name;a=telephoneNumber,n=Work,t=p;a=mobile,n=Mobile"
_LAST_NAME = "sn:(sn=$VALUE*)"
_COMPANY = "o:(o=*$VALUE*)"
_NUMBER = "telephoneNumber:(telephoneNumber=*$VALUE*)"
# A caller's number is complete; the directory looks for a whole number among numbers of all kinds.
_CALLER = "telephoneNumber:(telephoneNumber=$VALUE)"
_COLUMNS_PER_NUMBER = "a=cn,n=Name;a=telephoneNumber,n=Number,t=p"


def _mpp(settings: PhoneSettings, link: LdapEndpoint) -> str:
    server = {
        "LDAP_Server": link.url,
        # With an ldaps URL the phone ignores this key.
        "LDAP_StartTLS_Enable": "Yes" if link.security is Security.STARTTLS else "No",
    }
    items = {
        "LDAP_Search_Item_3": "Caller",
        "LDAP_Item_3_Filter": _CALLER,
        "LDAP_Search_Item_4": "Company",
        "LDAP_Item_4_Filter": _COMPANY,
        "Reverse_Phone_Lookup_Serv": "Yes",
    }
    return _write(settings, server, items)


def _spa(settings: PhoneSettings, link: LdapEndpoint) -> str:
    items = {
        "LDAP_Search_Item_3": "Company",
        "LDAP_Item_3_Filter": _COMPANY,
        "LDAP_Search_Item_4": "Number",
        "LDAP_item_4_Filter": _NUMBER,  # SPA phones spell this key with a small i.
    }
    return _write(settings, {"LDAP_Server": link.authority}, items)


def _write(settings: PhoneSettings, server: Mapping[str, str], items: Mapping[str, str]) -> str:
    values = {
        "LDAP_Dir_Enable": "Yes",
        "LDAP_Corp_Dir_Name": label(settings.title, 30),
        **server,
        "LDAP_Search_Base": settings.base_dn,
        "LDAP_Auth_Method": "Simple",
        "LDAP_Client_DN": settings.bind_dn,
        "LDAP_Password": settings.password,
        "LDAP_Last_Name_Filter": _LAST_NAME,
        "LDAP_First_Name_Filter": "givenName:(givenName=$VALUE*)",
        **items,
        "LDAP_Display_Attrs": _COLUMNS_PER_NUMBER if settings.per_number else _COLUMNS,
        "LDAP_Number_Mapping": "",
    }
    return xml_document(nested_element("flat-profile", (element(key, value, ua="na") for key, value in values.items())))


_cisco = partial(Vendor, name_filter=_LAST_NAME, max_hits=False, media_type=XML, makes=("cisco",))

_CISCO_MPP_STEPS = (
    gettext_noop("On the phone, press Applications and open Status > Network status to see its IP address."),
    gettext_noop("Open http:// followed by that address and /admin/advanced in a browser on the same network."),
    gettext_noop(
        "Go to Voice > Phone, find the section LDAP, enter the values from the file, and click Submit All Changes."
    ),
    gettext_noop("On the phone, press Contacts, open the directory, and search for someone."),
)

CISCO_MPP = _cisco(
    key="cisco-mpp",
    title="Cisco MPP",
    series="6800, 7800, 8800",
    number_filter=_CALLER,
    supported_security=(Security.LDAPS, Security.STARTTLS, Security.PLAIN),
    file="cisco-mpp-ldap.xml",
    write=_mpp,
    steps=_CISCO_MPP_STEPS,
    documents=(
        Document(
            "Enable LDAP directory service",
            "https://help.webex.com/en-us/article/nwblu9cb",
            ("Voice > Phone", "Submit All Changes"),
            (3,),
        ),
        Document(
            "Configure profile settings for phones",
            "https://help.webex.com/en-us/article/xwj2cdb",
            ("/admin/advanced",),
            (2,),
        ),
        Document(
            "6800 series user guide (a copy), p. 115",
            "https://easymanua.ls/cisco/6841/manual?p=115",
            ("Contacts",),
            (4,),
        ),
    ),
)
_CISCO_SPA_STEPS = (
    gettext_noop("On the phone, press Setup and open Network to see its IP address."),
    gettext_noop(
        "Open http:// followed by that address in a browser on the same network, then Admin Login and Advanced."
    ),
    gettext_noop(
        "Go to Phone, find the section LDAP Corporate Directory Search, enter the values from the file, and click "
        "Submit All Changes."
    ),
    gettext_noop("On the phone, open Directories, choose the directory, and search for someone."),
)

CISCO_SPA = _cisco(
    key="cisco-spa",
    title="Cisco SPA",
    series="SPA3xx, SPA5xx",
    number_filter=_NUMBER,
    supported_security=(Security.PLAIN,),
    file="cisco-spa-ldap.xml",
    write=_spa,
    advice=(Advice.NO_CALLER_LOOKUP,),
    steps=_CISCO_SPA_STEPS,
    documents=(
        Document(
            "SPA300 and SPA500 series administration guide (a copy), p. 289",
            "http://www.manualowl.com/m/Cisco/SPA501G/Manual/286332?page=289",
            ("the tab Phone",),
        ),
    ),
)
