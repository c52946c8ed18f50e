# SPDX-License-Identifier: MIT
"""The searches of the load are searches, always the same ones."""

from __future__ import annotations

import pytest

from bench.directory.asking import ATTRIBUTES, WORKLOADS
from bench.directory.people import person
from ldapgw.ldap.decoder import decode

BASE = "dc=acme,dc=example"
PEOPLE = [person(at) for at in range(50)]


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_what_is_asked_can_be_read(workload):
    """Each is one message with messageID 1 in one octet, for the six attributes."""
    asked = workload.asked(BASE, PEOPLE)
    for request in asked.requests[:100]:
        message = decode(request)
        assert (message.message_id, message.request.attributes) == (1, ATTRIBUTES)
    assert asked == workload.asked(BASE, PEOPLE)


def test_one_caller_in_ten_is_unknown():
    """Their numbers are of a country that has none."""
    requests = WORKLOADS["reverse"].asked(BASE, PEOPLE).requests
    assert 0.08 < sum(b"+49999" in request for request in requests) / len(requests) < 0.12
