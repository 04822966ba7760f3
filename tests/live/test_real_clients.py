"""Scenarios with chat clients that nobody here wrote: as the contact, and as the mover.

What is judged is the client's own screen, and the server's roster as another client reads it.
Each test leaves its screens in its ``tmp_path``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import pytest

from component.core.records import MoveState
from tests.live.arrange import NS_MOVED, NS_PUBSUB
from tests.live.client import Client
from tests.live.clients.base import Account, ChatClient, Program
from tests.live.clients.poezio import POEZIO
from tests.live.clients.profanity import PROFANITY
from tests.live.clients.terminal import PATIENCE
from tests.live.servers.base import HookOptions, RosterEntry, Server
from tests.live.servers.differences import KINDS, Kind
from tests.live.topology import Arrangement, Topology
from tests.live.vocabulary import parse_roster

OLD, NEW = "juliet@capulet.example", "juliet@verona.example"
ROMEO, NURSE = "romeo@montague.example", "nurse@capulet.example"

NURSE_ENTRY = RosterEntry(NURSE, "both", "Nurse", ("Capulets", "Elders"))
BEFORE = {
    OLD: RosterEntry(OLD, "both", "Juliet", ("Capulets",)),
    NURSE: NURSE_ENTRY,
}
AFTER = {
    OLD: RosterEntry(OLD, "to", "Juliet", ("Capulets",)),
    NEW: RosterEntry(NEW, "both", "Juliet", ("Capulets",)),
    NURSE: NURSE_ENTRY,
}
STATEMENT = (
    f"<iq type='set'><pubsub xmlns='{NS_PUBSUB}'><publish node='{NS_MOVED}'><item id='current'>"
    f"<moved xmlns='{NS_MOVED}'><new-jid>{NEW}</new-jid></moved></item></publish></pubsub></iq>"
)
NOTIFICATION = (
    f"<presence type='subscribe' to='{ROMEO}'><status>I was {OLD}</status>"
    f"<moved xmlns='{NS_MOVED}'><old-jid>{OLD}</old-jid></moved></presence>"
)
FOLLOWING = Arrangement(hook=HookOptions(), component=True)
PLAIN = Arrangement()

CASTS = [(PROFANITY, POEZIO), (POEZIO, PROFANITY)]
"""(the contact's client, the mover's)."""
ASKING = {"-no-statement": (FOLLOWING, False), "-server-without-hook": (PLAIN, True)}
"""Where a request is an ordinary one, and whether the mover makes a statement."""
SMOKE = (
    "prosody-0.12-poezio-follows-profanity",
    "ejabberd-24.12-profanity-follows-poezio",
    "prosody-0.12-poezio-follows-profanity-no-statement",
    "prosody-0.12-profanity-follows-poezio-server-without-hook",
)
"""What is not left to a full run: each client in each part, each server, each reason to ask."""


def cases(more: Mapping[str, tuple[object, ...]]) -> list[object]:
    """Each server with each cast and each of ``more``, which has the end of an id."""
    found = list[object]()
    for kind, cast, (end, values) in product(KINDS.values(), CASTS, more.items()):
        id_ = f"{kind.name}-{cast[0].name}-follows-{cast[1].name}{end}"
        marks = [] if id_ in SMOKE else [pytest.mark.full]
        found.append(pytest.param(kind, cast, *values, id=id_, marks=marks))
    return found


class Stage:
    """The servers, and the clients on them; everything ends with the ``async with`` block."""

    def __init__(self, topology: Topology, folder: Path) -> None:
        self.topology = topology
        self._folder = folder
        self._ends = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Stage:
        self._ends.push_async_callback(self.topology.stop)
        try:
            await self.topology.start()
            for jid in (OLD, NEW, ROMEO, NURSE):
                self._server(jid).add_user(jid)
            mirrored = [RosterEntry(ROMEO, "both", "Romeo")]
            self._server(ROMEO).set_roster(ROMEO, list(BEFORE.values()))
            self._server(OLD).set_roster(OLD, mirrored)
            self._server(NURSE).set_roster(NURSE, mirrored)
        except BaseException:
            await self._ends.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ends.aclose()

    async def log_in(self, program: Program, jid: str) -> ChatClient:
        """Start a client that nobody here wrote."""
        client = await program.start(Account(jid, self._server(jid).spec.address))
        self._ends.push_async_callback(client.quit)
        return client

    async def observe(self, jid: str) -> Client:
        """Log in the harness's own client, which gets roster pushes and is not available."""
        noise = self.topology.kind.noise
        client = Client("observer", f"{jid}/observer", self._server(jid).spec.address, noise=noise)
        await client.open()
        self._ends.push_async_callback(client.close)
        await client.roster()
        return client

    def capture(self, what: str, client: ChatClient) -> None:
        """Keep what a client shows."""
        (self._folder / f"{what}.txt").write_text(client.screen + "\n")

    def _server(self, jid: str) -> Server:
        server = self.topology.server_of(jid.partition("@")[2])
        assert server is not None
        return server


