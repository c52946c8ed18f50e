# SPDX-License-Identifier: MIT
"""The tests show the activity page, the acts that pages record, and the history of syncs on a person's pages."""

from __future__ import annotations

import re

import pytest

from ldapgw.store import accounts, activity, sync_history, sync_state
from ldapgw.store.activity import COMMAND_LINE, PAGE_SIZE, Act, ActivityEntry, entry
from ldapgw.store.sync_history import SUMMARY_DAYS, SyncAttempt, SyncDay, SyncFigures
from ldapgw.web.i18n import languages
from ldapgw.web.record_texts import ACTS, outcome, strip
from tests.support.stage.web import ALICE, NOW, ROOT, Stage, words_on


def entries(stage: Stage) -> list[tuple[str, str, str, str, bool]]:
    """Return each entry's actor, act, subject, detail and whether the entry has an IP address; the oldest is first."""
    log: tuple[ActivityEntry, ...] = stage.do(activity.read_since, "acme", 0.0)
    return [(one.actor, one.act, one.subject, one.detail, bool(one.address)) for one in log]


def test_pages_record_who_does_what(stage: Stage) -> None:
    """Each form makes one entry; no entry has a secret, a name or a number of a contact."""
    alice = stage.visitor()
    alice.submit("/acme/sync")
    alice.submit("/acme/share", sharing="callers")
    alice.submit("/acme/phones", name="desk9", model="snom")
    alice.submit("/acme/phones", name="desk9", model="snom")  # the name is taken
    alice.submit("/acme/phones/desk9/dialing", number_format="national")
    alice.submit("/acme/phones/desk9/book-address")
    alice.submit("/acme/phones/desk9/book-address/end")
    alice.submit("/acme/phones/desk9/record", action="start")
    alice.submit("/acme/phones/desk9/record", action="start")  # the recording runs already
    alice.submit("/acme/phones/desk9/record", action="stop")
    alice.submit("/acme/phones/desk9/reset")
    alice.submit("/acme/phones/desk9/remove")
    alice.consent()
    alice.submit("/acme/disconnect")
    stage.admin()
    assert entries(stage) == [
        (ALICE, "connected", ALICE, "", True),
        (ALICE, "sync_requested", ALICE, "", True),
        (ALICE, "sharing_changed", ALICE, "callers", True),
        (ALICE, "phone_added", "desk9", "", True),
        (ALICE, "phone_number_format", "desk9", "national", True),
        (ALICE, "book_address_made", "desk9", "", True),
        (ALICE, "book_address_ended", "desk9", "", True),
        (ALICE, "recording_begun", "desk9", "", True),
        (ALICE, "recording_ended", "desk9", "", True),
        (ALICE, "phone_password", "desk9", "", True),
        (ALICE, "phone_removed", "desk9", "", True),
        (ALICE, "reconnected", ALICE, "", True),
        (ALICE, "disconnected", ALICE, "", True),
        (ROOT, "signed_in", ROOT, "", True),
    ]


def test_the_log_is_shown_by_pages_and_filters(stage: Stage) -> None:
    """The newest entry is first.

    A page number that is no number means the first page, and an act that the log lacks means all acts.  Text from
    outside stays text.
    """
    root = stage.admin()
    names = [f"desk{number}" for number in range(PAGE_SIZE + 1)]
    stage.do(activity.record, *(entry(NOW, "acme", COMMAND_LINE, Act.PHONE_ADDED, name) for name in names))
    first = root.get("/acme/admin/activity?page=x")
    assert f">desk{PAGE_SIZE}</td>" in first.body
    assert ">desk0</td>" not in first.body
    assert "Command line" in words_on(first)
    assert ">desk0</td>" in root.get("/acme/admin/activity?sort=when&show=phone_added").body
    assert ">desk0</td>" in root.get("/acme/admin/activity?page=2&show=phone_added").body
    assert root.get("/acme/admin/activity?show=phone_removed").body.count("<tr>") == first.body.count("<tr>")
    assert "Nothing found. 0 rows · Show all 52" in words_on(root.submit("/acme/admin/activity", find="<b>"))
    assert "<b>" not in root.submit("/acme/admin/activity", find="<b>").body
    assert "Signed in" in words_on(root.submit("/acme/admin/activity", find="ROOT@"))
    found = root.submit("/acme/admin/activity", find="line", page="2")
    assert ">desk0</td>" in found.body
    assert "find=" not in found.body


def test_the_log_is_downloaded_as_csv(stage: Stage) -> None:
    """The file has all entries of the tenant, the oldest first, and no cell is a formula.

    The entry of an import has the number of phones.
    """
    root = stage.admin()
    stage.do(activity.record, entry(NOW - 60, "acme", COMMAND_LINE, Act.PHONES_IMPORTED, detail="30"))
    stage.do(activity.record, entry(NOW - 30, "globex", COMMAND_LINE, Act.PHONE_ADDED, "theirs"))
    stage.do(activity.record, entry(NOW - 20, "acme", COMMAND_LINE, Act.PHONE_ADDED, "-1+2=", "a"))
    page = root.get("/acme/admin/activity")
    assert ">30 phones</td>" in page.body
    assert 'href="/acme/admin/activity/csv"' in page.body
    seen = root.get("/acme/admin/activity/csv")
    lines = seen.body.splitlines()
    assert (len(lines), lines[0]) == (4, "time,tenant,actor,act,subject,detail,address")
    assert lines[1].endswith(",acme,command line,phones_imported,,30,")
    assert lines[2].endswith(",acme,command line,phone_added,'-1+2=,a,")
    assert re.fullmatch(r'attachment; filename="?acme-activity-[\d-]+\.csv"?', seen.headers["content-disposition"][0])
    assert stage.browser().get("/acme/admin/activity/csv").status == 403


