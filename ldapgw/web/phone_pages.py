# SPDX-License-Identifier: MIT
"""The phone pages: a phone's settings, state and recent searches, with its new password and a QR code.

A phone is visible to its owners and to the tenant's administrators; for everybody else the phone does not exist.  A new
password stays in memory for ten minutes, for the session that made the password.  A single view would not be enough,
because the page shows the password in the settings of the chosen vendor, and the visitor may choose another vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import segno
from markupsafe import Markup
from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.directory.entry import PHONE_FORMATS
from ldapgw.directory.passwords import make_password, verify_password
from ldapgw.phones.activity import decode_search
from ldapgw.phones.book_formats import XML_BOOKS
from ldapgw.phones.description import MODELS, OTHER_MODEL, number_mode, show_mac, sign_in_name, title_of
from ldapgw.phones.hints import DecodedSearch, PhoneProfile
from ldapgw.phones.logged_search import LoggedSearch
from ldapgw.phones.provisioning.settings import PLACEHOLDERS, StepResult
from ldapgw.phones.provisioning.sheet import Sheet, fields_by_hand, has_our_labels, make_sheet, settings_of
from ldapgw.phones.provisioning.vendors import Advice, Vendor, all_vendors, vendors_of
from ldapgw.phones.provisioning.window import DhcpSetting, dhcp_settings, fetching_vendor, window_address
from ldapgw.phones.refused_logins import UnknownLogin
from ldapgw.phones.rollout import NewPhone, print_sheet
from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.store import accounts, phones, provisioning, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin, Refusal
from ldapgw.store.provisioning import Mistake, ProvisioningAddress, ProvisioningWindow, WindowPhone
from ldapgw.store.recordings import StoredRecording
from ldapgw.store.secrets import SecretBox
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import Headers, HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS
from ldapgw.web.phone_texts import (
    ADMINISTRATORS_ADVICE,
    ADVICE,
    ADVICE_FOR_ADMINISTRATORS,
    ADVICE_NAMING_ADMINISTRATOR,
    NUMBER_FORMATS,
    SERIOUS_ADVICE,
    PhoneState,
    hints_to_fix,
    phone_state,
    search_log_line,
)
from ldapgw.web.sessions import Visitor

log = Logger()

# The maximum number of characters of a menu's name, which a person enters in a report about a step of the setup.
MAX_MENU = 60

# The width and the height, in pixels, of each small square (module) of a QR code.
_SCALE = 4

_QR_CODE_TITLE = gettext_noop("The provisioning address of this phone as a QR code")


def qr_code(text: str, title: str) -> Markup:
    """Return a QR code as inline SVG, which needs no file, no script and no style.

    The code is black on white in every colour scheme of the page, so that cameras can read the code.

    :param title: description of the content, for screen readers.
    """
    code = segno.make(text, micro=False, boost_error=False)
    # With a view box, the QR code shrinks in a narrow window; with only a width and a height, the QR code would be cut
    # off.
    svg = code.svg_inline(omitsize=True, dark="#000", light="#fff", svgclass="qr", lineclass=None, title=title)
    width, height = code.symbol_size(scale=_SCALE)
    # segno escapes the title; everything else is numbers.
    return Markup(svg.replace("<svg ", f'<svg role="img" width="{width}" height="{height}" ', 1))  # noqa: S704


def _sent_values(visit: Visit) -> dict[str, Any]:
    """Return the values of the sent form that changes a phone."""
    sent = {name: visit.form.get(name, "") for name in ("name", "label", "model", "placeholder", "mac", "owner")}
    return {**sent, "new_password": bool(visit.form.get("new_password"))}


# Makes the state of a phone from the phone's last searches, on any thread.
_StateMaker = Callable[[Sequence[DecodedSearch]], PhoneState]


def _make_all(makers: Mapping[str, tuple[_StateMaker, Iterable[LoggedSearch]]]) -> Mapping[str, PhoneState]:
    return {name: make(tuple(map(decode_search, logged))) for name, (make, logged) in makers.items()}


def _search_values(
    login: PhoneLogin,
    logged: Iterable[LoggedSearch],
    profile: PhoneProfile,
    region: str,
    make_state: _StateMaker,
) -> Mapping[str, Any]:
    """Return the values of a phone's page that are made from the phone's last searches, which takes milliseconds."""
    searches = tuple(map(decode_search, logged))
    return {
        "state": make_state(searches),
        "lines": [search_log_line(decoded, region) for decoded in searches],
        "hints": hints_to_fix(login, searches, profile),
    }


def visible_phones(connection: Connection, visit: Visit) -> tuple[PhoneLogin, ...]:
    """Return the phones that the visitor may see, sorted by name; the visitor's own phones come first."""
    own_phones = _own_phones(connection, visit.visitor)
    if not visit.is_by_admin:
        return own_phones
    own_names = {login.name for login in own_phones}
    known = phones.read_by_tenant(connection, visit.tenant.name)
    return (*own_phones, *(login for login in known if login.name not in own_names))


