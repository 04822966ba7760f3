"""What a reload changes, and what it leaves alone: the real parts, wired by App."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from component.app import App
from component.config import Config
from component.core.limits import Buckets, Followed, Gate, Policy
from component.core.model import Divert, Reason, RosterItem, Subscription
from component.core.notices import Follow
from component.engine.movers.orders import RunTime
from component.store import Store
from tests.unit.logging_state import logging_restored
from tests.unit.store.support import record, settlement, url_of, verdict

NOBODY = "nobody@montague.example"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    with logging_restored():
        yield


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(url_of(tmp_path / "m.db")) as opened:
        yield opened


def config(**sections: dict[str, object]) -> Config:
    """A configuration with these options."""
    given: dict[str, dict[str, object]] = {
        "component": {"jid": "moved.montague.example", "secret": "s"},
        "served": {"hosts": ["montague.example"]},
    }
    for name, options in sections.items():
        given[name] = {**given.get(name, {}), **options}
    return Config.model_validate(given)


def divert(new: str = "juliet@new.example") -> Divert:
    """A request."""
    item = RosterItem("juliet@old.example", Subscription.BOTH, False, None, ())
    return Divert("r1", "i1", "romeo@montague.example", item.jid, new, item, None, "<presence/>")


async def test_limits_lists_admins_language_and_what_is_done_for_users(store: Store) -> None:
    app = App(config(), store)
    await app._load()
    assert app._gate.admit(divert(), now=0.0) is None
    assert not app._admin.is_admin("admin@montague.example")
    assert app._languages.words(NOBODY).language == "en"
    await app.reload(
        config(
            served={"admins": ["admin@montague.example"], "language": "de"},
            contacts={
                "deny_domains": ["new.example"],
                "follow": "never",
                "notice": False,
                "undo_days": 7,
            },
            movers={"enabled": False, "per_mover_per_second": 9, "code_minutes": 3},
        )
    )
    assert app._gate.admit(divert(), now=0.0) is Reason.DENIED
    assert app._admin.is_admin("admin@montague.example")
    assert app._languages.words(NOBODY).language == "de"
    assert app._preferences.of(NOBODY, None).follow is Follow.NEVER
    assert app._notices.on is False
    now = datetime.now(UTC)
    assert app._notices.undo_until(now) == now + timedelta(days=7)
    assert app._movers._settings.enabled is False
    assert (
        app._movers.tombstones._settings is app._movers._settings
    )  # one object for the whole side
    await app.reload(config())
    assert app._gate.admit(divert(), now=0.0) is None
    assert app._movers._settings.enabled is True


async def test_what_an_admin_has_set_wins_over_the_file(store: Store) -> None:
    app = App(config(), store)
    await app._load()
    await app._admin.set_run_time(RunTime(True, 5.0, (), ()))
    await app.reload(
        config(movers={"overall_per_second": 50}, contacts={"allow_domains": ["a.example"]})
    )
    assert await app._admin.run_time() == RunTime(True, 5.0, ("a.example",), ())
    assert app._movers.paused
    assert app._desk.drafts.domains.allow == {"a.example"}
    assert app._gate.admit(divert(), now=0.0) is Reason.DENIED


async def test_a_wider_window_looks_further_back(store: Store) -> None:
    app = App(config(contacts={"window_days": 1}), store)
    long_ago = datetime.now(UTC) - timedelta(days=5)
    id_ = await store.add(record(at=long_ago))
    await store.verdict(id_, verdict(at=long_ago))
    await store.settle(id_, settlement(at=long_ago))
    await app._load()
    now = datetime.now(UTC).timestamp()
    elsewhere = ("romeo@old.example", "romeo@elsewhere.example", now)
    assert app._followed.object_to(*elsewhere) is None
    await app.reload(config(contacts={"window_days": 30}))
    assert app._followed.object_to(*elsewhere) is Reason.ALREADY_MOVED


def test_gate_takes_other_limits() -> None:
    gate = Gate(Policy(requests_per_minute=600, deny_domains=frozenset({"bad.example"})))
    gate.set_limits(Policy(requests_per_minute=1, max_open=1))
    assert gate.admit(divert("x@bad.example"), now=0.0) is Reason.DENIED
    assert gate.admit(divert(), now=0.0) is None
    assert gate.admit(divert(), now=0.0) is Reason.OVERLOADED
    gate.ended(divert())
    assert gate.admit(divert(), now=1.0) is Reason.RATE_LIMITED


def test_full_buckets_shrink_with_the_rate() -> None:
    buckets = Buckets(100, 10)
    assert buckets.take("a", 0.0)
    buckets.set_rate(2)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]


def test_followed_takes_other_limits() -> None:
    followed = Followed(Policy(max_old_into_new=5))
    followed.note("a@x", "n@x", 0.0)
    assert followed.object_to("b@x", "n@x", 1.0) is None
    followed.set_limits(Policy(max_old_into_new=1))
    assert followed.object_to("b@x", "n@x", 1.0) is Reason.TOO_MANY_INTO
