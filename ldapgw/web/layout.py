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

from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.store.account_status import with_database_error
from ldapgw.store.accounts import Account
from ldapgw.web.dependencies import WebDependencies, WebTenant
from ldapgw.web.error_pages import GOOGLE_PERMISSIONS_URL
from ldapgw.web.http import Cookie, Headers, HttpCookies, HttpRequest, HttpResponse, PublicUrl, html_response, redirect
from ldapgw.web.rendering import Renderer
from ldapgw.web.sessions import Visitor, find_visitor


@dataclass(frozen=True, slots=True)
class FlashMessage:
    """A sentence; its kind is the class of its colour: good or warn."""

    kind: str
    sentence: Translatable


# By the value of the cookie; any other value says nothing.
FLASH_MESSAGES: Mapping[str, FlashMessage] = {
    "connected": FlashMessage("good", gettext_noop("Google contacts are connected.")),
    "asked": FlashMessage("good", gettext_noop("A sync was asked for; it begins at once.")),
    "not-accepted": FlashMessage(
        "warn",
        gettext_noop(
            "This has changed since the page was opened, so this answer was not used. Below is what holds now."
        ),
    ),
    "shared": FlashMessage("good", gettext_noop("Saved. The new sharing applies from now on.")),
    "disconnected": FlashMessage(
        "good", gettext_noop("Disconnected: your contacts are off the phones, and the access at Google is revoked.")
    ),
    "not-revoked": FlashMessage(
        "warn",
        Phrase(
            gettext_noop(
                "Disconnected: your contacts are off the phones. Google could not be told, so please remove this app "
                "yourself at %(permissions)s."
            ),
            {"permissions": GOOGLE_PERMISSIONS_URL.removeprefix("https://")},
        ),
    ),
    "phone-added": FlashMessage(
        "good", gettext_noop("The phone is added. Its password is shown here for ten minutes, and never again.")
    ),
    "phone-reset": FlashMessage(
        "good", gettext_noop("The phone has a new password. It is shown here for ten minutes, and never again.")
    ),
    "phone-removed": FlashMessage("good", gettext_noop("The phone is removed: its login is refused from now on.")),
    "client-entered": FlashMessage(
        "good", gettext_noop("Google knows this client: it is stored, and people can connect now.")
    ),
    "client-unregistered": FlashMessage(
        "warn",
        gettext_noop(
            "Google knows this client, and it is stored; but the redirect URI below is not registered with it. Nobody "
            "can connect until it is."
        ),
    ),
    "client-known": FlashMessage("good", gettext_noop("Google knows this client.")),
    "client-known-unregistered": FlashMessage(
        "warn",
        gettext_noop(
            "Google knows this client, but the redirect URI below is not registered with it. Nobody can connect until "
            "it is."
        ),
    ),
    "client-refused": FlashMessage(
        "warn", gettext_noop("Google does not know this client, or its secret is another one.")
    ),
    "client-not-tried": FlashMessage("warn", gettext_noop("Google could not be asked. Try again in a minute.")),
    "signed-out": FlashMessage("good", gettext_noop("You are signed out.")),
}


# Takes the `Call` and what its `Who` stands for, then the parts of the path by name.
Handler = Callable[..., Awaitable[HttpResponse]]


class RequiredRole(Enum):
    """Who may ask, and what a handler is given besides the call.

    A form (POST) of somebody who is signed in is looked at first: it has to be theirs, from our own page.
    """

    PUBLIC = auto()  # handler(call)
    TENANT = auto()  # handler(call, tenant): whoever names a tenant
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
    required_role: RequiredRole

    @property
    def endpoint(self) -> str:
        """Its name for the router."""
        return f"{self.method} {self.path}"


def get(path: str, handler: Callable[..., Any], required_role: RequiredRole) -> Route:
    """A page."""
    return Route("GET", path, handler, required_role)


def post(path: str, handler: Callable[..., Any], required_role: RequiredRole = RequiredRole.SIGNED_IN) -> Route:
    """A form."""
    return Route("POST", path, handler, required_role)


