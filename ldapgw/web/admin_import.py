# SPDX-License-Identifier: MIT
"""Adds many phones at once: shows a CSV file with the errors of its lines, adds all its phones, and offers a zip.

Between the preview and the confirmation the file is in the form, so that nothing of it is stored here.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from ldapgw.directory.access import generate_password, hash_password
from ldapgw.phones.import_file import ImportLine, UnfitImportFile, check_rows, decode, read_rows
from ldapgw.phones.models import MODELS, OTHER_MODEL
from ldapgw.phones.provisioning.settings import PLACEHOLDERS
from ldapgw.phones.rollout import new_phone
from ldapgw.phrase import Translatable, gettext_noop
from ldapgw.store import accounts, activity, phones
from ldapgw.store.activity import Act, Entry
from ldapgw.store.phones import PhoneLogin
from ldapgw.web.admin_phones import zip_response
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.http import MAX_BODY_SIZE, HttpRequest, HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, get, post
from ldapgw.web.sessions import Visitor

_NO_FILE = gettext_noop("Choose a CSV file first.")


class AdminImport:
    """The page that imports phones."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies

    def routes(self) -> tuple[Route, ...]:
        """The routes of this page."""
        return (
            get("/<tenant>/admin/phones/import", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/phones/import", self.preview, RequiredRole.ADMIN, MAX_BODY_SIZE),
            get("/<tenant>/admin/phones/import/add", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/phones/import/add", self.add, RequiredRole.ADMIN, MAX_BODY_SIZE),
        )

    async def show(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``/{tenant}/admin/phones/import``: the form for the file."""
        return self._page(request, tenant, visitor)

    async def preview(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/admin/phones/import``: show the phones of ``file``, and store nothing."""
        octets = request.files.get("file", b"")
        if not octets:
            return self._page(request, tenant, visitor, error=_NO_FILE)
        text = decode(octets)
        try:
            lines = await self._check(tenant, text)
        except UnfitImportFile as error:
            return self._page(request, tenant, visitor, error=error.reason)
        return self._page(request, tenant, visitor, text=text, lines=lines)

    async def add(self, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> HttpResponse:
        """``POST /{tenant}/admin/phones/import/add``: add the phones of ``text``, all or none; the zip."""
        text = request.form.get("text", "")
        try:
            lines = await self._check(tenant, text)
        except UnfitImportFile as error:
            return self._page(request, tenant, visitor, error=error.reason)
        if any(line.error for line in lines):
            return self._page(request, tenant, visitor, text=text, lines=lines)
        random, now = self._dependencies.random, self._layout.now()
        passwords = [generate_password(random) for _ in lines]
        new = [
            new_phone(line, tenant.name, password, hash_password(password, random), now)
            for line, password in zip(lines, passwords, strict=True)
        ]
        # Made first: what is stored has settings that somebody got.
        response = await zip_response(self._layout, request, tenant, new)
        entry = self._layout.entry(request, tenant, visitor, Act.PHONES_IMPORTED, detail=str(len(new)))
        if not await self._dependencies.store.run(_add, [phone.login for phone in new], entry):
            return self._page(request, tenant, visitor, text=text, lines=await self._check(tenant, text))
        await self._dependencies.changed()
        return response

    async def _check(self, tenant: WebTenant, text: str) -> tuple[ImportLine, ...]:
        """The phones of a file, checked against the accounts and phones that there are.

        :raises UnfitImportFile: when it is no such file.
        """
        checked: tuple[ImportLine, ...] = await self._dependencies.store.read(_checked, tenant.name, text)
        return checked

    def _page(
        self,
        request: HttpRequest,
        tenant: WebTenant,
        visitor: Visitor,
        *,
        text: str = "",
        lines: Sequence[ImportLine] = (),
        error: Translatable = "",
    ) -> HttpResponse:
        errors = sum(bool(line.error) for line in lines)
        return self._layout.page(
            request,
            "admin_import.html",
            tenant=tenant,
            visitor=visitor,
            status=400 if error or errors else 200,
            text=text,
            # What has to be fixed stands first.
            lines=sorted(lines, key=lambda line: not line.error),
            error=error,
            errors=errors,
            models=[*MODELS, OTHER_MODEL],
            placeholders=PLACEHOLDERS,
            titles={key: model.title for key, model in MODELS.items()},
        )


def _checked(connection: Connection, tenant: str, text: str) -> tuple[ImportLine, ...]:
    rows = read_rows(text)
    owners = {address.lower(): key for key, address in accounts.read_addresses(connection, tenant)}
    return check_rows(rows, owners, phones.read_taken(connection, [row.get("name", "") for _, row in rows]))


def _add(connection: Connection, logins: Sequence[PhoneLogin], entry: Entry) -> bool:
    """Store the phones, all or none, and the entry about them."""
    if not phones.add_all(connection, logins):
        return False
    activity.record(connection, entry)
    return True
