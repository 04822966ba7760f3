"""One question for many contacts: the fetcher with an old server that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from component.core.answers import Answers
from component.core.model import Reason
from component.core.statement import ErrorRead, Item, ItemsRead
from component.engine.clock import SystemClock
from component.engine.fetcher import Fetcher, FetchLimits
from component.ops.metrics import Metrics
from component.xmpp.errors import LinkLost

OLD, NEW = "juliet@im.example.net", "juliet@capulet.example"
STATEMENT = ItemsRead((Item("current", ((NEW,),)),))


class OldServer:
    """Answers when told to; remembers who asked, and how many at once."""

    def __init__(self, answer: Callable[[str, str], ItemsRead | ErrorRead]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []
        self.busy = self.most = 0
        self.go = asyncio.Event()
        self.came = asyncio.Condition()

    async def ask(self, contact: str, old: str) -> ItemsRead | ErrorRead:
        async with self.came:
            self.asked.append((contact, old))
            self.came.notify_all()
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await self.go.wait()
            return self.answer(contact, old)
        finally:
            self.busy -= 1

    async def until_asked(self, times: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: len(self.asked) >= times)


def fetcher(server: OldServer, limits: FetchLimits | None = None, answers: int = 60) -> Fetcher:
    memory = Answers(verified_seconds=answers, failure_seconds=0.01)
    return Fetcher(server.ask, memory, limits or FetchLimits(), SystemClock(), Metrics())


def ask_all(asker: Fetcher, contacts: int, old: str = OLD) -> list[asyncio.Task[Reason | None]]:
    async def failure(n: int) -> Reason | None:
        return (await asker.answer(f"c{n}@montague.example", old, NEW)).failure

    return [asyncio.create_task(failure(n)) for n in range(contacts)]


async def test_many_contacts_one_question() -> None:
    server = OldServer(lambda contact, old: STATEMENT)
    tasks = ask_all(fetcher(server), 200)
    await server.until_asked(1)
    server.go.set()
    assert set(await asyncio.gather(*tasks)) == {None}
    assert len(server.asked) == 1


async def test_a_shared_failure_is_asked_once_too() -> None:
    server = OldServer(lambda contact, old: ErrorRead("item-not-found"))
    server.go.set()
    tasks = ask_all(fetcher(server), 50)
    assert set(await asyncio.gather(*tasks)) == {Reason.NO_STATEMENT}
    assert len(server.asked) == 1


async def test_a_refusal_makes_the_next_one_ask() -> None:
    def answer(contact: str, old: str) -> ItemsRead | ErrorRead:
        return STATEMENT if contact.startswith("c2@") else ErrorRead("forbidden")

    server = OldServer(answer)
    server.go.set()
    results = await asyncio.gather(*ask_all(fetcher(server), 5))
    assert results == [Reason.REFUSED, Reason.REFUSED, None, None, None]
    assert len(server.asked) == 3


async def test_a_contact_who_has_blocked_the_old_account_speaks_for_nobody_else() -> None:
    def answer(contact: str, old: str) -> ItemsRead | ErrorRead:
        return ErrorRead("not-acceptable") if contact.startswith("c0@") else STATEMENT

    server = OldServer(answer)
    server.go.set()
    results = await asyncio.gather(*ask_all(fetcher(server), 5))
    assert results == [Reason.FETCH_ERROR, None, None, None, None]
    assert len(server.asked) == 2


async def test_nor_does_one_whose_account_is_gone() -> None:
    def answer(contact: str, old: str) -> ItemsRead | ErrorRead:
        gone = ErrorRead("item-not-found", local=True)
        return gone if contact.startswith("c0@") else STATEMENT

    server = OldServer(answer)
    server.go.set()
    results = await asyncio.gather(*ask_all(fetcher(server), 3))
    assert results == [Reason.NO_STATEMENT, None, None]


async def test_a_refused_contact_is_asked_for_all_requests_at_once() -> None:
    """However many strangers claim to that contact that the old account has moved."""
    server = OldServer(
        lambda contact, old: STATEMENT if contact.startswith("true@") else ErrorRead("forbidden")
    )
    server.go.set()
    asker = fetcher(server)
    forged = [
        asyncio.create_task(asker.answer("c@montague.example", OLD, f"n{n}@evil.example"))
        for n in range(600)
    ]
    true = asyncio.create_task(asker.answer("true@montague.example", OLD, NEW))
    assert (await true).failure is None
    await asyncio.gather(*forged)
    assert len(server.asked) <= 4


@pytest.mark.parametrize("told", [False, True], ids=["while it is asked", "after the answer"])
async def test_a_forged_request_does_not_spoil_the_true_one(told: bool) -> None:
    """The statement is published, and announced, after the question that the forger caused."""
    published = False

    def answer(contact: str, old: str) -> ItemsRead | ErrorRead:
        return STATEMENT if published else ErrorRead("item-not-found")

    server = OldServer(answer)
    asker = fetcher(server)
    forged = ask_all(asker, 1)
    await server.until_asked(1)
    if told:
        server.go.set()
        assert await forged[0] is Reason.NO_STATEMENT
        published = True
        true = ask_all(asker, 1)
    else:
        true = ask_all(asker, 1)
        await asyncio.sleep(0)  # it waits for the answer to the forger's question
        server.go.set()
        assert await forged[0] is Reason.NO_STATEMENT
        published = True
    assert await true[0] is None


async def test_one_who_comes_as_an_answer_ends_does_not_stop_the_world() -> None:
    """Between the end of a question and its callbacks it is neither under way nor known."""
    later: list[asyncio.Task[Reason | None]] = []

    def answer(contact: str, old: str) -> ItemsRead | ErrorRead:
        if not later:
            later.extend(ask_all(asker, 1))  # runs before the callbacks of what ends here
        return ErrorRead("item-not-found")

    server = OldServer(answer)
    server.go.set()
    asker = fetcher(server)
    first = ask_all(asker, 1)
    assert await first[0] is Reason.NO_STATEMENT
    assert await later[0] is Reason.NO_STATEMENT


async def test_an_account_without_a_statement_is_asked_at_a_bounded_rate() -> None:
    """Each request gets an answer of its own time; a flood of them costs few questions."""
    server = OldServer(lambda contact, old: ErrorRead("item-not-found"))
    server.go.set()
    asker = fetcher(server)
    for _ in range(5):
        assert set(await asyncio.gather(*ask_all(asker, 200))) == {Reason.NO_STATEMENT}
    assert len(server.asked) <= 10


async def test_a_domain_is_not_flooded_and_does_not_hold_up_others() -> None:
    server = OldServer(lambda contact, old: STATEMENT)
    asker = fetcher(server, FetchLimits(per_domain=2, overall=3))
    slow = [t for n in range(6) for t in ask_all(asker, 1, f"j{n}@slow.example")]
    await server.until_asked(2)
    other = ask_all(asker, 1, "j@other.example")
    await server.until_asked(3)
    assert [old for _, old in server.asked].count("j@other.example") == 1
    server.go.set()
    await asyncio.gather(*slow, *other)
    assert server.most == 3


async def test_one_who_gives_up_leaves_the_question_to_the_others() -> None:
    server = OldServer(lambda contact, old: STATEMENT)
    first, second = ask_all(fetcher(server), 2)
    await server.until_asked(1)
    first.cancel()
    server.go.set()
    assert await second is None
    assert len(server.asked) == 1


async def test_a_lost_stream_reaches_every_waiter() -> None:
    def lost(contact: str, old: str) -> ItemsRead | ErrorRead:
        raise LinkLost("gone")

    server = OldServer(lost)
    tasks = ask_all(fetcher(server), 3)
    await server.until_asked(1)
    server.go.set()
    for task in tasks:
        with pytest.raises(LinkLost):
            await task


OLD_HONEST = "juliet@honest.example"
SILENT = 26
"""Domains, with ten addresses each."""


class SilentServers(OldServer):
    """All are silent but those of ``honest.example`` and whoever is named."""

    def __init__(self) -> None:
        super().__init__(lambda contact, old: STATEMENT)
        self.talks: set[str] = {"honest.example"}

    async def ask(self, contact: str, old: str) -> ItemsRead | ErrorRead:
        if old.rpartition("@")[2] in self.talks:
            self.asked.append((contact, old))
            return STATEMENT
        return await super().ask(contact, old)


def claims(
    asker: Fetcher, who: Callable[[int], tuple[str, str]]
) -> list[asyncio.Task[Reason | None]]:
    """260 claims about addresses of silent domains; ``who`` gives contact and sender of each."""

    async def failure(number: int) -> Reason | None:
        contact, new = who(number)
        old = f"u{number}@s{number % SILENT}.example"
        return (await asker.answer(contact, old, new)).failure

    return [asyncio.create_task(failure(number)) for number in range(10 * SILENT)]


async def ends(asker: Fetcher, server: OldServer, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """They give up; nothing of it is left."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.05)  # what was cancelled ends
    assert not asker._flights
    assert server.busy == 0
    assert (len(asker._people), len(asker._servers)) == (0, 0)
    assert not asker._begun


