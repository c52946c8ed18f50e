# SPDX-License-Identifier: MIT
"""The session as a state machine: messages in, steps out.

The bind matrix of RFC 4513.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.directory.access import NOBODY
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.admission import CallerIdLimits
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.encoder import encode
from ldapgw.ldap.fast_path import FastPath
from ldapgw.ldap.limits import WAITING, Limits
from ldapgw.ldap.messages import SUCCESS, BindRequest, Message, Operation, Reply, Result, Sasl, Simple
from ldapgw.ldap.session import (
    ANONYMOUS,
    SESSION_TABLE,
    Close,
    Credentials,
    DelayResult,
    SendReply,
    Session,
    StartSearch,
    StartTls,
    StopSearch,
    acts_for,
    check_bind,
)
from tests.support import pdu
from tests.support.phonebook.wire import BASE, BOOK, DESK1, LIMITS, LOCAL_NET, SECRET, VIEWER, make_gate

NOT_CRITICAL = pdu.controls(pdu.control("1.2.3.4"))
CRITICAL = pdu.controls(pdu.control("1.2.3.4", critical=True))
WRONG = Result(ResultCode.INVALID_CREDENTIALS, "name or password is wrong")


def session(address: str = "192.0.2.1", limits: Limits = LIMITS, **conditions) -> Session:
    return Session(
        make_gate(),
        limits,
        FastPath(limits.size_limit),
        CallerIdLimits(lambda: 0.0, lambda *_: None),
        address,
        **{"tls": True, "secure": False, "require_tls": False} | conditions,
    )


def message(message_id: int, request: bytes, controls: bytes = b"") -> Message:
    return decode(pdu.message(message_id, request, controls))


def ask(state: Session, request: bytes, message_id: int = 1, controls: bytes = b""):
    """The step that one request leads to when nothing else is going on."""
    steps = state.receive(message(message_id, request, controls))
    return steps or state.advance()


def answer(state: Session, request: bytes, controls: bytes = b"") -> Result:
    step = ask(state, request, controls=controls)
    if isinstance(step, tuple):
        [step] = step
    assert isinstance(step, SendReply), step
    assert step.reply.message_id == 1
    return step.reply.result


def bound(**conditions) -> Session:
    state = session(**conditions)
    assert answer(state, pdu.bind(DESK1, SECRET)) == SUCCESS
    return state


# --- bind -----------------------------------------------------------------------------------------------------------


def test_a_new_session_has_the_rights_of_its_address():
    """Without a bind a client is anonymous (RFC 4511 4.2.1)."""
    assert session().viewer is NOBODY
    assert session(LOCAL_NET + "7").viewer.access


def test_clients_of_one_network_ask_as_one_until_they_bind():
    """Their slices of work are shared, because an IPv6 client has as many addresses as it wants."""
    one, other = session("2001:db8::1"), session("2001:db8::2")
    assert one.requester == other.requester != session("2001:db8:0:1::1").requester
    assert answer(one, pdu.bind(DESK1, SECRET)) == SUCCESS
    assert one.requester == one.viewer.login != other.requester


@pytest.mark.parametrize("name", [DESK1, "desk1"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_login_binds(name, version):
    """By its DN or its bare name, in either version."""
    state = session()
    assert answer(state, pdu.bind(name, SECRET, version)) == SUCCESS
    assert state.viewer == VIEWER
    assert not state.busy


def test_a_wrong_password_is_held_back_and_leaves_the_session_anonymous():
    """RFC 4513 4: after a failed bind the session is anonymous."""
    state = bound()
    assert ask(state, pdu.bind(DESK1, b"guess")) == DelayResult(WRONG)
    assert state.busy
    assert state.viewer is NOBODY
    assert state.finish(WRONG) == Reply(1, Operation.BIND, WRONG)
    assert not state.busy


@pytest.mark.parametrize(
    ("request_", "controls", "code"),
    [
        (pdu.bind(DESK1), b"", ResultCode.UNWILLING_TO_PERFORM),
        (pdu.bind("", b"x"), b"", ResultCode.INVALID_CREDENTIALS),
        (pdu.bind(DESK1, SECRET, 4), b"", ResultCode.PROTOCOL_ERROR),
        (pdu.sasl("DIGEST-MD5"), b"", ResultCode.AUTH_METHOD_NOT_SUPPORTED),
        (pdu.bind(DESK1, SECRET), CRITICAL, ResultCode.UNAVAILABLE_CRITICAL_EXTENSION),
        (pdu.bind(), b"", ResultCode.SUCCESS),
    ],
    ids=["no password", "password alone", "version 4", "mechanism", "control", "anonymous"],
)
def test_any_other_bind_takes_the_login_away(request_, controls, code):
    """Any other bind ends the former login, even if the bind fails (RFC 4513 4)."""
    state = bound()
    assert answer(state, request_, controls).code is code
    assert state.viewer is NOBODY


def test_where_tls_is_required_a_password_in_clear_is_refused():
    """And accepted over TLS, as SASL PLAIN is; the client is noted for those who look for the reason."""
    noted = []
    refusing = session(require_tls=True)
    refusing._port = replace(refusing._port, unfit_client=lambda kind, address: noted.append((kind, address)))
    assert answer(refusing, pdu.bind(DESK1, SECRET)).code is ResultCode.CONFIDENTIALITY_REQUIRED
    assert noted == [("password without TLS", "192.0.2.1")]
    state = bound(require_tls=True, secure=True)
    assert answer(state, pdu.sasl("PLAIN", b"\0desk1\0" + SECRET)) == SUCCESS
    assert state.viewer == VIEWER


def test_whoever_names_plain_alone_is_asked_for_the_rest():
    """RFC 4422 3: with an empty challenge; meanwhile nobody is logged in."""
    state = bound(secure=True)
    step = ask(state, pdu.sasl("PLAIN"))
    assert step == SendReply(Reply(1, Operation.BIND, Result(ResultCode.SASL_BIND_IN_PROGRESS), value=b""))
    assert encode(step.reply) == pdu.tlv(0x30, pdu.integer(1) + bytes.fromhex("6109 0a010e 0400 0400 8700"))
    assert state.viewer is NOBODY
    assert answer(state, pdu.sasl("PLAIN", b"\0desk1\0" + SECRET)) == SUCCESS
    assert state.viewer == VIEWER


def test_a_login_acts_for_itself_alone():
    """RFC 4513 5.2.1.8: with the right password, another identity is refused as a wrong password is."""
    state = session(secure=True)
    assert answer(state, pdu.sasl("PLAIN", b"u:desk1\0desk1\0" + SECRET)) == SUCCESS
    assert state.viewer == VIEWER
    assert ask(state, pdu.sasl("PLAIN", b"u:desk2\0desk1\0" + SECRET)) == DelayResult(WRONG)
    assert state.viewer is NOBODY


def test_a_bind_waits_for_what_was_asked_for_before():
    """RFC 4511 4.2.1; it is answered with the rights that were there, and a bind that is held back goes on.

    A bind that could be answered at once waits too.
    """
    state = bound()
    run = ask(state, pdu.search(BASE, 2), 2)
    assert isinstance(run, StartSearch)
    assert state.receive(message(3, pdu.search(BASE, 2))) == ()
    assert state.receive(message(4, pdu.bind("desk1", b"guess"))) == ()
    assert (state.viewer, state.advance()) == (VIEWER, None)
    assert state.finish(SUCCESS).message_id == 2
    assert everything(state.advance())[1] is ResultCode.SUCCESS
    assert state.finish(SUCCESS).message_id == 3
    assert state.advance() == DelayResult(WRONG)
    assert state.receive(message(5, pdu.search(BASE, 2))) == ()
    assert state.receive(message(6, pdu.bind("desk1", SECRET))) == ()
    assert state.advance() is None
    assert state.finish(WRONG).message_id == 4
    assert everything(state.advance()) == (0, ResultCode.INSUFFICIENT_ACCESS_RIGHTS)
    assert state.finish(SUCCESS).message_id == 5
    assert state.advance() == SendReply(Reply(6, Operation.BIND, SUCCESS))
    assert state.advance() is None
    assert state.viewer == VIEWER
    again = pdu.message(8, pdu.bind("desk1", SECRET))
    assert state.receive(message(7, pdu.search(BASE, 2))) == ()
    assert state.fast_answer(again) is None
    assert isinstance(state.advance(), StartSearch)
    assert state.fast_answer(again) is None
    assert state.finish(SUCCESS).message_id == 7
    assert state.fast_answer(again) is not None


# --- search ---------------------------------------------------------------------------------------------------------


def everything(run: StartSearch) -> tuple[int, ResultCode]:
    """Count the entries that a search gives, and return its result code."""
    found = 0
    try:
        for portion in run.batches:
            found += 0 if portion is None else len(portion)
    except DirectoryError as error:
        return found, error.code
    return found, ResultCode.SUCCESS


@pytest.mark.parametrize(
    ("asked", "ours", "expected"),
    [
        (0, 1000, (52, ResultCode.SUCCESS)),
        (52, 1000, (52, ResultCode.SUCCESS)),
        (5, 1000, (5, ResultCode.SIZE_LIMIT_EXCEEDED)),
        (0, 7, (7, ResultCode.SIZE_LIMIT_EXCEEDED)),
        (50, 7, (7, ResultCode.SIZE_LIMIT_EXCEEDED)),
    ],
)
def test_the_smaller_size_limit_counts(asked, ours, expected):
    """Zero is no limit of the client's; exactly as many as the limit is success."""
    run = ask(bound(limits=replace(LIMITS, size_limit=ours)), pdu.search(BASE, 2, size=asked))
    assert everything(run) == expected


