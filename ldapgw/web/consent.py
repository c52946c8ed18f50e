# SPDX-License-Identifier: MIT
"""The OAuth consent at Google: the authorization code flow for connecting an account and for signing in.

The flow follows RFC 6749 4.1, RFC 9700 and OpenID Connect Core 3.1.  `AuthorizationCodeFlow.begin` stores state, nonce
and code verifier and returns the URL at Google; `AuthorizationCodeFlow.finish` validates Google's redirect step by step
and returns a `ConsentResult` or raises a `PageError`.  A sign-in requests only the identity and stores only the
session.

The first consent requests the scope of one source.  Each further source is switched on by a consent of its own, which
requests the scope of this source alone; Google's answer then covers all scopes that the user has granted until then
(incremental authorization).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.contact import Sharing, Source
from ldapgw.errors import GoogleError, LdapgwError, UnfitKey
from ldapgw.google.endpoints import Client
from ldapgw.google.identity import Identity
from ldapgw.google.oauth import SCOPE_OF, Grant, authorization_url, sources_of
from ldapgw.store import accounts, activity, revocations, sign_ins, sync_state
from ldapgw.store.accounts import Account, NewGrant, SourceState
from ldapgw.store.activity import Act, Actor
from ldapgw.store.sign_ins import ConsentFlow, SignIn
from ldapgw.web import error_pages
from ldapgw.web.dependencies import ConsentDependencies, WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import Cookie, HttpRequest, PublicUrl, is_secret, new_secret
from ldapgw.web.sessions import Visitor, begin_session, find_visitor

log = Logger()

# Purposes of a consent: connect the person's own account, add another account, or only sign in.
CONNECT = "connect"
ADD = "add"
SIGN_IN = "signin"
# The purpose of a consent that switches a source on begins with one of these words (`switch_on_purpose`).  If no
# refresh token covers the new scope, the consent is repeated with `_SWITCH_ON_AGAIN`, so that Google shows a consent
# screen.
_SWITCH_ON = "switch-on"
_SWITCH_ON_AGAIN = "switch-on-again"


@dataclass(frozen=True, slots=True)
class AuthorizationRedirect:
    """The authorization URL at Google, and the secret for the cookie that binds the consent to the browser."""

    url: str = field(repr=False)
    browser_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConsentResult:
    """A successful consent: the person is signed in and, unless the purpose is `SIGN_IN`, the account is connected.

    :ivar sub: the Google user of the account.
    :ivar former: the session that the same person had in this browser until now; empty if there was no such session.
    :ivar page: the path below the tenant's page that shows the result; empty for the tenant's page.
    """

    tenant: WebTenant
    purpose: str
    session: str = field(repr=False)
    popup: bool
    sub: str = field(repr=False)
    former: str = field(default="", repr=False)
    page: str = ""

    @property
    def switched_on(self) -> Source | None:
        """Return the source that the consent has switched on, or None if the consent has another purpose."""
        return _source_to_switch_on(self.purpose)


class ConsentRepeated(LdapgwError):
    """Raised when Google has to show a consent screen, because its answer gave no lasting access to the new scope."""

    def __init__(self, redirect: AuthorizationRedirect) -> None:
        super().__init__("the consent is repeated with a consent screen")
        self.redirect = redirect


def switch_on_purpose(source: Source) -> str:
    """Return the purpose of a consent that switches a source of a connected account on."""
    return f"{_SWITCH_ON}:{source.value}"


def _source_to_switch_on(purpose: str) -> Source | None:
    """Return the source that a consent switches on, or None if the consent has another purpose."""
    word, _, name = purpose.partition(":")
    return Source(name) if word in (_SWITCH_ON, _SWITCH_ON_AGAIN) else None


@dataclass(frozen=True, slots=True, repr=False)
class _Consent:
    """A consent that Google's redirect finishes.

    :ivar visitor: the visitor who is signed in at the redirect, or None.
    :ivar request: Google's redirect.
    """

    flow: ConsentFlow
    tenant: WebTenant
    visitor: Visitor | None
    request: HttpRequest

    @property
    def source(self) -> Source | None:
        """Return the source that the consent switches on, or None if the consent has another purpose."""
        return _source_to_switch_on(self.flow.purpose)

    @property
    def former_session(self) -> str:
        """Return the session that the browser had before the consent; empty if the browser had no session."""
        return self.request.session(self.tenant.name)

    @property
    def number(self) -> int:
        """Return the position of the account that the flow expects among the visitor's accounts.

        The first account has the position 1.  The result is 0 if the visitor does not have the account.
        """
        numbered = enumerate(self.visitor.accounts if self.visitor else (), start=1)
        return next((number for number, account in numbered if account.sub == self.flow.expected), 0)

    @property
    def account_page(self) -> str:
        """Return the path of the page of the account that the consent is for."""
        return f"account?account={self.number}" if self.number > 1 else "account"

    @property
    def retry_target(self) -> str:
        """Return the target of a link with which the same consent can begin again (`ldapgw.web.sign_in_pages`)."""
        if self.flow.purpose == ADD:
            return "connect?add"
        if self.source is not None:
            return self.account_page  # the consent begins with a form on this page
        return f"connect?account={self.number}" if self.number else self.flow.purpose

    def allows(self, sub: str) -> bool:
        """Return whether a person may give this consent with a certain Google account.

        The purpose `ADD` allows any account.  For any other purpose, the account must be the expected account, if the
        flow expects an account.  If the visitor is signed in through Google, the account must also be the visitor's own
        account, or be on the visitor's page.
        """
        if self.flow.purpose == ADD:
            return True
        if self.flow.expected not in ("", sub):
            return False
        visitor = self.visitor
        return (
            visitor is None
            or visitor.person.is_by_link
            or visitor.person.sub == sub
            or visitor.account_by_sub(sub) is not None
        )


class AuthorizationCodeFlow:
    """The flow that begins and finishes consents; the state of consents in progress is in the store."""

    def __init__(self, dependencies: ConsentDependencies) -> None:
        self._dependencies = dependencies
        self._redirect_uri = PublicUrl.parse(dependencies.public_url).redirect_uri

    async def begin(
        self, tenant: WebTenant, purpose: str, request: HttpRequest, expected: str = ""
    ) -> AuthorizationRedirect:
        """Begin a consent.

        :param purpose: `CONNECT`, `ADD`, `SIGN_IN`, or the purpose of `switch_on_purpose`.
        :param expected: the ``sub`` of the Google user whose account is to be connected; empty for any user.
        :raises PageError: when the tenant has no OAuth client.
        """
        client = _client(tenant)
        # Consents in two tabs share the browser's secret, but each consent has its own state.
        browser = request.cookies.get(Cookie.BROWSER, "")
        browser = browser if is_secret(browser) else new_secret(self._dependencies.random)
        state, nonce, verifier = (new_secret(self._dependencies.random) for _ in range(3))
        flow = ConsentFlow(tenant.name, purpose, nonce, verifier, popup="popup" in request.query, expected=expected)
        await self._dependencies.store.run(
            sign_ins.begin_flow, self._dependencies.secret_box, state, browser, flow, self._dependencies.clock.seconds()
        )
        choose = "choose" in request.query
        select_account = ["select_account"] if purpose == ADD or choose else []
        # If a person switches a source on, Google shows only the new scope, unless the URL has the prompt "consent".
        is_screen_forced = purpose in (CONNECT, ADD) or purpose.startswith(f"{_SWITCH_ON_AGAIN}:")
        url = authorization_url(
            self._dependencies.endpoints,
            client.client_id,
            redirect_uri=self._redirect_uri,
            scopes=[SCOPE_OF[source] for source in await self._requested_sources(tenant, purpose, expected)],
            state=state,
            nonce=nonce,
            verifier=verifier,
            offline=purpose != SIGN_IN,
            login_hint="" if choose else expected,
            prompt=[*select_account, *(["consent"] if is_screen_forced else [])],
        )
        return AuthorizationRedirect(url, browser)

    async def _requested_sources(self, tenant: WebTenant, purpose: str, expected: str) -> Iterable[Source]:
        """Return the sources whose scopes a consent requests."""
        source = _source_to_switch_on(purpose)
        if purpose == SIGN_IN or source is not None:
            return [source] if source is not None else []
        known = None
        if expected:
            known = await self._dependencies.store.read(accounts.read_by_sub, tenant.name, expected)
        return _sources_to_connect(tenant, known)

    async def finish(self, request: HttpRequest) -> ConsentResult:
        """Finish a consent with Google's redirect.

        :raises PageError: with the error page for any failure.
        :raises ConsentRepeated: when the browser has to return to Google once more.
        """
        flow, tenant = await self._take_flow(request)
        before, now = request.session(tenant.name), self._dependencies.clock.seconds()
        visitor = await self._dependencies.store.read(find_visitor, before, tenant, now)
        consent = _Consent(flow, tenant, visitor, request)
        try:
            return await self._complete(consent)
        except PageError as error:
            log.info(
                "web: a consent ({purpose}) of tenant {tenant} has failed, from {address}: {ending}",
                event="consent_refused",
                purpose=flow.purpose,
                tenant=tenant.name,
                address=request.address,
                ending=error.error_page.title,
            )
            error_page = error_pages.with_retry_target(error.error_page, consent.retry_target)
            raise PageError(error_page, tenant, popup=flow.popup) from None

    async def _take_flow(self, request: HttpRequest) -> tuple[ConsentFlow, WebTenant]:
        """Take the browser's consent out of the store; a consent can be used only once, even if the consent fails.

        :raises PageError: when there is no such consent.
        """
        state, browser = request.query.get("state", ""), request.cookies.get(Cookie.BROWSER, "")
        flow: ConsentFlow | UnfitKey | None = None
        age, now = None, self._dependencies.clock.seconds()
        if is_secret(state) and is_secret(browser):
            flow = await self._dependencies.store.run(
                sign_ins.take_flow, self._dependencies.secret_box, state, browser, now
            )
            if flow is None:
                age = await self._dependencies.store.read(sign_ins.age_of_flow, state, browser, now)
        tenant = self._dependencies.tenants.get(flow.tenant) if isinstance(flow, ConsentFlow) else None
        if not isinstance(flow, ConsentFlow) or tenant is None:
            if isinstance(flow, UnfitKey):
                log.warn(
                    "web: a consent from {address} cannot be continued, and the person has to begin again: {problem}",
                    event="consent_undecryptable",
                    address=request.address,
                    problem=flow.problems[0],
                )
            elif age is not None:
                log.warn(
                    "web: a consent from {address} is {age} s old by the gateways' clocks, and {most} s are allowed: "
                    "the person took too long, or a clock is wrong",
                    event="consent_out_of_time",
                    address=request.address,
                    age=round(age),
                    most=round(sign_ins.FLOW_SECONDS),
                )
            else:
                self._dependencies.count_misuse("a callback without its consent", request.address)
            # A person who reloads the callback is signed in already.  The session then shows for which tenant the error
            # page is, unless the person is signed in to several tenants.
            read = self._dependencies.store.read
            names = [
                name
                for name, session in request.sessions.items()
                if is_secret(session) and await read(sign_ins.read_tenant, session) == name
            ]
            raise PageError(
                error_pages.PAGES.expired, self._dependencies.tenants[names[0]] if len(names) == 1 else None
            )
        return flow, tenant

    async def _complete(self, consent: _Consent) -> ConsentResult:
        flow, tenant, visitor, request = consent.flow, consent.tenant, consent.visitor, consent.request
        # RFC 6749 3.1 forbids repeated parameters: one program may read the first value, and another program the last
        if request.has_repeated_parameters:
            raise PageError(error_pages.PAGES.not_accepted)
        code = _code(request.query, self._dependencies.endpoints.issuer, consent.source)
        grant, identity = await self._exchange(consent, code)
        if not tenant.admits(identity):
            if flow.purpose == SIGN_IN:
                raise PageError(error_pages.PAGES.may_not_sign_in)
            await self._revoke_unused(consent, grant, identity)
            raise PageError(error_pages.PAGES.not_allowed)
        person = SignIn(tenant.name, identity.sub, identity.email, identity.hd)
        if flow.purpose != SIGN_IN:
            known = await self._dependencies.store.read(accounts.read_by_sub, tenant.name, identity.sub)
            try:
                _check_grant(consent, known, grant, identity)
            except PageError:
                # Nothing is revoked if an account of this gateway depends on the user's grants.
                await self._revoke_unused(consent, grant, identity)
                raise
            if visitor is not None and not visitor.person.is_by_link and visitor.person.sub != identity.sub:
                person = visitor.person
            if consent.source is not None and known is not None and grant.refresh_token is None:
                grant = await self._refreshed(consent, known, consent.source)
        session = new_secret(self._dependencies.random)
        account_id = await self._dependencies.store.run(self._store, consent, grant, identity, person, session)
        if account_id is None and flow.purpose != SIGN_IN:
            await self._revoke_unused(consent, grant, identity)
            raise PageError(error_pages.PAGES.no_refresh_token)
        log.info(
            "web: a consent ({purpose}) of tenant {tenant} was given by user {sub}, from {address}",
            event="consent_given",
            purpose=flow.purpose,
            tenant=tenant.name,
            account=account_id,
            sub=identity.sub,
            address=request.address,
        )
        if flow.purpose != SIGN_IN:
            await self._dependencies.changed()
        page = "" if consent.source is None else consent.account_page
        former = consent.former_session if visitor is not None and visitor.person.sub == person.sub else ""
        return ConsentResult(tenant, flow.purpose, session, flow.popup, identity.sub, former, page)

    async def _refreshed(self, consent: _Consent, known: Account, source: Source) -> Grant:
        """Get an access token with the stored refresh token, after Google has issued no new refresh token.

        :raises ConsentRepeated: when the stored refresh token does not cover the new scope.
        :raises PageError: when Google has issued no usable token after the repeated consent either.
        """
        flow, tenant = consent.flow, consent.tenant
        tokens = await self._dependencies.store.read(accounts.read_tokens, self._dependencies.secret_box, known.id)
        if tokens is not None:
            try:
                refreshed = await self._dependencies.oauth.refresh(_client(tenant), tokens.refresh_token)
            except GoogleError as error:
                log.warn(
                    "web: the token of account {account} could not be refreshed after a consent: {code} {detail}",
                    event="refresh_after_consent_failed",
                    tenant=tenant.name,
                    account=known.id,
                    code=error.code,
                    detail=error.detail,
                )
            else:
                if source in sources_of(refreshed.scopes):
                    return refreshed
        if not flow.purpose.startswith(f"{_SWITCH_ON}:"):
            raise PageError(error_pages.PAGES.no_refresh_token)
        purpose = f"{_SWITCH_ON_AGAIN}:{source.value}"
        raise ConsentRepeated(await self.begin(tenant, purpose, consent.request, flow.expected))

    async def _exchange(self, consent: _Consent, code: str) -> tuple[Grant, Identity]:
        client, flow = _client(consent.tenant), consent.flow
        try:
            grant = await self._dependencies.oauth.exchange(
                client, code=code, redirect_uri=self._redirect_uri, verifier=flow.verifier, nonce=flow.nonce
            )
        except GoogleError as error:
            log.warn(
                "web: an authorization code of tenant {tenant} could not be exchanged: {code} {detail}",
                event="code_exchange_failed",
                tenant=flow.tenant,
                code=error.code,
                detail=error.detail,
            )
            raise PageError(error_pages.for_google_error(error)) from None
        if grant.identity is None:
            raise PageError(error_pages.PAGES.not_accepted)
        return grant, grant.identity

    def _store(
        self, connection: Connection, consent: _Consent, grant: Grant, identity: Identity, person: SignIn, session: str
    ) -> int | None:
        """Connect the account and sign the person in, both or neither.

        :param person: the person at the browser, who is not the account's Google user if another account is added.
        :returns: the account's id.  The result is None in three cases: there is no refresh token to store; the person
            who signs in has never connected an account; or the account whose source the consent switches on was
            disconnected or removed meanwhile.
        """
        now, tenant, source = self._dependencies.clock.seconds(), consent.tenant, consent.source
        known = accounts.read_by_sub(connection, tenant.name, identity.sub)
        act, account_id = Act.SIGNED_IN, known.id if known is not None else None
        secret_box, new = self._dependencies.secret_box, _new_grant(grant, identity, tenant.client)
        if source is not None:
            act = Act.SOURCE_SWITCHED_ON
            if known is None or not revocations.switch_on_with_grant(connection, secret_box, known, new, source, now):
                return None
        elif consent.flow.purpose != SIGN_IN:
            act = Act.CONNECTED if known is None else Act.RECONNECTED
            if known is not None:
                revocations.revoke_replaced(connection, known.id, new, now)
            account_id = accounts.connect(
                connection,
                secret_box,
                tenant.name,
                new,
                tenant.sharing,
                now,
                person.sub,
                shared_label="" if tenant.sharing is Sharing.PRIVATE else tenant.shared_label,
            )
            if account_id is None:
                return None
            states = _source_states(tenant, known, sources_of(grant.scopes))
            sync_state.write_source_states(connection, account_id, states)
        begin_session(connection, session, consent.former_session, person, now)
        actor, detail = Actor(person.address, consent.request.address), source.value if source is not None else ""
        activity.record(connection, activity.entry(now, tenant.name, actor, act, identity.email, detail))
        return account_id

    async def _revoke_unused(self, consent: _Consent, grant: Grant, identity: Identity) -> None:
        """Revoke a grant that is not stored.

        Google revokes everything that the user has ever granted to the client.  Nothing is revoked if another account
        of this gateway depends on the user's grants.
        """
        client_id = _client(consent.tenant).client_id
        if await self._dependencies.store.read(revocations.is_shared, client_id, identity.sub):
            return
        try:
            await self._dependencies.oauth.revoke(grant.refresh_token or grant.access_token)
        except GoogleError as error:
            log.warn(
                "web: a grant could not be revoked: {code} {detail}",
                event="unused_grant_revocation_failed",
                tenant=consent.tenant.name,
                code=error.code,
                detail=error.detail,
            )


def _client(tenant: WebTenant) -> Client:
    if tenant.client is None:
        raise PageError(error_pages.PAGES.no_client, tenant)
    return tenant.client


def _code(query: Mapping[str, str], issuer: str, source: Source | None) -> str:
    """Return the authorization code of Google's redirect, after checking the issuer (RFC 9207 2.4).

    :param source: the source that the consent switches on, or None.
    :raises PageError: when the redirect is from another issuer, is an error or has no code.
    """
    if query.get("iss", issuer) != issuer:
        raise PageError(error_pages.PAGES.foreign_issuer)
    if query.get("error") == "access_denied" and source is not None:
        raise PageError(error_pages.not_switched_on(source))
    if "error" in query:
        raise PageError(error_pages.REDIRECT_ERRORS.get(query["error"], error_pages.PAGES.not_accepted))
    if not query.get("code"):
        raise PageError(error_pages.PAGES.no_code)
    return query["code"]


def _sources_to_connect(tenant: WebTenant, known: Account | None) -> tuple[Source, ...]:
    """Return the sources whose scopes are requested when a consent connects an account.

    A connected account keeps its scopes, except for the scopes of sources that the person has switched off.
    """
    connected: frozenset[Source] = frozenset()
    if known is not None and known.is_connected:
        connected = sources_of(known.scopes) - known.switched_off
    return tuple(source for source in tenant.sources if source is tenant.first_source or source in connected)


def _source_states(
    tenant: WebTenant, known: Account | None, granted: frozenset[Source]
) -> Mapping[Source, SourceState]:
    """Return the states of an account's sources after a consent that connects the account.

    A scope that the consent did not request, but that the user has granted to the same Google project before, switches
    no source on.  So a source that is switched off stays off.
    """
    connected = _sources_to_connect(tenant, known)
    states: dict[Source, SourceState] = {}
    for source in Source:
        if source in granted:
            states[source] = SourceState.ON if source in connected else SourceState.OFF
        elif source in tenant.sources:
            states[source] = SourceState.NOT_GRANTED
    return states


def _check_grant(consent: _Consent, known: Account | None, grant: Grant, identity: Identity) -> None:
    """Check that a consent is from the expected account, and that the user has granted what the consent needs.

    :raises PageError: when the consent is from another account, or a checkbox was not ticked.
    """
    tenant, source, granted = consent.tenant, consent.source, sources_of(grant.scopes)
    if source is None:
        _check_boxes(_sources_to_connect(tenant, known), granted)
    if not consent.allows(identity.sub):
        raise PageError(error_pages.PAGES.wrong_account)
    if source is not None and source not in granted:
        raise PageError(error_pages.not_switched_on(source))
    if source is not None and known is not None and tenant.first_source in sources_of(known.scopes) - granted:
        # The new grant lacks the first source's scope, so the user must have ended the former grant at Google.  With
        # the new grant, the next sync would delete the contacts.  So the person has to connect again first.
        raise PageError(error_pages.unticked_boxes([tenant.first_source]))


def _check_boxes(wanted: Iterable[Source], granted: frozenset[Source]) -> None:
    """Check that the personal contacts, if requested, and at least one of the requested sources were granted.

    :raises PageError: when a checkbox was not ticked.
    """
    missing = [source for source in wanted if source not in granted]
    if Source.CONTACTS in missing:
        raise PageError(error_pages.unticked_boxes([Source.CONTACTS]))
    if not granted.intersection(wanted):
        raise PageError(error_pages.unticked_boxes(missing))


def _new_grant(grant: Grant, identity: Identity, client: Client | None) -> NewGrant:
    return NewGrant(
        sub=identity.sub,
        address=identity.email,
        scopes=grant.scopes,
        access_token=grant.access_token,
        access_expires_at=grant.expires_at,
        refresh_token=grant.refresh_token,
        refresh_expires_at=grant.refresh_expires_at,
        client_id=client.client_id if client else None,
        hd=identity.hd,
    )
