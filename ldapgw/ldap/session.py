# SPDX-License-Identifier: MIT
"""What the wire needs of the rest of the program, given by the composition root.

What becomes of a bind request before anybody looks at its password (RFC 4513 5 and 6).

A function of values: the version, what was sent, and whether the connection is encrypted.

One LDAP session as a state machine: messages in, steps out (RFC 4511 3.1, 4.2 to 4.14).

The laws:

* One operation runs at a time; the rest wait and are answered in the order in which they came.
* Abandon, Cancel, StartTLS and Unbind do not wait.  A bind does: what was asked for before it is answered first, with
  the rights of the login before it (RFC 4511 4.2.1 leaves that to the server; phones send requests without waiting).
* `receive` takes what came, `advance` begins what is next, `finish` ends what runs.  Each gives steps for the
  connection to take; the session itself has no transport and no clock.  `answer_at_once` says in octets what needs no
  steps, and what they would say.
* After Unbind or a violation nothing is answered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, cast

from ldapgw.directory.access import Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.entry import Selection, select
from ldapgw.directory.filter import SearchRequest
from ldapgw.directory.search import ResultBatch, compare, result_batches
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap import controls
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
    Message,
    Operation,
    Rejected,
    Reply,
    Result,
    Sasl,
    Simple,
)
from ldapgw.ldap.search_controls import ControlledSearch, RequestedControls

# Told of a search that is done: the login (a DN; empty: nobody), the client's address, the LDAPMessage, how many
# entries were returned, the result code, and for how many seconds it went on.
Observer = Callable[[str, str, bytes, int, ResultCode, float], None]


@dataclass(frozen=True, slots=True)
class DirectoryPort:
    """The doors to what is served and to who may see it.

    :ivar dit: everything served, as it is now.
    :ivar authenticate: bind name (a DN or a bare name), password, client address → who that is; None: wrong.  A wrong
        one may be asked for twice.
    :ivar anonymous: client address → what may be seen from there without a login.
    :ivar cookie_key: random octets of this process, for the cookies of paged searches; nothing shows them.
    :ivar observers: told of each search that is done.
    """

    dit: Callable[[], Dit]
    authenticate: Callable[[str, bytes, str], Viewer | None]
    anonymous: Callable[[str], Viewer]
    cookie_key: bytes = field(repr=False)
    observers: tuple[Observer, ...] = ()


PLAIN = "PLAIN"
# RFC 4422 3: whoever is to speak first, and did not, is asked with an empty challenge.
CHALLENGE = Result(ResultCode.SASL_BIND_IN_PROGRESS)
WRONG_CREDENTIALS = Result(ResultCode.INVALID_CREDENTIALS, "name or password is wrong")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password that are worth a look.

    :ivar authzid: whom the client wants to act for, by `acts_for`; empty: itself.
    """

    name: str = field(repr=False)
    password: bytes = field(repr=False)
    authzid: str = field(default="", repr=False)


ANONYMOUS = Credentials("", b"")


def check_bind(request: BindRequest, *, secure: bool, require_tls: bool) -> Credentials | Result:
    """The login to check, `ANONYMOUS`, or the result that refuses the bind.

    :param secure: whether TLS is in use.
    :param require_tls: whether a password needs it.
    """
    if request.version not in (2, 3):
        return Result(ResultCode.PROTOCOL_ERROR, "version is not 2 or 3")
    match request.authentication:
        case Simple(password):
            login: Credentials | Result = _simple(request.name, password)
        case Sasl(mechanism, credentials) if mechanism.upper() == PLAIN and secure and request.version == 3:
            login = _plain(credentials)
        case _:
            return Result(ResultCode.AUTH_METHOD_NOT_SUPPORTED, "authentication method is not supported here")
    exposed = isinstance(request.authentication, Simple) and request.authentication.password and not secure
    if exposed and require_tls:
        return Result(ResultCode.CONFIDENTIALITY_REQUIRED, "a password needs TLS")
    return login