@pytest.mark.parametrize(("asked", "effective"), [(0, 10.0), (3, 3), (50, 10.0)])
def test_the_smaller_time_limit_counts(asked, effective):
    """Seconds; ours are 10."""
    run = ask(bound(), pdu.search(BASE, 2, time=asked, types_only=True))
    assert (run.message_id, run.time_limit, run.types_only) == (1, effective, True)


def test_a_search_that_fails_says_so_when_it_is_pulled():
    """An error of the directory's is the answer's, not the session's."""
    run = ask(bound(), pdu.search("dc=nowhere", 2))
    assert everything(run) == (0, ResultCode.NO_SUCH_OBJECT)


def test_a_rejected_request_is_answered_in_its_turn():
    """It could be read; so the session goes on."""
    state = bound()
    assert answer(state, pdu.search(scope=9)) == Result(ResultCode.PROTOCOL_ERROR, "scope: unknown value")
    assert isinstance(ask(state, pdu.search()), StartSearch)


# --- compare, writes, extended operations, controls -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "attribute", "value", "code"),
    [
        (f"uid=c7,{BOOK}", "cn", b"USER 00007", ResultCode.COMPARE_TRUE),
        (f"uid=c7,{BOOK}", "cn", b"User 00008", ResultCode.COMPARE_FALSE),
        (f"uid=c7,{BOOK}", "mail", b"x", ResultCode.NO_SUCH_ATTRIBUTE),
    ],
)
def test_compare(entry, attribute, value, code):
    """RFC 4511 4.10."""
    assert answer(bound(), pdu.compare(entry, attribute, value)).code is code


