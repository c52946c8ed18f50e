# SPDX-License-Identifier: MIT
"""Settings for Gigaset phones: XML for the Maxwell, web page fields for DECT bases.

DECT bases get fields because the keys of their user name and password are not known.  The user name has at most 50
characters there (teamwork.gigaset.com, pages 665193859 and 674202159).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ldapgw.phones.provisioning.filters import name_filter, number_filter
from ldapgw.phones.provisioning.lines import element, label, nested_element, xml_document
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Advice, Document, Field, Vendor
from ldapgw.phrase import gettext_noop

_SECURITY = {Security.PLAIN: "0", Security.STARTTLS: "1", Security.LDAPS: "2"}
# characters
_MAX_NAME_LENGTH = 20


def _maxwell(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "DirectoryName": label(settings.title, _MAX_NAME_LENGTH),
        "Enable": "1",
        "Lookup": "1",
        "Server.Address": link.host,
        "Server.Port": str(link.port),
        "BaseDN": settings.base_dn,
        "Security": _SECURITY[link.security],
        "Username": settings.login,
        "Password": settings.password,
        "NameFilter": name_filter("%"),
        "NumberFilter": number_filter("%"),
        "DisplayFormat": "%cn",
        "MaxNumberOfSearchResults": str(MAX_HITS),
        "FirstName": "givenName",
        "Surname": "sn",
        "PhoneHome": "homePhone",
        "PhoneOffice": "telephoneNumber",
        "PhoneMobile": "mobile",
    }
    params = (element("param", name=f"NetDir.LDAP.0.{key}", value=value) for key, value in values.items())
    return xml_document(nested_element("provisioning", [nested_element("nvm", params)], version="1.1"))


def _dect(settings: PhoneSettings, link: LdapEndpoint) -> Iterable[Field]:
    yield Field("Directory name", label(settings.title, _MAX_NAME_LENGTH))
    yield Field("Server address", link.host)
    yield Field("Server port", str(link.port))
    yield Field("LDAP search base (BaseDN)", settings.base_dn)
    yield Field("Username", settings.login)
    yield Field("Password", settings.password)
    yield Field("Secure LDAP", "SSL/TLS" if link.security is Security.LDAPS else "off")
    yield Field("Name filter", name_filter("%"))
    yield Field("Number filter", number_filter("%"))
    yield Field("Display format", "%cn")
    yield Field("Max. number of search results", str(MAX_HITS))
    yield Field("First name", "givenName")
    yield Field("Surname", "sn")
    yield Field("Phone (home)", "homePhone")
    yield Field("Phone (office)", "telephoneNumber")
    yield Field("Phone (mobile)", "mobile")


_MAXWELL_STEPS = (
    gettext_noop("On the phone, open Settings > System > System information to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop(
        "Go to Settings > System > Provisioning and configuration, and load the downloaded file. Or enter the values "
        "under Settings > Online directories > Corporate."
    ),
    gettext_noop("On the phone, open Contacts, choose the directory, and search for someone."),
)

MAXWELL = Vendor(
    key="gigaset-maxwell",
    title="Gigaset Maxwell",
    series="Maxwell Basic, 2, 3, 4, C",
    makes=("gigaset",),
    supported_security=(Security.LDAPS, Security.STARTTLS, Security.PLAIN),
    file="gigaset-maxwell-ldap.xml",
    media_type=XML,
    write=_maxwell,
    steps=_MAXWELL_STEPS,
    documents=(
        Document(
            "Maxwell: nested profiles",
            "https://teamwork.gigaset.com/gigawiki/display/GPPPO/FAQ+Maxwell+-+Auto+provisioning+Nested+profiles",
            ("%MACD.xml: the phone fills in its MAC address",),
        ),
    ),
)
_dect_base = partial(
    Vendor,
    makes=("gigaset",),
    fields=_dect,
    advice=(Advice.FIELDS_ALONE, Advice.EXACT_NUMBER, Advice.NAME_LENGTH),
)

_GIGASET_STEPS = (
    gettext_noop("Find the IP address of the base in the list of devices on your router."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop(
        "Go to Settings > Online > Corporate, edit one of the LDAP directories, enter the values below, and select "
        "Enable directory."
    ),
    gettext_noop("On a handset, open Contacts > Network directories, and search for someone."),
)

GIGASET = _dect_base(
    key="gigaset",
    title="Gigaset DECT",
    series="N670, N870; Unify OpenScape Cordless IP",
    supported_security=(Security.LDAPS, Security.PLAIN),
    steps=_GIGASET_STEPS,
    plain_steps=(1,),
    documents=(
        Document(
            "Online directories of N610, N670 and N870",
            "https://teamwork.gigaset.com/gigawiki/pages/viewpage.action?pageId=665193859",
            ("Settings > Online > Corporate", "Enable directory"),
            (3,),
        ),
    ),
)
# No source has a setting for TLS.
_GIGASET_N510_STEPS = (
    gettext_noop("Find the IP address of the base in the list of devices on your router."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in."),
    gettext_noop(
        "Go to Settings > Directories > Corporate Directory, enter the values below, and enable the directory."
    ),
    gettext_noop("On a handset, open Contacts > Network directories, and search for someone."),
)

GIGASET_N510 = _dect_base(
    key="gigaset-n510",
    title="Gigaset N510",
    series="N510, N720",
    supported_security=(Security.PLAIN,),
    steps=_GIGASET_N510_STEPS,
    plain_steps=(1,),
    documents=(
        Document(
            "Directories of N510 and N720",
            "https://teamwork.gigaset.com/gigawiki/pages/viewpage.action?pageId=616333797",
            ("Settings > Directories",),
        ),
    ),
)
