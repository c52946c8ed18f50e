# SPDX-License-Identifier: MIT
"""The bench of several gateways still runs, with tiny numbers; its results in the documents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Tree

import pytest

from bench import output
from bench.cluster import __main__ as main
from bench.cluster.plot import plot
from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql

SVG = "{http://www.w3.org/2000/svg}"
TABLE = "\n====  =====\nload  ratio\n====  =====\na     1.0\n====  =====\n"
MEASURED = {
    "substring": {1: 3000.0, 2: 6000.0, 3: 7500.0},
    "list": {1: 5_100_000.0, 2: 9_300_000.0, 3: 0.0},
}


def test_the_picture() -> None:
    """A bar for each rate, as long as it is a multiple of that of one, and a description for who does not see it."""
    svg = Tree.fromstring(plot(MEASURED))
    assert svg.findtext(f"{SVG}title") == "Searches per second of several gateways, compared with one"
    assert "Bars for gateways on PostgreSQL" in (svg.findtext(f"{SVG}desc") or "")
    bars = [float(bar.get("width", "")) for bar in svg.iter(f"{SVG}rect") if bar.get("y") != "14"]
    assert [round(width / bars[0], 2) for width in bars] == [1.0, 2.0, 2.5, 1.0, 1.82, 0.0]
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert [text for text in texts if text and text[0].isdigit() and "×" not in text] == [
        *("1 of them", "2 of them", "3 of them"),
        *("3,000", "6,000", "7,500", "5,100,000", "9,300,000", "0"),
    ]
    _, _, width, _ = map(float, svg.get("viewBox", "").split())
    assert all(float(text.get("x", "")) + 8 * len(text.text or "") < width for text in svg.iter(f"{SVG}text"))


def test_the_page_has_the_picture_only_with_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of other parts leaves none behind."""
    monkeypatch.setattr(output, "PAGE", tmp_path / "performance.rst")
    monkeypatch.setattr(main, "PICTURE", tmp_path / main.PICTURE.name)
    first, last = output.comments(main.SCRIPT)
    image = ".. image:: ../images/bench-cluster.svg\n   :alt: "
    output.PAGE.write_text(f"before\n\n{first}\nold\n\n{last}")
    main.write_page(1000, [TABLE], MEASURED)
    assert output.PAGE.read_text().startswith(f"before\n\n{first}\n{image}")
    assert output.PAGE.read_text().endswith(f"; 1,000 contacts.\n{TABLE}\n{last}")
    assert main.PICTURE.read_text() == plot(MEASURED)
    main.write_page(1000, [TABLE], {})
    assert "image" not in output.PAGE.read_text()
    assert not main.PICTURE.exists()


@needs_postgresql
@pytest.mark.parametrize(
    ("part", "row"),
    [
        pytest.param("transactions", "transaction of 50, rewritten", marks=pytest.mark.long),
        pytest.param("locks", "an account of 50 contacts is disconnected", marks=pytest.mark.soak),
        pytest.param("gateways", "found everywhere, p99", marks=pytest.mark.soak),
        pytest.param("engines", "start with the cached book", marks=pytest.mark.soak),
    ],
)
def test_a_part_prints_its_table(part: str, row: str) -> None:
    """Whether goals are met says little of such numbers."""
    command = [sys.executable, "-m", "bench.cluster", "--only", part, "--contacts", "50", "--rounds", "1"]
    command += ["--seconds", "0.1", "--changes", "2", "--kills", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert row in done.stdout, done.stderr
    assert done.returncode in {0, 1}
