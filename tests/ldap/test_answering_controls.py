# SPDX-License-Identifier: MIT
"""A control that another package adds to the server; `tests.replication.test_provider` has one that answers."""

from __future__ import annotations

from dataclasses import replace

from ldapgw.directory.access import NOBODY, ReplicaAccess, Viewer
from ldapgw.errors import ResultCode
from ldapgw.ldap.controls import SupportedControl
from ldapgw.ldap.encoder import features
from ldapgw.ldap.messages import Operation
from ldapgw.ldap.search_controls import AnsweringControl, SearchToAnswer
from tests.support import pdu
from tests.support.phonebook.wire import BASE, Client, make_factory, make_gate

ADDED = "1.2.3.4"
REQUESTED = pdu.controls(pdu.control(ADDED, critical=True))


def test_directory_answers_where_the_control_does_not() -> None:
    """The answer is the one without the control, and observers hear of the search; other servers lack the control."""
    searches: list[tuple[object, ...]] = []
    asked: list[SearchToAnswer] = []
    factory = make_factory(replace(make_gate(), observers=(lambda *search: searches.append(search),)))

    def pass_on(search: SearchToAnswer) -> None:
        asked.append(search)

    control = AnsweringControl(pass_on)
    factory.add_controls({ADDED: SupportedControl(frozenset({Operation.SEARCH}), lambda _control: control)})
    client, other = Client(factory), Client(make_factory())
    client.bind()
    assert client.ask(pdu.search(BASE), 7, REQUESTED) == client.ask(pdu.search(BASE), 7)
    [search] = asked
    assert (search.message_id, search.request.base, search.address, search.connection, search.has_other_controls) == (
        *(7, BASE, "192.0.2.1", 1),
        False,
    )
    assert (search.viewer.login, len(searches)) == (client.protocol.login, 2)
    other.bind()
    [done] = other.ask(pdu.search(BASE), 7, REQUESTED)
    assert done.code == ResultCode.UNAVAILABLE_CRITICAL_EXTENSION


def test_root_dse_lists_added_controls() -> None:
    assert set(features(tls=False, more_controls=(ADDED,)).controls) == {*features(tls=False).controls, ADDED}


def test_login_of_a_replica_needs_tls() -> None:
    """Off this machine: whoever reads along would get the hashes of all passwords. Phones may do without TLS."""
    viewer = Viewer("cn=branch,ou=replicas,dc=acme", replica=ReplicaAccess("acme"))
    refused: list[tuple[object, ...]] = []
    gate = replace(
        make_gate(),
        authenticate=lambda name, password, _address: viewer if (name, password) == ("branch", b"secret") else None,
        anonymous=lambda _address: NOBODY,
        replica_refused=lambda *refusal: refused.append(refusal),
    )
    factory = make_factory(gate)
    bind = pdu.bind("branch", b"secret")
    away = Client(factory)
    [bound] = away.ask(bind)
    assert (bound.code, bound.diagnostic) == (ResultCode.CONFIDENTIALITY_REQUIRED, "the login of a replica needs TLS")
    assert refused == [(viewer, "192.0.2.1", "refused: no TLS", 1)]
    assert away.protocol.login == ""
    for host, secure in (("192.0.2.1", True), ("127.0.0.1", False), ("::1", False)):
        client = Client(factory, host, secure=secure)
        assert [one.code for one in client.ask(bind)] == [0]
        # The login finds nothing by a search.
        assert [one.code for one in client.ask(pdu.search(BASE), 2)] == [ResultCode.INSUFFICIENT_ACCESS_RIGHTS]
    assert len(refused) == 1
