# SPDX-License-Identifier: MIT
"""The log has a line a minute of each client's faults, and as many clients as fit."""

from __future__ import annotations

from ldapgw.ldap.admission import LOG_INTERVAL, MAX_TRACKED_ORIGINS, OTHERS, LogLine, LogThrottle


def test_the_first_is_told_at_once_and_the_rest_a_minute_later():
    """With how many there were and what the last one was; then it is forgotten."""
    complaints = LogThrottle()
    assert complaints.add("not LDAP", "a", 0.0, "one") == LogLine("not LDAP", "a", 1, "one")
    assert [complaints.add("not LDAP", "a", float(second), "two") for second in range(50)] == [None] * 50
    assert list(complaints.due(LOG_INTERVAL - 1)) == []
    assert list(complaints.due(LOG_INTERVAL)) == [LogLine("not LDAP", "a", 50, "two")]
    assert list(complaints.due(LOG_INTERVAL + 1)) == []
    assert list(complaints.due(2 * LOG_INTERVAL)) == []
    assert complaints.add("not LDAP", "a", 2 * LOG_INTERVAL) == LogLine("not LDAP", "a", 1, "")


def test_what_was_not_told_is_told_with_the_next():
    """Nobody may have asked for what is due."""
    complaints = LogThrottle()
    complaints.add("not LDAP", "a", 0.0)
    complaints.add("not LDAP", "a", 1.0)
    assert complaints.add("not LDAP", "a", LOG_INTERVAL) == LogLine("not LDAP", "a", 2, "")


def test_a_clock_that_is_set_back_hides_nothing():
    """The time of the last line is no longer believed."""
    complaints = LogThrottle()
    complaints.add("not LDAP", "a", 3600.0)
    complaints.add("not LDAP", "a", 3601.0)
    assert complaints.add("not LDAP", "a", 0.0) == LogLine("not LDAP", "a", 2, "")
    complaints.add("not LDAP", "a", 1.0)
    assert list(complaints.due(-3600.0)) == [LogLine("not LDAP", "a", 1, "")]


def test_kinds_and_origins_are_told_apart():
    """One client's noise hides neither another's nor its own of another kind."""
    complaints = LogThrottle()
    told = [complaints.add(kind, origin, 0.0) for kind in ("x", "y") for origin in ("a", "b")]
    assert [(one.kind, one.origin) for one in told] == [("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")]


def test_an_ipv6_client_is_told_whole():
    """It is counted by its network, and named by its last address."""
    complaints = LogThrottle()
    first = complaints.add("x", "2001:db8::/64", 0.0, address="2001:db8::7")
    complaints.add("x", "2001:db8::/64", 1.0, address="2001:db8::8")
    ipv4 = complaints.add("x", "192.0.2.7", 1.0, address="192.0.2.7")
    [later] = complaints.due(LOG_INTERVAL)
    assert [first.client, ipv4.client, later.client] == [
        "2001:db8::7 (2001:db8::/64)",
        "192.0.2.7",
        "2001:db8::8 (2001:db8::/64)",
    ]


def test_the_table_is_bounded():
    """Who comes new when it is full is counted with the others; when it empties there is room again."""
    complaints = LogThrottle()
    for number in range(MAX_TRACKED_ORIGINS):
        complaints.add("x", f"net{number}", 0.0)
    assert complaints.add("x", "new", 1.0) == LogLine("x", OTHERS, 1, "")
    assert complaints.add("x", "newer", 1.0) is None
    assert complaints.add("x", "net7", 1.0) is None
    assert sorted((one.origin, one.count) for one in complaints.due(1.0, 0.0)) == [("net7", 1), (OTHERS, 1)]
    assert list(complaints.due(2.0 + LOG_INTERVAL)) == []
    assert complaints.add("x", "new", 2.0 + LOG_INTERVAL) == LogLine("x", "new", 1, "")
