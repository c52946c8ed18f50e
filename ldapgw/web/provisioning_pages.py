# SPDX-License-Identifier: MIT
"""Provisioning addresses: created with a phone's new password, opened by a person, and fetched by the phone.

The address needs no sign-in: its secret is compared with a hash in constant time, wrong ones count as wrong logins,
and it is served only where nobody on the way can read it.  Below the secret there is a page with a button, so that a
link preview fetches nothing.
"""

from __future__ import annotations

from twisted.internet.task import deferLater
from twisted.logger import Logger

from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH, generate_password, hash_password, verify_password
from ldapgw.phones.provisioning.sheet import Vendor, all_vendors, make_sheet, settings_of, vendors_of
from ldapgw.phones.rollout import is_mac_name
from ldapgw.phrase import Phrase, gettext_noop
from ldapgw.store import activity, phones, provisioning
from ldapgw.store.activity import Act, Actor
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.provisioning import Fetch, ProvisioningAddress
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpRequest, HttpResponse, text_response
from ldapgw.web.layout import Layout, RequiredRole, Route, get, post
from ldapgw.web.phone_login import LONGEST_DELAY
from ldapgw.web.phone_pages import PhonePages, find_phone
from ldapgw.web.sessions import Visitor

log = Logger()


class ProvisioningPages:
    """The forms that make and end a provisioning address, its page, and its files."""

    def __init__(self, layout: Layout, phone_pages: PhonePages) -> None:
        self._layout = layout
        self._phone_pages = phone_pages

    def routes(self) -> tuple[Route, ...]:
        """The routes of these pages."""
        return (
            get("/<tenant>/phones/<name>/provision", self.ask, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/provision", self.make, RequiredRole.SIGNED_IN),
            get("/<tenant>/phones/<name>/provision/end", self.ask_to_end, RequiredRole.SIGNED_IN),
            post("/<tenant>/phones/<name>/provision/end", self.end, RequiredRole.SIGNED_IN),
            get("/<tenant>/provision/<secret>/", self.open, RequiredRole.TENANT),
            get("/<tenant>/provision/<secret>/<file>", self.serve, RequiredRole.TENANT),
        )

    async def ask(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``GET /{tenant}/phones/{name}/provision``: ask before the phone gets a new password with an address."""
        login = await find_phone(self._layout, tenant, visitor, name)
        return self._layout.confirmation(
            request,
            tenant,
            visitor,
            action=f"phones/{login.name}/provision",
            title=Phrase(gettext_noop("Create a provisioning address for %(phone)s?"), {"phone": login.name}),
            consequence=gettext_noop(
                "The phone gets a new password and stops finding contacts until it fetches its settings from the "
                "address. The address works for 24 hours."
            ),
            button=gettext_noop("Create password and address"),
            cancel=f"phones/{login.name}",
        )

    async def make(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/provision``: generate a new password, and an address with it."""
        login = await find_phone(self._layout, tenant, visitor, name)
        dependencies = self._layout.dependencies
        password, secret = generate_password(dependencies.random), generate_password(dependencies.random)
        made = await dependencies.store.run(
            activity.recorded,
            self._layout.entry(request, tenant, visitor, Act.PROVISIONING_MADE, login.name),
            provisioning.create,
            login.name,
            dependencies.secret_box,
            password,
            hash_password(password, dependencies.random),
            hash_password(secret, dependencies.random),
            self._layout.now(),
        )
        if not made:
            raise PageError(error_pages.PAGES.not_found, tenant)
        self._phone_pages.keep(visitor, login, password, secret)
        await dependencies.changed()
        return self._layout.redirect_to_tenant(tenant, "provisioning-made", f"phones/{login.name}")

    async def ask_to_end(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``GET /{tenant}/phones/{name}/provision/end``: ask before the address ends."""
        login = await find_phone(self._layout, tenant, visitor, name)
        return self._layout.confirmation(
            request,
            tenant,
            visitor,
            action=f"phones/{login.name}/provision/end",
            title=Phrase(gettext_noop("Revoke the provisioning address of %(phone)s?"), {"phone": login.name}),
            consequence=gettext_noop(
                "The phone will no longer be able to fetch its settings from the address. The settings that it has "
                "already "
                "fetched keep working. You "
                "can’t restore the address."
            ),
            button=gettext_noop("Revoke provisioning address"),
            cancel=f"phones/{login.name}",
        )

    async def end(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor, name: str) -> HttpResponse:
        """``POST /{tenant}/phones/{name}/provision/end``: the address is refused at once."""
        login = await find_phone(self._layout, tenant, visitor, name)
        entry = self._layout.entry(request, tenant, visitor, Act.PROVISIONING_ENDED, login.name)
        await self._layout.dependencies.store.run(activity.recorded, entry, provisioning.end, login.name)
        return self._layout.redirect_to_tenant(tenant, "provisioning-ended", f"phones/{login.name}")

    async def open(self, request: HttpRequest, tenant: WebTenant, secret: str) -> HttpResponse:
        """``/{tenant}/provision/{secret}/``: a page with a button that fetches the file."""
        login, address = await self._authenticate(request, tenant, secret)
        files = [vendor.file for vendor in vendors_of(login.model) if vendor.file] or [all_vendors()["other"].file]
        return self._layout.page(
            request, "provision.html", tenant=tenant, phone=login, until=address.until, files=files, secret=secret
        )

    async def serve(self, request: HttpRequest, tenant: WebTenant, secret: str, file: str) -> HttpResponse:
        """``/{tenant}/provision/{secret}/{file}``: the phone's settings, in its vendor's format."""
        login, address = await self._authenticate(request, tenant, secret)
        vendor = _vendor_of(login.model, file)
        if vendor is None:
            return _not_found()
        dependencies = self._layout.dependencies
        new = Fetch(self._layout.now(), request.address, file)
        actor = Actor(activity.GATEWAY.name, request.address)
        entry = activity.entry(new.when, tenant.name, actor, Act.PROVISIONING_FETCHED, login.name)
        password = await dependencies.store.run(
            activity.recorded, entry, provisioning.fetch, address, dependencies.secret_box, new
        )
        if not password:
            return _not_found()
        base_dn = dependencies.phones.base_dn(login.tenant)
        sheet = make_sheet(vendor, settings_of(login, dependencies.phones.server, base_dn, tenant.heading, password))
        dependencies.notifier.notify(dependencies.phones.bind_dn(login))
        log.info(
            "web: the settings of phone {phone} of tenant {tenant} were fetched, from {address}",
            event="settings_fetched",
            phone=login.name,
            tenant=login.tenant,
            account=login.account_id,
            address=request.address,
        )
        return HttpResponse(200, sheet.text.encode(), vendor.media_type) if sheet.text else _not_found()

    async def _authenticate(
        self, request: HttpRequest, tenant: WebTenant, secret: str
    ) -> tuple[PhoneLogin, ProvisioningAddress]:
        """The phone and its address that a secret stands for.

        :param secret: the phone's name, a dot and the secret proper.
        :raises PageError: there is none, or the request came in clear over the network.
        """
        if not request.is_private:
            raise PageError(error_pages.PAGES.needs_https, tenant)
        dependencies = self._layout.dependencies
        name, _, proper = secret.rpartition(".")
        login = await dependencies.store.read(phones.read_by_name, name)
        address: ProvisioningAddress | None = None
        if login is not None:
            address = await dependencies.store.read(provisioning.read, login.name, self._layout.now())
        right = verify_password(proper.encode(), address.secret if address else UNKNOWN_LOGIN_HASH)
        if right and login and address and login.tenant == tenant.name:
            return login, address
        delay = dependencies.book_clients.login_delay(request.address, name)
        await deferLater(dependencies.clock, LONGEST_DELAY if delay is None else delay)
        raise PageError(error_pages.PAGES.not_found, tenant)


def _vendor_of(model: str, file: str) -> Vendor | None:
    """The vendor whose file has this name; a phone also asks for the name that has its MAC address."""
    named = next((vendor for vendor in all_vendors().values() if vendor.file == file), None)
    return named or next((vendor for vendor in vendors_of(model) if vendor.file and is_mac_name(vendor, file)), None)


def _not_found() -> HttpResponse:
    return text_response("There is no such file.", 404)