WRITES = {
    **{tag.name: bytes((tag, 2)) + b"\xff\xff"
       for tag in (Operation.ADD, Operation.DELETE, Operation.MODIFY, Operation.MODIFY_DN)},
    "password": pdu.extended("1.3.6.1.4.1.4203.1.11.1"),
    "password with a value": pdu.extended("1.3.6.1.4.1.4203.1.11.1", b"x"),
}  # fmt: skip


@pytest.mark.parametrize("request_", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("state", [session, bound], ids=["anonymous", "bound"])
def test_nothing_is_ever_written(request_, state):
    """Each write is refused to everybody; RFC 3062 is known, and the root DSE does not list it."""
    assert answer(state(), request_) == Result(ResultCode.UNWILLING_TO_PERFORM, "this directory is read-only")


def test_who_am_i():
    """RFC 4532: dn: and the DN, or nothing at all."""
    assert ask(bound(), pdu.WHO_AM_I).reply == Reply(1, Operation.EXTENDED, SUCCESS, value=b"dn:" + DESK1.encode())
    assert ask(session(), pdu.WHO_AM_I).reply == Reply(1, Operation.EXTENDED, SUCCESS, value=b"")


@pytest.mark.parametrize(
    "request_",
    [
        pdu.extended("1.3.6.1.4.1.4203.1.11.3", b"x"),
        pdu.extended(""),
        pdu.extended("1.3.6.1.1.8"),
        pdu.extended("1.3.6.1.4.1.1466.20037", b""),
    ],
    ids=["Who am I? with a value", "no name", "Cancel of nothing", "StartTLS with a value"],
)
def test_other_extended_operations_are_a_protocol_error(request_):
    """RFC 4511 4.12."""
    assert answer(bound(), request_).code is ResultCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "request_",
    [
        pdu.bind(DESK1, SECRET),
        pdu.search(),
        pdu.compare("", "objectClass", b"top"),
        pdu.WHO_AM_I,
        pdu.START_TLS,
        pdu.cancel(1),
        bytes((Operation.ADD, 0)),
    ],
    ids=["bind", "search", "compare", "whoami", "StartTLS", "cancel", "add"],
)
def test_an_unknown_critical_control_fails_any_operation(request_):
    """RFC 4511 4.1.11; the operation is not performed."""
    state = session()
    assert answer(state, request_, controls=CRITICAL).code is ResultCode.UNAVAILABLE_CRITICAL_EXTENSION
    assert (state.viewer, state.secure) == (NOBODY, False)


