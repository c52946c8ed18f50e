# SPDX-License-Identifier: MIT
"""Settings that connect a phone to the directory: a configuration file, or values for the phone's web page.

`sheet.make_sheet` converts a `settings.PhoneSettings` into a `sheet.Sheet`, which has the settings in a vendor's
format.  The vendors are data in ``ldapgw/phones/vendors``.
"""