@pytest.mark.parametrize(
    "who",
    [
        lambda n: ("mallory@montague.example", f"n{n}@new{n}.example"),
        lambda n: (f"c{n}@montague.example", "mallory@new.example"),
    ],
    ids=["one contact", "one sender"],
)
async def test_one_person_does_not_stop_all_verification(
    who: Callable[[int], tuple[str, str]],
) -> None:
    server = SilentServers()
    asker = fetcher(server)
    silent = claims(asker, who)
    await server.until_asked(8)
    async with asyncio.timeout(5):
        assert (await asker.answer("juliet@montague.example", OLD_HONEST, NEW)).failure is None
    assert server.busy == 8
    await ends(asker, server, silent)


async def test_nor_does_the_owner_of_many_domains() -> None:
    server = SilentServers()
    asker = fetcher(server, FetchLimits(overall=40))
    tasks = [
        asyncio.create_task(
            asker.answer(f"c{n}@x.example", f"u@s{n}.evil.example", f"n{n}@x.example")
        )
        for n in range(200)
    ]
    await server.until_asked(32)
    assert (await asker.answer("juliet@x.example", OLD_HONEST, NEW)).failure is None
    assert server.busy == 32
    await ends(asker, server, tasks)


async def test_where_all_is_full_the_silent_make_room() -> None:
    """Many contacts, many senders, many owners: each question has a few seconds then."""
    server = SilentServers()
    asker = fetcher(server, FetchLimits(overall=16, hasty_seconds=0.2))
    slow = asyncio.create_task(asker.answer("c@x.example", "u@slow.example", NEW))
    await asyncio.sleep(0.5)
    assert not slow.done(), "nobody waits: a slow server has its time"
    silent = claims(asker, lambda n: (f"c{n}@x.example", f"n{n}@new{n}.example"))
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert (await asker.answer("juliet@x.example", OLD_HONEST, NEW)).failure is None
    assert (await slow).failure is Reason.UNREACHABLE
    assert server.most <= 16
    await ends(asker, server, silent)


