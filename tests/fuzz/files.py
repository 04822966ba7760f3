"""Files of accounts, and what anybody on the machine may send to the port of the metrics."""

# ruff: noqa: PT017 - a refusal has properties too

from __future__ import annotations

import contextlib
import functools
import io
import json
import socket

from prometheus_client import CollectorRegistry, Counter

from component.account.errors import REMEDIES, BadFile, Limits
from component.account.model import Blocked, Contact, Identity, Piece, in_order
from component.account.read import Reader
from component.account.write import write
from component.core import jids
from component.ops.http import Health, HttpServer

_SMALL = Limits(depth=20, text=200, piece=2000, elements=50, names=2000, groups=5, contacts=20)
_PATIENCE = 5.0


def account(data: bytes) -> None:
    """A file is refused with its place and a remedy, or read; what was read is written alike."""
    for limits in (Limits(), _SMALL):
        pieces = _read(data, limits)
        if pieces is None:
            continue
        assert isinstance(pieces[0], Identity)
        assert jids.bare(pieces[0].jid) == pieces[0].jid
        for piece in pieces:
            if isinstance(piece, Contact):
                assert jids.bare(piece.jid) is not None or "@" not in piece.jid, piece
                assert len(piece.groups) <= limits.groups
            if isinstance(piece, Blocked):
                assert piece.jid
        ordered = in_order(pieces)
        first = _written(ordered)
        again = _read(first, Limits())
        assert again is not None, "what we wrote was refused"
        assert in_order(again) == ordered
        assert _written(in_order(again)) == first


def _read(data: bytes, limits: Limits) -> list[Piece] | None:
    reader = Reader(io.BytesIO(data), limits=limits)
    try:
        return list(reader)
    except BadFile as bad:
        assert bad.line >= 0
        assert bad.text
        assert bad.remedy == REMEDIES[bad.why]
        assert len(str(bad)) < 5000
        return None


def _written(pieces: list[Piece]) -> bytes:
    file = io.BytesIO()
    write(file, pieces)
    return file.getvalue()


@functools.cache
def _server() -> HttpServer:
    registry = CollectorRegistry()
    Counter("moves", "Moves.", registry=registry).inc()
    server = HttpServer(("127.0.0.1", 0), registry, lambda: Health(True, {"held": 3}))
    server.start()
    return server


def http(data: bytes) -> None:
    """Any request gets an answer of HTTP or none, and the next one that is good is answered."""
    status = _ask(data).partition(b"\r\n")[0]
    assert b" 500 " not in status, status
    head, _, body = _ask(b"GET /health HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0].split(b" ", 1)[1] == b"200 OK", head
    assert json.loads(body) == {"ok": True, "held": 3}


def _ask(data: bytes) -> bytes:
    parts: list[bytes] = []
    # A server that refuses may close before it has read all.
    with (
        socket.create_connection(("127.0.0.1", _server().port), _PATIENCE) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
