"""Files that users send and have made: whose, from where, and how large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import web

from component.account.errors import Why
from component.account.model import Identity, Piece
from component.account.read import Reader
from component.core.belongings.model import Result
from component.core.journey.model import Problem, Refused
from component.engine.files.ports import FileTrouble, Trouble
from component.engine.files.service import Files
from component.store import Store
from component.xmpp.errors import LinkLost
from tests.lines import only
from tests.unit.engine.belongings.test_faults import EVERYTHING, ME, House
from tests.unit.engine.files.upload_server import UploadServer
from tests.unit.web.storage import Storage, endless, redirect

OLD = Identity("old.example", "jülia")
WHOLE: list[Piece] = [OLD, *EVERYTHING]
HEAD = "<server-data xmlns='urn:xmpp:pie:0'>"


class Home(House):
    """Copies and files of one user's account."""

    def __init__(self, store: Store, storage: Storage) -> None:
        self.uploads = UploadServer(storage)
        super().__init__(store, server=self.uploads)
        self.storage = storage
        self.files = self.uploads.files(self.copies, most_mib=2)

    async def refused(self, link: str, files: Files | None = None) -> FileTrouble:
        """Why a link is not taken."""
        with pytest.raises(FileTrouble) as caught:
            await (files or self.files).preview(ME, link)
        return caught.value


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'moved.db'}"
    async with Storage() as storage, await Store.open(url) as store:
        home = Home(store, storage)
        yield home
        await home.copies.stop()


@pytest.mark.parametrize("service", ["new.example", "upload.new.example"])
async def test_a_file_is_brought(home: Home, service: str) -> None:
    """Whose account it holds is what the preview calls it; another service is silent meanwhile."""
    home.uploads.service = service
    found = await home.files.preview(ME, home.uploads.shared(WHOLE))
    assert (found.job.owner, found.job.source) == (ME, OLD.jid)
    assert only(found) == {Result.ADDED}
    assert found.total == len(EVERYTHING)
    # The one slot that was asked for told where the storage is; nothing was put there.
    assert home.uploads.slots == [(ME, 1)]
    assert [asked.split()[0] for asked in home.storage.asked] == ["GET"]


async def test_there_and_back(home: Home) -> None:
    """What is exported reads back equal, and is brought without a change."""
    await home.copy(EVERYTHING)
    made = await home.files.export(ME)
    path = made.link.removeprefix(home.storage.base)
    host, user = ME.partition("@")[2], ME.partition("@")[0]
    assert list(Reader(BytesIO(home.storage.files[path]))) == [
        Identity(host, user),
        *await home.server.things(ME),
    ]
    assert home.uploads.slots == [(ME, len(home.storage.files[path]))]
    assert home.storage.headers["Authorization"] == "Token"
    assert home.storage.headers["Host"] == home.storage.base.removeprefix("http://")
    found = await home.files.preview(ME, made.link)
    assert only(found) == {Result.SAME}


async def test_only_from_the_own_storage(home: Home) -> None:
    async with Storage() as evil:
        evil.files["/share/a/j.xml"] = b"x"
        mine = home.uploads.shared(WHOLE)
        port = mine.split(":")[2].partition("/")[0]
        for link in (
            f"{evil.base}/share/a/j.xml",
            mine.replace("http://", "https://"),
            mine.replace("localhost", "127.0.0.1"),
            mine.replace("localhost", "127.1"),
            mine.replace("http://", "http://u@"),
            mine.replace(f":{port}", ""),
            mine.replace("/share/", "/other/"),
            f"{home.storage.base}/share/a/../../j.xml",
        ):
            assert (await home.refused(link)).trouble is Trouble.ELSEWHERE, link
        for link in ("file:///etc/passwd", "j.xml", "ftp://127.0.0.1/a/b"):
            assert (await home.refused(link)).trouble is Trouble.NO_LINK, link
        assert evil.asked == home.storage.asked == []
        # Nor by a detour.
        path = mine.removeprefix(home.storage.base)
        home.storage.answers[path] = redirect(f"{evil.base}/share/a/j.xml")
        assert (await home.refused(mine)).trouble is Trouble.NOT_THERE
        assert evil.asked == []


async def test_bounds(home: Home) -> None:
    large = home.uploads.shared(b"x" * (2 * 1024 * 1024 + 1))
    assert (await home.refused(large)).trouble is Trouble.TOO_LARGE
    flood = home.uploads.shared(b"")
    home.storage.answers[flood.removeprefix(home.storage.base)] = endless
    assert (await home.refused(flood)).trouble is Trouble.TOO_LARGE
    off = home.uploads.files(home.copies, most_mib=0)
    assert (await home.refused(large, off)).trouble is Trouble.OFF
    gone = f"{home.storage.base}/share/nothing/j.xml"
    assert (await home.refused(gone)).facts == {"status": "404"}


