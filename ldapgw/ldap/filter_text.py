# SPDX-License-Identifier: MIT
"""Parses filters in their string representation (RFC 4515), with ldaptor.

Only commands and pages have filters as text; LDAP clients send filters in BER.  ldaptor parses the text and encodes the
filter, and `ldapgw.ldap.decoder` decodes the encoded filter.  Besides this module, only `ldapgw.phones.reachability`
imports ldaptor, as the LDAP client of a test.  ldaptor's grammar does not allow an OID as the name of an attribute.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import fields, replace
from typing import Any

from ldapgw.ber import BerReader
from ldapgw.directory.filter import And, Equality, Filter, Or
from ldapgw.errors import DirectoryError, UserError
from ldapgw.ldap.decoder import decode_filter

with warnings.catch_warnings():
    # ldaptor uses names of pyparsing that newer versions of pyparsing warn of.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldaptor.ldapfilter import InvalidLDAPFilter, parseFilter

# The character that stands for an empty value, which ldaptor's grammar does not allow.  No character of the text is
# above U+00FF, because ldaptor gets one character for each octet.
_EMPTY_VALUE = "\ue000"
# The term that fills ``(&)`` and ``(|)``, because ldaptor's grammar demands at least one term.  RFC 4526 defines the
# empty filters ``(&)`` as true and ``(|)`` as false.
_NO_TERM = "(o=\ue001)"
_EMPTY_SET = re.compile(r"\(([&|])\)")
_NO_TERMS = (Equality("o", "\ue001".encode()),)


def read_filter(text: str) -> Filter:
    """Parse a filter, such as ``(|(cn=mü*)(telephoneNumber=030123))``.

    :raises UserError: if the text is not a filter, or the filter exceeds our limits.
    """
    # ldaptor decodes an escaped octet such as \c3 into a character.  So ldaptor gets every octet of the text as one
    # character, and `_restored` turns the characters back into octets.
    octets = re.sub(r"\*+", "*", text.strip()).encode("utf-8", "surrogatepass").decode("latin-1")
    filled = _EMPTY_SET.sub(rf"(\1{_NO_TERM})", octets.replace("=)", f"={_EMPTY_VALUE})"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            parsed = parseFilter(filled)
        decoded = decode_filter(BerReader.over(parsed.toWire()))
    except InvalidLDAPFilter as error:
        parsed_text = filled[: error.loc].replace(_NO_TERM, "").replace(_EMPTY_VALUE, "")
        raise UserError(f"This is not a filter: it cannot be read from position {len(parsed_text) + 1} on.") from None
    except (RecursionError, DirectoryError):
        raise UserError("This filter is nested too deep, or has too many terms.") from None
    restored: Filter = _restored(decoded)
    return restored


def _restored(value: Any) -> Any:
    """Undo the replacements of `read_filter` in a filter, or in a part of a filter."""
    if isinstance(value, And | Or) and value.terms == _NO_TERMS:
        return replace(value, terms=())
    if isinstance(value, bytes):
        return value.decode().replace(_EMPTY_VALUE, "").encode("latin-1")
    if isinstance(value, tuple):
        return tuple(_restored(part) for part in value)
    if isinstance(value, Filter):
        return replace(value, **{field.name: _restored(getattr(value, field.name)) for field in fields(value)})
    return value
