# SPDX-License-Identifier: MIT
"""The catalog holds the current snapshot of directories and logins, which sync publishes and LDAP reads.

Mutable: `Catalog.snapshot`, which is replaced by one assignment, and the recorded logins of phones.  A search that has
started keeps its directories when the snapshot is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.naming_context import phone_name
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH, verify_password
from ldapgw.errors import DirectoryError, ResultCode


@dataclass(frozen=True, slots=True)
class PhoneAccess:
    """A phone that may bind.

    :ivar book_secret_hash: the hash of the secret in the URL of the phone's XML phone book; empty if the phone has no
        XML phone book.
    :ivar next_password_hash: the hash of a password that replaces the present password when the phone first uses the
        next password; empty if there is no next password.  Until the replacement, both passwords are accepted.  The
        phone's sessions do not end when the phone gets a next password.
    """

    name: str
    password_hash: str
    viewer: Viewer
    book_secret_hash: str = ""
    next_password_hash: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"<PhoneAccess {self.name}>"  # the hashes are left out, because the text may get into a log


class Freshness(Enum):
    """The age of a snapshot: read from the store in this run, saved by a former run, or too old."""

    CURRENT = "current"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consistent state of all directories and logins.  A snapshot never changes.

    :ivar logins: logins by the phone's name in lower case.
    :ivar loaded: whether the stored contacts are in the snapshot; false until the first complete snapshot.
    :ivar freshness: the age of the contents; an expired snapshot is empty.
    :ivar unserved: the tenants that are empty because their logins and books could not be read from the store.
    """

    dit: Dit
    logins: Mapping[str, PhoneAccess] = field(default_factory=dict)
    loaded: bool = False
    freshness: Freshness = Freshness.CURRENT
    unserved: frozenset[str] = frozenset()


class EndedLogin(NamedTuple):
    """A login whose sessions have to end, because the login is gone or changed.

    :ivar successor: the bind DN that the same phone has now, which differs from `dn` if the phone was renamed.  The DN
        is empty if the phone was removed or has another owner.
    """

    dn: str
    successor: str


class PhoneBind(NamedTuple):
    """A phone's successful login.

    :ivar password_hash: the hash of the password that the phone used.
    :ivar when: seconds since the epoch.
    :ivar over_tls: true if the login came by TLS, or by HTTP from this machine.
    """

    address: str
    password_hash: str
    when: float
    over_tls: bool


