# SPDX-License-Identifier: MIT
"""A simulated browser that goes through the consent, on the pages that a user sees.

The browser finds controls by their visible texts (the account's address, tick boxes, two buttons), never by field
names.  The HTTP client has the cookies, so each client is the browser of one user.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

from treq.client import HTTPClient

_CONTINUE = ("continue", "allow")
_CANCEL = ("cancel",)
_SWITCH_ON = ("switch on",)
_REDIRECTS = (301, 302, 303, 307, 308)
# Browsers give up after 20 redirects.
_MOST_REDIRECTS = 20


@dataclass(frozen=True, slots=True)
class Visit:
    """The current page of the browser: its HTTP status, URL and HTML."""

    status: int
    url: str
    body: str


@dataclass(slots=True)
class FormControl:
    """An ``input`` with the text of its label, or a ``button`` with its own text."""

    kind: str
    name: str
    value: str
    checked: bool
    text: str = ""


@dataclass(slots=True)
class HtmlForm:
    """A form with its controls in the order of the page."""

    action: str
    method: str
    controls: list[FormControl] = field(default_factory=list)


async def consent(
    http: HTTPClient, url: str, *, account: str, tick: Collection[str] | None = None, cancel: bool = False
) -> Visit:
    """Go through a consent as a user does.

    :param http: the HTTP client with the browser's cookies.
    :param url: the first URL: the gateway's connect or sign-in page.
    :param account: the address of the account to choose.
    :param tick: the scopes whose boxes are ticked, or None to tick every box.
    :param cancel: whether to press "Cancel" instead of "Continue".
    :returns: the last page: a page of the gateway, or an error page before it.
    :raises AssertionError: if a consent page lacks the account or the button, or redirects do not end.
    """
    return await _decide(http, await open_page(http, url), account, tick, cancel=cancel)


async def switch_on(http: HTTPClient, home: str, source: str, *, account: str) -> Visit | None:
    """Switch a source on at the gateway, and go through the consent if the gateway leads to Google.

    :param http: the HTTP client of a browser that is signed in to the gateway.
    :param home: the URL of the tenant's page at the gateway.
    :param source: the name of the source in the form's hidden field.
    :returns: the last page, or None if the gateway does not offer to switch the source on.
    """
    visit = await open_page(http, f"{home}account")
    for form in read_forms(visit.body):
        hidden = [(control.name, control.value) for control in form.controls if control.kind == "hidden"]
        if source in dict(hidden).values() and _buttons(form, _SWITCH_ON):
            visit = await submit(http, visit, form, hidden + _pressed(form, _SWITCH_ON))
            return await _decide(http, visit, account, None, cancel=False)
    return None


async def _decide(http: HTTPClient, visit: Visit, account: str, tick: Collection[str] | None, *, cancel: bool) -> Visit:
    """Fill in the consent page, if the current page is a consent page."""
    form = next((form for form in read_forms(visit.body) if _is_consent(form)), None)
    if visit.status != 200 or form is None:
        return visit
    return await submit(http, visit, form, consent_fields(form, account, tick, cancel=cancel))


async def open_page(http: HTTPClient, url: str) -> Visit:
    """Open a URL, and follow redirects and headers ``Refresh``."""
    return await _follow(http, "GET", url, None)


async def submit(http: HTTPClient, visit: Visit, form: HtmlForm, fields: list[tuple[str, str]]) -> Visit:
    """Submit a form of the current page."""
    target = urljoin(visit.url, form.action)
    if form.method == "post":
        return await _follow(http, "POST", target, fields)
    return await _follow(http, "GET", f"{target.partition('?')[0]}?{urlencode(fields)}", None)


def read_forms(html: str) -> list[HtmlForm]:
    """Return the forms of a page."""
    reader = _FormReader()
    reader.feed(html)
    reader.close()
    return reader.forms


async def _follow(http: HTTPClient, method: str, url: str, fields: list[tuple[str, str]] | None) -> Visit:
    for _ in range(_MOST_REDIRECTS):
        headers: dict[bytes | str, bytes | str] = {"Accept": "text/html"}
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = None if fields is None else urlencode(fields).encode()
        response = await http.request(method, url, headers=headers, data=body, allow_redirects=False)
        text = await response.text("utf-8")
        location = response.headers.getRawHeaders("location") if response.code in _REDIRECTS else None
        refresh = response.headers.getRawHeaders("refresh", [""])[0].removeprefix("0; url=")
        if not location and not refresh:
            return Visit(response.code, url, text)
        url = urljoin(url, location[0] if location else refresh)
        # As in browsers, the method is repeated only after 307 and 308 (RFC 9110 15.4).
        if response.code not in (307, 308):
            method, fields = "GET", None
    raise AssertionError(f"{_MOST_REDIRECTS} redirects and no page")


def _is_consent(form: HtmlForm) -> bool:
    return any(control.kind == "radio" for control in form.controls) and bool(_buttons(form, _CONTINUE))


def _buttons(form: HtmlForm, texts: Collection[str]) -> list[FormControl]:
    return [c for c in form.controls if c.kind == "submit" and (c.text or c.value).strip().lower() in texts]


def consent_fields(
    form: HtmlForm, account: str, tick: Collection[str] | None = None, *, cancel: bool = False
) -> list[tuple[str, str]]:
    """Return the fields of a consent page with the account chosen, the boxes ticked and a button pressed."""
    radios = [control for control in form.controls if control.kind == "radio"]
    chosen = [control for control in radios if account in (control.value, *control.text.split())]
    assert chosen, "the consent page does not offer the account"
    boxes = [control for control in form.controls if control.kind == "checkbox"]
    ticked = [control for control in boxes if tick is None or control.value in tick]
    others = [control for control in form.controls if control.kind not in ("radio", "checkbox", "submit")]
    fields = [(c.name, c.value) for c in (*others, chosen[0], *ticked) if c.name]
    return fields + _pressed(form, _CANCEL if cancel else _CONTINUE)


def _pressed(form: HtmlForm, texts: Collection[str]) -> list[tuple[str, str]]:
    buttons = _buttons(form, texts)
    assert buttons, f"the consent page has no button {' or '.join(texts)}"
    return [(buttons[0].name, buttons[0].value)] if buttons[0].name else []


class _FormReader(HTMLParser):
    """A parser that collects forms; the text of a button is its content, the text of an input is its label."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[HtmlForm] = []
        self._inside = False
        self._open: list[FormControl] = []
        self._label: list[str] | None = None
        self._labelled: list[FormControl] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(HtmlForm(attributes.get("action", ""), attributes.get("method", "get").lower()))
            self._inside = True
        elif tag == "label":
            self._label, self._labelled = [], []
        elif tag in ("input", "button") and self._inside:
            kind = attributes.get("type", "text" if tag == "input" else "submit")
            value = attributes.get("value", "on" if kind in ("radio", "checkbox") else "")
            control = FormControl(kind, attributes.get("name", ""), value, "checked" in attributes)
            self.forms[-1].controls.append(control)
            self._labelled.append(control)
            if tag == "button":
                self._open.append(control)

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data
        if self._label is not None:
            self._label.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "button" and self._open:
            self._open.pop()
        elif tag == "label" and self._label is not None:
            text = " ".join("".join(self._label).split())
            for control in self._labelled:
                control.text = control.text or text
            self._label = None
