# SPDX-License-Identifier: MIT
"""Hazards stopped other LDAP servers, or made them give a wrong answer; here is the right answer.

Each line names a hazard and the test that shows our answer; one without a module is in this file.

Nobody stops the server:

    an INTEGER of thousands of octets                    test_exhaustion.test_an_integer_of_any_length_stops_nobody
    a message that claims 2 GiB                          test_framing.test_what_no_message_begins_with_is_refused_from_its_header_alone
    … and is never sent                                  test_exhaustion.test_nothing_wedges_a_connection
    an indefinite length                                 test_exhaustion.test_nothing_wedges_a_connection
    an element longer than its parent                    test_exhaustion.test_nothing_wedges_a_connection
    a filter 10,000 levels deep                          test_filter_decoder.test_so_much_is_read_and_more_is_refused_by_name
    an OR of 200 terms that find nothing                 test_exhaustion.test_a_costly_search_lets_others_in_between
    everything in 10,000 contacts                        test_exhaustion.test_a_costly_search_lets_others_in_between
    … and no more than the limit of it                   test_search.test_size_limit
    30 phones that search at once                        test_exhaustion.test_thirty_phones_search_at_once
    20 full searches, and nothing of them read           test_socket_io.test_a_client_that_reads_nothing_has_at_most_256_kib_waiting
    a search whose client has left                       test_server.test_a_long_search_stops_when_nobody_wants_it
    half a message                                       test_server.test_half_a_message_has_thirty_seconds
    half a TLS handshake                                 test_server.test_a_handshake_has_ten_seconds
    a flood of TLS handshakes                            test_exhaustion.test_a_flood_of_handshakes_lets_others_in_between
    20,000 small messages at once                        test_exhaustion.test_twenty_thousand_small_messages_at_once
    the same, framed                                     test_framing.test_many_small_messages_cost_what_they_weigh
    a log that fills                                     test_sharing.test_violations_do_not_fill_the_log
    passwords that are guessed                           test_server.test_a_wrong_password_is_answered_later_and_later
    … from many addresses                                test_admission.test_the_tables_of_wrong_passwords_are_bounded
    a message in pieces of 64 octets                     test_exhaustion.test_a_message_in_small_pieces_costs_what_it_weighs
    a request and a half-close at once                   test_server.test_a_half_closed_connection_is_answered_and_then_closed

Nobody gets what is not theirs, and every answer is right:

    add, delete, modify, rename                          test_session.test_nothing_is_ever_written
    SASL of an unknown mechanism                         test_session.test_other_methods_are_not_supported
    a password without a name                            test_session.test_simple_bind
    a name without a password                            test_session.test_simple_bind
    a bind name that is no DN                            test_a_bind_name_that_is_no_login
    LDAPv2, as old phones speak it                       test_session.test_a_login_binds
    any other version                                    test_session.test_other_versions_are_a_protocol_error
    a password in clear                                  test_session.test_where_tls_is_required_a_password_in_clear_is_refused
    userPassword, read or felt for                       test_no_entry_has_a_password
    a request put in front of the TLS handshake          test_clients.test_what_is_injected_before_the_handshake_is_not_answered_after_it
    Abandon is not answered                              test_session.test_a_row_of_the_table
    a request behind an Unbind                           test_server.test_bind_search_unbind
    an unknown tag in front of a request                 test_exhaustion.test_nothing_wedges_a_connection
    an envelope of another tag                           test_framing.test_what_no_message_begins_with_is_refused_from_its_header_alone
    a messageID that is none                             test_decoder.test_what_cannot_be_read_ends_the_session
    sizeLimit                                            test_session.test_the_smaller_size_limit_counts
    timeLimit                                            test_server.test_the_time_limit_ends_a_search_with_what_was_found
    typesOnly                                            test_search_response.test_types_only
    negative limits, unknown derefAliases                test_decoder.test_what_can_be_read_but_is_wrong_gets_the_operations_own_answer
    Compare on an absent attribute                       test_session.test_compare
    an honest root DSE                                   test_special_entries.test_root_dse
    … in any case                                        test_the_root_dse_is_found_in_any_case
    diagnostics are fixed phrases                        test_fuzz.test_no_mutant_does_harm
    a notice before the end                              test_server.test_what_cannot_be_read_gets_a_notice_and_the_end

Searches find what they should:

    substrings are found at all, and are consumed        test_filter_matcher.test_filters
    … for any parts                                      test_filter_matcher.test_substrings_are_consumed
    numbers, blanks, aliases, supertypes, object classes test_filter_matcher.test_filters
    an unknown attribute stays undefined                 test_filter_matcher.test_filters
    … through any filter                                 test_filter_matcher.test_logic_has_three_values
    values of the name only with :dn                     test_filter_matcher.test_filters
    approximate and extensible terms within an OR        test_filter_matcher.test_filters
    octets that are not UTF-8 within an OR               test_filter_matcher.test_filters
    names in any case, with blanks                       test_filter_matcher.test_filters
    1,000 searches, answered in order                    test_server.test_a_thousand_pipelined_searches
"""  # noqa: E501  a table

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ldapgw.errors import ResultCode
from ldapgw.ldap.session import DirectoryPort
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.talk import Server
from tests.support.phonebook.wire import BASE, DESK1, SECRET, make_gate

