# SPDX-License-Identifier: MIT
"""What the tests of ``ldapgw.web`` share."""

from __future__ import annotations

import pytest

from tests.support.stage.web import Browser, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def browser(stage: Stage) -> Browser:
    return stage.browser()
