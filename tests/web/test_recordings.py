# SPDX-License-Identifier: MIT
"""A phone's page begins, ends, gives away and deletes the phone's recording, for those who may see the phone."""

from __future__ import annotations

import pytest

from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import MAX_RUNNING, OVERDUE_SECONDS, StoredRecording
from ldapgw.web.phone_forms import RECORDING_SECONDS
from tests.support.stage.web import BOB, NOW, Stage, owner, words_on

PHONE = "/acme/phones/desk1"
FILE = f"{PHONE}/recording.jsonl"
RECORD = f"{PHONE}/record"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def stored(stage: Stage) -> StoredRecording | None:
    with stage.database.begin() as connection:
        return recordings.read(connection, "desk1")


def begin(stage: Stage, *, is_plain: bool = False) -> StoredRecording:
    with stage.database.begin() as connection:
        recordings.begin(connection, "desk1", NOW, NOW + 600, is_plain=is_plain)
    found = stored(stage)
    assert found is not None
    return found


def written(stage: Stage, *, is_plain: bool = False, searches: int = 3) -> None:
    """A recording whose file is there."""
    found = begin(stage, is_plain=is_plain)
    with stage.database.begin() as connection:
        recordings.claim(connection, stage.secret_box, found, "one", ())
        recordings.set_written(connection, stage.secret_box, found, "one", NOW, '{"format":1}\n', searches)


def test_a_recording_is_begun_and_ended(stage: Stage) -> None:
    """The gateway is told at once, and the page says so while it runs."""
    browser = owner(stage)
    assert "Record for ten minutes" in words_on(browser.get(PHONE))
    before = stage.changes
    assert browser.submit(RECORD, action="start").status == 303
    now = stage.clock.seconds()
    assert stored(stage) == StoredRecording("desk1", now, now + RECORDING_SECONDS, is_plain=False)
    assert stage.changes == before + 1
    page = words_on(browser.get(PHONE))
    assert "Recording until" in page
    assert "Record for ten minutes" not in page
    assert browser.submit(RECORD, action="stop").status == 303
    page = words_on(browser.get(PHONE))
    assert "The file is being written" in page
    assert "Record for ten minutes" not in page


def test_the_file_is_downloaded_and_deleted(stage: Stage) -> None:
    """With how many searches it has; it is not shown in the browser."""
    browser = owner(stage)
    written(stage)
    page = words_on(browser.get(PHONE))
    assert "3 searches. The file is deleted after seven days." in page
    assert "Download the recording" in page
    found = browser.get(FILE)
    assert (found.status, found.body) == (200, '{"format":1}\n')
    assert found.headers["content-disposition"] == ['attachment; filename="desk1.jsonl"']
    assert browser.submit(RECORD, action="delete").status == 303
    assert stored(stage) is None
    page = words_on(browser.get(PHONE))
    assert "Recording deleted." in page
    assert "Download the recording" not in page


def test_a_recording_without_a_file_is_deleted(stage: Stage) -> None:
    """Or another one is begun, once the file should be there."""
    browser = owner(stage)
    found = begin(stage)
    for late, is_offered in ((OVERDUE_SECONDS - 1, False), (OVERDUE_SECONDS, True)):
        stage.clock.advance(found.until + late - stage.clock.seconds())
        page = words_on(browser.get(PHONE))
        assert ("The file is being written" in page) is not is_offered
        for text in ("but its file couldn’t be written yet", "Record for ten minutes", "Delete recording"):
            assert (text in page) is is_offered
        assert "Download the recording" not in page
    assert browser.submit(RECORD, action="delete").status == 303
    assert stored(stage) is None


def test_real_names_are_for_the_command_line(stage: Stage) -> None:
    """The page says that a phone is recorded so, and has no file."""
    browser = owner(stage)
    begin(stage, is_plain=True)
    assert "An administrator of the gateway is recording this phone until" in words_on(browser.get(PHONE))
    browser.submit(RECORD, action="stop")
    written(stage, is_plain=True)
    page = words_on(browser.get(PHONE))
    assert "only the gateway’s administrator can get it" in page
    assert "Download the recording" not in page
    assert browser.get(FILE).status == 404


def test_too_many_at_a_time_are_refused(stage: Stage) -> None:
    """In words."""
    browser = owner(stage)
    with stage.database.begin() as connection:
        for at in range(MAX_RUNNING):
            phones.add(connection, PhoneLogin(f"other{at}", "acme", None, NumberMode.VALUES, "", NOW))
            recordings.begin(connection, f"other{at}", NOW, NOW + 1e9, is_plain=False)
    browser.submit(RECORD, action="start")
    assert stored(stage) is None
    assert "Too many phones are being recorded" in words_on(browser.get(PHONE))


def test_another_form_is_none(stage: Stage) -> None:
    browser = owner(stage)
    assert browser.submit(RECORD, action="sell").status == 400
    assert browser.submit(RECORD).status == 400


def test_others_neither_record_nor_read(stage: Stage) -> None:
    """For a colleague it is as if there were no phone; nor does a form without our token."""
    browser = owner(stage)
    written(stage)
    other = stage.browser()
    other.consent(account=BOB)
    seen, missing = other.get(FILE), other.get(FILE.replace("desk1", "desk9"))
    assert (seen.status, seen.body) == (404, missing.body)
    for action in ("start", "stop", "delete"):
        assert other.submit(RECORD, action=action).status == 404
        assert browser.post(RECORD, {"token": "guess", "action": action}).status == 403
        assert stage.browser().post(RECORD, {"action": action}).status == 403
    assert stage.browser().get(FILE).status == 403
    found = stored(stage)
    assert found is not None
    assert found.searches == 3
