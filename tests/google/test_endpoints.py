# SPDX-License-Identifier: MIT
"""The OAuth client of a tenant."""

from __future__ import annotations

from ldapgw.google.endpoints import Client


def test_secret_hidden():
    """The repr shows the id alone."""
    assert repr(Client("id", "GOCSPX-secret")) == "Client(client_id='id')"
