# SPDX-License-Identifier: MIT
"""The schema: the attribute types, object classes, matching rules and syntaxes that this directory knows.

One table says how an attribute is named, how its values compare, and what the subschema publishes.  The definitions
come from RFC 4512, 4517, 4519, 4524, 2798, 2079 and 4530, reduced to the attributes of this directory.  Beyond the
RFCs, some attributes have an ordering rule or a rule for telephone numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class Family(Enum):
    """A family of matching rules, which compare values in the same normalized form."""

    TEXT = auto()  # names and words, which lenient matching compares by their variants (`name_folding`)
    NUMBER = auto()  # telephone numbers, which lenient matching compares as numbers
    IDENTIFIER = auto()  # identifiers, which are compared without regard to case
    EXACT = auto()
    LIST = auto()  # lines of text, such as postal addresses
    OID = auto()
    DEFINITION = auto()  # definitions in the subschema, which are compared by their OIDs
    DN = auto()
    TIME = auto()
    UUID = auto()
    BOOLEAN = auto()
    INTEGER = auto()
    BINARY = auto()  # octets, which are not compared, and are returned only if a search names the attribute


class Use(Enum):
    """The uses of a matching rule, which RFC 4512 2.5.1 calls EQUALITY, ORDERING and SUBSTR."""

    EQUALITY = auto()
    ORDERING = auto()
    SUBSTRINGS = auto()


# RFC 4517 4.2.4 to 4.2.6 and 4.2.11 to 4.2.13: the rules for a Directory String also compare values of the syntaxes
# Country String and Telephone Number.
_DIRECTORY_STRING_RULES = frozenset(f"2.5.13.{arc}" for arc in range(2, 8))
_DIRECTORY_STRINGS = frozenset(f"1.3.6.1.4.1.1466.115.121.1.{arc}" for arc in (11, 15, 50))
# In lenient matching, the rules for a Directory String also compare mail addresses and postal addresses, because a
# person who names such a rule in a filter means any text.
_TEXTS = _DIRECTORY_STRINGS | {f"1.3.6.1.4.1.1466.115.121.1.{arc}" for arc in (26, 41)}


@dataclass(frozen=True, slots=True)
class MatchingRule:
    """A matching rule (RFC 4512 4.1.3).

    :ivar syntax: the OID of the syntax of the rule's assertion values.
    """

    name: str
    oid: str
    syntax: str
    use: Use
    family: Family

    def applies(self, kind: AttributeType, *, lenient: bool) -> bool:
        """Return whether the rule compares an attribute's values (RFC 4512 4.1.4)."""
        if self.name in (kind.comparison.equality, kind.comparison.ordering, kind.comparison.substrings):
            return True
        syntaxes = _TEXTS if lenient else _DIRECTORY_STRINGS
        return self.oid in _DIRECTORY_STRING_RULES and kind.comparison.syntax in syntaxes


@dataclass(frozen=True, slots=True)
class Comparison:
    """A syntax, with the name of its matching rule for each use ("" if the syntax has no such rule)."""

    syntax: str
    family: Family
    equality: str
    ordering: str = ""
    substrings: str = ""


@dataclass(frozen=True, slots=True)
class AttributeType:
    """An attribute type (RFC 4512 4.1.2).

    :ivar name: the spelling under which entries hold the values.
    :ivar other_names: the names in the standards besides `name`.  The subschema has these names too.
    :ivar aliases: further names that phones use.  A search may use these names, but the subschema leaves these names
        out.
    :ivar usage: the usage of an operational attribute; "" for user attributes.
    """

    name: str
    oid: str
    comparison: Comparison
    other_names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    supertype: str = ""
    usage: str = ""
    single_valued: bool = False

    @property
    def operational(self) -> bool:
        """Return whether the attribute is returned only on request (RFC 4512 3.4)."""
        return bool(self.usage)


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """An object class (RFC 4512 4.1.1); `kind` is STRUCTURAL, AUXILIARY or ABSTRACT."""

    name: str
    oid: str
    kind: str
    superclass: str = ""
    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()


_SYNTAX = "1.3.6.1.4.1.1466.115.121.1."