BOMB = (
    b"<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
    b"<server-data xmlns='urn:xmpp:pie:0'>&b;</server-data>"
)

MANY = (
    f"{HEAD}<host jid='a.example'><user name='a'><query xmlns='jabber:iq:roster'>"
    + "".join(f"<item jid='{n}@b'/>" for n in range(50_001))
).encode()


@pytest.mark.parametrize(
    ("content", "why", "line", "element"),
    [
        (b"\x89PNG\r\n", Why.NOT_XML, "1", ""),
        (b"", Why.NOT_XML, "1", ""),
        (BOMB, Why.ENTITIES, "1", ""),
        (f"{HEAD}\n<host jid='a.example'>".encode(), Why.TRUNCATED, "2", "server-data/host"),
        (f"{HEAD}{'<a>' * 100_000}".encode(), Why.DEPTH, "1", None),
        (b"<html/>", Why.ROOT, "1", None),
        (
            f"{HEAD}\n<host jid='a.example'><user name='a'/>\n<user name='b'/></host>"
            "</server-data>".encode(),
            Why.SEVERAL_USERS,
            "3",
            "server-data/host/user",
        ),
        (MANY, Why.TOO_MANY, "1", None),
    ],
    ids=lambda value: value.value if isinstance(value, Why) else "",
)
async def test_what_is_no_account(
    home: Home, content: bytes, why: Why, line: str, element: str | None
) -> None:
    refused = await home.refused(home.uploads.shared(content))
    assert refused.trouble is Trouble.BAD_FILE
    assert (refused.facts["why"], refused.facts["line"]) == (why.value, line)
    assert element is None or refused.facts["element"] == element


async def test_no_storage(home: Home) -> None:
    link = home.uploads.shared(WHOLE)

    async def both() -> set[tuple[Trouble, str | None]]:
        refused = [await home.refused(link)]
        with pytest.raises(FileTrouble) as caught:
            await home.files.export(ME)
        refused.append(caught.value)
        return {(one.trouble, one.facts.get("condition")) for one in refused}

    home.uploads.refuses = "resource-constraint"
    assert await both() == {(Trouble.REFUSED, "resource-constraint")}
    home.uploads.refuses = "not-acceptable"
    assert await both() == {(Trouble.TOO_LARGE, "not-acceptable")}
    home.uploads.service = "nowhere.example"
    assert await both() == {(Trouble.NO_SERVICE, None)}
    home.uploads.items = []
    assert await both() == {(Trouble.NO_SERVICE, None)}
    home.uploads.listed = "forbidden"
    assert await both() == {(Trouble.NO_SERVICE, "forbidden")}
    home.files = home.uploads.files(home.copies, may=False)
    assert await both() == {(Trouble.OLD_HOOK, None)}
    assert home.storage.asked == []


async def test_the_server_is_away(home: Home) -> None:
    home.server.before = lambda kind, asked: LinkLost("down")
    with pytest.raises(Refused) as refused:
        await home.files.export(ME)
    assert refused.value.problem is Problem.UNAVAILABLE


async def test_one_at_a_time(home: Home) -> None:
    """A user's second file waits for the first; those of two users do not."""
    arrived, go = asyncio.Event(), asyncio.Event()
    link = home.uploads.shared(WHOLE)
    path = link.removeprefix(home.storage.base)

    async def slow(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await go.wait()
        return web.Response(body=home.storage.files[path])

    home.storage.answers[path] = slow
    first = asyncio.create_task(home.files.preview(ME, link))
    await arrived.wait()
    assert (await home.refused(link)).trouble is Trouble.BUSY
    await home.files.export("nurse@new.example")
    go.set()
    assert (await first).total == len(EVERYTHING)


async def test_an_export_beyond_the_bound(home: Home) -> None:
    for n in range(24_000):
        home.server.accounts[ME].blocked[f"{n}-{'x' * 60}@x.example"] = None
    with pytest.raises(FileTrouble) as caught:
        await home.files.export(ME)
    assert caught.value.trouble is Trouble.TOO_LARGE
    assert home.uploads.slots == []
    await home.uploads.files(home.copies, most_mib=4).export(ME)
    assert [user for user, _ in home.uploads.slots] == [ME]