async def test_a_silent_domain_is_asked_less_at_once_until_it_answers() -> None:
    server = SilentServers()
    asker = fetcher(server, FetchLimits(overall=4, per_domain=4, hasty_seconds=0.05))

    async def at_once(first: int) -> int:
        asked = len(server.asked)
        tasks = [asyncio.create_task(_told(asker, n, "s.example")) for n in range(first, first + 8)]
        await server.until_asked(asked + 1)
        await asyncio.sleep(0)
        busy = server.busy
        await ends(asker, server, tasks)
        return busy

    assert await at_once(0) == 4
    full = [asyncio.create_task(_told(asker, n, "s.example")) for n in range(10, 14)]
    others = [asyncio.create_task(_told(asker, n, "t.example")) for n in range(20, 24)]
    assert await asyncio.gather(*full) == [Reason.UNREACHABLE] * 4
    await ends(asker, server, others)
    assert await at_once(30) == 1
    server.talks.add("s.example")
    assert await _told(asker, 40, "s.example") is None
    server.talks.discard("s.example")
    assert await at_once(50) == 4


async def _told(asker: Fetcher, number: int, domain: str) -> Reason | None:
    people = (f"c{number}@x.example", f"n{number}@x.example")
    return (await asker.answer(people[0], f"u{number}@{domain}", people[1])).failure


async def test_a_question_that_nobody_waits_for_ends() -> None:
    server = OldServer(lambda contact, old: STATEMENT)
    asker = fetcher(server)
    first, second = ask_all(asker, 2)
    await server.until_asked(1)
    first.cancel()
    await asyncio.sleep(0.01)
    assert server.busy == 1
    await ends(asker, server, [first, second])
    server.go.set()
    assert await ask_all(asker, 1)[0] is None


async def test_who_waits_for_a_turn_need_not_where_another_asks() -> None:
    """Somebody whose share is used up claims an account first: its other contacts do not wait."""
    server = SilentServers()
    asker = fetcher(server, FetchLimits(per_person=1))
    mallory = "mallory@x.example"
    silent = asyncio.create_task(asker.answer(mallory, "u@s.example", "n@s.example"))
    await server.until_asked(1)
    behind = asyncio.create_task(asker.answer(mallory, OLD_HONEST, NEW))
    await asyncio.sleep(0)
    assert (await asker.answer("juliet@x.example", OLD_HONEST, NEW)).failure is None
    assert (await behind).failure is None
    assert [old for _, old in server.asked].count(OLD_HONEST) == 1
    silent.cancel()
    await asyncio.gather(silent, return_exceptions=True)
