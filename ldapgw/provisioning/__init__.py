# SPDX-License-Identifier: MIT
"""What is entered into a phone so that it finds this directory: values in, the text of a vendor's file out.

`ldapgw.provisioning.vendors` is the door.
"""