@pytest.fixture
def cast(request: pytest.FixtureRequest) -> tuple[Program, Program]:
    """The contact's client and the mover's, both installed."""
    programs: tuple[Program, Program] = request.param
    for program in programs:
        if not program.available:
            pytest.skip(program.missing)
    return programs


async def until_roster(observer: Client, jid: str, entry: RosterEntry) -> None:
    """Wait for the push that makes the server's entry of ``jid`` equal to ``entry``."""

    def is_it() -> bool:
        queries = (received.element.find("{jabber:iq:roster}query") for received in observer.inbox)
        return any(parse_roster(q).get(jid) == entry for q in queries if q is not None)

    async with asyncio.timeout(PATIENCE):
        while not is_it():
            await observer.wait_for_inbox(len(observer.inbox) + 1, PATIENCE)
            assert observer.connected


def mutual(roster: Mapping[str, RosterEntry]) -> bool:
    """True where the mover's new account has Romeo, and nobody else, for good."""
    return {jid: (entry.subscription, entry.ask) for jid, entry in roster.items()} == {
        ROMEO: ("both", False)
    }


async def until_shown(
    client: ChatClient, holds: Callable[[Mapping[str, RosterEntry]], bool], what: object
) -> None:
    """Wait until the client shows a roster that is right; each look waits for the server first."""
    shown: Mapping[str, RosterEntry] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while not holds(shown := await client.roster()):
                pass
    except TimeoutError:
        pytest.fail(f"the client should show\n{what}\nbut shows\n{shown}\n{client.screen}")


@pytest.mark.parametrize(("kind", "cast"), cases({"": ()}), indirect=True)
async def test_the_contact_s_client_follows(
    kind: Kind, cast: tuple[Program, Program], tmp_path: Path
) -> None:
    """Romeo's client is connected; all that is typed into it asks what its roster holds."""
    contact_program, mover_program = cast
    async with Stage(Topology(kind, FOLLOWING, tmp_path / "servers"), tmp_path) as stage:
        observer = await stage.observe(ROMEO)
        contact = await stage.log_in(contact_program, ROMEO)
        old = await stage.log_in(mover_program, OLD)
        await until_shown(contact, BEFORE.__eq__, BEFORE)
        stage.capture("contact-before", contact)

        await old.send(STATEMENT)
        stage.capture("mover-old", old)
        await old.quit()
        new = await stage.log_in(mover_program, NEW)
        assert await new.roster() == {}
        await new.send(NOTIFICATION)
        await new.approve(ROMEO)

        await until_roster(observer, NEW, AFTER[NEW])
        await until_shown(contact, AFTER.__eq__, AFTER)
        stage.capture("contact-after", contact)
        assert not contact.was_asked()
        assert parse_roster(await observer.roster()) == AFTER

        await until_shown(new, mutual, f"{ROMEO}, both")
        stage.capture("mover-new", new)
        assert mutual(parse_roster(await (await stage.observe(NEW)).roster()))

        daemon = stage.topology.daemon
        assert daemon is not None
        await daemon.journal_says(
            ROMEO,
            lambda moves: [(m.state, m.old, m.new) for m in moves] == [(MoveState.DONE, OLD, NEW)],
            "one move, done",
        )


@pytest.mark.parametrize(
    ("kind", "cast", "arrangement", "states"), cases(ASKING), indirect=["kind", "cast"]
)
async def test_the_contact_s_client_asks_its_user(
    kind: Kind,
    cast: tuple[Program, Program],
    tmp_path: Path,
    arrangement: Arrangement,
    states: bool,
) -> None:
    """What is not proven, or nobody looks at, is an ordinary request on the contact's screen."""
    contact_program, mover_program = cast
    async with Stage(Topology(kind, arrangement, tmp_path / "servers"), tmp_path) as stage:
        contact = await stage.log_in(contact_program, ROMEO)
        if states:
            old = await stage.log_in(mover_program, OLD)
            await old.send(STATEMENT)
            await old.quit()
        new = await stage.log_in(mover_program, NEW)
        await new.send(NOTIFICATION)

        await contact.shows_request(NEW)
        shown = dict(await contact.roster())
        stage.capture("contact-asked", contact)
        # poezio lists who asks, though the server's roster has no such entry.
        assert shown.pop(NEW, RosterEntry(NEW)) == RosterEntry(NEW)
        assert shown == BEFORE
        assert parse_roster(await (await stage.observe(ROMEO)).roster()) == BEFORE
