# SPDX-License-Identifier: MIT
"""The administration's page about files of contacts: their state, their problems, and the upload of a new file.

Between the preview and the confirmation, the new file is in the page's form, so that the gateway stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.errors import ProcessLost
from ldapgw.files.card import TEXTS as PROBLEMS
from ldapgw.files.csv_file import decode
from ldapgw.files.reading import FilePreview, FileStatus
from ldapgw.phrase import Phrase, Texts, Translatable, read_texts
from ldapgw.store import activity
from ldapgw.store.activity import Act
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import MAX_BODY_SIZE, HttpResponse, read_number
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post

log = Logger()

_PAGE: Final = "admin/files"
# The maximum number of octets of all fields of a form other than the file.
_OTHER_FIELDS: Final = 4096
# The maximum number of digits of a file's version.
_VERSION_DIGITS: Final = 20
_CARDS: Final = ("BEGIN:VCARD", "<?XML", "<PHONEBOOK")


class _FileTexts(Texts, frozen=True):
    """The texts of the page.

    :ivar sharing: texts that say who finds the contacts of a file, by the file's sharing; ``group`` is for all groups.
    """

    no_file: str
    too_large: str
    changed: str
    no_permission: str
    sharing: Mapping[str, str]


_TEXTS = read_texts("web/texts/admin_files", _FileTexts)


class AdminFiles:
    """The page about the files of a tenant."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._files = layout.dependencies.files

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/admin/files", self.show, RequiredRole.ADMIN),
            get("/<tenant>/admin/files/<file>", self.show_upload, RequiredRole.ADMIN),
            post("/<tenant>/admin/files/<file>", self.preview, RequiredRole.ADMIN, MAX_BODY_SIZE),
            get("/<tenant>/admin/files/<file>/replace", self.show_upload, RequiredRole.ADMIN),
            post("/<tenant>/admin/files/<file>/replace", self.replace, RequiredRole.ADMIN, MAX_BODY_SIZE),
        )

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/files``: show the state of each file."""
        files = self._files.statuses(visit.tenant.name)
        return await visit.page("admin_files.html", files=files, sharing_words=_sharing_words)

    async def show_upload(self, visit: Visit, file: str) -> HttpResponse:
        """``/{tenant}/admin/files/{file}``: show the form for a new file."""
        return await self._page(visit, self._status(visit, file))

    async def preview(self, visit: Visit, file: str) -> HttpResponse:
        """``POST /{tenant}/admin/files/{file}``: show the contacts of ``file``, and store nothing."""
        status, octets = self._status(visit, file), visit.request.files.get("file", b"")
        if not octets:
            return await self._page(visit, status, error=_TEXTS.no_file)
        text = decode(octets)
        # A browser sends each end of a line as two characters.
        if len(text.replace("\r\n", "\n").replace("\n", "\r\n").encode()) > MAX_BODY_SIZE - _OTHER_FIELDS:
            return await self._page(visit, status, error=Phrase(_TEXTS.too_large, {"path": status.path}))
        try:
            preview = await self._files.preview(visit.tenant.name, file, text.encode())
        except ProcessLost:
            return await self._page(visit, status, error=PROBLEMS.not_built)
        return await self._page(visit, status, text=text, preview=preview)

    async def replace(self, visit: Visit, file: str) -> HttpResponse:
        """``POST /{tenant}/admin/files/{file}/replace``: replace the file by ``text``, whole or not at all."""
        status, text = self._status(visit, file), visit.form.get("text", "")
        version = read_number(visit.form.get("version", ""), -1, digits=_VERSION_DIGITS)
        try:
            preview = await self._files.preview(visit.tenant.name, file, text.encode())
        except ProcessLost:
            return await self._page(visit, status, error=PROBLEMS.not_built)
        if preview.problem_count:
            return await self._page(visit, status, text=text, preview=preview)
        try:
            is_replaced = version == preview.version and await self._files.replace(
                visit.tenant.name, file, _octets(text), version
            )
        except OSError as error:
            log.warn(
                "tenant {tenant}: the file {name} ({file}) cannot be replaced: {reason}",
                event="file_not_replaced",
                tenant=visit.tenant.name,
                name=file,
                file=status.path,
                reason=error.strerror or "I/O error",
            )
            error_text = Phrase(_TEXTS.no_permission, {"path": status.path})
            return await self._page(visit, status, text=text, preview=preview, error=error_text)
        if not is_replaced:
            return await self._page(visit, status, text=text, preview=preview, error=_TEXTS.changed)
        await visit.store.run(activity.record, visit.entry(Act.FILE_REPLACED, file))
        return visit.redirect("file-replaced", _PAGE)

    def _status(self, visit: Visit, file: str) -> FileStatus:
        """Return the state of a file.

        :raises PageError: with the page "not found", if the tenant has no such file.
        """
        for status in self._files.statuses(visit.tenant.name):
            if status.name == file:
                return status
        raise PageError(error_pages.PAGES.not_found, visit.tenant)

    async def _page(
        self,
        visit: Visit,
        status: FileStatus,
        *,
        text: str = "",
        preview: FilePreview | None = None,
        error: Translatable = "",
    ) -> HttpResponse:
        has_problem = error or (preview is not None and preview.problem_count)
        if preview is not None and not preview.may_replace and not error:
            error = Phrase(_TEXTS.no_permission, {"path": status.path})
        return await visit.page(
            "admin_file.html",
            status=400 if has_problem else 200,
            file=status,
            text=text,
            preview=preview,
            error=error,
            most_kib=(MAX_BODY_SIZE - _OTHER_FIELDS) >> 10,
            is_shared=self._layout.dependencies.is_shared,
        )


def _octets(text: str) -> bytes:
    """Encode a file; a CSV file gets a byte order mark, by which spreadsheet programs recognize UTF-8."""
    text = text.lstrip("\ufeff")
    return text.encode("utf-8" if text.lstrip().upper().startswith(_CARDS) else "utf-8-sig")


def _sharing_words(sharing: Sharing) -> Translatable:
    """Return a text that says who finds the contacts of a file."""
    return Phrase(_TEXTS.sharing["group" if sharing.group else sharing.value], {"group": sharing.group})
