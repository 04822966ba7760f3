"""The benchmark of the contact side, with five contacts: it must not rot between its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import pages, parts
from bench.contacts import report
from bench.contacts.cases import cases, shortened
from bench.contacts.measure import measure
from bench.contacts.ways import PROSODY, Way
from bench.parts import Part
from tests.live.servers.differences import KINDS

_SERVER = "prosody-0.12"
_CONTACTS = 5


async def test_every_way_follows_and_its_figures_make_a_page(tmp_path: Path) -> None:
    if not KINDS[_SERVER].available:
        pytest.skip(KINDS[_SERVER].missing)
    case = shortened(next(cases(_SERVER)), contacts=_CONTACTS, rounds=1)

    (row,) = [row async for row in measure([case], tmp_path / "run", tell=lambda line: None)]

    assert set(row.samples) == set(PROSODY)
    assert {way: str(s) for way, (s,) in row.samples.items() if not s.good} == {}
    # One question for the mover, not one for each contact; the module inside asks for each.
    assert row.statements(Way.SHIPPED) == row.fetches[Way.SHIPPED] == 1 / _CONTACTS
    assert row.statements(Way.PEER) == 1
    ratios = report.guarded(row)
    assert ratios[f"{_SERVER}: moves/s, xmpp-moved / in-process module"] > 0

    docs = tmp_path / "docs"
    docs.mkdir()
    folder, pictures = tmp_path / "results", docs / parts.PICTURES.name
    words = report.text(_SERVER, False, looked_at=20, under_way=250)
    made = report.part("contacts", _SERVER, parts.origin("bench"), [row], words, pictures, ratios)
    made.write(folder)
    assert Part.read("contacts", folder).tables == made.tables
    page = pages.render(docs, folder).read_text()
    assert all(way.title in page for way in PROSODY)
    assert "void" not in page.replace("*void*", "")
