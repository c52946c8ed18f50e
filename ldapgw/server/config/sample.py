# SPDX-License-Identifier: MIT
"""The commented sample of the configuration file, and copies of the sample with values filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files

# A line that sets a key, or would set it without its "#".
_SETTING = re.compile(r"#?(?P<key>[a-z_]+) = .*")
# The part of the sample's head that describes only the sample.
_HEAD = re.compile(r"\A# The configuration of ldapgw.*?(?=# Relative paths)", re.DOTALL)
_NEW_HEAD = """\
# The configuration of ldapgw, as written by ldapgw init.
#
# A key behind a "#" has the default that it shows; where it shows an example instead, its comment says so.
# docs/configuration.rst explains every key.
#
"""


def sample() -> str:
    """The text of the sample file."""
    return files("ldapgw.server.config").joinpath("ldapgw.toml").read_text()


def fill_sample(values: Mapping[str, object]) -> str:
    """The sample with values filled in; all other keys keep their defaults.

    :param values: text or lists of text by key; each key must be in the file once; None comments the key out.
    """
    lines = [_line(line, values) for line in _HEAD.sub(_NEW_HEAD, sample()).splitlines()]
    return "\n".join(lines) + "\n"


def _line(line: str, values: Mapping[str, object]) -> str:
    setting = _SETTING.fullmatch(line)
    if setting is None or setting["key"] not in values:
        return line
    value = values[setting["key"]]
    if value is None:
        return "#" + line.lstrip("#").replace("# set this", "# example")
    # A JSON string is a valid TOML string, and a JSON list of strings is a valid TOML array.
    return f"{setting['key']} = {json.dumps(value, ensure_ascii=False)}"
