# SPDX-License-Identifier: MIT
"""Provisioning addresses: created with a phone's new password, opened by a person, and fetched by the phone.

The address contains a secret, so that nobody has to sign in.  The secret is compared with a hash in constant time; a
wrong secret counts as a wrong login; and a request that others on the way can read is refused.  The address itself
shows a page with a button, so that a link preview fetches no settings.
"""

from __future__ import annotations

import ssl

from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH, make_password, verify_password
from ldapgw.phones.provisioning.sheet import Vendor, all_vendors, make_sheet, settings_of, vendor_of_file, vendors_of
from ldapgw.store import activity, phones, provisioning
from ldapgw.store.activity import Act, Actor
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.provisioning import ProvisioningAddress
from ldapgw.store.windows import Fetch
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, TenantVisit, Visit, get, post
from ldapgw.web.phone_pages import PhonePages, attachment
from ldapgw.web.provisioning_windows import ProvisioningWindows, delay_guess, no_such_file, tell_fetch

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
            provisioning.create,
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
        """``POST /{tenant}/phones/{name}/provision/end``: end the address, which is refused at once."""
        await visit.change(visit.entry(Act.PROVISIONING_ENDED, login.name), provisioning.end, login.name)
        return visit.redirect("provisioning-ended", f"phones/{login.name}")

    async def open(self, visit: TenantVisit, secret: str) -> HttpResponse:
        """``/{tenant}/provision/{secret}/``: show a page with a button that fetches the file."""
        login, address = await self._authenticate(visit, secret)
        files = [vendor.file for vendor in vendors_of(login.model) if vendor.file] or [all_vendors()["other"].file]
        return visit.page("provision.html", phone=login, until=address.until, files=files, secret=secret)

    async def serve(self, visit: TenantVisit, secret: str, file: str) -> HttpResponse:
        """``/{tenant}/provision/{secret}/{file}``: send the phone's settings, in the vendor's format.

        :param secret: the secret of an address, or the token of the tenant's provisioning window, which has no dot.
        """
        if "." not in secret:
            return await self._windows.serve(visit, secret, file)
        login, address = await self._authenticate(visit, secret)
        vendor = _vendor_of(login.model, file)
        if vendor is None:
            return no_such_file()
        dependencies = self._layout.dependencies
        new = Fetch(self._layout.now(), visit.request.address, file)
        actor = Actor(activity.GATEWAY.name, visit.request.address)
        entry = activity.entry(new.when, visit.tenant.name, actor, Act.PROVISIONING_FETCHED, login.name)
        password = await visit.change(entry, provisioning.fetch, address, dependencies.secret_box, new)
        if not password:
            return no_such_file()
        sheet = make_sheet(vendor, settings_of(login, dependencies.phones.site(visit.tenant), password))
        tell_fetch(dependencies, login, visit.request.address)
        return HttpResponse(200, sheet.text.encode(), vendor.media_type) if sheet.text else no_such_file()

    async def authority(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/ca.crt``: send the certificate of the private authority that phones must trust.

        The certificate is public, and a phone fetches the certificate before the phone can verify HTTPS.
        """
        return HttpResponse(200, self._certificate(visit).encode(), _AUTHORITY_MEDIA_TYPE, attachment("ca.crt"))

    async def authority_der(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/ca.der``: send the same certificate in DER, the form that Snom's phones read."""
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
            address = await dependencies.store.read(provisioning.read, login.name, self._layout.now())
        right = verify_password(proper.encode(), address.secret if address else UNKNOWN_LOGIN_HASH)
        if right and login and address and login.tenant == visit.tenant.name:
            return login, address
        await delay_guess(dependencies, visit.request.address, name)
        raise PageError(error_pages.PAGES.no_provisioning_address, visit.tenant)


def _vendor_of(model: str, file: str) -> Vendor | None:
    """Return the vendor whose provisioning file has a name.

    If no file has this name, return the vendor of the model whose files are named after the phone's MAC address, if the
    name contains one; or else None.
    """
    named = next((vendor for vendor in all_vendors().values() if vendor.file == file), None)
    return named or vendor_of_file(model, file)