# RFC 4517 3.3, RFC 4530 2.1
SYNTAXES = {
    _SYNTAX + "3": "Attribute Type Description",
    _SYNTAX + "7": "Boolean",
    _SYNTAX + "11": "Country String",
    _SYNTAX + "12": "DN",
    _SYNTAX + "15": "Directory String",
    _SYNTAX + "16": "DIT Content Rule Description",
    _SYNTAX + "22": "Facsimile Telephone Number",
    _SYNTAX + "24": "Generalized Time",
    _SYNTAX + "26": "IA5 String",
    _SYNTAX + "27": "INTEGER",
    _SYNTAX + "28": "JPEG",
    _SYNTAX + "30": "Matching Rule Description",
    _SYNTAX + "31": "Matching Rule Use Description",
    _SYNTAX + "37": "Object Class Description",
    _SYNTAX + "38": "OID",
    _SYNTAX + "41": "Postal Address",
    _SYNTAX + "50": "Telephone Number",
    _SYNTAX + "54": "LDAP Syntax Description",
    _SYNTAX + "58": "Substring Assertion",
    "1.3.6.1.1.16.1": "UUID",
}

_EQUALITY, _ORDERING, _SUBSTRINGS = Use
_SUBSTRING_ASSERTION = _SYNTAX + "58"

# RFC 4517 4.2, RFC 4530 2.2 and 2.3
MATCHING_RULES = (
    MatchingRule("objectIdentifierMatch", "2.5.13.0", _SYNTAX + "38", _EQUALITY, Family.OID),
    MatchingRule("distinguishedNameMatch", "2.5.13.1", _SYNTAX + "12", _EQUALITY, Family.DN),
    MatchingRule("caseIgnoreMatch", "2.5.13.2", _SYNTAX + "15", _EQUALITY, Family.IDENTIFIER),
    MatchingRule("caseIgnoreOrderingMatch", "2.5.13.3", _SYNTAX + "15", _ORDERING, Family.IDENTIFIER),
    MatchingRule("caseIgnoreSubstringsMatch", "2.5.13.4", _SUBSTRING_ASSERTION, _SUBSTRINGS, Family.IDENTIFIER),
    MatchingRule("caseExactMatch", "2.5.13.5", _SYNTAX + "15", _EQUALITY, Family.EXACT),
    MatchingRule("caseExactOrderingMatch", "2.5.13.6", _SYNTAX + "15", _ORDERING, Family.EXACT),
    MatchingRule("caseExactSubstringsMatch", "2.5.13.7", _SUBSTRING_ASSERTION, _SUBSTRINGS, Family.EXACT),
    MatchingRule("caseIgnoreListMatch", "2.5.13.11", _SYNTAX + "41", _EQUALITY, Family.LIST),
    MatchingRule("caseIgnoreListSubstringsMatch", "2.5.13.12", _SUBSTRING_ASSERTION, _SUBSTRINGS, Family.LIST),
    MatchingRule("booleanMatch", "2.5.13.13", _SYNTAX + "7", _EQUALITY, Family.BOOLEAN),
    MatchingRule("integerMatch", "2.5.13.14", _SYNTAX + "27", _EQUALITY, Family.INTEGER),
    MatchingRule("telephoneNumberMatch", "2.5.13.20", _SYNTAX + "50", _EQUALITY, Family.NUMBER),
    MatchingRule("telephoneNumberSubstringsMatch", "2.5.13.21", _SUBSTRING_ASSERTION, _SUBSTRINGS, Family.NUMBER),
    MatchingRule("generalizedTimeMatch", "2.5.13.27", _SYNTAX + "24", _EQUALITY, Family.TIME),
    MatchingRule("generalizedTimeOrderingMatch", "2.5.13.28", _SYNTAX + "24", _ORDERING, Family.TIME),
    MatchingRule("objectIdentifierFirstComponentMatch", "2.5.13.30", _SYNTAX + "38", _EQUALITY, Family.DEFINITION),
    MatchingRule("caseIgnoreIA5Match", "1.3.6.1.4.1.1466.109.114.2", _SYNTAX + "26", _EQUALITY, Family.IDENTIFIER),
    MatchingRule("caseIgnoreIA5SubstringsMatch", "1.3.6.1.4.1.1466.109.114.3", _SUBSTRING_ASSERTION, _SUBSTRINGS,
                 Family.IDENTIFIER),
    MatchingRule("uuidMatch", "1.3.6.1.1.16.2", "1.3.6.1.1.16.1", _EQUALITY, Family.UUID),
    MatchingRule("uuidOrderingMatch", "1.3.6.1.1.16.3", "1.3.6.1.1.16.1", _ORDERING, Family.UUID),
)  # fmt: skip

