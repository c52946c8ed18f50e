# SPDX-License-Identifier: MIT
"""Compare (RFC 4511 4.10): whether an entry holds a value, by the attribute's own equality rule."""

from __future__ import annotations

from ldapgw.directory import needle
from ldapgw.directory.dit import Dit
from ldapgw.directory.filters import Scope
from ldapgw.directory.schema import attribute_type, subtypes
from ldapgw.directory.scope import regions
from ldapgw.directory.viewer import Viewer
from ldapgw.errors import DirectoryError, ResultCode


def compare(dit: Dit, viewer: Viewer, dn: str, attribute: str, value: bytes) -> bool:
    """Whether the entry has the value.

    :raises DirectoryError: as a search of that base does; undefinedAttributeType and noSuchAttribute; and
        invalidAttributeSyntax where the comparison is Undefined, which is no "false" (RFC 4511 4.10).
    """
    region = regions(dit, viewer, dn, Scope.BASE_OBJECT)[0]
    [entry] = region.above[0]
    kind = attribute_type(attribute)
    if kind is None:
        raise DirectoryError(ResultCode.UNDEFINED_ATTRIBUTE_TYPE, "no such attribute type")
    haystacks = [(each, entry.haystack(each)) for each in subtypes(kind)]
    present = [(each, haystack) for each, haystack in haystacks if haystack is not None]
    if not present:
        raise DirectoryError(ResultCode.NO_SUCH_ATTRIBUTE, "the entry has no such attribute")
    tests = [(needle.equality(each, value, region.context), haystack) for each, haystack in present]
    defined = [(asked.test, haystack) for asked, haystack in tests if asked]
    if not defined:
        raise DirectoryError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, "no value of this attribute can be like that")
    return any(test(haystack) for test, haystack in defined)
