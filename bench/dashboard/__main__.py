# SPDX-License-Identifier: MIT
"""Makes pictures of the Grafana dashboard and of Prometheus' alerts, from a gateway with phones, syncs and trouble.

Prometheus scrapes the gateway and answers the dashboard's own queries; the pictures are drawn from the answers, because
Grafana itself isn't installed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

from bench.dashboard import board
from bench.dashboard.board import Ask, Span
from bench.dashboard.office import at_work, site_of
from bench.report import say
from tests.browser.window import chromium
from tests.support.checkout import ROOT
from tests.support.site.running import Site, fetch, free_ports, running_program

_PROGRAM = "prometheus"
_RULES = ROOT / "etc" / "prometheus" / "ldapgw.rules.yml"
_SCRAPE_SECONDS = 5
# Grafana asks for as many moments as a panel has pixels; these are enough for a picture.
_MOMENTS = 90
# Grafana's $__rate_interval is four scrapes, or a step and a scrape.
_SCRAPES = 4
# Few colors keep a picture small.
_COLORS = 64


@contextmanager
def _prometheus(site: Site, folder: Path) -> Iterator[int]:
    """Run Prometheus with our alerts, which scrapes the gateway; yield its port."""
    [port] = free_ports(1)
    seconds, target = f"{_SCRAPE_SECONDS}s", f"127.0.0.1:{site.web_port}"
    given = {
        "global": {"scrape_interval": seconds, "evaluation_interval": seconds},
        "rule_files": [str(_RULES)],
        "scrape_configs": [{"job_name": "ldapgw", "static_configs": [{"targets": [target]}]}],
    }
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(given))
    options = [f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    options.append(f"--web.listen-address=127.0.0.1:{port}")
    with running_program(_PROGRAM, options, folder, lambda: fetch(f"http://127.0.0.1:{port}/-/ready")[0] == 200):
        yield port


def _draw(ask: Ask, span: Span, images: Path) -> list[str]:
    """Draw each row of the dashboard; return the titles of panels without data that don't say when they are empty."""
    dashboard = board.load()
    interval = max(_SCRAPES * _SCRAPE_SECONDS, span.step + _SCRAPE_SECONDS)
    values = {**board.variables(dashboard, ask), "__rate_interval": f"{interval}s"}
    empty = []
    for title, panels in board.rows(dashboard).items():
        answers = {panel["title"]: board.answers(panel, values, span, ask) for panel in panels}
        described = {panel["title"]: panel["description"].startswith("Empty: ") for panel in panels}
        empty += [name for name, series in answers.items() if not series and not described[name]]
        (images / f"dashboard-{title.lower()}.svg").write_text(board.plot(title, panels, answers, span), "utf-8")
    return empty


def _photograph(port: int, file: Path) -> None:
    """Take a picture of Prometheus' page of alerts that fire or are about to fire, with their annotations."""
    with chromium.running() as browser:
        page = browser.new_page(viewport={"width": 960, "height": 300})
        page.goto(f"http://127.0.0.1:{port}/classic/alerts")
        page.locator("label", has=page.locator("#inactiveAlerts")).click()
        page.locator("button.show-annotations").click()
        for alert in page.locator("tr.alert_header.alert-danger").all():
            alert.click()
        page.evaluate(_FOR_A_PICTURE, str(_RULES))
        picture = Image.open(BytesIO(page.screenshot(full_page=True)))
    picture.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE).save(file, optimize=True)


# The rules are where the documents put them, not in a checkout, and aren't printed again; the head stays on top.
_FOR_A_PICTURE = """(rules) => {
  for (const cell of document.querySelectorAll("#alertsTable td[style]")) {
    cell.textContent = cell.textContent.replace(rules, "/etc/prometheus/ldapgw.rules.yml");
  }
  for (const rule of document.querySelectorAll(".alert_details pre")) rule.remove();
  scrollTo(0, 0);
}"""


def main() -> int:
    """Return the exit status: 1 if a panel has no data."""
    parser = argparse.ArgumentParser(prog="scripts/pictures --dashboard", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="how long the office works (default: %(default)s)")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images", help="where the pictures go")
    given = parser.parse_args()
    for program in (_PROGRAM, "ldapsearch"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing; install the Debian packages prometheus and ldap-utils")
    seconds = given.minutes * 60
    with tempfile.TemporaryDirectory(prefix="dashboard-") as name:
        folder = Path(name)
        site = site_of(folder)
        try:
            site.start_sandbox()
            with site.running(), _prometheus(site, folder) as port, at_work(site, seconds):
                say(f"{given.minutes:g} minutes of work")
                time.sleep(seconds)
                _photograph(port, given.images / "prometheus-alerts.png")
                ask = board.prometheus(port)
                # Prometheus has the time of its values.
                end = round(float(ask("query", {"query": "time()"})["result"][1]))
                step = max(_SCRAPE_SECONDS, round(seconds / _MOMENTS))
                empty = _draw(ask, Span(end - round(seconds), end, step), given.images)
        finally:
            site.end_sandbox()
    for title in empty:
        say(f"no data: {title}")
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
