# SPDX-License-Identifier: MIT
"""The entries that are no contacts, and the schema that they publish."""

from __future__ import annotations

import re
from dataclasses import replace
from zlib import crc32

import pytest

from ldapgw.directory import schema
from ldapgw.directory.dn import Dn
from ldapgw.directory.inet_org_person import OBJECT_CLASSES
from ldapgw.directory.special_entries import Features, root_dse, subschema, tenant_entry
from tests.support.phonebook import BASE, naming_context
from tests.support.phonebook.entries import ENTRIES, answer

CONTEXT = naming_context()
OTHER = replace(CONTEXT, name="other", base=Dn.parse("ou=x,o=Other"))


def test_root_dse() -> None:
    """Lists what works, and nothing else; operational, as RFC 4512 5.1 has it."""
    features = Features(
        "1.2",
        controls=("1.2.840.113556.1.4.319",),
        features=("1.3.6.1.4.1.4203.1.5.1",),
        sasl_mechanisms=("PLAIN",),
    )
    entry = root_dse(features, (CONTEXT, OTHER), CONTEXT)

    assert answer(entry) == {"objectClass": [b"top"]}
    assert answer(entry, "+") == {
        "structuralObjectClass": [b"top"],
        "subschemaSubentry": [b"cn=subschema"],
        "namingContexts": [BASE.encode(), b"ou=x,o=Other"],
        "defaultNamingContext": [BASE.encode()],
        "supportedLDAPVersion": [b"2", b"3"],
        "supportedControl": [b"1.2.840.113556.1.4.319"],
        "supportedFeatures": [b"1.3.6.1.4.1.4203.1.5.1"],
        "supportedSASLMechanisms": [b"PLAIN"],
        "vendorName": [b"ldapgw"],
        "vendorVersion": [b"1.2"],
    }


def test_tenant() -> None:
    """An organization, and a dcObject where its name says so; the name's own value is in the entry."""
    assert answer(tenant_entry(CONTEXT)) == {
        "objectClass": [b"top", b"organization", b"dcObject"],
        "o": [b"Acme GmbH"],
        "dc": [b"acme"],
    }
    assert answer(tenant_entry(OTHER), "*", "hasSubordinates") == {
        "objectClass": [b"top", b"organization", b"extensibleObject"],
        "o": [b"Acme GmbH"],
        "ou": [b"x"],
        "hasSubordinates": [b"TRUE"],
    }
    assert answer(tenant_entry(replace(OTHER, base=Dn.parse("o=Other+x=1"))), "o") == {"o": [b"Acme GmbH", b"Other"]}
    assert answer(tenant_entry(replace(OTHER, base=Dn.parse("o=Acme GmbH"))), "o") == {"o": [b"Acme GmbH"]}


@pytest.mark.parametrize(
    ("base", "further"),
    [
        ("dc=acme,dc=example", ["dcObject"]),
        ("o=Acme", []),
        ("l=Berlin,c=DE", []),
        ("ou=x,o=Acme", ["extensibleObject"]),
        ("cn=x,dc=acme", ["extensibleObject"]),
        ("dc=acme+ou=x", ["dcObject", "extensibleObject"]),
        ("x=1", []),
    ],
)
def test_an_object_class_of_a_tenant_allows_each_attribute_of_its_entry(base: str, further: list[str]) -> None:
    """RFC 4512 2.4: the value of the RDN is in the entry, so a class has to allow the value's attribute."""
    found = answer(tenant_entry(replace(CONTEXT, base=Dn.parse(base))))
    classes = [name.decode() for name in found["objectClass"]]
    allowed = {kind.name for name in classes for kind in schema.attributes_of(name)}

    assert classes == ["top", "organization", *further]
    assert found.keys() <= allowed or "extensibleObject" in classes
    assert all(name in found for kind in map(schema.object_class, classes) if kind for name in kind.must)


def definitions(attribute: str) -> list[str]:
    """The definitions of one kind that the subschema publishes."""
    return [value.decode() for value in subschema().attribute(attribute)]


def test_subschema_is_whole() -> None:
    """Every name that a definition uses is defined too (`test_definitions_are_sound` has the supertypes)."""
    rules = {name for text in definitions("matchingRules") for name in re.findall(r"NAME '(\w+)'", text)}
    syntaxes = {text.split()[1] for text in definitions("ldapSyntaxes")}
    types = {name for text in definitions("attributeTypes") for name in re.findall(r"'(\w+)'", text)}
    used = " ".join(definitions("attributeTypes") + definitions("matchingRules"))

    assert set(re.findall(r"(?:EQUALITY|ORDERING|SUBSTR) (\w+)", used)) <= rules
    assert set(re.findall(r"SYNTAX ([\d.]+)", used)) <= syntaxes
    for text in definitions("objectClasses") + definitions("dITContentRules"):
        listed = re.findall(r"(?:MUST|MAY) (?:\(([^)]*)\)|(\w+))", text)
        assert {name for pair in listed for part in pair for name in part.replace("$", " ").split()} <= types


def test_the_subschema_says_when_it_was_changed() -> None:
    """Clients keep a copy of the schema: a change of the schema needs another time here, and another checksum."""
    kinds = ("ldapSyntaxes", "matchingRules", "matchingRuleUse", "attributeTypes", "dITContentRules", "objectClasses")
    checksum = crc32("\n".join(text for kind in kinds for text in definitions(kind)).encode())
    times = [*subschema().attribute("createTimestamp"), *subschema().attribute("modifyTimestamp")]
    assert (times, checksum) == ([b"20261120000000Z", b"20261130190000Z"], 2595102080)


