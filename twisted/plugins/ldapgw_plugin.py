# SPDX-License-Identifier: MIT
"""Lets ``twistd`` find ldapgw."""

from twisted.application.service import ServiceMaker

ldapgw = ServiceMaker("ldapgw", "ldapgw.tap", "Google contacts on desk phones, by LDAP", "ldapgw")
