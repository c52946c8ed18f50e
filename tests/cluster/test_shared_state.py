# SPDX-License-Identifier: MIT
"""Two gateways on one PostgreSQL: what one of them has in memory, the other shows and counts too.

Gateways in one process would share the memory of which they have to tell each other.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import ldap3
import pytest

from ldapgw.phones.recording import load
from tests.support import pdu
from tests.support.descriptors import find_readable
from tests.support.postgresql import needs_postgresql
from tests.support.site.cluster import Cluster, World, running_cluster
from tests.support.site.running import Process, Site, fetch, wait_until

pytestmark = [needs_postgresql, pytest.mark.long]


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_cluster(tmp_path_factory.mktemp("shared"), 2) as world:
        yield world


def page(cluster: Cluster, site: Site, path: str = "") -> str:
    """A page at one gateway, as Alice sees it, who has signed in at the first one."""
    status, body = fetch(site.page + path, cluster.office.cookie)
    assert status == 200, body
    return body


def shows_search(cluster: Cluster, at: Site, seen_at: Site, text: str) -> None:
    """Search at one gateway until the phone's page at the other shows it: first they have to know each other."""

    def is_shown() -> bool:
        assert at.ldapsearch(f"(cn={text}*)", "cn")[0] == 0
        return text in page(cluster, seen_at, "phones/desk1")

    wait_until(is_shown, "the other gateway shows the search")


def test_guesses_at_both_are_limited_together(world: World) -> None:
    """After some at one gateway, the other one answers the same login and the same network later than others.

    Searches at one gateway are on the page of the other one.
    """
    cluster, _ = world
    first, second = cluster.sites
    shows_search(cluster, first, second, "quokka")
    with ExitStack() as stack:

        def guess(site: Site, source: str, login: str) -> socket.socket:
            guesser = socket.create_connection(("127.0.0.1", site.ldap_port), source_address=(source, 0))
            stack.callback(guesser.close)
            guesser.sendall(pdu.message(1, pdu.bind(login, b"a guess")))
            return guesser

        for answer in [guess(first, "127.0.0.2", "desk1") for _ in range(8)]:
            assert answer.recv(100)
        # News of guesses come before, or together with, a later search.
        shows_search(cluster, first, second, "numbat")
        slow = [guess(second, "127.0.0.3", "desk1"), guess(second, "127.0.0.2", "hall")]
        quick = guess(second, "127.0.0.4", "hall2")
        assert find_readable([*slow, quick], None) == [quick]
        # The right password is not waited for.
        assert second.ldapsearch("-s", "base")[0] == 0
        assert find_readable(slow) == []


def test_pages_go_on_at_the_other(world: World) -> None:
    """Each entry once, although the second page is asked at another gateway than the first."""
    cluster, _ = world
    wait_until(cluster.all_find, "every gateway finds the contacts")
    found: list[str] = []
    cookie = None
    for site, size in zip(cluster.sites, (2, 1000), strict=True):
        server = ldap3.Server("127.0.0.1", site.ldap_port, get_info=ldap3.NONE)
        phone = ldap3.Connection(server, "desk1", site.phones["desk1"], auto_bind=True)
        phone.search("dc=acme,dc=example", "(uid=*)", attributes=["uid"], paged_size=size, paged_cookie=cookie)
        result, entries = phone.result, [*phone.entries]
        phone.unbind()
        assert (result["description"], bool(entries)) == ("success", True)
        found += [entry.uid.value for entry in entries]
        cookie = result["controls"]["1.2.840.113556.1.4.319"]["value"]["cookie"]
    assert cookie == b""
    assert found == cluster.sites[0].names("(uid=*)")


def test_a_recording_has_a_part_of_each_gateway(world: World, tmp_path: Path) -> None:
    """The command at one gateway gets both, and the page of either has the same file, which gives nobody away."""
    cluster, gateways = world
    first, second = cluster.sites
    file = tmp_path / "file.jsonl"
    command = first.command("record", "--phone", "desk1", "--out", str(file))
    before = [gateway.said.count("is being recorded") for gateway in gateways]
    recording = Process(command, tmp_path / "log", tmp_path)
    for gateway, count in zip(gateways, before, strict=True):
        wait_until(lambda: gateway.said.count("is being recorded") > count, "the gateway records the phone")  # noqa: B023
    for site in (first, second, first):
        assert site.ldapsearch("(cn=*)", "cn")[0] == 0
    recording.send(signal.SIGINT)
    assert recording.wait() == 0, recording.said
    parts = load(file.read_text())
    found = sorted([(one.is_bound, one.code, len(one.found)) for one in part.searches] for part in parts)
    assert found == [found[0], found[0] * 2]
    assert found[0][0][:2] == (True, 0)
    assert found[0][0][2] > 0
    assert parts[0].login != parts[1].login
    for site in (first, second):
        assert "Download the recording" in page(cluster, site, "phones/desk1")
        assert page(cluster, site, "phones/desk1/recording.jsonl") == file.read_text()
