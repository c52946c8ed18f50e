# SPDX-License-Identifier: MIT
"""The passwords that many phones got at once: a page with the outcome, and a ZIP file to download.

As on the phones' own pages, the passwords are available for ten minutes, in the session that made them
(`ldapgw.web.one_time_passwords`).  The `batch_key` is made from the time at which passwords were made: this time is the
same for all phones that got their passwords with one form.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from ldapgw.directory.passwords import generate_password, hash_password
from ldapgw.phones.rollout import SHEETS_FILE, NewPhone, make_zip, print_sheet
from ldapgw.store import accounts, activity, phones
from ldapgw.store.activity import ActivityEntry
from ldapgw.store.phones import PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS
from ldapgw.web.phone_pages import PhonePages, attachment
from ldapgw.web.sessions import Visitor


def batch_key(made_at: float) -> str:
    """Return the key that pages' addresses contain for the phones whose passwords were made at `made_at`."""
    return str(round(made_at * 1000))


class AdminPasswords:
    """The acts and pages that give many phones new passwords, and hand the passwords out."""

    def __init__(self, layout: Layout, phone_pages: PhonePages) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._phone_pages = phone_pages

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/admin/phones/passwords/<batch>", self.show, RequiredRole.ADMIN),
            get("/<tenant>/admin/phones/passwords/<batch>/zip", self.download, RequiredRole.ADMIN),
        )

    async def give(
        self,
        visitor: Visitor,
        logins: Sequence[PhoneLogin],
        entries: Sequence[ActivityEntry],
        first: Callable[[Connection], None] | None = None,
    ) -> str:
        """Give phones new passwords, and keep the passwords for the page that hands them out.

        :param logins: the phones as they were when the administrator chose them.
        :param entries: the entries of the activity log about the passwords.
        :param first: called in the same transaction before the passwords are stored.
        :returns: the `batch_key`; empty if a phone has got another password meanwhile, and then nothing is changed.
        """
        passwords, hashes = self.generate([login.name for login in logins])
        now = self._layout.now()
        if not await self._dependencies.store.run(_give, logins, hashes, now, entries, first):
            return ""
        for login in logins:
            self._phone_pages.one_time.forget(login.name)
        return self.keep(visitor, passwords, now)

    def generate(self, names: Collection[str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return a new password for each phone, and the hash of each password to store, by the phone's name."""
        random = self._dependencies.random
        passwords = {name: generate_password(random) for name in names}
        return passwords, {name: hash_password(password, random) for name, password in passwords.items()}

    def keep(self, visitor: Visitor, passwords: Mapping[str, str], made_at: float) -> str:
        """Keep passwords in memory for the page that hands them out; return the `batch_key`.

        The passwords' hashes are stored already.

        :param passwords: the passwords by the phone's name.
        :param made_at: the time that is stored with the passwords, in seconds since the epoch.
        """
        for name, password in passwords.items():
            self._phone_pages.show_password(visitor, name, password)
        return batch_key(made_at)

    def redirect(self, visit: Visit, batch: str) -> HttpResponse:
        """Redirect to the page that hands passwords out, where the download begins by itself."""
        return visit.redirect("passwords-made", _path(batch))

    async def find_handed_out(self, visit: Visit, names: Collection[str]) -> HttpResponse | None:
        """Return a redirect to the page that hands passwords out, for a form that was sent twice.

        :returns: the redirect, or None if not all phones in `names` got their passwords together in this session.
        """
        logins = await visit.store.read(phones.read_by_names, names)
        batches = {batch_key(login.password_made_at) for login in logins if login.tenant == visit.tenant.name}
        known = [login for login in logins if self._phone_pages.new_password(visit.visitor, login)]
        if len(batches) != 1 or len(known) != len({*names}):
            return None
        return visit.redirect(path=_path(*batches))

    async def show(self, visit: Visit, batch: str) -> HttpResponse:
        """``/{tenant}/admin/phones/passwords/{batch}``: show the outcome, the download, and the next steps."""
        logins, handed_out = await self._read(visit, batch)
        site = self._dependencies.phones.site(visit.tenant)
        files = sum(bool(print_sheet(phone, site).sheet.text) for phone in handed_out)
        return visit.page(
            "admin_passwords.html",
            batch=batch,
            count=len(logins),
            are_new=all(login.password_at is None for login in logins),
            handed_out=len(handed_out),
            are_shown_elsewhere=any(self._phone_pages.is_shown_elsewhere(visit.visitor, login) for login in logins),
            files=files,
            sheets_file=SHEETS_FILE,
            until=logins[0].password_made_at + PASSWORD_SECONDS,
        )

    async def download(self, visit: Visit, batch: str) -> HttpResponse:
        """``/{tenant}/admin/phones/passwords/{batch}/zip``: send the settings of the phones, with the passwords."""
        logins, handed_out = await self._read(visit, batch)
        if not handed_out:
            return visit.redirect(path=_path(batch))
        render = partial(self._layout.renderer.print_sheets, visit.request.language, visit.tenant.heading)
        run_off_thread = self._dependencies.book_clients.run_off_thread
        octets = await run_off_thread(make_zip, handed_out, self._dependencies.phones.site(visit.tenant), render)
        made_at = datetime.fromtimestamp(logins[0].password_made_at, UTC).astimezone()
        name = f"{visit.tenant.name}-phones-{made_at:%Y-%m-%d-%H%M%S}.zip"
        return HttpResponse(200, octets, "application/zip", attachment(name))

    async def _read(self, visit: Visit, batch: str) -> tuple[Sequence[PhoneLogin], Sequence[NewPhone]]:
        """Return all phones of a batch, and the phones whose passwords this session may still see.

        :raises PageError: when there is no phone of this batch.
        """
        read = await visit.store.read(_read_phones, visit.tenant.name)
        found = [(login, owner) for login, owner in read if batch_key(login.password_made_at) == batch]
        if not found:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        handed_out = [
            NewPhone(login, password, owner)
            for login, owner in found
            if (password := self._phone_pages.new_password(visit.visitor, login))
        ]
        return [login for login, _ in found], handed_out


def _give(
    connection: Connection,
    logins: Collection[PhoneLogin],
    hashes: Mapping[str, str],
    now: float,
    entries: Sequence[ActivityEntry],
    first: Callable[[Connection], None] | None,
) -> bool:
    present = {login.password for login in phones.read_by_names(connection, [login.name for login in logins])}
    if not present >= {login.password for login in logins}:
        return False
    if first is not None:
        first(connection)
    for login in logins:
        phones.set_password(connection, login.name, hashes[login.name], now)
    activity.record(connection, *entries)
    return True


def _path(batch: str) -> str:
    return f"admin/phones/passwords/{batch}"


def _read_phones(connection: Connection, tenant: str) -> list[tuple[PhoneLogin, str]]:
    """Return the phones of a tenant by name, each with the owners' addresses; empty if there is no owner."""
    addresses = dict(accounts.read_addresses(connection, tenant))
    return [(login, ", ".join(login.owners(addresses))) for login in phones.read_by_tenant(connection, tenant)]
