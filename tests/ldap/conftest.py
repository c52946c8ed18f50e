# SPDX-License-Identifier: MIT
"""What the tests of ``ldapgw.ldap`` share."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def reactor() -> Any:
    """The reactor that runs the tests, for real sockets."""
    from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)

    return reactor
