# SPDX-License-Identifier: MIT
"""The forms that add, change, test, record and remove phones, and the pages that ask for confirmation first.

A new password is shown once, on the phone's page (`ldapgw.web.phone_pages`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.directory.number_formatter import PHONE_FORMATS
from ldapgw.directory.passwords import generate_password, hash_password
from ldapgw.numbers.numbering_plan import dialling
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.connection_test import ConnectionSettings, Step, StepResult, StepStatus
from ldapgw.phones.models import MODELS, OTHER_MODEL
from ldapgw.phones.provisioning.settings import choose_endpoint
from ldapgw.phones.provisioning.sheet import vendors_of
from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.store import accounts, activity, phones, recordings
from ldapgw.store.activity import Act, Entry
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpRequest, HttpResponse, RateLimiter
from ldapgw.web.layout import Layout, RequiredRole, Route, get, post
from ldapgw.web.phone_pages import (
    PhonePages,
    attachment,
    find_phone,
    form_placeholder,
    form_values,
    is_owned_by,
)
from ldapgw.web.phone_texts import CONFIRMATIONS
from ldapgw.web.sessions import Visitor

log = Logger()

# A person has a handful of phones; more are a mistake or an attack.
MAX_PHONES_PER_PERSON = 50
# Connection tests of a session at once, seconds until one more is allowed, and tests of all sessions at a time.
TEST_BURST = 5
TEST_INTERVAL_SECONDS = 12.0
MAX_TESTS = 8

NO_COMMON_PROTECTION = StepResult(
    Step.TLS, StepStatus.FAILED, gettext_noop("this phone supports no kind of connection that the gateway offers")
)

# How long a phone is recorded.
RECORDING_SECONDS = 600

_INVALID_NAME = gettext_noop("Use 1 to 64 letters a–z, digits, dots, underscores and hyphens.")
_NO_MODEL = gettext_noop("Choose the phone’s model, or “Other or not sure”.")
_NAME_TAKEN = gettext_noop("There’s already a phone with this name on this gateway. Choose another name.")
# JSON lines have no registered type; browsers do not show this one.
_AREA_CODE = re.compile("[0-9]{0,6}")

_RECORDING_MEDIA_TYPE = "application/octet-stream"


class PhoneForms:
    """The forms about phones.

    :param pages: the pages that the forms lead to.
    """

    def __init__(self, layout: Layout, pages: PhonePages) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies.phones
        self._pages = pages
        self._test_limiter = RateLimiter(TEST_BURST, TEST_INTERVAL_SECONDS, layout.dependencies.seconds)
        self._tests_running = 0

    def routes(self) -> tuple[Route, ...]:
        """The routes of these forms."""
        return (
            post("/<tenant>/phones", self.add, RequiredRole.PERSON),
            get("/<tenant>/phones/<name>/book-address", self.ask_for_new_book_address, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/book-address", self.make_book_address, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/book-address/end", self.ask_to_end_book_address, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/book-address/end", self.end_book_address, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/dialing", self.set_dialling, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/change", self.change, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/test", self.test, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/recording.jsonl", self.recording, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/record", self.ask_to_delete_recording, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/record", self.record, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/reset", self.ask_to_reset, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/reset", self.reset, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/remove", self.ask_to_remove, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/remove", self.remove, RequiredRole.SIGNED_IN),
        )

    async def recording(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``/{tenant}/phones/{name}/recording.jsonl``: the file of the phone's recording."""
        login = await find_phone(self._layout, tenant, visitor, name)
        dependencies = self._layout.dependencies
        content = await dependencies.store.read(recordings.read_file, dependencies.secret_box, login.name)
        if content is None:
            raise PageError(error_pages.PAGES.not_found, tenant)
        entry = self._layout.entry(request, tenant, visitor, Act.RECORDING_DOWNLOADED, login.name)
        await dependencies.store.run(activity.record, entry)
        self._log("had its recording downloaded", request, visitor, login)
        return HttpResponse(200, content.encode(), _RECORDING_MEDIA_TYPE, attachment(f"{login.name}.jsonl"))

    async def add(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/phones``: add a phone; the phone's page then shows the password."""
        name, choice = request.form.get("name", "").strip(), request.form.get("model", "")
        model = "" if choice == OTHER_MODEL else choice
        placeholder = form_placeholder(request, tenant, model)
        numbers, owner = request.form.get("numbers", ""), request.form.get("owner", "1")
        account = visitor.account_by_number(owner)
        if model not in {"", *MODELS} or numbers not in {"", *NumberMode} or account is None:
            raise PageError(error_pages.PAGES.bad_form, tenant)
        password = generate_password(self._layout.dependencies.random)
        login = PhoneLogin(
            name=name,
            tenant=tenant.name,
            account_id=account.id,
            numbers=NumberMode(numbers) if numbers else _numbers_for(model),
            password=hash_password(password, self._layout.dependencies.random),
            created_at=self._layout.now(),
            model=model,
            placeholder=placeholder,
        )
        error: Translatable = _INVALID_NAME
        if not choice:
            error = ""
        elif phones.is_valid_name(name):
            entry = self._layout.entry(request, tenant, visitor, Act.PHONE_ADDED, name)
            error = await self._layout.dependencies.store.run(_add, login, entry)
        if error or not choice:
            values = form_values(
                visitor,
                name=name,
                model=choice,
                placeholder=placeholder,
                model_error="" if choice else _NO_MODEL,
                numbers=numbers,
                owner=owner,
                error=error,
            )
            return self._layout.page(request, "phone_new.html", tenant=tenant, visitor=visitor, status=400, **values)
        self._pages.one_time.passwords.add(visitor.session, name, password, self._layout.now())
        await self._layout.dependencies.changed()
        self._log("added", request, visitor, login)
        return self._layout.redirect_to_tenant(tenant, "phone-added", f"phones/{login.name}")

    async def reset(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/reset``: generate a new password; the old password is refused at once."""
        login = await find_phone(self._layout, tenant, visitor, name)
        password = generate_password(self._layout.dependencies.random)
        hashed = hash_password(password, self._layout.dependencies.random)
        set_password, now = phones.set_password, self._layout.now()
        if not await self._do(request, tenant, visitor, Act.PHONE_PASSWORD, set_password, login.name, hashed, now):
            raise PageError(error_pages.PAGES.not_found, tenant)
        self._pages.keep(visitor, login, password)
        await self._layout.dependencies.changed()
        self._log("got a new password", request, visitor, login)
        return self._layout.redirect_to_tenant(tenant, "phone-reset", f"phones/{login.name}")

    async def test(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/test``: try what the phone will meet, with ``password`` if it is given."""
        login = await find_phone(self._layout, tenant, visitor, name)
        wait = self._test_limiter.take(visitor.session)
        if wait or self._tests_running >= MAX_TESTS:
            raise PageError(error_pages.PAGES.too_many, tenant, headers=(("Retry-After", str(ceil(wait) or 10)),))
        endpoint = choose_endpoint(self._dependencies.server, vendors_of(login.model)[0].supported_security)
        if endpoint is None:
            return await self._pages.show_phone(request, tenant, visitor, login, (NO_COMMON_PROTECTION,))
        password = request.form.get("password", "").strip()
        password = password or self._pages.new_password(visitor, login)
        access = ConnectionSettings(
            endpoint,
            self._dependencies.bind_dn(login),
            self._dependencies.base_dn(login.tenant),
            password,
            await self._dependencies.certificate(),
        )
        self._tests_running += 1
        try:
            steps = await self._dependencies.try_connection(access)
        finally:
            self._tests_running -= 1
        return await self._pages.show_phone(request, tenant, visitor, login, steps)

    async def make_book_address(
        self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str
    ) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/book-address``: make a secret address; a former one ends."""
        login = await find_phone(self._layout, tenant, visitor, name)
        secret = generate_password(self._layout.dependencies.random)
        hashed = hash_password(secret, self._layout.dependencies.random)
        if not await self._do(
            request, tenant, visitor, Act.BOOK_ADDRESS_MADE, phones.set_book_secret, login.name, hashed
        ):
            raise PageError(error_pages.PAGES.not_found, tenant)
        self._pages.one_time.book_secrets.forget(login.name)
        self._pages.one_time.book_secrets.add(visitor.session, login.name, secret, self._layout.now())
        await self._layout.dependencies.changed()
        self._log("got a secret address", request, visitor, login)
        return self._layout.redirect_to_tenant(tenant, "address-made", f"phones/{login.name}")

    async def end_book_address(
        self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str
    ) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/book-address/end``: the secret address is refused at once."""
        login = await find_phone(self._layout, tenant, visitor, name)
        await self._do(request, tenant, visitor, Act.BOOK_ADDRESS_ENDED, phones.set_book_secret, login.name, "")
        self._pages.one_time.book_secrets.forget(login.name)
        await self._layout.dependencies.changed()
        self._log("lost its secret address", request, visitor, login)
        return self._layout.redirect_to_tenant(tenant, "address-ended", f"phones/{login.name}")

    async def set_dialling(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/dialing``: set number format and area code; an empty one is the tenant's."""
        login = await find_phone(self._layout, tenant, visitor, name)
        form, area_code = request.form.get("number_format"), request.form.get("area_code", "").strip()
        if form not in {"", *PHONE_FORMATS} or not _AREA_CODE.fullmatch(area_code):
            raise PageError(error_pages.PAGES.bad_form, tenant)
        number_format, area_code = NumberFormat(form) if form else None, dialling(tenant.region).area_code(area_code)
        detail = " ".join(filter(None, (form, area_code)))
        if not await self._do(
            *(request, tenant, visitor, Act.PHONE_NUMBER_FORMAT, phones.set_dialling),
            *(login.name, number_format, area_code),
            detail=detail,
        ):
            raise PageError(error_pages.PAGES.not_found, tenant)
        await self._layout.dependencies.changed()
        self._log("dials otherwise", request, visitor, login)
        return self._layout.redirect_to_tenant(tenant, "dialing-set", f"phones/{login.name}")

    async def change(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/change``: give the phone another ``name``, ``model`` or ``owner``.

        With ``new_password``, another owner comes with another password.
        """
        login = await find_phone(self._layout, tenant, visitor, name)
        new_name, choice = request.form.get("name", "").strip(), request.form.get("model", "")
        if choice not in {OTHER_MODEL, *MODELS} or "owner" not in request.form:
            raise PageError(error_pages.PAGES.bad_form, tenant)
        owner_id, is_owner = await self._new_owner(tenant, visitor, request.form["owner"].strip())
        if not is_owner:
            return self._layout.redirect_to_tenant(tenant, "phone-owner-unknown", f"phones/{login.name}")
        model = "" if choice == OTHER_MODEL else choice
        placeholder = form_placeholder(request, tenant, model)
        numbers = login.numbers if model == login.model else _numbers_for(model)
        new = replace(login, name=new_name, model=model, numbers=numbers, account_id=owner_id, placeholder=placeholder)
        is_moved, password = new.account_id != login.account_id, ""
        if is_moved and request.form.get("new_password"):
            random = self._layout.dependencies.random
            password = generate_password(random)
            new = replace(new, password=hash_password(password, random))
        acts = [
            ((new.model, new.placeholder) != (login.model, login.placeholder), Act.PHONE_MODEL, choice),
            (is_moved, Act.PHONE_MOVED, ""),
            (bool(password), Act.PHONE_PASSWORD, ""),
            (new.name != login.name, Act.PHONE_RENAMED, new_name),
        ]
        entries = [
            self._layout.entry(request, tenant, visitor, act, login.name, detail)
            for is_new, act, detail in acts
            if is_new
        ]
        is_changed = phones.is_valid_name(new_name) and await self._layout.dependencies.store.run(
            _change, login, new, entries, self._layout.now()
        )
        if not is_changed:
            return self._layout.redirect_to_tenant(tenant, "phone-not-renamed", f"phones/{login.name}")
        if new.name != login.name:
            self._pages.forget_password(login.name)
        if password:
            self._pages.keep(visitor, new, password)
        await self._layout.dependencies.changed()
        self._log("was changed", request, visitor, new)
        message = "phone-moved" if password else "phone-changed"
        return self._layout.redirect_to_tenant(tenant, message, f"phones/{new.name}")

    async def _new_owner(self, tenant: WebTenant, visitor: Visitor, owner: str) -> tuple[int | None, bool]:
        """The account that the form names, None for nobody; and whether there is such an account.

        :param owner: an address, for administrators, who may leave it empty; else the ``sub`` of an own account.
        :raises PageError: when it is none of the visitor's own accounts.
        """
        if visitor.administers(tenant):
            found = await self._layout.dependencies.store.read(accounts.find_by_address, owner, tenant.name)
            return next((account.id for account in found), None), bool(found) or not owner
        own = {account.sub: account.id for account in visitor.accounts}
        if owner not in own:
            raise PageError(error_pages.PAGES.bad_form, tenant)
        return own[owner], True

    async def record(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/record``: begin a recording, end it, or delete its file."""
        login = await find_phone(self._layout, tenant, visitor, name)
        store, now = self._layout.dependencies.store, self._layout.now()
        message = ""
        match request.form.get("action", ""):
            case "start":
                entry = self._layout.entry(request, tenant, visitor, Act.RECORDING_BEGUN, login.name)
                refused = await store.run(_begin_recording, login.name, now, entry)
                message = "recording-refused" if refused is recordings.NotBegun.TOO_MANY else "recording-began"
                if refused is None:
                    self._log("is being recorded", request, visitor, login)
            case "stop":
                await self._do(request, tenant, visitor, Act.RECORDING_ENDED, recordings.end, login.name, now)
            case "delete":
                await self._do(request, tenant, visitor, Act.RECORDING_DELETED, recordings.remove, login.name)
                message = "recording-deleted"
            case _:
                raise PageError(error_pages.PAGES.bad_form, tenant)
        await self._layout.dependencies.changed()
        return self._layout.redirect_to_tenant(tenant, message, f"phones/{login.name}")

    async def remove(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/remove``: remove a phone; the phone's login is refused at once."""
        login = await find_phone(self._layout, tenant, visitor, name)
        await self._do(request, tenant, visitor, Act.PHONE_REMOVED, phones.remove, login.name)
        self._pages.forget_password(login.name)
        await self._layout.dependencies.changed()
        self._log("removed", request, visitor, login)
        is_own = is_owned_by(login, visitor)
        return self._layout.redirect_to_tenant(tenant, "phone-removed", "phones" if is_own else "admin/phones")

    # --- what cannot be undone --------------------------------------------------------------------------------------

    async def ask_to_remove(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``GET /{tenant}/phones/{name}/remove``: ask before the phone is removed."""
        return await self._ask(request, tenant, visitor, name, "remove")

    async def ask_to_reset(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``GET /{tenant}/phones/{name}/reset``: ask before the phone gets a new password."""
        return await self._ask(request, tenant, visitor, name, "reset")

    async def ask_for_new_book_address(
        self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str
    ) -> HttpResponse:
        """``GET /{tenant}/phones/{name}/book-address``: ask before a new secret address ends the former one."""
        return await self._ask(request, tenant, visitor, name, "book-address")

    async def ask_to_end_book_address(
        self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str
    ) -> HttpResponse:
        """``GET /{tenant}/phones/{name}/book-address/end``: ask before the secret address ends."""
        return await self._ask(request, tenant, visitor, name, "book-address/end")

    async def ask_to_delete_recording(
        self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str
    ) -> HttpResponse:
        """``GET /{tenant}/phones/{name}/record``: ask before the file of the phone's recording is deleted."""
        return await self._ask(request, tenant, visitor, name, "record", {"action": "delete"})

    async def _ask(
        self,
        request: HttpRequest,
        tenant: WebTenant,
        visitor: Visitor,
        name: str,
        act: str,
        fields: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Ask before an act on a phone, a key of `CONFIRMATIONS`."""
        login = await find_phone(self._layout, tenant, visitor, name)
        texts = CONFIRMATIONS[act]
        return self._layout.confirmation(
            request,
            tenant,
            visitor,
            action=f"phones/{login.name}/{act}",
            title=Phrase(texts.title, {"phone": login.name}),
            consequence=texts.consequence,
            button=texts.button,
            cancel=f"phones/{login.name}",
            fields=fields,
        )

    async def _do(
        self,
        request: HttpRequest,
        tenant: WebTenant,
        visitor: Visitor,
        act: Act,
        function: Callable[..., Any],
        name: str,
        *args: Any,
        detail: str = "",
    ) -> Any:
        """Call ``function(connection, name, …)`` of the store for a phone, and record the act with it."""
        entry = self._layout.entry(request, tenant, visitor, act, name, detail)
        return await self._layout.dependencies.store.run(activity.recorded, entry, function, name, *args)

    def _log(self, act: str, request: HttpRequest, visitor: Visitor, login: PhoneLogin) -> None:
        log.info(
            "web: phone {phone} of tenant {tenant} {act} by user {sub}, from {address}",
            event="phone_changed",
            phone=login.name,
            tenant=login.tenant,
            account=login.account_id,
            act=act,
            sub=visitor.person.sub,
            address=request.address,
        )


def _begin_recording(connection: Connection, phone: str, now: float, entry: Entry) -> recordings.NotBegun | None:
    refused = recordings.begin(connection, phone, now, now + RECORDING_SECONDS, is_plain=False)
    if refused is None:
        activity.record(connection, entry)
    return refused


def _add(connection: Connection, login: PhoneLogin, entry: Entry) -> Translatable:
    """Store a phone; returns the reason why the phone cannot be added, or an empty text."""
    own_phones = phones.read_by_accounts(connection, [login.account_id]) if login.account_id is not None else ()
    if len(own_phones) >= MAX_PHONES_PER_PERSON:
        return gettext_noop("You’ve reached the maximum number of phones. Remove one first.")
    return "" if activity.recorded(connection, entry, phones.add, login) else _NAME_TAKEN


def _change(connection: Connection, login: PhoneLogin, new: PhoneLogin, entries: Sequence[Entry], now: float) -> bool:
    """Store what is new about a phone: its name, model, owner and password.

    :returns: False, and nothing is stored, when another phone has the name.
    """
    if new.name != login.name and not phones.rename(connection, login.name, new.name):
        return False
    phones.set_model(connection, new.name, new.model, new.numbers)
    phones.set_placeholder(connection, new.name, new.placeholder)
    phones.set_owner(connection, new.name, new.account_id)
    if new.password != login.password:
        phones.set_password(connection, new.name, new.password, now)
    activity.record(connection, *entries)
    return True


def _numbers_for(model: str) -> NumberMode:
    return NumberMode.ENTRIES if model and MODELS[model].per_number else NumberMode.VALUES
