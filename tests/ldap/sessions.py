# SPDX-License-Identifier: MIT
"""Valid conversations, message by message: what phones and directory clients say on one connection.

The phones' searches are those of ``tests/data/phones.json``; the rest is written by hand, so that each operation, each
kind of filter, each control and each extended operation is there.
"""

from __future__ import annotations

from ldapgw.ber import ENUMERATED, SEQUENCE, SET, boolean, integer, octets, tlv
from tests.support import asks, pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import CASES
from tests.support.phonebook.wire import BASE, BOOK, DESK1, SECRET

Session = tuple[bytes, ...]

MANAGE_DSA_IT = "2.16.840.1.113730.3.4.2"
PASSWORD_MODIFY = "1.3.6.1.4.1.4203.1.11.1"
BIND = pdu.bind(DESK1, SECRET)
NAME = f"uid=c3,{BOOK}"


def _numbered(*requests: bytes | tuple[bytes, bytes]) -> Session:
    """Requests as messages; one with controls is a pair."""
    pairs = (request if isinstance(request, tuple) else (request, b"") for request in requests)
    return tuple(pdu.message(number, request, controls) for number, (request, controls) in enumerate(pairs, 1))


def _search(text: str = "(cn=*)", *attributes: str, base: str = BASE, scope: int = 2, **more: int) -> bytes:
    return pdu.search(base, scope, encode(read_filter(text)), attributes, **more)


def _with(*controls: bytes) -> bytes:
    return pdu.controls(*controls)


_FILTERS = (
    "(objectClass=*)", "(cn=User 00003)", "(cn=user*)", "(cn=*0*1*)", "(cn=u*0*1)", "(sn>=00010)", "(sn<=00010)",
    "(cn~=user 00001)", "(telephoneNumber=+49301234567)", "(telephoneNumber=030*)",
    "(&(objectClass=inetOrgPerson)(!(cn=*9)))",
    "(|(cn=a*)(sn=b*)(mail=c*)(mobile=1*))", "(cn:caseExactMatch:=User 00001)", "(ou:dn:=alice@acme.example)",
    "(:dn:2.5.13.2:=alice@acme.example)", "(2.5.4.3=user 00001)", "(nosuch=x)", "(!(nosuch=x))", "(&)", "(|)",
    "(&(|(&(|(&(cn=*)(sn=*))))))", "(entryUUID=00000000-0000-0000-0000-000000000000)",
)  # fmt: skip

_SELECTIONS = (("*",), ("+",), ("1.1",), ("cn", "CN", "2.5.4.3"), ("cn;lang-de", "cn sn"), ("@inetOrgPerson",))
_VALUES = tlv(SEQUENCE, octets(b"cn") + tlv(SET, octets(b"x")))

