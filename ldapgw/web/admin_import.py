# SPDX-License-Identifier: MIT
"""Adds many phones at once: shows a CSV file with the errors of its lines, and adds all its phones.

Between the preview and the confirmation the file is in the form, so that nothing of it is stored here.  The page that
hands out the passwords follows (`ldapgw.web.admin_passwords`).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from ldapgw.phones.import_file import ImportLine, UnfitImportFile, check_rows, decode, read_rows
from ldapgw.phones.models import MODELS, OTHER_MODEL
from ldapgw.phones.provisioning.settings import PLACEHOLDERS
from ldapgw.phones.rollout import new_phone
from ldapgw.phrase import Translatable, gettext_noop
from ldapgw.store import accounts, activity, phones
from ldapgw.store.activity import Act, Entry
from ldapgw.store.phones import PhoneLogin
from ldapgw.web.admin_passwords import AdminPasswords
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.http import MAX_BODY_SIZE, HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post

_NO_FILE = gettext_noop("Choose a CSV file first.")


class AdminImport:
    """The page that imports phones."""

    def __init__(self, layout: Layout, passwords: AdminPasswords) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._passwords = passwords

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/admin/phones/import", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/phones/import", self.preview, RequiredRole.ADMIN, MAX_BODY_SIZE),
            get("/<tenant>/admin/phones/import/add", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/phones/import/add", self.add, RequiredRole.ADMIN, MAX_BODY_SIZE),
        )

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/phones/import``: the form for the file."""
        return self._page(visit)

    async def preview(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/import``: show the phones of ``file``, and store nothing."""
        octets = visit.request.files.get("file", b"")
        if not octets:
            return self._page(visit, error=_NO_FILE)
        text = decode(octets)
        try:
            lines = await self._check(visit.tenant, text)
        except UnfitImportFile as error:
            return self._page(visit, error=error.reason)
        return self._page(visit, text=text, lines=lines)

    async def add(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/import/add``: add the phones of ``text``, all or none."""
        text = visit.form.get("text", "")
        try:
            lines = await self._check(visit.tenant, text)
        except UnfitImportFile as error:
            return self._page(visit, error=error.reason)
        names = [line.name for line in lines]
        now, is_added = self._layout.now(), False
        if not any(line.error for line in lines):
            passwords, hashes = self._passwords.generate(names)
            logins = [new_phone(line, visit.tenant.name, hashes[line.name], now) for line in lines]
            entry = visit.entry(Act.PHONES_IMPORTED, detail=str(len(logins)))
            is_added = await visit.store.run(_add, logins, entry)
        if not is_added:
            handed_out = await self._passwords.find_handed_out(visit, names)
            return handed_out or self._page(visit, text=text, lines=await self._check(visit.tenant, text))
        macs = {line.name: line.mac for line in lines if line.mac}
        batch = self._passwords.keep(visit.visitor, passwords, now, macs)
        await self._dependencies.changed()
        return self._passwords.redirect(visit, batch)

    async def _check(self, tenant: WebTenant, text: str) -> tuple[ImportLine, ...]:
        """The phones of a file, checked against the accounts and phones that there are.

        :raises UnfitImportFile: when it is no such file.
        """
        return await self._dependencies.store.read(_checked, tenant.name, text)

    def _page(
        self,
        visit: Visit,
        *,
        text: str = "",
        lines: Sequence[ImportLine] = (),
        error: Translatable = "",
    ) -> HttpResponse:
        errors = sum(bool(line.error) for line in lines)
        return visit.page(
            "admin_import.html",
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
