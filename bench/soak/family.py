"""Movers who keep moving, and the contacts who must follow them.

The rules of the product bound what may be repeated: an old address is followed to one new one
only, few old ones into the same new one, and a return is no move but takes the last one back.
Two plays stay within them for ever, with a fixed number of accounts:

* a *ring* of three addresses, A to B to C to A: each old address always moves to the same new one.
  The contacts remove the entry of the address before last, so that each step begins as the first
  did and takes the whole way (approval, revocation, the contact's own request, mutual again);
* a *commuter*, A to B to A: each step takes back the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.soak.people import ABSENT, Person, Place
from bench.soak.rows import What
from tests.live.arrange import NS_MOVED, NS_PUBSUB, publish
from tests.live.client import ClientError
from tests.live.servers.base import RosterEntry, Server

FIRST_LOOK = 20.0
"""Seconds until we look whether the server ever had a request that has no end."""
PATIENCE = 90.0
"""Seconds that a request has for its end: the component's deadline (45) and recovery, and more."""

NOT_DIVERTED = "not diverted"
"""Why a request was released that the component was never asked about."""

_RETRACT = (
    f"<pubsub xmlns='{NS_PUBSUB}'><retract node='{NS_MOVED}' notify='true'>"
    "<item id='current'/></retract></pubsub>"
)

Tell = Callable[[What, int, str], None]
"""Writes a row: what, number of the request, why."""
Why = Callable[["Request"], Awaitable[str]]
"""Finds out why a request was released."""


@dataclass(eq=False)
class Request:
    """One contact asked by one mover to follow."""

    number: int
    contact: Person
    mover: Person
    old: str
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: What | None = None
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    """The contact's roster is as it must be in the end."""

    @property
    def new(self) -> str:
        """The address that the contact is to follow to."""
        return self.mover.jid

    @property
    def known(self) -> bool:
        """Whether the mover's server ever had it (RFC 6121 3.1.2: it notes ``ask``)."""
        entry = self.mover.entry(self.contact.jid)
        return entry.ask or entry.subscription in ("to", "both")


class Contact:
    """Somebody on a mover's roster."""

    def __init__(self, person: Person, tell: Tell, why: Why) -> None:
        self.person = person
        self.request: Request | None = None
        self._tell = tell
        self._why = why
        self._asking: set[asyncio.Task[None]] = set()
        person.changed = self._changed
        person.presence = self._presence
        person.message = self._message

    def _changed(self) -> None:
        request = self.request
        if request is None or request.whole.is_set():
            return
        entry = self.person.entry(request.new)
        if entry.grants and request.ended is None:
            request.ended = What.FOLLOWED
            self._tell(What.FOLLOWED, request.number, "")
        if entry.subscription == "both" and not self.person.entry(request.old).grants:
            request.whole.set()

    def _presence(self, kind: str, sender: str) -> None:
        if kind != "subscribe":
            return
        request = self.request
        if request is not None and sender == request.new and request.ended is None:
            request.ended = What.RELEASED
            task = asyncio.create_task(self._released(request))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        # What a person does who was asked: say yes, ask back, and let the old address go.
        self.person.tell("subscribed", sender)
        if self.person.entry(sender).subscription not in ("to", "both"):
            self.person.tell("subscribe", sender)
        if request is not None and sender == request.new:
            self.person.tell("unsubscribed", request.old)

    def _message(self, sender: str) -> None:
        self._tell(What.NOTICE, self.request.number if self.request is not None else 0, "")

    async def _released(self, request: Request) -> None:
        self._tell(What.RELEASED, request.number, await self._why(request))

    async def idle(self) -> None:
        """Return when every release has its reason."""
        await asyncio.gather(*self._asking)


