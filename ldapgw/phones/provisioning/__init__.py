# SPDX-License-Identifier: MIT
"""Settings that connect a phone to the directory: a configuration file, or values for the phone's web page.

`sheet.make_sheet` makes a `sheet.Sheet`, the settings in a vendor's format, of a `settings.PhoneSettings`.  The vendors
are data in ``ldapgw/phones/vendors``.
"""
