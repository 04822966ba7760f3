"""Watches and tombstones inside ejabberd: block lists, accounts and modules that go."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.live.hooked import (
    FORWARDED,
    HOOK,
    HOST,
    NS_HOOK,
    STANZAS,
    Stage,
    answer,
    kill_watcher,
    on_stage,
    presence,
    take,
    take_presence,
    watch,
)
from tests.live.servers.base import HookOptions, RosterEntry
from tests.live.servers.differences import KINDS
from tests.live.servers.ejabberd import Ejabberd
from tests.live.topology import Arrangement, Topology

KIND = KINDS["ejabberd-24.12"]
pytestmark = [
    pytest.mark.skipif(not KIND.available, reason=KIND.missing),
    pytest.mark.xdist_group(f"hook {KIND.name}"),
]
EVERYTHING = ("requests", "answers", "messages")
BODY = "{jabber:client}body"
TOMBSTONE = f"<tombstone xmlns='{NS_HOOK}'>xmpp:juliet@new.example</tombstone>"
STATEMENT = (
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:moved:1'/></pubsub>"
)


@pytest.fixture
async def stage(
    shared_topologies: dict[tuple[str, Arrangement], Topology],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stage]:
    """The component connected."""
    async with on_stage(KIND, HookOptions(), shared_topologies, tmp_path_factory) as stage:
        await stage.connect()
        yield stage


def evaluate(stage: Stage, code: str) -> str:
    """See :meth:`Ejabberd.evaluate`."""
    server = stage.topology.servers["montague"]
    assert isinstance(server, Ejabberd)
    return server.evaluate(code)


def befriend(stage: Stage, user: str, contact: str) -> None:
    """Each sees the other."""
    stage.roster(user, RosterEntry(contact, "both"))
    stage.roster(contact, RosterEntry(user, "both"))


async def test_nobody_is_told_of_whom_the_user_blocks(stage: Stage) -> None:
    user, blocked, friend = (stage.account(name) for name in ("romeo", "tybalt", "juliet"))
    befriend(stage, user, blocked)
    phone, device, other = [await stage.device(jid) for jid in (user, blocked, friend)]
    await stage.watch(user, *EVERYTHING)
    await phone.request(
        f"<block xmlns='urn:xmpp:blocking'><item jid='{blocked}'/></block>", kind="set"
    )
    device.send(
        f"<message type='chat' to='{user}'><body>Draw!</body></message>"
        f"<presence type='unsubscribe' to='{user}'/>"
        f"<presence type='subscribe' to='{user}'/>"
    )
    await stage.quiet(device)
    other.send(f"<presence type='subscribe' to='{user}'/>")
    divert = await take(stage.component, ".")
    assert divert.find(f"{HOOK}divert") is not None
    assert divert.find(f".//{FORWARDED}/*[@from='{friend}']") is not None
    assert not stage.component.inbox


async def test_an_account_that_goes_takes_its_watch_along(stage: Stage) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet")
    await stage.watch(user, *EVERYTHING)
    stage.remove(user)
    await take(stage.component, f"{HOOK}deleted")
    assert (await stage.hello()).get("watched") == "0"
    stage.topology.servers["montague"].add_user(user)  # somebody else who likes the name
    phone, device = await stage.device(user), await stage.device(contact)
    device.send(f"<presence type='subscribe' to='{user}'/>")
    await take_presence(phone, "subscribe", contact)
    await stage.quiet(device)
    assert not stage.component.inbox


@pytest.mark.parametrize("watches", [(), ("requests",), EVERYTHING], ids=["no", "one", "all"])
async def test_an_ordinary_request_is_not_handed_back(
    stage: Stage, watches: tuple[str, ...]
) -> None:
    """Only a moved notification is, watched or not: nothing else is put into somebody's mouth."""
    user, contact = stage.account("romeo"), stage.account("juliet")
    phone = await stage.device(user)
    request = presence("subscribe", user).replace("to=", f"from='{contact}' to=")
    forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{request}</forwarded>"
    release = f"<release xmlns='{NS_HOOK}'>{forwarded}</release>"
    await stage.watch(user, *watches)
    refused = await stage.component.request(release, kind="set", to=user)
    assert refused.get("type") == "error"
    assert refused.find(f".//{STANZAS}bad-request") is not None
    await stage.quiet(phone)
    assert not [r for r in phone.inbox if r.element.get("type") == "subscribe"]
    assert not stage.component.inbox