# What a part of somebody's page needs: values for its template.
AccountSection = Callable[[HttpRequest, WebTenant, Visitor], Awaitable[Mapping[str, Any]]]
# Topics of somebody's.
TopicProvider = Callable[[HttpRequest, WebTenant, Visitor], Awaitable[Iterable[str]]]


@dataclass(slots=True)
class Layout:
    """The frame of all pages.

    Mutable while the routes are set up: `parts` and `topics`.

    :ivar parts: what other pages put on somebody's own page.
    :ivar topics: what else somebody's open pages listen to (`ldapgw.web.live`).
    """

    dependencies: WebDependencies
    public_url: PublicUrl
    cookies: HttpCookies
    renderer: Renderer
    account_sections: list[AccountSection] = field(default_factory=list)
    topic_providers: list[TopicProvider] = field(default_factory=list)

    @classmethod
    def of(cls, dependencies: WebDependencies) -> Layout:
        """The frame over the rest of the gateway."""
        place = PublicUrl.parse(dependencies.public_url)
        return cls(dependencies, place, HttpCookies(secure=place.secure), Renderer(place.path))

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.dependencies.clock.seconds()

    async def session_visitor(self, session: str, tenant: WebTenant, *, seen: bool) -> Visitor | None:
        """Who a session belongs to.

        :param seen: whether that counts as being there.
        """
        # A database that takes nothing more can often be read.
        seen = seen and self.dependencies.database_fails_since() is None
        found = await self.dependencies.store.run(find_visitor, session, tenant, self.now(), seen=seen)
        if found is None:
            return None
        own = self.with_database_error((found.account,))[0] if found.account is not None else None
        return replace(found, account=own, accounts=self.with_database_error(found.accounts))

    def with_database_error(self, accounts: Iterable[Account]) -> tuple[Account, ...]:
        """Accounts with what keeps all of them from being synced."""
        since = self.dependencies.database_fails_since()
        return tuple(with_database_error(one, since) for one in accounts)

    async def current_visitor(self, request: HttpRequest, tenant: WebTenant) -> Visitor | None:
        """Who is signed in; what a page fetches by itself does not count as being there."""
        return await self.session_visitor(request.session(tenant.name), tenant, seen=not request.is_background)

    def page(
        self,
        request: HttpRequest,
        template: str,
        *,
        tenant: WebTenant | None = None,
        visitor: Visitor | None = None,
        status: int = 200,
        headers: Headers = (),
        **values: Any,
    ) -> HttpResponse:
        """A page, with the note that the page before has left; 304 to a browser that shows the same already.

        :param template: of ``templates/``; it gets `values`, ``tenant``, ``visitor``, ``note``, ``language``; ``path``
            goes before every path of ours, and ``home`` is the tenant's.
        """
        left = request.cookies.get(Cookie.FLASH_MESSAGE, "")
        if left:
            headers = (*headers, self.cookies.clear(Cookie.FLASH_MESSAGE))
        html = self.renderer.render(
            request.language, template, tenant=tenant, visitor=visitor, note=FLASH_MESSAGES.get(left), **values
        )
        etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:20]}"'
        headers = (*headers, ("ETag", etag))
        if request.if_none_match == etag and status == 200:
            return HttpResponse(304, b"", headers=headers)
        return html_response(html, status, headers)

    def redirect_to_tenant(self, tenant: WebTenant, message: str = "", path: str = "") -> HttpResponse:
        """To a page of a tenant's, after a form.

        :param note: of `NOTES`.
        :param path: below the tenant's; made by us.
        """
        return redirect(
            self.public_url.tenant_path(tenant.name) + path, (self.flash_message_header(message),) if message else ()
        )

    async def redirect_home(self, _request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """To the tenant's page, for whoever opens the address of a form."""
        return self.redirect_to_tenant(tenant)

    def flash_message_header(self, message: str) -> tuple[str, str]:
        """A header that leaves a note for the next page."""
        return self.cookies.set(Cookie.FLASH_MESSAGE, message, seconds=60)
