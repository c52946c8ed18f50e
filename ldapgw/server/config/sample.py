# SPDX-License-Identifier: MIT
"""The commented sample of the file, and the sample with somebody's values in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files

# A line that sets a key, or would without its "#".
_SETTING = re.compile(r"#?(?P<key>[a-z_]+) = .*")
# What the head says of the sample alone.
_HEAD = re.compile(r"\A# The configuration of ldapgw.*?(?=# Relative paths)", re.DOTALL)
_NEW_HEAD = """\
# The configuration of ldapgw, as written by ldapgw init.
#
# A key behind a "#" has the default that it shows; where it shows an example instead, its comment says so.
# docs/configuration.rst explains every key.
#
"""


def sample() -> str:
    """The sample."""
    return files("ldapgw.server.config").joinpath("ldapgw.toml").read_text()


def fill_sample(values: Mapping[str, object]) -> str:
    """The sample with values; all else keeps its default.

    :param values: of keys whose names are in the file once: text or lists of text; None leaves a key out.
    """
    lines = [_line(line, values) for line in _HEAD.sub(_NEW_HEAD, sample()).splitlines()]
    return "\n".join(lines) + "\n"


def _line(line: str, values: Mapping[str, object]) -> str:
    found = _SETTING.fullmatch(line)
    if found is None or found["key"] not in values:
        return line
    value = values[found["key"]]
    if value is None:
        return "#" + line.lstrip("#").replace("# set this", "# example")
    # A JSON text is a TOML one, and so are lists of them.
    return f"{found['key']} = {json.dumps(value, ensure_ascii=False)}"
