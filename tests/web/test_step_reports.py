# SPDX-License-Identifier: MIT
"""A phone's page sends reports on setup steps; the gateway counts them without persons for administrators."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from ldapgw import __version__
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.store import provisioning
from ldapgw.store.provisioning import StepReport
from ldapgw.web.provisioning_pages import mail_address, mail_text
from tests.support.stage.web import ALICE, NOW, ROOT, Browser, Seen, Stage, owner, words_on

PHONE = "/acme/phones/desk1"
STEPS = "/acme/admin/phones/steps"
MENU = {"vendor": "yealink", "outcome": "menu", "step": "3", "menu": "Settings > Config"}
THIRD = all_vendors()["yealink"].setup_steps[2].text


@pytest.fixture
def alice(stage: Stage) -> Browser:
    """Alice owns the phone desk1, a Yealink."""
    return owner(stage, model="yealink")


def send(browser: Browser, **fields: str) -> Seen:
    return browser.submit(f"{PHONE}/steps", **fields)


def stored(stage: Stage) -> tuple[StepReport, ...]:
    return stage.do(provisioning.read_reports, "acme")


def test_the_steps_worked(stage: Stage, alice: Browser) -> None:
    """The report counts for the vendor on the page, and leads back to this vendor with thanks."""
    page = alice.get(f"{PHONE}?vendor=snom").body
    form = page.partition('class="report">')[2].partition("</form>")[0]
    assert '<input type="hidden" name="vendor" value="snom">' in form
    assert '<button class="plain small" name="outcome" value="worked">This worked</button>' in form
    for _ in range(2):
        seen = send(alice, vendor="snom", outcome="worked", step="3", menu="")
        assert (seen.status, seen.location) == (303, f"{PHONE}?vendor=snom")
        assert "Thank you. Your report was counted, without your name." in alice.get(seen.location).body
    assert stored(stage) == (StepReport("acme", "snom", "", "", 0, "", NOW, 2),)


def test_a_menu_has_another_name(stage: Stage, alice: Browser) -> None:
    """The report has the step, and the model and firmware if they are given; the form lists the vendor's steps."""
    page = alice.get(PHONE).body
    choice = html.unescape(page.partition('name="step">')[2].partition("</select>")[0])
    options = re.findall('<option value="([0-9])">[0-9]. (.*)</option>', choice)
    assert options == [(str(step.number), step.text) for step in all_vendors()["yealink"].setup_steps]
    send(alice, **MENU, model=" T54W ", version="96.86.0.70")
    send(alice, **MENU)
    assert stored(stage) == (
        StepReport("acme", "yealink", "", "", 3, "Settings > Config", NOW, step_text=THIRD),
        StepReport("acme", "yealink", "T54W", "96.86.0.70", 3, "Settings > Config", NOW, step_text=THIRD),
    )


@pytest.mark.parametrize(
    ("fields", "menu"),
    [
        ({"menu": "  Web\tinterface \u202e> Setup\r\n"}, "Web interface > Setup"),
        *(({"menu": menu}, menu) for menu in ("802.1X", "Port 5060 > 2", "x" * 60)),
        ({"version": "5.5.1.11526", "model": "VVX 450"}, MENU["menu"]),
        ({"version": "sip78xx.12-0-1SR1(0)"}, MENU["menu"]),
    ],
    ids=["white space", "802.1X", "port", "longest", "Poly's version", "Cisco's version"],
)
def test_texts_that_are_counted(stage: Stage, alice: Browser, fields: dict[str, str], menu: str) -> None:
    """A text is stored on one line, without invisible characters."""
    send(alice, **MENU | fields)
    assert [report.menu for report in stored(stage)] == [menu]


UNFIT_MENUS = [
    *({"menu": menu} for menu in ("", " \u200b ", "x" * 61, "anna@acme.example")),
    *({"menu": menu} for menu in ("call 03012345", "(030) 12-34", "+49 1 6 0 1", "\u0663\u0660\u0661\u0662\u0663")),
]
UNFIT_PHONES = [
    *({"model": model} for model in ("anna@acme.example", "0160 123 456", "x" * 41)),
    *({"version": version} for version in ("x" * 41, "Anna Berg", "anna@acme", "01601234567")),
]


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [("menu", fields) for fields in UNFIT_MENUS + UNFIT_PHONES] + [("worked", fields) for fields in UNFIT_PHONES],
    ids=lambda value: repr(value)[:40],
)
def test_texts_that_are_refused(stage: Stage, alice: Browser, outcome: str, fields: dict[str, str]) -> None:
    """Missing and long texts, addresses and numbers are not stored, and the next page says why."""
    seen = send(alice, **MENU | {"outcome": outcome} | fields)
    assert (seen.status, stored(stage)) == (303, ())
    assert "The report wasn’t counted. Enter what the menu is called" in alice.get(seen.location).body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("vendor", vendor) for vendor in ("nobody", "")),
        *(("outcome", outcome) for outcome in ("", "other")),
        *(("step", step) for step in ("0", "5", "-1", "", "9" * 30)),
    ],
)
def test_a_form_that_is_no_pages(stage: Stage, alice: Browser, field: str, value: str) -> None:
    assert (send(alice, **MENU | {field: value}).status, stored(stage)) == (400, ())


