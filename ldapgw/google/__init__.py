# SPDX-License-Identifier: MIT
"""The client of Google's APIs: OAuth 2.0, OpenID Connect, the People API v1 and the Directory API.

`oauth.OAuth` obtains, renews and revokes a grant.  `people.People` lists persons page by page with an access token of
the grant, and `person.read_person` turns a person into a contact.  `workspace.WorkspaceDirectory` lists the users of a
Workspace.  Every call goes through `http.GoogleHttpClient`, which limits the time and the size of the call; the other
modules do no I/O of their own.  Every failure is raised as a `GoogleError`, so a failure never looks like an empty
address book.
"""
