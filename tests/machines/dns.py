"""A DNS server for the machines of a test: it knows their addresses, and nothing else."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading

_A, _IN = 1, 1
_NO_SUCH_NAME = 3
_TTL = 60
_ANSWERS = 0x8580
"""Flags: a response, authoritative, recursion desired and available."""


class Dns:
    """Answers over UDP until :meth:`stop`.

    :param listener: a bound UDP socket, made in the network namespace where it is to serve.
    :param addresses: names with their IPv4 addresses; may grow while it runs.
    """

    def __init__(self, listener: socket.socket, addresses: dict[str, str]) -> None:
        self._listener = listener
        self._addresses = addresses
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._listener.sendto(b"", self._listener.getsockname())
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                query, sender = self._listener.recvfrom(4096)
            except OSError:
                return
            if not query:
                return
            try:
                self._listener.sendto(answer(query, self._addresses), sender)
            except (OSError, ValueError, struct.error, IndexError):
                continue


def answer(query: bytes, addresses: dict[str, str]) -> bytes:
    """The response to one query (RFC 1035 section 4).

    A name that is there has an address and no other record; any other name does not exist.
    """
    name, end = _name(query, 12)
    kind, _ = struct.unpack_from("!HH", query, end)
    question = query[12 : end + 4]
    address = addresses.get(name.lower())
    found = address is not None and kind == _A
    flags = _ANSWERS | (0 if address is not None else _NO_SUCH_NAME)
    header = query[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0)
    if not found or address is None:
        return header + question
    packed = ipaddress.IPv4Address(address).packed
    return header + question + struct.pack("!HHHIH", 0xC00C, _A, _IN, _TTL, 4) + packed


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name that begins at an offset, and where it ends; names of questions are never packed."""
    labels = []
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + 1
