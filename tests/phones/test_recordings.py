# SPDX-License-Identifier: MIT
"""Each recording in ``tests/data/recordings`` finds what it found: a recording that is put there is a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldapgw.directory.schema import configure_aliases
from ldapgw.phones.recording_file import load
from ldapgw.phones.replay import RecordedDirectory, replay
from tests.support.recordings import FOLDER, SHEETS

FILES = sorted(FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_recording_finds_what_it_found(file: Path, request: pytest.FixtureRequest) -> None:
    """Among its own entries, which have pseudonyms; it has some."""
    request.addfinalizer(lambda: configure_aliases({}))
    for recording in load(file.read_text()):
        assert not recording.is_plain
        configure_aliases(recording.attribute_aliases)
        differences = replay(recording, RecordedDirectory(recording).find)
        assert [(at, one.missing, one.surplus, one.code) for at, one in differences] == []
        assert any(one.found for one in recording.searches)


def test_there_are_recordings_of_the_vendors() -> None:
    """Of Yealink, Snom and Cisco at least."""
    assert {f"{vendor}.jsonl" for vendor in SHEETS} <= {file.name for file in FILES}
