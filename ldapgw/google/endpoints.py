# SPDX-License-Identifier: MIT
"""Where Google is, and who we are to it: the settings ``[google]`` and the OAuth client of a tenant."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses of Google, or of its stand-in; https, or http on a loopback address.

    :ivar people_api: without a path: ``https://people.googleapis.com``.
    :ivar issuer: who signs an ``id_token``: ``https://accounts.google.com``.
    """

    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    people_api: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Client:
    """A tenant's OAuth client, as registered in its Google project; the secret is not in its ``repr``."""

    client_id: str
    client_secret: str = field(repr=False)

    def shares_grants_with(self, other: Client) -> bool:
        """Whether a grant to one is one to the other, too: client IDs begin with the number of their project."""
        return self.client_id.partition("-")[0] == other.client_id.partition("-")[0]
