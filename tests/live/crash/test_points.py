"""Every commit and every effect is a point where the component may die, and each has been taken."""

from __future__ import annotations

import ast
import inspect
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import get_args
from zlib import crc32

import pytest

import component.store
from component.core.notices import Notice
from component.xmpp import codecs, mover_codecs
from tests.live.crash.campaign import (
    Book,
    Figures,
    Reached,
    Trial,
    attempt,
    campaign,
    lacking,
    points_of,
    survey,
    trials,
)
from tests.live.crash.points import Target
from tests.live.crash.theatre import Theatre
from tests.live.servers.differences import KINDS, Kind

TIMES = int(os.environ.get("XMPP_MOVED_TIMES", "20"))
SEED = int(os.environ.get("XMPP_MOVED_SEED", "1"))
SHARES = 4
"""Parts of the campaign that run side by side, each with servers of its own."""
SIX = (
    Trial("Move", (Target("after commit request"), Target("before answer take"))),
    Trial(
        "Journey",
        (
            Target("before commit journey published"),
            Target("before ask send notification"),
            Target("after ask send notification"),
            Target("after commit journey settling"),
        ),
    ),
)
"""What every run takes: around a request's and a move's commits and effects."""

COMMITS: Mapping[str, Sequence[str]] = {
    "Store.add": ["request"],
    "Store.add_decided": ["request"],
    "Store.verdict": ["request taking"],
    "Store.settle": ["request done", "request released", "request handed-back"],
    "Store.undone": ["request undone"],
    "Store.prune": ["requests removed"],
    "Store.ping": ["pulse"],
    "Journeys.create": ["journey created"],
    "Journeys.save": [
        *("contacts", "journey preflighted", "journey published", "journey notifying"),
        *("journey settling", "journey done", "journey paused", "journey cancelled"),
        *("journey undoing", "journey undone"),
    ],
    "Journeys.replace_contacts": ["contacts"],
    "Journeys.drop_drafts": ["journeys removed"],
    "Journeys.may_answer": ["answered"],
    "Journeys.prune": ["journeys removed", "answers removed"],
    "Belongings.create": ["copies"],
    "Belongings.save": ["copies"],
    "Belongings.add": ["copy_things"],
    "Belongings.drop": ["copies"],
    "Belongings.mark": ["copy_things"],
    "Belongings.prune": ["copies"],
    "Handovers.put": [
        *("handover offering", "handover offered", "handover cancelled"),
        *("handover fetched", "handover copied", "handover acknowledged"),
    ],
    "UserSettings.put": ["settings"],
    "UserSettings.put_run_time": ["run-time settings"],
}
"""What each method that writes commits."""

EFFECTS: Mapping[str, Sequence[str]] = {
    "write_send": ["ask send plan", "ask send withdrawal"],
    "write_take": ["answer take"],
    "write_release": ["answer release"],
    "write_hand_back": ["ask hand back"],
    "write_query": ["ask query get roster"],
    "write_entries": ["ask entries"],
    "entries_request": ["ask entries"],
    "write_hello": ["ask hello"],
    "write_account": ["ask account"],
    "write_keep": ["ask keep"],
    "statement_request": ["ask query get statement items"],
    "roster_request": ["ask query get roster"],
    "roster_remove": ["ask query set roster remove"],
    "write_watch": ["ask watch"],
    "write_tombstones": ["ask tombstones"],
    "write_answer": ["answer answer"],
    "write_gone": ["answer tombstone"],
    "write_notify": ["ask send notification"],
    "blocklist_request": ["ask query get blocklist"],
    "nick_request": ["ask query get nick items"],
    "vcard_request": ["ask query get vcard"],
    "publish_request": ["ask query set statement publish"],
    "configure_request": ["ask query set statement configure"],
    "configuration_request": ["ask query get statement configure"],
    "affiliations_request": ["ask query set statement affiliations"],
    "delete_request": ["ask query set statement delete"],
    "disco_request": ["ask query get disco"],
}
"""What each function that makes a stanza's content is for."""

ELSEWHERE = {
    "Leases._transact": "only where several instances share a PostgreSQL database",
    "Journeys.disown": "only where an account is deleted; marks that may be made twice "
    "(tests/unit/engine/movers/test_owners.py)",
    "Store.explain": "a line of the audit after an approval (tests/unit/engine/movers)",
}
"""Writes that no play makes, and why."""

UNREACHED = {
    "HandoverTrouble": "where a server refuses, or a parcel is bad (tests/unit/engine/handover)",
    "roster_set": "only where a server has lost names and groups (tests/unit/engine)",
}
"""Without a point here, and why."""


