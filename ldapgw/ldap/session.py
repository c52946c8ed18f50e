# SPDX-License-Identifier: MIT
"""An LDAP session as a state machine, which takes messages and returns steps (RFC 4511 3.1, 4.2 to 4.14).

The rules are:

* One operation runs at a time; the other operations wait, and are answered in the order of their arrival.
* `SESSION_TABLE` has the effect of each request, which depends on the operation that is outstanding when the request
  arrives (`Outstanding`).  Abandon, Cancel, StartTLS and Unbind do not wait.
* A bind waits: earlier requests are answered first, with the rights of the earlier login.  RFC 4511 4.2.1 leaves the
  order to the server; phones send a bind without waiting for earlier answers.
* `Session.receive` takes a request, `advance` begins the next operation, and `finish` ends the running operation.
  `receive` and `advance` return steps for the connection to perform, and `finish` returns the reply to send.  The
  session has no transport and no clock.
* `fast_answer` returns the whole answer to a common request at once; the steps would send the same octets.
* After an Unbind or a `ProtocolViolation`, no request is answered.

`check_bind` decides on a bind request before its password is checked (RFC 4513 5 and 6).  `DirectoryPort` has the
functions of the rest of the program that a session calls.

Mutable: `Session`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from itertools import chain
from typing import Final, cast

from ldapgw.directory.access import Viewer
from ldapgw.directory.clients import is_loopback, network_of
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.entry import Selection, select
from ldapgw.directory.filter import SearchKind, SearchRequest, search_kind
from ldapgw.directory.search import compare, result_batches
from ldapgw.directory.segment import ResultBatch
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap import controls
from ldapgw.ldap.admission import CallerIdLimits
from ldapgw.ldap.controls import SUPPORTED_CONTROLS, SupportedControl
from ldapgw.ldap.decoder import cancel_id, simple_bind
from ldapgw.ldap.encoder import encode
from ldapgw.ldap.fast_path import FastAnswer, FastPath
from ldapgw.ldap.limits import WAITING, Limits
from ldapgw.ldap.messages import (
    CANCEL,
    START_TLS,
    SUCCESS,
    WHO_AM_I,
    WRITING,
    AbandonRequest,
    BindRequest,
    CompareRequest,
    ExtendedRequest,
    FinishedSearch,
    Message,
    Operation,
    Rejected,
    Reply,
    Result,
    Sasl,
    Simple,
)
from ldapgw.ldap.search_controls import ControlledSearch, ControlResponse, RequestedControls, SearchToAnswer

PLAIN: Final = "PLAIN"
# RFC 4422 3: an empty challenge asks the client for the initial response, which the client has not sent.
CHALLENGE: Final = Result(ResultCode.SASL_BIND_IN_PROGRESS)
WRONG_CREDENTIALS: Final = Result(ResultCode.INVALID_CREDENTIALS, "name or password is wrong")
PASSWORD_WITHOUT_TLS: Final = "password without TLS"  # noqa: S105  no password
_REPLICA_NEEDS_TLS: Final = Result(ResultCode.CONFIDENTIALITY_REQUIRED, "the login of a replica needs TLS")

# A function that is called for each finished search.
Observer = Callable[[FinishedSearch], None]


@dataclass(frozen=True, slots=True)
class DirectoryPort:
    """The functions through which sessions reach the directory and the logins (`ldapgw.server.parts.phone_parts`).

    :ivar dit: returns the current directory tree.
    :ivar authenticate: returns the viewer, or None if name or password is wrong.  The arguments are the bind name (a DN
        or a bare name), the password, the client's address, and whether the connection has TLS.  A session may call
        this function twice with the same wrong password: first on the fast path, then on the slow path.
    :ivar anonymous: takes the address of a client that is not bound, and returns the viewer.
    :ivar cookie_key: secret octets, the same in all gateways that serve one directory; the key seals the cookies of
        paged searches, and hashes the names of refused logins.
    :ivar observers: called for each finished search.
    :ivar login_refused: called with the bind name and the client's address once for each wrong name or password.  The
        call takes the same time whether the login exists or not, so that clients cannot find out which logins exist.
    :ivar bind_decided: called with the result code of each bind, before the answer to a wrong password is delayed.
    :ivar unfit_client: called with a fixed phrase and the client's address for each mistake of a client.  The mistakes
        are TLS on the wrong port, LDAP without TLS on the wrong port, distrust of the authority of our certificate, and
        a password without the required TLS.
    :ivar replica_refused: called for each refused login of a replica, with the viewer, the client's address, the reason
        in a few words, and the connection's number.
    """

    dit: Callable[[], Dit]
    authenticate: Callable[[str, bytes, str, bool], Viewer | None]
    anonymous: Callable[[str], Viewer]
    cookie_key: bytes = field(repr=False)
    observers: tuple[Observer, ...] = ()
    login_refused: Callable[[str, str], None] = lambda _name, _address: None
    replica_refused: Callable[[Viewer, str, str, int], None] = lambda _viewer, _address, _detail, _connection: None
    bind_decided: Callable[[ResultCode], None] = lambda _code: None
    unfit_client: Callable[[str, str], None] = lambda _kind, _address: None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password to check.

    :ivar authzid: the authorization identity, for `acts_for`; empty if the client sent no authorization identity, or
        repeated the name.
    """

    name: str = field(repr=False)
    password: bytes = field(repr=False)
    authzid: str = field(default="", repr=False)


