# SPDX-License-Identifier: MIT
"""The entries besides contacts, books and labels: the root DSE, the subschema, and the entries of tenants.

A search finds these entries in the same way as contacts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from ldapgw.directory import schema
from ldapgw.directory.entry import SUBSCHEMA_DN, Entry, special_entry, structural_attributes
from ldapgw.directory.naming_context import ROOT, NamingContext

_VENDOR = "ldapgw"

# The versions of LDAP that the server speaks: 2 (RFC 1777) for old phones, and 3 (RFC 4511).
_VERSIONS = (b"2", b"3")

# Clients keep a copy of the schema until `modifyTimestamp` changes (RFC 4512 4.2).  After a change of the schema,
# change `_SCHEMA_MODIFIED` too.
_SCHEMA_CREATED, _SCHEMA_MODIFIED = b"20261120000000Z", b"20261130190000Z"


@dataclass(frozen=True, slots=True)
class Features:
    """The features of the server that the root DSE lists on a connection with TLS.

    A feature is listed if, and only if, the feature works (RFC 4512 5.1).

    :ivar before_tls: extensions that work only on a connection without TLS.
    """

    vendor_version: str
    controls: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    before_tls: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    sasl_mechanisms: tuple[str, ...] = ()

    def in_clear(self) -> Features:
        """Return the features on a connection without TLS, where no SASL mechanism works."""
        extensions = tuple(sorted((*self.extensions, *self.before_tls)))
        return replace(self, extensions=extensions, before_tls=(), sasl_mechanisms=())


def root_dse(features: Features, contexts: Iterable[NamingContext], default: NamingContext | None) -> Entry:
    """Return the root DSE (RFC 4512 5.1, RFC 3045).

    :param default: the default naming context, the best base for a client without a configured base; None if there are
        several naming contexts.
    """
    attributes = {
        "structuralObjectClass": (b"top",),
        "subschemaSubentry": (SUBSCHEMA_DN.encode(),),
        "namingContexts": tuple(str(context.base).encode() for context in contexts),
        "defaultNamingContext": (str(default.base).encode(),) if default else (),
        "supportedLDAPVersion": _VERSIONS,
        "supportedControl": _encoded(features.controls),
        "supportedExtension": _encoded(features.extensions),
        "supportedFeatures": _encoded(features.features),
        "supportedSASLMechanisms": _encoded(features.sasl_mechanisms),
        "vendorName": (_VENDOR.encode(),),
        "vendorVersion": (features.vendor_version.encode(),),
    }
    operational = {name: values for name, values in attributes.items() if values}
    return special_entry("", {"objectClass": ("top",)}, operational, lenient=False)


@lru_cache(maxsize=1024)
def tenant_entry(context: NamingContext) -> Entry:
    """Return a tenant's own entry, an organization; the attributes contain the values of the RDN (RFC 4512 2.3.1).

    If the object class organization does not allow an attribute of the RDN, a further object class allows the
    attribute.
    """
    dn = str(context.base)
    attributes: dict[str, tuple[str, ...]] = {"o": (context.title,)}
    for name, value in next(iter(context.base.rdns), ()):
        kind = schema.attribute_type(name)
        if kind:
            attributes[kind.name] = tuple(dict.fromkeys((*attributes.get(kind.name, ()), value)))
    classes = ("top", "organization", *(("dcObject",) if "dc" in attributes else ()))
    allowed = {kind.name for each in classes for kind in schema.attributes_of(each)}
    if not attributes.keys() <= allowed:
        classes += ("extensibleObject",)
    attributes = {"objectClass": classes, **attributes}
    operational = structural_attributes(dn, "organization", context.name, subordinates=True)
    return special_entry(dn, attributes, operational, lenient=context.lenient)


@cache
def subschema() -> Entry:
    """Return the subschema entry (RFC 4512 4.2): the schema as clients read it."""
    operational = {
        "structuralObjectClass": (b"subentry",),
        "subschemaSubentry": (SUBSCHEMA_DN.encode(),),
        "hasSubordinates": (b"FALSE",),
        "entryDN": (SUBSCHEMA_DN.encode(),),
        "createTimestamp": (_SCHEMA_CREATED,),
        "modifyTimestamp": (_SCHEMA_MODIFIED,),
        "ldapSyntaxes": _encoded(f"( {oid} DESC '{name}' )" for oid, name in schema.SYNTAXES.items()),
        "matchingRules": _encoded(
            f"( {rule.oid} NAME '{rule.name}' SYNTAX {rule.syntax} )" for rule in schema.MATCHING_RULES
        ),
        "matchingRuleUse": _encoded(filter(None, map(_matching_rule_use, schema.MATCHING_RULES))),
        "attributeTypes": _encoded(map(_attribute_type, schema.ATTRIBUTE_TYPES)),
        "dITContentRules": _encoded(schema.CONTENT_RULES),
        "objectClasses": _encoded(map(_object_class, schema.OBJECT_CLASSES)),
    }
    attributes = {"objectClass": ("top", "subentry", "subschema"), "cn": ("subschema",)}
    return special_entry(SUBSCHEMA_DN, attributes, operational, lenient=False)


def _matching_rule_use(rule: schema.MatchingRule) -> str:
    """Describe the attributes to which an extensible match can apply a rule (RFC 4512 4.1.4); "" if there are none."""
    names = tuple(kind.name for kind in schema.ATTRIBUTE_TYPES if rule.applies(kind, lenient=ROOT.lenient))
    return f"( {rule.oid} NAME '{rule.name}' APPLIES {_oids(names)} )" if names else ""


def _attribute_type(kind: schema.AttributeType) -> str:
    """Describe an attribute type (RFC 4512 4.1.2)."""
    parts = [kind.oid, "NAME", _names((kind.name, *kind.other_names))]
    parts += ["SUP", kind.supertype] if kind.supertype else []
    parts += ["EQUALITY", kind.comparison.equality] if kind.comparison.equality else []
    parts += ["ORDERING", kind.comparison.ordering] if kind.comparison.ordering else []
    parts += ["SUBSTR", kind.comparison.substrings] if kind.comparison.substrings else []
    parts += ["SYNTAX", kind.comparison.syntax]
    parts += ["SINGLE-VALUE"] if kind.single_valued else []
    parts += ["NO-USER-MODIFICATION", "USAGE", kind.usage] if kind.usage else []
    return f"( {' '.join(parts)} )"


def _object_class(kind: schema.ObjectClass) -> str:
    """Describe an object class (RFC 4512 4.1.1)."""
    parts = [kind.oid, "NAME", _names((kind.name,))]
    parts += ["SUP", kind.superclass] if kind.superclass else []
    parts += [kind.kind]
    parts += ["MUST", _oids(kind.must)] if kind.must else []
    parts += ["MAY", _oids(kind.may)] if kind.may else []
    return f"( {' '.join(parts)} )"


def _names(names: tuple[str, ...]) -> str:
    quoted = " ".join(f"'{name}'" for name in names)
    return quoted if len(names) == 1 else f"( {quoted} )"


def _oids(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"( {' $ '.join(names)} )"


def _encoded(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)
