"""Loopback addresses for test servers: one each, so that ports need not differ."""

from __future__ import annotations

import random
import socket

from tests.live.servers.base import C2S_PORT, COMPONENT_PORT, S2S_PORT, ServerError

_TRIES = 50


def free_address() -> str:
    """Return an address in 127.64.0.0/10 whose test ports can be bound now.

    The choice is random over four million addresses, so that test runs side by side do not
    meet.  Raises ServerError when none is free (something listens on 0.0.0.0).
    """
    dice = random.SystemRandom()
    for _ in range(_TRIES):
        address = f"127.{dice.randint(64, 127)}.{dice.randint(0, 255)}.{dice.randint(1, 254)}"
        if all(_can_bind(address, port) for port in (C2S_PORT, S2S_PORT, COMPONENT_PORT)):
            return address
    raise ServerError("no loopback address with free test ports found")


def _can_bind(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
