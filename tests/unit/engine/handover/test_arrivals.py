"""The new account's side in a move to us: contacts without pasting, and a copy, exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from component.account.parcels import NODE, RECEIPT_NODE
from component.core.belongings.model import JobState
from component.core.journey.handover import HandoverState as H
from component.core.journey.model import (
    CheckName,
    ContactState,
    JourneyState,
    Preflight,
    Problem,
    Refused,
)
from component.core.model import RosterItem, Subscription
from component.core.notices import HandoverTrouble
from component.engine.handover.give import Ended
from component.engine.movers.orders import Given
from component.xmpp.errors import RemoteError
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.handover.far import (
    NURSE,
    STRANGER,
    THINGS,
    TYBALT,
    Far,
    state_of,
    things_of,
    two,
)
from tests.unit.engine.movers.mover_stage import FAR, NEW, Stage

S = JourneyState
PLANNED = (20, 30, 36, 45, 52, 58)
"""Requests of a move after which its copy is planned, and its receipt not noted."""
FRIAR, SHY = "friar@d1.example", "shy@d4.example"


def people(stage: Stage) -> None:
    """FAR's contacts: two who see each other, one who is only seen, and one who is blocked."""
    stage.people(NURSE, FRIAR, TYBALT, of=FAR)
    stage.contact(SHY, Subscription.TO, Manner.FOLLOWS, of=FAR)


async def look_again(stage: Stage) -> None:
    """What housekeeping does every few minutes."""
    await stage.handovers.once(lambda _: True)


async def check(stage: Stage, far: Far, id: int) -> None:
    """Everybody was told once, but who is blocked; everything is there, and nothing left over."""
    assert sorted(told.to for told in stage.server.told) == [FRIAR, NURSE, SHY]
    contacts = await stage.contacts(id)
    assert {jid: one.state for jid, one in contacts.items()} == {
        FRIAR: ContactState.MUTUAL,
        NURSE: ContactState.MUTUAL,
        SHY: ContactState.ACCEPTED,
        TYBALT: ContactState.SKIPPED,
    }
    roster = stage.server.rosters[NEW]
    assert {(roster[jid].name, roster[jid].groups) for jid in (FRIAR, NURSE)} == {
        ("friar", ("Verona",)),
        ("nurse", ("Verona",)),
    }
    assert roster[STRANGER] == RosterItem(STRANGER, Subscription.NONE, False, "Known", ("Ä",))
    assert TYBALT not in roster
    assert await things_of(stage.accounts, NEW) == list(THINGS)
    (job,) = await stage.store.belongings.of(NEW)
    assert (job.state, job.journey) == (JobState.DONE, id)
    assert await state_of(stage, id) is H.ACKNOWLEDGED
    await look_again(stage)
    assert RECEIPT_NODE in stage.server.things.nodes(NEW)
    assert await far.giver.tidy(FAR) is Ended.RECEIVED
    await look_again(stage)
    assert not {NODE, RECEIPT_NODE} & (
        stage.server.things.nodes(NEW) | stage.server.things.nodes(FAR)
    )
    assert await state_of(stage, id) is H.RECEIVED


async def moved(stage: Stage, found: Preflight) -> None:
    """The move of a draft, to its end."""
    await stage.desk.start(NEW, found.journey.id)
    await stage.until_state(found.journey.id, S.DONE)


def flipped(text: str) -> str:
    """The same base64 with another first character."""
    return ("B" if text[0] == "A" else "A") + text[1:]


async def refused(stage: Stage) -> dict[str, str]:
    """Why nothing comes from FAR: its contacts have to be pasted."""
    with pytest.raises(Refused) as lacking:
        await stage.desk.prepare_arrive(NEW, FAR)
    assert lacking.value.problem is Problem.NO_CONTACTS
    return lacking.value.facts


async def unstated(stage: Stage) -> tuple[str, str]:
    """Whom FAR names instead of NEW, or why that cannot be read; nothing is stored."""
    found = await stage.desk.prepare_arrive(NEW, FAR)
    (check,) = [check for check in found.checks if not check.ok]
    assert check.name is CheckName.STATEMENT
    with pytest.raises(Refused):
        await stage.desk.preflight(NEW, found.journey.id)
    return check.facts["names"], check.facts["condition"]


def test_a_receipt_goes_when_everything_is_withdrawn(tmp_path: Path) -> None:
    """Though the old server has not looked for it yet: the parcel then stands until it expires."""

    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            await far.pack()
            journey = await stage.arrive()
            await stage.until_state(journey.id, S.DONE)
            assert RECEIPT_NODE in stage.server.things.nodes(NEW)
            done = await stage.admin.withdraw_all()
            assert (done.handovers, done.left) == ((journey.id,), {})
            assert RECEIPT_NODE not in stage.server.things.nodes(NEW)
            assert await state_of(stage, journey.id) is H.CANCELLED
            assert (await stage.admin.withdraw_all()).handovers == ()

    play(main())


