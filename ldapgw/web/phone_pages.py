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
from ldapgw.phones.hints import Habits
from ldapgw.phones.models import MODELS
from ldapgw.phones.provisioning.settings import PASSWORD, Settings
from ldapgw.phones.provisioning.sheet import Advice, Sheet, Vendor, sheet
from ldapgw.phones.provisioning.vendors import VENDORS, vendors_of
from ldapgw.phrase import Said, marked
from ldapgw.store import phones
from ldapgw.store import phones as stored
from ldapgw.store.phones import Numbers, PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import Ended
from ldapgw.web.http import Answer, Call, Headers
from ldapgw.web.layout import Frame, Route, Who, get, post
from ldapgw.web.phone_texts import ADVICE, GRAVE, PhoneState, lines, state
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
SECONDS = 600
MOST = 1000


class FreshPasswords:
    """Keeps them, by session and phone."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[float, str, dict[str, Markup]]] = OrderedDict()

    def put(self, session: str, phone: str, password: str, now: float) -> None:
        """A password was made in a session."""
        self._forget_old(now)
        self._kept[session, phone.lower()] = (now, password, {})
        self._kept.move_to_end((session, phone.lower()))
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def of(self, session: str, phone: str, now: float) -> str:
        """The password; empty where this session did not make it, or too long ago."""
        self._forget_old(now)
        _, password, _ = self._kept.get((session, phone.lower()), (0.0, "", {}))
        return password

    def drawn(self, session: str, phone: str, language: str, draw: Callable[[], Markup]) -> Markup:
        """The password's QR code in a language, drawn once: that takes milliseconds, and a page looks often.

        :param draw: called if there is a password and no code of it yet.
        """
        _, password, codes = self._kept.get((session, phone.lower()), (0.0, "", {}))
        if password and language not in codes:
            codes[language] = draw()
        return codes.get(language, Markup())

    def forget(self, phone: str) -> None:
        """A phone is gone, or has another password."""
        for key in [key for key in self._kept if key[1] == phone.lower()]:
            del self._kept[key]

    def _forget_old(self, now: float) -> None:
        while self._kept:
            when, _, _ = next(iter(self._kept.values()))
            if now - when < SECONDS:
                return
            self._kept.popitem(last=False)


async def find_phone(frame: Frame, tenant: WebTenant, visitor: Visitor, name: str) -> PhoneLogin:
    """A phone that the visitor may see.

    :raises Ended: not found, whether there is none of that name or it is somebody else's.
    """
    login = await frame.gate.store.run(phones.of_name, name)
    if login is None or login.tenant != tenant.name:
        raise Ended(error_pages.NOT_FOUND, tenant)
    if not is_own(login, visitor) and not visitor.administers(tenant):
        raise Ended(error_pages.NOT_FOUND, tenant)
    return login


def is_own(login: PhoneLogin, visitor: Visitor) -> bool:
    """Whether a phone is one of the visitor's."""
    return any(account.id == login.account_id for account in visitor.accounts)


def phones_of(connection: Connection, tenant: WebTenant, visitor: Visitor) -> tuple[PhoneLogin, ...]:
    """The phones that the visitor may see, their own first, by name."""
    mine = phones.of_accounts(connection, [account.id for account in visitor.accounts])
    if not visitor.administers(tenant):
        return mine
    others = (one for one in phones.read_all(connection) if one.tenant == tenant.name and one not in mine)
    return (*mine, *others)


log = Logger()

# A person has a handful; a lift of them is a mistake, or worse.
MOST_PHONES = 50
# The owner of a phone of nobody's, in the form.
SHARED = "shared"
# What a QR code holds of the fields of any phone.
ON_CODE = ("Server", "Port", "Search base", "User name", "Password")

_WRONG_NAME = marked("Use 1 to 64 letters a-z, digits, dots, underscores and hyphens.")
_TAKEN = marked("There is a phone of that name already, here or elsewhere on this gateway: choose another.")
_PEM = "application/x-pem-file"


