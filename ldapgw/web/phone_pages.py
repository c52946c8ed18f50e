# SPDX-License-Identifier: MIT
"""A QR code as SVG, to stand in a page: it needs no file, no script and no style.

Passwords that were just made, for the browser that made them: in memory, for some minutes, and never again.

The page shows one together with the settings of any vendor, so it has to last for more than one look
(``docs/decisions/0034-a-fresh-password-lasts-minutes.rst``).

Mutable: `FreshPasswords`.

Whose a phone is: its owner's and the tenant's administrators'; for everybody else it does not exist.

A person's phones: added, set up, watched, removed.

A phone is its owner's and the tenant's administrators'; for everybody else it does not exist.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import segno
from markupsafe import Markup
from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.directory.access import generate_password, hash_password
from ldapgw.phones.hints import PhoneProfile
from ldapgw.phones.models import MODELS
from ldapgw.phones.provisioning.settings import PASSWORD_PLACEHOLDER, PhoneSettings
from ldapgw.phones.provisioning.sheet import Advice, Sheet, Vendor, make_sheet
from ldapgw.phones.provisioning.vendors import VENDORS, vendors_of
from ldapgw.phrase import Translatable, gettext_noop
from ldapgw.store import phones
from ldapgw.store import phones as stored
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import Headers, HttpRequest, HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, get, post
from ldapgw.web.phone_texts import ADVICE, SERIOUS_ADVICE, PhoneState, phone_state, search_log_lines
from ldapgw.web.sessions import Visitor

# Pixels of a square.
_SCALE = 4


def qr_code(text: str, title: str) -> Markup:
    """The code; black on white in any colours of the page, so that cameras read it.

    :param title: what it says, for those who do not see it.
    """
    made = segno.make(text, micro=False, boost_error=False)
    # With a view box: a narrow window shrinks all of it, where width and height alone would cut it off.
    drawn = made.svg_inline(omitsize=True, dark="#000", light="#fff", svgclass="qr", lineclass=None, title=title)
    width, height = made.symbol_size(scale=_SCALE)
    # segno escapes the title; all else are figures.
    return Markup(drawn.replace("<svg ", f'<svg role="img" width="{width}" height="{height}" ', 1))  # noqa: S704


# As long as it takes to set a phone up.
PASSWORD_SECONDS = 600
MAX_PASSWORDS = 1000


class OneTimePasswords:
    """Keeps them, by session and phone."""

    def __init__(self) -> None:
        self._passwords: OrderedDict[tuple[str, str], tuple[float, str, dict[str, Markup]]] = OrderedDict()

    def add(self, session: str, phone: str, password: str, now: float) -> None:
        """A password was made in a session."""
        self._forget_old(now)
        self._passwords[session, phone.lower()] = (now, password, {})
        self._passwords.move_to_end((session, phone.lower()))
        if len(self._passwords) > MAX_PASSWORDS:
            self._passwords.popitem(last=False)

    def get(self, session: str, phone: str, now: float) -> str:
        """The password; empty where this session did not make it, or too long ago."""
        self._forget_old(now)
        _, password, _ = self._passwords.get((session, phone.lower()), (0.0, "", {}))
        return password

    def cached_qr_code(self, session: str, phone: str, language: str, draw: Callable[[], Markup]) -> Markup:
        """The password's QR code in a language, drawn once: that takes milliseconds, and a page looks often.

        :param draw: called if there is a password and no code of it yet.
        """
        _, password, codes = self._passwords.get((session, phone.lower()), (0.0, "", {}))
        if password and language not in codes:
            codes[language] = draw()
        return codes.get(language, Markup())

    def forget(self, phone: str) -> None:
        """A phone is gone, or has another password."""
        for key in [key for key in self._passwords if key[1] == phone.lower()]:
            del self._passwords[key]

    def _forget_old(self, now: float) -> None:
        while self._passwords:
            when, _, _ = next(iter(self._passwords.values()))
            if now - when < PASSWORD_SECONDS:
                return
            self._passwords.popitem(last=False)


async def find_phone(layout: Layout, tenant: WebTenant, visitor: Visitor, name: str) -> PhoneLogin:
    """A phone that the visitor may see.

    :raises Ended: not found, whether there is none of that name or it is somebody else's.
    """
    login = await layout.dependencies.store.run(phones.read_by_name, name)
    if login is None or login.tenant != tenant.name:
        raise PageError(error_pages.NOT_FOUND, tenant)
    if not is_owned_by(login, visitor) and not visitor.administers(tenant):
        raise PageError(error_pages.NOT_FOUND, tenant)
    return login


def is_owned_by(login: PhoneLogin, visitor: Visitor) -> bool:
    """Whether a phone is one of the visitor's."""
    return any(account.id == login.account_id for account in visitor.accounts)