def test_an_abandon_with_an_unknown_critical_control_is_not_performed():
    """RFC 4511 4.1.11; it is not answered all the same."""
    state = bound()
    ask(state, pdu.search(BASE, 2), 2)
    assert state.receive(message(3, pdu.abandon(2), CRITICAL)) == ()
    assert state.busy


# --- requests while an operation is outstanding ---------------------------------------------------------------------

# The replies to request 3, at once and later, while operation 2 is outstanding.
TABLE = """
OPERATION | NOTHING      |                             | 3 SUCCESS
OPERATION | WAITING      |                             | 2 SUCCESS, 3 SUCCESS
OPERATION | WAITING_BIND |                             | 2 SUCCESS, 3 SUCCESS
OPERATION | SEARCH       |                             | 2 SUCCESS, 3 SUCCESS
OPERATION | BIND         |                             | 2 INVALID_CREDENTIALS, 3 SUCCESS
ABANDON   | NOTHING      |                             |
ABANDON   | WAITING      |                             |
ABANDON   | WAITING_BIND |                             | 2 SUCCESS
ABANDON   | SEARCH       | stop                        |
ABANDON   | BIND         |                             | 2 INVALID_CREDENTIALS
CANCEL    | NOTHING      | 3 NO_SUCH_OPERATION         |
CANCEL    | WAITING      | 2 CANCELED, 3 SUCCESS       |
CANCEL    | WAITING_BIND | 3 CANNOT_CANCEL             | 2 SUCCESS
CANCEL    | SEARCH       | stop, 2 CANCELED, 3 SUCCESS |
CANCEL    | BIND         | 3 CANNOT_CANCEL             | 2 INVALID_CREDENTIALS
START_TLS | NOTHING      | 3 SUCCESS, TLS              |
START_TLS | WAITING      | 3 OPERATIONS_ERROR          | 2 SUCCESS
START_TLS | WAITING_BIND | 3 OPERATIONS_ERROR          | 2 SUCCESS
START_TLS | SEARCH       | 3 OPERATIONS_ERROR          | 2 SUCCESS
START_TLS | BIND         | 3 OPERATIONS_ERROR          | 2 INVALID_CREDENTIALS
UNBIND    | NOTHING      | close                       |
UNBIND    | WAITING      | close                       |
UNBIND    | WAITING_BIND | close                       | 2 SUCCESS
UNBIND    | SEARCH       | stop, close                 |
UNBIND    | BIND         | close                       | 2 INVALID_CREDENTIALS
"""
ROWS = [tuple(cell.strip() for cell in line.split("|")) for line in TABLE.strip().splitlines()]
REQUESTS = {
    "OPERATION": pdu.WHO_AM_I,
    "ABANDON": pdu.abandon(2),
    "CANCEL": pdu.cancel(2),
    "START_TLS": pdu.START_TLS,
    "UNBIND": pdu.UNBIND,
}
# Operation 2, and whether it has begun.
MET = {
    "WAITING": (pdu.WHO_AM_I, False),
    "WAITING_BIND": (pdu.bind(DESK1, SECRET), False),
    "SEARCH": (pdu.search(BASE, 2), True),
    "BIND": (pdu.bind(DESK1, b"guess"), True),
}


def seen(steps) -> str:
    words = {StopSearch: "stop", Close: "close"}
    found = []
    for step in steps:
        if isinstance(step, (SendReply, StartTls)):
            found.append(f"{step.reply.message_id} {step.reply.result.code.name}")
        found += ["TLS"] if isinstance(step, StartTls) else filter(None, [words.get(type(step))])
    return ", ".join(found)


def test_the_table_has_a_row_for_each_request_and_each_state():
    assert [(kind.name, met.name) for kind, met in SESSION_TABLE] == [(kind, met) for kind, met, _, _ in ROWS]