def writing_methods() -> set[str]:
    """Methods of the store that have the journal, or the writer itself, write."""
    found = set()
    for path in Path(component.store.__file__).parent.glob("*.py"):
        for parent in ast.walk(ast.parse(path.read_text())):
            if isinstance(parent, ast.ClassDef):
                for method in parent.body:
                    if isinstance(method, ast.AsyncFunctionDef) and _writes(method):
                        found.add(f"{parent.name}.{method.name}")
    return found


def _writes(method: ast.AsyncFunctionDef) -> bool:
    names = {node.attr for node in ast.walk(method) if isinstance(node, ast.Attribute)}
    return "writing" in names and bool(names & {"submit", "run", "transact"})


def stanza_makers(*modules: ModuleType) -> set[str]:
    """Functions that make what leaves in a stanza."""
    return {
        name
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and (name.startswith(("write_", "roster_")) or name.endswith("_request"))
        and name != "roster_entries"
    }


def test_every_commit_and_effect_of_the_code_has_a_point() -> None:
    assert writing_methods() == COMMITS.keys() | (ELSEWHERE.keys() & writing_methods())
    assert stanza_makers(codecs, mover_codecs) == EFFECTS.keys() | ({"roster_set"} & set(UNREACHED))


def test_a_campaign_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    reached = {"Move": ["before a", "after a", "before a"], "Asking": ["before a", "after b"]}
    book = Book(tmp_path / "book.jsonl", "prosody-0.12")
    assert not book.deaths()
    book.add("Move", ["before a", "after a"])
    book.add("Asking", ["before a"])
    Book(tmp_path / "book.jsonl", "ejabberd-24.12").add("Move", ["after a"])
    book.fail(Trial("Move", ()), "TimeoutError: no answer")
    assert book.deaths() == {"before a": 2, "after a": 1}
    assert book.failed == 1
    planned = trials(reached, 3, SEED, taken=book.deaths())
    died = Counter(target.point for trial in planned for target in trial.targets)
    assert died == {"before a": 1, "after a": 2, "after b": 3}


def missing(reached: Reached) -> list[str]:
    """Points that the code has and no scene comes by."""
    wanted = {f"commit {name}" for names in COMMITS.values() for name in names}
    wanted |= {name for names in EFFECTS.values() for name in names}
    wanted |= {
        f"notice {notice.__name__}"
        for notice in get_args(Notice)
        if notice.__name__ not in UNREACHED
    }
    wanted |= {"reply", "answer command"}
    points = set(points_of(reached))
    return [
        point
        for name in sorted(wanted)
        for point in (f"before {name}", f"after {name}")
        if point not in points
    ]


@pytest.mark.parametrize("kind", [KINDS["prosody-0.12"]], indirect=True, ids=["prosody-0.12"])
async def test_scenes_come_by_every_point(kind: Kind, tmp_path: Path) -> None:
    """Whoever adds a commit or an effect adds a scene that reaches it."""
    async with Theatre(kind, tmp_path).running() as theatre:
        assert not missing(await survey(theatre))


async def test_six_points(kind: Kind, tmp_path: Path) -> None:
    """Each death is followed by a start, and the story goes on as people would go on."""
    figures = Figures()
    async with Theatre(kind, tmp_path).running() as theatre:
        for trial in SIX:
            await attempt(theatre, trial, figures)
    assert not figures.failed, "\n".join(figures.failed)
    assert figures.taken == Counter(target.point for trial in SIX for target in trial.targets)


@pytest.mark.full
@pytest.mark.parametrize(
    "share",
    [
        pytest.param(number, marks=pytest.mark.xdist_group(f"points {number}"))
        for number in range(SHARES)
    ],
)
async def test_whoever_dies_at_any_point_loses_nothing(
    kind: Kind, share: int, tmp_path: Path
) -> None:
    """Every point of a share, many times."""

    def ours(point: str) -> bool:
        return crc32(point.encode()) % SHARES == share

    def plan(reached: Reached) -> Sequence[Trial]:
        assert not (unreached := missing(reached)), unreached
        return trials(reached, TIMES, SEED, wanted=ours)

    def more(reached: Reached, taken: Counter[str]) -> Sequence[Trial]:
        return lacking(reached, taken, TIMES, ours)

    reached, figures = await campaign(kind.name, tmp_path, plan=plan, more=more, say=print)
    points = list(filter(ours, points_of(reached)))
    print(f"\n{kind.name}, {len(points)} points: {figures}")
    assert not figures.failed, "\n".join(figures.failed)
    assert not (scarce := {p: n for p in points if (n := figures.taken[p]) < TIMES}), scarce
