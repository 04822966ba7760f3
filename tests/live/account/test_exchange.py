"""Files of real servers are read, and files of ours are taken by them; clients are the judges."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from component.account.canonical import unordered
from component.account.errors import BadFile, Why
from component.account.model import (
    NS_BOOKMARKS,
    NS_STORAGE,
    Blocked,
    Contact,
    Identity,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    Xml,
    in_order,
)
from component.account.read import Reader
from component.account.write import write
from component.core.model import Subscription
from tests.live.account.furniture import EVERYTHING, NEVER, OLD_ROOM, OLD_ROOMS
from tests.live.account.owner import PRIVATE, furnish, must, seen
from tests.live.account.servers import FILES, House
from tests.live.client import Client
from tests.live.servers.base import PASSWORD
from tests.live.servers.differences import Kind
from tests.live.shared import NEWER_PROSODY, kept, kinds

HOST, ABROAD = "capulet.example", "bücher.example"


@pytest.fixture(scope="module")
def running(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A stock server for every test."""
    with kept(House(kind, tmp_path_factory.mktemp(kind.name) / "house")) as house:
        yield house


@pytest.fixture
async def here(running: House) -> AsyncIterator[House]:
    """The same, without clients at the end of the test."""
    yield running
    await running.log_out()


def is_prosody(kind: Kind) -> bool:
    return kind.name.startswith("prosody")


async def exported(here: House, folder: Path, whose: Identity) -> Path:
    """The account's file as the server's own programs make it."""
    if is_prosody(here.kind):
        await here.migrate("internal", "xep0227")
        return here.file_of(whose.jid)
    os.mkdir(folder)
    here.control("export_piefxis", str(folder))
    suffix = f"_{whose.host.replace('.', '_')}.xml"
    return folder / next(name for name in os.listdir(folder) if name.endswith(suffix))


async def imported(here: House, path: Path, whose: Identity) -> None:
    """Give the server's own programs a file; nobody has been logged in."""
    if is_prosody(here.kind):
        shutil.copy(path, here.file_of(whose.jid))
        await here.migrate("xep0227", "internal")
    else:
        here.control("import_piefxis", str(path))


def carried(kind: Kind, pieces: Sequence[Piece]) -> list[Piece]:
    """What the server's own files have a place for."""
    if is_prosody(kind):  # mod_storage_xep0227 has none for the block list
        return [piece for piece in pieces if not isinstance(piece, Blocked)]
    # ejabberd_piefxis: "Not implemented: PEP nodes export/import"
    return [piece for piece in pieces if not isinstance(piece, PepNode | PepItem)]


