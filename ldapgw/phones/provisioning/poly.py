# SPDX-License-Identifier: MIT
"""Settings for Poly phones, as XML attributes; the phone builds its filters from the searchable LDAP attributes."""

from __future__ import annotations

from collections.abc import Iterable

from ldapgw.phones.provisioning.filters import number_attributes
from ldapgw.phones.provisioning.lines import Element, element, nested_element, xml_document
from ldapgw.phones.provisioning.settings import LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Advice, Document, Vendor
from ldapgw.phrase import gettext_noop

_LABELS = {"telephoneNumber": "Work", "mobile": "Mobile", "homePhone": "Home"}


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    directory = {
        "address": link.address,
        "port": str(link.port),
        "transport": "TLS" if link.security is Security.LDAPS else "TCP",
        "baseDN": settings.base_dn,
        "scope": "sub",
        "filterPrefix": "(objectclass=person)",
        "user": settings.login,
        "password": settings.password,
        "pageSize": "32",
        "cacheSize": "128",
        "autoQuerySubmitTimeout": "1",
        "sortControl": "0",
        "viewPersistence": "0",
    }
    elements = [
        element("feature", **{"feature.corporateDirectory.enabled": "1"}),
        _element("dirCorp", "dir.corp", directory),
        *_attributes(settings),
        _element("vlv", "dir.corp.vlv", {"allow": "1", "sortOrder": "sn givenName"}),
        element("backGroundSync", **{"dir.corp.backGroundSync": "0", "dir.corp.backGroundSync.period": "86400"}),
    ]
    return xml_document(nested_element("PHONE_CONFIG", elements))


def _attributes(settings: PhoneSettings) -> Iterable[Element]:
    rows = [
        ("sn", "Last name", "last_name", "1"),
        ("givenName", "First name", "first_name", "1"),
        ("o", "Company", "other", "1"),
    ]
    names = number_attributes(per_number=settings.per_number)
    rows += [(name, _LABELS[name], "phone_number", "0") for name in names]
    for number, (name, label, kind, searchable) in enumerate(rows, 1):
        values = {"name": name, "label": label, "type": kind, "searchable": searchable}
        yield _element(f"attr{number}", f"dir.corp.attribute.{number}", values)


def _element(tag: str, prefix: str, values: dict[str, str]) -> Element:
    """Return an element; the phone reads the names of attributes only, not the names of elements."""
    return element(tag, **{f"{prefix}.{name}": value for name, value in values.items()})


_STEPS = (
    gettext_noop("On the phone, open Home > Settings > Status > Network > TCP/IP Parameters to see its IP address."),
    gettext_noop("Open https:// followed by that address in a browser on the same network, and sign in as Admin."),
    gettext_noop(
        "Go to Utilities > Import & Export Configuration, choose the downloaded file under Import "
        "Configuration, and click Import."
    ),
    gettext_noop("On the phone, open Directories > Corporate Directory, and search for someone."),
)

POLY = Vendor(
    key="poly",
    title="Poly",
    series="SoundPoint, VVX, CCX, Trio",
    makes=("poly",),
    supported_security=(Security.LDAPS, Security.PLAIN),
    max_hits=False,
    file="poly-ldap.cfg",
    media_type=XML,
    write=_write,
    advice=(Advice.NO_CALLER_LOOKUP,),
    steps=_STEPS,
    documents=(
        Document(
            "Corporate Directory, UC Software 5.9 administrator guide",
            "https://documents.polycom.com/bundle/ucs-ag-5-9-0/page/c-ucs-ag-corporate-directory.html",
            (),
        ),
        Document(
            "What files does my phone download or upload",
            "https://community.poly.com/t5/VoIP-SIP-Phones/FAQ-What-files-does-my-phone-download-or-upload-and-why/td-p/30582",
            ("<MAC>.cfg, which lists other files",),
        ),
    ),
)