ANONYMOUS: Final = Credentials("", b"")


def check_bind(request: BindRequest, *, secure: bool, require_tls: bool) -> Credentials | Result:
    """Return the credentials to check, `ANONYMOUS`, or the result that refuses the bind (RFC 4513 5 and 6).

    :param secure: whether TLS is in use.
    :param require_tls: whether a password needs TLS.
    """
    if request.version not in (2, 3):
        return Result(ResultCode.PROTOCOL_ERROR, "version is not 2 or 3")
    match request.authentication:
        case Simple(password):
            credentials: Credentials | Result = _simple(request.name, password)
        case Sasl(mechanism, response) if mechanism.upper() == PLAIN and secure and request.version == 3:
            credentials = _plain(response)
        case _:
            return Result(ResultCode.AUTH_METHOD_NOT_SUPPORTED, "authentication method is not supported here")
    exposed = isinstance(request.authentication, Simple) and request.authentication.password and not secure
    if exposed and require_tls:
        return Result(ResultCode.CONFIDENTIALITY_REQUIRED, "a password needs TLS")
    return credentials


def _simple(name: str, password: bytes) -> Credentials | Result:
    if not name:
        return WRONG_CREDENTIALS if password else ANONYMOUS
    if not password:
        # RFC 4513 5.1.2: a client that forgot to ask for a password must not conclude that the password was right.
        return Result(ResultCode.UNWILLING_TO_PERFORM, "a name needs a password")
    return Credentials(name, password)


def _plain(response: bytes | None) -> Credentials | Result:
    """Decode the response of PLAIN, ``[authzid] NUL authcid NUL passwd`` (RFC 4616)."""
    if response is None:
        return CHALLENGE
    parts = response.split(b"\x00")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        return Result(ResultCode.PROTOCOL_ERROR, "PLAIN: expected a name and a password")
    try:
        authzid, authcid = parts[0].decode(), parts[1].decode()
    except UnicodeDecodeError:
        return WRONG_CREDENTIALS
    return Credentials(authcid, parts[2], "" if authzid in ("", authcid) else authzid)


def acts_for(authzid: str, login: str) -> bool:
    """Return whether an authorization identity (RFC 4513 5.2.1.8) names the login: a login may act only for itself.

    :param login: the DN that the client has authenticated as.
    """
    login_dn = Dn.parse(login)
    if authzid.startswith("dn:"):
        try:
            return Dn.parse(authzid.removeprefix("dn:")).key == login_dn.key
        except InvalidDn:
            return False
    name = login_dn.rdns[0][0][1] if login_dn.rdns else ""
    return authzid.startswith("u:") and authzid.removeprefix("u:").strip().lower() == name.lower()


@dataclass(frozen=True, slots=True)
class SendReply:
    """The step that sends a reply."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class DelayResult:
    """The step after a wrong password: call `Session.finish` with `result` after a delay.

    If another answer is delayed already, call `Session.finish` at once and end the connection.

    :ivar login: the name in the bind request, as it was sent.
    """

    result: Result
    login: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StartSearch:
    """The step that answers a search: send its entries, then call `Session.finish`.

    :ivar batches: yields the matches, and None after each slice of work.
    :ivar time_limit: seconds.
    """

    message_id: int
    batches: Iterator[ResultBatch | None]
    selection: Selection
    types_only: bool
    time_limit: float


@dataclass(frozen=True, slots=True)
class StartControlResponse:
    """The step that answers a search by a `ControlResponse`: send its messages, then call `Session.finish`."""

    response: ControlResponse


@dataclass(frozen=True, slots=True)
class StopSearch:
    """The step that stops the running search: send no more entries."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """The step that begins TLS: send the reply without TLS, drop all octets received without TLS, and begin TLS."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Close:
    """The step that closes the connection without a notice."""