ENTRY, DONE = 0x64, 0x65


def test_every_hazard_has_its_test():
    """The table above names tests that there are."""
    lines = re.findall(r"^    (\S.*?) +(?:(test_\w+)\.)?(test_\w+)$", __doc__, re.MULTILINE)
    assert len(lines) == len([line for line in __doc__.splitlines() if line.startswith("    ")]) > 50
    sources: dict[str, str] = {}
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        sources[path.stem] = sources.get(path.stem, "") + path.read_text()
    missing = [f"{hazard}: {test}" for hazard, module, test in lines
               if f"def {test}(" not in sources.get(module or Path(__file__).stem, "")]  # fmt: skip
    assert missing == []


@pytest.fixture(name="gate", scope="module")
def _gate() -> DirectoryPort:
    return make_gate()


# --- nobody gets what is not theirs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["administrator", "cn=", "=", "uid=desk1", "desk1,", "DESK 1", "\0", "x" * 10_000])
def test_a_bind_name_that_is_no_login(gate, name):
    """A phone may bind by its bare name, so one that is no DN is a wrong login like any other."""
    talk = Server(gate).talk()
    talk.say(pdu.message(1, pdu.bind(name, b"x")))
    talk.wait(1.0)
    assert [(one.code, one.diagnostic) for one in talk.replies] == [
        (ResultCode.INVALID_CREDENTIALS, "name or password is wrong")
    ]


def test_no_entry_has_a_password(gate):
    """Neither to be read, nor to be felt for by a filter, nor to be compared; phones' logins are no entries at all."""
    talk = Server(gate).talk(bound=True)
    for text in ("(userPassword=*)", "(userPassword=s*)", "(userPassword>=a)", "(2.5.4.35=*)", "(cn=desk1)"):
        talk.say(pdu.message(2, pdu.search("", 2, encode(read_filter(text)))))
    talk.say(pdu.message(3, pdu.search(BASE, 2, attributes=("userPassword", "2.5.4.35"))))
    assert [one.code for one in talk.replies if one.kind == DONE] == [0] * 6
    assert {(one.message_id, one.attributes) for one in talk.replies if one.kind == ENTRY} == {(3, ())}
    talk.replies.clear()
    for name in (DESK1, f"ou=phones,{BASE}", BASE):
        talk.say(pdu.message(4, pdu.compare(name, "userPassword", SECRET)))
    assert not {one.code for one in talk.replies} & {ResultCode.COMPARE_TRUE, ResultCode.COMPARE_FALSE}


@pytest.mark.parametrize("text", ["(objectclass=*)", "(OBJECTCLASS=*)", "(2.5.4.0=*)", "(objectClass=TOP)"])
def test_the_root_dse_is_found_in_any_case(gate, text):
    """Clients write it as they like."""
    talk = Server(gate).talk()
    talk.say(pdu.message(1, pdu.search("", 0, encode(read_filter(text)))))
    assert [(one.kind, one.code) for one in talk.replies] == [(ENTRY, None), (DONE, 0)]
