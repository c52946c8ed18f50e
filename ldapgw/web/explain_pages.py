# SPDX-License-Identifier: MIT
"""The pages that explain why a phone did not find somebody: common problems, and explanations of a search.

The query is sent in a form (POST), so that no name and no number gets into an address.  A visitor learns nothing about
other people's books that the phone does not see; an administrator learns that a complete number is in such a book, and
the command ``ldapgw explain`` tells more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ldapgw.errors import DirectoryError, UserError
from ldapgw.phones.explain.model import ExplanationReader
from ldapgw.phones.explainer import MAX_QUERY_LENGTH, ExplainRequest, read_number_notes
from ldapgw.phrase import Translatable, gettext_noop
from ldapgw.store import accounts
from ldapgw.store.phones import PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PageError
from ldapgw.web.explain_texts import PageContext, explanation_text
from ldapgw.web.http import HttpResponse, RateLimiter
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post
from ldapgw.web.phone_pages import visible_phones

# An explanation runs dozens of searches: this many explanations at once, then one per interval.
EXPLAIN_BURST = 10
EXPLAIN_INTERVAL_SECONDS = 2.0
# Explanations of a session that run at the same time, for example after a double click.
MAX_RUNNING = 3

_NO_FILTER = gettext_noop("This filter can’t be read. Check its parentheses, or enter a name or number instead.")
_NO_BASE = gettext_noop(
    "The phone’s search base doesn’t exist, so the phone finds nobody. Correct the search base in the phone."
)
_NOT_YET = gettext_noop("The gateway hasn’t loaded this phone yet. Try again in a moment.")
_OVERVIEW_NAME = gettext_noop("the Overview page")


class ExplainPages:
    """The page of common problems, and the explanation page with its form.

    Mutable: the rate limiter, and the number of running explanations by session.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rate_limiter = RateLimiter(EXPLAIN_BURST, EXPLAIN_INTERVAL_SECONDS, layout.dependencies.seconds)
        self._running: Counter[str] = Counter()

    def routes(self) -> tuple[Route, ...]:
        """The routes of these pages."""
        return (
            get("/<tenant>/troubleshoot", self.troubleshoot, RequiredRole.PERSON),
            get("/<tenant>/explain", self.form, RequiredRole.SIGNED_IN),
            post("/<tenant>/explain", self.explain, RequiredRole.SIGNED_IN),
        )

    async def troubleshoot(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/troubleshoot``: the empty form, and common problems with what to check."""
        return await self._page(visit, None, {}, template="troubleshoot.html")

    async def form(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/explain``: the empty form; ``phone`` preselects a phone."""
        name = visit.query.get("phone", "")
        phone = await visit.find_phone(name) if name else None
        return await self._page(visit, phone, {})

    async def explain(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/explain``: explain the search of ``phone`` for ``asked`` below ``base``."""
        phone = await self._asked_phone(visit)
        if phone is None:
            return await self._page(visit, None, visit.form)
        is_busy = self._running[visit.visitor.token] >= MAX_RUNNING
        if is_busy or self._rate_limiter.take(visit.visitor.token):
            raise PageError(error_pages.PAGES.too_many, visit.tenant, headers=(("Retry-After", "2"),))
        query, base = (visit.form.get(name, "").strip()[:MAX_QUERY_LENGTH] for name in ("asked", "base"))
        if not query:
            return await self._page(visit, phone, {})
        explain_request = await self._explain_request(visit, query, base)
        self._running[visit.visitor.token] += 1
        try:
            explanation = await self._layout.dependencies.explainer.explain(phone, explain_request)
        except (UserError, DirectoryError) as error:
            query_error = _NO_FILTER if isinstance(error, UserError) else _NO_BASE
            return await self._page(visit, phone, visit.form, query_error)
        finally:
            self._running -= Counter((visit.visitor.token,))
        if explanation is None:
            return await self._page(visit, phone, visit.form, _NOT_YET)
        noted = await self._layout.dependencies.store.read(
            read_number_notes, visit.tenant.name, explanation, visit.visitor.accounts
        )
        context = PageContext(visit.home, phone, visit.visitor.accounts)
        return await self._page(visit, phone, visit.form, explanation=explanation_text(noted, context))

    async def _asked_phone(self, visit: Visit) -> PhoneLogin | None:
        """The phone that a form names; the visitor's first one if it names none; None: there is no phone."""
        name = visit.form.get("phone", "")
        if name:
            return await visit.find_phone(name)
        known = await self._layout.dependencies.store.read(visible_phones, visit)
        return known[0] if known else None

    async def _explain_request(self, visit: Visit, query: str, base: str) -> ExplainRequest:
        is_admin = visit.is_by_admin
        known_accounts = visit.visitor.accounts
        if is_admin:
            known_accounts = await self._layout.dependencies.store.read(accounts.read_all, visit.tenant.name)
        own_books = frozenset(account.sub for account in visit.visitor.accounts)
        reader = ExplanationReader(hides_private_books=True, is_admin=is_admin, own_books=own_books)
        return ExplainRequest(query, base, reader, known_accounts, _OVERVIEW_NAME)

    async def _page(
        self,
        visit: Visit,
        phone: PhoneLogin | None,
        form: Mapping[str, str],
        query_error: Translatable = "",
        explanation: Any = None,
        template: str = "explain.html",
    ) -> HttpResponse:
        phones = await self._layout.dependencies.store.read(visible_phones, visit)
        return visit.page(
            template,
            status=400 if query_error else 200,
            phones=phones,
            phone=phone,
            query=form.get("asked", "").strip()[:MAX_QUERY_LENGTH],
            base=form.get("base", "").strip()[:MAX_QUERY_LENGTH],
            query_error=query_error,
            explanation=explanation,
            max_length=MAX_QUERY_LENGTH,
        )
