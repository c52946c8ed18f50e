# SPDX-License-Identifier: MIT
"""Hands a configuration over to the program that this process executes next.

The program starts with the configuration that was tried, whatever its file contains by then.  The file that carries it
has no name, and is in memory where that can be had: the configuration has secrets.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import MutableMapping

from ldapgw import __version__
from ldapgw.server.config.tables import Config

# The variable that names the file to the program that is executed.
_KEPT_CONFIG = "_LDAPGW_KEPT_CONFIG"


class KeptConfig:
    """A file for one configuration; a process that is forked can write it too."""

    def __init__(self) -> None:
        try:
            self._file = os.memfd_create("ldapgw-config")
        except (AttributeError, OSError):  # only Linux has it, and may forbid it
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())

    def write(self, config: Config) -> None:
        """Write the configuration, once."""
        with os.fdopen(self._file, "wb", closefd=False) as file:
            file.write(pickle.dumps((__version__, pickle.dumps(config))))

    def hand_over(self, environment: MutableMapping[str, str]) -> None:
        """Keep the file for the program that is executed, and name it in its environment."""
        os.set_inheritable(self._file, True)  # noqa: FBT003 - the standard library's
        environment[_KEPT_CONFIG] = str(self._file)

    def close(self) -> None:
        os.close(self._file)


def take_config(environment: MutableMapping[str, str]) -> Config | None:
    """The configuration that this process kept when it executed itself.

    :returns: None at the first start, and where another version of the program has kept it: the file has to be read.
    """
    descriptor = environment.pop(_KEPT_CONFIG, "")
    if not descriptor:
        return None
    with os.fdopen(int(descriptor), "rb") as file:
        file.seek(0)
        version, octets = pickle.loads(file.read())  # noqa: S301 - written by this process
    config: Config | None = pickle.loads(octets) if version == __version__ else None  # noqa: S301
    return config
