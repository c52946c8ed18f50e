# SPDX-License-Identifier: MIT
"""The contacts that a visitor's phones find, and the search over them.

The search is a form (POST), so that no name or number gets into an address and thereby into browser histories and proxy
logs.
"""

from __future__ import annotations

from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpRequest, HttpResponse, RateLimiter
from ldapgw.web.layout import Layout, RequiredRole, Route, get, post
from ldapgw.web.sessions import Visitor

# No name and no number is longer.
MAX_QUERY_LENGTH = 100
# Enough for fast typing.
SEARCH_BURST = 30
SEARCH_INTERVAL_SECONDS = 0.2


class ContactPages:
    """The page of contacts, and the results of its search; page.js fetches the results while a person types.

    Mutable: the rate limiter.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rate_limiter = RateLimiter(SEARCH_BURST, SEARCH_INTERVAL_SECONDS)

    def routes(self) -> tuple[Route, ...]:
        """The routes of these pages."""
        return (
            get("/<tenant>/contacts", self.contacts, RequiredRole.SIGNED_IN),
            get("/<tenant>/search", self.redirect_to_contacts, RequiredRole.TENANT),
            post("/<tenant>/search", self.search),
        )

    async def contacts(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``/{tenant}/contacts``: the search over what the visitor's phones find."""
        return self._layout.page(request, "contacts.html", tenant=tenant, visitor=visitor)

    async def redirect_to_contacts(self, _request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}/search``: the contacts, for a GET of the form's address."""
        return self._layout.redirect_to_tenant(tenant, path="contacts")

    async def search(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/search``: the contacts that the visitor's phones find for ``sought``."""
        if self._rate_limiter.take(visitor.token, self._layout.now()):
            raise PageError(error_pages.TOO_MANY, tenant, headers=(("Retry-After", "1"),))
        query = request.form.get("sought", "")[:MAX_QUERY_LENGTH]
        books = [account.sub for account in visitor.accounts if account.is_connected]
        result = await self._layout.dependencies.finder.find(tenant.name, books, query)
        return self._layout.page(request, "search.html", tenant=tenant, visitor=visitor, query=query, result=result)
