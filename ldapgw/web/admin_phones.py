# SPDX-License-Identifier: MIT
"""The administration's pages about phones: a table of all phones, forms to add one or many, and actions on many.

If many phones get new passwords with one form, a page hands out the passwords in a ZIP file.  For ten minutes, the
session that made the passwords can get this file (`ldapgw.web.one_time_passwords`).  The gateway stores the same time
with all passwords of one form, so the `batch_key` is made from this time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.directory.passwords import generate_password, hash_password
from ldapgw.files.csv_file import decode
from ldapgw.phones.description import MODELS, OTHER_MODEL, number_mode, show_mac, title_of
from ldapgw.phones.provisioning.settings import PLACEHOLDERS, Site
from ldapgw.phones.provisioning.window import MINUTES
from ldapgw.phones.rollout import (
    SHEETS_FILE,
    ImportLine,
    NewPhone,
    UnfitImportFile,
    check_file,
    find_owners,
    make_zip,
    new_phone,
    print_sheet,
    read_written_mac,
)
from ldapgw.phones.summary import PhoneCondition, phone_condition
from ldapgw.phrase import Texts, Translatable, gettext_noop, read_texts
from ldapgw.store import accounts, activity, phones
from ldapgw.store.activity import Act, ActivityEntry
from ldapgw.store.phones import PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.admin_tables import Question, Table, TablePage, TableQuery
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import MAX_BODY_SIZE, HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS
from ldapgw.web.phone_forms import read_form_names, taken_mac
from ldapgw.web.phone_pages import PhonePages, attachment, form_model, new_login
from ldapgw.web.provisioning_pages import ProvisioningWindows
from ldapgw.web.sessions import Visitor

log = Logger()

_PAGE = "admin/phones"
# The names of the fields of the form for a new phone, and the name for an error that belongs to no field.
_FIELDS = ("name", "label", "model", "placeholder", "mac", "further", "error")
# The form's value for a phone without an owner.
NOBODY = "nobody"
_NO_FILE = gettext_noop("Choose a CSV file first.")
# A filter shows the phones whose passwords are in one ZIP file.  The filter's name is this text and the `batch_key`.
_BATCH = "zip-"


class _PhoneTexts(Texts, frozen=True):
    """The texts of the pages about phones.

    :ivar same_file: the title of the filter for the phones whose passwords are in one ZIP file.
    :ivar filters: the titles of the table's other filters.
    """

    taken: str
    no_model: str
    no_owner: str
    bad_further: str
    same_file: str
    filters: Mapping[str, str]
    questions: Mapping[str, Question]


TEXTS = read_texts("web/texts/admin_phones", _PhoneTexts)


@dataclass(frozen=True, slots=True)
class PhoneRow:
    """A row of the table.

    :ivar owner: the owners' addresses; empty for a phone without an owner.
    :ivar condition: the phone's condition, from the stored data.
    """

    login: PhoneLogin
    owner: str
    condition: PhoneCondition

    @property
    def model(self) -> str:
        """Return the model's name for people; empty if the model is unknown."""
        return title_of(self.login.model)

    @property
    def works(self) -> bool:
        """Return whether the phone has found a contact, and no setting has to be changed."""
        return self.condition is PhoneCondition.WORKING

    @property
    def is_unused(self) -> bool:
        """Return whether the phone has never used its present password, and has sent no wrong password."""
        is_new = self.login.last_seen is None and self.login.searched_at is None
        return self.condition is PhoneCondition.WAITING and (is_new or self.login.has_unused_password)


