# SPDX-License-Identifier: MIT
"""Where we differ from slapd on purpose in what is not a filter; `differences` has the filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ldapgw.directory.filter import Equality, Scope, SearchRequest
from ldapgw.directory.schema import attribute_type
from tests.ldap.differences import COMPUTED, UNDEFINED, Unasked, translated_filter
from tests.support.phonebook.awkward import BASE


def translated(request: SearchRequest) -> SearchRequest:
    """What slapd is to be asked.

    :raises Unasked: when there are no words for it.
    """
    for difference in REQUEST_DIFFERENCES:
        request = difference.translate(request)
    return replace(request, filter=translated_filter(request.filter))


def translated_compare(attribute: str, value: bytes) -> Equality:
    """What slapd is to be asked to compare.

    :raises Unasked: when there are no words for it.
    """
    kind = attribute_type(attribute)
    if kind is not None and kind.name in COMPUTED:
        raise Unasked("computed attributes")
    found = translated_filter(Equality(attribute, value))
    if not isinstance(found, Equality) or (found is UNDEFINED and attribute != "nosuch"):
        raise Unasked("compare")
    return found


def explains(ours: int | None, theirs: int | None) -> bool:
    """Whether two results of a Compare say one thing: slapd looks at the assertion first, and we at the entry.

    Undefined attribute types and values that cannot be come out as undefinedAttributeType and invalidAttributeSyntax
    where we say that the entry or the attribute is not there; RFC 4511 4.10 leaves the order open.
    """
    return theirs in (17, 21) and ours in (16, 32)


@dataclass(frozen=True)
class RequestDifference:
    """A difference in what is not the filter.

    :ivar translate: the request as slapd is to be asked.
    """

    name: str
    reason: str
    translate: Callable[[SearchRequest], SearchRequest]


def _above_all(request: SearchRequest) -> SearchRequest:
    if not request.base and request.scope is Scope.SINGLE_LEVEL:
        return replace(request, base=BASE, scope=Scope.BASE_OBJECT)
    return request


def _blank(request: SearchRequest) -> SearchRequest:
    return replace(request, base=request.base.strip(" "))


def _root(request: SearchRequest) -> SearchRequest:
    if not request.base and request.scope is Scope.BASE_OBJECT:
        raise Unasked("root")
    return request


def _impossible_names(request: SearchRequest) -> SearchRequest:
    changed = request.base
    for impossible, nobody in (("nosuch=x,", "ou=nobody,"), ("uid=,ou=x,", "uid=nobody,ou=x,")):
        changed = changed.replace(impossible, nobody)
    return replace(request, base=changed)


def _selection(request: SearchRequest) -> SearchRequest:
    attributes = tuple(name for text in request.attributes for name in text.split())
    if "@inetOrgPerson" in attributes:
        attributes += ("c",)
    return replace(request, attributes=attributes)


REQUEST_DIFFERENCES = (
    RequestDifference("blank", "Some phones send a blank for an empty base; slapd says that it is no DN.", _blank),
    RequestDifference("root", "The root DSE is each server's own.", _root),
    RequestDifference("above all", "One level below the root of all trees is the tenant; slapd sets its default base "
                      "in for the root.", _above_all),
    RequestDifference("impossible names", "An attribute type that is not in the schema, or an empty value, makes a DN "
                      "that names nothing (noSuchObject); slapd says that it is no DN.", _impossible_names),
    RequestDifference("selection", "Some phones write two names in one text, or an empty one, which names nothing; "
                      "and a contact's country is in our inetOrgPerson.", _selection),
)  # fmt: skip
