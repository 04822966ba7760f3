"""Getting and putting files, from and to servers that do as they should not."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import zlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from component.engine.files.ports import FileTrouble, Trouble
from component.web.client import WebClient
from tests.certificates import OPENSSL, Authority
from tests.unit.web.storage import Storage, endless, headed, redirect, status

MOST = 1_000_000


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    async with Storage() as storage:
        yield storage


async def got(url: str, most: int = MOST, *, total: float = 10.0, silent: float = 5.0) -> bytes:
    file = BytesIO()
    await WebClient(total=total, silent=silent).get(url, file, most)
    return file.getvalue()


async def trouble(url: str, *, total: float = 10.0, silent: float = 5.0) -> Trouble:
    with pytest.raises(FileTrouble) as caught:
        await got(url, total=total, silent=silent)
    return caught.value.trouble


async def test_there_and_back(storage: Storage) -> None:
    """What is put can be got, byte by byte, under exactly the address that was asked for."""
    content = bytes(range(256)) * 1000
    path = "/up/%C3%BC/a%20b.xml"
    headers = {"Authorization": "Bearer x", "Cookie": "a=b", "Expires": "soon"}
    await WebClient().put(storage.base + path, headers, BytesIO(content), len(content))
    assert storage.headers.items() >= headers.items()
    assert storage.headers["Content-Length"] == str(len(content))
    assert "Transfer-Encoding" not in storage.headers
    assert await got(storage.base + path) == content
    assert storage.asked == [f"PUT {path}", f"GET {path}"]
    assert storage.headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in storage.headers


async def test_no_redirect_is_followed(storage: Storage) -> None:
    async with Storage() as elsewhere:
        elsewhere.files["/secret"] = b"s"
        storage.answers["/a"] = redirect(f"{elsewhere.base}/secret")
        storage.answers["/b"] = redirect("/c")
        storage.files["/c"] = b"c"
        for path in ("/a", "/b"):
            assert await trouble(storage.base + path) is Trouble.NOT_THERE
            with pytest.raises(FileTrouble) as caught:
                await WebClient().put(storage.base + path, {}, BytesIO(b"x"), 1)
            assert caught.value.facts == {"status": "302"}
        assert elsewhere.asked == []
        assert "GET /c" not in storage.asked


@pytest.mark.parametrize("number", [201, 204, 206, 304, 401, 404, 410, 500, 503])
async def test_other_answers(storage: Storage, number: int) -> None:
    storage.answers["/a"] = status(number)
    assert await trouble(f"{storage.base}/a") is Trouble.NOT_THERE


async def test_too_large(storage: Storage) -> None:
    """By what is announced before anything is read, and by what comes."""
    storage.files["/a"] = b"x" * (MOST + 1)
    storage.files["/b"] = b"x" * MOST
    storage.answers["/endless"] = endless
    storage.answers["/announced"] = headed(b"x", Content_Length=str(2**40))
    assert await trouble(f"{storage.base}/a") is Trouble.TOO_LARGE
    assert len(await got(f"{storage.base}/b")) == MOST
    assert await trouble(f"{storage.base}/announced") is Trouble.TOO_LARGE
    assert await trouble(f"{storage.base}/endless") is Trouble.TOO_LARGE


async def test_less_than_was_announced(storage: Storage) -> None:
    storage.answers["/a"] = headed(b"<server-data", Content_Length="1000")
    assert await trouble(f"{storage.base}/a") is Trouble.UNREACHABLE


async def test_nothing_is_unpacked(storage: Storage) -> None:
    """A bomb stays what it is."""
    packed = zlib.compress(b"x" * 10_000_000)
    storage.answers["/a"] = headed(packed, Content_Encoding="deflate")
    assert await trouble(f"{storage.base}/a") is Trouble.NOT_THERE


async def test_silence_and_drops(storage: Storage) -> None:
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await never.wait()
        raise AssertionError

    async def dripping(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.02)

    storage.answers |= {"/silent": silent, "/dripping": dripping}
    assert await trouble(f"{storage.base}/silent", silent=0.1) is Trouble.SLOW
    assert await trouble(f"{storage.base}/dripping", total=0.3) is Trouble.SLOW


async def test_headers_without_end(storage: Storage) -> None:
    storage.answers["/a"] = headed(b"x", X_Long="x" * 100_000)
    assert await trouble(f"{storage.base}/a") is Trouble.UNREACHABLE


async def test_nobody_there(storage: Storage) -> None:
    assert await trouble(storage.base.replace("http", "https") + "/a") is Trouble.UNREACHABLE
    await storage.__aexit__(None, None, None)
    with capture_logs() as logs, pytest.raises(FileTrouble) as caught:
        await got(f"{storage.base}/a?secret")
    # What it is called inside is for the log; a link is for neither.
    assert (caught.value.trouble, caught.value.facts) == (Trouble.UNREACHABLE, {})
    (entry,) = logs
    assert (entry["log_level"], entry["host"]) == ("warning", "localhost")
    assert "secret" not in str(entry)
    assert await trouble("http://nobody.invalid/a") is Trouble.UNREACHABLE
    assert await trouble("file:///etc/hostname") is Trouble.UNREACHABLE


@pytest.mark.skipif(OPENSSL is None, reason="openssl is missing")
async def test_certificates(tmp_path: Path) -> None:
    """Nothing is asked for before the server has shown who it is."""
    authority = Authority(tmp_path)
    ours = ssl.create_default_context(cafile=str(authority.file))
    for domain, days, trusted, good in (
        ("localhost", 30, ours, True),
        ("localhost", 30, None, False),
        ("old.example", 30, ours, False),
        ("localhost", -1, ours, False),
    ):
        certificate = authority.issue(f"{domain}{days}", domain, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        async with Storage(context) as storage:
            storage.files["/a"] = b"content"
            file = BytesIO()
            if good:
                await WebClient(tls=trusted).get(f"{storage.base}/a", file, MOST)
                assert file.getvalue() == b"content"
                continue
            with pytest.raises(FileTrouble) as caught:
                await WebClient(tls=trusted).get(f"{storage.base}/a", file, MOST)
            assert caught.value.trouble is Trouble.UNREACHABLE
            assert storage.asked == []