@pytest.mark.parametrize("controls", [b"", NOT_CRITICAL], ids=["bare", "with a control"])
@pytest.mark.parametrize(("kind", "met", "at_once", "later"), ROWS)
def test_a_row_of_the_table(kind, met, at_once, later, controls):
    """RFC 4511 4.3, 4.11 and 4.14.1, RFC 3909."""
    state = bound()
    if met in MET:
        request, is_begun = MET[met]
        state.receive(message(2, request))
        held_back = state.advance() if is_begun else None
    assert seen(state.receive(message(3, REQUESTS[kind], controls))) == at_once
    answered = []
    if state.busy:
        answered.append(SendReply(state.finish(held_back.result if met == "BIND" else SUCCESS)))
    while (step := state.advance()) is not None:
        answered.append(step)
    assert seen(answered) == later
    assert not state.busy
    assert state.secure is (at_once == "3 SUCCESS, TLS")


def test_other_operations_go_on():
    """An Abandon of one operation leaves the others as they are, and they are answered as they came."""
    state = bound()
    ask(state, pdu.search(BASE, 2), 2)
    for message_id in (9, 3, 4):
        assert state.receive(message(message_id, pdu.WHO_AM_I)) == ()
    assert state.receive(message(5, pdu.abandon(3))) == ()
    assert state.receive(message(6, pdu.abandon(2))) == (StopSearch(),)
    assert [state.advance().reply.message_id for _ in range(2)] == [9, 4]
    assert state.advance() is None


def test_unbind_ends_it_all():
    """Nothing that waits is answered any more; controls do not matter."""
    state = bound()
    ask(state, pdu.search(BASE, 2), 2)
    state.receive(message(3, pdu.WHO_AM_I))
    assert state.receive(message(2, pdu.UNBIND, CRITICAL)) == (StopSearch(), Close())
    assert state.advance() is None


def test_a_message_id_in_use_ends_the_session():
    """RFC 4511 4.1.1.1: of what runs, or of what waits; afterwards it may be used again."""
    state = bound()
    ask(state, pdu.search(BASE, 2), 2)
    state.receive(message(3, pdu.WHO_AM_I))
    for request in (pdu.search(), pdu.abandon(2), pdu.cancel(2)):
        for message_id in (2, 3):
            with pytest.raises(ProtocolViolation, match="messageID: already in use"):
                state.receive(message(message_id, request))
    state.finish(SUCCESS)
    assert state.receive(message(2, pdu.search())) == ()


def test_a_hundred_requests_may_wait():
    """Then it is full, until one is taken."""
    state = bound()
    ask(state, pdu.search(BASE, 2), 1000)
    for message_id in range(1, WAITING + 1):
        assert not state.full
        state.receive(message(message_id, pdu.WHO_AM_I))
    assert state.full
    state.finish(SUCCESS)
    state.advance()
    assert not state.full


# --- StartTLS -------------------------------------------------------------------------------------------------------


def test_start_tls_begins_once_and_forgets_the_login():
    """RFC 4511 4.14."""
    state = bound()
    reply = Reply(1, Operation.EXTENDED, SUCCESS, name="1.3.6.1.4.1.1466.20037")
    assert ask(state, pdu.START_TLS) == (StartTls(reply),)
    assert (state.secure, state.viewer) == (True, NOBODY)
    [again] = ask(state, pdu.START_TLS)
    assert again.reply.result == Result(ResultCode.OPERATIONS_ERROR, "TLS is already in use")


def test_start_tls_without_a_certificate_is_a_protocol_error():
    """The connection stays usable."""
    state = bound(tls=False)
    [refused] = ask(state, pdu.START_TLS)
    assert refused.reply.result == Result(ResultCode.PROTOCOL_ERROR, "StartTLS is not supported")
    assert state.viewer == VIEWER


DN = "cn=desk1,ou=phones,dc=acme,dc=example"


