"""No notification without a statement that can be read; what is done when it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from component.core.journey.model import Access, ContactState, JourneyState
from component.core.journey.pace import Rates
from component.core.model import PresenceKind, Subscription
from component.core.notices import AllFollowed, ProgressMade, Published, Stopped
from component.engine.movers.accounts import Accounts
from component.engine.movers.orders import Given
from component.xmpp.errors import RemoteError
from sim.fast_loop import play
from sim.model_server import Node
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import FAR, HOST, NEW, OLD, opened

S = JourneyState
PEOPLE = ("a@d1.example", "b@d2.example")


def test_published_then_read_back_then_notified(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            names: list[str] = []
            journey = await stage.begin()
            stage.faults = names.append
            await stage.until(lambda: len(stage.server.told) == 2)
            first = stage.server.log.index(f"{OLD} publishes {NEW}")
            told = next(n for n, line in enumerate(stage.server.log) if "moved from" in line)
            assert first < told
            assert names.index("after send") > names.index("after get pubsub items")
            assert all(told.readable for told in stage.server.told)
            assert all(OLD in told.status and NEW in told.status for told in stage.server.told)
            assert (await stage.ended(journey.id)).state is S.DONE

    play(main())


@pytest.mark.parametrize("condition", ["forbidden", "item-not-found", "remote-server-timeout"])
def test_nothing_is_sent_where_it_cannot_be_read(tmp_path: Path, condition: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            stage.server.statement_errors[OLD] = condition
            journey = await stage.begin()
            ended = await stage.ended(journey.id)
            assert ended.state is S.CANCELLED
            assert not stage.server.told
            assert OLD not in stage.server.nodes
            assert len(stage.messages.of(Stopped)) == 1

    play(main())


NEIGHBOURS = tuple(f"{name}@{HOST}" for name in ("abram", "balthasar", "sampson"))


@pytest.mark.parametrize("trouble", ["deleted", "service-unavailable", "not-acceptable", "removed"])
def test_a_neighbour_with_a_trouble_of_its_own_stops_nothing(tmp_path: Path, trouble: str) -> None:
    """Deleted, with a broken account, with the old address blocked, or off the roster."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*NEIGHBOURS, *PEOPLE)
            if trouble == "deleted":
                del stage.server.rosters[NEIGHBOURS[0]]
            elif trouble == "removed":
                stage.server.rosters[NEIGHBOURS[0]].clear()
                entry = stage.server.rosters[OLD][NEIGHBOURS[0]]
                stage.server.rosters[OLD][entry.jid] = replace(
                    entry, subscription=Subscription.NONE
                )
            else:
                stage.server.reader_errors[NEIGHBOURS[0]] = trouble
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            told = {told.to for told in stage.server.told}
            assert told >= {*NEIGHBOURS[1:], *PEOPLE}
            assert not stage.messages.of(Stopped)

    play(main())


def test_a_neighbour_who_goes_while_it_is_under_way_stops_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        many = [f"n{number}@{HOST}" for number in range(60)]
        async with opened(tmp_path) as stage:
            stage.people(*many)
            journey = await stage.begin()
            await stage.until(lambda: len(stage.server.told) >= 10)
            for jid in many:
                if jid not in {told.to for told in stage.server.told}:
                    entry = stage.server.rosters[OLD][jid]
                    stage.server.rosters[OLD][jid] = replace(entry, subscription=Subscription.NONE)
            await stage.until(lambda: len(stage.server.told) == len(many))
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            assert not stage.messages.of(Stopped)

    play(main())


def test_a_model_that_lets_nobody_in_stops_it_with_a_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*NEIGHBOURS)
            stage.server.reader_errors |= dict.fromkeys(NEIGHBOURS, "forbidden")
            journey = await stage.begin()
            ended = await stage.ended(journey.id)
            assert ended.state is S.CANCELLED
            assert ended.detail == f"statement-access-refused {NEIGHBOURS[0]}"
            assert not stage.server.told

    play(main())


def test_a_pause_names_the_reader_and_a_resume_looks_anew(tmp_path: Path) -> None:
    """The message of progress says that it is paused, then that it goes on."""

    async def main() -> None:
        async with opened(tmp_path, rates=Rates(1.0, 1.0, 60.0, 60.0)) as stage:
            stage.people(*NEIGHBOURS)
            journey = await stage.begin()
            await stage.until(lambda: len(stage.server.told) == 1)
            stage.server.reader_errors |= dict.fromkeys(NEIGHBOURS, "forbidden")
            for times in (1, 2):
                await stage.until_state(journey.id, S.PAUSED)
                paused = await stage.ended(journey.id)
                assert (paused.detail or "").startswith("statement-access-refused ")
                await stage.until(lambda n=times: len(stage.messages.of(Stopped)) == n)  # type: ignore[misc]
                last = stage.messages.of(ProgressMade)[-1]
                assert last.progress.journey.state is S.PAUSED
                if times == 2:
                    stage.server.reader_errors.clear()
                await stage.movers.resume(OLD, journey.id)
            await stage.until_state(journey.id, S.DONE)

    play(main())


