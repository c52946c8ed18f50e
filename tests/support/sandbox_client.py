# SPDX-License-Identifier: MIT
"""Google as a gateway and a browser call it, in memory, over a world with a clock in the test's hands."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from treq.testing import StubTreq

from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.tenant import ALICE, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS
from ldapgw.google.sandbox.world import World
from tests.support.results import result_of

BASE = "https://google.example"
AUTH = "https://www.googleapis.com/auth/"
CONTACTS = AUTH + "contacts.readonly"
OTHER = AUTH + "contacts.other.readonly"
DIRECTORY = AUTH + "directory.readonly"
VERIFIER = "a-verifier-of-the-forty-three-characters-that-it-needs"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
MASK = "metadata,names,phoneNumbers"
START = 1_770_000_000.0


class Clock:
    """Seconds since the epoch, as far as the test has advanced them."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Answer:
    """A response, read."""

    def __init__(self, response: Any) -> None:
        self.status = response.code
        self.headers = response.headers
        self.body = result_of(response.content())

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        return (self.headers.getRawHeaders(name) or [""])[0]

    @property
    def query(self) -> dict[str, str]:
        """Of the address that a redirect goes to."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.header("location")).query).items()}


class Google:
    """The sandbox in memory, called as a gateway and a browser call Google."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.http = StubTreq(sandbox(world))

    def request(self, method: str, path: str, **options: Any) -> Answer:
        url = path if path.startswith("http") else BASE + path
        return Answer(result_of(self.http.request(method, url, allow_redirects=False, **options)))

    def form(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, headers=kind | (headers or {}), data=urlencode(fields, doseq=True).encode())

    def control(self, name: str, /, **arguments: Any) -> Answer:
        kind = {"Content-Type": "application/json"}
        return self.request("POST", f"/sandbox/{name}", headers=kind, data=json.dumps(arguments).encode())

    def authorize(self, **changes: str | None) -> Answer:
        return self.request("GET", authorization_path(**changes))

    def agree(self, account: str = ALICE, scopes: tuple[str, ...] = (), **changes: str | None) -> Answer:
        """Press "Continue" on the consent page."""
        fields = {"account": account, "decision": "continue", "scope": scopes}
        return self.form(authorization_path(**changes), **fields)

    def exchange(self, code: str, /, **changes: str) -> Answer:
        given = {"code": code, "redirect_uri": REDIRECT_URIS[0], "code_verifier": VERIFIER}
        return self.form("/token", **(client_fields("authorization_code") | given | changes))

    def refresh(self, refresh_token: str, /, **changes: str) -> Answer:
        return self.form("/token", **(client_fields("refresh_token") | {"refresh_token": refresh_token} | changes))

    def connect(self, account: str = ALICE, scope: str = f"openid email {CONTACTS}", **changes: str) -> dict[str, Any]:
        """The whole flow, every box ticked; the token answer."""
        agreed = self.agree(account, tuple(scope.split()), scope=scope, **changes)
        return self.exchange(agreed.query["code"]).json

    def people(self, path: str, token: str, **query: Any) -> Answer:
        url = f"{path}?{urlencode(query, doseq=True)}"
        return self.request("GET", url, headers={"Authorization": f"Bearer {token}"})

    def connections(self, token: str, **query: Any) -> Answer:
        given = {"personFields": MASK, "pageSize": "1000", "requestSyncToken": "true"} | query
        return self.people("/v1/people/me/connections", token, **given)


def authorization_path(**changes: str | None) -> str:
    """A request as a gateway makes it; None leaves a parameter out."""
    given = {
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URIS[0],
        "response_type": "code",
        "scope": f"openid email {CONTACTS}",
        "access_type": "offline",
        "prompt": "consent",
        "state": "a state",
        "nonce": "a nonce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes
    return "/o/oauth2/v2/auth?" + urlencode({name: value for name, value in given.items() if value is not None})


def client_fields(grant_type: str) -> dict[str, str]:
    return {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "grant_type": grant_type}


def claims(id_token: str) -> dict[str, Any]:
    part = id_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