Step = SendReply | DelayResult | StartSearch | StartControlResponse | StopSearch | StartTls | Close


class RequestKind(IntEnum):
    """The kinds of requests that a session treats differently.

    `OPERATION` is a bind, a search, a comparison, an update, or an extended operation other than Cancel and StartTLS.
    """

    OPERATION = auto()
    ABANDON = auto()
    CANCEL = auto()
    START_TLS = auto()
    UNBIND = auto()


class Outstanding(IntEnum):
    """The state of the outstanding operation that decides on the effect of a request.

    For Abandon and Cancel, this operation is the operation that the request names.  For any other request, this
    operation is the running operation or, if no operation runs, the operation that waits longest.  The running
    operation is always a search, or a bind whose refusal is delayed, because other operations end at once.
    """

    NOTHING = auto()
    WAITING = auto()
    WAITING_BIND = auto()
    SEARCH = auto()
    BIND = auto()


class Effect(Enum):
    """The effects that a request can have."""

    WAIT = "the request waits for `Session.advance`"
    IGNORE = "nothing happens, and nothing is answered"
    END = "the operation that the request names ends, and nothing is answered"
    CANCEL = "the operation that the request names is answered with the result canceled, and the request succeeds"
    START_TLS = "the request succeeds, the session is anonymous, and TLS begins"
    CLOSE = "all operations but binds end, and the connection is closed"


_NOT_THERE: Final = Result(ResultCode.NO_SUCH_OPERATION, "no such operation is outstanding")
_NOT_A_BIND: Final = Result(ResultCode.CANNOT_CANCEL, "a bind cannot be canceled")
_NOT_NOW: Final = Result(ResultCode.OPERATIONS_ERROR, "operations are outstanding")

# The effects of requests.  A row is a kind of request, and a column is the state of the outstanding operation
# (`Outstanding`).  A `Result` in place of an effect refuses the request.  The sources are RFC 4511 4.3 (Unbind), 4.11
# (Abandon, which is never answered) and 4.14.1 (StartTLS), and RFC 3909 2.1 (Cancel).
_ROWS: Final[dict[RequestKind, tuple[Effect | Result, ...]]] = {
    #                       NOTHING           WAITING        WAITING_BIND   SEARCH         BIND
    RequestKind.OPERATION: (Effect.WAIT,      Effect.WAIT,   Effect.WAIT,   Effect.WAIT,   Effect.WAIT),
    RequestKind.ABANDON:   (Effect.IGNORE,    Effect.END,    Effect.IGNORE, Effect.END,    Effect.IGNORE),
    RequestKind.CANCEL:    (_NOT_THERE,       Effect.CANCEL, _NOT_A_BIND,   Effect.CANCEL, _NOT_A_BIND),
    RequestKind.START_TLS: (Effect.START_TLS, _NOT_NOW,      _NOT_NOW,      _NOT_NOW,      _NOT_NOW),
    RequestKind.UNBIND:    (Effect.CLOSE,     Effect.CLOSE,  Effect.CLOSE,  Effect.CLOSE,  Effect.CLOSE),
}  # fmt: skip
_EXTENDED: Final = {START_TLS: RequestKind.START_TLS, CANCEL: RequestKind.CANCEL}
# The requests that take effect when they are received.  `receive` checks the controls of these requests.  The controls
# of an Unbind are not checked.
_IMMEDIATE: Final = (RequestKind.ABANDON, RequestKind.CANCEL, RequestKind.START_TLS)
SESSION_TABLE: Final = {
    (kind, outstanding): outcome
    for kind, row in _ROWS.items()
    for outstanding, outcome in zip(Outstanding, row, strict=True)
}