def _simple(name: str, password: bytes) -> Credentials | Result:
    if not name:
        return WRONG_CREDENTIALS if password else ANONYMOUS
    if not password:
        # RFC 4513 5.1.2: a client that forgot to ask for the password must not believe that it was right.
        return Result(ResultCode.UNWILLING_TO_PERFORM, "a name needs a password")
    return Credentials(name, password)


def _plain(credentials: bytes | None) -> Credentials | Result:
    """RFC 4616: ``[authzid] NUL authcid NUL passwd``; nobody may act for somebody else."""
    if credentials is None:
        return CHALLENGE
    parts = credentials.split(b"\x00")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        return Result(ResultCode.PROTOCOL_ERROR, "PLAIN: not a name and a password")
    try:
        authzid, authcid = parts[0].decode(), parts[1].decode()
    except UnicodeDecodeError:
        return WRONG_CREDENTIALS
    return Credentials(authcid, parts[2], "" if authzid in ("", authcid) else authzid)


def acts_for(authzid: str, login: str) -> bool:
    """Whether an authorization identity (RFC 4513 5.2.1.8) is that of a login: nobody may act for somebody else.

    :param login: the DN that the client has proven to be.
    """
    own = Dn.parse(login)
    if authzid.startswith("dn:"):
        try:
            return Dn.parse(authzid.removeprefix("dn:")).key == own.key
        except InvalidDn:
            return False
    name = own.rdns[0][0][1] if own.rdns else ""
    return authzid.startswith("u:") and authzid.removeprefix("u:").strip().lower() == name.lower()


# Extended operations that are not waited for by others, nor wait for any.
_IMMEDIATE: Final = (START_TLS, CANCEL)


