# SPDX-License-Identifier: MIT
"""ldaptor, fenced: the only module that imports it.

It reads the text of a filter (RFC 4515), which only commands and pages have; its BER goes through our own decoder.
What phones send never comes here.  A known limit of its grammar: no attribute named by its OID.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import fields, replace
from typing import Any

from ldapgw.ber import BerReader
from ldapgw.directory.filter import And, Equality, Filter, Or
from ldapgw.errors import DirectoryError, UserError
from ldapgw.ldap import filter_decoder as filters

with warnings.catch_warnings():
    # It is written for an older pyparsing.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldaptor.ldapfilter import InvalidLDAPFilter, parseFilter

# Stands for an empty value, which ldaptor's grammar does not have.  It cannot come from outside: what else ldaptor gets
# to see is one sign per octet, thus below U+0100.
_NOTHING = "\ue000"
# Stands for the term that ldaptor's grammar wants in ``(&)`` and ``(|)``, which are true and false (RFC 4526).
_NO_TERM = "(o=\ue001)"
_EMPTY = re.compile(r"\(([&|])\)")
_NO_TERMS = (Equality("o", "\ue001".encode()),)


def read_filter(text: str) -> Filter:
    """A filter from its text, such as ``(|(cn=mü*)(telephoneNumber=030123))``.

    :raises UserError: when it is no filter, or one beyond our limits.
    """
    # ldaptor takes \\c3\\bc for two signs and encodes each; so it gets octets for signs, turned back below.
    octets = re.sub(r"\*+", "*", text.strip()).encode("utf-8", "surrogatepass").decode("latin-1")
    filled = _EMPTY.sub(rf"(\1{_NO_TERM})", octets.replace("=)", f"={_NOTHING})"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            parsed = parseFilter(filled)
        found = filters.read(BerReader.over(parsed.toWire()))
    except InvalidLDAPFilter as error:
        typed = filled[: error.loc].replace(_NO_TERM, "").replace(_NOTHING, "")
        raise UserError(f"This is not a filter: it cannot be read from position {len(typed) + 1} on.") from None
    except (RecursionError, DirectoryError):
        raise UserError("This filter is nested too deep, or has too many terms.") from None
    restored: Filter = _restored(found)
    return restored


def _restored(value: Any) -> Any:
    """The same filter with the octets that the text meant."""
    if isinstance(value, And | Or) and value.terms == _NO_TERMS:
        return replace(value, terms=())
    if isinstance(value, bytes):
        return value.decode().replace(_NOTHING, "").encode("latin-1")
    if isinstance(value, tuple):
        return tuple(_restored(part) for part in value)
    if isinstance(value, Filter):
        return replace(value, **{field.name: _restored(getattr(value, field.name)) for field in fields(value)})
    return value
