# SPDX-License-Identifier: MIT
"""A phone's page begins, ends, gives away and deletes the phone's recording, for those who may see the phone."""

from __future__ import annotations

import pytest

from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import MAX_RUNNING, RecordingPart, StoredRecording
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


def written(stage: Stage, *, is_plain: bool = False) -> None:
    """A recording of two gateways that has ended."""
    found = begin(stage, is_plain=is_plain)
    with stage.database.begin() as connection:
        for gateway, searches in (("one", 2), ("two", 1)):
            part = RecordingPart(searches, f'{{"of":"{gateway}"}}\n')
            recordings.store_part(connection, stage.secret_box, found, gateway, part)
        recordings.end(connection, "desk1", NOW)


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
    assert "The recording has ended. If the phone sent anything, the file appears here within a few seconds." in page
    assert "Download the recording" not in page
    assert "Record for ten minutes" in page
    assert browser.submit(RECORD, action="delete").status == 303
    assert stored(stage) is None


def test_the_file_is_downloaded_and_deleted(stage: Stage) -> None:
    """With the parts of all gateways, and how many searches they have; it is not shown in the browser."""
    browser = owner(stage)
    written(stage)
    page = words_on(browser.get(PHONE))
    assert "3 searches. The file is deleted after seven days." in page
    assert "Download the recording" in page
    found = browser.get(FILE)
    assert (found.status, found.body) == (200, '{"of":"one"}\n{"of":"two"}\n')
    assert found.headers["content-disposition"] == ['attachment; filename="desk1.jsonl"']
    assert browser.submit(RECORD, action="delete").status == 303
    assert stored(stage) is None
    page = words_on(browser.get(PHONE))
    assert "Recording deleted." in page
    assert "Download the recording" not in page


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


def test_the_page_says_in_german_too_that_the_file_has_personal_data(stage: Stage) -> None:
    """In the formal words in which the privacy page says it."""
    browser = owner(stage)
    page, privacy = (words_on(browser.get(f"{path}?language=de")) for path in (PHONE, "/acme/privacy"))
    assert "enthält die Datei Pseudonyme; behandeln Sie die Datei als personenbezogene Daten" in page
    assert "enthält die Datei Pseudonyme, außer wenn" in privacy
    assert "Die Datei enthält weiterhin personenbezogene Daten." in privacy
