# SPDX-License-Identifier: MIT
"""Writes a configuration file with a comment on every key: the sample, or the file of ``ldapgw init``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap

from msgspec.structs import fields

from ldapgw.server.config.tables import Config, Table, meanings, table_in, toml_text

_NOTATION = """\
#
# Relative paths are relative to this file.  Durations: "90s", "10m", "2h", "7d".  Sizes: "512B", "64KiB", "1MiB".
# Ports are Twisted server endpoints: "tcp:389" is all IPv4 addresses, "tcp:389:interface=192.0.2.1" one of them,
# "tcp6:389" all IPv6 addresses and, on Linux, all IPv4 addresses too unless "tcp:389" is there as well.
#
# After a change: ldapgw check, then systemctl reload ldapgw, or send SIGHUP to a gateway that you have started by hand.
"""


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
