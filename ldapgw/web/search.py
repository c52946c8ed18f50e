# SPDX-License-Identifier: MIT
"""The search box: what somebody's phones find.

It is a form, so that no name or number gets into an address, and with that into histories and the logs of proxies.
"""

from __future__ import annotations

from ldapgw.web import endings
from ldapgw.web.endings import Ended
from ldapgw.web.exchange import Answer, Call
from ldapgw.web.frame import Frame
from ldapgw.web.rates import Rates
from ldapgw.web.routes import Route, Who, get, post
from ldapgw.web.session import Visitor
from ldapgw.web.tenant import WebTenant

# No name is longer, and no number.
LONGEST = 100
# Fast typing, and no more.
SEARCHES_AT_ONCE = 30
SEARCH_SECONDS = 0.2


class Search:
    """The page of what was found; a script takes the results from it while a person types.

    Mutable: who has searched how often.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._rates = Rates(SEARCHES_AT_ONCE, SEARCH_SECONDS)

    def routes(self) -> tuple[Route, ...]:
        """The routes of the search."""
        return (get("/<tenant>/search", self._frame.home, Who.OF_TENANT), post("/<tenant>/search", self.search))

    async def search(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/search``: who is found by ``sought``."""
        if self._rates.take(visitor.token, self._frame.now()):
            raise Ended(endings.TOO_MANY, tenant, headers=(("Retry-After", "1"),))
        sought = call.form.get("sought", "")[:LONGEST]
        books = [account.sub for account in visitor.accounts if account.connected]
        found = await self._frame.gate.finder.find(tenant.name, books, sought)
        return self._frame.page(call, "search.html", tenant=tenant, visitor=visitor, sought=sought, found=found)
