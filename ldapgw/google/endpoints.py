# SPDX-License-Identifier: MIT
"""The addresses of Google's endpoints (settings ``[google]``) and the OAuth client of a tenant."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs of Google or of the sandbox; https, or http on a loopback address.

    :ivar people_api: URL without a path: ``https://people.googleapis.com``.
    :ivar issuer: the issuer of an ``id_token``: ``https://accounts.google.com``.
    """

    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    people_api: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Client:
    """A tenant's OAuth client, as registered in its Google project; its ``repr`` omits the secret."""

    client_id: str
    client_secret: str = field(repr=False)

    def shares_grants_with(self, other: Client) -> bool:
        """Whether a grant to one client holds for the other too: both belong to one project.

        A client ID begins with the number of its project.
        """
        return self.client_id.partition("-")[0] == other.client_id.partition("-")[0]
