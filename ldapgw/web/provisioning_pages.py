# SPDX-License-Identifier: MIT
"""The provisioning of phones: addresses with a secret, windows in which phones fetch their settings, and reports.

A provisioning address is created with a phone's new password, opened by a person, and fetched by the phone.  The
address contains a secret, so that nobody has to sign in.  The secret is compared with a hash in constant time; a wrong
secret counts as a wrong login; and a request that others on the way can read is refused.  The address itself shows a
page with a button, so that a link preview fetches no settings.

In a provisioning window, a phone asks for the file that has the phone's MAC address in its name, at an address with the
window's token.  The answer has a new password, so a window is short, a phone gets one answer, and only
`provisioning_networks` get answers.  A phone may have the right token, but no right to the requested settings.  The
gateway then answers that there is no such file, and counts a wrong login from the client's address.  The administrator
sees the request.

A report says which steps of a phone's settings worked, for people who enter the settings by hand.  The counts of
reports stay in the gateway.  An administrator can send the counts to the developers of ldapgw as a mail; the gateway
itself sends nothing.
"""

from __future__ import annotations

import hmac
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ldapgw import __version__
from ldapgw.directory.clients import TokenBuckets, network_of
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH, generate_password, make_password, verify_password
from ldapgw.phones.provisioning.sheet import Sheet, boot_file, make_sheet, settings_of
from ldapgw.phones.provisioning.vendors import (
    Vendor,
    all_vendors,
    is_settings_file,
    mac_of_file,
    vendor_of_file,
    vendors_of,
)
from ldapgw.phones.provisioning.window import (
    MINUTES,
    REASONS,
    dhcp_settings,
    opening_detail,
    phones_with_wrong_password,
    window_address,
    window_rows,
    without_tls,
)
from ldapgw.store import activity, phones, provisioning
from ldapgw.store.activity import Act, ActivityEntry, Actor
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.provisioning import Fetch, ProvisioningAddress, ProvisioningWindow, Reason, StepReport, WindowPhone
from ldapgw.store.secrets import SecretBox
from ldapgw.web import error_pages
from ldapgw.web.book_clients import LONGEST_DELAY
from ldapgw.web.dependencies import WebDependencies
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse, read_number, text_response
from ldapgw.web.layout import CONFIRMATIONS, Layout, RequiredRole, Route, TenantVisit, Visit, get, post
from ldapgw.web.phone_pages import MAX_MENU, PhonePages, attachment

log = Logger()

# --- windows ----------------------------------------------------------------------------------------------------------

_WINDOW_PAGE: Final = "admin/phones/window"
# The gateway stores at most this many refused requests of a network at once, and then one more request every
# `_SECONDS_A_REFUSAL` seconds.
_STORED_REFUSALS: Final = 30.0
_SECONDS_A_REFUSAL: Final = 5.0
# The maximum number of phones that the page shows in each of its two lists.  Rendering thousands of phones would keep
# the reactor's thread, and thereby other phones, waiting for a third of a second.
MAX_SHOWN: Final = 200


