"""What other instances did, as this one remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from component.core.limits import Declined, Followed, Policy
from component.core.model import Reason
from component.core.notices import Follow, Settings
from component.core.records import Accepted
from component.engine.clock import SystemClock
from component.engine.memory import Memory
from component.engine.preferences import Preferences
from component.store.shared import Changes
from tests.unit.core.samples import divert

JULIET, OLD, NEW, OTHER = "juliet@here.example", "a@old.example", "b@new.example", "c@x.example"
NOW = datetime.now(UTC)


class Kept:
    """A database with one followed move and one choice."""

    def __init__(self) -> None:
        self.reads = 0

    async def accepted_since(self, since: datetime) -> list[Accepted]:
        self.reads += 1
        assert since < NOW - timedelta(days=29)
        return [Accepted(OLD, NEW, NOW)]

    async def declined(self) -> list[tuple[str, str, str]]:
        return []

    async def all(self) -> Mapping[str, Settings]:
        return {JULIET: Settings(Follow.NEVER, "de")}

    async def put(self, jid: str, settings: Settings) -> None:
        raise AssertionError("nothing is written")


class Remembered:
    """A memory and what it keeps."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.followed, self.declined = Followed(Policy()), Declined()
        self.preferences = Preferences(self.kept)
        self.languages: dict[str, str | None] = {}
        self.run_time: list[Mapping[str, object]] = []
        self.loaded = 0

        async def load_run_time() -> None:
            self.loaded += 1

        self.memory = Memory(
            self.kept,
            self.followed,
            self.declined,
            self.preferences,
            SystemClock(),
            window_days=lambda: 30,
            on_language=self.languages.__setitem__,
            on_run_time=self.run_time.append,
            load_run_time=load_run_time,
        )

    def objection(self, old: str, new: str) -> Reason | None:
        """Whether a move would be followed now."""
        return self.followed.object_to(old, new, NOW.timestamp())


async def test_a_move_that_another_instance_followed_counts_here() -> None:
    r = Remembered()
    await r.memory.take_in(Changes(followed=(Accepted(OLD, NEW, NOW),)))
    assert r.objection(OLD, OTHER) is Reason.ALREADY_MOVED
    await r.memory.take_in(Changes(undone=(Accepted(OLD, NEW, NOW),)))
    assert r.objection(OLD, OTHER) is None


async def test_they_count_in_the_order_in_which_they_happened() -> None:
    """Undone by one contact, and followed by another a moment later: it was followed."""
    r = Remembered()
    later = Accepted(OLD, NEW, NOW + timedelta(seconds=1))
    await r.memory.take_in(Changes(followed=(later,), undone=(Accepted(OLD, NEW, NOW),)))
    assert r.objection(OLD, OTHER) is Reason.ALREADY_MOVED
    r = Remembered()
    await r.memory.take_in(Changes(followed=(Accepted(OLD, NEW, NOW),), undone=(later,)))
    assert r.objection(OLD, OTHER) is None


async def test_choices_and_refusals() -> None:
    r = Remembered()
    request = divert()
    chosen = {JULIET: Settings(Follow.ASK, "fr")}
    run_time = {"paused": True}
    declined = ((request.contact, request.old, request.new),)
    await r.memory.take_in(Changes(declined=declined, settings=chosen, run_time=run_time))
    assert r.preferences.of(JULIET, None).follow is Follow.ASK
    assert r.languages == {JULIET: "fr"}
    assert r.run_time == [run_time]
    assert r.declined.object_to(request) is Reason.NOT_WANTED
    await r.memory.take_in(Changes())
    assert r.run_time == [run_time]
    assert r.kept.reads == r.loaded == 0


async def test_after_a_long_absence_everything_is_read_anew() -> None:
    r = Remembered()
    await r.memory.take_in(Changes(followed=(Accepted(OTHER, NEW, NOW),)))
    await r.memory.take_in(Changes(everything=True))
    assert r.objection(OTHER, OLD) is None, "it was undone while nobody listened"
    assert r.objection(OLD, OTHER) is Reason.ALREADY_MOVED
    assert r.preferences.of(JULIET, None).follow is Follow.NEVER
    assert r.languages == {JULIET: "de"}
    assert r.loaded == 1