class Session:
    """The state of one session: the viewer, the running operation, and the requests that wait.

    :param fast_path: the fast path, which all sessions share.
    :param caller_id_limits: the limits for unknown numbers, which all sessions share.
    :param address: the client's normalized address.
    :param connection: the connection's number, for the log; 0 if there is no connection.
    :param tls: whether StartTLS is available.
    :param secure: whether TLS is in use from the start.
    :ivar viewer: the viewer that the client is bound as.
    :ivar requester: the login's DN, or the network of a client that is not bound (a *requester* in
        `ldapgw.ldap.turns`).
    """

    __slots__ = (
        "_address",
        "_budget",
        "_caller_id_limits",
        "_connection",
        "_control_response",
        "_controlled_search",
        "_controls",
        "_current",
        "_fast_path",
        "_limits",
        "_network",
        "_port",
        "_require_tls",
        "_tls",
        "_waiting",
        "requester",
        "secure",
        "viewer",
    )

    def __init__(
        self,
        port: DirectoryPort,
        limits: Limits,
        fast_path: FastPath,
        caller_id_limits: CallerIdLimits,
        address: str,
        *,
        connection: int = 0,
        tls: bool,
        secure: bool,
        require_tls: bool,
        registry: Mapping[str, SupportedControl] = SUPPORTED_CONTROLS,
    ) -> None:
        self._port = port
        self._fast_path = fast_path
        self._caller_id_limits = caller_id_limits
        self._limits = limits
        self._address = address
        self._network = network_of(address)
        self._connection = connection
        self._tls = tls
        self._require_tls = require_tls
        self._controls = registry
        self._current: Message | None = None
        self._controlled_search: ControlledSearch | None = None
        self._control_response: ControlResponse | None = None
        self._waiting: OrderedDict[int, Message] = OrderedDict()
        self.secure = secure
        self._become(port.anonymous(address))

    def _become(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.requester = viewer.login or self._network
        self._budget = self._caller_id_limits.budget(viewer, self._address)

    @property
    def busy(self) -> bool:
        """Return whether an operation runs."""
        return self._current is not None

    @property
    def full(self) -> bool:
        """Return whether the queue of requests is full; a full queue stops the reading until an operation begins."""
        return len(self._waiting) >= WAITING

    def fast_answer(self, octets: bytes) -> FastAnswer | None:
        """Return the fast path's answer to a search or a successful bind, or None if there is no such answer.

        Binds are answered on the fast path too, because phones send a bind and a search for each name that they show.

        :param octets: the received octets: one LDAPMessage, or anything else.
        """
        if self._current is not None or self._waiting:
            return None
        login = simple_bind(octets)
        if login is not None:
            return self._fast_bind(*login)
        # The fast path uses one tree for connections with and without TLS.  The tree `Dit.in_clear` differs only in the
        # root DSE, which the fast path never sends.
        if not self.viewer.access:
            return None
        return self._fast_path.answer(self._port.dit(), self.viewer, octets, self._budget)

    def receive(self, message: Message) -> tuple[Step, ...]:
        """Answer a request at once, or queue the request for `advance`.

        :raises ProtocolViolation: if an unfinished operation has the same messageID (RFC 4511 4.1.1.1).
        """
        kind = _kind_of(message)
        if kind is not RequestKind.UNBIND and self._find(message.message_id) is not None:
            raise ProtocolViolation("messageID: already in use")
        outstanding: Message | None = self._current or next(iter(self._waiting.values()), None)
        try:
            if kind in _IMMEDIATE:
                controls.check_controls(message.controls, message.operation, self._controls)
            if kind is RequestKind.ABANDON:
                outstanding = self._find(cast("AbandonRequest", message.request).message_id)
            elif kind is RequestKind.CANCEL:
                outstanding = self._find(cancel_id(cast("ExtendedRequest", message.request).value))
            elif kind is RequestKind.START_TLS:
                self._check_start_tls(cast("ExtendedRequest", message.request))
        except DirectoryError as error:
            # An Abandon is never answered (RFC 4511 4.11).
            return () if kind is RequestKind.ABANDON else (_answer(message, Result.of(error)),)
        return self._perform(SESSION_TABLE[kind, self._status(outstanding)], message, outstanding)

    def _perform(self, outcome: Effect | Result, message: Message, outstanding: Message | None) -> tuple[Step, ...]:
        """Apply an outcome of `SESSION_TABLE` to a request.

        :param outstanding: the outstanding operation that has led to the outcome (`Outstanding`), or None.
        """
        if isinstance(outcome, Result):
            return (_answer(message, outcome),)
        match outcome:
            case Effect.WAIT:
                self._waiting[message.message_id] = message
                return ()
            case Effect.END:
                return self._end(cast("Message", outstanding))
            case Effect.CANCEL:
                canceled = cast("Message", outstanding)
                return (
                    *self._end(canceled),
                    _answer(canceled, Result(ResultCode.CANCELED)),
                    _answer(message, SUCCESS),
                )
            case Effect.START_TLS:
                self.secure = True
                self._become(self._port.anonymous(self._address))
                return (StartTls(Reply(message.message_id, message.operation, SUCCESS, name=START_TLS)),)
            case Effect.CLOSE:
                operations = [*self._waiting.values(), *filter(None, (self._current,))]
                ended = [self._end(each) for each in operations if each.operation is not Operation.BIND]
                return (*chain.from_iterable(ended), Close())
            case _:  # IGNORE
                return ()

    def advance(self) -> Step | None:
        """Begin the operation that waits longest; return None while an operation runs, or if no operation waits."""
        if self._current is not None or not self._waiting:
            return None
        _, message = self._waiting.popitem(last=False)
        self._current = message
        if message.operation is Operation.BIND:
            # RFC 4513 4: the session is anonymous until the bind succeeds, and stays anonymous if the bind fails.
            self._become(self._port.anonymous(self._address))
        try:
            if isinstance(message.request, Rejected):
                return SendReply(self.finish(message.request.result))
            values = controls.check_controls(message.controls, message.operation, self._controls)
            match message.operation:
                case Operation.SEARCH:
                    return self._search(message, RequestedControls.from_values(values))
                case Operation.BIND:
                    return self._bind(message)
                case Operation.COMPARE:
                    return self._compare(message)
                case Operation.EXTENDED:
                    return self._extended(message)
                case _:  # Add, Delete, Modify, Modify DN
                    return self._refuse()
        except DirectoryError as error:
            return SendReply(self.finish(Result.of(error)))

    def finish(self, result: Result, value: bytes | None = None) -> Reply:
        """End the running operation, and return its reply."""
        message = cast("Message", self._current)
        search, response = self._controlled_search, self._control_response
        self._current = self._controlled_search = self._control_response = None
        if response is not None:
            # The search is a replica's.  The reply leaves out the search, because observers want phones' searches.
            return Reply(message.message_id, message.operation, result, controls=response.response_controls(result))
        return Reply(
            message.message_id,
            message.operation,
            result,
            value=value,
            controls=search.response_controls(result) if search is not None else (),
            search=message.octets,
            kind=search_kind(message.request) if isinstance(message.request, SearchRequest) else SearchKind.OTHER,
        )

    # --- operations that wait for others ----------------------------------------------------------------------------

    def _bind(self, message: Message) -> SendReply | DelayResult:
        step = self._check_credentials(message)
        code = step.result.code if isinstance(step, DelayResult) else step.reply.result.code
        if code is ResultCode.CONFIDENTIALITY_REQUIRED and self._require_tls and not self.secure:
            self._port.unfit_client(PASSWORD_WITHOUT_TLS, self._address)
        self._port.bind_decided(code)
        return step

    def _check_credentials(self, message: Message) -> SendReply | DelayResult:
        checked = check_bind(cast("BindRequest", message.request), secure=self.secure, require_tls=self._require_tls)
        if isinstance(checked, Result):
            return SendReply(self.finish(checked, b"" if checked is CHALLENGE else None))
        if checked is not ANONYMOUS:
            viewer = self._port.authenticate(checked.name, checked.password, self._address, self.secure)
            if viewer is None:
                self._port.login_refused(checked.name, self._address)
            if viewer is None or (checked.authzid and not acts_for(checked.authzid, viewer.login)):
                return DelayResult(WRONG_CREDENTIALS, checked.name)
            if not self._is_safe_for(viewer):
                self._port.replica_refused(viewer, self._address, "refused: no TLS", self._connection)
                return SendReply(self.finish(_REPLICA_NEEDS_TLS))
            self._become(viewer)
        return SendReply(self.finish(SUCCESS))

    def _fast_bind(self, message_id: int, name: str, password: bytes) -> FastAnswer | None:
        """Answer a simple bind if it succeeds; return None if `_bind` has to answer the request."""
        if self._require_tls and not self.secure:
            return None
        try:
            viewer = self._port.authenticate(name, password, self._address, self.secure)
        except Exception:  # noqa: BLE001 - the slow path meets the error again and reports it
            return None
        if viewer is None or not self._is_safe_for(viewer):
            return None
        self._become(viewer)
        self._port.bind_decided(ResultCode.SUCCESS)
        return FastAnswer(encode(Reply(message_id, Operation.BIND, SUCCESS)))

    def _is_safe_for(self, viewer: Viewer) -> bool:
        """Return whether a login may be used on this connection.

        The login of a replica gets all contacts and password hashes, so this login needs TLS, unless the client is on
        the same machine.
        """
        return viewer.replica is None or self.secure or is_loopback(self._address)

    def _search(self, message: Message, requested: RequestedControls) -> Step:
        request = cast("SearchRequest", message.request)
        if requested.answering is not None:
            search = SearchToAnswer(
                message.message_id, request, self.viewer, self._address, self._connection, bool(requested)
            )
            self._control_response = requested.answering.answer(search)
            if self._control_response is not None:
                return StartControlResponse(self._control_response)
        dit, viewer = self._dit(), self.viewer
        size_limit = min(request.size_limit or self._limits.size_limit, self._limits.size_limit)
        if requested:
            key = self._port.cookie_key
            self._controlled_search = ControlledSearch(
                dit, viewer, request, requested, size_limit=size_limit, key=key, budget=self._budget
            )
            batches: Iterator[ResultBatch | None] = self._controlled_search.batches()
        else:
            batches = result_batches(dit, viewer, request, size_limit, self._budget)
        return StartSearch(
            message.message_id,
            batches,
            select(request.attributes, viewer.number_formatter),
            request.types_only,
            min(request.time_limit or self._limits.time_limit, self._limits.time_limit),
        )

    def _compare(self, message: Message) -> Step:
        request = cast("CompareRequest", message.request)
        equal = compare(self._dit(), self.viewer, request.entry, request.attribute, request.value)
        return SendReply(self.finish(Result(ResultCode.COMPARE_TRUE if equal else ResultCode.COMPARE_FALSE)))

    def _dit(self) -> Dit:
        """Return the directory tree, whose root DSE lists PLAIN only under TLS, and StartTLS only without TLS."""
        dit = self._port.dit()
        return dit if self.secure else dit.in_clear

    def _extended(self, message: Message) -> Step:
        request = cast("ExtendedRequest", message.request)
        if request.name in WRITING:
            return self._refuse()
        if request.name != WHO_AM_I:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "extended operation is not supported")
        if request.value is not None:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "the operation 'Who am I?' takes no value")
        login = self.viewer.login
        return SendReply(self.finish(SUCCESS, f"dn:{login}".encode() if login else b""))

    def _refuse(self) -> Step:
        raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "this directory is read-only")

    # --- outstanding operations -------------------------------------------------------------------------------------

    def _find(self, message_id: int) -> Message | None:
        """Return the outstanding operation with a messageID, or None if there is no such operation."""
        current = self._current
        return current if current is not None and current.message_id == message_id else self._waiting.get(message_id)

    def _status(self, outstanding: Message | None) -> Outstanding:
        if outstanding is None:
            return Outstanding.NOTHING
        is_bind = outstanding.operation is Operation.BIND
        if outstanding is self._current:
            return Outstanding.BIND if is_bind else Outstanding.SEARCH
        return Outstanding.WAITING_BIND if is_bind else Outstanding.WAITING

    def _end(self, message: Message) -> tuple[Step, ...]:
        """End an operation that waits, or the running search."""
        if message is not self._current:
            del self._waiting[message.message_id]
            return ()
        self._current = self._controlled_search = self._control_response = None
        return (StopSearch(),)

    def _check_start_tls(self, request: ExtendedRequest) -> None:
        """Check that TLS can begin; `SESSION_TABLE` refuses StartTLS while operations are outstanding.

        :raises DirectoryError: if TLS cannot begin.
        """
        if not self._tls:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "StartTLS is not supported")
        if request.value is not None:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "StartTLS takes no value")
        if self.secure:
            raise DirectoryError(ResultCode.OPERATIONS_ERROR, "TLS is already in use")


def _kind_of(message: Message) -> RequestKind:
    request = message.request
    if isinstance(request, ExtendedRequest):
        return _EXTENDED.get(request.name, RequestKind.OPERATION)
    if isinstance(request, AbandonRequest):
        return RequestKind.ABANDON
    return RequestKind.UNBIND if message.operation is Operation.UNBIND else RequestKind.OPERATION


def _answer(message: Message, result: Result) -> SendReply:
    return SendReply(Reply(message.message_id, message.operation, result))