_CASE_IGNORE = ("caseIgnoreMatch", "caseIgnoreOrderingMatch", "caseIgnoreSubstringsMatch")
_WORDS = Comparison(_SYNTAX + "15", Family.TEXT, *_CASE_IGNORE)
_NAME = Comparison(_SYNTAX + "15", Family.IDENTIFIER, *_CASE_IGNORE)
_COUNTRY = Comparison(_SYNTAX + "11", Family.IDENTIFIER, *_CASE_IGNORE)
_DOMAIN = Comparison(_SYNTAX + "26", Family.IDENTIFIER, "caseIgnoreIA5Match", "", "caseIgnoreIA5SubstringsMatch")
_MAIL = Comparison(_SYNTAX + "26", Family.TEXT, "caseIgnoreIA5Match", "", "caseIgnoreIA5SubstringsMatch")
_POSTAL = Comparison(_SYNTAX + "41", Family.TEXT, "caseIgnoreListMatch", "", "caseIgnoreListSubstringsMatch")
_EXACT = Comparison(
    _SYNTAX + "15", Family.EXACT, "caseExactMatch", "caseExactOrderingMatch", "caseExactSubstringsMatch"
)
_TELEPHONE = Comparison(_SYNTAX + "50", Family.NUMBER, "telephoneNumberMatch", "", "telephoneNumberSubstringsMatch")
_FAX = Comparison(_SYNTAX + "22", Family.NUMBER, "telephoneNumberMatch", "", "telephoneNumberSubstringsMatch")
_OID = Comparison(_SYNTAX + "38", Family.OID, "objectIdentifierMatch")
_DN = Comparison(_SYNTAX + "12", Family.DN, "distinguishedNameMatch")
_TIME = Comparison(_SYNTAX + "24", Family.TIME, "generalizedTimeMatch", "generalizedTimeOrderingMatch")
_UUID = Comparison("1.3.6.1.1.16.1", Family.UUID, "uuidMatch", "uuidOrderingMatch")
_BOOLEAN = Comparison(_SYNTAX + "7", Family.BOOLEAN, "booleanMatch")
_JPEG = Comparison(_SYNTAX + "28", Family.BINARY, "")
_INTEGER = Comparison(_SYNTAX + "27", Family.INTEGER, "integerMatch")


def _definition(syntax: str) -> Comparison:
    return Comparison(_SYNTAX + syntax, Family.DEFINITION, "objectIdentifierFirstComponentMatch")


# Names that phones and PBXs use for numbers: names of Active Directory and of Grandstream's UCM, defaults of Fanvil,
# and names that administrators are known to enter.  The alias CallerIDName of cn comes from Grandstream's UCM, too.
_WORK_ALIASES = ("ipPhone", "otherTelephone", "AccountNumber", "workPhone", "businessPhone", "phone")
_MOBILE_ALIASES = ("cellphone", "cell", "MobileNumber", "mobilePhone", "otherMobile")
_HOME_ALIASES = ("HomeNumber", "otherHomePhone", "other")

_OPERATION, _DSA = "directoryOperation", "dSAOperation"

