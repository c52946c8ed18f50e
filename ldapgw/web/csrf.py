# SPDX-License-Identifier: MIT
"""Whether a form that is sent is one of ours, from our own page.

Three guards, each enough: the session cookie is ``SameSite=Lax``; every form holds a token that only our page knows;
and what the browser says of where the form came from must not speak against it.
"""

from __future__ import annotations

import hashlib
import hmac

from ldapgw.web.exchange import Call

FIELD = "token"


def form_token(session: str) -> str:
    """The token of a session's forms.

    Derived, so that nothing has to be kept; it does not give the session's cookie away.
    """
    return hmac.new(session.encode(), b"ldapgw form", hashlib.sha256).hexdigest()


def is_ours(call: Call, session: str, origin: str) -> bool:
    """Whether a form may act for a session.

    :param origin: that of ``public_url``.
    """
    return _from_here(call, origin) and hmac.compare_digest(
        call.form.get(FIELD, "").encode(), form_token(session).encode()
    )


def _from_here(call: Call, origin: str) -> bool:
    """Whether the browser does not say that the form came from elsewhere.

    With ``Referrer-Policy: no-referrer`` browsers send ``Origin: null`` from our own page (Fetch, 3.2), so that proves
    nothing; they tell by ``Sec-Fetch-Site`` then.
    """
    if call.fetch_site not in ("", "same-origin"):
        return False
    return call.origin in ("", "null") or call.origin.lower() == origin
