"""Parts of the page about speed: kept as they are, put together in an order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench import pages
from bench.contacts.report import merged
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
    folder = tmp_path / "results"
    for name in ("zebra", "movers", "contacts-prosody-0.12"):
        replace(_PART, name=name, title=f"About {name}").write(folder)
    page = pages.render(tmp_path, folder).read_text()
    order = [page.index(f"## About {n}") for n in ("contacts-prosody-0.12", "movers", "zebra")]
    assert order == sorted(order)
    assert "| memory | 12.5 |" in page
    assert "![movers rates](performance/movers-rates.svg)" in page
    assert "| ours / theirs | 1.24 |" in page or "| ours / theirs | 1.23 |" in page


def test_what_is_measured_anew_replaces_its_table_and_its_note() -> None:
    old = replace(_PART, notes=("Load 1.0.",))
    rates = Table("Rates", ("what",), (("memory",),))
    online = Table("Online", ("what",), (("two devices",),))
    first = replace(_PART, command="c --only rates", tables=(rates,), notes=("Load 2.0.",))
    other = replace(_PART, command="c --only online", tables=(online,), notes=("Load 3.0.",))
    again = replace(first, began="2026-01-03 00:00 UTC", notes=("Load 0.5.",), tables=(online,))
    made = merged(again, merged(other, merged(first, old)))
    assert made.tables == (rates, online)
    assert [note.rpartition(". ")[2] for note in made.notes] == [
        "Load 1.0.",
        "Load 3.0.",
        "Load 0.5.",
    ]
    assert "2026-01-03" in made.notes[-1]
    assert "`c --only rates`" in made.notes[-1]


def test_ratios_that_were_measured_anew_have_a_note_too() -> None:
    made = merged(replace(_PART, tables=(), ratios={"a / b": 2.0}), _PART)
    assert "guarded ratios" in made.notes[-1]
    assert made.ratios == {**_PART.ratios, "a / b": 2.0}