ATTRIBUTE_TYPES = (
    AttributeType("objectClass", "2.5.4.0", _OID),
    # The attribute types of RFC 4519.  The attribute `name` has no values of its own, and stands for its subtypes.
    AttributeType("name", "2.5.4.41", _WORDS),
    AttributeType("cn", "2.5.4.3", _WORDS, ("commonName",), ("CallerIDName",), supertype="name"),
    AttributeType("sn", "2.5.4.4", _WORDS, ("surname",), supertype="name"),
    AttributeType("givenName", "2.5.4.42", _WORDS, ("gn",), supertype="name"),
    AttributeType("initials", "2.5.4.43", _WORDS, supertype="name"),
    AttributeType("o", "2.5.4.10", _WORDS, ("organizationName",), ("company", "companyName"), supertype="name"),
    AttributeType("ou", "2.5.4.11", _WORDS, ("organizationalUnitName",), ("department",), supertype="name"),
    AttributeType("title", "2.5.4.12", _WORDS, supertype="name"),
    AttributeType("l", "2.5.4.7", _WORDS, ("localityName",), supertype="name"),
    AttributeType("st", "2.5.4.8", _WORDS, ("stateOrProvinceName",), supertype="name"),
    AttributeType("c", "2.5.4.6", _COUNTRY, ("countryName",), supertype="name", single_valued=True),
    AttributeType("street", "2.5.4.9", _WORDS, ("streetAddress",)),
    AttributeType("postalCode", "2.5.4.17", _WORDS),
    AttributeType("postalAddress", "2.5.4.16", _POSTAL),
    AttributeType("telephoneNumber", "2.5.4.20", _TELEPHONE, (), _WORK_ALIASES),
    AttributeType("facsimileTelephoneNumber", "2.5.4.23", _FAX, ("fax",)),
    AttributeType("dc", "0.9.2342.19200300.100.1.25", _DOMAIN, ("domainComponent",), single_valued=True),
    AttributeType("uid", "0.9.2342.19200300.100.1.1", _NAME, ("userid",)),
    # The attribute types of RFC 4524, RFC 2798 and RFC 2079
    AttributeType("mail", "0.9.2342.19200300.100.1.3", _MAIL, ("rfc822Mailbox",), ("email",)),
    AttributeType("homePhone", "0.9.2342.19200300.100.1.20", _TELEPHONE, ("homeTelephoneNumber",), _HOME_ALIASES),
    AttributeType("mobile", "0.9.2342.19200300.100.1.41", _TELEPHONE, ("mobileTelephoneNumber",), _MOBILE_ALIASES),
    AttributeType("pager", "0.9.2342.19200300.100.1.42", _TELEPHONE, ("pagerTelephoneNumber",)),
    AttributeType("displayName", "2.16.840.1.113730.3.1.241", _WORDS, single_valued=True),
    AttributeType("labeledURI", "1.3.6.1.4.1.250.1.57", _EXACT),
    AttributeType("jpegPhoto", "0.9.2342.19200300.100.1.60", _JPEG),
    # RFC 4512 3.4, RFC 4530, RFC 5020; X.501 defines hasSubordinates
    AttributeType("structuralObjectClass", "2.5.21.9", _OID, usage=_OPERATION, single_valued=True),
    AttributeType("createTimestamp", "2.5.18.1", _TIME, usage=_OPERATION, single_valued=True),
    AttributeType("modifyTimestamp", "2.5.18.2", _TIME, usage=_OPERATION, single_valued=True),
    AttributeType("subschemaSubentry", "2.5.18.10", _DN, usage=_OPERATION, single_valued=True),
    AttributeType("hasSubordinates", "2.5.18.9", _BOOLEAN, usage=_OPERATION, single_valued=True),
    AttributeType("entryUUID", "1.3.6.1.1.16.4", _UUID, usage=_OPERATION, single_valued=True),
    AttributeType("entryDN", "1.3.6.1.1.20", _DN, usage=_OPERATION, single_valued=True),
    # RFC 4512 4.2: the subschema
    AttributeType("attributeTypes", "2.5.21.5", _definition("3"), usage=_OPERATION),
    AttributeType("dITContentRules", "2.5.21.2", _definition("16"), usage=_OPERATION),
    AttributeType("objectClasses", "2.5.21.6", _definition("37"), usage=_OPERATION),
    AttributeType("matchingRules", "2.5.21.4", _definition("30"), usage=_OPERATION),
    AttributeType("matchingRuleUse", "2.5.21.8", _definition("31"), usage=_OPERATION),
    AttributeType("ldapSyntaxes", "1.3.6.1.4.1.1466.101.120.16", _definition("54"), usage=_OPERATION),
    # RFC 4512 5.1, RFC 3045: the root DSE
    AttributeType("namingContexts", "1.3.6.1.4.1.1466.101.120.5", _DN, usage=_DSA),
    # The OID is made from a UUID (ITU-T X.667), because Active Directory defines this attribute without an OID.
    AttributeType(
        "defaultNamingContext", "2.25.164793045556771646092987493404427621383", _DN, usage=_DSA, single_valued=True
    ),
    AttributeType("supportedLDAPVersion", "1.3.6.1.4.1.1466.101.120.15", _INTEGER, usage=_DSA),
    AttributeType("supportedControl", "1.3.6.1.4.1.1466.101.120.13", _OID, usage=_DSA),
    AttributeType("supportedExtension", "1.3.6.1.4.1.1466.101.120.7", _OID, usage=_DSA),
    AttributeType("supportedFeatures", "1.3.6.1.4.1.4203.1.3.5", _OID, usage=_DSA),
    AttributeType("supportedSASLMechanisms", "1.3.6.1.4.1.1466.101.120.14", _NAME, usage=_DSA),
    AttributeType("vendorName", "1.3.6.1.1.4", _EXACT, usage=_DSA, single_valued=True),
    AttributeType("vendorVersion", "1.3.6.1.1.5", _EXACT, usage=_DSA, single_valued=True),
)