def test_a_server_of_ours_that_fails_for_long_is_no_secret(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, rates=Rates(1.0, 1.0, 60.0, 60.0)) as stage:
            stage.people(*NEIGHBOURS)
            journey = await stage.begin()
            await stage.until(lambda: len(stage.server.told) == 1)
            stage.server.reader_errors[OLD] = "service-unavailable"
            await stage.until_state(journey.id, S.PAUSED)
            await stage.until(lambda: len(stage.messages.of(Stopped)) == 1)

    play(main())


def test_one_that_cannot_be_published_again_pauses_the_move(tmp_path: Path) -> None:
    """The server lost it while contacts were told, and takes no new one."""

    async def main() -> None:
        async with opened(tmp_path, rates=Rates(1.0, 1.0, 60.0, 60.0)) as stage:
            stage.people(*NEIGHBOURS)
            journey = await stage.begin()
            await stage.until(lambda: len(stage.server.told) == 1)
            del stage.server.nodes[OLD]
            stage.server.pep = False
            await stage.until_state(journey.id, S.PAUSED)
            paused = await stage.ended(journey.id)
            assert paused.detail == "feature-not-implemented"
            await stage.until(lambda: len(stage.messages.of(Stopped)) == 1)

    play(main())


def test_one_that_vanishes_is_published_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            del stage.server.nodes[OLD]
            await stage.until(lambda: OLD in stage.server.nodes)
            assert (await stage.stored(journey.id)).state is S.SETTLING

    play(main())