SESSIONS: dict[str, Session] = {
    "search and go": _numbered(BIND, _search("(cn=user 0000*)", "cn", "telephoneNumber", size=50), pdu.UNBIND),
    "LDAPv2": _numbered(pdu.bind("desk1", SECRET, 2), _search("(sn=0*)", "sn"), pdu.UNBIND),
    "anonymous": _numbered(pdu.bind(), _search(base="", scope=0, text="(objectClass=*)"), pdu.UNBIND),
    "schema": _numbered(
        _search("(objectClass=*)", "+", "*", base="", scope=0),
        _search("(objectClass=subschema)", "attributeTypes", "objectClasses", base="cn=subschema", scope=0),
    ),
    "no password": _numbered(pdu.bind(DESK1), pdu.bind("", b"x"), pdu.bind("administrator", b"x")),
    "wrong password": _numbered(pdu.bind(DESK1, b"guess"), BIND, _search(size=1)),
    "SASL": _numbered(pdu.sasl("PLAIN", b"\0desk1\0" + SECRET), pdu.sasl("EXTERNAL"), pdu.sasl("CRAM-MD5", b"")),
    "every filter": _numbered(BIND, *(_search(text, "cn", size=5) for text in _FILTERS)),
    "selections": _numbered(
        BIND,
        *(
            _search("(cn=user 0000*)", *names, types_only=types_only)
            for types_only in (False, True)
            for names in _SELECTIONS
        ),
    ),
    "scopes": _numbered(
        BIND,
        *(
            _search(base=base, scope=scope, deref=deref, size=3, time=2)
            for base in ("", BASE, BOOK, NAME, "cn=subschema", "dc=elsewhere")
            for scope, deref in ((0, 0), (1, 3), (2, 1))
        ),
    ),
    "pages": _numbered(
        BIND,
        (_search(), _with(asks.page(7, critical=True))),
        (_search(), _with(asks.page(7, b"cookie", critical=True))),
        (_search(), _with(asks.page(0), asks.sort("-sn", "-cn", critical=True))),
    ),
    "sorted": _numbered(
        BIND,
        (_search(), _with(asks.sort("-sn:2.5.13.3", critical=True))),
        (_search(), _with(asks.sort("nosuch", critical=True))),
        (_search(), _with(asks.sort("sn", critical=True), asks.view(1, 8, (1, 0), critical=True))),
        (_search(), _with(asks.sort("cn", critical=True), asks.view(0, 3, b"user 00020", critical=True))),
    ),
    "other controls": _numbered(
        BIND,
        (_search(size=1), _with(pdu.control(MANAGE_DSA_IT, critical=True), pdu.control("1.2.3", value=b"x" * 40))),
        (_search(size=1), _with(pdu.control("1.2.3", critical=True))),
        (pdu.compare(NAME, "cn", b"x"), _with(pdu.control("1.3.6.1.1.12", value=encode(read_filter("(cn=*)"))))),
    ),
    "compare": _numbered(
        BIND,
        pdu.compare(NAME, "cn", b"user 00003"),
        pdu.compare(NAME, "telephoneNumber", b"030 1234567"),
        pdu.compare(NAME, "mail", b"nobody@a.example"),
        pdu.compare("uid=nobody," + BASE, "cn", b"x"),
    ),
    "abandoned": _numbered(BIND, _search(), pdu.abandon(2), _search(size=2), pdu.abandon(77), pdu.cancel(4)),
    "canceled": _numbered(BIND, _search(), pdu.cancel(2), pdu.WHO_AM_I, pdu.cancel(99)),
    "extended": _numbered(
        pdu.WHO_AM_I,
        pdu.extended("1.2.3.4", b"value"),
        pdu.extended(PASSWORD_MODIFY, tlv(SEQUENCE, octets(b"desk1", 0x80) + octets(b"new", 0x82))),
    ),
    "StartTLS": _numbered(pdu.WHO_AM_I, pdu.START_TLS, _search(base="", scope=0)),
    "writes": _numbered(
        BIND,
        tlv(0x68, octets(b"cn=x," + BASE.encode()) + tlv(SEQUENCE, _VALUES)),
        tlv(0x66, octets(NAME.encode()) + tlv(SEQUENCE, tlv(SEQUENCE, integer(2, ENUMERATED) + _VALUES))),
        octets(NAME.encode(), 0x4A),
        tlv(0x6C, octets(NAME.encode()) + octets(b"uid=y") + boolean(value=True)),
    ),
    "pipelined": _numbered(BIND, *(_search(f"(cn=user 0000{digit}*)", "cn") for digit in range(10)), pdu.UNBIND),
}  # fmt: skip

_SCOPES = {"base": 0, "one": 1, "sub": 2}

SESSIONS |= {
    case["id"]: _numbered(
        pdu.bind() if case["bind"] == "anonymous" else BIND,
        _search(
            case["filter"],
            *case["attributes"],
            base="" if case["base"] == "empty" else BASE,
            scope=_SCOPES[case["scope"]],
            size=case["sizelimit"],
            time=case["timelimit"],
        ),
    )
    for case in CASES
}
