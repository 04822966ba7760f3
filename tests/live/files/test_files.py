"""Accounts as files in the chat: sent, looked through, brought, taken back, and made."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import ClientSession

from component.account.model import Identity, Piece
from component.account.read import Reader
from component.account.write import write
from component.core.links import is_link
from component.xmpp.names import NS_UPLOAD
from tests.live.account.furniture import EVERYTHING
from tests.live.account.test_exchange import plain
from tests.live.belongings.test_copy import has, in_room_order
from tests.live.movers.cast import Cast
from tests.live.movers.people import PATIENCE, Person
from tests.live.movers.world import World
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind
from tests.live.shared import NEWER_PROSODY, kept, kinds
from tests.unit.web.storage import Storage

OLD = Identity("old.example", "jülïet")
WHOLE: list[Piece] = [OLD, *EVERYTHING]
SLOT, PUT, GET, HEADER = (f"{{{NS_UPLOAD}}}{name}" for name in ("slot", "put", "get", "header"))


@dataclass
class Stage:
    """One user with a client on a server that keeps files."""

    kind: Kind
    juliet: Person
    world: World

    @property
    def identity(self) -> Identity:
        """Whose account it is."""
        user, _, host = self.juliet.jid.partition("@")
        return Identity(host, user)

    async def has(self) -> list[Piece]:
        """What the account has."""
        return in_room_order(await has(self.juliet.device, self.identity))

    async def uploads(self, content: bytes, name: str = "account.xml") -> str:
        """Upload a file as a client does; its link."""
        _, _, host = self.juliet.jid.partition("@")
        service = f"upload.{host}" if self.kind.name.startswith("ejabberd") else host
        asked = f"<request xmlns='{NS_UPLOAD}' filename='{name}' size='{len(content)}'/>"
        answer = await self.juliet.device.request(asked, to=service)
        slot = answer.find(SLOT)
        assert slot is not None, ET.tostring(answer, "unicode")
        put, get = slot.find(PUT), slot.find(GET)
        assert put is not None
        assert get is not None
        headers = {h.get("name", ""): h.text or "" for h in put.findall(HEADER)}
        async with (
            ClientSession() as session,
            session.put(put.get("url", ""), data=content, headers=headers) as done,
        ):
            assert done.status == 201, await done.text()
        return get.get("url", "")

    async def sends(self, link: str, pattern: str, timeout: float = PATIENCE) -> str:
        """Share a file as a client does, and hear the answer."""
        shared = f"<x xmlns='jabber:x:oob'><url>{link}</url></x>"
        self.juliet.says(COMPONENT_HOST, link, more=shared)
        heard = await self.juliet.hears(pattern, sender=COMPONENT_HOST, timeout=timeout)
        return heard.body

    async def writes(self, text: str, pattern: str) -> str:
        """Write something, and hear the answer."""
        return (await self.juliet.asks(COMPONENT_HOST, text, pattern)).body


def as_file(pieces: list[Piece]) -> bytes:
    """The file of an account."""
    file = BytesIO()
    write(file, pieces)
    return file.getvalue()


@asynccontextmanager
async def staged(world: World) -> AsyncIterator[Stage]:
    """Juliet's client in this world."""
    async with Cast(world) as cast:
        juliet = cast.person("juliet", "montague.example")
        cast.arrange()
        await cast.enter(juliet)
        yield Stage(world.kind, juliet, world)


@pytest.fixture(scope="module")
def world(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that keeps files, and its component, for every test."""
    folder = tmp_path_factory.mktemp(kind.name)
    with kept(World(kind, folder, names=("montague",), uploads=True)) as world:
        yield world


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    """The same with a user."""
    async with staged(world) as stage:
        yield stage


@kinds(NEWER_PROSODY)
async def test_brought_and_taken_back(stage: Stage) -> None:
    before = await stage.has()
    link = await stage.uploads(as_file(WHOLE))
    shown = await stage.sends(link, "Nothing has been changed yet")
    assert shown.startswith(f"{OLD.jid} → {stage.juliet.jid}, a preview\n")
    assert await stage.has() == before
    told = await stage.writes("yes", "finished|still at it")
    assert "not possible" not in told
    assert in_room_order(plain(await stage.has())) == in_room_order(plain(EVERYTHING))
    await stage.sends(link, "There is nothing to bring")

    await stage.writes("my things", "What shall I do")
    await stage.writes("undo", "Are you sure")
    await stage.writes("yes", ", undone")
    assert await stage.has() == before


@kinds(NEWER_PROSODY)
async def test_export_reads_back_equal(stage: Stage) -> None:
    await stage.sends(await stage.uploads(as_file(WHOLE)), "Nothing has been changed yet")
    await stage.writes("yes", "finished")
    await stage.writes("export my account", "Whoever has its link can read it")
    said = await stage.writes("yes", "Whoever has this link can read it")
    (link,) = filter(is_link, said.split("\n"))
    async with ClientSession() as session, session.get(link) as answer:
        content = await answer.read()
    identity, *pieces = Reader(BytesIO(content))
    assert identity == stage.identity
    assert in_room_order(plain(pieces)) == in_room_order(plain(EVERYTHING))
    await stage.sends(link, "There is nothing to bring")


@kinds(NEWER_PROSODY)
async def test_what_is_not_taken(stage: Stage) -> None:
    """Files that are no account, and files elsewhere, which nobody asks for."""
    async with Storage() as evil:
        before = await stage.has()
        for content in (b"<html/>", b"GIF89a", as_file(WHOLE)[:-40]):
            said = await stage.sends(await stage.uploads(content), "I cannot use that file")
            assert re.search(r"Line \d+, element ", said)
            await stage.writes("cancel", "Left")
        evil.files["/file_share/a/account.xml"] = as_file(WHOLE)
        mine = await stage.uploads(as_file(WHOLE))
        for link in (
            f"{evil.base}/file_share/a/account.xml",
            mine.replace("http://", "https://"),
            mine.replace("http://", f"http://127.0.0.1:{evil.port}@"),
            mine.replace("/account.xml", "/../../account.xml"),
        ):
            await stage.sends(link, "only take files that you have uploaded on your own server")
            await stage.writes("cancel", "Left")
        assert evil.asked == []
        assert await stage.has() == before


@kinds(NEWER_PROSODY, "ejabberd-24.12")
async def test_a_server_without_a_storage(kind: Kind, tmp_path: Path) -> None:
    world = World(kind, tmp_path, names=("montague",))
    try:
        await world.start()
        async with staged(world) as stage:
            await stage.writes("export", "Are you sure")
            said = await stage.writes("yes", "no storage for files")
            assert f"xmpp-moved fetch {stage.juliet.jid}" in said
            await stage.sends("http://127.0.0.1:1/file_share/a/b.xml", "no storage for files")
    finally:
        await world.stop()
