# SPDX-License-Identifier: MIT
"""What the next page says of what was just done: a name goes along in a cookie, the words are here.

A route: an address, who may ask for it, and what answers.

What all pages have in common: who is looking, how a page is answered, and how one goes back to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from ldapgw.phrase import Phrase, Said, marked
from ldapgw.store.account_status import without_database
from ldapgw.store.accounts import Account
from ldapgw.web.dependencies import WebGate, WebTenant
from ldapgw.web.error_pages import PERMISSIONS
from ldapgw.web.http import Answer, Call, Cookie, Cookies, Headers, Place, page, redirect
from ldapgw.web.rendering import Pages
from ldapgw.web.sessions import Visitor, find_visitor


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence; its kind is the class of its colour: good or warn."""

    kind: str
    sentence: Said


# By the value of the cookie; any other value says nothing.
NOTES: Mapping[str, Note] = {
    "connected": Note("good", marked("Google contacts are connected.")),
    "asked": Note("good", marked("A sync was asked for; it begins at once.")),
    "not-accepted": Note(
        "warn",
        marked("This has changed since the page was opened, so this answer was not used. Below is what holds now."),
    ),
    "shared": Note("good", marked("Saved. The new sharing applies from now on.")),
    "disconnected": Note(
        "good", marked("Disconnected: your contacts are off the phones, and the access at Google is revoked.")
    ),
    "not-revoked": Note(
        "warn",
        Phrase(
            marked(
                "Disconnected: your contacts are off the phones. Google could not be told, so please remove this app "
                "yourself at %(permissions)s."
            ),
            {"permissions": PERMISSIONS.removeprefix("https://")},
        ),
    ),
    "phone-added": Note(
        "good", marked("The phone is added. Its password is shown here for ten minutes, and never again.")
    ),
    "phone-reset": Note(
        "good", marked("The phone has a new password. It is shown here for ten minutes, and never again.")
    ),
    "phone-removed": Note("good", marked("The phone is removed: its login is refused from now on.")),
    "client-entered": Note("good", marked("Google knows this client: it is stored, and people can connect now.")),
    "client-unregistered": Note(
        "warn",
        marked(
            "Google knows this client, and it is stored; but the redirect URI below is not registered with it. Nobody "
            "can connect until it is."
        ),
    ),
    "client-known": Note("good", marked("Google knows this client.")),
    "client-known-unregistered": Note(
        "warn",
        marked(
            "Google knows this client, but the redirect URI below is not registered with it. Nobody can connect until "
            "it is."
        ),
    ),
    "client-refused": Note("warn", marked("Google does not know this client, or its secret is another one.")),
    "client-not-tried": Note("warn", marked("Google could not be asked. Try again in a minute.")),
    "signed-out": Note("good", marked("You are signed out.")),
}


# Takes the `Call` and what its `Who` stands for, then the parts of the path by name.
Handler = Callable[..., Awaitable[Answer]]


class Who(Enum):
    """Who may ask, and what a handler is given besides the call.

    A form (POST) of somebody who is signed in is looked at first: it has to be theirs, from our own page.
    """

    ANYBODY = auto()  # handler(call)
    OF_TENANT = auto()  # handler(call, tenant): whoever names a tenant
    SIGNED_IN = auto()  # handler(call, tenant, visitor)
    ADMIN = auto()  # the same


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a page's table of routes.

    :ivar path: as Werkzeug writes it: ``/<tenant>/phones/<name>``; all but `Who.ANYBODY` have ``<tenant>``.
    """

    method: str
    path: str
    handler: Handler
    who: Who

    @property
    def endpoint(self) -> str:
        """Its name for the router."""
        return f"{self.method} {self.path}"


def get(path: str, handler: Callable[..., Any], who: Who) -> Route:
    """A page."""
    return Route("GET", path, handler, who)


def post(path: str, handler: Callable[..., Any], who: Who = Who.SIGNED_IN) -> Route:
    """A form."""
    return Route("POST", path, handler, who)


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