_PLACE = ("street", "postalCode", "postalAddress", "st", "l")
_REACHED = ("telephoneNumber", "facsimileTelephoneNumber")

OBJECT_CLASSES = (
    ObjectClass("top", "2.5.6.0", "ABSTRACT", must=("objectClass",)),
    ObjectClass("organization", "2.5.6.4", "STRUCTURAL", "top", ("o",), (*_REACHED, *_PLACE)),
    ObjectClass("organizationalUnit", "2.5.6.5", "STRUCTURAL", "top", ("ou",), (*_REACHED, *_PLACE)),
    ObjectClass("person", "2.5.6.6", "STRUCTURAL", "top", ("sn", "cn"), ("telephoneNumber",)),
    ObjectClass("organizationalPerson", "2.5.6.7", "STRUCTURAL", "person", (),
                ("title", "facsimileTelephoneNumber", *_PLACE, "ou")),
    ObjectClass("inetOrgPerson", "2.16.840.1.113730.3.2.2", "STRUCTURAL", "organizationalPerson", (),
                ("displayName", "givenName", "homePhone", "initials", "jpegPhoto", "labeledURI", "mail", "mobile", "o",
                 "pager", "uid")),
    ObjectClass("dcObject", "1.3.6.1.4.1.1466.344", "AUXILIARY", "top", ("dc",)),
    # RFC 4512 4.3: any user attribute is allowed.
    ObjectClass("extensibleObject", "1.3.6.1.4.1.1466.101.120.111", "AUXILIARY", "top"),
    ObjectClass("subentry", "2.5.17.0", "STRUCTURAL", "top", ("cn",)),
    ObjectClass("subschema", "2.5.20.1", "AUXILIARY", "top", (),
                ("attributeTypes", "dITContentRules", "objectClasses", "matchingRules", "matchingRuleUse",
                 "ldapSyntaxes")),
)  # fmt: skip

# RFC 4512 4.1.6.  Contacts have the attribute c for their country, and RFC 2798 does not allow c in inetOrgPerson.
CONTENT_RULES = ("( 2.16.840.1.113730.3.2.2 NAME 'contact' MAY c )",)

_TYPES = {
    spelling: kind
    for kind in ATTRIBUTE_TYPES
    for name in (kind.name, kind.oid, "oid." + kind.oid, *kind.other_names, *kind.aliases)
    for spelling in (name, name.lower())
}
_STANDARD_TYPES = dict(_TYPES)
# The attributes that hold telephone numbers.
NUMBER_TYPES = tuple(kind for kind in ATTRIBUTE_TYPES if kind.comparison.family is Family.NUMBER)
_CLASSES = {name.lower(): kind for kind in OBJECT_CLASSES for name in (kind.name, kind.oid)}
_RULES = {name.lower(): rule for rule in MATCHING_RULES for name in (rule.name, rule.oid)}
_SUBTYPES = {
    kind.name: tuple(sub for sub in ATTRIBUTE_TYPES if sub.supertype == kind.name) or (kind,)
    for kind in ATTRIBUTE_TYPES
}