def test_one_that_names_another_pauses_each_time_with_a_word(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            for times in (1, 2):
                stage.server.nodes[OLD].names = "thief@evil.example"
                await stage.until_state(journey.id, S.PAUSED)
                await stage.ended(journey.id)
                await stage.until(lambda n=times: len(stage.messages.of(Stopped)) == n)  # type: ignore[misc]
                stage.server.nodes[OLD].names = NEW
                await stage.movers.resume(OLD, journey.id)
            assert len(stage.server.told) == 2

    play(main())


def test_a_server_without_whitelists_where_somebody_is_left_out(tmp_path: Path) -> None:
    """They see the old account's presence, and so would read where it went: nothing is said."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            stage.server.whitelists = False
            journey = await stage.begin(choose=[PEOPLE[0]])
            ended = await stage.ended(journey.id)
            assert (ended.state, ended.detail) == (S.CANCELLED, "no-whitelist")
            assert OLD not in stage.server.nodes
            assert f"{OLD} publishes {NEW}" not in stage.server.log
            assert not stage.server.told
            (stopped,) = stage.messages.of(Stopped)
            assert stopped.progress.journey.detail == "no-whitelist"

    play(main())


def test_a_server_without_whitelists_where_everybody_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            stage.contact("one@way.example", Subscription.TO, Manner.FOLLOWS)
            stage.server.whitelists = False
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            assert stage.server.nodes[OLD].access is Access.PRESENCE
            assert {told.to for told in stage.server.told} == {*PEOPLE, "one@way.example"}

    play(main())


def test_a_server_that_takes_nobody_on_a_whitelist_has_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            stage.server.odd = {NEW, *PEOPLE}
            journey = await stage.begin(choose=[PEOPLE[0]])
            ended = await stage.ended(journey.id)
            assert (ended.state, ended.detail) == (S.CANCELLED, "no-whitelist")
            assert OLD not in stage.server.nodes

    play(main())


def test_an_address_that_a_whitelist_cannot_take_opens_it_to_nobody_else(tmp_path: Path) -> None:
    """It is named to the mover; everybody else who was chosen is told, and nobody else can read."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            many = tuple(f"p{n}@d{n % 7}.example" for n in range(150))
            stage.people(*many)
            odd, left_out = {many[3], many[77], many[149]}, many[-5]
            stage.server.odd = set(odd)
            journey = await stage.begin(choose=[jid for jid in many if jid != left_out])
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            node = stage.server.nodes[OLD]
            assert node.access is Access.WHITELIST
            told = {*many} - odd - {left_out}
            assert node.members == {NEW, *told}
            assert {one.to for one in stage.server.told} == told
            progress = await stage.movers.progress(OLD, journey.id)
            assert set(progress.by_hand) == odd
            contacts = await stage.contacts(journey.id)
            assert {contacts[jid].error for jid in odd} == {"not-on-the-whitelist"}

    play(main())


def test_a_whitelist_holds_exactly_those_who_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            stage.contact("one@way.example", Subscription.TO, Manner.FOLLOWS)
            journey = await stage.begin(choose=[PEOPLE[0], "one@way.example"])
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            node = stage.server.nodes[OLD]
            assert node.access is Access.WHITELIST
            assert node.members == {NEW, PEOPLE[0], "one@way.example"}

    play(main())


def test_moving_away_ends_when_all_that_can_be_seen_have_followed(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            stage.contact("one@way.example", Subscription.FROM, Manner.FOLLOWS)
            journey = await stage.begin(new=FAR)
            await stage.until_state(journey.id, S.SETTLING)
            assert len(stage.messages.of(Published)) == 1
            for person in PEOPLE:
                stage.server.speak(person, _revoke(), OLD)
            await stage.until_state(journey.id, S.DONE)
            await stage.ended(journey.id)
            assert len(stage.messages.of(AllFollowed)) == 1
            assert not stage.server.told

    play(main())


def test_arriving_from_an_account_elsewhere(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, of=FAR)
            stage.server.nodes[FAR] = Node(Access.OPEN, NEW)
            journey = await stage.arrive(*(Given(p, "Name", ("Group",)) for p in PEOPLE))
            await stage.until_state(journey.id, S.DONE)
            for person in PEOPLE:
                item = stage.server.entry(NEW, person)
                assert item is not None
                assert item.subscription is Subscription.BOTH
                assert (item.name, item.groups) == ("Name", ("Group",))

    play(main())


def test_what_the_old_account_hears_says_nothing_of_the_new_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            stage.server.speak(PEOPLE[0], _revoke(), OLD)
            stage.server.world.post(PEOPLE[1], "remote-server-not-found", OLD)
            await stage.server.world.idle()
            states = {c.state for c in (await stage.contacts(journey.id)).values()}
            assert states == {ContactState.SENT}

    play(main())


@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_was_down_and_is_back(tmp_path: Path, answers: bool) -> None:
    """Withdrawn and asked again; ejabberd's answer to the withdrawal is no refusal."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.ACCEPTS)
            stage.server.world.answers_withdrawals = answers
            stage.server.world.down.add("d1.example")
            journey = await stage.begin()
            book = stage.run(journey.id).book
            await stage.until(lambda: book.counts[ContactState.UNREACHABLE] == 1)
            stage.server.world.down.clear()
            stage.later(minutes=61)
            await stage.until_state(journey.id, S.DONE)
            states = {c.state for c in (await stage.contacts(journey.id)).values()}
            assert states == {ContactState.MUTUAL}
            assert not stage.server.world.dropped

    play(main())


def _revoke() -> PresenceKind:
    return PresenceKind.UNSUBSCRIBED


def test_readers_are_let_in_in_small_parts(tmp_path: Path) -> None:
    """Prosody saves the node for each reader, and answers nobody before it has done a request."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            readers = [f"c{number}@d{number % 7}.example" for number in range(250)]
            parts: list[int] = []
            seen: set[str] = set()

            def count(name: str) -> None:
                nonlocal seen
                if name == "after set pubsub affiliations":
                    now = set(stage.server.nodes[OLD].members)
                    parts.append(len(now - seen))
                    seen = now

            stage.faults = count
            await stage.accounts.publish(OLD, NEW, Access.WHITELIST, readers)
            assert seen == set(readers)
            assert max(parts) <= 100

    play(main())


@pytest.mark.parametrize("there", [True, False], ids=["the account is there", "it is gone"])
def test_a_refusal_to_publish_that_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """ejabberd refuses one of two who publish at one moment, and takes it a moment later."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            publish, tries = Accounts.publish, 0

            async def refuses_once(*given: Any, **more: Any) -> tuple[str, ...]:
                nonlocal tries
                tries += 1
                if tries == 1:
                    if not there:
                        stage.server.remove(OLD)
                    raise RemoteError("item-not-found")
                return await publish(*given, **more)

            monkeypatch.setattr(Accounts, "publish", refuses_once)
            journey = await stage.begin()
            ended = await stage.ended(journey.id)
            assert ended.state is (S.DONE if there else S.CANCELLED)

    play(main())
