# SPDX-License-Identifier: MIT
"""Takes people through the page and the consent, in a process of its own: a reactor is run once.

It prints the cookie that the last one of them is signed in with.
"""

from __future__ import annotations

import sys
from http.cookiejar import CookieJar
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.web.client import Agent

from ldapgw.google.sandbox.browser import consent


async def _visit(reactor: Any, page: str, *accounts: str) -> None:
    for account in accounts:
        jar = CookieJar()
        visit = await consent(HTTPClient(Agent(reactor), jar), page + "connect", account=account)
        assert (visit.status, visit.url) == (200, page), visit
    sys.stdout.write("; ".join(f"{cookie.name}={cookie.value}" for cookie in jar))


if __name__ == "__main__":
    react(lambda reactor, *given: Deferred.fromCoroutine(_visit(reactor, *given)), sys.argv[1:])
