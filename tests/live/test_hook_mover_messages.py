"""Who writes to a watched user: the hook's question, and the answer it sends as the user."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.live.client import Client
from tests.live.hooked import (
    ACCEPT,
    CAPULET,
    CLIENT,
    HOOK,
    HOST,
    LANG,
    NS_HOOK,
    Stage,
    answer,
    kill_watcher,
    on_stage,
    take,
)
from tests.live.servers.base import HookOptions, RosterEntry
from tests.live.servers.differences import Kind
from tests.live.shared import kinds
from tests.live.topology import Arrangement, Topology

pytestmark = kinds(group="hook")

BODY = f"{CLIENT}body"
MOVED = "I have moved: <xmpp:juliet@new.example>"


async def watched(stage: Stage, contact_host: str = HOST, state: str = "both") -> tuple[str, str]:
    """A user watched for messages and a contact with this subscription; both bare JIDs."""
    user, contact = stage.account("juliet"), stage.account("romeo", contact_host)
    mirrored = {"to": "from", "from": "to"}.get(state, state)
    stage.roster(user, RosterEntry(contact, state))
    stage.roster(contact, RosterEntry(user, mirrored))
    await stage.watch(user, "messages")
    return user, contact


def chat(to: str, body: str = "<body>Hello</body>", kind: str = "chat", lang: str = "") -> str:
    """A message; without a type where ``kind`` is empty."""
    attributes = (f" type='{kind}'" if kind else "") + (f" xml:lang='{lang}'" if lang else "")
    return f"<message to='{to}'{attributes}>{body}</message>"


async def question(stage: Stage) -> ET.Element:
    """The next question."""
    iq = await take(stage.component, f"{HOOK}wrote")
    assert (iq.tag, iq.get("type")) == (f"{ACCEPT}iq", "get")
    return iq


def reply(text: str, lang: str = "") -> str:
    """What may be answered."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    language = f" xml:lang='{lang}'" if lang else ""
    return f"<answer xmlns='{NS_HOOK}'{language}>{text}</answer>"


@pytest.mark.parametrize("online", [True, False], ids=["online", "offline"])
@pytest.mark.parametrize("contact_host", [HOST, "verona.example", CAPULET])
async def test_a_contact_who_writes_is_answered(
    stage: Stage, contact_host: str, online: bool
) -> None:
    user, contact = await watched(stage, contact_host)
    phone = await stage.device(user) if online else None
    device, other = await stage.device(contact), await stage.device(contact, "other")
    device.send(chat(user, "<body>The secret</body><x xmlns='urn:example:x'/>", lang="de"))

    asked = await question(stage)
    assert asked.get("from") == user
    assert asked[0].attrib == {"jid": contact, "lang": "de"}
    assert [asked[0].text, len(asked[0]), len(asked)] == [None, 0, 1]
    answer(stage.component, asked, reply(MOVED, "de"))
    got = await take(device, BODY)
    assert (got.get("type"), got.get("from"), got.get("to")) == ("chat", user, device.jid)
    assert got.findtext(BODY) == MOVED
    assert "de" in (got.get(LANG), got.find(BODY).get(LANG))  # type: ignore[union-attr]
    await other.ping()
    assert not [r for r in other.inbox if r.element.find(BODY) is not None]

    phone = phone or await stage.device_as_it_comes(user)
    delivered = await take(phone, BODY)
    assert (delivered.get("from"), delivered.findtext(BODY)) == (device.jid, "The secret")
    assert delivered.find("{urn:example:x}x") is not None
    await stage.quiet(phone, device)
    assert not [r for r in phone.inbox if r.element.find(BODY) is not None]
    assert not stage.component.inbox


async def test_copies_for_other_devices_go_their_way(stage: Stage) -> None:
    user, contact = await watched(stage)
    phone, tablet = await stage.device(user), await stage.device(user, "tablet")
    device = await stage.device(contact)
    await tablet.request("<enable xmlns='urn:xmpp:carbons:2'/>", kind="set")
    tablet.inbox.clear()
    device.send(chat(phone.jid))
    await question(stage)
    received = "{urn:xmpp:carbons:2}received/{urn:xmpp:forward:0}forwarded"
    copy = await take(tablet, f"{received}/{CLIENT}message/{BODY}")
    assert (await take(phone, BODY)).get("from") == device.jid
    assert copy.get("from") == user


@pytest.mark.parametrize("kind_of_message", ["chat", "normal", ""])
@pytest.mark.parametrize("state", ["to", "from"])
async def test_which_messages_are_asked_about(
    stage: Stage, state: str, kind_of_message: str
) -> None:
    user, contact = await watched(stage, state=state)
    phone, device = await stage.device(user), await stage.device(contact)
    device.send(chat(phone.jid, kind=kind_of_message))
    asked = await question(stage)
    assert asked[0].get("jid") == contact
    assert (await take(phone, BODY)).get("to") == phone.jid
    answer(stage.component, asked)
    await stage.quiet(device)
    assert not [r for r in device.inbox if r.element.tag == f"{CLIENT}message"]


async def test_which_messages_are_not(stage: Stage) -> None:
    user, contact = await watched(stage)
    stranger = stage.account("tybalt")
    phone, device = await stage.device(user), await stage.device(contact)
    foreign, tablet = await stage.device(stranger), await stage.device(user, "tablet")
    foreign.send(chat(user))
    tablet.send(chat(user))
    tablet.send(chat(phone.jid))
    await stage.quiet(foreign, tablet)
    delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
    device.send(
        chat(user, kind="headline", lang="la")
        + chat(user, kind="groupchat", lang="de")
        + chat(phone.jid, "<active xmlns='http://jabber.org/protocol/chatstates'/>", lang="fr")
        + chat(phone.jid, f"<body>Hello</body>{delay}", lang="es")
        + chat(user, "<error type='cancel'/><body>Hello</body>", kind="error", lang="en")
        + chat(user, lang="it")
    )
    # All came on one stream: who was asked about is the last.
    assert (await question(stage))[0].attrib == {"jid": contact, "lang": "it"}
    await stage.quiet(device, tablet, foreign)
    assert not stage.component.inbox


