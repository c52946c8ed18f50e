# SPDX-License-Identifier: MIT
"""Real ldapsearch sends the searches of each vendor's printed settings over real sockets, and finds the contacts.

Only a client that others have written shows that the printed filters are valid.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from ldapgw.directory.access import NOBODY, Viewer
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.errors import ResultCode
from ldapgw.ldap.messages import Message, Operation
from ldapgw.ldap.session import DirectoryPort
from ldapgw.phones.explain.view import PhoneView
from ldapgw.phones.provisioning import settings
from ldapgw.phones.provisioning.settings import Security
from ldapgw.phones.provisioning.sheet import Sheet, make_sheet
from ldapgw.phones.provisioning.vendors import Advice, all_vendors
from tests.support.filter_text import read_filter
from tests.support.golden import SETTINGS
from tests.support.keypad import Sent, cisco
from tests.support.phonebook import BASE, PHONE, phonebook
from tests.support.phonebook.listening import Server, contexts_in, listening
from tests.support.phonebook.wire import Client, make_factory
from tests.support.rebuilt import rebuild
from tests.support.vendor_rows import ROWS, read

pytestmark = pytest.mark.skipif(
    shutil.which("ldapsearch") is None and "CI" not in os.environ,
    reason="needs ldap-utils: sudo apt-get install ldap-utils",
)

BEGIN_WITH_0301234 = {"mueller-hans", "mueller-anna", "moeller-schoenfeld", "klein-petra", "buerohaus-klein"}
NUMBERS = {"telephoneNumber", "mobile", "homePhone"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server has 47 awkward contacts, and one phone may log in."""
    from twisted.internet import reactor  # noqa: TID251  tests are an entry point

    dit = phonebook()

    def authenticate(name: str, password: bytes, _address: str, _over_tls: bool) -> Viewer | None:
        known = name in (SETTINGS.login, SETTINGS.bind_dn) and password == SETTINGS.password.encode()
        return PHONE if known else None

    context, certificate = contexts_in(tmp_path_factory.mktemp("tls"))
    gate = DirectoryPort(lambda: dit, authenticate, lambda _address: NOBODY, b"key")
    with listening(reactor, make_factory(gate, reactor, tls=context), certificate) as found:
        yield found


def sheet_for(server: Server, key: str, offered: Security) -> Sheet:
    """Return the sheet for a gateway with this security alone, or with every kind if the vendor lacks this security."""
    everything = settings.ServerAddress("127.0.0.1", server.plain, server.tls, start_tls=True)
    one = {
        Security.LDAPS: replace(everything, port=0),
        Security.STARTTLS: replace(everything, tls_port=0, require_tls=True),
        Security.PLAIN: replace(everything, tls_port=0, start_tls=False),
    }[offered]
    vendor = all_vendors()[key]
    return make_sheet(vendor, replace(SETTINGS, server=one if offered in vendor.supported_security else everything))


