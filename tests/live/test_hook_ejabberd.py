"""The hook inside ejabberd: what the scenarios, which know no particular server, cannot show.

Settings of the roster, the modules beside it, crashes, and the installation.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.full import FULL
from tests.live.client import Client, RawComponent, Stream
from tests.live.servers.addresses import free_address
from tests.live.servers.base import (
    COMPONENT_HOST,
    STRANGER_HOST,
    HookOptions,
    RosterEntry,
    ServerSpec,
)
from tests.live.servers.ejabberd import DIST_PORT, HOOK_SOURCES, Ejabberd, Installation
from tests.live.shared import kept

NS_HOOK = "urn:xmpp-moved:hook:0"
HOOK = f"{{{NS_HOOK}}}"
ROSTER = "{jabber:iq:roster}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
MONTAGUE, VERONA = "montague.example", "verona.example"
ROMEO, OLD, NEW = f"romeo@{MONTAGUE}", f"juliet@{VERONA}", f"juliet2@{VERONA}"
TIMEOUT = 5.0

INSTALLATION = Installation("ejabberd-24.12", Path(__file__).parents[2] / ".cache/ejabberd-24.12")
pytestmark = pytest.mark.skipif(
    not INSTALLATION.root.exists(), reason="run tests/bootstrap/ejabberd.sh"
)

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "as documented": {},
    "versions by hash": {"modules.mod_roster.store_current_id": "false"},
    "no versions": {
        "modules.mod_roster.versioning": "false",
        "modules.mod_roster.store_current_id": "false",
    },
    "SQL": {"sql_type": '"sqlite"', "modules.mod_roster.db_type": '"sql"'},
    "no roster cache": {"modules.mod_roster.use_cache": "false"},
    "many neighbours": {
        "modules.mod_privilege": "{}",
        "modules.mod_block_strangers": "{}",
        "modules.mod_pres_counter": '{"count": 5, "interval": 60}',
        "modules.mod_muc": "{}",
        "modules.mod_mam": '{"default": "always"}',
    },
    "few neighbours": {
        f"modules.{name}": "null"
        for name in ("mod_shared_roster", "mod_pubsub", "mod_privacy", "mod_blocking", "mod_caps")
    },
}


@dataclass
class Stage:
    """A server with the hook, Romeo, and Juliet's old and new account."""

    server: Ejabberd
    stack: AsyncExitStack

    async def log_in(self, jid: str) -> Client:
        """A device that is interested and available; what it got so far is forgotten."""
        client = Client(jid, jid, self.server.spec.address)
        await client.open()
        self.stack.push_async_callback(client.close)
        await client.roster()
        client.send("<presence/>")
        await client.ping()
        client.inbox.clear()
        return client

    async def connect(self, domain: str = COMPONENT_HOST) -> RawComponent:
        """The component, or a stranger."""
        component = RawComponent(domain, domain, self.server.spec.address)
        await component.open()
        self.stack.push_async_callback(component.close)
        return component

    def add_user(self, jid: str) -> None:
        """Create an account that goes at the end of the test."""
        self.server.add_user(jid)
        self.stack.callback(self.server.remove_user, jid)


def ejabberd(folder: Path) -> Ejabberd:
    """An ejabberd with the hook, not started yet."""
    address = free_address()
    spec = ServerSpec(
        "montague",
        address,
        (MONTAGUE, VERONA),
        {MONTAGUE: address, VERONA: address},
        (COMPONENT_HOST, STRANGER_HOST),
        HookOptions(),
    )
    return Ejabberd(INSTALLATION, spec, folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ejabberd]:
    """One for every test; who changes it brings it back."""
    with kept(ejabberd(tmp_path_factory.mktemp("ejabberd") / "ejabberd")) as server:
        yield server


@asynccontextmanager
async def staged(server: Ejabberd) -> AsyncIterator[Stage]:
    """The accounts are new, and go at the end."""
    async with AsyncExitStack() as stack:
        stage = Stage(server, stack)
        for jid in (ROMEO, OLD, NEW):
            stage.add_user(jid)
        server.set_roster(ROMEO, [RosterEntry(OLD, "both", "Juliet", ("Verona", "Love"))])
        server.set_roster(OLD, [RosterEntry(ROMEO, "both")])
        yield stage


@pytest.fixture
async def stage(server: Ejabberd) -> AsyncIterator[Stage]:
    """The shared server, as documented."""
    async with staged(server) as stage:
        yield stage