def outcome(request, **conditions):
    judged = check_bind(request, **{"secure": False, "require_tls": False} | conditions)
    return judged.code if isinstance(judged, Result) else judged


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("name", "password", "clear", "clear_where_tls_is_required", "tls"),
    [
        ("", b"", ANONYMOUS, ANONYMOUS, ANONYMOUS),
        (
            "",
            b"x",
            ResultCode.INVALID_CREDENTIALS,
            ResultCode.CONFIDENTIALITY_REQUIRED,
            ResultCode.INVALID_CREDENTIALS,
        ),
        (DN, b"", *[ResultCode.UNWILLING_TO_PERFORM] * 3),
        (DN, b"x", Credentials(DN, b"x"), ResultCode.CONFIDENTIALITY_REQUIRED, Credentials(DN, b"x")),
        ("desk1", b"x", Credentials("desk1", b"x"), ResultCode.CONFIDENTIALITY_REQUIRED, Credentials("desk1", b"x")),
    ],
    ids=["anonymous", "password alone", "name alone", "DN and password", "bare name and password"],
)
def test_simple_bind(version, name, password, clear, clear_where_tls_is_required, tls):
    """Name or none, password or none, in clear or over TLS; old phones say version 2."""
    request = BindRequest(version, name, Simple(password))
    assert outcome(request) == clear
    assert outcome(request, require_tls=True) == clear_where_tls_is_required
    assert outcome(request, secure=True, require_tls=True) == tls


@pytest.mark.parametrize("version", [-3, 0, 1, 4, 127, 128])
def test_other_versions_are_a_protocol_error(version):
    """RFC 4511 4.2."""
    assert outcome(BindRequest(version, "", Simple(b""))) is ResultCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        (b"\0desk1\0secret", Credentials("desk1", b"secret")),
        (b"desk1\0desk1\0secret", Credentials("desk1", b"secret")),
        (b"u:desk1\0desk1\0secret", Credentials("desk1", b"secret", "u:desk1")),
        (b"dn:" + DN.encode() + b"\0desk1\0secret", Credentials("desk1", b"secret", f"dn:{DN}")),
        (b"root\0desk1\0secret", Credentials("desk1", b"secret", "root")),
        (b"\0\xff\0secret", ResultCode.INVALID_CREDENTIALS),
        (b"\0desk1\0", ResultCode.PROTOCOL_ERROR),
        (b"\0\0secret", ResultCode.PROTOCOL_ERROR),
        (b"desk1 secret", ResultCode.PROTOCOL_ERROR),
        (b"\0desk1\0secret\0", ResultCode.PROTOCOL_ERROR),
        (b"", ResultCode.PROTOCOL_ERROR),
        (None, ResultCode.SASL_BIND_IN_PROGRESS),
    ],
)
def test_plain_on_tls_is_the_same_login(credentials, expected):
    """RFC 4616; whom it is to act for is looked at with the login known."""
    for mechanism in ("PLAIN", "plain"):
        assert outcome(BindRequest(3, "", Sasl(mechanism, credentials)), secure=True) == expected


@pytest.mark.parametrize(
    ("authzid", "expected"),
    [
        ("u:desk1", True),
        ("u:Desk1", True),
        ("u: desk1 ", True),
        (f"dn:{DN}", True),
        (f"dn:{DN.upper()}", True),
        ("u:desk2", False),
        ("root", False),
        ("dn:cn=desk1,ou=phones,dc=other,dc=example", False),
        ("dn:nonsense", False),
        (f"u:{DN}", False),
    ],
)
def test_nobody_acts_for_somebody_else(authzid, expected):
    """RFC 4513 5.2.1.8: identities are compared, however they are spelt; Who am I? gives one of them."""
    assert acts_for(authzid, DN) is expected
    assert not acts_for(authzid, "")


@pytest.mark.parametrize(
    ("request_", "secure"),
    [
        (BindRequest(3, "", Sasl("PLAIN", b"\0desk1\0secret")), False),
        (BindRequest(2, "", Sasl("PLAIN", b"\0desk1\0secret")), True),
        (BindRequest(3, "", Sasl("EXTERNAL", b"")), True),
        (BindRequest(3, DN, Sasl("X-NONE", None)), True),
        (BindRequest(3, DN, None), True),
    ],
    ids=["PLAIN in clear", "PLAIN with version 2", "EXTERNAL", "unknown mechanism", "unknown choice"],
)
def test_other_methods_are_not_supported(request_, secure):
    """And never succeed."""
    assert outcome(request_, secure=secure) is ResultCode.AUTH_METHOD_NOT_SUPPORTED


def test_a_password_shows_nowhere():
    """Neither do names: they are somebody's."""
    for value in (
        BindRequest(3, "desk1", Simple(b"secret")),
        BindRequest(3, "desk1", Sasl("PLAIN", b"\0desk1\0secret")),
        Credentials("desk1", b"secret"),
    ):
        assert "secret" not in repr(value)
        assert "desk1" not in repr(value)