async def search(server: Server, printed: Sheet, sent: Sent) -> dict[str, dict[str, list[str]]]:
    """Return the attributes and values of the answer by uid."""
    assert printed.link is not None
    values = read(printed)
    assert ROWS[printed.vendor.key].opens(values)
    login = SETTINGS.bind_dn if SETTINGS.bind_dn in values.values() else SETTINGS.login
    command = [
        *("ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-o", "nettimeout=30", "-H", printed.link.url),
        *(["-ZZ"] if printed.link.security is Security.STARTTLS else []),
        *("-D", login, "-w", SETTINGS.password, "-b", values[ROWS[printed.vendor.key].base]),
        *("-z", str(sent.size_limit), sent.filter, *(("uid", *sent.attributes) if sent.attributes else ())),
    ]
    trust = {"LDAPTLS_CACERT": server.certificate, "LDAPTLS_REQCERT": "demand"}
    done = await deferToThread(
        subprocess.run, command, env={**os.environ, **trust}, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, (command, done.stderr.decode())
    return dict(map(_entry, filter(None, done.stdout.decode().strip().split("\n\n"))))


def _entry(text: str) -> tuple[str, dict[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        found.setdefault(name.rstrip(":"), []).append(value)
    return found["uid"][0], found


def showing(entry: dict[str, Any], sent: Sent) -> None:
    """Check that the answer has a name and a number among the requested attributes."""
    came = entry.keys() & set(sent.attributes or entry.keys())
    assert came & {"cn", "sn"}
    assert came & NUMBERS


@pytest.mark.parametrize("offered", Security)
@pytest.mark.parametrize("key", all_vendors())
@pytest_twisted.ensureDeferred
async def test_a_name_is_found(server: Server, key: str, offered: Security) -> None:
    """The name is typed without the umlaut, and the contact has only a mobile. The test tries each security."""
    printed = sheet_for(server, key, offered)
    sent = ROWS[key].keypad.name(read(printed), "oezt")
    found = await search(server, printed, sent)
    assert found.keys() == {"oeztuerk-caglar"}
    showing(found["oeztuerk-caglar"], sent)


@pytest.mark.parametrize("key", all_vendors())
def test_who_has_no_name_is_not_found(key: str) -> None:
    """Neither a search for the company nor a full list returns the tenant's own entry, which has no name."""
    dit = phonebook()
    [directory] = dit.directories
    printed = read(make_sheet(all_vendors()[key], SETTINGS))
    for typed in ("acme", ""):
        sought = read_filter(ROWS[key].keypad.name(printed, typed).filter.replace("**", "*"))
        found = PhoneView(dit, PHONE, directory.context.name).search(sought, str(directory.context.base), 1000).entries
        assert [entry.dn for entry in found if not entry.attribute("cn")] == []


@pytest.mark.parametrize("key", all_vendors())
def test_whoever_shows_no_names_of_callers_is_told_so(key: str) -> None:
    """A phone looks callers up, or the sheet says that the phone does not."""
    told = Advice.NO_CALLER_LOOKUP in make_sheet(all_vendors()[key], SETTINGS).advice
    assert told == (ROWS[key].keypad.caller is None)
    assert ROWS[key].keypad.source


@pytest.mark.parametrize(
    ("caller", "who"),
    [
        ("0301234567", {"mueller-hans"}),
        ("+49301234567", {"mueller-hans"}),
        ("00491712345678", {"mueller-hans"}),
        ("00301234560", {"mueller-anna"}),
        ("+493099999999", set()),
        ("", set()),
        ("anonymous", set()),
        ("unknown", set()),
        ("restricted", set()),
    ],
    ids=["national", "E.164", "mobile", "outside line, home", "stranger", "withheld", "anonymous", "unknown",
         "restricted"],
)  # fmt: skip
@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if row.keypad.caller])
@pytest_twisted.ensureDeferred
async def test_it_rings(server: Server, key: str, caller: str, who: set[str]) -> None:
    """Each signalled form of a contact's numbers finds the caller. A withheld number finds nobody."""
    printed = sheet_for(server, key, Security.PLAIN)
    calls = ROWS[key].keypad.caller
    assert calls is not None
    assert ROWS[key].looks_up(read(printed))
    sent = calls(read(printed), caller)
    if sent is None:
        assert not caller
        return
    assert (await search(server, printed, sent)).keys() == who


@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if row.keypad.digits])
@pytest_twisted.ensureDeferred
async def test_the_beginning_of_a_number_is_found(server: Server, key: str) -> None:
    """Typed digits find exactly the contacts whose numbers begin with these digits."""
    printed = sheet_for(server, key, Security.PLAIN)
    digits = ROWS[key].keypad.digits
    assert digits is not None
    sent = digits(read(printed), "0301234")
    found = await search(server, printed, sent)
    assert found.keys() == BEGIN_WITH_0301234
    showing(found["mueller-hans"], sent)


