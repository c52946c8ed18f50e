# SPDX-License-Identifier: MIT
"""The outside world, speaking Google: OAuth 2.0, OpenID Connect and the People API v1.

`oauth.OAuth` gets and renews a grant, `people.People` reads pages of persons with it, `person.read_person` makes a
contact of one.  Every call goes through `http.Caller`, which bounds its time and its size; everything else here is
pure.  What goes wrong is a `GoogleError`: a failure never looks like an empty address book.
"""
