# SPDX-License-Identifier: MIT
"""Settings that connect a phone to the directory, as the configuration file or the web page fields of its vendor.

Pure: a `settings.PhoneSettings` goes in, a `sheet.Sheet` comes out.  `vendors` lists the vendors.
"""