class Phones:
    """The pages about phones."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._gate = frame.gate.phones
        self._fresh = FreshPasswords()
        frame.parts.append(self.part)
        frame.topics.append(self.topics)

    def routes(self) -> tuple[Route, ...]:
        """The routes of these pages."""
        return (
            get("/<tenant>/phones", self._frame.home, Who.OF_TENANT),
            post("/<tenant>/phones", self.add),
            get("/<tenant>/phones/<name>", self.show, Who.SIGNED_IN),
            get("/<tenant>/phones/<name>/certificate.pem", self.certificate, Who.SIGNED_IN),
            get("/<tenant>/phones/<name>/settings/<vendor>", self.settings, Who.SIGNED_IN),
            post("/<tenant>/phones/<name>/reset", self.reset),
            post("/<tenant>/phones/<name>/remove", self.remove),
        )

    async def part(self, _call: Call, tenant: WebTenant, visitor: Visitor) -> Mapping[str, Any]:
        """One's phones, for one's own page (``my_phones.html``)."""
        mine, free = await self._frame.gate.store.run(_overview, visitor)
        return {"phones": [(login, self.state(login)) for login in mine], **_form(tenant, visitor, name=free)}

    async def topics(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Iterable[str]:
        """What open pages listen to: one's own phones, and the one that an administrator looks at."""
        mine, _ = await self._frame.gate.store.run(_overview, visitor)
        name = call.query.get("phone", "")
        looked_at = (await find_phone(self._frame, tenant, visitor, name),) if name else ()
        return [self.topic(login) for login in (*mine, *looked_at)]

    def topic(self, login: PhoneLogin) -> str:
        """What tells of a phone's searches."""
        return self._gate.bind_dn(login)

    async def show(self, call: Call, tenant: WebTenant, visitor: Visitor, name: str) -> Answer:
        """``/{tenant}/phones/{name}``: its state, its settings, its last searches."""
        login = await find_phone(self._frame, tenant, visitor, name)
        asked = call.query.get("vendor", "")
        fitting = vendors_of(login.model)
        chosen = VENDORS.get(asked, fitting[0])
        password = self._fresh.of(visitor.session, login.name, self._frame.now())
        habits = self._habits(login)
        seen = self._gate.searches(login)
        when = [one.search.when for one in seen[:1]]
        return self._frame.page(
            call,
            "phone.html",
            tenant=tenant,
            visitor=visitor,
            phone=login,
            model=MODELS[login.model].title if login.model in MODELS else "",
            state=self.state(login),
            password=password,
            qr=self._fresh.drawn(
                visitor.session, login.name, call.language, lambda: self._qr(call, tenant, login, password)
            ),
            vendors=[*fitting, *(vendor for vendor in VENDORS.values() if vendor not in fitting)],
            certificate=bool(await self._gate.certificate()),
            lines=lines(seen, habits),
            last_seen=max((one for one in (login.last_seen, login.searched_at, *when) if one), default=None),
            last_address=seen[0].search.address if seen else login.last_address,
            **self._sheet(tenant, login, chosen, password),
        )

    async def settings(self, _call: Call, tenant: WebTenant, visitor: Visitor, name: str, vendor: str) -> Answer:
        """``/{tenant}/phones/{name}/settings/{vendor}``: the vendor's file."""
        login = await find_phone(self._frame, tenant, visitor, name)
        found = VENDORS.get(vendor)
        if found is None or not found.file:
            raise Ended(error_pages.NOT_FOUND, tenant)
        password = self._fresh.of(visitor.session, login.name, self._frame.now())
        text = self._made(tenant, login, found, password).text
        if not text:
            raise Ended(error_pages.NOT_FOUND, tenant)
        return Answer(200, text.encode(), found.media_type, _attachment(found.file))

    async def certificate(self, _call: Call, tenant: WebTenant, visitor: Visitor, name: str) -> Answer:
        """``/{tenant}/phones/{name}/certificate.pem``: what the phone has to trust, where that is not public."""
        await find_phone(self._frame, tenant, visitor, name)
        text = await self._gate.certificate()
        if not text:
            raise Ended(error_pages.NOT_FOUND, tenant)
        return Answer(200, text.encode(), _PEM, _attachment("ldapgw-certificate.pem"))

    # --- forms ------------------------------------------------------------------------------------------------------

    async def add(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/phones``: a new phone; its page shows the password."""
        name, model = call.form.get("name", "").strip(), call.form.get("model", "")
        numbers, owner = call.form.get("numbers", ""), call.form.get("owner", "1")
        account = visitor.numbered(owner)
        shared = owner == SHARED and visitor.administers(tenant)
        if model not in {"", *MODELS} or numbers not in {"", *Numbers} or not (account or shared):
            raise Ended(error_pages.BAD_FORM, tenant)
        password = generate_password(self._frame.gate.random)
        login = PhoneLogin(
            name=name,
            tenant=tenant.name,
            account_id=account.id if account else None,
            numbers=Numbers(numbers) if numbers else _numbers_for(model),
            password=hash_password(password, self._frame.gate.random),
            created_at=self._frame.now(),
            model=model,
        )
        wrong = _WRONG_NAME if not stored.is_name(name) else await self._frame.gate.store.run(_add, login)
        if wrong:
            form = _form(tenant, visitor, name=name, model=model, numbers=numbers, owner=owner, wrong=wrong)
            return self._frame.page(call, "phone_new.html", tenant=tenant, visitor=visitor, status=400, **form)
        self._fresh.put(visitor.session, name, password, self._frame.now())
        await self._frame.gate.changed()
        self._log("added", call, visitor, login)
        return self._frame.back(tenant, "phone-added", f"phones/{login.name}")

    async def reset(self, call: Call, tenant: WebTenant, visitor: Visitor, name: str) -> Answer:
        """``POST /{tenant}/phones/{name}/reset``: a new password; the old one is refused from now on."""
        login = await find_phone(self._frame, tenant, visitor, name)
        password = generate_password(self._frame.gate.random)
        hashed = hash_password(password, self._frame.gate.random)
        if not await self._frame.gate.store.run(stored.set_password, login.name, hashed):
            raise Ended(error_pages.NOT_FOUND, tenant)
        self._fresh.forget(login.name)
        self._fresh.put(visitor.session, login.name, password, self._frame.now())
        await self._frame.gate.changed()
        self._log("got a new password", call, visitor, login)
        return self._frame.back(tenant, "phone-reset", f"phones/{login.name}")

    async def remove(self, call: Call, tenant: WebTenant, visitor: Visitor, name: str) -> Answer:
        """``POST /{tenant}/phones/{name}/remove``: its login is refused from now on."""
        login = await find_phone(self._frame, tenant, visitor, name)
        await self._frame.gate.store.run(stored.remove, login.name)
        self._fresh.forget(login.name)
        await self._frame.gate.changed()
        self._log("removed", call, visitor, login)
        return self._frame.back(tenant, "phone-removed")

    # --- parts ------------------------------------------------------------------------------------------------------

    def _habits(self, login: PhoneLogin) -> Habits:
        base = self._gate.base_dn(login.tenant)
        return Habits.of(base, login.model, per_number=login.numbers is Numbers.ENTRIES)

    def state(self, login: PhoneLogin) -> PhoneState:
        """How a phone does."""
        stranger = self._gate.stranger(login.last_address) if login.last_address else None
        return state(login, self._gate.searches(login), self._habits(login), stranger, self._frame.now())

    def _made(self, tenant: WebTenant, login: PhoneLogin, vendor: Vendor, password: str) -> Sheet:
        values = Settings(
            server=self._gate.server,
            base_dn=self._gate.base_dn(login.tenant),
            login=login.name,
            bind_dn=self._gate.bind_dn(login),
            password=password or PASSWORD,
            title=tenant.heading,
            per_number=login.numbers is Numbers.ENTRIES,
        )
        return sheet(vendor, values)

    def _sheet(self, tenant: WebTenant, login: PhoneLogin, vendor: Vendor, password: str) -> Mapping[str, Any]:
        made = self._made(tenant, login, vendor, password)
        return {
            "sheet": made,
            "vendor": vendor,
            "advice": [(one in GRAVE, ADVICE[one]) for one in made.advice],
            "has_tls": Advice.CERTIFICATE in made.advice,
            "bind_dn": self._gate.bind_dn(login),
        }

    def _qr(self, call: Call, tenant: WebTenant, login: PhoneLogin, password: str) -> Markup:
        """Everything that is entered into any phone, to be read by a camera."""
        made = self._made(tenant, login, VENDORS["other"], password)
        say = self._frame.pages.language(call.language).say
        text = "\n".join(f"{say(field.label)}: {field.value}" for field in made.fields if field.label in ON_CODE)
        return qr_code(text, say(marked("The settings of this phone as a QR code, with its password")))

    def _log(self, event: str, call: Call, visitor: Visitor, login: PhoneLogin) -> None:
        log.info(
            "web: phone {phone} of tenant {tenant} {event} by user {sub}, from {address}",
            phone=login.name,
            tenant=login.tenant,
            event=event,
            sub=visitor.person.sub,
            address=call.address,
        )


def _overview(connection: Connection, visitor: Visitor) -> tuple[tuple[PhoneLogin, ...], str]:
    """A person's phones, and a name that is free for the next."""
    mine = stored.of_accounts(connection, [account.id for account in visitor.accounts])
    person = re.sub(r"[^a-z0-9]+", "-", visitor.person.address.partition("@")[0].lower()).strip("-")[:40] or "phone"
    taken = stored.names(connection, f"{person}-")
    return mine, next(name for number in range(1, len(taken) + 2) if (name := f"{person}-{number}") not in taken)


def _add(connection: Connection, login: PhoneLogin) -> Said:
    """Store a phone; what speaks against it, or empty."""
    own = stored.of_accounts(connection, [login.account_id]) if login.account_id is not None else ()
    if len(own) >= MOST_PHONES:
        return marked("You have as many phones as a person may have: remove one first.")
    return "" if stored.add(connection, login) else _TAKEN


def _numbers_for(model: str) -> Numbers:
    return Numbers.ENTRIES if model and MODELS[model].per_number else Numbers.VALUES


def _form(tenant: WebTenant, visitor: Visitor, **filled: Any) -> Mapping[str, Any]:
    """The values of the form that adds a phone; without owners nobody may add one."""
    empty = {"name": "", "model": "", "numbers": "", "owner": "1", "wrong": ""}
    owners = [(str(number), account.address) for number, account in enumerate(visitor.accounts, start=1)]
    if visitor.administers(tenant):
        owners.append((SHARED, marked("Nobody’s: it finds only the shared contacts")))
    return {"new": {**empty, **filled}, "models": MODELS, "owners": owners}


def _attachment(file: str) -> Headers:
    return (("Content-Disposition", f'attachment; filename="{file}"'),)
