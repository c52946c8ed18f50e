# SPDX-License-Identifier: MIT
"""A phone's page begins, ends, gives away and deletes the phone's recording for people who may see the phone."""

from __future__ import annotations

from typing import Any

import pytest

from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import MAX_RUNNING, RecordingPart, StoredRecording
from ldapgw.web.layout import FLASH_MESSAGES
from tests.support.stage.web import NOW, Browser, Stage, owner, words_on

PHONE = "/acme/phones/desk1"
FILE = f"{PHONE}/recording.jsonl"
RECORD = f"{PHONE}/record"
START, STOP, DELETE, DOWNLOAD = "Record for ten minutes", "Stop recording", "Delete recording", "Download the recording"
BUTTONS = (START, STOP, DELETE, DOWNLOAD)

# Each row has the sentences on the page, the buttons, and the status of the file, by state and whether it is plain.
STATES = {
    ("none", False): ("", {START}, 404),
    ("runs", False): ("Recording until 21 Sept 2026, 14:23 UTC.", {STOP}, 404),
    ("runs", True): (
        "An administrator of the gateway is recording this phone until 21 Sept 2026, 14:23 UTC, with real names and "
        "numbers.",
        {STOP},
        404,
    ),
    ("ended", False): (
        "The recording has ended. If the phone sent anything, the file appears here within a few seconds.",
        {START, DELETE},
        404,
    ),
    ("stored", False): ("3 searches. The file is deleted after seven days.", {START, DELETE, DOWNLOAD}, 200),
    ("stored", True): (
        "3 searches. The file is deleted after seven days. The file contains real names and numbers, so only the "
        "gateway’s administrator can get it, from the command line.",
        {START, DELETE},
        404,
    ),
}


@pytest.fixture
def alice(stage: Stage) -> Browser:
    """Alice owns the phone desk1."""
    return owner(stage)


def bring(stage: Stage, state: str, *, is_plain: bool = False) -> None:
    """Bring the recording of the phone into a state; a stored recording has the parts of two gateways."""
    if state == "none":
        return
    stage.do(recordings.begin, "desk1", NOW, NOW + 600, is_plain=is_plain)
    if state == "stored":
        found = stage.do(recordings.read, "desk1")
        for gateway, searches in (("one", 2), ("two", 1)):
            part = RecordingPart(searches, f'{{"of":"{gateway}"}}\n')
            stage.do(recordings.store_part, stage.secret_box, found, gateway, part)
    if state != "runs":
        stage.do(recordings.end, "desk1", NOW)


@pytest.mark.parametrize(("state", "is_plain"), STATES)
def test_the_page_says_what_there_is_of_a_recording(stage: Stage, alice: Browser, state: str, is_plain: bool) -> None:
    """The page has the fitting buttons; the file has the parts of all gateways, and is not shown in the browser."""
    bring(stage, state, is_plain=is_plain)
    said, buttons, status = STATES[state, is_plain]
    page = words_on(alice.get(PHONE)).replace(" .", ".").replace(" ,", ",")
    sentences = [other for other, _, _ in STATES.values() if other and other in page]
    assert max(sentences, key=len, default="") == said
    assert {button for button in BUTTONS if button in page} == buttons
    found = alice.get(FILE)
    assert found.status == status
    if status == 200:
        assert found.body == '{"of":"one"}\n{"of":"two"}\n'
        assert found.headers["content-disposition"] == ['attachment; filename="desk1.jsonl"']


def test_a_recording_is_begun_ended_and_deleted(stage: Stage, alice: Browser, json_log: list[dict[str, Any]]) -> None:
    """The gateway is told of each act at once, and the page says so; the recording has pseudonyms."""

    def submit(action: str) -> list[str]:
        """Submit the form; return the messages that the page then shows."""
        before = stage.changes
        assert alice.submit(RECORD, action=action).status == 303
        assert stage.changes == before + 1
        page = words_on(alice.get(PHONE))
        texts = {name: str(one.sentence) for name, one in FLASH_MESSAGES.items() if name.startswith("recording-")}
        return [name for name, text in texts.items() if text in page]

    assert submit("start") == ["recording-began"]
    now = stage.clock.seconds()
    assert stage.do(recordings.read, "desk1") == StoredRecording("desk1", now, now + 600, is_plain=False)
    assert submit("stop") == []
    assert not stage.do(recordings.read, "desk1").is_running(now)
    assert submit("delete") == ["recording-deleted"]
    for at in range(MAX_RUNNING):
        stage.do(phones.add, PhoneLogin(f"other{at}", "acme", None, NumberMode.VALUES, "", NOW))
        stage.do(recordings.begin, f"other{at}", NOW, NOW + 1e9, is_plain=False)
    assert submit("start") == ["recording-refused"]
    assert stage.do(recordings.read, "desk1") is None
    assert [line["act"] for line in json_log if "record" in line.get("act", "")] == ["is being recorded"]
    assert [alice.submit(RECORD, **fields).status for fields in ({"action": "sell"}, {})] == [400, 400]


def test_an_administrator_reads_and_deletes_a_recording(stage: Stage) -> None:
    """Only the administrator of the gateway, by the command line, reads a recording with real names."""
    owner(stage)
    bring(stage, "stored")
    administrator = stage.admin()
    assert administrator.get(FILE).status == 200
    assert administrator.submit(RECORD, action="delete").status == 303
    bring(stage, "stored", is_plain=True)
    assert administrator.get(FILE).status == 404


def test_the_page_says_in_german_too_that_the_file_has_personal_data(alice: Browser) -> None:
    """Both pages say so in formal German."""
    page, privacy = (words_on(alice.get(f"{path}?language=de")) for path in (PHONE, "/acme/privacy"))
    assert "enthält die Datei Pseudonyme; behandeln Sie die Datei als personenbezogene Daten" in page
    assert "enthält die Datei Pseudonyme, außer wenn" in privacy
    assert "Die Datei enthält weiterhin personenbezogene Daten." in privacy
