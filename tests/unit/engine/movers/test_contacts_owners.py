"""A contact is an account, too: what the next owner of a contact's name gets of a move."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock, patch

import pytest

from component.core.conditions import Condition
from component.core.journey.model import Access, ContactState, JourneyState
from component.core.model import NOBODYS, PresenceKind, Subscription
from component.core.notices import ProgressMade
from component.engine.movers.accounts import Accounts
from component.xmpp.errors import RemoteError
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import BOTH, HOST, NEW, OLD, Stage, opened
from tests.unit.engine.movers.test_inbound import tombstone, wrote
from tests.unit.engine.movers.test_others import verified
from tests.unit.engine.movers.test_owners import next_owner

S = JourneyState
ROMEO = f"mercutio@{HOST}"
THERE = f"benvolio@{HOST}"
NURSE = "nurse@capulet.example"
"""Keeps a move from its end."""
HEARD = pytest.mark.parametrize("heard", [True, False])


async def taken(stage: Stage, name: str, heard: bool) -> None:
    """Somebody else has the name; the hook has told of the deletion, or has not."""
    token = next_owner(stage, name)
    if heard:
        await stage.movers.deleted(name, token)


async def asks(stage: Stage, name: str) -> Subscription | None:
    """Whoever has a name asks the new account; what that one's roster grants then."""
    stage.server.speak(name, PresenceKind.SUBSCRIBE, NEW)
    await stage.server.world.idle()
    item = stage.server.entry(NEW, name)
    return None if item is None else item.subscription


@HEARD
def test_who_has_followed_and_is_gone_is_approved_no_more(tmp_path: Path, heard: bool) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO, manner=Manner.FOLLOWS)
            stage.people(NURSE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.server.world.idle()
            assert stage.server.rosters[NEW][ROMEO].subscription is BOTH
            await taken(stage, ROMEO, heard)
            for kind in (PresenceKind.UNSUBSCRIBE, PresenceKind.UNSUBSCRIBED):
                stage.server.received(NEW, kind, ROMEO)
            assert await asks(stage, ROMEO) is Subscription.NONE
            assert (await stage.contacts(journey.id))[ROMEO].account == NOBODYS or not heard

    play(main())


@HEARD
@pytest.mark.parametrize("restart", [True, False])
def test_who_is_gone_before_they_are_told_is_not(
    tmp_path: Path, heard: bool, restart: bool
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO, NURSE, manner=Manner.SILENT)
            stage.movers.paused = True
            journey = await stage.begin()
            await stage.until_state(journey.id, S.NOTIFYING)
            await taken(stage, ROMEO, heard)
            if restart:
                await stage.crash()
                await stage.restart()
            stage.movers.paused = False
            stage.movers.wake_all()
            await stage.until_state(journey.id, S.SETTLING)
            assert [told.to for told in stage.server.told] == [NURSE]
            found = (await stage.contacts(journey.id))[ROMEO]
            assert (found.state, found.error) == (ContactState.GIVEN_UP, Condition.GONE)
            assert ROMEO not in stage.run(journey.id).progress().by_hand, "it is another's name"
            assert await asks(stage, ROMEO) is None

    play(main())


def test_a_contact_here_who_is_still_there_is_told_and_approved(tmp_path: Path) -> None:
    """Also after a restart, and one whose name nobody had when the move began is not."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            nobody = f"nobody@{HOST}"
            stage.people(ROMEO, manner=Manner.ACCEPTS)
            stage.people(nobody, NURSE, manner=Manner.SILENT)
            stage.server.remove(nobody)
            stage.movers.paused = True
            journey = await stage.begin()
            await stage.until_state(journey.id, S.NOTIFYING)
            stage.server.add(nobody)
            await stage.crash()
            await stage.restart()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.server.world.idle()
            assert stage.server.rosters[NEW][ROMEO].subscription is BOTH
            assert nobody not in {told.to for told in stage.server.told}
            assert await asks(stage, nobody) is None

    play(main())


@HEARD
def test_neither_tombstone_nor_answer_nor_statement_is_for_the_next_owner(
    tmp_path: Path, heard: bool
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO, NURSE)
            stage.contact(f"left.out@{HOST}", BOTH, Manner.SILENT)  # so it is a whitelist
            journey = await stage.begin(choose=[ROMEO, NURSE])
            await stage.ended(journey.id)
            assert (await stage.stored(journey.id)).access is Access.WHITELIST
            assert ROMEO in stage.server.nodes[OLD].members
            assert await tombstone(stage, ROMEO) == f"xmpp:{NEW}"
            await taken(stage, ROMEO, heard)
            if heard:
                await stage.until(lambda: ROMEO not in stage.server.nodes[OLD].members)
            assert await tombstone(stage, ROMEO) is None
            assert await wrote(stage, ROMEO) is None
            assert await tombstone(stage, NURSE) == f"xmpp:{NEW}"
            assert NURSE in stage.server.nodes[OLD].members

    play(main())


def test_what_was_asked_while_nobody_watched_is_the_movers_to_answer(tmp_path: Path) -> None:
    """The server lists who waits: a request of the next owner of a contact's name among them."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO, THERE, manner=Manner.GRANTS)
            stage.people(NURSE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.server.world.idle()
            next_owner(stage, ROMEO)
            watch = AsyncMock(return_value=(ROMEO, THERE))
            with patch.object(stage.accounts, "watch", watch):
                await stage.movers.watches.renew(NEW)
            granted = {jid: item.subscription for jid, item in stage.server.rosters[NEW].items()}
            assert (granted[ROMEO], granted[THERE]) == (Subscription.TO, BOTH)

    play(main())


def test_a_name_is_let_out_when_the_stream_is_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO)
            stage.contact(f"left.out@{HOST}", BOTH, Manner.SILENT)
            journey = await stage.begin(choose=[ROMEO])
            await stage.ended(journey.id)
            token = next_owner(stage, ROMEO)
            stage.disconnect()
            await stage.movers.deleted(ROMEO, token)
            assert ROMEO in stage.server.nodes[OLD].members
            await stage.connect()
            await stage.until(lambda: ROMEO not in stage.server.nodes[OLD].members)

    play(main())


@pytest.mark.parametrize("how", ["tombstone", "message"])
def test_nobody_is_led_to_the_next_owner_of_the_new_name(tmp_path: Path, how: str) -> None:
    """At once, not when housekeeping looks."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE)
            journey = await stage.begin()
            await stage.ended(journey.id)
            assert await tombstone(stage, NURSE) == f"xmpp:{NEW}"
            next_owner(stage, NEW)
            answer = tombstone(stage, NURSE) if how == "tombstone" else wrote(stage, NURSE)
            assert await answer is None

    play(main())


def test_progress_is_not_the_next_owners(tmp_path: Path) -> None:
    """A deletion that nobody has told of: whoever has the name is not told who has answered."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE, "tybalt@capulet.example", manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await asyncio.sleep(400)  # of the fast loop: the looks are far between by now
            assert stage.messages.of(ProgressMade)
            before = len(stage.messages.told)
            next_owner(stage, OLD)
            stage.server.world.answer(NURSE, Manner.ACCEPTS)
            await stage.until_state(journey.id, S.CANCELLED)
            await stage.ended(journey.id)
            assert {to for to, *_ in stage.messages.told[before:]} <= {NEW}

    play(main())


def test_an_undo_asks_no_other_to_come_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO, NURSE)
            journey = await stage.begin()
            await stage.ended(journey.id)
            await taken(stage, ROMEO, False)
            for kind in (PresenceKind.UNSUBSCRIBE, PresenceKind.UNSUBSCRIBED):
                for user in (OLD, NEW):
                    stage.server.received(user, kind, ROMEO)
            before = len(stage.server.told)
            await stage.movers.undo(OLD, journey.id)
            await stage.ended(journey.id)
            assert {told.to for told in stage.server.told[before:]} == {NURSE}
            assert (await stage.contacts(journey.id))[ROMEO].state is ContactState.GIVEN_UP

    play(main())


