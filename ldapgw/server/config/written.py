# SPDX-License-Identifier: MIT
"""The settings as text: defaults in the notation of the file, the meaning of each key, and a file with all keys.

``ldapgw variables`` prints the meanings; ``ldapgw init`` and ``scripts/settings`` write the meanings and examples into
configuration files and into the reference.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise
from textwrap import wrap

from msgspec.structs import FieldInfo, fields

from ldapgw.server.config.forms import AttributeAliases, Size
from ldapgw.server.config.tables import Config, Table, table_in

_NOTATION = """\
#
# Relative paths are relative to this file.  Durations: "90s", "10m", "2h", "7d".  Sizes: "512B", "64KiB", "1MiB".
# Ports are Twisted server endpoints: "tcp:389" is all IPv4 addresses, "tcp:389:interface=192.0.2.1" one of them,
# "tcp6:389" all IPv6 addresses and, on Linux, all IPv4 addresses too unless "tcp:389" is there as well.
#
# After a change: ldapgw check, then systemctl reload ldapgw, or send SIGHUP to a gateway that you have started by hand.
"""


def default_text(field: FieldInfo) -> str:
    """Return the default of a setting in the notation of the file, or ``required`` or ``none``."""
    if field.required:
        return "required"
    return "none" if field.default in (None, "") else toml_text(field.default)


def toml_text(value: object) -> str:
    """Return a default in the notation of the file."""
    if isinstance(value, Size):
        unit = next(unit for unit in reversed(list(Size.units)) if value % Size.units[unit] == 0)
        return f'"{value // Size.units[unit]}{unit}"'
    if isinstance(value, AttributeAliases):
        return "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    if isinstance(value, IPv4Network | IPv6Network):
        return json.dumps(str(value.network_address if value.num_addresses == 1 else value))
    if isinstance(value, Enum):
        return json.dumps(value.value)
    return json.dumps(str(value) if isinstance(value, float) else value)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The text below a field.

    :ivar sentence: what the field means; literals are in double backticks.
    :ivar example: a value in the notation of the file; empty if the default says enough.
    """

    sentence: str
    example: str


@cache
def meanings(table: type[Table]) -> Mapping[str, Meaning]:
    """Return the text below each field of a table, from the source: Python does not keep such texts."""
    (definition,) = ast.parse(inspect.getsource(table)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, Meaning] = {}
    for statements in pairwise(definition.body):
        match statements:
            case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(text))):
                sentence, _, example = " ".join(text.split()).partition(" Example: ``")
                found[key] = Meaning(sentence, example.removesuffix("``."))
    return found


def table_header(path: str) -> str:
    """Return the line that begins a table, such as ``ldap`` or ``tenant.file``."""
    return f"[[{path}]]" if path.startswith("tenant") else f"[{path}]"


def written_file(head: str, values: Mapping[str, str], mark: str = "") -> str:
    """Return a configuration file that sets some keys.

    The other keys are comments, with an example or the default; so is an optional table without a value.

    :param head: the comment at the top.
    :param values: the values in the notation of the file, by keys such as ``ldap.size_limit``.
    :param mark: the comment behind each value.
    """
    return head + _NOTATION + "".join(f"{line}\n" for line in _lines(Config, "", values, mark))


def _lines(table: type[Table], prefix: str, values: Mapping[str, str], mark: str) -> Iterator[str]:
    for field in fields(table):
        path, meaning = prefix + field.name, meanings(table)[field.name]
        yield ""
        comment = meaning.sentence.replace("``", "")
        yield from wrap(comment, 118, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        if inner := table_in(field.type):
            is_left_out = field.default in (None, ()) and not any(key.startswith(f"{path}.") for key in values)
            yield _marked(f"#{table_header(path)}", "# example") if is_left_out else table_header(path)
            yield from _lines(inner, f"{path}.", values, mark)
        elif path in values:
            yield _marked(f"{field.name} = {values[path]}", mark)
        elif meaning.example:
            yield _marked(f"#{field.name} = {meaning.example}", "# example")
        else:
            yield f"#{field.name} = {toml_text(field.default)}"


def _marked(line: str, mark: str) -> str:
    return f"{line:<55} {mark}" if mark else line