async def test_what_no_client_wrote_is_not_asked_about(stage: Stage) -> None:
    """Two watched users of one server: the answer of the one is no message of hers."""
    user, contact = await watched(stage)
    await stage.watch(contact, "messages")
    device = await stage.device(contact)
    device.send(chat(user))
    answer(stage.component, await question(stage), reply(MOVED))
    assert (await take(device, BODY)).findtext(BODY) == MOVED
    await stage.quiet(device)
    assert not stage.component.inbox


async def test_whom_the_user_blocks_is_not_asked_about(stage: Stage) -> None:
    user, contact = await watched(stage)
    phone, device = await stage.device(user), await stage.device(contact)
    await stage.watch(user, "messages", "answers", "requests")
    block = f"<block xmlns='urn:xmpp:blocking'><item jid='{contact}'/></block>"
    await phone.request(block, kind="set")
    device.send(chat(user) + chat(phone.jid) + f"<presence type='unsubscribed' to='{user}'/>")
    await stage.quiet(device, phone)
    assert not stage.component.inbox


async def test_an_entry_without_subscription_is_a_stranger(stage: Stage) -> None:
    user, contact = await watched(stage, state="none")
    phone, device = await stage.device(user), await stage.device(contact)
    device.send(chat(user))
    await take(phone, BODY)
    await stage.quiet(device)
    assert not stage.component.inbox


async def test_one_question_a_minute_for_each_sender(stage: Stage) -> None:
    user, contact = stage.account("juliet"), stage.account("romeo", CAPULET)
    other = stage.account("mercutio")
    stage.roster(user, RosterEntry(contact, "both"), RosterEntry(other, "both"))
    await stage.watch(user, "messages")
    phone, device = await stage.device(user), await stage.device(contact)
    tablet, friend = await stage.device(contact, "tablet"), await stage.device(other)
    device.send(chat(user, lang="la") + chat(user, lang="de"))
    assert (await question(stage))[0].attrib == {"jid": contact, "lang": "la"}
    await take(phone, BODY)
    await take(phone, BODY)
    tablet.send(chat(user, lang="fr"))
    await take(phone, BODY)
    friend.send(chat(user, lang="it"))
    assert (await question(stage))[0].attrib == {"jid": other, "lang": "it"}
    await stage.quiet(device, tablet, friend)
    assert not stage.component.inbox


async def _answered_with(stage: Stage, payload: str) -> Client:
    user, contact = await watched(stage)
    device = await stage.device(contact)
    device.send(chat(user))
    answer(stage.component, await question(stage), payload)
    return device


@pytest.mark.parametrize(
    "payload",
    [
        "",
        reply(""),
        reply("x" * 1025),
        "<answer xmlns='urn:example:other'>Hello</answer>",
        f"<message xmlns='jabber:client'>{reply('Hello')}</message>",
    ],
    ids=["nothing", "empty", "too long", "foreign", "nested"],
)
async def test_answers_that_are_none(stage: Stage, payload: str) -> None:
    device = await _answered_with(stage, payload)
    await stage.quiet(device)
    assert not [r for r in device.inbox if r.element.tag == f"{CLIENT}message"]


async def test_the_longest_answer(stage: Stage) -> None:
    device = await _answered_with(stage, reply("é" * 1023 + "<"))
    assert (await take(device, BODY)).findtext(BODY) == "é" * 1023 + "<"


async def test_nobody_else_can_answer(stage: Stage) -> None:
    user, contact = await watched(stage)
    phone, device = await stage.device(user), await stage.device(contact)
    device.send(chat(user))
    asked = await question(stage)
    for outsider in (phone, device):
        outsider.send(f"<iq type='result' id='{asked.get('id')}' to='{user}'>{reply('!')}</iq>")
    await stage.quiet(phone, device)
    assert not [r for r in device.inbox if r.element.tag == f"{CLIENT}message"]
    answer(stage.component, asked, reply(MOVED) + reply("twice"))
    assert (await take(device, BODY)).findtext(BODY) == MOVED
    answer(stage.component, asked, reply("late"))
    await stage.quiet(device)
    assert not [r for r in device.inbox if r.element.tag == f"{CLIENT}message"]


async def test_one_user_leaves_room_for_others(
    kind: Kind,
    shared_topologies: dict[tuple[str, Arrangement], Topology],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Of those whom may be asked about in a minute, the contacts of one user are a fifth."""
    hook = HookOptions(max_held=10)
    async with on_stage(kind, hook, shared_topologies, tmp_path_factory) as stage:
        await stage.connect()
        if kind.name.startswith("ejabberd"):  # the server of other tests, which have asked
            kill_watcher(stage)
        user, (other, friend) = stage.account("juliet"), await watched(stage)
        contacts = [stage.account(f"romeo{n}") for n in range(3)]
        stage.roster(user, *(RosterEntry(contact, "both") for contact in contacts))
        await stage.watch(user, "messages")
        devices = [await stage.device(contact) for contact in contacts]
        for device in devices[:2]:
            device.send(chat(user))
            answer(stage.component, await question(stage))
        devices[2].send(chat(user))
        await stage.quiet(devices[2])
        assert not stage.component.inbox
        (await stage.device(friend)).send(chat(other))
        assert (await question(stage)).get("from") == other
