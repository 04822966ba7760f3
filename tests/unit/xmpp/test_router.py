"""Which handler gets what, and what is answered."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET

import pytest

from component.xmpp.errors import RemoteError
from component.xmpp.names import IQ, MESSAGE, PRESENCE
from component.xmpp.router import Router

ME, YOU = "moved.example", "user@server.example"
Q = "{urn:q}q"


def iq(*tags: str, **attributes: str) -> ET.Element:
    defaults = {"type": "get", "id": "1", "from": YOU, "to": ME}
    stanza = ET.Element(IQ, {k: v for k, v in (defaults | attributes).items() if v})
    for tag in tags:
        ET.SubElement(stanza, tag)
    return stanza


class Answers(list[ET.Element]):
    def condition(self) -> str:
        """The error of the only answer."""
        (answer,) = self
        assert (answer.get("type"), answer.get("to"), answer.get("id")) == ("error", YOU, "1")
        return RemoteError.from_element(answer).condition


@pytest.fixture
def router() -> Router:
    return Router(ME, max_handlers=2)


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (iq(), "bad-request"),
        (iq(Q, Q), "bad-request"),
        (iq("{urn:q}other"), "service-unavailable"),
        (iq(Q, type="set"), "service-unavailable"),
        (iq(Q, to=f"x@{ME}"), "service-unavailable"),
        (iq(Q, to=f"{ME}/x"), "service-unavailable"),
    ],
)
async def test_refused(router: Router, stanza: ET.Element, condition: str) -> None:
    async def handler(_iq: ET.Element) -> None:
        raise AssertionError

    router.route_iq("get", "urn:q", "q", handler)
    answers = Answers()
    router.iq(stanza, answers.append)
    assert answers.condition() == condition
    assert answers[0].get("from") == stanza.get("to")
    assert router.running == 0


@pytest.mark.parametrize("lacking", ["id", "from"])
async def test_nobody_to_answer(router: Router, lacking: str) -> None:
    answers = Answers()
    router.iq(iq(Q, **{lacking: ""}), answers.append)
    assert answers == []


async def test_an_id_too_long_to_repeat(router: Router) -> None:
    answers = Answers()
    router.iq(iq(Q, id="'" * 5000), answers.append)
    router.refuse(iq(id="'" * 5000), "too deep", answers.append)
    assert answers == []
    assert router.refused == 1


async def test_handlers_are_bounded(router: Router) -> None:
    go = asyncio.Event()

    async def wait(_iq: ET.Element) -> None:
        await go.wait()

    router.route_iq("get", "urn:q", "q", wait)
    served, refused = Answers(), Answers()
    for _ in range(2):
        router.iq(iq(Q), served.append)
    router.iq(iq(Q), refused.append)
    assert refused.condition() == "resource-constraint"
    assert RemoteError.from_element(refused[0]).type == "wait"
    go.set()
    await router.drain(5)
    assert [answer.get("type") for answer in served] == ["result", "result"]
    late = Answers()
    router.iq(iq(Q), late.append)
    assert late.condition() == "resource-constraint"


def presence(kind: str | None, to: str = ME) -> ET.Element:
    attributes = {"from": f"{YOU}/r", "to": to, "type": kind or ""}
    return ET.Element(PRESENCE, {k: v for k, v in attributes.items() if v})


@pytest.mark.parametrize(
    ("stanza", "expected"),
    [
        (presence("probe"), [(None, f"{YOU}/r")]),
        (presence("subscribe"), [("subscribed", YOU), (None, f"{YOU}/r")]),
        (presence("unsubscribe"), []),
        (presence("subscribed"), []),
        (presence("unavailable"), []),
        (presence("error"), []),
        (presence(None), []),
        (presence("probe", f"x@{ME}"), []),
        (presence("subscribe", f"x@{ME}"), []),
    ],
)
def test_presence(
    router: Router, stanza: ET.Element, expected: list[tuple[str | None, str]]
) -> None:
    answers = Answers()
    router.presence(stanza, answers.append)
    assert [(answer.get("type"), answer.get("to")) for answer in answers] == expected
    assert all(answer.get("from") == ME for answer in answers)


async def test_messages(router: Router) -> None:
    got: list[str | None] = []

    async def handler(message: ET.Element) -> None:
        got.append(message.get("id"))

    router.route_message("urn:q", "q", handler)
    for id_, type_, to in (("1", "error", ME), ("2", "chat", f"x@{ME}"), ("3", "chat", f"{ME}/x")):
        message = ET.Element(MESSAGE, {"id": id_, "type": type_, "to": to, "from": YOU})
        ET.SubElement(message, "{urn:q}unknown")
        ET.SubElement(message, Q)
        router.message(message)
    await router.drain(5)
    assert got == ["3"]
