# SPDX-License-Identifier: MIT
"""What is entered into a phone so that it finds this directory: values in, the text of a vendor's file out.

`ldapgw.phones.provisioning.vendors` is the door.
"""
