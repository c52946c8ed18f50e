# SPDX-License-Identifier: MIT
"""Why was this caller not found?  The engine of ``ldapgw explain`` before one's own phones.

It is a form, so that no name and no number gets into an address.  Others' books that the phone does not see do not
exist for a user; administrators are told that a whole number is in one of them: the command tells them more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ldapgw.errors import DirectoryError, UserError
from ldapgw.phones.explain.model import Reader
from ldapgw.phones.explainer import LONGEST, Question
from ldapgw.phrase import Said, marked
from ldapgw.store import accounts
from ldapgw.store.phones import PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import Ended
from ldapgw.web.explain_texts import Place, wording
from ldapgw.web.http import Answer, Call, Rates
from ldapgw.web.layout import Frame, Route, Who, get, post
from ldapgw.web.phone_pages import find_phone, phones_of
from ldapgw.web.sessions import Visitor

# Each asks the search dozens of times: so many in a row, then one every so many seconds.
AT_ONCE = 10
SECONDS = 2.0
# Of a session; somebody who has pressed twice is one.
MOST_RUNNING = 3

_NO_FILTER = marked("This is no filter that can be read: look at its parentheses, or enter a name or a number.")
_NO_BASE = marked("The phone searches below a base that does not exist for it, so it finds nobody: correct it there.")
_NOT_YET = marked("This phone is not known to the directory yet: try again in a moment.")
_THEIR_PAGE = marked("the page “My contacts”")


class Explain:
    """The page.

    Mutable: who has asked how often, and waits for how many answers.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._rates = Rates(AT_ONCE, SECONDS)
        self._running: Counter[str] = Counter()

    def routes(self) -> tuple[Route, ...]:
        """The routes of the page."""
        return (get("/<tenant>/explain", self.form, Who.SIGNED_IN), post("/<tenant>/explain", self.explain))

    async def form(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``/{tenant}/explain``: what to ask about."""
        name = call.query.get("phone", "")
        phone = await find_phone(self._frame, tenant, visitor, name) if name else None
        return await self._page(call, tenant, visitor, phone, {})

    async def explain(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/explain``: why ``phone`` finds what it finds for ``asked``, below ``base``."""
        phone = await find_phone(self._frame, tenant, visitor, call.form.get("phone", ""))
        busy = self._running[visitor.token] >= MOST_RUNNING
        if busy or self._rates.take(visitor.token, self._frame.now()):
            raise Ended(error_pages.TOO_MANY, tenant, headers=(("Retry-After", "2"),))
        asked, base = (call.form.get(name, "").strip()[:LONGEST] for name in ("asked", "base"))
        if not asked:
            return await self._page(call, tenant, visitor, phone, {})
        question = await self._question(tenant, visitor, asked, base)
        self._running[visitor.token] += 1
        try:
            found = await self._frame.gate.explainer.explain(phone, question)
        except (UserError, DirectoryError) as error:
            wrong = _NO_FILTER if isinstance(error, UserError) else _NO_BASE
            return await self._page(call, tenant, visitor, phone, call.form, wrong)
        finally:
            self._running -= Counter((visitor.token,))
        if found is None:
            return await self._page(call, tenant, visitor, phone, call.form, _NOT_YET)
        place = Place(self._frame.place.path_of(tenant.name), phone, visitor.accounts)
        return await self._page(call, tenant, visitor, phone, call.form, told=wording(found, place))

    async def _question(self, tenant: WebTenant, visitor: Visitor, asked: str, base: str) -> Question:
        administers = visitor.administers(tenant)
        known = visitor.accounts
        if administers:
            known = await self._frame.gate.store.run(accounts.read_all, tenant.name)
        own = frozenset(account.sub for account in visitor.accounts)
        reader = Reader(discreet=True, books=own, administers=administers)
        return Question(asked, base, reader, known, _THEIR_PAGE)

    async def _page(
        self,
        call: Call,
        tenant: WebTenant,
        visitor: Visitor,
        phone: PhoneLogin | None,
        form: Mapping[str, str],
        wrong: Said = "",
        told: Any = None,
    ) -> Answer:
        phones = await self._frame.gate.store.run(phones_of, tenant, visitor)
        return self._frame.page(
            call,
            "explain.html",
            tenant=tenant,
            visitor=visitor,
            status=400 if wrong else 200,
            phones=phones,
            phone=phone,
            asked=form.get("asked", "").strip()[:LONGEST],
            base=form.get("base", "").strip()[:LONGEST],
            wrong=wrong,
            told=told,
            longest=LONGEST,
        )
