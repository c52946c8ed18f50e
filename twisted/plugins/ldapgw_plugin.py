# SPDX-License-Identifier: MIT
"""Lets ``twistd`` find ldapgw, and ``twistd --reactor ldapgw`` its reactor."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

ldapgw = ServiceMaker("ldapgw", "ldapgw.server.twistd", "Google contacts on desk phones, by LDAP", "ldapgw")

reactor = Reactor(
    "ldapgw", "ldapgw.server.reactor", "epoll without a log context for each event: phones are answered sooner"
)
