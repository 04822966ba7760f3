"""What the hook does for the mover's side: payload of sends, watched requests and answers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Literal

import pytest

from tests.live.hooked import (
    ACCEPT,
    CAPULET,
    CLIENT,
    FORWARDED,
    HOOK,
    HOST,
    NS_HOOK,
    ROSTER,
    STANZAS,
    Stage,
    answer,
    entries,
    held,
    presence,
    send,
    take,
    take_presence,
    watch,
)
from tests.live.servers.base import STRANGER_HOST, RosterEntry
from tests.live.shared import kinds

pytestmark = kinds(group="hook")

EVERYTHING = ("requests", "answers", "messages")
EVERYWHERE = pytest.mark.parametrize("contact_host", [HOST, "verona.example", CAPULET])
ONLY_ONCE = pytest.mark.parametrize("contact_host", [HOST, CAPULET])


def _shape(element: ET.Element) -> object:
    text = (element.text or "").strip()
    return element.tag, sorted(element.attrib.items()), text, [_shape(child) for child in element]


async def test_hello_names_what_the_hook_can_do(stage: Stage) -> None:
    hello = await stage.hello()
    assert hello.get("version") == "0.5.0"
    features = {feature.text for feature in hello.findall(f"{HOOK}feature")}
    assert features == {"watch", "tombstone", "answer", "entries", "get-entries", "tombstones"}
    before = int(hello.get("watched", ""))
    user = stage.account("romeo")
    await stage.watch(user, "answers")
    await stage.watch(user, *EVERYTHING)
    assert int((await stage.hello()).get("watched", "")) == before + 1
    await stage.watch(user)
    await stage.watch(user)
    assert int((await stage.hello()).get("watched", "")) == before


@EVERYWHERE
async def test_payload_of_a_send_arrives_unchanged(stage: Stage, contact_host: str) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", contact_host)
    phone, device = await stage.device(user), await stage.device(contact)
    payload = (
        f"<moved xmlns='urn:xmpp:moved:1'><old-jid>old@{HOST}</old-jid></moved>"
        "<nick xmlns='http://jabber.org/protocol/nick'>Roméo</nick>"
        "<status xml:lang='it'>Mi &lt;sono&gt; trasferito</status>"
        "<x xmlns='urn:example:odd' a='1'><presence xmlns='jabber:client'><y/></presence></x>"
    )
    items = (
        f"<item xmlns='jabber:iq:roster' jid='{contact}' name='Juliet'><group>Verona</group></item>"
    )
    result = await stage.component.request(
        send(presence("subscribe", contact, payload), items=items), kind="set", to=user
    )
    assert entries(result.find(f"{HOOK}send")) == {contact: ("none", "subscribe")}
    push = await take(phone, f"{ROSTER}query/{ROSTER}item")
    assert push.find(f".//{ROSTER}group") is not None
    got = await take_presence(device, "subscribe", user)
    want = ET.fromstring(f"<presence xmlns='jabber:client'>{payload}</presence>")
    assert sorted(map(repr, map(_shape, got))) == sorted(map(repr, map(_shape, want)))
    assert got.get("from") == user


@ONLY_ONCE
async def test_a_watched_request_is_taken(stage: Stage, contact_host: str) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", contact_host)
    stage.roster(user, RosterEntry(contact, "to", "Juliet"))
    stage.roster(contact, RosterEntry(user, "from"))
    phone, device = await stage.device(user), await stage.device(contact)
    await stage.watch(user, "requests")
    phone.inbox.clear()
    device.send(f"<presence type='subscribe' to='{user}'><status>Hello</status></presence>")

    divert = await take(stage.component, f"{HOOK}divert")
    assert divert.get("from") == user
    inner = divert[0]
    assert inner.get("watched") == "true"
    assert entries(inner) == {contact: ("to", None)}
    request = inner.find(f"{FORWARDED}/{CLIENT}presence")
    assert request is not None
    assert (request.get("from"), request.findtext(f"{CLIENT}status")) == (contact, "Hello")

    verdict = f"<take xmlns='{NS_HOOK}'>{send(presence('subscribed', contact))}</take>"
    answer(stage.component, divert, verdict)
    outcome = (await take(stage.component, f"{HOOK}outcome"))[0]
    assert (outcome.get("id"), outcome.get("state")) == (divert.get("id"), "taken")
    assert entries(outcome) == {contact: ("both", None)}
    await take_presence(device, "subscribed", user)
    await phone.ping()
    pushes = held(phone, f"{ROSTER}query")
    assert [entries(push) for push in pushes] == [{contact: ("both", None)}]
    assert not held(phone, f"{CLIENT}status")


async def test_a_watched_request_that_is_swallowed(stage: Stage) -> None:
    """A take without a send: the outcome says how things are with the sender, if anything is."""
    user, contact = stage.account("romeo"), stage.account("juliet")
    stage.roster(user, RosterEntry(contact, "to"))
    stage.roster(contact, RosterEntry(user, "from"))
    stranger = stage.account("tybalt")
    await stage.watch(user, "requests")
    for jid, expected in ((contact, {contact: ("to", None)}), (stranger, {})):
        (await stage.device(jid)).send(f"<presence type='subscribe' to='{user}'/>")
        divert = await take(stage.component, f"{HOOK}divert")
        assert entries(divert[0]) == expected
        answer(stage.component, divert, f"<take xmlns='{NS_HOOK}'/>")
        outcome = (await take(stage.component, f"{HOOK}outcome"))[0]
        assert (outcome.get("state"), entries(outcome)) == ("taken", expected)


async def test_the_outcome_names_the_sender_whatever_is_sent(stage: Stage) -> None:
    user, contact, other = (stage.account(name) for name in ("romeo", "juliet", "nurse"))
    stage.roster(user, RosterEntry(contact, "to"))
    stage.roster(contact, RosterEntry(user, "from"))
    device = await stage.device(contact)
    await stage.watch(user, "requests")
    device.send(f"<presence type='subscribe' to='{user}'/>")
    divert = await take(stage.component, f"{HOOK}divert")
    verdict = f"<take xmlns='{NS_HOOK}'>{send(presence('subscribe', other))}</take>"
    answer(stage.component, divert, verdict)
    outcome = (await take(stage.component, f"{HOOK}outcome"))[0]
    assert entries(outcome) == {contact: ("to", None), other: ("none", "subscribe")}


@ONLY_ONCE
async def test_a_watched_request_is_released(stage: Stage, contact_host: str) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", contact_host)
    phone, device = await stage.device(user), await stage.device(contact)
    await stage.watch(user, "requests")
    device.send(f"<presence type='subscribe' to='{user}'><status>Hello</status></presence>")
    divert = await take(stage.component, f"{HOOK}divert")
    assert not phone.inbox
    answer(stage.component, divert, f"<release xmlns='{NS_HOOK}'/>")
    request = await take_presence(phone, "subscribe", contact)
    assert request.findtext(f"{CLIENT}status") == "Hello"
    outcome = (await take(stage.component, f"{HOOK}outcome"))[0]
    assert (outcome.get("state"), outcome.get("reason")) == ("released", "verdict")
    await stage.quiet(device)
    assert not stage.component.inbox


async def test_a_watched_request_without_verdict(hasty: Stage) -> None:
    user, contact = hasty.account("romeo"), hasty.account("juliet")
    phone, device = await hasty.device(user), await hasty.device(contact)
    await hasty.watch(user, "requests")
    device.send(f"<presence type='subscribe' to='{user}'/>")
    await take(hasty.component, f"{HOOK}divert")
    await take_presence(phone, "subscribe", contact)
    outcome = (await take(hasty.component, f"{HOOK}outcome"))[0]
    assert (outcome.get("state"), outcome.get("reason")) == ("released", "timeout")


async def test_who_is_approved_already_is_answered_by_the_server(stage: Stage) -> None:
    # A contact whose server has forgotten that.
    user, contact = stage.account("romeo"), stage.account("juliet", CAPULET)
    stage.roster(user, RosterEntry(contact, "from"))
    device = await stage.device(contact)
    await stage.watch(user, "requests")
    device.send(f"<presence type='subscribe' to='{user}'/>")
    await take_presence(device, "subscribed", user)
    await stage.quiet(device)
    assert not stage.component.inbox


async def test_a_moved_notification_is_no_watched_request(stage: Stage) -> None:
    user, old, new = (stage.account(name) for name in ("romeo", "juliet", "juliet-new"))
    stage.roster(user, RosterEntry(old, "both", "Juliet"))
    device, other = await stage.device(new), await stage.device(stage.account("tybalt"))
    await stage.watch(user, "requests")
    moved = f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{old}</old-jid></moved>"
    request = f"<presence type='subscribe' to='{user}'>{moved}</presence>"
    device.send(request)
    divert = await take(stage.component, f"{HOOK}divert")
    assert divert[0].get("watched") is None
    assert entries(divert[0]) == {old: ("both", None)}
    answer(stage.component, divert, f"<release xmlns='{NS_HOOK}'/>")
    # An old address that the user never approved makes an ordinary request of it.
    other.send(request.replace(old, stage.account("stranger")))
    divert = await take(stage.component, f"{HOOK}divert")
    assert divert[0].get("watched") == "true"
    assert entries(divert[0]) == {}


# What the contact sends; the user's entry and the contact's before; the user's entry after.
ANSWERS = {
    "subscribed": (
        RosterEntry("", ask=True),
        RosterEntry("", pending=True),
        ("to", None),
    ),
    "unsubscribed": (RosterEntry("", "both"), RosterEntry("", "both"), ("from", None)),
    "unsubscribe": (RosterEntry("", "both"), RosterEntry("", "both"), ("to", None)),
}


@pytest.mark.parametrize("online", [True, False], ids=["online", "offline"])
@pytest.mark.parametrize("kind_of_answer", list(ANSWERS))
@ONLY_ONCE
async def test_answers_are_told_when_they_have_been_processed(
    stage: Stage, contact_host: str, kind_of_answer: str, online: bool
) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", contact_host)
    mine, theirs, after = ANSWERS[kind_of_answer]
    stage.roster(user, RosterEntry(contact, mine.subscription, "Juliet", ask=mine.ask))
    stage.roster(contact, RosterEntry(user, theirs.subscription, pending=theirs.pending))
    phone = await stage.device(user) if online else None
    device = await stage.device(contact)
    await stage.watch(user, "answers")
    device.send(f"<presence type='{kind_of_answer}' to='{user}'/>")

    message = await take(stage.component, f"{HOOK}heard")
    assert (message.tag, message.get("from")) == (f"{ACCEPT}message", user)
    heard = message[0]
    assert (heard.get("type"), heard.get("jid")) == (kind_of_answer, contact)
    assert heard.get("condition") is None
    assert entries(heard) == {contact: after}
    if phone is not None:
        push = await take(phone, f"{ROSTER}query")
        assert entries(push[0]) == {contact: after}
    await stage.quiet(device)
    if f"stock-{kind_of_answer}" not in stage.topology.kind.excused:
        assert not stage.component.inbox  # else the contact's server sends more than that


async def test_a_declined_request_is_told(stage: Stage) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", CAPULET)
    device = await stage.device(contact)
    await stage.watch(user, "answers")
    await stage.component.request(send(presence("subscribe", contact)), kind="set", to=user)
    await take_presence(device, "subscribe", user)
    device.send(f"<presence type='unsubscribed' to='{user}'/>")
    heard = (await take(stage.component, f"{HOOK}heard"))[0]
    assert heard.get("type") == "unsubscribed"
    assert entries(heard) == {contact: ("none", None)}


async def test_an_answer_from_nobody_on_the_roster_is_told_without_item(stage: Stage) -> None:
    user, stranger = stage.account("romeo"), stage.account("tybalt")
    device = await stage.device(stranger)
    await stage.watch(user, "answers")
    # A local user's "subscribed" to somebody who never asked does not leave every server.
    await stage.component.request(send(presence("unsubscribe", user)), kind="set", to=stranger)
    heard = (await take(stage.component, f"{HOOK}heard"))[0]
    assert (heard.get("type"), heard.get("jid")) == ("unsubscribe", stranger)
    assert entries(heard) == {}
    await stage.quiet(device)


async def test_errors_are_told_and_change_nothing(stage: Stage) -> None:
    user, contact = stage.account("romeo"), "juliet@nobody.example"
    phone = await stage.device(user)
    await stage.watch(user, "answers")
    await stage.component.request(send(presence("subscribe", contact)), kind="set", to=user)
    heard = (await take(stage.component, f"{HOOK}heard"))[0]
    assert (heard.get("type"), heard.get("jid")) == ("error", contact)
    assert heard.get("condition") == "remote-server-not-found"
    assert entries(heard) == {contact: ("none", "subscribe")}
    await take_presence(phone, "error", contact)


async def test_nothing_is_watched_that_was_not_asked_for(stage: Stage) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet")
    stage.roster(user, RosterEntry(contact, "to"))
    stage.roster(contact, RosterEntry(user, "from"))
    phone, device = await stage.device(user), await stage.device(contact)
    everything = (
        f"<presence type='subscribe' to='{user}'/>"
        f"<message type='chat' to='{user}'><body>Hello</body></message>"
        f"<presence type='unsubscribed' to='{user}'/>"
    )
    await stage.watch(user, *EVERYTHING)
    await stage.watch(user)  # taken back
    device.send(everything)
    await take_presence(phone, "subscribe", contact)
    await stage.quiet(device)
    assert not stage.component.inbox
    # Each kind by itself.
    user, contact = stage.account("romeo"), stage.account("juliet")
    stage.roster(user, RosterEntry(contact, "both"))
    stage.roster(contact, RosterEntry(user, "both"))
    device = await stage.device(contact)
    await stage.watch(user, "requests", "answers")
    await stage.watch(user, "messages")
    device.send(f"<presence type='unsubscribe' to='{user}'/>")
    device.send(f"<presence type='subscribe' to='{user}'/>")
    device.send(f"<message type='chat' to='{user}'><body>Hello</body></message>")
    await take(stage.component, f"{HOOK}wrote")
    await stage.quiet(device)
    assert not stage.component.inbox


async def test_watches_end_with_the_stream(stage: Stage) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet")
    late = stage.account("tybalt")
    phone, device = await stage.device(user), await stage.device(contact)
    await stage.watch(user, *EVERYTHING)
    device.send(f"<presence type='subscribe' to='{user}'/>")
    await take(stage.component, f"{HOOK}divert")
    await stage.component.close()
    await take_presence(phone, "subscribe", contact)  # what was held
    await stage.connect()
    assert (await stage.hello()).get("watched") == "0"
    (await stage.device(late)).send(f"<presence type='subscribe' to='{user}'/>")
    await take_presence(phone, "subscribe", late)
    await stage.quiet()
    assert not stage.component.inbox


async def test_only_the_component_may_watch(stage: Stage) -> None:
    user = stage.account("romeo")
    device = await stage.device(stage.account("juliet"))
    phone, stranger = await stage.device(user), await stage.connect(STRANGER_HOST)
    before = (await stage.hello()).get("watched")
    for outsider in (device, phone, stranger):
        # The same answer as to a payload that nobody ever knew.
        refused = await outsider.request(watch(*EVERYTHING), kind="set", to=user)
        unknown = await outsider.request("<x xmlns='urn:example:odd'/>", kind="set", to=user)
        assert refused.find(f".//{STANZAS}service-unavailable") is not None
        assert [_shape(error) for error in refused.iter(f"{refused.tag[:-2]}error")] == [
            _shape(error) for error in unknown.iter(f"{unknown.tag[:-2]}error")
        ]
    assert (await stage.hello()).get("watched") == before
    device.send(f"<presence type='subscribe' to='{user}'/>")
    await take_presence(phone, "subscribe", device.bare)
    await stage.quiet(device)
    assert not stage.component.inbox


@pytest.mark.parametrize("asked", ["get", "set"])
async def test_only_the_component_sees_and_sets_entries(
    stage: Stage, asked: Literal["get", "set"]
) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet")
    stage.roster(user, RosterEntry(contact, "both"))
    item = f"<item xmlns='jabber:iq:roster' jid='{contact}'/>"
    payload = f"<entries xmlns='{NS_HOOK}'>{item}</entries>"
    for outsider in (await stage.device(contact), await stage.connect(STRANGER_HOST)):
        refused = await outsider.request(payload, kind=asked, to=user)
        assert refused.find(f".//{STANZAS}service-unavailable") is not None
    seen = await stage.component.request(payload, to=user)
    assert entries(seen.find(f"{HOOK}entries")) == {contact: ("both", None)}


async def test_nobody_can_be_watched_who_does_not_exist(stage: Stage) -> None:
    before = (await stage.hello()).get("watched")
    refused = await stage.component.request(watch("answers"), kind="set", to=f"nobody@{HOST}")
    assert refused.find(f".//{STANZAS}item-not-found") is not None
    assert (await stage.hello()).get("watched") == before
