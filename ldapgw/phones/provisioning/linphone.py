# SPDX-License-Identifier: MIT
"""Settings for Linphone, as XML for remote provisioning.

Section and keys of ``ldap_0`` are those of liblinphone's source (``src/ldap/ldap-config-keys.cpp``), which also says
that ldaps URLs are deprecated (``LinphoneLdapCheckServerLdaps``).  One filter serves names and the numbers of callers
(linphone-desktop 572).
"""

from __future__ import annotations

from collections.abc import Mapping

from ldapgw.phones.provisioning.filters import any_of, name_terms, number_terms
from ldapgw.phones.provisioning.lines import Element, element, nested_element, xml_document
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Document, Vendor
from ldapgw.phrase import gettext_noop

_SIMPLE = "1"
_FILTER = f"(&(objectClass=person){any_of(*name_terms('*%s*'), *number_terms('%s'))})"
# Older versions show nothing unless the name attribute is in this list, too (linphone-desktop 648).
_SIP_ATTRIBUTES = "mobile,telephonenumber,homephone,cn"
_MIN_CHARACTERS = "2"
_UNVERIFIED = ("the keys of remote_contact_directory_0 that begin with ldap_",)


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    use_tls = "1" if link.security is Security.STARTTLS else "0"
    ldap = {
        "enable": "1",
        "server": link.url,
        "use_tls": use_tls,
        "auth_method": _SIMPLE,
        "bind_dn": settings.bind_dn,
        "password": settings.password,
        "base_object": settings.base_dn,
        "filter": _FILTER,
        "name_attribute": "cn",
        "sip_attribute": _SIP_ATTRIBUTES,
        "max_results": str(MAX_HITS),
        "min_chars": _MIN_CHARACTERS,
    }
    directory = {
        "enabled": "1",
        "type": "ldap",
        "uri": link.url,
        "min_characters": _MIN_CHARACTERS,
        "ldap_use_tls": use_tls,
        "ldap_auth_method": _SIMPLE,
        "ldap_bind_dn": settings.bind_dn,
        "ldap_password": settings.password,
        "ldap_base_object": settings.base_dn,
        "ldap_filter": _FILTER,
        "ldap_name_attribute": "cn",
        "ldap_sip_attribute": _SIP_ATTRIBUTES,
    }
    sections = [_section("ldap_0", ldap), _section("remote_contact_directory_0", directory)]
    config = nested_element("config", sections, xmlns="http://www.linphone.org/xsds/lpconfig.xsd")
    return xml_document(config, _UNVERIFIED)


def _section(name: str, values: Mapping[str, str]) -> Element:
    return nested_element("section", (element("entry", value, name=key) for key, value in values.items()), name=name)


_STEPS = (
    gettext_noop("On this phone’s page in the gateway, create a provisioning address."),
    gettext_noop(
        "In Linphone, open Settings > Advanced (on a computer), or the assistant’s remote provisioning (on a mobile "
        "device)."
    ),
    gettext_noop("Enter the address of the file under Remote provisioning URI, apply it, and restart Linphone."),
    gettext_noop("In Linphone, search for someone in the contacts."),
)

LINPHONE = Vendor(
    key="linphone",
    title="Linphone",
    series="Linphone 4.4 or newer",
    makes=("linphone",),
    supported_security=(Security.STARTTLS, Security.LDAPS, Security.PLAIN),
    name_filter=_FILTER,
    number_filter=_FILTER,
    file="linphone-ldap.xml",
    media_type=XML,
    write=_write,
    unverified=_UNVERIFIED,
    steps=_STEPS,
    plain_steps=(1,),
    documents=(
        Document(
            "Remote provisioning",
            "https://wiki.linphone.org/xwiki/wiki/public/view/Lib/Features/Remote%20Provisioning/",
            ("the address in the settings or in the assistant",),
        ),
        Document(
            "LDAP", "https://wiki.linphone.org/xwiki/wiki/public/view/Lib/Features/LDAP/", ("the section ldap_0",)
        ),
        Document(
            "Provisioning configuration keys",
            "https://download.linphone.org/snapshots/docs/liblinphone/latest/cs/provisioning_configuration_key.html",
            ("the section remote_contact_directory_0",),
        ),
    ),
)
