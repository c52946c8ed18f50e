# SPDX-License-Identifier: MIT
"""An administrator's first visit in a real browser: from the terminal to a company that can connect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from ldapgw.google.sandbox.tenant import ALICE, BOB, CLIENT_ID, CLIENT_SECRET
from tests.browser.window import PEOPLE, Window, in_german
from tests.support.site.running import Site

# A company for each language, as somebody finds it who has just installed the gateway.
COMPANIES = """
[[tenant]]
name = "new-{language}"
title = "Initech"
base_dn = "dc=new-{language},dc=example"
allowed_users = ["@acme.example"]
admins = ["bob@acme.example"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    companies = "".join(COMPANIES.format(language=language) for language in ("en", "de", "drop"))
    site = Site(tmp_path_factory.mktemp("site"), people=PEOPLE, more=companies)
    try:
        site.start_sandbox()
        with site.running(site.command("run")):
            yield site
    finally:
        site.end_sandbox()


def arrive(here: Window, tenant: str) -> None:
    """From the terminal to the administration."""
    made = here.site.ldapgw("admin-link", "--tenant", tenant)
    assert made.returncode == 0, made.stderr
    here.page.goto(made.stdout.strip())
    here.press("Open administration")
    here.waits_for(here.say("Administration"))
    assert here.page.url.endswith(f"/{tenant}/admin")


def go_to(here: Window, section: str) -> None:
    """Follow a link of the administration's own navigation."""
    here.page.locator(".sections").get_by_role("link", name=here.say(section), exact=True).click()


def client_file(secret: str = CLIENT_SECRET) -> dict[str, Any]:
    """What the Google console gives for download."""
    web = {"client_id": CLIENT_ID, "client_secret": secret, "redirect_uris": []}
    return {"name": "client_secret.json", "mimeType": "application/json", "buffer": json.dumps({"web": web}).encode()}


@in_german
def test_the_first_visit(window: Callable[..., Window], site: Site, language: str) -> None:
    """By the link from the terminal; a wrong file is refused, the right one is tried and used; then people connect."""
    here = window(language)
    here.expected = ("400", "403")
    tenant = f"new-{language}"
    arrive(here, tenant)
    go_to(here, "Google")
    main = here.page.locator("main")
    expect(main).to_contain_text(here.say("The Google console, step by step"))
    redirect_uri = f"http://127.0.0.1:{site.web_port}/oauth/callback"
    expect(here.page.locator("#redirect-uri")).to_have_text(redirect_uri)
    expect(here.page.locator("#origin")).to_have_text(f"http://127.0.0.1:{site.web_port}")

    here.context.grant_permissions(["clipboard-read", "clipboard-write"])
    words = here.say("Copy %(what)s") % {"what": here.say("the redirect URI")}
    here.page.get_by_role("button", name=words, exact=True).click()
    assert here.page.evaluate("navigator.clipboard.readText()") == redirect_uri

    here.page.get_by_label(here.say("The JSON file from the Google console")).set_input_files(client_file("wrong"))
    here.press("Test and save")
    expect(here.page.get_by_role("alert")).to_contain_text("Google")
    here.page.get_by_label(here.say("The JSON file from the Google console")).set_input_files(client_file())
    here.press("Test and save")
    expect(main).to_contain_text(here.say("Saved. Google recognizes this client, so people can connect now."))
    expect(main).to_contain_text(CLIENT_ID)
    assert CLIENT_SECRET not in here.page.content()

    user = window(language)
    user.page.goto(f"http://127.0.0.1:{site.web_port}/{tenant}/")
    user.consent(user.popup(), ALICE, sources=())  # there is one permission, and so no box
    user.waits_for(user.say("Connected"))
    # The page of the administrator was open meanwhile.
    go_to(here, "People")
    row = here.page.locator("tbody tr").filter(has_text=ALICE)
    expect(row).to_contain_text(here.say("Connected"))

    here.press("Sign out")
    here.page.wait_for_url(f"http://127.0.0.1:{site.web_port}/{tenant}/")
    here.consent(here.popup("Sign in"), BOB, sources=())
    here.press("Admin")
    here.waits_for(here.say("Administration"))
    go_to(here, "Google")
    here.press("Test client with Google")
    expect(main).to_contain_text(here.say("Google recognizes this client."))


def test_whom_to_remind(window: Callable[..., Window], site: Site) -> None:
    """Somebody has revoked their access: the open page shows it, and a text to copy when it is loaded anew."""
    user = window()
    user.connect(BOB)
    here = window()
    arrive(here, "acme")
    expect(here.page.locator("#figures")).to_contain_text("People connected")
    site.turn("revoke", account=BOB)
    site.turn("expire-access-tokens", account=BOB)
    user.press("Sync now")
    expect(here.page.locator("#alarm")).to_contain_text("1 person needs to do something.")
    here.page.reload()
    expect(here.page.locator("#remind")).to_contain_text("needs to reconnect")
    expect(here.page.locator("#remind-addresses")).to_have_text(BOB)
    user.disconnect()
    user.waits_for("Not connected")


def test_a_table_follows_what_changes(window: Callable[..., Window]) -> None:
    """While somebody works with it: what is selected, focused or typed stays."""
    user = window()
    user.connect(ALICE)
    here = window()
    arrive(here, "acme")
    go_to(here, "People")
    row = here.page.locator("#rows tr").filter(has_text=ALICE)
    row.get_by_role("checkbox").check()
    here.page.get_by_role("searchbox").fill("ali")
    row.get_by_role("link").focus()
    expect(row).not_to_contain_text("Shared")
    user.press("Account and sharing")
    user.page.get_by_role("radio", name="Shared").check()
    user.press("Save")
    expect(row).to_contain_text("Shared")
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect(row.get_by_role("link")).to_be_focused()
    expect(here.page.get_by_role("searchbox")).to_have_value("ali")


def test_a_file_that_is_dropped(window: Callable[..., Window]) -> None:
    """Anywhere on the form: it is chosen then; dropped beside it, it opens nothing."""
    here = window()
    arrive(here, "new-drop")
    go_to(here, "Google")
    expect(here.page.locator("#client form[data-drop]")).to_be_visible()
    for target, chosen in (("h1", 0), ("#client form[data-drop]", 1)):
        here.page.evaluate(_DROP, [target, client_file()["buffer"].decode()])
        assert here.page.evaluate("document.getElementById('file').files.length") == chosen
    here.press("Test and save")
    expect(here.page.locator("main")).to_contain_text("Saved. Google recognizes this client")


_DROP = """([target, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], "client_secret.json", { type: "application/json" }));
  const given = { dataTransfer: data, bubbles: true, cancelable: true };
  for (const type of ["dragover", "drop"]) document.querySelector(target).dispatchEvent(new DragEvent(type, given));
}"""


def test_a_form_that_is_under_way_is_not_sent_again(window: Callable[..., Window]) -> None:
    """Its buttons cannot be pressed until a page is shown again."""
    here = window()
    arrive(here, "acme")
    button = here.page.get_by_role("button", name="Sign out")
    here.page.evaluate("document.querySelector('.user form').onsubmit = () => false")
    button.click()
    expect(button).to_be_disabled()
    here.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow'))")
    expect(button).to_be_enabled()


def test_without_scripts(window: Callable[..., Window]) -> None:
    """The link, the form, the lists: all of it is there."""
    here = window(java_script_enabled=False)
    arrive(here, "acme")
    go_to(here, "Google")
    here.press("Test client with Google")
    expect(here.page.locator("main")).to_contain_text("Google recognizes this client.")
    here.press("Sign out")
    expect(here.page.locator("main")).to_contain_text("You’re signed out.")