def test_a_content_rule_allows_the_attribute_of_contacts_that_their_class_lacks() -> None:
    """RFC 4512 2.4.5: a rule for a structural class allows further attributes; RFC 2798 has no country."""
    held = {name.lower() for name in answer(ENTRIES[True])}
    allowed = {kind.name.lower() for kind in schema.attributes_of("inetOrgPerson")}

    assert held - allowed == {"c"}
    assert definitions("dITContentRules") == ["( 2.16.840.1.113730.3.2.2 NAME 'contact' MAY c )"]


def test_every_matching_rule_says_what_it_can_be_used_for() -> None:
    """RFC 4512 4.1.4: the attributes of an extensible match, each with each of its own rules."""
    uses = {
        text.split("'")[1]: set(re.findall(r"\w+", text.split("APPLIES")[1])) for text in definitions("matchingRuleUse")
    }

    assert list(uses) == [rule.name for rule in schema.MATCHING_RULES]
    for kind in schema.ATTRIBUTE_TYPES:
        for rule in filter(None, (kind.comparison.equality, kind.comparison.ordering, kind.comparison.substrings)):
            assert kind.name in uses[rule]


def test_definitions() -> None:
    """In the words of RFC 4512 4.1."""
    assert "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )" in definitions("objectClasses")
    assert (
        "( 2.5.4.4 NAME ( 'sn' 'surname' ) SUP name EQUALITY caseIgnoreMatch ORDERING caseIgnoreOrderingMatch "
        "SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"
    ) in definitions("attributeTypes")
    assert (
        "( 2.5.18.9 NAME 'hasSubordinates' EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE "
        "NO-USER-MODIFICATION USAGE directoryOperation )"
    ) in definitions("attributeTypes")


# RFC 4512 1.4 and 4.1, in its order.  The parser of Apache Directory Studio (schema.g and schema-value.g of the Apache
# LDAP API) reads a superset of it, and wants besides what `test_definitions_are_sound` looks at.
OID = r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+"
DESCR = r"[A-Za-z][A-Za-z0-9-]*"
QDESCRS = rf"(?:'{DESCR}'|\( '{DESCR}'(?: '{DESCR}')* \))"
QDSTRING = r"'[^'\\]+'"
OIDS = rf"(?:{DESCR}|{OID}|\( {DESCR}(?: \$ {DESCR})* \))"
GRAMMAR = {
    "ldapSyntaxes": rf"\( {OID} DESC {QDSTRING} \)",
    "matchingRules": rf"\( {OID} NAME {QDESCRS} SYNTAX {OID} \)",
    "matchingRuleUse": rf"\( {OID} NAME {QDESCRS} APPLIES {OIDS} \)",
    "attributeTypes": rf"\( {OID} NAME {QDESCRS}(?: SUP {DESCR})?(?: EQUALITY {DESCR})?(?: ORDERING {DESCR})?"
    rf"(?: SUBSTR {DESCR})? SYNTAX {OID}(?: SINGLE-VALUE)?(?: NO-USER-MODIFICATION)?"
    r"(?: USAGE (?:directoryOperation|dSAOperation))? \)",
    "dITContentRules": rf"\( {OID} NAME {QDESCRS}(?: AUX {OIDS})?(?: MUST {OIDS})?(?: MAY {OIDS})?(?: NOT {OIDS})? \)",
    "objectClasses": rf"\( {OID} NAME {QDESCRS}(?: SUP {OIDS})? (?:ABSTRACT|STRUCTURAL|AUXILIARY)(?: MUST {OIDS})?"
    rf"(?: MAY {OIDS})? \)",
}


@pytest.mark.parametrize("attribute", GRAMMAR)
def test_definitions_follow_the_grammar(attribute: str) -> None:
    """To the blank: parsers differ in what else they let pass."""
    found = definitions(attribute)

    assert found
    assert [text for text in found if not re.fullmatch(GRAMMAR[attribute], text)] == []


def test_definitions_are_sound() -> None:
    """Unmodifiable attributes are operational; supertypes and superclasses come before their subordinates."""
    for text in definitions("attributeTypes"):
        assert ("NO-USER-MODIFICATION" in text) == ("USAGE" in text)
    for attribute in ("attributeTypes", "objectClasses"):
        known: set[str] = set()
        for text in definitions(attribute):
            assert set(re.findall(r"SUP (\w+)", text)) <= known
            known |= set(re.findall(r"'([\w-]+)'", text))


def test_no_name_or_oid_is_taken_twice() -> None:
    """Names of one kind are unique in any case, and so are OIDs over all kinds."""
    names = [name.lower() for kind in schema.ATTRIBUTE_TYPES for name in (kind.name, *kind.other_names, *kind.aliases)]
    oids = [one.oid for one in (*schema.ATTRIBUTE_TYPES, *schema.OBJECT_CLASSES, *schema.MATCHING_RULES)]

    assert len(set(names)) == len(names)
    assert len(set(oids)) == len(oids)


@pytest.mark.parametrize(
    ("name", "found"),
    [("CN", "cn"), ("2.5.4.3", "cn"), ("oid.2.5.4.3", "cn"), ("company", "o"), ("cn;binary", None), ("", None)],
)
def test_lookup(name: str, found: str | None) -> None:
    """Attribute types by any of their names."""
    kind = schema.attribute_type(name)

    assert (kind and kind.name) == found


def test_the_chain_of_a_person() -> None:
    """The most general first; each class's attributes belong to the last one too."""
    assert OBJECT_CLASSES == ("top", "person", "organizationalPerson", "inetOrgPerson")
    assert {"objectClass", "cn", "sn", "telephoneNumber", "title", "mobile"} <= {
        kind.name for kind in schema.attributes_of("inetOrgPerson")
    }
    assert schema.oid_of("caseIgnoreMatch") == "2.5.13.2"
