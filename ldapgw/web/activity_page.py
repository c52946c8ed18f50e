# SPDX-License-Identifier: MIT
"""The activity page: who did what in a tenant, for its administrators."""

from __future__ import annotations

from ldapgw.store import activity
from ldapgw.web.http import HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post
from ldapgw.web.record_texts import act_words, actor_words

# No address is longer (RFC 5321 4.5.3.1).
_MAX_PERSON = 254
# Links to pages on either side of the present one.
_NEAR_PAGES = 4


class ActivityPage:
    """The page of the activity log."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def routes(self) -> tuple[Route, ...]:
        """The routes of this page."""
        return (
            get("/<tenant>/admin/activity", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/activity", self.show, RequiredRole.ADMIN),
        )

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/activity``, filtered by ``act`` and ``person``, from the page ``page`` on.

        A person comes in a form, and stands in no address of a page.
        """
        query = visit.form or visit.query
        act, person = query.get("act", ""), visit.form.get("person", "").strip()[:_MAX_PERSON]
        wanted = query.get("page", "1")
        number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 9 else 1
        oldest_first = query.get("order") == "oldest"
        store = self._layout.dependencies.store
        log = await store.read(
            activity.read_page, visit.tenant.name, act=act, person=person, number=number, oldest_first=oldest_first
        )
        acts = await store.read(activity.read_acts, visit.tenant.name)
        near = range(max(log.number - _NEAR_PAGES, 1), min(log.number + _NEAR_PAGES, log.pages) + 1)
        return visit.page(
            "admin_activity.html",
            log=log,
            acts=[(code, act_words(code)) for code in acts],
            act=act,
            person=person,
            oldest_first=oldest_first,
            numbers=sorted({1, *near, log.pages}),
            act_words=act_words,
            actor_words=actor_words,
            keep_days=round(visit.tenant.activity_keep / 86400),
        )
