# SPDX-License-Identifier: MIT
"""What all pages have in common: who is looking, how a page is answered, and how one goes back to it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ldapgw.status import without_database
from ldapgw.store.accounts import Account
from ldapgw.web.cookies import Cookie, Cookies
from ldapgw.web.exchange import Answer, Call, Headers, page, redirect
from ldapgw.web.gate import WebGate
from ldapgw.web.notes import NOTES
from ldapgw.web.pages import Pages
from ldapgw.web.place import Place
from ldapgw.web.session import Visitor, find_visitor
from ldapgw.web.tenant import WebTenant

# What a part of somebody's page needs: values for its template.
Part = Callable[[Call, WebTenant, Visitor], Awaitable[Mapping[str, Any]]]
# Topics of somebody's.
Topics = Callable[[Call, WebTenant, Visitor], Awaitable[Iterable[str]]]


@dataclass(slots=True)
class Frame:
    """The frame of all pages.

    Mutable while the routes are set up: `parts` and `topics`.

    :ivar parts: what other pages put on somebody's own page.
    :ivar topics: what else somebody's open pages listen to (`ldapgw.web.live`).
    """

    gate: WebGate
    place: Place
    cookies: Cookies
    pages: Pages
    parts: list[Part] = field(default_factory=list)
    topics: list[Topics] = field(default_factory=list)

    @classmethod
    def of(cls, gate: WebGate) -> Frame:
        """The frame over the rest of the gateway."""
        place = Place.of(gate.public_url)
        return cls(gate, place, Cookies(secure=place.secure), Pages(place.path))

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.gate.clock.seconds()

    async def visitor(self, session: str, tenant: WebTenant, *, seen: bool) -> Visitor | None:
        """Who a session belongs to.

        :param seen: whether that counts as being there.
        """
        # A database that takes nothing more can often be read.
        seen = seen and self.gate.database_fails_since() is None
        found = await self.gate.store.run(find_visitor, session, tenant, self.now(), seen=seen)
        if found is None:
            return None
        own = self.as_it_is((found.account,))[0] if found.account is not None else None
        return replace(found, account=own, accounts=self.as_it_is(found.accounts))

    def as_it_is(self, accounts: Iterable[Account]) -> tuple[Account, ...]:
        """Accounts with what keeps all of them from being synced."""
        since = self.gate.database_fails_since()
        return tuple(without_database(one, since) for one in accounts)

    async def caller(self, call: Call, tenant: WebTenant) -> Visitor | None:
        """Who is signed in; what a page fetches by itself does not count as being there."""
        return await self.visitor(call.session(tenant.name), tenant, seen=not call.live)

    def page(
        self,
        call: Call,
        template: str,
        *,
        tenant: WebTenant | None = None,
        visitor: Visitor | None = None,
        status: int = 200,
        headers: Headers = (),
        **values: Any,
    ) -> Answer:
        """A page, with the note that the page before has left; 304 to a browser that shows the same already.

        :param template: of ``templates/``; it gets `values`, ``tenant``, ``visitor``, ``note``, ``language``; ``path``
            goes before every path of ours, and ``home`` is the tenant's.
        """
        left = call.cookies.get(Cookie.NOTE, "")
        if left:
            headers = (*headers, self.cookies.clear(Cookie.NOTE))
        html = self.pages.render(
            call.language, template, tenant=tenant, visitor=visitor, note=NOTES.get(left), **values
        )
        etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:20]}"'
        headers = (*headers, ("ETag", etag))
        if call.if_none_match == etag and status == 200:
            return Answer(304, b"", headers=headers)
        return page(html, status, headers)

    def back(self, tenant: WebTenant, note: str = "", path: str = "") -> Answer:
        """To a page of a tenant's, after a form.

        :param note: of `NOTES`.
        :param path: below the tenant's; made by us.
        """
        return redirect(self.place.path_of(tenant.name) + path, (self.note(note),) if note else ())

    async def home(self, _call: Call, tenant: WebTenant) -> Answer:
        """To the tenant's page, for whoever opens the address of a form."""
        return self.back(tenant)

    def note(self, note: str) -> tuple[str, str]:
        """A header that leaves a note for the next page."""
        return self.cookies.set(Cookie.NOTE, note, seconds=60)