_FILTERS: Mapping[str, Callable[[PhoneRow], bool]] = {
    "works": lambda row: row.works,
    "problems": lambda row: not row.works and not row.is_unused,
    "refused": lambda row: row.condition is PhoneCondition.REFUSED,
    "settings": lambda row: row.condition is PhoneCondition.PROBLEMS,
    "unused": lambda row: row.is_unused,
    "nobody": lambda row: row.login.account_id is None,
}
_COLUMNS: Mapping[str, Callable[[PhoneRow], Any]] = {
    "name": lambda row: row.login.name.casefold(),
    "owner": lambda row: row.owner.casefold() or None,
    "model": lambda row: row.model.casefold() or None,
    "state": lambda row: (row.is_unused, row.works),
    "search": lambda row: row.login.searched_at,
    "address": lambda row: row.login.last_address,
}


class AdminPhones:
    """The table of phones, the form for a new phone, and the acts on phones."""

    def __init__(
        self, layout: Layout, phone_pages: PhonePages, passwords: AdminPasswords, windows: ProvisioningWindows
    ) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._phone_pages = phone_pages
        self._passwords = passwords
        self._windows = windows
        self.table = TablePage(
            layout,
            name="phones",
            read=_read,
            order=None,  # the phones are read in the order of their names
            text=_sought,
            filters=_filters,
            columns=_COLUMNS,
            topic=lambda _visit, row: phone_pages.topic(row.login),
            values=self._values,
            key=lambda row: row.login.name,
            title=lambda row: f"{row.login.title} ({row.owner})" if row.owner else row.login.title,
            state=lambda _tenant, row: (row.login.name, row.login.account_ids, row.login.password),
            questions=TEXTS.questions,
            asked={
                "remove": self._remove,
                "password": self._set_passwords,
                "move": self._move,
                "model": self._set_model,
                "window": self._open_window,
            },
            unasked={},
            choices=self._choices,
            unaccepted=self._unaccepted,
        )

    def routes(self) -> tuple[Route, ...]:
        return (
            *self.table.routes(),
            get("/<tenant>/admin/phones/new", self.new, RequiredRole.ADMIN),
            post("/<tenant>/admin/phones/new", self.add, RequiredRole.ADMIN),
        )

    async def new(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/phones/new``: show the form for a new phone; ``account`` preselects the owner."""
        return await self._form(visit, {"owner": visit.query.get("account", "")})

    async def add(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/new``: add a phone; the phone's page then shows the password."""
        model, owner = visit.form.get("model", ""), visit.form.get("owner", "")
        first, _ = await self._owner(visit.tenant, owner) if owner else ((), "")
        further = await visit.store.read(_find_owners, visit.tenant.name, visit.form.get("further", ""))
        name, label, errors = await read_form_names(visit)
        error: Translatable = ""
        if not owner:
            error = TEXTS.no_owner
        elif further is None or (further and not first):
            error = TEXTS.bad_further
        elif model not in {OTHER_MODEL, *MODELS}:
            error = TEXTS.no_model
        mac, mac_error = read_written_mac(visit.form.get("mac", "").strip())
        errors |= {"mac": mac_error} if mac_error else {}
        login, password = new_login(visit, name, tuple(dict.fromkeys((*first, *(further or ())))))
        login = replace(login, mac=mac, label=label)
        if not error and not errors:
            errors = await visit.store.run(_add, login, visit.entry(Act.PHONE_ADDED, name))
        if error or errors:
            sent = {field: visit.form.get(field, "").strip() for field in ("name", "label", "mac", "further")}
            values = {"model": model, "placeholder": login.placeholder, "owner": owner, **sent}
            return await self._form(visit, {**values, "error": error, "errors": errors}, status=400)
        self._phone_pages.show_password(visit.visitor, name, password)
        return await visit.done("phone-added", f"phones/{name}")

    async def _values(self, _visit: Visit, table: Table[PhoneRow]) -> Mapping[str, Any]:
        states = await self._phone_pages.states([row.login for row in table.rows])
        return {"filters": _filter_titles(table.query), "states": states}

    async def _form(self, visit: Visit, values: Mapping[str, Any], status: int = 200) -> HttpResponse:
        return await visit.page(
            "admin_phone_new.html",
            status=status,
            form={**dict.fromkeys(_FIELDS, ""), "errors": {}, **values},
            models=MODELS,
            placeholders=PLACEHOLDERS,
            owners=await visit.store.read(_owners, visit.tenant.name),
        )

    async def _owner(self, tenant: WebTenant, value: str) -> tuple[tuple[int, ...], str]:
        """Return the account that a form chooses as an owner, and its address; no account if the owner is nobody.

        :raises PageError: when there is no such account.
        """
        if value == NOBODY:
            return (), ""
        owners = dict(await self._dependencies.store.read(_owners, tenant.name))
        if value not in owners:
            raise PageError(error_pages.PAGES.bad_form, tenant)
        return (int(value),), owners[value]

    async def _choices(self, visit: Visit, act: str, _rows: Sequence[PhoneRow]) -> Mapping[str, Any]:
        """Return the template values of the page that asks before an act."""
        owners = await visit.store.read(_owners, visit.tenant.name) if act == "move" else ()
        return {
            "models": MODELS,
            "placeholders": PLACEHOLDERS,
            "owners": owners,
            "minutes": MINUTES,
            "may_fetch": visit.tenant.has_provisioning_networks,
            "window_is_open": act == "window" and await self._windows.is_open(visit),
        }

    async def _unaccepted(self, visit: Visit, rows: Sequence[PhoneRow]) -> HttpResponse:
        """Redirect to the new passwords if the form was sent twice, or else to the table with a warning."""
        handed_out = await self._passwords.find_handed_out(visit, [row.login.name for row in rows])
        await self._dependencies.changed()
        return handed_out or visit.redirect("not-accepted", _PAGE)

    async def _remove(self, visit: Visit, selected: Sequence[PhoneRow]) -> HttpResponse:
        entries = self._entries(visit, Act.PHONE_REMOVED, selected)
        await visit.store.run(_for_each, entries, phones.remove)
        self._phone_pages.one_time.forget(*(row.login.name for row in selected))
        return await visit.done("phones-removed", _PAGE)

    async def _move(self, visit: Visit, selected: Sequence[PhoneRow]) -> HttpResponse | None:
        chosen, address = await self._owner(visit.tenant, visit.form.get("owner", ""))
        entries = self._entries(visit, Act.PHONE_MOVED, selected, address)

        def move(connection: Connection) -> None:
            _for_each(connection, entries, phones.set_accounts, chosen)

        if visit.form.get("new_passwords"):
            return await self._set_passwords(visit, selected, move)
        await visit.store.run(move)
        return await visit.done("phones-moved", _PAGE)

    async def _set_model(self, visit: Visit, selected: Sequence[PhoneRow]) -> HttpResponse:
        model = visit.form.get("model", "")
        if model not in {OTHER_MODEL, *MODELS}:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        entries = self._entries(visit, Act.PHONE_MODEL, selected, model)
        stored, placeholder = form_model(visit)
        await visit.store.run(_for_each, entries, phones.set_model, stored, number_mode(stored), placeholder)
        return await visit.done("phones-model", _PAGE)

    async def _open_window(self, visit: Visit, selected: Sequence[PhoneRow]) -> HttpResponse:
        return await self._windows.open(visit, [row.login.name for row in selected])

    async def _set_passwords(
        self, visit: Visit, selected: Sequence[PhoneRow], move: Callable[[Connection], None] | None = None
    ) -> HttpResponse | None:
        """Give phones new passwords; in the same transaction, `move` first gives the phones to another owner."""
        entries = self._entries(visit, Act.PHONE_PASSWORD, selected)
        batch = await self._passwords.give(visit.visitor, [row.login for row in selected], entries, move)
        if not batch:
            return None
        await self._dependencies.changed()
        return self._passwords.redirect(visit, batch)

    def _entries(self, visit: Visit, act: Act, selected: Sequence[PhoneRow], detail: str = "") -> list[ActivityEntry]:
        log.info(
            "web: {act} for {count} phones of tenant {tenant} by the administration, from {address}",
            event="phones_administered",
            act=act.value,
            count=len(selected),
            tenant=visit.tenant.name,
            address=visit.request.address,
        )
        return [visit.entry(act, row.login.name, detail) for row in selected]


class AdminImport:
    """The page that shows the lines of a CSV file with their errors, and adds all phones of the file at once.

    Between the preview and the confirmation, the file is in the page's form, so that the gateway stores nothing of the
    file.  The page that hands out the passwords follows (`ldapgw.web.admin_phones`).
    """

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
        """``/{tenant}/admin/phones/import``: show the form for the file."""
        return await self._page(visit)

    async def preview(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/import``: show the phones of ``file``, and store nothing."""
        octets = visit.request.files.get("file", b"")
        if not octets:
            return await self._page(visit, error=_NO_FILE)
        text = decode(octets)
        try:
            lines = await visit.store.read(check_file, visit.tenant.name, text)
        except UnfitImportFile as error:
            return await self._page(visit, error=error.reason)
        return await self._page(visit, text=text, lines=lines)

    async def add(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/import/add``: add all phones of ``text``; after an error, add no phone."""
        text = visit.form.get("text", "")
        try:
            lines = await visit.store.read(check_file, visit.tenant.name, text)
        except UnfitImportFile as error:
            return await self._page(visit, error=error.reason)
        names = [line.name for line in lines]
        now, is_added = self._layout.now(), False
        if not any(line.errors for line in lines):
            passwords, hashes = self._passwords.generate(names)
            logins = [new_phone(line, visit.tenant.name, hashes[line.name], now) for line in lines]
            entry = visit.entry(Act.PHONES_IMPORTED, detail=str(len(logins)))
            is_added = await visit.change(entry, phones.add_all, logins)
        if not is_added:
            handed_out = await self._passwords.find_handed_out(visit, names)
            lines = await visit.store.read(check_file, visit.tenant.name, text)
            return handed_out or await self._page(visit, text=text, lines=lines)
        batch = self._passwords.keep(visit.visitor, passwords, now)
        await self._dependencies.changed()
        return self._passwords.redirect(visit, batch)

    async def _page(
        self,
        visit: Visit,
        *,
        text: str = "",
        lines: Sequence[ImportLine] = (),
        error: Translatable = "",
    ) -> HttpResponse:
        errors = sum(bool(line.errors) for line in lines)
        return await visit.page(
            "admin_import.html",
            status=400 if error or errors else 200,
            text=text,
            # Lines with an error come first.
            lines=sorted(lines, key=lambda line: not line.errors),
            error=error,
            errors=errors,
            models=[*MODELS, OTHER_MODEL],
            placeholders=PLACEHOLDERS,
            titles={key: model.title for key, model in MODELS.items()},
        )


def _add(connection: Connection, login: PhoneLogin, entry: ActivityEntry) -> dict[str, Translatable]:
    """Store a phone.

    :returns: the reason why the phone cannot be added, by the name of the form's field; empty if the phone is stored.
    """
    if mac_error := taken_mac(connection, login):
        return {"mac": mac_error}
    return {} if activity.recorded(connection, entry, phones.add, login) else {"name": TEXTS.taken}


def _filters(show: str) -> Mapping[str, Callable[[PhoneRow], bool]]:
    """Return the filters of the table, and the filter for the phones of a ZIP file if `show` names this filter."""
    batch = show.removeprefix(_BATCH)
    if batch == show or not (batch.isascii() and batch.isdecimal()):
        return _FILTERS
    return {**_FILTERS, show: lambda row: batch_key(row.login.password_made_at) == batch}


def _filter_titles(query: TableQuery) -> Sequence[tuple[str, str]]:
    """Return the filters to choose from, and the filter for the phones of a ZIP file if this filter is in use."""
    of_batch = ((query.show, TEXTS.same_file),) if query.show.startswith(_BATCH) else ()
    return (*TEXTS.filters.items(), *of_batch)


def _read(connection: Connection, tenant: WebTenant, now: float) -> Sequence[PhoneRow]:
    owners = dict(accounts.read_addresses(connection, tenant.name))
    return [
        PhoneRow(login, ", ".join(login.owners(owners)), phone_condition(login, now))
        for login in phones.read_by_tenant(connection, tenant.name)
    ]


def _sought(row: PhoneRow) -> str:
    """Return the text by which a search finds a row; the text has the MAC address with and without colons."""
    login = row.login
    return " ".join(
        (login.name, login.label, row.owner, row.model, login.last_address or "", login.mac, show_mac(login.mac))
    )


def _owners(connection: Connection, tenant: str) -> tuple[tuple[str, str], ...]:
    """Return the id and the address of each account of a tenant, ordered by address."""
    return tuple((str(key), address) for key, address in accounts.read_addresses(connection, tenant))


def _find_owners(connection: Connection, tenant: str, text: str) -> Sequence[int] | None:
    known = accounts.read_addresses(connection, tenant)
    return find_owners(text, {address.lower(): key for key, address in known})


def _for_each(
    connection: Connection, entries: Sequence[ActivityEntry], function: Callable[..., bool], *args: Any
) -> None:
    """Call ``function(connection, name, …)`` for the phone of each entry; record the entries whose calls succeeded."""
    activity.record(connection, *(entry for entry in entries if function(connection, entry.subject, *args)))


# --- passwords that many phones got at once ---------------------------------------------------------------------------


def batch_key(made_at: float) -> str:
    """Return the key of the phones whose passwords were made at `made_at`; addresses of pages contain the key."""
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
        """Give phones new passwords, and keep the passwords for the page that hands out passwords.

        :param logins: the phones as they were when the administrator chose them.
        :param entries: the entries of the activity log about the passwords.
        :param first: called in the same transaction before the passwords are stored.
        :returns: the `batch_key`; empty if nothing was changed, because a phone has got another password meanwhile.
        """
        passwords, hashes = self.generate([login.name for login in logins])
        now = self._layout.now()
        if not await self._dependencies.store.run(_give, logins, hashes, now, entries, first):
            return ""
        self._phone_pages.one_time.forget(*(login.name for login in logins))
        return self.keep(visitor, passwords, now)

    def generate(self, names: Collection[str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return a new password for each phone and the hash to store for each password, both by the phone's name."""
        random = self._dependencies.random
        passwords = {name: generate_password(random) for name in names}
        return passwords, {name: hash_password(password, random) for name, password in passwords.items()}

    def keep(self, visitor: Visitor, passwords: Mapping[str, str], made_at: float) -> str:
        """Keep passwords in memory for the page that hands out passwords; return the `batch_key`.

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

        :returns: the redirect; None unless all phones in `names` got their passwords with one form in this session.
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
        files = await self._dependencies.render_off_thread(_count_files, handed_out, site)
        return await visit.page(
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
        found = await visit.store.read(_read_batch, visit.tenant, self._layout.now(), batch)
        if not found:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        handed_out = [
            NewPhone(row.login, password, row.owner)
            for row in found
            if (password := self._phone_pages.new_password(visit.visitor, row.login))
        ]
        return [row.login for row in found], handed_out


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


def _read_batch(connection: Connection, tenant: WebTenant, now: float, batch: str) -> Sequence[PhoneRow]:
    return [row for row in _read(connection, tenant, now) if batch_key(row.login.password_made_at) == batch]


def _count_files(handed_out: Iterable[NewPhone], site: Site) -> int:
    """Return for how many phones there is a file with settings."""
    return sum(bool(print_sheet(phone, site).sheet.text) for phone in handed_out)


def _path(batch: str) -> str:
    return f"admin/phones/passwords/{batch}"
