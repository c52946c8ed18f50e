# SPDX-License-Identifier: MIT
"""What phones are served now: the one thing that the writing half replaces and the reading half reads.

Mutable: `Catalog.served`, replaced by one assignment, and which phones were seen.  A search keeps the directories that
it started with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ldapgw.directory.access import NOBODY, UNKNOWN_LOGIN_HASH, Access, Viewer, verify_password
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn, InvalidDn, Key


@dataclass(frozen=True, slots=True)
class PhoneAccess:
    """A phone that may bind.

    :ivar key: of its DN.
    """

    name: str
    dn: Dn
    password_hash: str
    viewer: Viewer
    key: Key = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Work the key out once: a phone may bind anew for each search."""
        object.__setattr__(self, "key", self.dn.key)

    def __repr__(self) -> str:
        """Without the hash."""
        return f"<Login {self.name}>"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent picture.

    :ivar logins: by the phone's name in lower case.
    :ivar loaded: whether the stored contacts are in it; false until the first picture is complete.
    """

    dit: Dit
    logins: Mapping[str, PhoneAccess] = field(default_factory=dict)
    loaded: bool = False


class Catalog:
    """Holds what is served.

    :param served: the picture to begin with.
    :param open_to: by tenant: whether an address may search without a login.
    """

    def __init__(self, served: Snapshot, open_to: Mapping[str, Callable[[str], bool]]) -> None:
        self.snapshot = served
        self._open_to = open_to
        self._seen: dict[str, tuple[str, str]] = {}
        self._end_sessions: Callable[[str], None] = lambda _: None
        self._published: Callable[[], None] = lambda: None

    def set_listeners(self, end_sessions: Callable[[str], None], published: Callable[[], None]) -> None:
        """Who is to be told of a login that no longer holds, by its bind DN, and of another picture."""
        self._end_sessions = end_sessions
        self._published = published

    def publish(self, served: Snapshot) -> None:
        """Serve another picture from now on; sessions of logins that are gone or changed end."""
        before, self.snapshot = self.snapshot, served
        self._published()
        for name, login in before.logins.items():
            if served.logins.get(name) != login:
                self._end_sessions(login.viewer.login)

    def dit(self) -> Dit:
        """The directories as they are now."""
        return self.snapshot.dit

    def authenticate(self, name: str, password: bytes, address: str) -> Viewer | None:
        """Who binds with a name and a password; None when either is wrong.

        Each takes one hash; what is left of a difference is hidden by the time for which a wrong answer is held back.

        :param name: ``cn=desk1,ou=phones,BASE`` or the bare ``desk1``.
        """
        login = self._login(name)
        right = verify_password(password, login.password_hash if login else UNKNOWN_LOGIN_HASH)
        if not right or login is None:
            return None
        self._seen[login.name] = (address, login.password_hash)
        return login.viewer

    def anonymous(self, address: str) -> Viewer:
        """Who a connection is that has not bound: somebody in the networks that a tenant has opened, or nobody."""
        access = tuple(Access(tenant) for tenant, holds in self._open_to.items() if holds(address))
        return Viewer(access=access) if access else NOBODY

    def take_seen_phones(self) -> Mapping[str, tuple[str, str]]:
        """The phones that have bound since the last call: name to address, and the hash of the password that held."""
        seen, self._seen = self._seen, {}
        return seen

    def _login(self, name: str) -> PhoneAccess | None:
        bare = self.snapshot.logins.get(name.strip().lower())
        if bare is not None or "=" not in name:
            return bare
        near = self.snapshot.logins.get(name.partition("=")[2].partition(",")[0].lower())
        if near is not None and near.viewer.login == name:  # letter for letter as our settings have it
            return near
        try:
            dn = Dn.parse(name)
        except InvalidDn:
            return None
        leaf = dn.rdns[0][0][1] if dn.rdns else ""
        found = self.snapshot.logins.get(leaf.strip().lower())
        return found if found is not None and found.key == dn.key else None