def plain(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces without what a server adds to them: other options of nodes, publishers."""
    wanted = {piece.node: dict(piece.config) for piece in EVERYTHING if isinstance(piece, PepNode)}
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, PepItem):
            piece = replace(piece, publisher=None)
        if isinstance(piece, VcardTemp):
            piece = VcardTemp(unordered(piece.element))
        if isinstance(piece, PepNode):
            options = wanted.get(piece.node, {})
            truths = {"1": "true", "0": "false"}
            config = tuple(
                (var, tuple(truths.get(value, value) for value in values))
                for var, values in piece.config
                if var in options
            )
            piece = replace(piece, config=config)
        found.append(piece)
    return in_order(found)


def without_extensions(piece: Piece) -> Piece:
    """What the old format of bookmarks leaves of the new one."""
    if not isinstance(piece, PepItem):
        return piece
    payload = re.sub("<extensions>.*</extensions>", "", piece.payload)
    return replace(piece, payload=Xml(payload))


def read(path: Path, whose: Identity) -> list[Piece]:
    with path.open("rb") as file:
        return list(Reader(file, whose.jid))


async def befriend(juliet: Client, nurse: Client) -> None:
    """Juliet sees the nurse, and not the other way round."""
    await nurse.roster()
    nurse.send("<presence/>")
    juliet.send(f"<presence to='{nurse.bare}' type='subscribe'/>")
    await juliet.ping()
    await nurse.ping()
    nurse.send(f"<presence to='{juliet.bare}' type='subscribed'/>")
    await nurse.ping()
    await juliet.ping()


@kinds(NEWER_PROSODY, "ejabberd-24.12")
async def test_what_a_server_exports_is_read(here: House, kind: Kind, tmp_path: Path) -> None:
    identity, friend = here.account("jülïet", HOST), here.account("nurse", HOST)
    juliet = await here.client(identity.jid)
    await juliet.roster()
    await furnish(juliet, [*EVERYTHING, *NEVER])
    if is_prosody(kind):
        await must(juliet, f"<query xmlns='{PRIVATE}'>{OLD_ROOMS}</query>")
    await befriend(juliet, await here.client(friend.jid))
    there = await seen(juliet, identity, EVERYTHING)
    found = read(await exported(here, tmp_path / "exported", identity), identity)

    nurse = Contact(friend.jid, subscription=Subscription.TO)
    everything = in_order([identity, *EVERYTHING, nurse])
    if is_prosody(kind):
        expected = [*carried(kind, everything), OLD_ROOM]
    else:  # no nodes; but ejabberd keeps bookmarks in private XML as well, without extensions
        rooms = [piece for piece in EVERYTHING if getattr(piece, "node", None) == NS_BOOKMARKS]
        expected = [*carried(kind, everything), *map(without_extensions, rooms)]
    assert plain(found) == plain(expected)
    # And that is what a client sees there (ejabberd shows old bookmarks as a node too).
    never = {NS_STORAGE} | {piece.node for piece in NEVER if isinstance(piece, PepNode)}
    there = [piece for piece in there if getattr(piece, "node", None) not in never]
    assert plain(there) == plain(everything)


@kinds(NEWER_PROSODY)
async def test_what_we_write_is_imported(here: House, kind: Kind, tmp_path: Path) -> None:
    identity, friend = here.account("jülïet", HOST), here.account("nurse", HOST)
    path = tmp_path / "juliet.xml"
    contact = Contact(friend.jid, "N", (), Subscription.BOTH, ask=True, approved=True)
    with path.open("wb") as file:
        write(file, in_order([identity, *EVERYTHING, contact]))
    await imported(here, path, identity)
    juliet = await here.client(identity.jid)
    found = await seen(juliet, identity, EVERYTHING)
    # Nobody was granted anything: the nurse is there by name, and has to be asked.
    expected = in_order([identity, *EVERYTHING, Contact(friend.jid, "N")])
    assert plain(found) == plain(carried(kind, expected))
    nurse = await here.client(friend.jid)
    assert len(await nurse.roster()) == 0
    # What the server makes of it is the same again.
    here.file_of(identity.jid).unlink(missing_ok=True)
    again = read(await exported(here, tmp_path / "exported", identity), identity)
    assert plain(again) == plain(carried(kind, expected))


@kinds(NEWER_PROSODY)
async def test_a_server_that_keeps_such_files(kind: Kind, tmp_path: Path) -> None:
    """mod_storage_xep0227 as the storage of a running server: it reads ours, we read its."""
    if not is_prosody(kind):
        pytest.skip("ejabberd keeps accounts in no such files")
    identity = Identity(HOST, "jülïet")
    mine = [
        identity,
        *(piece for piece in EVERYTHING if isinstance(piece, Contact | VcardTemp | PrivateXml)),
    ]
    async with House(kind, tmp_path / "house", FILES) as here:
        path = here.file_of(identity.jid)
        with path.open("wb") as file:
            write(file, mine)
        # The password, as its own account creation puts it there.
        text = path.read_text().replace("<user name=", f'<user password="{PASSWORD}" name=')
        path.write_text(text)
        juliet = await here.client(identity.jid)
        assert await seen(juliet, identity, EVERYTHING) == mine
        new = Contact("new@montague.example", "N 🌹", ("é",))
        await furnish(juliet, [new])
        assert in_order(read(path, identity)) == in_order([*mine, new])


@kinds(NEWER_PROSODY)
async def test_a_main_file_says_which_file_is_meant(
    here: House, kind: Kind, tmp_path: Path
) -> None:
    if is_prosody(kind):
        pytest.skip("writes one file for each account")
    identity = here.account("jülïet", HOST)
    path = await exported(here, tmp_path / "exported", identity)
    assert read(path, identity) == [identity]
    main = min(path.parent.iterdir(), key=lambda file: len(file.name))
    with pytest.raises(BadFile, match=r"capulet_example\.xml") as refused:
        read(main, identity)
    assert refused.value.why is Why.INCLUDE


@kinds(NEWER_PROSODY)
async def test_a_host_with_an_international_name(here: House, kind: Kind, tmp_path: Path) -> None:
    identity = here.account("ромео", ABROAD)
    path = tmp_path / "romeo.xml"
    mine: list[Piece] = [identity, Contact("ジュリエット@bücher.example", "🌹", ("é",))]
    with path.open("wb") as file:
        write(file, mine)
    await imported(here, path, identity)
    romeo = await here.client(identity.jid)
    assert await seen(romeo, identity, ()) == mine
    again = await exported(here, tmp_path / "exported", identity)
    if is_prosody(kind):
        assert read(again, identity) == mine
        return
    # ejabberd_piefxis writes the host's name in Latin 1 and says UTF-8 (24.12).
    with pytest.raises(BadFile) as refused:
        read(again, identity)
    assert refused.value.why is Why.ENCODING
    mended = tmp_path / "mended.xml"
    data = again.read_bytes().replace(ABROAD.encode("latin-1"), ABROAD.encode())
    mended.write_bytes(data)
    assert read(mended, identity) == mine