def visible_phones(connection: Connection, tenant: WebTenant, visitor: Visitor) -> tuple[PhoneLogin, ...]:
    """The phones that the visitor may see, their own first, by name."""
    mine = phones.read_by_accounts(connection, [account.id for account in visitor.accounts])
    if not visitor.administers(tenant):
        return mine
    others = (one for one in phones.read_all(connection) if one.tenant == tenant.name and one not in mine)
    return (*mine, *others)


log = Logger()

# A person has a handful; a lift of them is a mistake, or worse.
MAX_PHONES_PER_PERSON = 50
# The owner of a phone of nobody's, in the form.
NO_OWNER = "shared"
# What a QR code holds of the fields of any phone.
QR_CODE_FIELDS = ("Server", "Port", "Search base", "User name", "Password")

_WRONG_NAME = gettext_noop("Use 1 to 64 letters a-z, digits, dots, underscores and hyphens.")
_NAME_TAKEN = gettext_noop("There is a phone of that name already, here or elsewhere on this gateway: choose another.")
_PEM_MEDIA_TYPE = "application/x-pem-file"


class PhonePages:
    """The pages about phones."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies.phones
        self._one_time_passwords = OneTimePasswords()
        layout.account_sections.append(self.account_section)
        layout.topic_providers.append(self.topics)

    def routes(self) -> tuple[Route, ...]:
        """The routes of these pages."""
        return (
            get("/<tenant>/phones", self._layout.redirect_home, RequiredRole.TENANT),
            post("/<tenant>/phones", self.add),
            get("/<tenant>/phones/<name>", self.show, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/certificate.pem", self.certificate, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/settings/<vendor>", self.settings, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/reset", self.reset),
            post("/<tenant>/phones/<name>/remove", self.remove),
        )

    async def account_section(self, _request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> Mapping[str, Any]:
        """One's phones, for one's own page (``my_phones.html``)."""
        mine, free = await self._layout.dependencies.store.run(_phones_and_free_name, visitor)
        return {"phones": [(login, self.state(login)) for login in mine], **_form_values(tenant, visitor, name=free)}

    async def topics(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> Iterable[str]:
        """What open pages listen to: one's own phones, and the one that an administrator looks at."""
        mine, _ = await self._layout.dependencies.store.run(_phones_and_free_name, visitor)
        name = request.query.get("phone", "")
        looked_at = (await find_phone(self._layout, tenant, visitor, name),) if name else ()
        return [self.topic(login) for login in (*mine, *looked_at)]

    def topic(self, login: PhoneLogin) -> str:
        """What tells of a phone's searches."""
        return self._dependencies.bind_dn(login)

    async def show(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``/{tenant}/phones/{name}``: its state, its settings, its last searches."""
        login = await find_phone(self._layout, tenant, visitor, name)
        asked = request.query.get("vendor", "")
        fitting = vendors_of(login.model)
        chosen = VENDORS.get(asked, fitting[0])
        password = self._one_time_passwords.get(visitor.session, login.name, self._layout.now())
        habits = self._habits(login)
        seen = self._dependencies.searches(login)
        when = [one.search.when for one in seen[:1]]
        return self._layout.page(
            request,
            "phone.html",
            tenant=tenant,
            visitor=visitor,
            phone=login,
            model=MODELS[login.model].title if login.model in MODELS else "",
            state=self.state(login),
            password=password,
            qr=self._one_time_passwords.cached_qr_code(
                visitor.session, login.name, request.language, lambda: self._qr(request, tenant, login, password)
            ),
            vendors=[*fitting, *(vendor for vendor in VENDORS.values() if vendor not in fitting)],
            certificate=bool(await self._dependencies.certificate()),
            lines=search_log_lines(seen, habits),
            last_seen=max((one for one in (login.last_seen, login.searched_at, *when) if one), default=None),
            last_address=seen[0].search.address if seen else login.last_address,
            **self._sheet_values(tenant, login, chosen, password),
        )

    async def settings(
        self, _request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str, vendor: str
    ) -> HttpResponse:
        """``/{tenant}/phones/{name}/settings/{vendor}``: the vendor's file."""
        login = await find_phone(self._layout, tenant, visitor, name)
        found = VENDORS.get(vendor)
        if found is None or not found.file:
            raise PageError(error_pages.NOT_FOUND, tenant)
        password = self._one_time_passwords.get(visitor.session, login.name, self._layout.now())
        text = self._provisioning_sheet(tenant, login, found, password).text
        if not text:
            raise PageError(error_pages.NOT_FOUND, tenant)
        return HttpResponse(200, text.encode(), found.media_type, _attachment(found.file))

    async def certificate(self, _request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``/{tenant}/phones/{name}/certificate.pem``: what the phone has to trust, where that is not public."""
        await find_phone(self._layout, tenant, visitor, name)
        text = await self._dependencies.certificate()
        if not text:
            raise PageError(error_pages.NOT_FOUND, tenant)
        return HttpResponse(200, text.encode(), _PEM_MEDIA_TYPE, _attachment("ldapgw-certificate.pem"))

    # --- forms ------------------------------------------------------------------------------------------------------

    async def add(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/phones``: a new phone; its page shows the password."""
        name, model = request.form.get("name", "").strip(), request.form.get("model", "")
        numbers, owner = request.form.get("numbers", ""), request.form.get("owner", "1")
        account = visitor.account_by_number(owner)
        shared = owner == NO_OWNER and visitor.administers(tenant)
        if model not in {"", *MODELS} or numbers not in {"", *NumberMode} or not (account or shared):
            raise PageError(error_pages.BAD_FORM, tenant)
        password = generate_password(self._layout.dependencies.random)
        login = PhoneLogin(
            name=name,
            tenant=tenant.name,
            account_id=account.id if account else None,
            numbers=NumberMode(numbers) if numbers else _numbers_for(model),
            password=hash_password(password, self._layout.dependencies.random),
            created_at=self._layout.now(),
            model=model,
        )
        wrong = (
            _WRONG_NAME if not stored.is_valid_name(name) else await self._layout.dependencies.store.run(_add, login)
        )
        if wrong:
            form = _form_values(tenant, visitor, name=name, model=model, numbers=numbers, owner=owner, wrong=wrong)
            return self._layout.page(request, "phone_new.html", tenant=tenant, visitor=visitor, status=400, **form)
        self._one_time_passwords.add(visitor.session, name, password, self._layout.now())
        await self._layout.dependencies.changed()
        self._log("added", request, visitor, login)
        return self._layout.redirect_to_tenant(tenant, "phone-added", f"phones/{login.name}")

    async def reset(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/reset``: a new password; the old one is refused from now on."""
        login = await find_phone(self._layout, tenant, visitor, name)
        password = generate_password(self._layout.dependencies.random)
        hashed = hash_password(password, self._layout.dependencies.random)
        if not await self._layout.dependencies.store.run(stored.set_password, login.name, hashed):
            raise PageError(error_pages.NOT_FOUND, tenant)
        self._one_time_passwords.forget(login.name)
        self._one_time_passwords.add(visitor.session, login.name, password, self._layout.now())
        await self._layout.dependencies.changed()
        self._log("got a new password", request, visitor, login)
        return self._layout.redirect_to_tenant(tenant, "phone-reset", f"phones/{login.name}")

    async def remove(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/remove``: its login is refused from now on."""
        login = await find_phone(self._layout, tenant, visitor, name)
        await self._layout.dependencies.store.run(stored.remove, login.name)
        self._one_time_passwords.forget(login.name)
        await self._layout.dependencies.changed()
        self._log("removed", request, visitor, login)
        return self._layout.redirect_to_tenant(tenant, "phone-removed")

    # --- parts ------------------------------------------------------------------------------------------------------

    def _habits(self, login: PhoneLogin) -> PhoneProfile:
        base = self._dependencies.base_dn(login.tenant)
        return PhoneProfile.for_model(base, login.model, per_number=login.numbers is NumberMode.ENTRIES)

    def state(self, login: PhoneLogin) -> PhoneState:
        """How a phone does."""
        stranger = self._dependencies.anonymous_refused_at(login.last_address) if login.last_address else None
        return phone_state(login, self._dependencies.searches(login), self._habits(login), stranger, self._layout.now())

    def _provisioning_sheet(self, tenant: WebTenant, login: PhoneLogin, vendor: Vendor, password: str) -> Sheet:
        values = PhoneSettings(
            server=self._dependencies.server,
            base_dn=self._dependencies.base_dn(login.tenant),
            login=login.name,
            bind_dn=self._dependencies.bind_dn(login),
            password=password or PASSWORD_PLACEHOLDER,
            title=tenant.heading,
            per_number=login.numbers is NumberMode.ENTRIES,
        )
        return make_sheet(vendor, values)

    def _sheet_values(self, tenant: WebTenant, login: PhoneLogin, vendor: Vendor, password: str) -> Mapping[str, Any]:
        made = self._provisioning_sheet(tenant, login, vendor, password)
        return {
            "sheet": made,
            "vendor": vendor,
            "advice": [(one in SERIOUS_ADVICE, ADVICE[one]) for one in made.advice],
            "has_tls": Advice.CERTIFICATE in made.advice,
            "bind_dn": self._dependencies.bind_dn(login),
        }

    def _qr(self, request: HttpRequest, tenant: WebTenant, login: PhoneLogin, password: str) -> Markup:
        """Everything that is entered into any phone, to be read by a camera."""
        made = self._provisioning_sheet(tenant, login, VENDORS["other"], password)
        say = self._layout.renderer.language(request.language).translate
        text = "\n".join(f"{say(field.label)}: {field.value}" for field in made.fields if field.label in QR_CODE_FIELDS)
        return qr_code(text, say(gettext_noop("The settings of this phone as a QR code, with its password")))

    def _log(self, event: str, request: HttpRequest, visitor: Visitor, login: PhoneLogin) -> None:
        log.info(
            "web: phone {phone} of tenant {tenant} {event} by user {sub}, from {address}",
            phone=login.name,
            tenant=login.tenant,
            event=event,
            sub=visitor.person.sub,
            address=request.address,
        )


def _phones_and_free_name(connection: Connection, visitor: Visitor) -> tuple[tuple[PhoneLogin, ...], str]:
    """A person's phones, and a name that is free for the next."""
    mine = stored.read_by_accounts(connection, [account.id for account in visitor.accounts])
    person = re.sub(r"[^a-z0-9]+", "-", visitor.person.address.partition("@")[0].lower()).strip("-")[:40] or "phone"
    taken = stored.read_names(connection, f"{person}-")
    return mine, next(name for number in range(1, len(taken) + 2) if (name := f"{person}-{number}") not in taken)


def _add(connection: Connection, login: PhoneLogin) -> Translatable:
    """Store a phone; what speaks against it, or empty."""
    own = stored.read_by_accounts(connection, [login.account_id]) if login.account_id is not None else ()
    if len(own) >= MAX_PHONES_PER_PERSON:
        return gettext_noop("You have as many phones as a person may have: remove one first.")
    return "" if stored.add(connection, login) else _NAME_TAKEN


def _numbers_for(model: str) -> NumberMode:
    return NumberMode.ENTRIES if model and MODELS[model].per_number else NumberMode.VALUES


def _form_values(tenant: WebTenant, visitor: Visitor, **values: Any) -> Mapping[str, Any]:
    """The values of the form that adds a phone; without owners nobody may add one."""
    empty = {"name": "", "model": "", "numbers": "", "owner": "1", "wrong": ""}
    owners = [(str(number), account.address) for number, account in enumerate(visitor.accounts, start=1)]
    if visitor.administers(tenant):
        owners.append((NO_OWNER, gettext_noop("Nobody’s: it finds only the shared contacts")))
    return {"new": {**empty, **values}, "models": MODELS, "owners": owners}


def _attachment(file: str) -> Headers:
    return (("Content-Disposition", f'attachment; filename="{file}"'),)
