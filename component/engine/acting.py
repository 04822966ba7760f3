"""For whom an order is meant: an account is more than its address; names are given to others.

Whatever is done for a user is done within :func:`acting_for`, which knows the token that the
account had when it gave its word (hook protocol, section 13).  Each order to the hook then says
which account it means, and the hook compares in the same step: where somebody else has the name by
now it answers as for an account that is gone (``item-not-found``), and nothing is done.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from component.engine.ports import Wire
from component.xmpp.names import NS_HOOK

_WHO = f"{{{NS_HOOK}}}account"
"""The question whose name it is now."""
_MEANT: ContextVar[Mapping[str, str]] = ContextVar("meant")


@contextmanager
def acting_for(accounts: Mapping[str, str | None]) -> Iterator[None]:
    """All orders to these addresses mean these accounts; tasks begun within it inherit that.

    :param accounts: tokens by bare JID; None: not known, so whoever has the name is meant.
    """
    known = {jid: token for jid, token in accounts.items() if token is not None}
    before = _MEANT.set({**_MEANT.get({}), **known})
    try:
        yield
    finally:
        _MEANT.reset(before)


class MeantWire:
    """A wire on which each order to a user says which account is meant."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """See :class:`Wire`."""
        token = _MEANT.get({}).get(to)
        if token is not None and payload.tag != _WHO:
            payload.set("account", token)
        return await self._wire.request(kind, to, payload, timeout=timeout)
