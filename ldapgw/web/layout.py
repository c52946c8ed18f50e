# SPDX-License-Identifier: MIT
"""The layout shared by all pages: routes with their required roles, visits, and flash messages.

A handler takes a `Visit`, or a `TenantVisit` if the visitor need not be signed in.  A visit has the request, the tenant
and the visitor, and makes the responses and the entries of the activity log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from ldapgw.errors import StoreError
from ldapgw.phrase import Phrase, Texts, Translatable, read_texts
from ldapgw.store import activity, phones, sign_ins
from ldapgw.store.account_status import with_database_error
from ldapgw.store.accounts import Account
from ldapgw.store.activity import Act, ActivityEntry, Actor
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.worker import Store
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebDependencies, WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import (
    MAX_FORM_SIZE,
    Cookie,
    Headers,
    HttpCookies,
    HttpRequest,
    HttpResponse,
    PublicUrl,
    html_response,
    redirect,
)
from ldapgw.web.rendering import Renderer
from ldapgw.web.sessions import Visitor, find_visitor

P = ParamSpec("P")
T = TypeVar("T")


class FlashMessage(Texts, frozen=True):
    """A sentence about the last action, shown once on the next page.

    :ivar kind: the CSS class of the colour: ``good`` or ``warn``.
    """

    kind: str
    sentence: Translatable


class _FlashTexts(Texts, frozen=True):
    """The flash messages by the value of the cookie; any other value is ignored."""

    messages: Mapping[str, FlashMessage]


FLASH_MESSAGES = read_texts("web/texts/flash", _FlashTexts).messages


class Confirmation(Texts, frozen=True):
    """The texts of a page that asks before an act that cannot be undone.

    :ivar title: the question, which names what is lost: "Remove desk1?"
    :ivar button: verb and object: "Remove phone".
    """

    title: str
    consequence: str
    button: str


class _Confirmations(Texts, frozen=True):
    """The texts of all pages that ask before an act.

    :ivar accounts: the texts by the act.
    :ivar phones: the texts by the path of the form below the phone's page.
    :ivar step_reports: the texts for deleting the reports on setup steps.
    :ivar delegation: the texts for removing the service account.
    """

    accounts: Mapping[str, Confirmation]
    phones: Mapping[str, Confirmation]
    step_reports: Confirmation
    delegation: Confirmation


CONFIRMATIONS = read_texts("web/texts/confirmations", _Confirmations)

# A handler takes the arguments of the route's `RequiredRole`, then the variables of the path by name.
Handler = Callable[..., Awaitable[HttpResponse]]

# The routes below this path are about one phone, which the visitor must be allowed to see.
_PHONE_PATH = "/<tenant>/phones/<name>"


class RequiredRole(Enum):
    """The role that a route requires, which determines the arguments of the handler.

    For SIGNED_IN, PERSON and ADMIN, the CSRF token of a form (POST) is checked before the handler is called.  If the
    route is about one phone (`Route.is_of_phone`), the handler gets the phone, which the visitor may see, in place of
    the name in the path.
    """

    PUBLIC = auto()  # handler(request)
    TENANT = auto()  # handler(TenantVisit): anybody, at the path of an existing tenant
    PHONE = auto()  # handler(request, tenant, viewer): the client sends a phone's login, or the <secret> in the path
    SIGNED_IN = auto()  # handler(Visit)
    PERSON = auto()  # handler(Visit): an administrator who signed in by a link has no account, and is refused
    ADMIN = auto()  # handler(Visit)


@dataclass(frozen=True, slots=True)
class Route:
    """A route, with its method and path, the required role and the handler.

    :ivar path: in Werkzeug's notation: ``/<tenant>/phones/<name>``; all routes but PUBLIC ones contain ``<tenant>``.
    :ivar over_http: whether the route also answers plain HTTP where the gateway itself serves HTTPS, because phones and
        monitoring may not follow a redirect.
    :ivar runs_to_end: whether a request is handled to its end even when the client has gone, because the handler
        changes something; any other request is cancelled when its client has gone.
    :ivar is_unlimited: whether the limit on a session's forms does not apply to the form: either the handler limits the
        form itself, or the form must always work.
    """

    method: str
    path: str
    handler: Handler
    required_role: RequiredRole
    max_body_size: int = MAX_FORM_SIZE
    runs_to_end: bool = False
    over_http: bool = False
    is_unlimited: bool = False

    @property
    def is_of_phone(self) -> bool:
        """Return whether the route is about one phone."""
        return self.path.startswith(_PHONE_PATH)

    @property
    def template(self) -> str:
        """Return the path with its variables in braces: ``/{tenant}/phones/{name}``."""
        return self.path.replace("<", "{").replace(">", "}")


def get(path: str, handler: Callable[..., Any], required_role: RequiredRole, *, over_http: bool = False) -> Route:
    return Route("GET", path, handler, required_role, over_http=over_http)


def post(
    path: str,
    handler: Callable[..., Any],
    required_role: RequiredRole,
    max_body_size: int = MAX_FORM_SIZE,
    *,
    is_unlimited: bool = False,
) -> Route:
    return Route("POST", path, handler, required_role, max_body_size, runs_to_end=True, is_unlimited=is_unlimited)


@dataclass(frozen=True, slots=True)
class Layout:
    """The services that all page classes share."""

    dependencies: WebDependencies
    public_url: PublicUrl
    cookies: HttpCookies
    renderer: Renderer

    @classmethod
    def of(cls, dependencies: WebDependencies) -> Layout:
        """Read the catalogs of the languages, and return the layout."""
        public_url = PublicUrl.parse(dependencies.public_url)
        return cls(
            dependencies,
            public_url,
            HttpCookies(secure=public_url.secure, path=public_url.path),
            Renderer(public_url.path),
        )

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.dependencies.clock.seconds()

    async def session_visitor(self, session: str, tenant: WebTenant, *, seen: bool) -> Visitor | None:
        """Return the visitor that a session belongs to, or None if the session has ended.

        :param seen: whether the request counts as activity of the person, which extends the session.
        """
        visitor = await self.dependencies.store.read(find_visitor, session, tenant, self.now())
        if visitor is None:
            return None
        if seen:
            # The result is not awaited, because the page need not wait for a sync that writes.  An error is ignored,
            # because the store logs errors, and a database that cannot be written can often still be read.
            extended = self.dependencies.store.run(sign_ins.extend_sign_in, session, self.now())
            extended.addErrback(lambda failure: failure.trap(StoreError) and None)
        own_account = self.with_database_error((visitor.account,))[0] if visitor.account is not None else None
        return replace(visitor, account=own_account, accounts=self.with_database_error(visitor.accounts))

    def with_database_error(self, accounts: Iterable[Account]) -> tuple[Account, ...]:
        """Return the accounts; while the database fails, each account has this failure as its error."""
        since = self.dependencies.database_fails_since()
        return tuple(with_database_error(account, since) for account in accounts)

    async def current_visitor(self, request: HttpRequest, tenant: WebTenant) -> Visitor | None:
        """Return the signed-in visitor, or None if nobody is signed in; a background request extends no session."""
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
        """Render a page with the pending flash message, or answer 304 if the browser already shows the same content.

        :param template: a file in ``templates/``; the template gets `values`, ``tenant``, ``visitor``,
            ``flash_message``, ``is_form_answer``, ``config_file`` and the values of `Renderer.render`.
        """
        # A background request between a form and the next page must not take the message, which is for the next page.
        message = "" if request.is_background else request.cookies.get(Cookie.FLASH_MESSAGE, "")
        if message:
            headers = (*headers, self.cookies.clear(Cookie.FLASH_MESSAGE))
        html = self.renderer.render(
            request.language,
            template,
            tenant=tenant,
            visitor=visitor,
            flash_message=FLASH_MESSAGES.get(message),
            is_form_answer=bool(request.form),
            config_file=self.dependencies.admin.config_file,
            **values,
        )
        etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:20]}"'
        headers = (*headers, ("ETag", etag))
        if status == 200 and request.has_current(etag):
            return HttpResponse(304, b"", headers=headers)
        return html_response(html, status, headers)

    def flash_message_header(self, message: str) -> tuple[str, str]:
        """Return the header that sets the flash message of the next page.

        :param message: a key of `FLASH_MESSAGES`.
        """
        return self.cookies.set(Cookie.FLASH_MESSAGE, message, seconds=60)


@dataclass(frozen=True, slots=True, repr=False)
class TenantVisit:
    """A request for a page of a tenant; the visitor need not be signed in.

    :ivar visitor: the signed-in visitor, or None if nobody is signed in or the session was not read (`sign_in`).
    """

    layout: Layout
    request: HttpRequest
    tenant: WebTenant
    visitor: Visitor | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """Return the query of the request's address."""
        return self.request.query

    @property
    def form(self) -> Mapping[str, str]:
        """Return the fields of the request's form."""
        return self.request.form

    @property
    def home(self) -> str:
        """Return the path of the tenant's page, for links and redirects."""
        return self.layout.public_url.tenant_path(self.tenant.name)

    @property
    def url(self) -> str:
        """Return the absolute URL of the tenant's page, for messages."""
        return self.layout.public_url.tenant_url(self.tenant.name)

    @property
    def store(self) -> Store:
        """Return the gateway's database."""
        return self.layout.dependencies.store

    async def sign_in(self) -> Visit | None:
        """Read the session, and return the visit of the signed-in visitor, or None if nobody is signed in."""
        visitor = await self.layout.current_visitor(self.request, self.tenant)
        return Visit(self.layout, self.request, self.tenant, visitor) if visitor is not None else None

    async def page(self, template: str, **values: Any) -> HttpResponse:
        """Render a page of the tenant (`Layout.page`), off the reactor's thread.

        Rendering a table of 50 rows takes tens of milliseconds, and phones should not wait for the reactor that long.
        """
        is_over = False

        def render() -> HttpResponse | None:
            if is_over:  # the browser has closed its connection, and other pages wait for the thread
                return None
            return self.layout.page(self.request, template, tenant=self.tenant, visitor=self.visitor, **values)

        try:
            response: HttpResponse = await self.layout.dependencies.render_off_thread(render)
        finally:
            is_over = True
        return response

    def redirect(self, message: str = "", path: str = "") -> HttpResponse:
        """Redirect to a page of the tenant, after a form.

        :param message: a key of `FLASH_MESSAGES`; empty for no message.
        :param path: a path below the tenant's page, or a query; never any part of the request.
        """
        return redirect(self.home + path, (self.layout.flash_message_header(message),) if message else ())

    async def done(self, message: str = "", path: str = "") -> HttpResponse:
        """Let sync and directory read at once what a form has changed, and redirect (`redirect`)."""
        await self.layout.dependencies.changed()
        return self.redirect(message, path)

    def entry(self, act: Act, subject: str = "", detail: str = "") -> ActivityEntry:
        """Return an entry of the activity log for an act of the visitor, or of somebody who opens an admin link.

        :param subject: the address of an account or the name of a phone; empty for the tenant.
        :param detail: the new value; empty if the act has no new value.
        """
        name = self.visitor.person.address if self.visitor is not None else ""
        actor = Actor(name or activity.ADMIN_LINK, self.request.address)
        return activity.entry(self.layout.now(), self.tenant.name, actor, act, subject, detail)

    async def change(
        self, entry: ActivityEntry, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``function(connection, …)`` of the store, and record the entry unless the function returns False."""
        return await self.store.run(activity.recorded, entry, function, *args, **kwargs)


@dataclass(frozen=True, slots=True, repr=False)
class Visit(TenantVisit):
    """A request of a visitor who is signed in, for a page of a tenant."""

    visitor: Visitor

    @property
    def is_by_admin(self) -> bool:
        """Return whether the visitor administers the tenant."""
        return self.visitor.administers(self.tenant)

    async def find_phone(self, name: str) -> PhoneLogin:
        """Return a phone that the visitor may see.

        :raises PageError: with the page "not found", for an unknown name and for another person's phone.
        """
        login = await self.store.read(phones.read_by_name, name)
        if login is None or login.tenant != self.tenant.name or not (self.owns(login) or self.is_by_admin):
            raise PageError(error_pages.PAGES.not_found, self.tenant)
        return login

    def owns(self, login: PhoneLogin) -> bool:
        """Return whether a phone belongs to one of the visitor's accounts."""
        return any(account.id in login.account_ids for account in self.visitor.accounts)

    def others_of(self, login: PhoneLogin) -> list[int]:
        """Return the accounts of a phone that are not the visitor's, in the phone's order."""
        own = {account.id for account in self.visitor.accounts}
        return [account_id for account_id in login.account_ids if account_id not in own]

    async def confirmation(
        self,
        texts: Confirmation,
        values: Mapping[str, object],
        *,
        action: str,
        cancel: str,
        fields: Mapping[str, str] = MappingProxyType({}),
        page_query: str = "",
    ) -> HttpResponse:
        """Return the page that asks before an act that cannot be undone; a GET of a form's address shows this page.

        :param action: the path below the tenant's page that the form is posted to.
        :param cancel: the path below the tenant's page that "Cancel" leads to; empty for the tenant's page.
        :param page_query: the query in the links to this page in other languages.  The caller makes the query from
            stored values, and copies nothing from the request.
        """
        return await self.page(
            "confirm.html",
            action=action,
            title=Phrase(texts.title, values),
            consequence=texts.consequence,
            button=texts.button,
            cancel=cancel,
            fields=fields,
            page_query=page_query,
        )