@pytest_twisted.ensureDeferred
async def test_snom_during_a_call(server: Server) -> None:
    """Snom phones have a separate name filter during a call."""
    printed = sheet_for(server, "snom", Security.PLAIN)
    values = read(printed)
    sent = ROWS["snom"].keypad.name({**values, "ldap_search_filter": values["ldap_search_filter_during_call"]}, "oezt")
    assert (await search(server, printed, sent)).keys() == {"oeztuerk-caglar"}


@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if row.keypad.caller and key != "ale"])
def test_who_calls_is_asked_for_by_the_whole_number(key: str) -> None:
    """A star would also find longer numbers of other people.

    The test leaves out ALE's phones, which add a star themselves.
    """
    calls = ROWS[key].keypad.caller
    assert calls is not None
    sent = calls(read(make_sheet(all_vendors()[key], SETTINGS)), "0301234567")
    assert sent is not None
    numbers = re.findall(r"\((?:telephoneNumber|mobile|homePhone)=([^)]*)\)", sent.filter)
    assert set(numbers) == {"0301234567"}


@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if row.older])
def test_older_firmware(key: str) -> None:
    """Older firmware adds a star to the printed star and finds the same.

    The test needs no ldapsearch, which refuses two stars.
    """
    keypad = ROWS[key].older
    assert keypad is not None
    values = read(make_sheet(all_vendors()[key], SETTINGS))
    sent = keypad.name(values, "oezt")
    assert "**" in sent.filter
    request = SearchRequest(values[ROWS[key].base], Scope.WHOLE_SUBTREE, read_filter(sent.filter), sent.size_limit)
    dit = phonebook()
    client = Client(make_factory(DirectoryPort(lambda: dit, lambda *_: None, lambda _address: PHONE, b"key")))
    message = rebuild(Message(1, Operation.SEARCH, request))
    assert message is not None
    entry, done = client.send(message)
    assert (entry.dn.partition(",")[0], done.code) == ("uid=oeztuerk-caglar", ResultCode.SUCCESS)


@pytest.mark.parametrize(
    ("key", "field", "typed", "who"),
    [
        ("cisco-mpp", "LDAP_First_Name_Filter", "zo", "bronte-zoe"),
        ("cisco-mpp", "LDAP_Item_4_Filter", "weiss", "weiss-strassenbau"),
        ("cisco-spa", "LDAP_First_Name_Filter", "zo", "bronte-zoe"),
        ("cisco-spa", "LDAP_Item_3_Filter", "weiss", "weiss-strassenbau"),
        ("cisco-spa", "LDAP_Item_4_Filter", "443322", "taxi-3000"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_other_fields_of_cisco(server: Server, key: str, field: str, typed: str, who: str) -> None:
    """Each field has a filter of its own, and the columns of the list are filled."""
    printed = sheet_for(server, key, Security.PLAIN)
    sent = cisco(read(printed), field, typed)
    found = await search(server, printed, sent)
    assert who in found
    showing(found[who], sent)


@pytest.mark.parametrize("key", ["cisco-mpp", "cisco-spa"])
@pytest_twisted.ensureDeferred
async def test_the_list_of_cisco(server: Server, key: str) -> None:
    """A search with empty fields returns named contacts with values for the columns of the list."""
    printed = sheet_for(server, key, Security.PLAIN)
    sent = cisco(read(printed), "LDAP_Last_Name_Filter", "")
    found = await search(server, printed, sent)
    assert found.keys() >= BEGIN_WITH_0301234 | {"oeztuerk-caglar", "taxi-3000", "weiss-strassenbau"}
    assert [uid for uid, entry in found.items() if "cn" not in entry] == []
    showing(found["oeztuerk-caglar"], sent)


def test_every_vendor_is_tried() -> None:
    """A new vendor needs a row in this file."""
    assert ROWS.keys() == all_vendors().keys()
    assert BASE in SETTINGS.base_dn
