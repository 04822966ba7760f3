"""Parts of the page about speed: kept as they are, put together in an order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench import pages
from bench.parts import Part, Table, names

_PART = Part(
    name="movers",
    title="Users who move",
    command="python -m bench.movers",
    began="2026-01-02 03:04 UTC",
    commit="abc",
    machine="two cores",
    text="What was done.",
    tables=(Table("Rates", ("what", "moves/s"), (("memory", 12.5), ("disk", "7 (5..9)"))),),
    ratios={"ours / theirs": 1.23456},
    pictures=("movers-rates.svg",),
    notes=("A note.",),
)


def test_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    _PART.write(tmp_path)
    read = Part.read("movers", tmp_path)
    assert read.tables == _PART.tables
    assert read.pictures == _PART.pictures
    assert read.notes == _PART.notes
    assert read.ratios == {"ours / theirs": 1.235}
    assert names(tmp_path) == ["movers"]


def test_the_page_has_all_parts_the_contact_side_first(tmp_path: Path) -> None:
    folder = tmp_path / "performance"
    for name in ("zebra", "movers", "contacts-prosody-0.12"):
        replace(_PART, name=name, title=f"About {name}").write(folder)
    (folder / "profile.md").write_text("# Where the time goes\n\nHere.\n")
    page = pages.render(tmp_path).read_text()
    order = [page.index(f"## About {n}") for n in ("contacts-prosody-0.12", "movers", "zebra")]
    assert order == sorted(order)
    assert "| memory | 12.5 |" in page
    assert "![movers rates](performance/movers-rates.svg)" in page
    assert "[Where the time goes](performance/profile.md)" in page
    assert "| ours / theirs | 1.24 |" in page or "| ours / theirs | 1.23 |" in page
