# SPDX-License-Identifier: MIT
"""The rendering of vendors' files and fields, in which no value can add a line or an element, or end its quotes.

The template of a file is ``ldapgw/phones/vendors/KEY.j2``.  Each value that a template prints is reduced to one line.
In XML, each value is also escaped, so that it fits into an attribute or a text.  The templates have the filters
``label(n)``, ``quoted``, ``json`` and ``text``.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment, Template

NOT_VERIFIED = "not verified by ldapgw with such a phone"

_IN_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Format(StrEnum):
    """The format of a vendor's file, which decides how values are written."""

    XML = "xml"
    TEXT = "text"
    JSON = "json"


class _Escaped(str):
    """A text that is escaped already."""

    __slots__ = ()


def render_file(key: str, file_format: Format, values: Mapping[str, object]) -> str:
    """Return the text of a vendor's file.

    :raises jinja2.TemplateError: if the template is wrong, or names a value that is not there.
    """
    return _environment(_FINALIZERS[file_format]).get_template(f"{key}.j2").render(values)


def render_boot_file(key: str, file_format: Format, values: Mapping[str, object]) -> str:
    """Return the text of the file from which phones learn the name of a vendor's file with the settings.

    :raises jinja2.TemplateError: as for `render_file`.
    """
    return _environment(_FINALIZERS[file_format]).get_template(f"{key}.boot.j2").render(values)


def render_value(template: str, values: Mapping[str, object]) -> str:
    """Return the value of a field to enter by hand; nothing is escaped.

    :raises jinja2.TemplateError: as for `render_file`.
    """
    return _value_template(template).render(values)


def one_line(value: str) -> str:
    """Return a value without line breaks and control characters, most of which XML 1.0 forbids as well."""
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") else char
                   for char in value).strip()  # fmt: skip


def label(title: str, max_length: int) -> str:
    """Return the directory's name for a phone's menu, at most `max_length` characters long."""
    return one_line(title)[:max_length].rstrip() or "Contacts"


def quoted(value: str) -> str:
    """Return a value in double quotes; double quotes in the value become apostrophes, because there are no escapes."""
    return '"' + one_line(value).replace('"', "'") + '"'


def _xml_text(value: str) -> str:
    """Escape a value for the text of an element, in which double quotes need no escape."""
    return _Escaped(one_line(value).translate(_IN_TEXT))


def _xml_value(value: object) -> str:
    return value if isinstance(value, _Escaped) else _xml_text(str(value)).replace('"', "&quot;")


_FINALIZERS: Mapping[Format, Callable[[object], str]] = {
    Format.XML: _xml_value,
    Format.TEXT: lambda value: one_line(str(value)),
    Format.JSON: str,
}


@cache  # the environment is cached, because it keeps the templates that it has compiled
def _environment(finalize: Callable[[object], str]) -> Environment:
    # Jinja is imported here, so that commands that print no settings save 0.1 s of processor time.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701  Jinja escapes only for HTML; `finalize` escapes for each format
        loader=PackageLoader("ldapgw.phones", "vendors"),
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    to_json = partial(json.dumps, ensure_ascii=False, indent=2)
    environment.filters.update(label=label, quoted=quoted, json=to_json, text=_xml_text)
    return environment


@cache
def _value_template(template: str) -> Template:
    return _environment(str).from_string(template)
