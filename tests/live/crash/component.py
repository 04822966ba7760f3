"""The real component with a fail point before and after every commit and every effect.

``python -m tests.live.crash.component --config FILE run`` is ``xmpp-moved run`` whose writer and
stream are wrapped; where it dies is told by ``XMPP_MOVED_FAIL`` (see points.py).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from component.app import App
from component.config import Config, load
from component.core.notices import Notice
from component.ops import log as component_log
from component.store import Store
from component.store.connect import Location
from component.store.writer import Writer
from component.ui.talk import Languages, LinkTeller
from component.ui.talk.teller import Sender
from component.xmpp.link import Link, LinkSettings
from component.xmpp.stream import Loss, Stream
from tests.live.crash.naming import commit_kind, effect_kind
from tests.live.crash.points import Points

T = TypeVar("T")


# Commits ----------------------------------------------------------------------------------------


class PointedWriter:
    """A writer that passes a point before and after each commit, for each kind of write in it."""

    def __init__(self, writer: Writer, points: Points) -> None:
        self._writer = writer
        self._points = points

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """See :class:`Writer`; "before" is when all is written and nothing is committed."""
        kinds: dict[str, None] = {}

        def watched(connection: Connection) -> T:
            def note(_: Any, __: Any, statement: str, *rest: Any) -> None:
                kind = commit_kind(statement, rest[1].compiled_parameters)
                if kind is not None:
                    kinds[kind] = None

            event.listen(connection, "before_cursor_execute", note)
            try:
                result = work(connection)
            finally:
                event.remove(connection, "before_cursor_execute", note)
            for kind in kinds:
                self._points.reach(f"before commit {kind}")
            return result

        result = await self._writer.transact(watched)
        for kind in kinds:
            self._points.reach(f"after commit {kind}")
        return result

    async def close(self) -> None:
        """See :class:`Writer`."""
        await self._writer.close()


def pointed_store(points: Points) -> type[Store]:
    """A store whose writer has points."""

    class PointedStore(Store):
        def __init__(
            self,
            location: Location,
            reader: AsyncEngine,
            writer: Writer | None,
            *more: Any,
        ) -> None:
            pointed = PointedWriter(writer, points) if writer is not None else None
            super().__init__(location, reader, pointed, *more)

    return PointedStore


# Effects ----------------------------------------------------------------------------------------


class PointedStream:
    """A stream that passes a point before and after each stanza that leaves."""

    def __init__(self, stream: Stream, points: Points) -> None:
        self._stream = stream
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str, *, answer: bool = False) -> None:
        """See :meth:`Stream.write`; "after" is when the operating system has the bytes."""
        kind = effect_kind(text, self._points.said)
        self._points.reach(f"before {kind}")
        self._stream.write(text, answer=answer)
        if self._points.is_next(f"after {kind}"):
            self._stream._flush()
        self._points.reach(f"after {kind}")


class PointedLink(Link):
    """A link all of whose ways out have points: requests, messages, presences, answers."""

    def __init__(self, points: Points, settings: LinkSettings, **more: Any) -> None:
        super().__init__(settings, **more)
        self._points = points
        self._outside: tuple[Stream, Stream] | None = None

    def _pointed(self, stream: Stream) -> Stream:
        """Always the same for the same stream, since the link compares them."""
        if self._outside is None or self._outside[0] is not stream:
            self._outside = stream, cast(Stream, PointedStream(stream, self._points))
        return self._outside[1]

    def stream_up(self, stream: Stream) -> None:
        """See :class:`Link`."""
        super().stream_up(self._pointed(stream))

    def stream_stanza(self, stream: Stream, stanza: ET.Element) -> None:
        """See :class:`Link`."""
        super().stream_stanza(self._pointed(stream), stanza)

    def stream_refused(self, stream: Stream, top: ET.Element, reason: str) -> None:
        """See :class:`Link`."""
        super().stream_refused(self._pointed(stream), top, reason)

    def stream_quiet(self, stream: Stream) -> None:
        """See :class:`Link`; its probe concerns nobody, so it has no point."""
        super().stream_quiet(stream)

    def stream_lost(self, stream: Stream, loss: Loss) -> None:
        """See :class:`Link`."""
        super().stream_lost(self._pointed(stream), loss)


class NamingTeller(LinkTeller):
    """Says which notice a message is, so that its point has a name."""

    def __init__(self, points: Points, link: Sender, languages: Languages) -> None:
        super().__init__(link, languages)
        self._points = points

    def tell(self, to: str, notice: Notice, *, replaces: str | None = None) -> str:
        """See :class:`LinkTeller`."""
        with self._points.saying(type(notice).__name__):
            return super().tell(to, notice, replaces=replaces)


class PointedApp(App):
    """The component, wired to a link and a teller with points."""

    _points: Points

    def __init__(self, config: Config, store: Store, points: Points) -> None:
        self._points = points
        super().__init__(config, store)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_link":
            up, down = self._on_up, self._on_down
            value = PointedLink(self._points, self._link_settings, on_up=up, on_down=down)
        elif name == "_teller":
            value = NamingTeller(self._points, self._link, self._languages)
        super().__setattr__(name, value)


async def run(config: Config, points: Points) -> None:
    """``xmpp-moved run`` with points; SIGUSR1 removes old records now instead of once a day."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with await pointed_store(points).open(config.database.url) as store:
        app = PointedApp(config, store, points)
        pruning: list[asyncio.Task[None]] = []
        loop.add_signal_handler(
            signal.SIGUSR1, lambda: pruning.append(asyncio.create_task(app.prune()))
        )
        await app.run(stop)


def run_command(path: Path) -> None:
    """Run the component of this configuration file to its end."""
    config = load(path)
    component_log.configure(config.log.level, config.log.format)
    asyncio.run(run(config, Points.of(os.environ)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="tests.live.crash.component", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("what", choices=["run"])
    run_command(parser.parse_args(arguments).config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