class Family:
    """A mover and contacts.

    Args:
        name: part of all addresses.
        hosts: of the contacts and of the mover.
        addresses: that the mover goes round.
    """

    def __init__(
        self,
        name: str,
        hosts: tuple[str, str],
        place: Place,
        *,
        contacts: int,
        addresses: int,
        tell: Tell,
        why: Why,
    ) -> None:
        self.movers = [Person(f"m{name}-{n}@{hosts[1]}", place) for n in range(addresses)]
        self.contacts = [
            Contact(Person(f"c{name}-{n}@{hosts[0]}", place), tell, why) for n in range(contacts)
        ]
        self._tell = tell
        self._why = why
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()
        for mover in self.movers:
            mover.presence = self._grant(mover)

    @property
    def people(self) -> list[Person]:
        """Everybody."""
        return [*self.movers, *(contact.person for contact in self.contacts)]

    def arrange(self, server: Server) -> None:
        """Create the accounts: the contacts have the first address as ``both``."""
        for person in self.people:
            server.add_user(person.jid)
        first = self.movers[0].jid
        for contact in self.contacts:
            entry = RosterEntry(first, "both", "Romeo", ("Friends",))
            server.set_roster(contact.person.jid, [entry])
        server.set_roster(first, [RosterEntry(c.person.jid, "both") for c in self.contacts])

    async def move(self, number: int, step: int, which: int) -> None:
        """Ask one contact to follow in a step; the first contact's turn begins the step."""
        async with self._turn:
            old, new = self._addresses(step)
            while True:
                try:
                    if which == 0:
                        await self.idle()
                        await self._begin(step, old, new)
                    contact = self.contacts[which]
                    await contact.person.enter()
                    await new.enter()
                    request = Request(number, contact.person, new, old.jid)
                    contact.request = request
                    self._ask(request)
                    break
                except ClientError:
                    await asyncio.sleep(1)  # the server went away; enter() waits for it
            task = asyncio.create_task(self._conclude(request))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def idle(self) -> None:
        """Return when every request has been judged."""
        while self._running:
            await asyncio.gather(*self._running)
        for contact in self.contacts:
            await contact.idle()

    def _addresses(self, step: int) -> tuple[Person, Person]:
        count = len(self.movers)
        return self.movers[step % count], self.movers[(step + 1) % count]

    async def _begin(self, step: int, old: Person, new: Person) -> None:
        """What comes before the notifications: tidy up, and say at the old account where to."""
        before = self.movers[(step - 1) % len(self.movers)]
        for contact in self.contacts:
            await contact.person.enter()
            if before not in (old, new) and contact.person.entry(before.jid) != ABSENT:
                await contact.person.remove(before.jid)
        if step:
            await new.request(_RETRACT)  # who lives here again has not moved away
        await publish(await old.enter(), new.jid, "presence", [])

    def _ask(self, request: Request) -> None:
        payload = f"<moved xmlns='{NS_MOVED}'><old-jid>{request.old}</old-jid></moved>"
        self._tell(What.ASKED, request.number, "")
        request.mover.tell("subscribe", request.contact.jid, payload)

    async def _conclude(self, request: Request) -> None:
        """Judge a request: whole, never sent (then once more), lost, or half."""
        while not await _within(request.whole, FIRST_LOOK):
            try:
                await request.contact.enter()
                await request.mover.enter()
                if request.ended is None and not request.known:
                    self._tell(What.UNSENT, request.number, "")
                    self._ask(request)
                    continue
                self._ask_back(request)
            except ClientError:
                continue
            if await _within(request.whole, PATIENCE - FIRST_LOOK):
                break
            await self._failed(request)
            return
        self._tell(What.SETTLED, request.number, "")

    def _ask_back(self, request: Request) -> None:
        """What a person does who followed, and was not answered by a server that was stopping.

        The request may be noted as pending, and is then not sent twice: take it back first.
        """
        entry = request.contact.entry(request.new)
        if request.ended is not None and entry.grants and entry.ask:
            self._tell(What.AGAIN, request.number, "")
            request.contact.tell("unsubscribe", request.new)
            request.contact.tell("subscribe", request.new)

    async def _failed(self, request: Request) -> None:
        what = What.HALF
        if request.ended is None:
            what = What.GONE if await self._why(request) == NOT_DIVERTED else What.LOST
        self._tell(what, request.number, self._story(request))

    def _story(self, request: Request) -> str:
        contact = request.contact
        return (
            f"{contact.jid}: {request.old} {contact.entry(request.old)} "
            f"to {request.new} {contact.entry(request.new)}; "
            f"there {request.mover.entry(contact.jid)}"
        )

    def _grant(self, mover: Person) -> Callable[[str, str], None]:
        """The contact asks back: the mover's client says yes."""

        def presence(kind: str, sender: str) -> None:
            if kind == "subscribe":
                mover.tell("subscribed", sender)

        return presence


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