def attribute_type(description: str) -> AttributeType | None:
    """Return the type with a name, alias or OID, regardless of upper and lower case; None if there is no such type.

    A description with an option ("cn;lang-de") names no type, because no value here has an option (RFC 4512 2.5.2).
    """
    return _TYPES.get(description) or _TYPES.get(description.lower())


def can_be_alias(alias: str, name: str) -> bool:
    """Return whether `alias` may become an alias of an attribute.

    An alias must not be the standard name of another attribute.
    """
    owner = _STANDARD_TYPES.get(alias.lower())
    return owner is None or owner.name == name or alias.lower() in {known.lower() for known in owner.aliases}


def configure_aliases(aliases: Mapping[str, str]) -> None:
    """Make `attribute_type` accept further names; a later call replaces the names of an earlier call.

    Upper and lower case do not matter.  Call the function at the start of a process, because filters and selections
    that were prepared earlier do not know the new names.

    :param aliases: for each further name (`can_be_alias`), the name of its attribute.
    :raises KeyError: for an attribute that does not exist.
    """
    configured = {
        spelling: _STANDARD_TYPES[name.lower()]
        for alias, name in aliases.items()
        for spelling in (alias, alias.lower())
    }
    _TYPES.clear()
    _TYPES.update(_STANDARD_TYPES | configured)


def subtypes(kind: AttributeType) -> tuple[AttributeType, ...]:
    """Return the subtypes of a type (RFC 4512 2.5.1); if the type has no subtypes, return the type itself."""
    return _SUBTYPES[kind.name]


def object_class(name: str) -> ObjectClass | None:
    """Return the object class with a name or OID."""
    return _CLASSES.get(name.lower())


def matching_rule(name: str) -> MatchingRule | None:
    """Return the matching rule with a name or OID."""
    return _RULES.get(name.lower())


def oid_of(name: str) -> str | None:
    """Return the OID of a definition of the schema, or None if there is no such definition.

    :param name: a name or the OID of an object class, attribute type or matching rule.
    """
    definition = object_class(name) or attribute_type(name) or matching_rule(name)
    return definition.oid if definition else None


def class_chain(name: str) -> tuple[ObjectClass, ...]:
    """Return an object class and its superclasses, the most general first."""
    chain: list[ObjectClass] = []
    kind = object_class(name)
    while kind is not None:
        chain.insert(0, kind)
        kind = object_class(kind.superclass)
    return tuple(chain)


def attributes_of(name: str) -> tuple[AttributeType, ...]:
    """Return the attributes that an object class allows or requires (RFC 4529: ``@inetOrgPerson``)."""
    names = (attribute for part in class_chain(name) for attribute in (*part.must, *part.may))
    return tuple(_TYPES[attribute.lower()] for attribute in dict.fromkeys(names))


_SYNTAX_PATTERNS = {
    # RFC 4517 3.3.6
    _SYNTAX + "15": re.compile(".+", re.DOTALL),
    # RFC 4517 3.3.15
    _SYNTAX + "26": re.compile("[\\x00-\\x7f]*"),
    # RFC 4517 3.3.16
    _SYNTAX + "27": re.compile("0|-?[1-9][0-9]*"),
    # RFC 4512 1.4: a name, or numbers with dots in between, without blanks.
    _SYNTAX + "38": re.compile("[A-Za-z][A-Za-z0-9-]*|[0-9.]+"),
    # RFC 4517 3.3.28: a backslash begins only the escape of a dollar or of a backslash.  Empty lines are accepted.
    _SYNTAX + "41": re.compile(r"(?:[^\\]|\\24|\\5[Cc])*"),
    # RFC 4517 3.2 and 3.3.31
    _SYNTAX + "50": re.compile(r"[A-Za-z0-9'()+,\-./:=? ]+"),
}


def conforms(syntax: str, text: str) -> bool:
    """Return whether a text is a value of a syntax (RFC 4517 3.3).

    An assertion value that does not conform makes the filter's term Undefined (RFC 4511 4.5.1.7).

    :param syntax: the OID of the syntax.  If the syntax has no pattern here, any text conforms, because the syntax's
        matching rule checks values.
    """
    pattern = _SYNTAX_PATTERNS.get(syntax)
    return pattern is None or pattern.fullmatch(text) is not None