@dataclass(frozen=True, slots=True)
class SendReply:
    """Send this reply."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class DelayResult:
    """A wrong password: `finish` with this result, but only after the penalty that network and login deserve.

    :ivar login: the name that was tried, as it was sent.
    """

    result: Result
    login: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StartSearch:
    """Answer a search: send its matches, then `finish` it."""

    message_id: int
    batches: Iterator[ResultBatch | None]
    selection: Selection
    types_only: bool
    time_limit: float


@dataclass(frozen=True, slots=True)
class StopSearch:
    """Pull no more entries; the search is abandoned."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Send this reply in clear, forget what else came in clear, and begin TLS."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection and say nothing."""


Step = SendReply | DelayResult | StartSearch | StopSearch | StartTls | Close


class Session:
    """What one connection is and wants.

    :param shortcut: shared by all sessions.
    :param address: the client's, for the gate.
    :param tls: whether StartTLS can be had.
    :param secure: whether TLS is in use from the start.
    :param require_tls: whether a password needs TLS.
    :ivar viewer: whom the client is bound as.
    """

    __slots__ = (
        "_address",
        "_controlled_search",
        "_current",
        "_fast_path",
        "_limits",
        "_port",
        "_require_tls",
        "_tls",
        "_waiting",
        "secure",
        "viewer",
    )

    def __init__(
        self,
        port: DirectoryPort,
        limits: Limits,
        fast_path: FastPath,
        address: str,
        *,
        tls: bool,
        secure: bool,
        require_tls: bool,
    ) -> None:
        self._port = port
        self._fast_path = fast_path
        self._limits = limits
        self._address = address
        self._tls = tls
        self._require_tls = require_tls
        self._current: Message | None = None
        self._controlled_search: ControlledSearch | None = None
        self._waiting: OrderedDict[int, Message] = OrderedDict()
        self.secure = secure
        self.viewer: Viewer = port.anonymous(address)

    @property
    def busy(self) -> bool:
        """Whether an operation runs."""
        return self._current is not None

    @property
    def full(self) -> bool:
        """Whether as many requests wait as may wait: read no more until one is done."""
        return len(self._waiting) >= WAITING

    def fast_answer(self, octets: bytes) -> FastAnswer | None:
        """The answer to a message that needs no steps; None: it has to be received.

        To a search, or to a bind that succeeds: phones do both for each name that they show.
        """
        if self._current is not None or self._waiting:
            return None
        login = simple_bind(octets)
        if login is not None:
            return self._fast_bind(*login)
        # Never the root DSE, so in clear it is no other.
        return self._fast_path.answer(self._port.dit(), self.viewer, octets) if self.viewer.access else None

    def receive(self, message: Message) -> tuple[Step, ...]:
        """Take a request.

        :raises ProtocolViolation: when its messageID is that of an operation which is not done yet (4.1.1.1).
        """
        if message.operation is Operation.UNBIND:
            return (*self._stop(), Close())
        if message.message_id in self._waiting or self._runs(message.message_id):
            raise ProtocolViolation("messageID: already in use")
        if isinstance(message.request, AbandonRequest):
            return self._abandon(message, message.request.message_id)
        if isinstance(message.request, ExtendedRequest) and message.request.name in _IMMEDIATE:
            return self._immediate_extended(message, message.request)
        self._waiting[message.message_id] = message
        return ()

    def advance(self) -> Step | None:
        """Begin the operation that waits longest; None while one runs, or when none waits."""
        if self._current is not None or not self._waiting:
            return None
        _, message = self._waiting.popitem(last=False)
        self._current = message
        if message.operation is Operation.BIND:
            # RFC 4513 4: until the bind has succeeded, whatever becomes of it, the session is anonymous.
            self.viewer = self._port.anonymous(self._address)
        try:
            if isinstance(message.request, Rejected):
                return SendReply(self.finish(message.request.result))
            values = controls.check_controls(message.controls, message.operation)
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
        """End the operation that runs: the reply that says so."""
        message = cast("Message", self._current)
        inquiry, self._current, self._controlled_search = self._controlled_search, None, None
        said = inquiry.response_controls(result) if inquiry is not None else ()
        return Reply(message.message_id, message.operation, result, value=value, controls=said, search=message.octets)

    # --- operations that wait their turn ----------------------------------------------------------------------------

    def _bind(self, message: Message) -> Step:
        judged = check_bind(cast("BindRequest", message.request), secure=self.secure, require_tls=self._require_tls)
        if isinstance(judged, Result):
            return SendReply(self.finish(judged, b"" if judged is CHALLENGE else None))
        if judged is not ANONYMOUS:
            viewer = self._port.authenticate(judged.name, judged.password, self._address)
            if viewer is None or (judged.authzid and not acts_for(judged.authzid, viewer.login)):
                return DelayResult(WRONG_CREDENTIALS, judged.name)
            self.viewer = viewer
        return SendReply(self.finish(SUCCESS))

    def _fast_bind(self, message_id: int, name: str, password: bytes) -> FastAnswer | None:
        """A simple bind that `ldapgw.ldap.session` would let through, and that succeeds."""
        if self._require_tls and not self.secure:
            return None
        try:
            viewer = self._port.authenticate(name, password, self._address)
        except Exception:  # noqa: BLE001 - the long way meets it too, and says so
            return None
        if viewer is None:
            return None
        self.viewer = viewer
        return FastAnswer(encode(Reply(message_id, Operation.BIND, SUCCESS)))

    def _search(self, message: Message, wishes: RequestedControls) -> Step:
        request = cast("SearchRequest", message.request)
        dit, viewer = self._dit(), self.viewer
        size_limit = min(request.size_limit or self._limits.size_limit, self._limits.size_limit)
        if wishes:
            key = self._port.cookie_key
            self._controlled_search = ControlledSearch(dit, viewer, request, wishes, size_limit=size_limit, key=key)
            found: Iterator[ResultBatch | None] = self._controlled_search.batches()
        else:
            found = result_batches(dit, viewer, request, size_limit)
        return StartSearch(
            message.message_id,
            found,
            select(request.attributes),
            request.types_only,
            min(request.time_limit or self._limits.time_limit, self._limits.time_limit),
        )

    def _compare(self, message: Message) -> Step:
        request = cast("CompareRequest", message.request)
        equal = compare(self._dit(), self.viewer, request.entry, request.attribute, request.value)
        return SendReply(self.finish(Result(ResultCode.COMPARE_TRUE if equal else ResultCode.COMPARE_FALSE)))

    def _dit(self) -> Dit:
        """What is served, with a root DSE honest to this connection: PLAIN works on TLS only, StartTLS before it."""
        dit = self._port.dit()
        return dit if self.secure else dit.in_clear

    def _extended(self, message: Message) -> Step:
        request = cast("ExtendedRequest", message.request)
        if request.name in WRITING:
            return self._refuse()
        if request.name != WHO_AM_I:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "extended operation is not supported")
        if request.value is not None:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "Who am I? has no value")
        login = self.viewer.login
        return SendReply(self.finish(SUCCESS, f"dn:{login}".encode() if login else b""))

    def _refuse(self) -> Step:
        raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "this directory is read-only")

    # --- operations that are looked at at once ----------------------------------------------------------------------

    def _immediate_extended(self, message: Message, request: ExtendedRequest) -> tuple[Step, ...]:
        try:
            controls.check_controls(message.controls, message.operation)
            return self._start_tls(message, request) if request.name == START_TLS else self._cancel(message, request)
        except DirectoryError as error:
            return (SendReply(Reply(message.message_id, message.operation, Result.of(error))),)

    def _start_tls(self, message: Message, request: ExtendedRequest) -> tuple[Step, ...]:
        """RFC 4511 4.14."""
        if not self._tls:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "StartTLS is not supported")
        if request.value is not None:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "StartTLS has no value")
        if self.secure:
            raise DirectoryError(ResultCode.OPERATIONS_ERROR, "TLS is already in use")
        if self._current is not None or self._waiting:
            raise DirectoryError(ResultCode.OPERATIONS_ERROR, "operations are outstanding")
        self.secure = True
        self.viewer = self._port.anonymous(self._address)
        return (StartTls(Reply(message.message_id, message.operation, SUCCESS, name=START_TLS)),)

    def _cancel(self, message: Message, request: ExtendedRequest) -> tuple[Step, ...]:
        """RFC 3909: the operation ends with canceled, then the Cancel succeeds."""
        target = cancel_id(request.value)
        canceled = self._current if self._runs(target) else self._waiting.get(target)
        if canceled is None:
            raise DirectoryError(ResultCode.NO_SUCH_OPERATION, "no such operation is outstanding")
        if canceled.operation is Operation.BIND:
            raise DirectoryError(ResultCode.CANNOT_CANCEL, "a bind cannot be canceled")
        stopped = self._stop_current() if canceled is self._current else ()
        self._waiting.pop(target, None)
        return (
            *stopped,
            SendReply(Reply(target, canceled.operation, Result(ResultCode.CANCELED))),
            SendReply(Reply(message.message_id, message.operation, SUCCESS)),
        )

    def _abandon(self, message: Message, target: int) -> tuple[Step, ...]:
        """RFC 4511 4.11: never answered, whatever it names; a bind goes on."""
        try:
            controls.check_controls(message.controls, message.operation)
        except DirectoryError:
            return ()
        if self._runs(target):
            return self._stop_current()
        waiting = self._waiting.get(target)
        if waiting is not None and waiting.operation is not Operation.BIND:
            del self._waiting[target]
        return ()

    def _stop(self) -> tuple[Step, ...]:
        """Abandon everything but binds."""
        for message in tuple(self._waiting.values()):
            if message.operation is not Operation.BIND:
                del self._waiting[message.message_id]
        return self._stop_current()

    def _stop_current(self) -> tuple[Step, ...]:
        """Abandon what runs, unless it is a bind: all else that lasts is a search."""
        if self._current is None or self._current.operation is Operation.BIND:
            return ()
        self._current = self._controlled_search = None
        return (StopSearch(),)

    def _runs(self, message_id: int) -> bool:
        return self._current is not None and self._current.message_id == message_id
