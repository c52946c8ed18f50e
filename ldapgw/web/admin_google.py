# SPDX-License-Identifier: MIT
"""The administration's page *Google*: the OAuth client at Google, and the service account with domain-wide delegation.

The gateway tries an entered client or service account at Google, and stores nothing that Google rejects.  Until a
service account is stored, the gateway keeps its key file, but only in memory.  So the administrator need not choose the
file again after Google has refused the service account.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.errors import ClientRejected, DelegationRefused, GoogleError
from ldapgw.google.delegation import (
    GROUPS_SCOPE,
    REFUSAL_TEXTS,
    RESPONSIBLE,
    USERS_SCOPE,
    DelegationRefusal,
    UnfitKeyFile,
)
from ldapgw.google.endpoints import Client, UnfitClientFile, read_client_file
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.phrase import Phrase, Texts, Translatable, read_texts
from ldapgw.store import accounts, activity, sync_state, tenants
from ldapgw.store.account_status import is_of_testing
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.activity import Act
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import DelegationSettings, EnteredClient, EnteredDelegation, GroupStatus, WorkspaceStatus
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import MAX_BODY_SIZE, HttpResponse
from ldapgw.web.layout import CONFIRMATIONS, Layout, RequiredRole, Route, Visit, get, post
from ldapgw.web.one_time_passwords import OneTimePasswords

log = Logger()

# --- the service account ----------------------------------------------------------------------------------------------

# Seconds for which a key file that is not stored yet stays in memory.
KEY_FILE_SECONDS: Final = 3600.0

# Google's form for domain-wide delegation, which this link fills in.
_CONSOLE = "https://admin.google.com/ac/owl/domainwidedelegation?"

_ADDRESS = r"[^@\s]+@[^@\s]+\.[^@\s]+"
# The pattern that each entry of a list must match, by the list's field in the form.
_ENTRIES: Mapping[str, re.Pattern[str]] = {
    "users": re.compile(rf"\*|@[^@\s]+\.[^@\s]+|{_ADDRESS}"),
    "groups": re.compile(_ADDRESS),
    "org_units": re.compile(r"/([^\x00-\x1f,]*[^/\x00-\x1f,])?"),
    "exclude": re.compile(_ADDRESS),
}


class _DelegationTexts(Texts, frozen=True):
    """The error messages of the form, and of the last read of the Workspace.

    :ivar fields: the messages about a wrong value, by the field.
    :ivar errors: the reasons why the Workspace could not be read, by error code; ``other`` is for all other codes.
    """

    no_file: str
    nobody: str
    fields: Mapping[str, str]
    errors: Mapping[str, str]


_DELEGATION_TEXTS = read_texts("web/texts/admin_delegation", _DelegationTexts)


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why a service account was not stored, or why the Workspace could not be read.

    :ivar what: what has happened.
    :ivar who: who has to act; empty if this is obvious.
    :ivar todo: what to do; empty if `what` says already what to do.
    """

    what: Translatable
    who: Translatable = ""
    todo: Translatable = ""