class Catalog:
    """The holder of the current snapshot.

    :param open_to: for each tenant, a function that returns whether a client address may search without a login.
    :param now: returns the seconds since the epoch.
    :param is_own_test: returns, for a bind DN and a client address, whether the gateway itself tests the login.  The
        gateway's own tests are not recorded.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        open_to: Mapping[str, Callable[[str], bool]],
        now: Callable[[], float],
        is_own_test: Callable[[str, str], bool] = lambda _login, _address: False,
    ) -> None:
        self.snapshot = snapshot
        self._open_to = open_to
        self._now = now
        self._is_own_test = is_own_test
        # The last login of each phone, by the phone's name.  A new login is stored in `_seen`.  The next call of
        # `take_seen_phones` moves the login to `_last_seen`.
        self._seen: dict[str, PhoneBind] = {}
        self._last_seen: dict[str, PhoneBind] = {}

    def publish(self, snapshot: Snapshot, names: Collection[str]) -> tuple[EndedLogin, ...]:
        """Make a snapshot the current snapshot, and return the logins whose sessions have to end.

        :param names: the names, in lower case, of the phones whose logins may have changed.
        """
        before, self.snapshot = self.snapshot, snapshot
        former = {name: before.logins[name] for name in names if name in before.logins}
        changed = {name: login for name, login in former.items() if login != snapshot.logins.get(name)}
        present = [snapshot.logins[name] for name in names if name in snapshot.logins]
        # In `successors`, each login has two keys: one key with the hash of its password, and one key with its name.
        # The keys differ, because a salted hash is never a name.  If several logins have the same hash, the first of
        # these logins counts.
        successors = {
            (login.viewer.access, key): login.viewer.login
            for login in reversed(present)
            for key in (login.password_hash, login.name)
        }
        for login in changed.values():
            self._last_seen.pop(login.name, None)
        return tuple(
            EndedLogin(login.viewer.login, _successor(login, successors))
            for name, login in changed.items()
            if not _is_promoted(login, snapshot.logins.get(name))
        )

    def dit(self) -> Dit:
        return self.snapshot.dit

    def authenticate(self, name: str, password: bytes, address: str, over_tls: bool = True) -> Viewer | None:  # noqa: FBT001, FBT002 - the session's port has no keywords
        """Return the viewer who binds with a name and a password, or None if the name or the password is wrong.

        A refusal must not tell by its duration whether the name exists.  So the password is hashed even if the login is
        unknown.  If a phone has a next password, a wrong password is hashed twice.  The server delays each refusal, and
        the delay hides the time of the second hash.

        :param name: ``cn=desk1,ou=phones,BASE``, ``cn=desk1`` or the bare ``desk1``.
        :param over_tls: see `PhoneBind`.
        :raises DirectoryError: with the result code unavailable, if the login is unknown and the gateway could not read
            all logins from the store.
        """
        login = self.find_login(name)
        is_present = self._is_right(password, login, login.password_hash if login else "")
        if login is None:
            return None
        used = login.password_hash if is_present else login.next_password_hash
        if not is_present and not (used and verify_password(password, used)):
            return None
        if not self._is_own_test(login.viewer.login, address):
            self._see(login, address, used, over_tls=over_tls)
        return login.viewer

    def authenticate_secret(self, secret: str, address: str) -> Viewer | None:
        """Return the viewer of the XML phone book with a secret in its URL, or None if there is no such phone book.

        :param secret: the phone's name, a dot and the secret itself.
        :raises DirectoryError: with the result code unavailable, if the login is unknown and the gateway could not read
            all logins from the store.
        """
        name, _, secret = secret.rpartition(".")
        login = self.snapshot.logins.get(name.lower())
        if not self._is_right(secret.encode(), login, login.book_secret_hash if login else "") or login is None:
            return None
        self._see(login, address, login.password_hash, over_tls=True)
        return login.viewer

    def _is_right(self, password: bytes, login: PhoneAccess | None, stored: str) -> bool:
        """Return whether a password has the stored hash of a login.

        The function computes a hash even if the login is unknown, so that the time does not tell which logins exist.
        """
        snapshot = self.snapshot
        if login is None and (snapshot.unserved or snapshot.freshness is Freshness.EXPIRED):
            raise DirectoryError(ResultCode.UNAVAILABLE, "the gateway cannot read its database")
        return verify_password(password, stored or UNKNOWN_LOGIN_HASH)

    def _see(self, login: PhoneAccess, address: str, password_hash: str, *, over_tls: bool) -> None:
        seen = self._seen.get(login.name)
        # When `take_seen_phones` returns a login with the next password, the store ends the old password.  Until then,
        # a later login with the old password must not replace the login in `_seen`.
        if seen is None or seen.password_hash != login.next_password_hash or not login.next_password_hash:
            self._seen[login.name] = PhoneBind(address, password_hash, self._now(), over_tls)

    def anonymous(self, address: str) -> Viewer:
        """Return the viewer of a connection without a bind, who sees the tenants that are open to the address."""
        access = tuple(Access(tenant) for tenant, is_open_to in self._open_to.items() if is_open_to(address))
        return Viewer(access=access) if access else NOBODY

    def take_seen_phones(self) -> Mapping[str, PhoneBind]:
        """Return the last login of each phone since the last call; the keys are the phones' names."""
        seen = self._seen
        self._last_seen |= seen  # `_last_seen` is filled before `_seen` is emptied, because other threads read both
        self._seen = {}
        return seen

    def last_login(self, phone: str) -> PhoneBind | None:
        """Return a phone's last login since the gateway started, or None if no login is recorded.

        If a phone's login changes, `publish` drops the record, but only after `take_seen_phones` has returned the
        record.

        :param phone: the phone's name, as it is stored.
        """
        return self._seen.get(phone) or self._last_seen.get(phone)

    def find_login(self, name: str) -> PhoneAccess | None:
        """Return the login that a bind request names, or None if there is no such login.

        :param name: ``cn=desk1,ou=phones,BASE``, ``cn=desk1`` or the bare ``desk1``.
        """
        logins = self.snapshot.logins
        login = logins.get(name.strip().lower())
        if login is not None or "=" not in name:
            return login
        login = logins.get(phone_name(name).lower())
        if login is not None and login.viewer.login == name:  # a DN in the usual spelling need not be parsed
            return login
        try:
            dn = Dn.parse(name)
        except InvalidDn:
            return None
        kind, leaf = dn.rdns[0][0] if dn.rdns else ("", "")
        login = logins.get(leaf.strip().lower())
        # Guides for PBXs tell people to enter "cn=NAME" as the login.
        is_bare = kind == "cn" and [len(rdn) for rdn in dn.rdns] == [1]
        is_found = login is not None and (is_bare or Dn.parse(login.viewer.login).key == dn.key)
        return login if is_found else None


def _is_promoted(former: PhoneAccess, present: PhoneAccess | None) -> bool:
    """Return whether a phone's next password has become its password, and the phone's viewer has not changed.

    The sessions of such a phone do not end, because the phone may be in the middle of its first search with the new
    password.
    """
    return (
        present is not None
        and former.next_password_hash != ""
        and present.password_hash == former.next_password_hash
        and present.viewer == former.viewer
    )


def _successor(former: PhoneAccess, successors: Mapping[tuple[tuple[Access, ...], str], str]) -> str:
    """Return the bind DN that the phone of a former login has now; empty if the phone is gone or has another owner.

    The phone has the same name or, if the phone was renamed, the same salted hash of its password.

    :param successors: the bind DNs of the present logins.  A key consists of a login's access, and of the login's name
        or the hash of its password.
    """
    access = former.viewer.access
    # The hash is looked up before the name: if the phone was renamed, another phone may have the former name by now.
    return successors.get((access, former.password_hash)) or successors.get((access, former.name), "")