def test_nothing_is_pasted(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            await far.pack()
            first: list[bool] = []

            def see(name: str) -> None:
                if name == "before send" and not first:
                    first.append(TYBALT in stage.server.blocks[NEW] and len(stage.server.told) == 0)

            stage.faults = see
            journey = await stage.arrive()
            await stage.until_state(journey.id, S.DONE)
            assert first == [True]
            await check(stage, far, journey.id)

    play(main())


def test_who_is_there_already_is_not_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            await far.pack()
            stage.contact(NURSE, Subscription.BOTH, Manner.FOLLOWS, of=NEW)
            stage.contact(FRIAR, Subscription.TO, Manner.FOLLOWS, of=NEW)
            journey = await stage.arrive()
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            assert [told.to for told in stage.server.told] == [SHY]

    play(main())


@pytest.mark.parametrize("point", [1, 5, 12, 17, *PLANNED])
def test_killed_at_any_point_of_the_copy(tmp_path: Path, point: int) -> None:
    """From the word to the receipt; among others between the copy's plan and the receipt."""

    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            await far.pack()
            calls = 0

            def die(name: str) -> None:
                nonlocal calls
                calls += name.startswith(("before", "after")) and "store" not in name
                if calls == point:
                    stage._life.end()
                    stage.server.lose()
                    stage._moved_on.set()

            found = await stage.desk.prepare_arrive(NEW, FAR)
            journey = await stage.desk.start(NEW, found.journey.id)
            stage.faults = die
            await stage.until(lambda: stage._life._dead)
            stage.faults = lambda _: None
            before = await stage.stored(journey.id)
            assert before.state is S.PREFLIGHTED
            if point in PLANNED:
                assert await stage.store.belongings.of_journey(journey.id) is not None
            await stage.crash()
            await stage.restart()
            await stage.until_state(journey.id, S.DONE)
            await check(stage, far, journey.id)

    play(main())


@pytest.mark.parametrize("change", ["flipped", "cut"])
def test_a_tampered_parcel_is_refused(tmp_path: Path, change: str) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            chunk = far.chunk(await far.pack())
            text = chunk.text or ""
            chunk.text = flipped(text) if change == "flipped" else text[4:]
            facts = await refused(stage)
            assert facts["lacking"] == "bad"
            assert facts["detail"].startswith("chunk 0: ")
            # It is put right, and the next try does not stumble over what came before.
            chunk.text = text
            assert (await stage.desk.prepare_arrive(NEW, FAR)).ok

    play(main())


def test_tampered_with_after_the_draft(tmp_path: Path) -> None:
    """The move goes on with the contacts that it has; nothing of the parcel is used."""

    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            chunk = far.chunk(await far.pack())
            found = await stage.desk.prepare_arrive(NEW, FAR)
            chunk.text = flipped(chunk.text or "")
            stage.handovers.arrivals._fetches.forget(NEW)
            await moved(stage, found)
            assert sorted(told.to for told in stage.server.told) == [FRIAR, NURSE, SHY]
            assert await things_of(stage.accounts, NEW) == []
            assert await state_of(stage, found.journey.id) is H.REFUSED
            (told,) = stage.messages.of(HandoverTrouble)
            assert told.lasting
            assert await far.giver.tidy(FAR) is None

    play(main())


def test_gone_after_the_draft(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            await far.pack()
            found = await stage.desk.prepare_arrive(NEW, FAR)
            await far.giver.withdraw(FAR)
            await moved(stage, found)
            assert sorted(told.to for told in stage.server.told) == [FRIAR, NURSE, SHY]
            assert await state_of(stage, found.journey.id) is None

    play(main())


def test_why_nothing_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            # Without the statement no list of contacts would help: none is asked for.
            assert await unstated(stage) == ("", "no-statement")
            await far.say()
            assert (await refused(stage))["lacking"] == "packing"
            stage.server.world.down.add("far.example")
            assert await unstated(stage) == ("", "old-server-unreachable")
            stage.server.world.down.clear()
            mallory = f"mallory@{NEW.partition('@')[2]}"
            await far.say(mallory)
            assert (await unstated(stage))[0] in (mallory, "")
            stage.settings.carry = False
            assert (await unstated(stage))[0] in (mallory, "")
            await far.say()
            assert "lacking" not in await refused(stage)

    play(main())


@pytest.mark.parametrize("keeps_blocks", [True, False])
def test_pasted_and_still_furnished(tmp_path: Path, keeps_blocks: bool) -> None:
    """Who had not waited has everything but what had to be pasted; the parcel's blocks count, even
    where the server has no block list."""

    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            await far.say()
            found = await stage.desk.prepare_arrive(NEW, FAR, (Given(NURSE), Given(TYBALT)))
            await far.pack()

            def refuse(name: str) -> None:
                if name == "before set block item" and not keeps_blocks:
                    raise RemoteError("feature-not-implemented")

            stage.faults = refuse
            await moved(stage, found)
            assert [told.to for told in stage.server.told] == [NURSE]
            assert await things_of(stage.accounts, NEW) == list(THINGS)[not keeps_blocks :]

    play(main())


def test_undone(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            stage.people(NURSE, manner=Manner.SILENT, of=FAR)
            await far.pack()
            journey = await stage.arrive()
            await stage.until_state(journey.id, S.SETTLING)
            assert await things_of(stage.accounts, NEW) == list(THINGS)
            await stage.movers.undo(NEW, journey.id)
            await stage.until_state(journey.id, S.UNDONE)
            assert await things_of(stage.accounts, NEW) == []
            assert STRANGER not in stage.server.rosters[NEW]

    play(main())


def test_a_receipt_that_could_not_be_given_is_given_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            people(stage)
            await far.pack()
            copied: list[bool] = []

            def refuse(name: str) -> None:
                if name == "before set pubsub affiliations" and RECEIPT_NODE in (
                    stage.server.things.nodes(NEW)
                ):
                    copied.append(True)
                    raise RemoteError("resource-constraint", "wait")

            stage.faults = refuse
            journey = await stage.arrive()
            await stage.until_state(journey.id, S.DONE)
            assert copied
            assert await state_of(stage, journey.id) is H.COPIED
            stage.faults = lambda _: None
            await look_again(stage)
            await check(stage, far, journey.id)

    play(main())