async def silent_next_owner(stage: Stage, name: str) -> None:
    """Somebody else has the name unheard; what stands on the movers' rosters stands still."""
    stood = {mine: stage.server.entry(mine, name) for mine in (OLD, NEW)}
    next_owner(stage, name)
    for mine, item in stood.items():
        if item is not None:
            stage.server.rosters[mine][name] = item


def test_who_has_the_name_after_the_end_of_a_move(tmp_path: Path) -> None:
    """The move is done, and the contact side looks after late ones."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO, manner=Manner.GRANTS)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            stage.later(days=400)
            await stage.ended(journey.id)
            await verified(stage)
            await silent_next_owner(stage, ROMEO)
            await stage.crash()
            await stage.restart()
            await stage.movers.watches.renew_all()
            assert await asks(stage, ROMEO) is Subscription.TO

    play(main())


def test_a_contact_without_a_token_goes_with_its_account(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO)
            journey = await stage.begin()
            await stage.ended(journey.id)
            known = (await stage.contacts(journey.id))[ROMEO]
            await stage.store.journeys.save(contacts=[replace(known, account=None)], id=journey.id)
            await stage.movers.deleted(ROMEO, next_owner(stage, ROMEO))
            assert (await stage.contacts(journey.id))[ROMEO].account == NOBODYS

    play(main())


def test_one_who_cannot_be_asked_for_keeps_nobody_else(tmp_path: Path) -> None:
    """They are tried again as one whose server is away, and given up in the end."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ROMEO, THERE)
            asked = Accounts.account_now

            async def fails(accounts: Accounts, user: str) -> str | None:
                if user == ROMEO and stage.server.entry(NEW, THERE) is not None:
                    raise RemoteError("internal-server-error", "cancel")
                return await asked(accounts, user)

            with patch.object(Accounts, "account_now", fails):
                journey = await stage.begin()
                while (await stage.stored(journey.id)).state is not S.DONE:
                    stage.later(days=4)
                    await asyncio.sleep(60)
            states = {jid: c.state for jid, c in (await stage.contacts(journey.id)).items()}
            assert states[THERE] is ContactState.MUTUAL
            assert states[ROMEO] is ContactState.GIVEN_UP

    play(main())
