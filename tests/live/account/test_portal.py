"""Exports of mod_http_xep227, which the web portal of Snikket hands to users, and imports by it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from component.account.model import Blocked, Contact, Identity, PepNode, Piece, in_order
from component.account.read import Reader
from component.account.write import write
from component.core.model import Subscription
from tests.live.account.furniture import EVERYTHING, NEVER, OLD_ROOM, OLD_ROOMS
from tests.live.account.owner import PRIVATE, furnish, must, seen
from tests.live.account.servers import MODULES, House, portal
from tests.live.account.test_exchange import plain
from tests.live.servers.differences import Kind

JULIET = Identity("capulet.example", "juliet")
KEPT = [piece for piece in EVERYTHING if not isinstance(piece, Blocked)]
"""The module exports no block list."""

SAMPLE = Path(__file__).with_name("samples") / "portal.xml"
"""What Prosody 13.0.1 with mod_http_xep227 (revision of 2022-07-13) sent in the test below."""
needs_module = pytest.mark.skipif(
    not (MODULES / "mod_http_xep227").exists(),
    reason="XMPP_MOVED_PROSODY_MODULES names no folder with mod_http_xep227 in it",
)


@pytest.fixture
def portal_kind(kind: Kind) -> Kind:
    """The servers that the module runs on, as it is today."""
    if not kind.name.startswith("prosody-13"):
        pytest.skip("the module needs Prosody 13")
    return kind


def test_a_portals_export_from_a_file_is_read() -> None:
    """For where the module is not: what it sent once."""
    with SAMPLE.open("rb") as file:
        found: list[Piece] = list(Reader(file))
    assert plain(found) == plain([JULIET, *KEPT, OLD_ROOM])


@pytest.mark.full
@needs_module
async def test_a_portals_export_is_read(portal_kind: Kind, tmp_path: Path) -> None:
    here = House(portal_kind, tmp_path / "house", portal(tmp_path, JULIET.jid))
    here.server.add_user(JULIET.jid)
    async with here:
        juliet = await here.client(JULIET.jid)
        await juliet.roster()
        await furnish(juliet, [*EVERYTHING, *NEVER])
        await must(juliet, f"<query xmlns='{PRIVATE}'>{OLD_ROOMS}</query>")
        data = await here.http("GET", token(tmp_path))
    found: list[Piece] = list(Reader(io.BytesIO(data)))
    assert plain(found) == plain([JULIET, *KEPT, OLD_ROOM])


@needs_module
async def test_a_portal_imports_ours(portal_kind: Kind, tmp_path: Path) -> None:
    here = House(portal_kind, tmp_path / "house", portal(tmp_path, JULIET.jid))
    here.server.add_user(JULIET.jid)
    file = io.BytesIO()
    contact = Contact("nurse@capulet.example", "N", (), Subscription.BOTH)
    write(file, in_order([Identity("old.example", "j"), *EVERYTHING, contact]))
    async with here:
        await here.http("PUT", token(tmp_path), file.getvalue())
        juliet = await here.client(JULIET.jid)
        found = await seen(juliet, JULIET, EVERYTHING)
    # Whom a whitelist lets in is left out by the module's import.
    kept = [replace(piece, members=()) if isinstance(piece, PepNode) else piece for piece in KEPT]
    expected = [JULIET, *kept, Contact("nurse@capulet.example", "N")]
    assert plain(found) == plain(expected)


def token(folder: Path) -> str:
    """What the portal would have got for its user."""
    return (folder / "token").read_text()