class PhonePages:
    """The pages of phones.

    :ivar one_time: passwords and secrets that were made in the last minutes.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies.phones
        self.one_time = self._dependencies.one_time

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/phones", self.list_phones, RequiredRole.PERSON),
            get("/<tenant>/phones/<name>", self.show, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/sheet", self.print_sheet, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/settings/<vendor>", self.settings, RequiredRole.SIGNED_IN),
        )

    async def list_values(self, visit: Visit) -> Mapping[str, Any]:
        """Return the template values of the visitor's phones (``phone_list.html``, ``phones.html``)."""
        logins = await visit.store.read(_own_phones, visit.visitor)
        label, _, _ = visit.visitor.person.address.partition("@")
        states = await self.states(logins)
        return {
            "phones": [(login, states[login.name]) for login in logins],
            "model_titles": {key: model.title for key, model in MODELS.items()},
            **form_values(visit.visitor, label=await visit.store.read(free_name, label)),
        }

    async def topics(self, visit: Visit) -> Iterable[str]:
        """Return the topics of the visitor's own phones, and of the phone on the open page."""
        logins = await visit.store.read(_own_phones, visit.visitor)
        name = visit.query.get("phone", "")
        shown = (await visit.find_phone(name),) if name else ()
        return [self.topic(login) for login in (*logins, *shown)]

    def show_password(self, visitor: Visitor, name: str, password: str) -> None:
        """Let a new phone's page show the password for `PASSWORD_SECONDS`, in the visitor's session."""
        self.one_time.passwords.add(visitor.session, name, password, self._layout.now())

    def new_password(self, visitor: Visitor, login: PhoneLogin) -> str:
        """Return a phone's password if the visitor's session made the password in the last minutes, or else "".

        The password in memory is compared with the stored hash, because a command may have replaced the password, or
        another phone may have got the name of a removed phone.
        """
        password = self.one_time.passwords.get(visitor.session, login.name, self._layout.now())
        return password if verify_password(password.encode(), login.password) else ""

    def is_shown_elsewhere(self, visitor: Visitor, login: PhoneLogin) -> bool:
        """Return whether the phone has a new password that this gateway cannot show, but another gateway may show."""
        is_new = self._layout.now() - login.password_made_at < PASSWORD_SECONDS
        return is_new and self._layout.dependencies.is_shared and not self.new_password(visitor, login)

    def topic(self, login: PhoneLogin) -> str:
        """Return the topic of a phone's searches."""
        return self._dependencies.activity.bind_dn(login)

    async def list_phones(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/phones``: show the visitor's phones, and the form that adds a phone."""
        return await visit.page("phones.html", **await self.list_values(visit))

    async def show(
        self,
        visit: Visit,
        login: PhoneLogin,
        steps: Sequence[StepResult] = (),
        *,
        errors: Mapping[str, Translatable] = MappingProxyType({}),
    ) -> HttpResponse:
        """``/{tenant}/phones/{name}``: show the phone's state, settings for ``vendor``, and last searches.

        :param steps: the steps of a connection test, if a test was made.
        :param errors: the reasons why the sent form cannot be stored, by the names of its fields.  If there are errors,
            the form on the page has the values that were sent.
        """
        model_vendors = vendors_of(login.model)
        vendor = all_vendors().get(visit.query.get("vendor", ""), model_vendors[0])
        password = self.new_password(visit.visitor, login)
        searches = self._dependencies.activity.logged_searches(login)
        times = (login.last_seen, login.searched_at, *(search.when for search in searches[:1]))
        has_unused_password = self._dependencies.refused_logins.latest(login).has_unused_password
        provisioned = await self._provisioning_values(visit, login, vendor)
        address: ProvisioningAddress | None = provisioned["provisioning"]
        has_fetched = bool(address.fetches if address else provisioned["window_fetch"] and login.next_password)
        render = self._layout.dependencies.render_off_thread
        sheet_values = await render(partial(self._sheet_values, visit, login, vendor, password))
        ways = _ways(sheet_values["sheet"])
        owners = await visit.store.read(accounts.read_addresses_of, login.account_ids)
        make_state = self.state_maker(login, has_address=address is not None, has_fetched=has_fetched)
        return await visit.page(
            "phone.html",
            status=400 if errors else 200,
            phone=login,
            is_own=visit.owns(login),
            model=title_of(login.model),
            password=password,
            is_shown_elsewhere=self.is_shown_elsewhere(visit.visitor, login),
            vendors=model_vendors,
            has_unused_password=has_unused_password,
            **await render(
                partial(_search_values, login, searches, self._profile(login), visit.tenant.region, make_state)
            ),
            elsewhere=self._refused_elsewhere(visit, login),
            unfit=self._unfit_client(login, address),
            last_seen=max((time for time in times if time), default=None),
            last_address=searches[0].address if searches else login.last_address,
            steps=steps,
            number_formats=[(form, NUMBER_FORMATS[form]) for form in PHONE_FORMATS],
            tenant_format=NUMBER_FORMATS[visit.tenant.number_format],
            owners=owners,
            is_shared=bool(visit.others_of(login)),
            change=await self._change_values(visit, login, owners) | (_sent_values(visit) if errors else {}),
            errors=errors,
            models=MODELS,
            placeholders=PLACEHOLDERS,
            **provisioned,
            http=self._http_addresses(visit, login, vendor),
            **sheet_values,
            ways=ways,
            chosen_way="address" if address else ways[0],
        )

    async def settings(self, visit: Visit, login: PhoneLogin, vendor: str) -> HttpResponse:
        """``/{tenant}/phones/{name}/settings/{vendor}``: send the provisioning file for the vendor's phones."""
        file_vendor = all_vendors().get(vendor)
        if file_vendor is None or not file_vendor.file:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        password = self.new_password(visit.visitor, login)
        text = make_sheet(file_vendor, settings_of(login, self._dependencies.site(visit.tenant), password)).text
        if not text:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        return HttpResponse(200, text.encode(), file_vendor.media_type, attachment(file_vendor.file))

    async def print_sheet(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``/{tenant}/phones/{name}/sheet``: show a page to print, with the values to enter and the steps to take."""
        vendor = vendors_of(login.model)[0]
        password = self.new_password(visit.visitor, login)
        provisioned = await self._provisioning_values(visit, login, vendor)
        return await visit.page(
            "phone_sheet.html",
            sheets=[
                print_sheet(
                    NewPhone(login, password),
                    self._dependencies.site(visit.tenant),
                    code=provisioned["provisioning_qr_code"] if provisioned["provisioning"] else "",
                )
            ],
            phone_url=f"{visit.home}phones/{login.name}",
            is_own=visit.owns(login),
        )

    def keep(self, visitor: Visitor, login: PhoneLogin, password: str, address: str = "") -> None:
        """Keep a phone's new password for its page, and forget the phone's former password and secret addresses.

        :param address: the secret of a provisioning address that was made with the password.
        """
        self.one_time.forget(login.name)
        self.show_password(visitor, login.name, password)
        if address:
            self.one_time.addresses.add(visitor.session, login.name, address, self._layout.now())

    # --- values for the templates -----------------------------------------------------------------------------------

    def _profile(self, login: PhoneLogin) -> PhoneProfile:
        return PhoneProfile.for_login(self._dependencies.activity.base_dn(login.tenant), login)

    async def states(self, logins: Iterable[PhoneLogin]) -> Mapping[str, PhoneState]:
        """Return the states of phones, by the phones' names.

        The states of 50 phones take 15 ms, so a thread makes the states.
        """
        logged = self._dependencies.activity.logged_searches
        makers = {login.name: (self.state_maker(login), logged(login)) for login in logins}
        states: Mapping[str, PhoneState] = await self._layout.dependencies.render_off_thread(partial(_make_all, makers))
        return states

    def state_maker(self, login: PhoneLogin, *, has_address: bool = False, has_fetched: bool = False) -> _StateMaker:
        """Return a function that makes the state of a phone on any thread, from values that were read at this call.

        :param has_address: as in `phone_state`.
        :param has_fetched: as in `phone_state`.
        """
        login = self._dependencies.refused_logins.latest(login)
        search_log, address = self._dependencies.activity.search_log, login.last_address
        return partial(
            phone_state,
            login,
            profile=self._profile(login),
            anonymous_refused_at=search_log.last_refusal(address) if address else None,
            now=self._layout.now(),
            has_address=has_address,
            has_fetched=has_fetched,
        )

    def _refused_elsewhere(self, visit: Visit, login: PhoneLogin) -> Refusal | None:
        """Return the refused logins from sites other than the phone's site, or None if there are none.

        Only administrators get the refused logins.
        """
        if not visit.is_by_admin:
            return None
        refused = self._dependencies.refused_logins.elsewhere(visit.tenant.name)
        return next((entry.refused for entry in refused if entry.phone == login.name), None)

    def _unfit_client(
        self, login: PhoneLogin, provisioning: ProvisioningAddress | None
    ) -> tuple[UnknownLogin, Mistake] | None:
        """Return the last client that failed to connect after the phone's last login.

        Only clients with an address of the phone count.
        """
        login = self._dependencies.refused_logins.latest(login)
        places = {login.last_address, login.refused and login.refused.address}
        places |= {fetch.address for fetch in provisioning.fetches} if provisioning else set()
        sites = {phones.site_of(place) for place in places if place}
        clients = self._dependencies.refused_logins.unfit_clients(login.tenant, sites)
        since = login.last_seen or 0.0
        return next((found for found in clients if found[0].address in places and found[0].when > since), None)

    def _sheet_values(self, visit: Visit, login: PhoneLogin, vendor: Vendor, password: str) -> Mapping[str, Any]:
        settings = settings_of(login, self._dependencies.site(visit.tenant), password)
        sheet = make_sheet(vendor, settings)
        # Only administrators can change what the gateway itself offers, so only administrators are warned.
        serious = SERIOUS_ADVICE if visit.is_by_admin else SERIOUS_ADVICE - ADVICE_FOR_ADMINISTRATORS
        return {
            "sheet": sheet,
            "fields": fields_by_hand(sheet, settings),
            "has_our_labels": has_our_labels(vendor),
            "steps_way": "file" if sheet.text and not sheet.fields else "values",
            "vendor": vendor,
            "max_menu": MAX_MENU,
            "advice": [(advice in serious, *self._advice(visit, advice)) for advice in sheet.advice],
            "advice_names_administrator": not (
                visit.is_by_admin or ADVICE_NAMING_ADMINISTRATOR.isdisjoint(sheet.advice)
            ),
            "has_tls": Advice.CERTIFICATE in sheet.advice,
            "bind_dn": self._dependencies.activity.bind_dn(login),
        }

    def _advice(self, visit: Visit, advice: Advice) -> tuple[Translatable, str]:
        """Return the text of an `Advice` for the visitor, and the page of the documentation about the advice, or ""."""
        own = ADMINISTRATORS_ADVICE.get(advice) if visit.is_by_admin else None
        if own is None:
            return ADVICE[advice], ""
        return Phrase(own.sentence, {"file": self._layout.dependencies.admin.config_file}), own.document

    def _http_addresses(self, visit: Visit, login: PhoneLogin, vendor: Vendor) -> Mapping[str, str]:
        """Return the addresses for phones and PBXs without LDAP; an address that must not be shown is empty."""
        tenant_url = visit.url
        xml_vendor = vendor.key.partition("-")[0]
        secret = self.one_time.book_secrets.get(visit.visitor.session, login.name, self._layout.now())
        if not login.book_secret or not verify_password(secret.encode(), login.book_secret):
            secret = ""  # the secret address has ended or was replaced
        is_xml = xml_vendor in XML_BOOKS
        book = f"{xml_vendor}.xml" if is_xml else "contacts.json"
        return {
            "xml_book": f"{tenant_url}book/{book}" if is_xml else "",
            "feed": "" if is_xml else f"{tenant_url}book/{book}",
            "secret_book": f"{tenant_url}book/{login.name}.{secret}/{book}" if secret else "",
            "address_books": f"{tenant_url}dav/",
            "caller": f"{tenant_url}caller?number=",
            "photo": f"{tenant_url}photo/" if visit.tenant.photos else "",
            "secret_photo": f"{tenant_url}photo/{login.name}.{secret}/" if visit.tenant.photos and secret else "",
        }

    async def _change_values(self, visit: Visit, login: PhoneLogin, owners: Sequence[str]) -> dict[str, Any]:
        """Return the values of the form that changes a phone.

        Administrators enter the owners' addresses, because a list of hundreds of accounts would be too long.

        :param owners: the addresses of the phone's owners.
        """
        stored = {
            "name": login.name,
            "label": login.label,
            "model": login.model or OTHER_MODEL,
            "placeholder": login.placeholder,
            "mac": show_mac(login.mac),
            "new_password": True,
        }
        if visit.is_by_admin:
            return {**stored, "enters_owner": True, "owner": ", ".join(owners)}
        own = {account.id: account for account in visit.visitor.accounts}
        chosen = [own[account_id] for account_id in login.account_ids if account_id in own]
        return {
            **stored,
            "enters_owner": False,
            "owners": [(account.sub, account.address) for account in visit.visitor.accounts],
            "owner": chosen[0].sub if chosen else "",
            "also": {visit.visitor.number_of(account) for account in chosen[1:]},
        }

    async def _provisioning_values(self, visit: Visit, login: PhoneLogin, vendor: Vendor) -> Mapping[str, Any]:
        """Return the template values of the phone's provisioning address and recording.

        A URL that must not be shown is empty.
        """
        now = self._layout.now()
        secret = self.one_time.addresses.get(visit.visitor.session, login.name, now)
        url = f"{visit.url}provision/{login.name}.{secret}/"
        title = self._layout.renderer.language(visit.request.language).translate(_QR_CODE_TITLE)
        code = self.one_time.addresses.cached_qr_code(
            visit.visitor.session, login.name, visit.request.language, lambda: qr_code(url, title)
        )
        address, window_fetch, window, recording = await visit.store.read(
            _read_provisioning, login, self._layout.dependencies.secret_box, now
        )
        files = (vendor.file, *(other.file for other in vendors_of(login.model)), all_vendors()["other"].file)
        return {
            "recording": recording,
            "is_recorded": recording is not None and recording.is_running(now),
            "provisioning": address,
            "window_fetch": window_fetch,
            "dhcp": self._dhcp_settings(visit, login, window),
            "provisioning_url": url if secret else "",
            "provisioning_file": next(filter(None, files)),
            "provisioning_qr_code": code,
        }

    def _dhcp_settings(
        self, visit: Visit, login: PhoneLogin, window: ProvisioningWindow | None
    ) -> Sequence[DhcpSetting]:
        """Return the DHCP option with the URL of the provisioning window; only administrators get the option."""
        vendor = fetching_vendor(login.model)
        if window is None or vendor is None or not visit.is_by_admin:
            return ()
        return dhcp_settings([vendor], window_address(visit.url, window))


def _ways(sheet: Sheet) -> Sequence[str]:
    """Return the ways to set up a phone, the recommended way first.

    A provisioning address is recommended for phones that ask for a file with their MAC address in its name, and that
    keep their other settings.
    """
    by_hand = [way for way, is_possible in (("file", sheet.text), ("values", sheet.link)) if is_possible]
    if sheet.fields:
        by_hand.reverse()
    takes_address = sheet.text and sheet.vendor.mac_files and not sheet.vendor.replaces_settings
    return ["address", *by_hand] if takes_address else [*by_hand, "address"]


def _read_provisioning(
    connection: Connection, login: PhoneLogin, secret_box: SecretBox, now: float
) -> tuple[ProvisioningAddress | None, WindowPhone | None, ProvisioningWindow | None, StoredRecording | None]:
    # All values are read in one call, because each call is a transaction of its own on another thread.
    return (
        provisioning.read_address(connection, login.name, now),
        provisioning.read_window_fetch(connection, login.name),
        provisioning.read_window(connection, login.tenant, secret_box),
        recordings.read(connection, login.name),
    )


def free_name(connection: Connection, label: str) -> str:
    """Return a sign-in name that is made from a label, and that no phone has yet."""
    # Every name that `sign_in_name` returns for this label has this beginning.
    beginning = sign_in_name(label, ())[:50]
    return sign_in_name(label, phones.read_names(connection, beginning))


def _own_phones(connection: Connection, visitor: Visitor) -> tuple[PhoneLogin, ...]:
    return phones.read_by_accounts(connection, [account.id for account in visitor.accounts])


def form_model(visit: Visit) -> tuple[str, str]:
    """Return the model that a form names, and an empty placeholder.

    If the form names no model, or `OTHER_MODEL`, return an empty model and the placeholder that the form names.  Phones
    replace a placeholder in their search filters by the text that the user has typed.

    :raises PageError: when no phone has such a placeholder.
    """
    choice, placeholder = visit.form.get("model", ""), visit.form.get("placeholder", "")
    if placeholder not in {"", *PLACEHOLDERS}:
        raise PageError(error_pages.PAGES.bad_form, visit.tenant)
    return ("", placeholder) if choice in ("", OTHER_MODEL) else (choice, "")


def new_login(visit: Visit, name: str, account_ids: Sequence[int], numbers: str = "") -> tuple[PhoneLogin, str]:
    """Return a new phone of the model that a form names, and the phone's password.

    :param account_ids: the accounts of the phone's owners.
    :param numbers: a `NumberMode`; empty for the mode that suits the model.
    :raises PageError: as in `form_model`.
    """
    model, placeholder = form_model(visit)
    password, hashed = make_password(visit.layout.dependencies.random)
    login = PhoneLogin(
        name=name,
        tenant=visit.tenant.name,
        account_id=None,
        numbers=NumberMode(numbers) if numbers else number_mode(model),
        password=hashed,
        created_at=visit.layout.now(),
        model=model,
        placeholder=placeholder,
    )
    return login.with_accounts(account_ids), password


def form_values(visitor: Visitor, **values: Any) -> Mapping[str, Any]:
    """Return the template values of the form that adds a phone; a visitor without an account cannot add a phone.

    Administrators use the administration to add phones for other people, or phones without an owner.
    """
    empty = dict.fromkeys(("name", "label", "model", "placeholder", "numbers"), "")
    defaults = {**empty, "owner": "1", "also": (), "errors": {}}
    owners = [(str(number), account.address) for number, account in enumerate(visitor.accounts, start=1)]
    return {"form": {**defaults, **values}, "models": MODELS, "placeholders": PLACEHOLDERS, "owners": owners}


def attachment(file: str) -> Headers:
    return (("Content-Disposition", f'attachment; filename="{file}"'),)