@pytest.fixture
def extra(
    request: pytest.FixtureRequest, server: Ejabberd, tmp_path: Path
) -> Iterator[Mapping[str, str]]:
    """The shared server with some of ``SETTINGS``, which it is told while it runs."""
    extra: dict[str, str] = dict(request.param)
    if "sql_type" in extra:
        extra["sql_database"] = f'"{tmp_path / "sqlite.db"}"'
    try:
        server.reload(extra)
        loaded = server.evaluate(f'gen_mod:loaded_modules(<<"{MONTAGUE}">>).')
        for key, value in extra.items():
            if key.startswith("modules."):
                assert (key.split(".")[1] in loaded) == (value != "null"), loaded
        yield extra
    finally:
        if server.running:
            server.reload({})


async def take_from_inbox(stream: Stream, path: str) -> ET.Element:
    """The next stanza that holds ``path``; those before it are thrown away."""
    while await stream.wait_for_inbox(1, TIMEOUT):
        element = stream.inbox.pop(0).element
        if element.find(path) is not None:
            return element
    raise AssertionError(f"{stream.name} got no {path}")


def notification(to: str = ROMEO, more: str = "", old: str = OLD) -> str:
    """A moved notification (XEP-0283 4.2)."""
    moved = f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{old}</old-jid></moved>"
    return f"<presence type='subscribe' id='n1' to='{to}'>{more}{moved}</presence>"


def send_payload(*presences: tuple[str, str], item: str = "") -> str:
    """A ``<send/>``."""
    inner = "".join(f"<presence xmlns='jabber:client' type='{t}' to='{j}'/>" for t, j in presences)
    return f"<send xmlns='{NS_HOOK}'>{item}{inner}</send>"


SUCCESS = send_payload(
    ("subscribed", NEW),
    ("unsubscribed", OLD),
    ("subscribe", NEW),
    item=f"<item xmlns='jabber:iq:roster' jid='{NEW}' name='Juliet'>"
    "<group>Verona</group><group>Love</group></item>",
)
BEFORE = {OLD: ("both", None, "Juliet", {"Verona", "Love"})}
AFTER = {
    NEW: ("from", "subscribe", "Juliet", {"Verona", "Love"}),
    OLD: ("to", None, "Juliet", {"Verona", "Love"}),
}


def entries(
    parent: ET.Element | None,
) -> dict[str, tuple[str | None, str | None, str | None, set[str | None]]]:
    """Roster items below an element, by JID."""
    assert parent is not None
    return {
        item.get("jid", ""): (
            item.get("subscription"),
            item.get("ask"),
            item.get("name"),
            {group.text for group in item},
        )
        for item in parent.findall(f"{ROSTER}item")
    }


def give_verdict(component: RawComponent, divert: ET.Element, payload: str) -> None:
    """Answer a divert."""
    component.send(
        f"<iq type='result' id='{divert.get('id')}' from='{component.jid}' "
        f"to='{divert.get('from')}'>{payload}</iq>"
    )


def verdict(inner: str = "", name: str = "take") -> str:
    """A verdict's payload."""
    return f"<{name} xmlns='{NS_HOOK}'>{inner}</{name}>"


async def outcome_of(component: RawComponent) -> ET.Element:
    """The next outcome."""
    message = await take_from_inbox(component, f"{HOOK}outcome")
    found = message.find(f"{HOOK}outcome")
    assert found is not None
    return found


@pytest.mark.parametrize("extra", SETTINGS.values(), ids=SETTINGS.keys(), indirect=True)
async def test_a_move_is_three_pushes_one_save_and_survives_the_server(
    extra: Mapping[str, str], server: Ejabberd
) -> None:
    if FULL:  # modules that begin together begin in another order than one that comes later
        await server.kill()
        await server.start()
    async with staged(server) as stage:
        await move(stage, extra)
        if not (FULL or not extra or "sql_type" in extra):
            return  # the other settings are of what runs, and not of what is kept
        await server.kill()
        await server.start()
        again = Client("again", f"{ROMEO}/again", server.spec.address)
        await again.open()
        assert entries(await again.roster()) == AFTER
        await again.close()


