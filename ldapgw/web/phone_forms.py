# SPDX-License-Identifier: MIT
"""The forms that add, change, test, record and remove phones, and the pages that ask for confirmation first.

A new password is shown once, on the phone's page (`ldapgw.web.phone_pages`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import ceil

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.directory.clients import TokenBuckets
from ldapgw.directory.entry import PHONE_FORMATS
from ldapgw.directory.passwords import make_password
from ldapgw.numbers.numbering_plan import dialling
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.description import MODELS, OTHER_MODEL, number_mode, read_label, show_mac
from ldapgw.phones.provisioning.settings import ConnectionSettings, Step, StepResult, StepStatus, choose_endpoint
from ldapgw.phones.provisioning.vendors import vendors_of
from ldapgw.phones.rollout import TEXTS as IMPORT_TEXTS
from ldapgw.phones.rollout import find_owners, label_error, name_error, read_written_mac
from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.store import accounts, activity, phones, recordings
from ldapgw.store.activity import Act, ActivityEntry
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse
from ldapgw.web.layout import CONFIRMATIONS, Layout, RequiredRole, Route, Visit, get, post
from ldapgw.web.phone_pages import PhonePages, attachment, form_model, form_values, free_name, new_login

log = Logger()

# A person has a handful of phones; more phones than this are a mistake or an attack.
MAX_PHONES_PER_PERSON = 50
# A session may begin `TEST_BURST` connection tests at once, and then one more test after each interval.  At most
# `MAX_TESTS` tests of all sessions run at a time.
TEST_BURST = 5
TEST_INTERVAL_SECONDS = 12.0
MAX_TESTS = 8

NO_COMMON_PROTECTION = StepResult(
    Step.TLS, StepStatus.FAILED, gettext_noop("this phone supports no kind of connection that the gateway offers")
)

# A recording of a phone ends after this many seconds.
RECORDING_SECONDS = 600

_NO_LABEL = gettext_noop("Enter a label.")
_NO_MODEL = gettext_noop("Choose the phone’s model, or “Other or not sure”.")
_NAME_TAKEN = gettext_noop("There’s already a phone with this name on this gateway. Choose another name.")
# The other phone may belong to another person, so only administrators get the message with the phone's name.
_MAC_TAKEN = gettext_noop("Another phone has this MAC address already.")
_AREA_CODE = re.compile("[0-9]{0,6}")

# JSON lines have no registered media type.  With this type, a browser saves the file instead of showing the file.
_RECORDING_MEDIA_TYPE = "application/octet-stream"


class PhoneForms:
    """The forms about phones.

    :param pages: the pages that the forms lead to.
    """

    def __init__(self, layout: Layout, pages: PhonePages) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies.phones
        self._pages = pages
        self._test_limiter = TokenBuckets(TEST_BURST, TEST_INTERVAL_SECONDS, layout.dependencies.seconds)
        self._tests_running = 0

    def routes(self) -> tuple[Route, ...]:
        return (
            post("/<tenant>/phones", self.add, RequiredRole.PERSON),
            *(
                get(f"/<tenant>/phones/<name>/{act}", partial(self.ask, act), RequiredRole.SIGNED_IN)
                for act in CONFIRMATIONS.phones
            ),
            post("/<tenant>/phones/<name>/book-address", self.make_book_address, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/book-address/end", self.end_book_address, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/dialing", self.set_dialling, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/change", self.change, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/test", self.test, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/recording.jsonl", self.recording, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/record", self.record, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/reset", self.reset, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/leave", self.leave, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/remove", self.remove, RequiredRole.SIGNED_IN),
        )

    async def recording(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``/{tenant}/phones/{name}/recording.jsonl``: send the file of the phone's recording."""
        dependencies = self._layout.dependencies
        content = await dependencies.store.read(recordings.read_file, dependencies.secret_box, login.name)
        if content is None:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        entry = visit.entry(Act.RECORDING_DOWNLOADED, login.name)
        await dependencies.store.run(activity.record, entry)
        self._log("had its recording downloaded", visit, login)
        return HttpResponse(200, content.encode(), _RECORDING_MEDIA_TYPE, attachment(f"{login.name}.jsonl"))

    async def add(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/phones``: add a phone; the phone's page then shows the password."""
        choice = visit.form.get("model", "")
        numbers, owner = visit.form.get("numbers", ""), visit.form.get("owner", "1")
        account = visit.visitor.account_by_number(owner)
        if choice not in {"", OTHER_MODEL, *MODELS} or numbers not in {"", *NumberMode} or account is None:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        name, label, errors = await read_form_names(visit)
        login, password = new_login(visit, name, _own_accounts(visit, account.id), numbers)
        login = replace(login, label=label)
        errors |= {} if choice else {"model": _NO_MODEL}
        if not errors:
            errors = await visit.store.run(_add, login, visit.entry(Act.PHONE_ADDED, name))
        if errors:
            values = form_values(
                visit.visitor,
                name=visit.form.get("name", ""),
                label=visit.form.get("label", ""),
                model=choice,
                placeholder=login.placeholder,
                numbers=numbers,
                owner=owner,
                also=_also(visit),
                errors=errors,
            )
            return await visit.page("phone_new.html", status=400, **values)
        self._pages.show_password(visit.visitor, name, password)
        return await self._done(visit, login, "was added", "phone-added")

    async def reset(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/reset``: generate a new password; the old password is refused at once."""
        password, hashed = make_password(self._layout.dependencies.random)
        entry, now = visit.entry(Act.PHONE_PASSWORD, login.name), self._layout.now()
        if not await visit.change(entry, phones.set_password, login.name, hashed, now):
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        self._pages.keep(visit.visitor, login, password)
        return await self._done(visit, login, "got a new password", "phone-reset")

    async def test(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/test``: test the phone's connection, and the login if a password is known."""
        wait = self._test_limiter.take(visit.visitor.session)
        if wait or self._tests_running >= MAX_TESTS:
            raise PageError(error_pages.PAGES.too_many, visit.tenant, headers=(("Retry-After", str(ceil(wait) or 10)),))
        endpoint = choose_endpoint(self._dependencies.server, vendors_of(login.model)[0].supported_security)
        if endpoint is None:
            return await self._pages.show(visit, login, (NO_COMMON_PROTECTION,))
        password = visit.form.get("password", "").strip()
        password = password or self._pages.new_password(visit.visitor, login)
        access = ConnectionSettings(
            endpoint,
            self._dependencies.activity.bind_dn(login),
            self._dependencies.activity.base_dn(login.tenant),
            password,
            self._dependencies.certificate(),
            self._dependencies.site(visit.tenant).ca_url,
        )
        self._tests_running += 1
        try:
            steps = await self._dependencies.try_connection(access)
        finally:
            self._tests_running -= 1
        return await self._pages.show(visit, login, steps)

    async def make_book_address(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/book-address``: make a secret address, and end the former address."""
        secret, hashed = make_password(self._layout.dependencies.random)
        if not await visit.change(
            visit.entry(Act.BOOK_ADDRESS_MADE, login.name), phones.set_book_secret, login.name, hashed
        ):
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        self._pages.one_time.book_secrets.forget(login.name)
        self._pages.one_time.book_secrets.add(visit.visitor.session, login.name, secret, self._layout.now())
        return await self._done(visit, login, "got a secret address", "address-made")

    async def end_book_address(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/book-address/end``: end the secret address, which is refused at once."""
        entry = visit.entry(Act.BOOK_ADDRESS_ENDED, login.name)
        if not await visit.change(entry, phones.set_book_secret, login.name, ""):
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        self._pages.one_time.book_secrets.forget(login.name)
        return await self._done(visit, login, "lost its secret address", "address-ended")

    async def set_dialling(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/dialing``: set the number format and the area code of a phone.

        An empty field stands for the tenant's number format or area code.
        """
        form, area_code = visit.form.get("number_format"), visit.form.get("area_code", "").strip()
        if form not in {"", *PHONE_FORMATS} or not _AREA_CODE.fullmatch(area_code):
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        number_format = NumberFormat(form) if form else None
        area_code = dialling(visit.tenant.region).area_code(area_code)
        entry = visit.entry(Act.PHONE_NUMBER_FORMAT, login.name, " ".join(filter(None, (form, area_code))))
        if not await visit.change(entry, phones.set_dialling, login.name, number_format, area_code):
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        return await self._done(visit, login, "got other settings for dialing", "dialing-set")

    async def change(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/change``: change ``name``, ``label``, ``model``, ``mac`` or the owners.

        With ``new_password``, a phone that gets other owners also gets a new password.
        """
        new_name, choice = visit.form.get("name", "").strip(), visit.form.get("model", "")
        label = visit.form.get("label", login.label)
        if choice not in {OTHER_MODEL, *MODELS} or "owner" not in visit.form:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        owners = await self._new_owners(visit, login, visit.form["owner"].strip())
        if owners is None:
            return visit.redirect("phone-owner-unknown", f"phones/{login.name}")
        mac, mac_error = read_written_mac(visit.form.get("mac", login.mac))
        if errors := _only_errors(name=name_error(new_name), label=label_error(label), mac=mac_error):
            return await self._pages.show(visit, login, errors=errors)
        model, placeholder = form_model(visit)
        numbers = login.numbers if model == login.model else number_mode(model)
        new = replace(
            login,
            name=new_name,
            model=model,
            numbers=numbers,
            placeholder=placeholder,
            mac=mac,
            label=read_label(label),
        ).with_accounts(owners)
        is_moved, password = new.account_ids != login.account_ids, ""
        if is_moved and visit.form.get("new_password"):
            password, hashed = make_password(self._layout.dependencies.random)
            new = replace(new, password=hashed)
        acts = [
            ((new.model, new.placeholder) != (login.model, login.placeholder), Act.PHONE_MODEL, choice),
            (new.mac != login.mac, Act.PHONE_MAC, show_mac(mac)),
            (new.label != login.label, Act.PHONE_LABEL, new.label),
            (is_moved, Act.PHONE_MOVED, ""),
            (bool(password), Act.PHONE_PASSWORD, ""),
            (new.name != login.name, Act.PHONE_RENAMED, new_name),
        ]
        entries = [visit.entry(act, login.name, detail) for is_new, act, detail in acts if is_new]
        taken = await visit.store.run(_change, login, new, entries, self._layout.now())
        if taken is None:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        if taken:
            if "mac" in taken and not visit.is_by_admin:
                taken = {"mac": _MAC_TAKEN}
            return await self._pages.show(visit, login, errors=taken)
        if new.name != login.name:
            self._pages.one_time.forget(login.name)
        if password:
            self._pages.keep(visit.visitor, new, password)
        message = "phone-moved" if password else "phone-changed"
        return await self._done(visit, new, "was changed", message)

    async def _new_owners(self, visit: Visit, login: PhoneLogin, owner: str) -> Sequence[int] | None:
        """Return the accounts that the form names, or None if an account is unknown.

        A visitor who is no administrator chooses among the visitor's own accounts; the other owners stay.

        :param owner: from an administrator, the addresses of accounts, or an empty text for nobody; from any other
            visitor, the ``sub`` of one of the visitor's own accounts.
        :raises PageError: when no account of the visitor has the ``sub``.
        """
        if visit.is_by_admin:
            if owner == ", ".join(await visit.store.read(accounts.read_addresses_of, login.account_ids)):
                return login.account_ids
            known = await visit.store.read(accounts.read_addresses, visit.tenant.name)
            return find_owners(owner, {address.lower(): account_id for account_id, address in known})
        own = {account.sub: account.id for account in visit.visitor.accounts}
        if owner not in own:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        chosen, others = _own_accounts(visit, own[owner]), visit.others_of(login)
        before = [account_id for account_id in login.account_ids if account_id not in others]
        if before and (chosen[0], {*chosen}) == (before[0], {*before}):
            return login.account_ids
        return (*others, *chosen) if login.account_id in others else (*chosen, *others)

    async def record(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/record``: begin a recording, end the recording, or delete its file."""
        store, now = visit.store, self._layout.now()
        message = ""
        match visit.form.get("action", ""):
            case "start":
                entry = visit.entry(Act.RECORDING_BEGUN, login.name)
                refused = await store.run(_begin_recording, login.name, now, entry)
                if refused is recordings.NotBegun.NO_PHONE:
                    raise PageError(error_pages.PAGES.not_found, visit.tenant)
                message = "recording-refused" if refused is recordings.NotBegun.TOO_MANY else "recording-began"
                if refused is None:
                    self._log("is being recorded", visit, login)
            case "stop":
                await visit.change(visit.entry(Act.RECORDING_ENDED, login.name), recordings.end, login.name, now)
            case "delete":
                await visit.change(visit.entry(Act.RECORDING_DELETED, login.name), recordings.remove, login.name)
                message = "recording-deleted"
            case _:
                raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        return await visit.done(message, f"phones/{login.name}")

    async def remove(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/remove``: remove a phone; the phone's login is refused at once.

        Only an administrator removes a phone that has other owners too.
        """
        if visit.others_of(login) and not visit.is_by_admin:
            return visit.redirect("", f"phones/{login.name}/leave")
        if not await visit.change(visit.entry(Act.PHONE_REMOVED, login.name), phones.remove, login.name):
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        self._pages.one_time.forget(login.name)
        self._log("was removed", visit, login)
        return await visit.done("phone-removed", "phones" if visit.owns(login) else "admin/phones")

    async def leave(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/leave``: take the visitor's accounts away from a phone with other owners."""
        own = [account.id for account in visit.visitor.accounts]
        if not await visit.change(visit.entry(Act.PHONE_MOVED, login.name), phones.leave, login.name, own):
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        self._pages.one_time.forget(login.name)
        self._log("lost an owner", visit, login)
        return await visit.done("phone-left", "phones")

    async def ask(self, act: str, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``GET /{tenant}/phones/{name}/{act}``: ask before an act, a key of `CONFIRMATIONS.phones`."""
        return await visit.confirmation(
            CONFIRMATIONS.phones[act],
            {"phone": login.title},
            action=f"phones/{login.name}/{act}",
            cancel=f"phones/{login.name}",
            fields={"action": "delete"} if act == "record" else {},
        )

    async def _done(self, visit: Visit, login: PhoneLogin, what: str, message: str) -> HttpResponse:
        """Apply and log a change of a phone, and redirect to the phone's page.

        :param what: the change, for the log.
        """
        self._log(what, visit, login)
        return await visit.done(message, f"phones/{login.name}")

    def _log(self, act: str, visit: Visit, login: PhoneLogin) -> None:
        log.info(
            "web: phone {phone} of tenant {tenant} {act} by user {sub}, from {address}",
            event="phone_changed",
            phone=login.name,
            tenant=login.tenant,
            account=login.account_id,
            act=act,
            sub=visit.visitor.person.sub,
            address=visit.request.address,
        )


def _begin_recording(
    connection: Connection, phone: str, now: float, entry: ActivityEntry
) -> recordings.NotBegun | None:
    refused = recordings.begin(connection, phone, now, now + RECORDING_SECONDS, is_plain=False)
    if refused is None:
        activity.record(connection, entry)
    return refused


def _add(connection: Connection, login: PhoneLogin, entry: ActivityEntry) -> dict[str, Translatable]:
    """Store a phone.

    :returns: the reason why the phone cannot be added, by the name of the form's field; empty if the phone is stored.
    """
    if len(phones.read_by_accounts(connection, login.account_ids)) >= MAX_PHONES_PER_PERSON:
        return {"label": gettext_noop("You’ve reached the maximum number of phones. Remove one first.")}
    return {} if activity.recorded(connection, entry, phones.add, login) else {"name": _NAME_TAKEN}


def _change(
    connection: Connection, login: PhoneLogin, new: PhoneLogin, entries: Sequence[ActivityEntry], now: float
) -> dict[str, Translatable] | None:
    """Store the changed name, label, model, MAC address, owner and password of a phone.

    :returns: the errors by the names of the form's fields; if another phone has the name or the MAC address, there is
        an error, and nothing is stored.  The result is None if the phone was removed meanwhile.
    """
    if phones.read_by_name(connection, login.name) is None:
        return None
    if mac_error := taken_mac(connection, new, login.name):
        return {"mac": mac_error}
    if new.name != login.name and not phones.rename(connection, login.name, new.name):
        return {"name": _NAME_TAKEN}
    phones.set_label(connection, new.name, new.label)
    phones.set_mac(connection, new.name, new.mac)
    phones.set_model(connection, new.name, new.model, new.numbers, new.placeholder)
    phones.set_accounts(connection, new.name, new.account_ids)
    if new.password != login.password:
        phones.set_password(connection, new.name, new.password, now)
    activity.record(connection, *entries)
    return {}


def _also(visit: Visit) -> frozenset[int]:
    """Return which accounts a form chooses as further owners, as positions on the visitor's page, counted from 1."""
    numbers = range(1, len(visit.visitor.accounts) + 1)
    return frozenset(number for number in numbers if visit.form.get(f"also-{number}"))


def _own_accounts(visit: Visit, first: int) -> tuple[int, ...]:
    """Return the visitor's accounts that a form chooses as owners, with the account `first` at the beginning."""
    also = _also(visit)
    further = [account.id for number, account in enumerate(visit.visitor.accounts, start=1) if number in also]
    return (first, *(account_id for account_id in further if account_id != first))


def _only_errors(**errors: Translatable) -> dict[str, Translatable]:
    """Return the errors that are not empty, by the names of the form's fields."""
    return {name: error for name, error in errors.items() if error}


async def read_form_names(visit: Visit) -> tuple[str, str, dict[str, Translatable]]:
    """Return the sign-in name and the label in a form that adds a phone, and the errors by the names of the fields.

    If the form has no sign-in name, the name is made from the label.
    """
    name, label = visit.form.get("name", "").strip(), visit.form.get("label", "").strip()
    if not name and not label:
        return name, label, {"label": _NO_LABEL}
    if label_wrong := label_error(label):
        return name, label, {"label": label_wrong}
    name = name or await visit.store.read(free_name, label)
    return name, read_label(label), _only_errors(name=name_error(name))


def taken_mac(connection: Connection, login: PhoneLogin, former_name: str = "") -> Translatable:
    """Return an error message if another phone has the MAC address of a phone; otherwise, return an empty text.

    :param former_name: the phone's name in the database, if the phone is stored.
    """
    other = phones.read_by_mac(connection, login.tenant, login.mac) if login.mac else None
    if other is None or other.name == former_name:
        return ""
    return Phrase(IMPORT_TEXTS.taken_mac, {"phone": other.name})
