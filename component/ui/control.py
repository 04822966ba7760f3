"""The admin's end of the control socket of a running component."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from component.core.journey.model import Progress
from component.ops.control_json import Unreadable, progress_from
from component.ui.exits import CommandFailed
from component.ui.words import problem_words

ANSWER_BYTES: Final = 256 * 1024 * 1024
"""The longest answer: far more than a list of a server's moves."""
ANSWER_SECONDS: Final = 60.0
"""How long the component has for one order."""

_OTHER_RELEASE = (
    "the running component does not speak as this command does; restart it, so that both are of "
    "the same release"
)


class Control:
    """A connection; see :func:`connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, order: str, **arguments: Any) -> Any:
        """Give an order and return its result.

        :raises CommandFailed: it was refused, or there is no answer
        """
        try:
            self._writer.write(json.dumps({"order": order, **arguments}).encode() + b"\n")
            await self._writer.drain()
            return (await asyncio.wait_for(self._answer(), ANSWER_SECONDS))["result"]
        except TimeoutError as slow:
            raise CommandFailed(
                f"the running component has not answered within {ANSWER_SECONDS:.0f} s; its log "
                "tells more"
            ) from slow
        except OSError as error:
            raise CommandFailed(_STOPPED) from error
        except KeyError as error:
            raise CommandFailed(_OTHER_RELEASE) from error

    async def progress(self, order: str, **arguments: Any) -> Progress:
        """Give an order whose result is how far a move is; errors as in :meth:`ask`."""
        return read_progress(await self.ask(order, **arguments))

    async def changes(self) -> AsyncIterator[Progress]:
        """After ``ask("watch")``: every change, for ever.

        :raises CommandFailed: the component was stopped
        """
        while True:
            try:
                answer = await self._answer()
            except OSError as error:
                raise CommandFailed(_STOPPED) from error
            yield read_progress(answer.get("progress"))

    async def _answer(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise CommandFailed(_STOPPED)
        try:
            answer = json.loads(line)
            if answer["ok"]:
                return dict(answer)
            problem, facts = str(answer["problem"]), dict(answer["facts"])
        except (ValueError, KeyError, TypeError) as error:
            raise CommandFailed(_OTHER_RELEASE) from error
        raise CommandFailed(f"that was refused: {problem_words(problem, facts)}")


_STOPPED = "the component was stopped"


def read_progress(given: object) -> Progress:
    """How far a move is, out of an answer.

    :raises CommandFailed: the component is of another release
    """
    try:
        return progress_from(given)
    except Unreadable as error:
        raise CommandFailed(_OTHER_RELEASE) from error


@asynccontextmanager
async def connect(path: str) -> AsyncIterator[Control]:
    """Open the control socket of the running component, and close it at the end.

    :param path: ``[component] control``
    :raises CommandFailed: no component runs, it has no socket, or it is somebody else's
    """
    if not path:
        raise CommandFailed(
            'this needs the control socket, and [component] control is ""; set it to a path and '
            "restart the component"
        )
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=ANSWER_BYTES)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise CommandFailed(
            f"no component is running (nobody listens at {path}); start it with "
            "`systemctl start xmpp-moved` or `xmpp-moved run`. If it does run, its log says why "
            "it has no control socket"
        ) from error
    except PermissionError as error:
        raise CommandFailed(
            f"{path} belongs to another user; run this command as root, or as the user that "
            "runs the component"
        ) from error
    except OSError as error:
        raise CommandFailed(f"{path} cannot be opened: {error.strerror or error}") from error
    try:
        yield Control(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