async def move(stage: Stage, extra: Mapping[str, str]) -> None:
    """See what a move is to Romeo's devices and to who moved."""
    phone = await stage.log_in(f"{ROMEO}/phone")
    tablet = await stage.log_in(f"{ROMEO}/tablet")
    mover, component = await stage.log_in(f"{NEW}/new"), await stage.connect()

    mover.send(notification())
    divert = await take_from_inbox(component, f"{HOOK}divert")
    assert (divert.get("from"), divert.get("to")) == (ROMEO, COMPONENT_HOST)
    assert entries(divert.find(f"{HOOK}divert")) == BEFORE
    give_verdict(component, divert, verdict(SUCCESS))
    outcome = await outcome_of(component)
    assert (outcome.get("id"), outcome.get("state")) == (divert.get("id"), "taken")
    assert list(entries(outcome)) == [NEW, OLD]
    assert entries(outcome) == AFTER

    versions = []
    for device in (phone, tablet):
        await device.ping()
        found = [received.element.find(f"{ROSTER}query") for received in device.inbox]
        queries = [query for query in found if query is not None]
        shown = [(jid, entry[:2]) for query in queries for jid, entry in entries(query).items()]
        assert shown == [
            (NEW, ("from", None)),
            (OLD, ("to", None)),
            (NEW, ("from", "subscribe")),
        ]
        versions = [query.get("ver") for query in queries]
    told = await take_from_inbox(mover, ".")
    while told.get("type") != "subscribed":
        told = await take_from_inbox(mover, ".")

    if extra.get("modules.mod_roster.versioning") == "false":
        assert versions == [None, None, None]
    else:
        # Only who got the last push is up to date.
        assert len(set(versions)) == 3
        for version, full in zip(versions, (True, True, False), strict=True):
            answer = await phone.request(f"<query xmlns='jabber:iq:roster' ver='{version}'/>")
            assert (answer.find(f"{ROSTER}query") is not None) == full


async def test_a_released_request_is_what_stock_would_have_delivered(stage: Stage) -> None:
    mercutio = f"mercutio@{MONTAGUE}"
    stage.add_user(mercutio)
    romeo, other = await stage.log_in(f"{ROMEO}/x"), await stage.log_in(f"{mercutio}/x")
    mover, component = await stage.log_in(f"{NEW}/new"), await stage.connect()
    more = (
        "<status xml:lang='it'>Sono io</status><nick xmlns='http://jabber.org/protocol/nick'>J"
        "</nick><odd xmlns='urn:x'>  <a b='&lt;'>&#13;é</a>\n</odd>"
    )
    mover.send(notification(mercutio, more) + notification(ROMEO, more))
    divert = await take_from_inbox(component, f"{HOOK}divert")
    assert not romeo.inbox
    give_verdict(component, divert, verdict(name="release"))
    outcome = await outcome_of(component)
    assert (outcome.get("state"), outcome.get("reason")) == ("released", "verdict")
    released = await take_from_inbox(romeo, "{urn:xmpp:moved:1}moved")
    stock = await take_from_inbox(other, "{urn:xmpp:moved:1}moved")
    stock.set("to", f"{ROMEO}/x")
    assert ET.tostring(released) == ET.tostring(stock)


async def test_nothing_is_lost_when_the_holder_crashes_or_the_module_goes(stage: Stage) -> None:
    mover, component = await stage.log_in(f"{NEW}/new"), await stage.connect()
    held = f"supervisor:which_children('mod_moved_hook_{MONTAGUE}')"
    start_module = f'gen_mod:start_module(<<"{MONTAGUE}">>, mod_moved_hook).'
    ways = {
        f"[sys:terminate(P, bug) || {{_, P, _, _}} <- {held}].": "error",
        f"exit(whereis('mod_moved_hook_{MONTAGUE}'), kill).": "error",
        f'gen_mod:stop_module(<<"{MONTAGUE}">>, mod_moved_hook).': "unloaded",
    }
    instances = set()
    for number, (way, reason) in enumerate(ways.items()):
        user = f"user{number}@{MONTAGUE}"
        stage.add_user(user)
        stage.server.set_roster(user, [RosterEntry(OLD, "both")])
        mover.send(notification(user))
        divert = await take_from_inbox(component, f"{HOOK}divert")
        stage.server.evaluate(way)
        if reason == "unloaded":
            stage.stack.callback(stage.server.evaluate, start_module)
        outcome = await outcome_of(component)
        assert (outcome.get("state"), outcome.get("reason")) == ("released", reason)
        assert outcome.get("id") == divert.get("id")
        instances.add(outcome.get("instance"))
        # Offline as the user is, the server keeps the request until a device asks for it.
        device = Client(user, f"{user}/late", stage.server.spec.address)
        await device.open()
        device.send("<presence/>")
        kept = await take_from_inbox(device, "{urn:xmpp:moved:1}moved")
        assert kept.get("from") == NEW
    assert len(instances) == 2


