"""What becomes of a question for a statement that cannot be put, or is not answered."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Literal

import pytest

from component.core.statement import ErrorRead
from component.engine.hook import Hook
from component.xmpp.errors import (
    BadStanza,
    LinkBusy,
    LinkError,
    LinkLost,
    RemoteError,
    RequestTimeout,
)


class FailingWire:
    """A stream on which every request fails in one way."""

    def __init__(self, error: LinkError) -> None:
        self._error = error

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        raise self._error


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (RequestTimeout("slow"), "remote-server-timeout"),
        (LinkBusy("full"), "resource-constraint"),
        (BadStanza("U+0000"), "undefined-condition"),
        (RemoteError("not-allowed"), "not-allowed"),
    ],
)
async def test_a_failure_is_an_answer(error: LinkError, condition: str) -> None:
    hook = Hook(FailingWire(error))
    answer = await hook.statement("romeo@a.example", "juliet@b.example", timeout=1)
    assert answer == ErrorRead(condition)


async def test_a_lost_stream_is_none() -> None:
    with pytest.raises(LinkLost):
        await Hook(FailingWire(LinkLost("gone"))).statement("r@a.example", "j@b.example", timeout=1)