def test_every_act_has_its_words() -> None:
    assert ACTS.keys() == {*Act}


def test_the_overview_says_how_a_sync_ended(stage: Stage) -> None:
    """The page says "Sync started" until the sync has ended, and then says what the sync changed.

    The page of the account has the syncs of before too.
    """
    alice = stage.visitor()
    (account,) = stage.accounts()
    assert "Sync history You’ll see this after the first sync." in words_on(alice.get("/acme/account"))
    begun = stage.do(sync_state.begin, account.id)
    stage.do(sync_state.end, begun, NOW, NOW + 600)
    assert "Sync started" not in words_on(alice.get("/acme/"))
    alice.submit("/acme/sync")
    assert "Sync started." in words_on(alice.get("/acme/"))
    begun = stage.do(sync_state.begin, account.id)
    assert "Sync started." in words_on(alice.get("/acme/"))

    def end() -> None:
        figures = SyncFigures(added=1, changed=3)
        stage.do(sync_history.add_figures, account.id, begun.attempts, figures, NOW, is_full=False)
        stage.do(sync_state.end, begun, NOW, NOW + 600, begun_at=NOW - 2)

    end()
    page = words_on(alice.get("/acme/"))
    assert "Up to date: 3 changed, 1 added." in page
    assert "Sync started" not in page
    assert "first synced today" in page
    begun = stage.do(sync_state.begin, account.id)
    stage.do(sync_state.fail, begun, "network", NOW, NOW + 60, begun_at=NOW)
    page = words_on(alice.get("/acme/"))
    assert "Sync failed: Google couldn’t be reached." in page
    assert "1 day with failed syncs" in page
    assert "3 changed, 1 added" not in page
    for path in ("/acme/", "/acme/account"):
        assert alice.get(path).body.count("<g>") == SUMMARY_DAYS
        assert 'style="' not in alice.get(path).body
    history = words_on(alice.get("/acme/account"))
    assert history.index("Sync failed: Google couldn’t be reached.") < history.index("Up to date: 3 changed, 1 added.")
    stage.do(accounts.disconnect, account.id)
    assert "<rect" not in alice.get("/acme/").body + alice.get("/acme/account").body


def test_the_overview_sums_up_the_days_of_all_accounts(stage: Stage) -> None:
    stage.visitor()
    (account,) = stage.accounts()
    with stage.database.begin() as connection:
        sync_history.add_figures(connection, account.id, 0, SyncFigures(added=2), NOW, is_full=True)
        for number, error in enumerate(("", "", "network")):
            sync_history.record_end(connection, account.id, number, NOW, NOW, error)
    root = stage.admin()
    page = root.get("/acme/admin").body
    assert page.count("<g>") == SUMMARY_DAYS
    assert "syncs: 2 successful, 1 failed; changes: 2" in page


def test_bars_show_the_share_that_failed() -> None:
    """A few failed syncs among hundreds can be seen, and so can a few good syncs."""
    bars = strip((SyncDay(0), SyncDay(1, 5), SyncDay(2, 4, 1), SyncDay(3, 0, 5)))
    assert [(bar.kind, bar.height, bar.failed) for bar in bars] == [
        ("quiet", 3, 0),
        ("good", 24, 0),
        ("good", 24, 5),
        ("good", 24, 24),
    ]
    few, many = strip((SyncDay(0, 500, 1), SyncDay(1, 1, 500)))
    assert (few.failed, many.failed) == (3, 21)
    (postponed,) = strip((SyncDay(0, is_postponed=True),))
    assert (postponed.kind, postponed.words) == ("quiet", "syncs postponed: Google wasn’t available")


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (SyncAttempt(0, NOW, 1.0, is_full=False, figures=SyncFigures()), "Auf dem neuesten Stand: keine Änderungen."),
        (SyncAttempt(0, NOW, 1.0, is_full=True, figures=SyncFigures(1, 3, 0, 2)), "3 geändert, 1 neu, 2 übersprungen"),
        (
            SyncAttempt(0, NOW, 1.0, is_full=False, figures=SyncFigures(), error="network"),
            "Abgleich fehlgeschlagen: Google war nicht zu erreichen.",
        ),
        (
            SyncAttempt(0, NOW, 0.0, is_full=False, figures=SyncFigures(), error="network", is_postponed=True),
            "Aufgeschoben: Google war nicht zu erreichen.",
        ),
    ],
    ids=["nothing", "changes", "failure", "postponed"],
)
def test_an_outcome_is_all_in_the_reader_s_language(attempt: SyncAttempt, words: str) -> None:
    assert words in languages()["de"].translate(outcome(attempt))