async def test_only_the_stream_of_the_component_is_obeyed(stage: Stage) -> None:
    romeo, mover = await stage.log_in(f"{ROMEO}/x"), await stage.log_in(f"{NEW}/new")
    component, stranger = await stage.connect(), await stage.connect(STRANGER_HOST)
    mover.send(notification())
    divert = await take_from_inbox(component, f"{HOOK}divert")

    # They share a listener, so ejabberd lets the stranger write what it likes into "from".
    give_verdict(stranger, divert, verdict(SUCCESS))
    forged = f"<iq type='result' id='{divert.get('id')}' from='{COMPONENT_HOST}' to='{ROMEO}'>"
    stranger.send(f"{forged}{verdict(SUCCESS)}</iq>")
    stranger.send(f"<iq type='set' id='f' from='{COMPONENT_HOST}' to='{ROMEO}'>{SUCCESS}</iq>")
    for outsider in (stranger, romeo, mover):
        answer = await outsider.request(SUCCESS, kind="set", to=ROMEO)
        assert answer.find(f".//{STANZAS}service-unavailable") is not None
        hello = await outsider.request(f"<hello xmlns='{NS_HOOK}'/>", to=MONTAGUE)
        assert hello.get("type") == "error"
    assert entries(await romeo.roster()) == BEFORE

    give_verdict(component, divert, verdict(SUCCESS))
    assert (await outcome_of(component)).get("state") == "taken"
    assert entries(await romeo.roster()) == AFTER


async def test_shared_groups_stay_and_do_not_get_in_the_way(stage: Stage) -> None:
    stage.stack.callback(
        stage.server.evaluate, f'mod_shared_roster:delete_group(<<"{MONTAGUE}">>, <<"all">>).'
    )
    stage.server.evaluate(
        f'mod_shared_roster:create_group(<<"{MONTAGUE}">>, <<"all">>, [{{label, <<"All">>}},'
        f' {{displayed_groups, [<<"all">>]}}]), [mod_shared_roster:add_user_to_group('
        f'<<"{MONTAGUE}">>, {{U, H}}, <<"all">>) || {{U, H}} <- [{{<<"romeo">>, <<"{MONTAGUE}">>}},'
        f' {{<<"tybalt">>, <<"{MONTAGUE}">>}}]].'
    )
    mover, component = await stage.log_in(f"{NEW}/new"), await stage.connect()
    # Known by the group alone, and so moved away from all the same.
    mover.send(notification(old=f"tybalt@{MONTAGUE}"))
    divert = await take_from_inbox(component, f"{HOOK}divert")
    shown = entries(divert.find(f"{HOOK}divert"))
    assert shown == {f"tybalt@{MONTAGUE}": ("both", None, None, {"All"})}
    give_verdict(component, divert, verdict(name="release"))
    await outcome_of(component)
    # mod_shared_roster's own code for an "unsubscribed" would make "none" of it.
    answer = await component.request(send_payload(("unsubscribed", OLD)), kind="set", to=ROMEO)
    assert entries(answer.find(f"{HOOK}send")) == {OLD: ("to", None, "Juliet", {"Verona", "Love"})}
    # Some of a roster are shown as the whole is: named after the profile, and in all groups.
    romeo, tybalt = await stage.log_in(f"{ROMEO}/x"), f"tybalt@{MONTAGUE}"
    item = f"<item jid='{tybalt}' name='T'><group>Foes</group></item>"
    stage.add_user(tybalt)
    profile = "<vCard xmlns='vcard-temp'><NICKNAME>Prince of Cats</NICKNAME></vCard>"
    await (await stage.log_in(f"{tybalt}/x")).request(profile, kind="set")
    listed = "".join(f"<item xmlns='jabber:iq:roster' jid='{jid}'/>" for jid in (OLD, NEW, tybalt))
    for name, groups in (("Prince of Cats", {"All"}), ("T", {"All", "Foes"})):
        some = await component.request(f"<entries xmlns='{NS_HOOK}'>{listed}</entries>", to=ROMEO)
        shown = entries(some.find(f"{HOOK}entries"))
        assert shown == entries(await romeo.roster())
        assert shown[tybalt] == ("both", None, name, groups)
        await romeo.request(f"<query xmlns='jabber:iq:roster'>{item}</query>", kind="set")


