"""One file at a time over HTTP: no redirects, no cookies, no proxies, no compression, bounds."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, BinaryIO

import structlog

from component.engine.files.ports import FileTrouble, Trouble

if TYPE_CHECKING:
    import aiohttp
    import yarl

log = structlog.get_logger(__name__)

TOTAL_SECONDS = 60.0
"""For one file."""
SILENT_SECONDS = 15.0
"""Until the other side sends something."""
_PART = 65_536
_GOOD = frozenset({200, 201, 204})


class WebClient:
    """Implements :class:`~component.engine.files.ports.Web`.

    :param total: seconds for one file.
    :param silent: seconds of it in which nothing may come.
    :param tls: whom to trust; None: the authorities that the system trusts.
    """

    def __init__(
        self,
        *,
        total: float = TOTAL_SECONDS,
        silent: float = SILENT_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._total = total
        self._silent = silent
        self._tls = tls

    async def get(self, url: str, into: BinaryIO, most: int) -> None:
        """See :class:`Web`."""
        headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        with _told():
            async with (
                self._session() as session,
                session.get(_url(url), headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise FileTrouble(Trouble.NOT_THERE, status=str(answer.status))
                if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise FileTrouble(Trouble.NOT_THERE, status="Content-Encoding")
                if (answer.content_length or 0) > most:
                    raise FileTrouble(Trouble.TOO_LARGE)
                size = 0
                async for part in answer.content.iter_chunked(_PART):
                    size += len(part)
                    if size > most:
                        raise FileTrouble(Trouble.TOO_LARGE)
                    await asyncio.to_thread(into.write, part)

    async def put(self, url: str, headers: Mapping[str, str], file: BinaryIO, size: int) -> None:
        """See :class:`Web`."""
        described = {
            **headers,
            "Content-Length": str(size),
            "Content-Type": "application/xml",
        }
        with _told():
            async with (
                self._session() as session,
                session.put(
                    _url(url), headers=described, data=_parts(file), allow_redirects=False
                ) as answer,
            ):
                if answer.status not in _GOOD:
                    raise FileTrouble(Trouble.NOT_THERE, status=str(answer.status))

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        # Ten megabytes that only those need who use it.
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
        from aiohttp.resolver import ThreadedResolver

        async with ClientSession(
            # The system's own resolver: what the admin has in /etc/hosts counts.
            connector=TCPConnector(
                resolver=ThreadedResolver(), force_close=True, limit=1, ssl=self._tls or True
            ),
            timeout=ClientTimeout(
                total=self._total, sock_connect=self._silent, sock_read=self._silent
            ),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        ) as session:
            yield session


def _url(text: str) -> yarl.URL:
    from yarl import URL

    return URL(text, encoded=True)  # as it is: what was checked is what is asked for


async def _parts(file: BinaryIO) -> AsyncIterator[bytes]:
    while part := await asyncio.to_thread(file.read, _PART):
        yield part


@contextmanager
def _told() -> Iterator[None]:
    """Turn what can go wrong on the way into a word of ours."""
    from aiohttp import ClientError

    try:
        yield
    except TimeoutError as error:
        log.warning("the storage for files is too slow")
        raise FileTrouble(Trouble.SLOW) from error
    except (ClientError, OSError, ValueError) as error:
        # Not the error's own words: they may hold a link, and whoever has it can read the file.
        log.warning(
            "the storage for files is not reached",
            error=type(error).__name__,
            host=getattr(error, "host", None),
        )
        raise FileTrouble(Trouble.UNREACHABLE) from error
