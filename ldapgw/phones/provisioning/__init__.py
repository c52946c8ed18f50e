# SPDX-License-Identifier: MIT
"""Settings that connect a phone to the directory: a configuration file, or values for the fields of its web page.

A `settings.PhoneSettings` goes in, a `sheet.Sheet` comes out.  The vendors are data in ``ldapgw/phones/vendors``.
"""