@pytest.mark.parametrize(
    ("payload", "to", "condition"),
    [
        (send_payload(("subscribe", NEW)), f"nobody@{MONTAGUE}", "item-not-found"),
        (send_payload(), ROMEO, "bad-request"),
        (send_payload(*[("subscribe", NEW)] * 17), ROMEO, "bad-request"),
        (send_payload(("subscribe", f"{NEW}/x")), ROMEO, "bad-request"),
        (send_payload(("subscribe", VERONA)), ROMEO, "bad-request"),
        (send_payload(("subscribe", ROMEO)), ROMEO, "bad-request"),
        (send_payload(("unavailable", NEW)), ROMEO, "bad-request"),
        (send_payload(("subscribe", NEW), ("unsubscribe", f"b@{VERONA}")), ROMEO, "not-acceptable"),
        (f"<send xmlns='{NS_HOOK}'><presence type='subscribe'/></send>", ROMEO, "bad-request"),
        (f"<query xmlns='{NS_HOOK}'/>", ROMEO, "bad-request"),
        (
            f"<query xmlns='{NS_HOOK}'><iq xmlns='jabber:client' type='set'>"
            "<query xmlns='jabber:iq:register'/></iq></query>",
            ROMEO,
            "not-allowed",
        ),
        (f"<release xmlns='{NS_HOOK}'/>", ROMEO, "bad-request"),
        (f"<unheard-of xmlns='{NS_HOOK}'/>", ROMEO, "feature-not-implemented"),
    ],
)
async def test_requests_that_cannot_be_done(
    shared: RawComponent, payload: str, to: str, condition: str
) -> None:
    component = shared
    answer = await component.request(payload, kind="set", to=to)
    assert answer.find(f".//{STANZAS}{condition}") is not None
    query = f"<query xmlns='{NS_HOOK}'><iq xmlns='jabber:client' type='get'>"
    roster = await component.request(
        f"{query}<query xmlns='jabber:iq:roster'/></iq></query>", kind="set", to=ROMEO
    )
    assert entries(roster.find(f".//{ROSTER}query")) == BEFORE


@pytest.fixture
async def shared(stage: Stage) -> RawComponent:
    """The component, and Romeo blocks b@verona.example."""
    romeo = await stage.log_in(f"{ROMEO}/x")
    await romeo.request(
        f"<block xmlns='urn:xmpp:blocking'><item jid='b@{VERONA}'/></block>", kind="set"
    )
    await romeo.close()
    return await stage.connect()


async def test_ejabberdctl_installs_it_without_internet(tmp_path: Path) -> None:
    """With the shipped script, whose fixed paths alone are changed."""
    server = ejabberd(tmp_path / "ejabberd")
    await server.start()
    try:
        await install(server, tmp_path)
    finally:
        await server.stop()


async def install(server: Ejabberd, tmp_path: Path) -> None:
    """Install the hook as an admin does, and see what is there then."""
    library = str(INSTALLATION.libraries[0]) + ":" + str(INSTALLATION.libraries[1])
    script = (INSTALLATION.root / "usr/sbin/ejabberdctl").read_text()
    script = re.sub(r"(?m)^INSTALLUSER=.*", "INSTALLUSER=", script)
    script = re.sub(r"(?m)^ERL_LIBS=.*", f"ERL_LIBS='{library}'", script)
    (tmp_path / "ejabberdctl").write_text(script)
    modules = server.folder / "modules"
    target = modules / "sources" / "mod_moved_hook"
    shutil.copytree(HOOK_SOURCES.parent, target)
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *("sh", str(tmp_path / "ejabberdctl"), "--node", server.node),
            *("--config", str(server.folder / "ejabberd.yml"), "--logs", str(server.folder)),
            *("--config-dir", str(server.folder), "--spool", str(server.folder / "spool")),
            *("module_install", "mod_moved_hook"),
        ],
        env={
            **server.environment,
            "ERL_DIST_PORT": str(DIST_PORT),
            "INET_DIST_INTERFACE": server.spec.address,
            "ERLANG_OPTS": "",
            "ERL_OPTIONS": f"-setcookie {server.cookie}",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in (modules / "mod_moved_hook/ebin").glob("*.beam")) == [
        "mod_moved_hook.beam",
        *(
            f"mod_moved_hook_{part}.beam"
            for part in (
                "account",
                "divert",
                "held",
                "keep",
                "query",
                "roster",
                "tombstone",
                "watch",
            )
        ),
    ]