class _Invalid(Exception):
    """Raised when a client or a service account cannot be stored."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


def _typed(settings: DelegationSettings) -> dict[str, str]:
    """Return the values of the form as an administrator would type them; lists have one entry per line."""
    return {"administrator": settings.administrator, **{name: "\n".join(getattr(settings, name)) for name in _ENTRIES}}


def _delegation_settings(form: Mapping[str, str]) -> DelegationSettings:
    """Return the settings in a form.

    :raises _Invalid: when a value does not have the required form.
    """
    administrator = form["administrator"].strip()
    if not re.fullmatch(_ADDRESS, administrator):
        raise _Invalid(Problem(_DELEGATION_TEXTS.fields["administrator"]))
    found = {name: tuple(_entries(form[name], name)) for name in _ENTRIES}
    if not (found["users"] or found["groups"] or found["org_units"]):
        raise _Invalid(Problem(_DELEGATION_TEXTS.nobody))
    return DelegationSettings(administrator, **found)


def _entries(text: str, name: str) -> Iterable[str]:
    separator = r"[,\n]" if name == "org_units" else r"[\s,;]+"
    for entry in filter(None, (part.strip() for part in re.split(separator, text))):
        if not _ENTRIES[name].fullmatch(entry):
            raise _Invalid(Problem(Phrase(_DELEGATION_TEXTS.fields[name], {"entry": entry})))
        yield entry


def _problem_of(code: str) -> Problem | None:
    """Return the texts about an error code, or None if the code is empty."""
    if not code:
        return None
    if code in DelegationRefusal.__members__.values():
        texts = REFUSAL_TEXTS[DelegationRefusal(code)]
        return Problem(texts.what, RESPONSIBLE[texts.who], texts.todo)
    return Problem(_DELEGATION_TEXTS.errors.get(code, _DELEGATION_TEXTS.errors["other"]))


def _read(connection: Connection, tenant: str) -> tuple[WorkspaceStatus, Collection[GroupStatus], float | None]:
    return (
        tenants.read_workspace(connection, tenant),
        tenants.read_groups(connection, tenant),
        tenants.delegation_entered_at(connection, tenant),
    )


def _stored_key_file(connection: Connection, secret_box: SecretBox, tenant: str) -> str:
    entered, _ = tenants.read_delegations(connection, secret_box)
    return next((delegation.key_file for delegation in entered if delegation.tenant == tenant), "")


# --- the OAuth client, and the page -----------------------------------------------------------------------------------

# The names of the scopes, as the Google console shows them.
_IDENTITY_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email")
# The characters of a client id and a secret (RFC 6749 appendix A.1 and A.2).
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,256}")


class _GoogleTexts(Texts, frozen=True):
    """The error messages of the form in which an administrator enters the OAuth client."""

    incomplete: str
    desktop: str
    no_client_file: str
    rejected: str
    unconfirmed: str
    unverified: str


_CLIENT_TEXTS = read_texts("web/texts/admin_google", _GoogleTexts)


class AdminGoogle:
    """The page about the client and the service account, and its forms."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._pending = OneTimePasswords(KEY_FILE_SECONDS)

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/admin/google", self.show, RequiredRole.ADMIN),
            # After a rejected form, the browser shows the form's address, and page.js fetches this address with GET.
            get("/<tenant>/admin/client", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/client", self.enter, RequiredRole.ADMIN),
            post("/<tenant>/admin/client/try", self.try_client, RequiredRole.ADMIN),
            get("/<tenant>/admin/delegation", self.show, RequiredRole.ADMIN),
            # The lists of addresses may be long.
            post("/<tenant>/admin/delegation", self.enter_delegation, RequiredRole.ADMIN, MAX_BODY_SIZE),
            get("/<tenant>/admin/delegation/remove", self.ask_to_remove_delegation, RequiredRole.ADMIN),
            post("/<tenant>/admin/delegation/remove", self.remove_delegation, RequiredRole.ADMIN),
        )

    async def enter(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/client``: store an OAuth client, unless Google rejects the client.

        The form has a file, or the id and the secret of the client.  If the id differs from the present client's id,
        the form must contain ``replace``, because everyone then has to reconnect.
        """
        if visit.tenant.name in self._dependencies.admin.tenants_with_configured_client:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        try:
            client, known_uris = _client_of(visit.form, visit.tenant.client)
            registered = await self._verify_client(visit.tenant, client)
        except _Invalid as error:
            client_id = visit.form.get("client_id", "")
            return await self.show(visit, 400, client_error=error.problem.what, client_id=client_id)
        new = EnteredClient(visit.tenant.name, client.client_id, client.client_secret, self._layout.now())
        entry = visit.entry(Act.CLIENT_ENTERED, detail=client.client_id)
        await visit.store.run(
            activity.recorded, entry, _enter_client, self._dependencies.secret_box, new, visit.tenant.client
        )
        await self._dependencies.changed()
        self._log("entered", visit)
        registered = registered and (not known_uris or self._layout.public_url.redirect_uri in known_uris)
        return visit.redirect("client-entered" if registered else "client-unregistered", "admin/google")

    async def enter_delegation(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/delegation``: store a service account after a successful trial at Google."""
        name, delegations = visit.tenant.name, self._dependencies.delegations
        if name in delegations.configured:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        form = {field: visit.form.get(field, "") for field in ("administrator", *_ENTRIES)}
        try:
            settings = _delegation_settings(form)
            key_file = await self._key_file(visit)
            trial = await delegations.try_delegation(name, key_file, settings)
        except _Invalid as error:
            return await self.show(visit, 400, delegation=await self._delegation(visit, error.problem, form))
        except GoogleError as error:
            log.warn(
                "web: the trial of the service account of tenant {tenant} failed: {code} {detail}",
                event="delegation_trial_failed",
                tenant=name,
                code=error.code,
                detail=error.detail,
            )
            code = error.refusal if isinstance(error, DelegationRefused) else error.code
            problem = _problem_of(code) or Problem(_DELEGATION_TEXTS.errors["other"])
            return await self.show(visit, 400, delegation=await self._delegation(visit, problem, form))
        new = EnteredDelegation(name, key_file, settings, self._layout.now())
        entry = visit.entry(Act.DELEGATION_ENTERED, detail=str(trial.users))
        await visit.change(entry, tenants.enter_delegation, self._dependencies.secret_box, new)
        self._pending.forget(name)
        return await visit.done("delegation-entered", "admin/google")

    async def ask_to_remove_delegation(self, visit: Visit) -> HttpResponse:
        """Ask before the service account is removed."""
        return await visit.confirmation(
            CONFIRMATIONS.delegation, {}, action="admin/delegation/remove", cancel="admin/google"
        )

    async def remove_delegation(self, visit: Visit) -> HttpResponse:
        """Delete the entered service account."""
        self._pending.forget(visit.tenant.name)
        await visit.change(visit.entry(Act.DELEGATION_REMOVED), tenants.remove_delegation, visit.tenant.name)
        return await visit.done("delegation-removed", "admin/google")

    async def _key_file(self, visit: Visit) -> str:
        """Return the key file in the form, or else the key file in memory, or else the stored key file.

        :raises _Invalid: when the form has a file that is no key file, or there is no key file.
        """
        session, name, now = visit.visitor.session, visit.tenant.name, self._layout.now()
        new = visit.form.get("key_file", "").strip() or self._pending.get(session, name, now)
        text = new or await visit.store.read(_stored_key_file, self._dependencies.secret_box, name)
        if not text:
            raise _Invalid(Problem(_DELEGATION_TEXTS.no_file))
        try:
            await self._dependencies.delegations.read_key_file(text)
        except UnfitKeyFile as error:
            raise _Invalid(Problem(error.problems[0])) from None
        if new:
            self._pending.add(session, name, new, now)
        return text

    async def _delegation(
        self, visit: Visit, problem: Problem | None = None, form: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Return the values that the page shows about the service account.

        :param problem: why the service account in `form` was not stored.
        """
        tenant, delegations = visit.tenant, self._dependencies.delegations
        status, groups, entered_at = await visit.store.read(_read, tenant.name)
        present = delegations.present(tenant.name)
        pending = self._pending.get(visit.visitor.session, tenant.name, self._layout.now())
        # If a new key file is in memory, the page shows the service account of this file, and not the stored service
        # account.
        service_account = await delegations.read_key_file(pending) if pending else present[0] if present else None
        if present:
            settings = present[1]
        else:
            administrator = "" if visit.visitor.person.is_by_link else visit.visitor.person.address
            settings = DelegationSettings(
                administrator, tuple(rule for rule in tenant.allowed_users if rule[:1] == "@")
            )
        wanted = {SCOPE_OF[source] for source in tenant.sources}
        # The scope for groups is always needed, because an administrator may choose groups at any time.
        scopes = (*(SCOPE_OF[source] for source in tenant.sources), USERS_SCOPE, GROUPS_SCOPE)
        client_id = service_account.client_id if service_account else ""
        console = {"clientScopeToAdd": ",".join(scopes), "clientIdToAdd": client_id, "overwriteClientId": "true"}
        return {
            "service_account": service_account,
            "is_configured": tenant.name in delegations.configured,
            "is_pending": bool(pending),
            "form": form or _typed(settings),
            "scopes": scopes,
            "console_url": _CONSOLE + urlencode(console),
            "status": status,
            "refused": sorted(wanted - status.scopes) if present and status.read_at and status.scopes else (),
            "groups": [(group, _problem_of(group.error_code)) for group in groups],
            "problem": problem or (_problem_of(status.error_code) if present else None),
            "is_rejected": problem is not None,
            "entered_at": entered_at,
        }

    async def try_client(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/client/try``: try the current client at Google."""
        if visit.tenant.client is None:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        try:
            registered = await self._verify_client(visit.tenant, visit.tenant.client)
            message = "client-known" if registered else "client-known-unregistered"
        except _Invalid as error:
            message = "client-refused" if error.problem.what == _CLIENT_TEXTS.rejected else "client-not-tried"
        self._log("tried", visit)
        return visit.redirect(message, "admin/google")

    async def _verify_client(self, tenant: WebTenant, client: Client) -> bool:
        """Try a client at Google.

        :returns: False if Google reports that the gateway's redirect URI is not registered with the client.
        :raises _Invalid: when Google rejects the client, or cannot be reached.
        """
        try:
            await self._dependencies.oauth.try_client(client, self._layout.public_url.redirect_uri)
        except GoogleError as error:
            log.warn(
                "web: the trial of the OAuth client of tenant {tenant} failed: {code} {detail}",
                event="client_trial_failed",
                tenant=tenant.name,
                code=error.code,
                detail=error.detail,
            )
            if isinstance(error, ClientRejected) and error.detail.startswith("redirect_uri_mismatch"):
                return False
            text = _CLIENT_TEXTS.rejected if isinstance(error, ClientRejected) else _CLIENT_TEXTS.unverified
            raise _Invalid(Problem(text)) from None
        return True

    async def show(
        self,
        visit: Visit,
        status: int = 200,
        *,
        client_error: Translatable = "",
        client_id: str = "",
        delegation: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        """``/{tenant}/admin/google``: show the client, and the guide.

        :param client_error: the reason why the entered client was not stored.
        :param delegation: what the page shows about the service account; None if nothing was entered.
        """
        entered_at, has_synced, is_testing, alarm = await visit.store.read(_facts, visit.tenant.name)
        has_client = visit.tenant.client is not None
        works = has_client and has_synced and not alarm
        return await visit.page(
            "admin_google.html",
            status=status,
            works=works,
            has_synced=has_synced,
            # A step of the guide counts as done if its effect shows.  The gateway cannot see what steps 2, 4 and 5 have
            # set in the Google console, so these steps count as done if syncs work.
            done={
                1: has_client,
                2: works,
                3: has_client,
                4: works,
                5: works,
                6: works and not is_testing,
                7: has_client,
                8: has_client,
            },
            is_configured=visit.tenant.name in self._dependencies.admin.tenants_with_configured_client,
            entered_at=entered_at,
            public_url=self._layout.public_url,
            scopes=[*_IDENTITY_SCOPES, *(SCOPE_OF[source] for source in visit.tenant.sources)],
            client_error=client_error,
            delegation=delegation or await self._delegation(visit),
            client_id=client_id,
        )

    def _log(self, act: str, visit: Visit) -> None:
        log.info(
            "web: the OAuth client of tenant {tenant} was {act} by {who}, from {address}",
            event="client_changed",
            tenant=visit.visitor.person.tenant,
            act=act,
            who=f"user {visit.visitor.person.sub}" if visit.visitor.person.sub else "link",
            address=visit.request.address,
        )


def _client_of(form: Mapping[str, str], before: Client | None) -> tuple[Client, tuple[str, ...]]:
    """Return the client in a form, and the redirect URIs in the form's client file.

    :raises _Invalid: when the form contains no valid client, or lacks the checkbox with which an administrator
        accepts that everyone has to reconnect.
    """
    file = form.get("file", "").strip()
    if file:
        try:
            client, uris = read_client_file(file.encode())
        except UnfitClientFile as error:
            text = _CLIENT_TEXTS.desktop if error.is_desktop else _CLIENT_TEXTS.no_client_file
            raise _Invalid(Problem(text)) from None
    else:
        client, uris = Client(form.get("client_id", "").strip(), form.get("client_secret", "").strip()), ()
    if not (_CREDENTIAL.fullmatch(client.client_id) and _CREDENTIAL.fullmatch(client.client_secret)):
        raise _Invalid(Problem(_CLIENT_TEXTS.no_client_file if file else _CLIENT_TEXTS.incomplete))
    # The form itself has the checkbox ``replace``, because a separate page of confirmation would have to contain the
    # client's secret.
    if _is_another(before, client) and "replace" not in form:
        raise _Invalid(Problem(_CLIENT_TEXTS.unconfirmed))
    return client, uris


def _is_another(before: Client | None, client: Client | EnteredClient) -> bool:
    """Return whether a client has another id than the present client, so that everyone has to reconnect."""
    return before is not None and before.client_id != client.client_id


def _facts(connection: Connection, tenant: str) -> tuple[float | None, bool, bool, str]:
    """Return facts about a tenant's OAuth client.

    :returns: when the client was entered, in seconds since the epoch, or None; whether an account has synced; whether
        the consent screen is in "Testing"; and the code of the tenant's alarm, or an empty text.
    """
    known = accounts.read_all(connection, tenant)
    return (
        tenants.client_entered_at(connection, tenant),
        any(account.last_sync is not None for account in known),
        any(map(is_of_testing, known)),
        tenants.read_alarm_code(connection, tenant),
    )


def _enter_client(connection: Connection, secret_box: SecretBox, new: EnteredClient, before: Client | None) -> None:
    """Store a client, and sync with the new client if the grants are still valid, or else ask everyone to reconnect.

    Accounts that the tenant's service account reads have no grant of a client.
    """
    tenants.enter_client(connection, secret_box, new)
    connected = [
        account
        for account in accounts.read_all(connection, new.tenant)
        if account.is_connected and not account.revoked and not account.uses_delegation
    ]
    if _is_another(before, new):
        for account in connected:
            sync_state.fail(connection, account, "consent_revoked", new.entered_at, None, facts={"by": "client"})
        tenants.clear_alarm(connection, new.tenant)
    elif connected:
        # A successful sync of one account ends the alarm, and then the syncs of all other accounts continue.
        sync_state.request_sync(connection, connected[0].id, SyncRequest.INCREMENTAL)
