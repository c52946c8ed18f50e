# SPDX-License-Identifier: MIT
"""Reports on the steps of phones' settings: the form below the steps, and the administration's page with the counts.

The counts stay in the gateway.  An administrator can send them to the developers of ldapgw as a mail; the gateway
itself sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import ceil
from urllib.parse import quote

from ldapgw import __version__
from ldapgw.directory.clients import TokenBuckets
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.store import provisioning
from ldapgw.store.activity import Act
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.provisioning import StepReport
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse, read_number
from ldapgw.web.layout import CONFIRMATIONS, Layout, RequiredRole, Route, Visit, get, post

# The most characters of a menu's name, of a model's name and of a firmware version.
MAX_MENU = 60
_MAX_MODEL = 40
# A session may send `_BURST` reports at once, and then one more after each interval.
_BURST = 10
_INTERVAL_SECONDS = 60.0
# Some programs cut the address of a new mail after about 2,000 characters.
_MAX_MAIL_ADDRESS = 1800

# Five digits in a row are a telephone number rather than a menu; people put other characters between the digits.
_NUMBER = re.compile(r"\d(?:[ ./()-]*\d){4}")
_VERSION = re.compile(r"[0-9A-Za-z._()-]*")
# The numbers of a version have dots in between.
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
        """``POST /{tenant}/phones/{name}/steps``: count that all steps of ``vendor`` worked, or what a menu is called.

        ``outcome`` is ``worked`` or ``menu``; a report of the kind ``menu`` has ``step`` and ``menu``.  Every report
        may have ``model`` and ``version``.
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
        return visit.page(
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
        return visit.confirmation(CONFIRMATIONS.step_reports, {}, action=f"{path}/delete", cancel=path)

    async def delete(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/phones/steps/delete``: delete all reports of the tenant."""
        entry = visit.entry(Act.STEP_REPORTS_REMOVED)
        await visit.change(entry, provisioning.remove_reports, visit.tenant.name)
        return visit.redirect("step-reports-removed", "admin/phones/steps")


def _plain(text: str) -> str:
    """Return a text on one line, without control characters."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _is_fit(menu: str, model: str, version: str) -> bool:
    """Return whether the texts of a report are short, and have no address of a person and no telephone number."""
    if len(menu) > MAX_MENU or len(model) > _MAX_MODEL or len(version) > _MAX_MODEL:
        return False
    if any("@" in text or _NUMBER.search(text) for text in (menu, model)):
        return False
    return bool(_VERSION.fullmatch(version)) and not _LONG_NUMBER.search(version)


def mail_text(reports: Sequence[StepReport]) -> str:
    """Return the reports as an English text for the developers; without reports, return an empty text."""
    return "\n".join(_mail_lines(reports))


def _mail_lines(reports: Sequence[StepReport]) -> Iterator[str]:
    """Yield the lines: a heading for each vendor, model and firmware, and below it the reports."""
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
    """Return the address that opens a new mail with a text, or an empty text if such an address is too long.

    The person enters the recipient.
    """
    body = quote(text.replace("\n", "\r\n"))  # RFC 6068 5
    address = f"mailto:?subject={quote(_SUBJECT)}&body={body}"
    return address if len(address) <= _MAX_MAIL_ADDRESS else ""