class ProvisioningWindows:
    """The page about the provisioning window, the forms that open and close the window, and the files for phones."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._stored_refusals = TokenBuckets(_STORED_REFUSALS, _SECONDS_A_REFUSAL, layout.dependencies.seconds)

    def routes(self) -> tuple[Route, ...]:
        admin = RequiredRole.ADMIN
        return (
            get("/<tenant>/admin/phones/window", self.show, admin),
            post("/<tenant>/admin/phones/window", self.open_for_all, admin),
            post("/<tenant>/admin/phones/window/close", self.close, admin),
            post("/<tenant>/admin/phones/window/address", self.forget_address, admin),
        )

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/phones/window``: show the provisioning window's URL, phones and refused requests."""
        window, logins, fetched, refusals = await visit.store.read(_read, visit.tenant.name, self._secret_box)
        now = self._layout.now()
        run_off_thread = self._dependencies.render_off_thread
        logins = await run_off_thread(self._latest, logins)
        rows = await run_off_thread(window_rows, logins, window, fetched, now)
        address = window_address(visit.url, window) if window else ""
        # After the end of a window for chosen phones, `rows` also has phones that were not chosen.  The page does not
        # show these phones, because such a phone can fetch its settings only in another window.
        shown = [row for row in rows if row.fetch is not None] if window and window.chosen else rows
        return await visit.page(
            "admin_window.html",
            window=window,
            is_open=window is not None and window.is_open(now),
            dhcp=dhcp_settings((row.vendor for row in rows), address),
            plain_address=without_tls(address) if window and window.plain_http else "",
            replacing=sorted({row.vendor.title for row in rows if row.vendor and row.vendor.replaces_settings}),
            minutes=MINUTES,
            may_fetch=visit.tenant.has_provisioning_networks,
            rows=[row for row in shown if not row.obstacle],
            unfit=[row for row in shown if row.obstacle],
            most=MAX_SHOWN,
            phones_by_mac={login.mac: login.name for login in logins if login.mac},
            refusals=refusals,
            reasons=REASONS,
        )

    async def is_open(self, visit: Visit) -> bool:
        """Return whether the tenant's provisioning window is open."""
        window = await visit.store.read(provisioning.read_window, visit.tenant.name, self._secret_box)
        return window is not None and window.is_open(self._layout.now())

    async def open_for_all(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/window``: open a provisioning window for phones without a working login."""
        return await self.open(visit, None)

    async def open(self, visit: Visit, names: Sequence[str] | None) -> HttpResponse:
        """Open the provisioning window for the minutes that a form names.

        :param names: the names of the chosen phones, or None for all phones without a working login.
        """
        minutes = visit.form.get("minutes", "")
        if minutes not in map(str, MINUTES) or not visit.tenant.has_provisioning_networks:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        now, plain_http = self._layout.now(), bool(visit.form.get("plain_http"))
        logins = await visit.store.read(phones.read_by_tenant, visit.tenant.name)
        run_off_thread = self._dependencies.render_off_thread
        latest = await run_off_thread(self._latest, logins)
        await visit.change(
            visit.entry(Act.WINDOW_OPENED, detail=opening_detail(int(minutes), names, plain_http=plain_http)),
            provisioning.open_window,
            visit.tenant.name,
            self._secret_box,
            generate_password(self._dependencies.random),
            now,
            int(minutes) * 60.0,
            phones_with_wrong_password(latest, now) if names is None else names,
            chosen=names is not None,
            plain_http=plain_http,
        )
        return visit.redirect("window-opened", _WINDOW_PAGE)

    def _latest(self, logins: Iterable[PhoneLogin]) -> tuple[PhoneLogin, ...]:
        return tuple(map(self._dependencies.phones.refused_logins.latest, logins))

    async def close(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/window/close``: close the provisioning window."""
        await visit.change(
            visit.entry(Act.WINDOW_CLOSED), provisioning.close_window, visit.tenant.name, self._layout.now()
        )
        return visit.redirect("window-closed", _WINDOW_PAGE)

    async def forget_address(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/window/address``: close the provisioning window, and give up its URL.

        The next provisioning window gets a new URL.
        """
        await visit.change(visit.entry(Act.WINDOW_CLOSED), provisioning.forget_window, visit.tenant.name)
        return visit.redirect("window-address-ended", _WINDOW_PAGE)

    async def serve(self, visit: TenantVisit, token: str, file: str) -> HttpResponse:
        """``/{tenant}/provision/{token}/{file}``: send the settings of the phone whose MAC address is in a file's name.

        :raises PageError: when the token is wrong.
        """
        request, tenant = visit.request, visit.tenant
        window = await visit.store.read(provisioning.read_window, tenant.name, self._secret_box)
        is_right = hmac.compare_digest(token.encode(), (window.token if window else "").encode())
        if window is None or not is_right:
            await _delay_guess(self._dependencies, request.address, "")
            raise PageError(error_pages.PAGES.no_provisioning_address, tenant)
        mac = mac_of_file(file)
        own_mac = mac or mac_of_file(request.header("User-Agent"))
        login = await visit.store.read(phones.read_by_mac, tenant.name, own_mac) if own_mac else None
        boot = await self._boot_file(visit, window, login, file) if login is not None else None
        if boot is not None or not is_settings_file(file):
            # A phone that starts also asks for other files.  Such requests do not count as guesses.
            return boot or _no_such_file()
        password, hashed = make_password(self._dependencies.random)
        found = self._file_for(visit, window, login, file, password)
        if isinstance(found, Sheet) and login is not None:
            login = self._dependencies.phones.refused_logins.latest(login)
            if request.is_head:
                found = await visit.store.read(provisioning.hindrance, window, login, self._layout.now()) or found
            else:
                found = await self._fetch(visit, window, login, hashed, file) or found
        if isinstance(found, Reason):
            return await self._refuse(visit, found, mac, is_known=login is not None)
        return HttpResponse(200, found.text.encode(), found.vendor.media_type)

    def _file_for(
        self, visit: TenantVisit, window: ProvisioningWindow, login: PhoneLogin | None, file: str, password: str
    ) -> Sheet | Reason:
        """Return the settings that a phone may fetch, or the reason why the phone may fetch no settings."""
        if hindrance := self._hindrance(visit, window):
            return hindrance
        if login is None:
            return Reason.UNKNOWN_MAC
        vendor = vendor_of_file(login.model, file, visit.request.header("User-Agent"))
        if vendor is None:
            return Reason.NO_FILE
        sheet = make_sheet(vendor, settings_of(login, self._dependencies.phones.site(visit.tenant), password))
        return sheet if password in sheet.text else Reason.NO_FILE

    def _hindrance(self, visit: TenantVisit, window: ProvisioningWindow) -> Reason | None:
        """Return the reason to refuse a request, whichever phone sends the request; None if there is no such reason."""
        if not window.is_open(self._layout.now()):
            return Reason.CLOSED
        if not visit.tenant.may_provision(visit.request.address):
            return Reason.NETWORK
        return None if visit.request.is_private or window.plain_http else Reason.PLAIN_HTTP

    async def _boot_file(
        self, visit: TenantVisit, window: ProvisioningWindow, login: PhoneLogin, file: str
    ) -> HttpResponse | None:
        """Return the boot file, which names the phone's file of settings.

        The result is None if `file` is no boot file, or if the phone may not fetch its settings.
        Another phone of the same model may have got its settings from another provisioning server.  Such a phone must
        not get this file, because the file may make the phone drop these settings.
        """
        folder = window_address(visit.url, window)
        boot = boot_file(login, file, folder if visit.request.is_private else without_tls(folder))
        if boot is None or self._hindrance(visit, window):
            return None
        now, latest = self._layout.now(), self._dependencies.phones.refused_logins.latest(login)
        if await visit.store.read(provisioning.hindrance, window, latest, now):
            return None
        vendor, text = boot
        return HttpResponse(200, text.encode(), vendor.media_type)

    async def _fetch(
        self, visit: TenantVisit, window: ProvisioningWindow, login: PhoneLogin, hashed: str, file: str
    ) -> Reason | None:
        """Give a phone its next password; return the reason if the phone may not fetch its file after all."""
        new = Fetch(self._layout.now(), visit.request.address, file)
        actor = Actor(activity.GATEWAY.name, new.address)
        entry = activity.entry(new.when, login.tenant, actor, Act.PROVISIONING_FETCHED, login.name, file)
        reason = await visit.store.run(_note_fetch, entry, window, login, hashed, new)
        if reason is None:
            # The phone may log in as soon as the phone has the file.
            await self._dependencies.changed()
            _tell_fetch(self._dependencies, login, new.address)
        return reason

    async def _refuse(self, visit: TenantVisit, reason: Reason, mac: str, *, is_known: bool) -> HttpResponse:
        """Count and store a refused request, and answer that there is no such file.

        The request counts as a wrong login; the administrator sees the stored request.

        :param is_known: whether a phone of the tenant has the MAC address.
        """
        address = visit.request.address
        self._dependencies.count_misuse("provisioning requests", address)
        # A stranger can invent MAC addresses.  Requests with invented addresses must not displace the requests for
        # known phones.
        if is_known or not self._stored_refusals.take(network_of(address)):
            await visit.store.run(
                provisioning.note_refusal, visit.tenant.name, reason, mac, address, self._layout.now()
            )
        await _delay_guess(self._dependencies, address, mac)
        return _no_such_file()

    @property
    def _secret_box(self) -> SecretBox:
        return self._dependencies.secret_box


def _read(
    connection: Connection, tenant: str, secret_box: SecretBox
) -> tuple[
    ProvisioningWindow | None,
    Sequence[PhoneLogin],
    Mapping[str, WindowPhone],
    Sequence[provisioning.WindowRefusal],
]:
    return (
        provisioning.read_window(connection, tenant, secret_box),
        phones.read_by_tenant(connection, tenant),
        provisioning.read_window_phones(connection, tenant),
        provisioning.read_refusals(connection, tenant),
    )


def _note_fetch(
    connection: Connection, entry: ActivityEntry, window: ProvisioningWindow, login: PhoneLogin, hashed: str, new: Fetch
) -> Reason | None:
    reason = provisioning.note_fetch(connection, window, login, hashed, new)
    if reason is None:
        activity.record(connection, entry)
    return reason


async def _delay_guess(dependencies: WebDependencies, address: str, name: str) -> None:
    """Count a request as a wrong login, and wait as long as the answer to a wrong login waits.

    :param name: the name or the MAC address of the phone whose settings were requested; empty if unknown.
    """
    delay = dependencies.book_clients.login_delay(address, name)
    await deferLater(dependencies.clock, LONGEST_DELAY if delay is None else delay)


def _tell_fetch(dependencies: WebDependencies, login: PhoneLogin, address: str) -> None:
    """Log that a phone's settings were fetched, and update the open pages about the phone."""
    dependencies.notifier.notify(dependencies.phones.activity.bind_dn(login))
    log.info(
        "web: the settings of phone {phone} of tenant {tenant} were fetched, from {address}",
        event="settings_fetched",
        phone=login.name,
        tenant=login.tenant,
        account=login.account_id,
        address=address,
    )


def _no_such_file() -> HttpResponse:
    return text_response("There is no such file.", 404)


# --- addresses --------------------------------------------------------------------------------------------------------

_AUTHORITY_MEDIA_TYPE = "application/x-x509-ca-cert"


class ProvisioningPages:
    """The forms that make and end a provisioning address, and the page and the files of the address.

    `ldapgw.web.phone_forms` asks before an address is made or ended.
    """

    def __init__(self, layout: Layout, phone_pages: PhonePages, windows: ProvisioningWindows) -> None:
        self._layout = layout
        self._phone_pages = phone_pages
        self._windows = windows

    def routes(self) -> tuple[Route, ...]:
        return (
            post("/<tenant>/phones/<name>/provision", self.make, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/provision/end", self.end, RequiredRole.SIGNED_IN),
            get("/<tenant>/ca.crt", self.authority, RequiredRole.TENANT, over_http=True),
            get("/<tenant>/ca.der", self.authority_der, RequiredRole.TENANT, over_http=True),
            get("/<tenant>/provision/<secret>/", self.open, RequiredRole.TENANT, over_http=True),
            get("/<tenant>/provision/<secret>/<file>", self.serve, RequiredRole.TENANT, over_http=True),
        )

    async def make(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/provision``: generate a new password and a provisioning address."""
        dependencies = self._layout.dependencies
        (password, hashed), (secret, hashed_secret) = (make_password(dependencies.random) for _ in range(2))
        made = await visit.change(
            visit.entry(Act.PROVISIONING_MADE, login.name),
            provisioning.create_address,
            login.name,
            dependencies.secret_box,
            password,
            hashed,
            hashed_secret,
            self._layout.now(),
        )
        if not made:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        self._phone_pages.keep(visit.visitor, login, password, secret)
        return await visit.done("provisioning-made", f"phones/{login.name}")

    async def end(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/provision/end``: end the address, so that later requests are refused."""
        await visit.change(visit.entry(Act.PROVISIONING_ENDED, login.name), provisioning.end_address, login.name)
        return visit.redirect("provisioning-ended", f"phones/{login.name}")

    async def open(self, visit: TenantVisit, secret: str) -> HttpResponse:
        """``/{tenant}/provision/{secret}/``: show a page with a button that fetches the file."""
        login, address = await self._authenticate(visit, secret)
        files = [vendor.file for vendor in vendors_of(login.model) if vendor.file] or [all_vendors()["other"].file]
        return await visit.page("provision.html", phone=login, until=address.until, files=files, secret=secret)

    async def serve(self, visit: TenantVisit, secret: str, file: str) -> HttpResponse:
        """``/{tenant}/provision/{secret}/{file}``: send the phone's settings, in the vendor's format.

        :param secret: the secret of an address, or the token of the tenant's provisioning window; a token has no dot.
        """
        if "." not in secret:
            return await self._windows.serve(visit, secret, file)
        login, address = await self._authenticate(visit, secret)
        vendor = _vendor_of(login.model, file)
        if vendor is None:
            return _no_such_file()
        dependencies = self._layout.dependencies
        new = Fetch(self._layout.now(), visit.request.address, file)
        actor = Actor(activity.GATEWAY.name, visit.request.address)
        entry = activity.entry(new.when, visit.tenant.name, actor, Act.PROVISIONING_FETCHED, login.name)
        password = await visit.change(entry, provisioning.fetch_password, address, dependencies.secret_box, new)
        if not password:
            return _no_such_file()
        sheet = make_sheet(vendor, settings_of(login, dependencies.phones.site(visit.tenant), password))
        _tell_fetch(dependencies, login, visit.request.address)
        return HttpResponse(200, sheet.text.encode(), vendor.media_type) if sheet.text else _no_such_file()

    async def authority(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/ca.crt``: send the certificate of the private authority that phones must trust.

        The certificate is public, and a phone fetches the certificate before the phone can verify HTTPS.
        """
        return HttpResponse(200, self._certificate(visit).encode(), _AUTHORITY_MEDIA_TYPE, attachment("ca.crt"))

    async def authority_der(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/ca.der``: send the private authority's certificate in DER, the format that Snom's phones read."""
        octets = ssl.PEM_cert_to_DER_cert(self._certificate(visit))
        return HttpResponse(200, octets, _AUTHORITY_MEDIA_TYPE, attachment("ca.der"))

    def _certificate(self, visit: TenantVisit) -> str:
        """Return the certificate that phones must trust, in PEM.

        :raises PageError: when phones trust the gateway's certificate already.
        """
        text = self._layout.dependencies.phones.certificate()
        if not text:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        return text

    async def _authenticate(self, visit: TenantVisit, secret: str) -> tuple[PhoneLogin, ProvisioningAddress]:
        """Return the phone and the provisioning address to which a secret belongs.

        :param secret: the phone's name, a dot and the secret proper.
        :raises PageError: when the secret is wrong, or the request came unencrypted over the network.
        """
        if not visit.request.is_private:
            raise PageError(error_pages.PAGES.needs_https, visit.tenant)
        dependencies = self._layout.dependencies
        name, _, proper = secret.rpartition(".")
        login = await dependencies.store.read(phones.read_by_name, name)
        address: ProvisioningAddress | None = None
        if login is not None:
            address = await dependencies.store.read(provisioning.read_address, login.name, self._layout.now())
        right = verify_password(proper.encode(), address.secret if address else UNKNOWN_LOGIN_HASH)
        if right and login and address and login.tenant == visit.tenant.name:
            return login, address
        await _delay_guess(dependencies, visit.request.address, name)
        raise PageError(error_pages.PAGES.no_provisioning_address, visit.tenant)


def _vendor_of(model: str, file: str) -> Vendor | None:
    """Return the vendor whose provisioning file has the given name.

    If no file has this name, but the name contains a MAC address, return the vendor of the model if the model's files
    are named after MAC addresses.  Otherwise, return None.
    """
    named = next((vendor for vendor in all_vendors().values() if vendor.file == file), None)
    return named or vendor_of_file(model, file)


# --- reports on the steps of phones' settings -------------------------------------------------------------------------

# The maximum number of characters of a model's name, and of a firmware version, in a report.
_MAX_MODEL = 40
# A session may send `_BURST` reports at once, and then one more report after each interval.
_BURST = 10
_INTERVAL_SECONDS = 60.0
# Some mail programs cut a ``mailto:`` URL after about 2,000 characters.
_MAX_MAIL_ADDRESS = 1800

# A text with five digits in a row counts as a telephone number, not as the name of a menu or a model, even if blanks or
# punctuation marks separate the digits, as people write telephone numbers.
_NUMBER = re.compile(r"\d(?:[ ./()-]*\d){4}")
_VERSION = re.compile(r"[0-9A-Za-z._()-]*")
# A version has dots between its numbers, so six digits in a row are no version.
_LONG_NUMBER = re.compile(r"\d{6}")

_SUBJECT = "Reports on setup steps of phones"


class StepReports:
    """The form for a report, and the page of all reports."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._limiter = TokenBuckets(_BURST, _INTERVAL_SECONDS, layout.dependencies.seconds)

    def routes(self) -> tuple[Route, ...]:
        return (
            post("/<tenant>/phones/<name>/steps", self.report, RequiredRole.SIGNED_IN),
            get("/<tenant>/admin/phones/steps", self.show, RequiredRole.ADMIN),
            get("/<tenant>/admin/phones/steps/delete", self.ask, RequiredRole.ADMIN),
            post("/<tenant>/admin/phones/steps/delete", self.delete, RequiredRole.ADMIN),
        )

    async def report(self, visit: Visit, login: PhoneLogin) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/steps``: count a report on the setup steps of ``vendor``.

        A report says that all steps worked, or what a menu on the phone is called.

        ``outcome`` is ``worked`` or ``menu``.  If ``outcome`` is ``menu``, the form also has the number of the step
        (``step``) and the name of the menu on the phone (``menu``).  Every form may have ``model`` and ``version``.
        """
        vendor = all_vendors().get(visit.form.get("vendor", ""))
        outcome = visit.form.get("outcome", "")
        is_menu = outcome == "menu"
        step = read_number(visit.form.get("step", ""), 0) if is_menu else 0
        if vendor is None or outcome not in {"worked", "menu"} or (is_menu and not 1 <= step <= len(vendor.steps)):
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        wait = self._limiter.take(visit.visitor.session)
        if wait:
            raise PageError(error_pages.PAGES.too_many, visit.tenant, headers=(("Retry-After", str(ceil(wait))),))
        page = f"phones/{login.name}?vendor={vendor.key}"
        menu = _plain(visit.form.get("menu", "")) if is_menu else ""
        model, version = (_plain(visit.form.get(name, "")) for name in ("model", "version"))
        if not _is_fit(menu, model, version) or (is_menu and not menu):
            return visit.redirect("step-unfit", page)
        text = vendor.setup_steps[step - 1].text if is_menu else ""
        now = self._layout.now()
        new = StepReport(visit.tenant.name, vendor.key, model, version, step, menu, now, step_text=text)
        is_counted = await visit.store.run(provisioning.add_report, new)
        return visit.redirect("step-reported" if is_counted else "step-reports-full", page)

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/phones/steps``: show the reports, and the text of a mail to the developers."""
        reports = await visit.store.read(provisioning.read_reports, visit.tenant.name)
        text = mail_text(reports)
        address = mail_address(text)
        return await visit.page(
            "admin_steps.html",
            reports=reports,
            vendor_titles={key: vendor.title for key, vendor in all_vendors().items()},
            text=text,
            mail=address or mail_address(""),
            is_too_long=not address,
        )

    async def ask(self, visit: Visit) -> HttpResponse:
        """``GET /{tenant}/admin/phones/steps/delete``: ask before all reports are deleted."""
        path = "admin/phones/steps"
        return await visit.confirmation(CONFIRMATIONS.step_reports, {}, action=f"{path}/delete", cancel=path)

    async def delete(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/steps/delete``: delete all reports of the tenant."""
        entry = visit.entry(Act.STEP_REPORTS_REMOVED)
        await visit.change(entry, provisioning.remove_reports, visit.tenant.name)
        return visit.redirect("step-reports-removed", "admin/phones/steps")


def _plain(text: str) -> str:
    """Return a text on one line, without control characters."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _is_fit(menu: str, model: str, version: str) -> bool:
    """Return whether the texts of a report are short, and contain no e-mail address and no telephone number."""
    if len(menu) > MAX_MENU or len(model) > _MAX_MODEL or len(version) > _MAX_MODEL:
        return False
    if any("@" in text or _NUMBER.search(text) for text in (menu, model)):
        return False
    return bool(_VERSION.fullmatch(version)) and not _LONG_NUMBER.search(version)


def mail_text(reports: Sequence[StepReport]) -> str:
    """Return the reports as an English text for the developers; without reports, return an empty text."""
    return "\n".join(_mail_lines(reports))


def _mail_lines(reports: Sequence[StepReport]) -> Iterator[str]:
    """Yield the lines: a heading for each vendor, model and firmware, and the reports below this heading."""
    if reports:
        yield f"{_SUBJECT}, ldapgw {__version__}"
    heading = ""
    for report in reports:
        new_heading = f"{report.vendor}, model {report.model or 'unknown'}, firmware {report.version or 'unknown'}"
        if new_heading != heading:
            heading = new_heading
            yield from ("", heading)
        outcome = f'step {report.step}: the menu is called "{report.menu}"' if report.step else "all steps worked"
        yield f"  {report.count} x {outcome}"
        if report.step_text:
            yield f"      our step: {report.step_text}"


def mail_address(text: str) -> str:
    """Return the ``mailto:`` URL that opens a new mail with a text, or an empty text if the URL is too long.

    The person enters the recipient.
    """
    body = quote(text.replace("\n", "\r\n"))  # RFC 6068 5: lines end with CRLF
    address = f"mailto:?subject={quote(_SUBJECT)}&body={body}"
    return address if len(address) <= _MAX_MAIL_ADDRESS else ""