async def test_of_several_watches_in_one_go_the_last_counts(stage: Stage) -> None:
    user = stage.account("romeo")
    for number in range(50):
        payload = watch() if number % 2 else watch("answers")
        stage.component.send(
            f"<iq type='set' id='W{number}' to='{user}' from='{stage.component.jid}'>{payload}</iq>"
        )
    for _ in range(50):
        assert (await take(stage.component, ".")).get("type") == "result"
    assert (await stage.hello()).get("watched") == "0"


@pytest.mark.parametrize(
    "way",
    [
        f"[sys:terminate(P, bug) || {{_, P, _, _}} <- "
        f"supervisor:which_children('mod_moved_hook_requested_{HOST}')].",
        f"exit(whereis('mod_moved_hook_requested_{HOST}'), kill).",
        f'gen_mod:stop_module(<<"{HOST}">>, mod_moved_hook).',
    ],
    ids=["a bug", "a kill", "the module goes"],
)
async def test_a_held_request_for_a_statement_is_answered(stage: Stage, way: str) -> None:
    asking, gone = await stage.device(stage.account("juliet")), f"never@{HOST}"
    user = stage.account("romeo")
    await stage.watch(user, *EVERYTHING)
    left = f"<tombstones xmlns='{NS_HOOK}'><account jid='{gone}'/></tombstones>"
    await stage.component.request(left, kind="set", to=HOST)
    asking.send(f"<iq type='get' id='S' to='{gone}'>{STATEMENT}</iq>")
    await take(stage.component, f"{HOOK}tombstone")
    try:
        evaluate(stage, way)
        answered = await take(asking, f"{{jabber:client}}error/{STANZAS}item-not-found")
        assert answered.get("id") == "S"
    finally:
        if "stop_module" in way:
            evaluate(stage, f'gen_mod:start_module(<<"{HOST}">>, mod_moved_hook).')
            # Its users are not watched any more.
            assert (await stage.hello()).get("watched") == "0"


async def test_a_watching_process_that_dies_comes_back(stage: Stage) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet")
    befriend(stage, user, contact)
    device = await stage.device(contact)
    await stage.watch(user, "messages")
    kill_watcher(stage)
    # Forgotten, as after a restart.
    assert (await stage.hello()).get("watched") == "0"
    await stage.watch(user, "messages")
    device.send(f"<message type='chat' to='{user}'><body>Hello</body></message>")
    asked = await take(stage.component, f"{HOOK}wrote")
    answer(stage.component, asked, f"<answer xmlns='{NS_HOOK}'>Moved</answer>")
    assert (await take(device, BODY)).findtext(BODY) == "Moved"


async def test_senders_are_remembered_up_to_a_number(stage: Stage) -> None:
    """Full is full: nobody else is asked about until a minute is over."""
    user, other, contact = (stage.account(name) for name in ("romeo", "mercutio", "juliet"))
    stage.roster(contact, RosterEntry(user, "both"), RosterEntry(other, "both"))
    for jid in (user, other):
        stage.roster(jid, RosterEntry(contact, "both"))
        await stage.watch(jid, "messages")
    device = await stage.device(contact)

    def allow(number: int) -> None:
        options = f"#{{max_held => {number}}}"
        evaluate(stage, f'gen_mod:update_module(<<"{HOST}">>, mod_moved_hook, {options}).')

    device.send(f"<message type='chat' to='{other}'><body>Hello</body></message>")
    await take(stage.component, f"{HOOK}wrote")
    allow(int(evaluate(stage, f"ets:info('mod_moved_hook_watch_{HOST}', size).")))
    try:
        device.send(f"<message type='chat' to='{user}'><body>Hello</body></message>")
        await stage.quiet(device)
        assert not stage.component.inbox
    finally:
        allow(5000)