def test_reports_are_limited(stage: Stage, alice: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session may send some reports at once; if the tenant has too many, the page refers to an administrator."""
    seen = [send(alice, **MENU | {"menu": f"menu {number}"}) for number in range(11)]
    assert [one.status for one in seen] == [303] * 10 + [429]
    assert seen[-1].headers["retry-after"] == ["60"]
    assert len(stored(stage)) == 10
    stage.clock.advance(60)
    monkeypatch.setattr(provisioning, "MAX_REPORTS", 10)
    full = send(alice, **MENU | {"menu": "menu 11"})
    assert "An administrator has to send and delete them first." in alice.get(full.location).body
    assert len(stored(stage)) == 10


def test_the_administrator_sees_the_counts(stage: Stage, alice: Browser) -> None:
    """The page and the mail count by vendor, model and firmware, and name neither a person nor a phone."""
    for fields in ({"outcome": "worked"}, {"outcome": "worked"}, {"model": "T54W", "version": "96.86.0.70"}):
        send(alice, **MENU | fields)
    root = stage.visitor(account=ROOT)
    assert f'href="{STEPS}">Reports on setup steps</a>' in root.get("/acme/admin/phones").body
    page = root.get(STEPS)
    table = page.body.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.sub("<[^>]+>", "|", row) for row in table.split("</tr>")[:-1]]
    assert [re.findall(r"[^|\n]+", row)[:5] for row in rows] == [
        ["Yealink", "–", "–", "All steps worked", "2"],
        ["Yealink", "T54W", "96.86.0.70", "Step 3: “Settings &gt; Config”", "1"],
    ]
    assert not any(hidden in page.body for hidden in ("desk1", ALICE))
    [mail] = re.findall('href="(mailto:[^"]*)"', page.body)
    fields = parse_qs(urlsplit(html.unescape(mail)).query)
    assert fields["body"][0].replace("\r\n", "\n") == mail_text(stored(stage))
    assert fields["subject"] == ["Reports on setup steps of phones"]


def test_reports_are_deleted(stage: Stage, alice: Browser) -> None:
    """The page asks first, and the activity log has the act; then there is nothing to send or to delete."""
    send(alice, **MENU)
    root = stage.visitor(account=ROOT)
    asked = root.get(f"{STEPS}/delete")
    assert "<h1>Delete all reports on setup steps?</h1>" in asked.body
    assert len(stored(stage)) == 1
    seen = root.post(f"{STEPS}/delete", {"token": asked.token})
    assert (seen.location, stored(stage)) == (STEPS, ())
    page = root.get(STEPS)
    assert "The reports were deleted." in page.body
    assert "There are no reports yet." in words_on(page)
    assert ("mailto:" in page.body, "steps/delete" in page.body) == (False, False)
    assert "Deleted the reports on setup steps" in root.get("/acme/admin/activity").body


def test_the_text_of_the_mail() -> None:
    """The mail has the counts for each model and firmware, with our words for a step; the vendor may be unknown."""
    reports = (
        StepReport("acme", "yealink", "", "", 0, "", NOW, 2),
        StepReport("acme", "yealink", "T54W", "96.86.0.70", 0, "", NOW),
        StepReport("acme", "yealink", "T54W", "96.86.0.70", 3, "Setup", NOW, 4, THIRD),
        StepReport("acme", "gone", "X", "", 9, "Menu", NOW),
    )
    assert mail_text(reports).splitlines() == [
        f"Reports on setup steps of phones, ldapgw {__version__}",
        "",
        "yealink, model unknown, firmware unknown",
        "  2 x all steps worked",
        "",
        "yealink, model T54W, firmware 96.86.0.70",
        "  1 x all steps worked",
        '  4 x step 3: the menu is called "Setup"',
        f"      our step: {THIRD}",
        "",
        "gone, model X, firmware unknown",
        '  1 x step 9: the menu is called "Menu"',
    ]
    assert mail_text(()) == ""


def test_a_long_mail_is_pasted(stage: Stage, alice: Browser) -> None:
    """Mail programs cut long addresses, so the page says to copy a long text."""
    assert mail_address("x" * 2000) == ""
    assert mail_address("a b&c\nd").endswith("&body=a%20b%26c%0D%0Ad")
    for number in range(10):
        send(alice, **MENU | {"menu": f"{'x' * 50} {number}", "model": f"T{number}W"})
    page = stage.visitor(account=ROOT).get(STEPS).body
    assert 'href="mailto:?subject=Reports%20on%20setup%20steps%20of%20phones&amp;body="' in page
    assert "copy it into the email" in page
