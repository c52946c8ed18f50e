# SPDX-License-Identifier: MIT
"""The small parts: stores that are kept, turns that are read back, answers of ldapsearch."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from bench.directory import checking
from bench.directory.before import Checkout
from bench.directory.checking import Differs, _difference, _entries
from bench.directory.metered import Meter, Turn, longest
from bench.directory.people import person
from bench.directory.servers import Variant
from bench.directory.stock import Stock
from bench.phone import Target
from tests.support.checkout import ROOT


def test_what_is_kept_is_made_once(tmp_path):
    """And a copy is given away, so that nobody can spoil it."""
    made = []

    def make(folder):
        made.append(folder)
        folder.mkdir()
        (folder / "file").write_text("as made")

    stock = Stock(tmp_path / "kept")
    first = stock.bring(tmp_path / "first", "name", make)
    (first / "file").write_text("spoilt")
    second = stock.bring(tmp_path / "second", "name", make)
    assert ((second / "file").read_text(), len(made)) == ("as made", 1)
    Stock(None).bring(tmp_path / "third", "name", make)
    assert made[1:] == [tmp_path / "third"]


def test_the_longest_turn_of_a_time(tmp_path):
    """One that only reaches into it counts; one that is still being written does not."""
    file = tmp_path / "turns"
    turns = [(1.0, 0.5, 0.1), (9.9, 0.2, 0.0), (10.5, 0.1, 0.0), (20.0, 3.0, 0.0)]
    file.write_bytes(b"".join(struct.pack("ddd", *turn) for turn in turns) + b"half a tur")
    assert longest(file, 10.0, 11.0) == Turn(9.9, 0.2, 0.0)
    assert longest(file, 12.0, 13.0) == Turn(12.0, 0.0, 0.0)


def test_a_meter_is_the_poller_that_it_hides(tmp_path):
    """What has happened comes through, and so does everything else that a reactor wants of it."""

    class Poller:
        def poll(self, timeout, most):
            return [(timeout, most)]

        def register(self, number):
            return f"registered {number}"

    with (tmp_path / "turns").open("wb") as file:
        meter = Meter(Poller(), file)
        assert (meter.poll(0.1, 7), meter.register(3)) == ([(0.1, 7)], "registered 3")


def test_answers_of_ldapsearch_are_read():
    """Names and values, those in base 64 too; in which order they come does not matter."""
    one = "dn: uid=c1,dc=x\ncn:: SsO2cmc=\nmobile: +49\n\ndn: uid=c2,dc=x\ncn: Zoe\n\n"
    other = "dn: uid=c2,dc=x\ncn: Zoe\n\ndn: uid=c1,dc=x\nmobile: +49\ncn: Jörg\n\n"
    assert dict(_entries(one)) == dict(_entries(other))
    assert dict(_entries(one))["uid=c1,dc=x"] == {("cn", "Jörg"), ("mobile", "+49")}


def test_a_difference_is_told():
    """The first name on which two servers differ, and what each has of it."""
    ours, theirs = dict(_entries("dn: uid=c1\ncn: A\n\ndn: uid=c2\ncn: B\n")), dict(_entries("dn: uid=c1\ncn: A\n"))
    assert _difference(ours, theirs) == "2 and 1 entries; uid=c2: [('cn', 'B')] and not found"


HERE = Target(0, 0, "dc=acme,dc=example", "", "")


def test_nobody_found_is_no_agreement(monkeypatch):
    """Two servers that both find nobody would agree else."""
    monkeypatch.setattr(checking, "found", lambda *_: {})
    with pytest.raises(Differs, match="nobody is found by both"):
        checking.agree(HERE, HERE, [person(at) for at in range(10)], lenient=False)


@pytest.mark.parametrize("module", ["bench/directory/seed.py", "tests/bench/directory/seed.py"])
def test_a_checkout_is_known_by_its_bench(tmp_path, module):
    """Wherever that was in its time."""
    assert Checkout(tmp_path).seeding is None
    file = tmp_path / module
    file.parent.mkdir(parents=True)
    file.touch()
    assert Checkout(tmp_path).seeding == module.removesuffix(".py").replace("/", ".")


def test_another_checkout_runs_its_own(tmp_path):
    """Its Python where it has one, its modules, and what is compiled of them where that was done."""
    other = Checkout(tmp_path)
    compiled, pure = Variant(before=other), Variant(before=other, compiled=False)
    assert (other.python, other.is_compiled, compiled.place, pure.place) == (sys.executable, False, tmp_path, tmp_path)
    (tmp_path / ".compiled").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    assert (other.python, other.is_compiled) == (str(tmp_path / ".venv" / "bin" / "python"), True)
    assert (compiled.place, pure.place) == (tmp_path / ".compiled", tmp_path)
    assert [one.name for one in (compiled, pure, Variant(), Variant(compiled=False))] == [
        "before",
        "before, not compiled",
        "ldapgw",
        "not compiled",
    ]
    assert Variant(compiled=False).place == ROOT


def test_a_checkout_fills_its_store_itself(tmp_path):
    """Its own modules are imported, and it is told how many people; another phone's name would be noticed."""
    folder = tmp_path / "bench" / "directory"
    folder.mkdir(parents=True)
    source = """
from pathlib import Path
TENANT, PHONE, SECRET, OWNER = "acme", {phone!r}, "0123456789abcdefghjk", "alice@acme.example"
alone = range
def seed(state, made, now):
    state.write_text(f"{{made}} {{now}} {{Path(__file__).parts[-3:]}}")
"""
    (tmp_path / "bench" / "__init__.py").touch()
    (folder / "seed.py").write_text(source.format(phone="desk1"))
    Checkout(tmp_path).seed(tmp_path / "state", 7, 2.0)
    assert (tmp_path / "state").read_text() == "range(0, 7) 2.0 ('bench', 'directory', 'seed.py')"
    (folder / "seed.py").write_text(source.format(phone="desk2"))
    with pytest.raises(subprocess.CalledProcessError):
        Checkout(tmp_path).seed(tmp_path / "state", 7, 2.0)
