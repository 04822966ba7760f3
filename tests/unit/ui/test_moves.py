"""``moves``, ``show`` and ``db upgrade`` on a real database."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from component.core.model import Divert, Reason, RosterItem, Subscription
from component.core.records import Change, MoveState, NewRecord, Settlement, VerdictRecord
from component.store import Store

from .conftest import Command

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ROMEO = RosterItem(
    "romeo@old.example", Subscription.BOTH, name="Ro\x1b[31mmeo", groups=("Friends",)
)


async def fill(database: Path) -> None:
    async with await Store.open(f"sqlite+aiosqlite:///{database}") as store:
        done = await store.add(
            NewRecord(
                NOON,
                Divert(
                    "r1",
                    "i1",
                    "juliet@capulet.example",
                    "romeo@old.example",
                    "romeo@new.example",
                    ROMEO,
                    None,
                    "<presence/>",
                ),
            )
        )
        await store.verdict(
            done,
            VerdictRecord(NOON + timedelta(seconds=0.5), Reason.VERIFIED, "item current"),
        )
        new = RosterItem("romeo@new.example", Subscription.FROM, True, "Romeo", ("Friends",))
        old = RosterItem("romeo@old.example", Subscription.TO, name="Romeo")
        changes = (Change(new.jid, None, new), Change(old.jid, ROMEO, old))
        await store.settle(
            done,
            Settlement(NOON + timedelta(seconds=1), MoveState.DONE, Reason.VERIFIED, changes),
        )
        released = await store.add(
            NewRecord(
                NOON + timedelta(hours=1),
                Divert(
                    "r2",
                    "i1",
                    "nurse@capulet.example",
                    "tybalt@old.example",
                    "tybalt@new.example",
                    RosterItem("tybalt@old.example", Subscription.FROM),
                    None,
                    "<presence/>",
                ),
            )
        )
        await store.settle(
            released,
            Settlement(NOON + timedelta(hours=1), MoveState.RELEASED, Reason.NO_STATEMENT),
        )


@pytest.fixture
def filled(config_file: Path, database: Path) -> Path:
    asyncio.run(fill(database))
    return config_file


def test_moves_as_a_table(command: Command, filled: Path) -> None:
    result = command("--config", filled, "moves")
    assert (result.code, result.err) == (0, "")
    heading, first, second = result.out.splitlines()
    assert heading.split() == ["ID", "When", "Contact", "Old", "→", "new", "State", "Reason"]
    assert "2026-03-01 13:00:00 UTC" in first
    assert "tybalt@old.example → tybalt@new.example" in first
    assert "let pass" in first
    assert "The old account says nothing of a move." in first
    assert "juliet@capulet.example" in second
    assert "followed" in second
    assert "\x1b" not in result.out


def test_moves_as_json(command: Command, filled: Path) -> None:
    result = command("--config", filled, "moves", "--json")
    assert result.code == 0
    listed = json.loads(result.out)
    assert listed["journeys"] == []
    first, second = listed["followed"]
    assert first["id"] == 2
    assert second == {
        "id": 1,
        "at": "2026-03-01T12:00:00.000Z",
        "contact": "juliet@capulet.example",
        "old": "romeo@old.example",
        "new": "romeo@new.example",
        "state": "done",
        "reason": "verified",
        "reason_text": "The old account itself names the new address.",
        "detail": None,
        "evidence": "item current",
        "decided_at": "2026-03-01T12:00:00.500Z",
        "settled_at": "2026-03-01T12:00:01.000Z",
        "old_item": {
            "jid": "romeo@old.example",
            "subscription": "both",
            "ask": False,
            "name": "Ro\x1b[31mmeo",
            "groups": ["Friends"],
        },
        "new_item": None,
        "noticed_at": None,
        "undone_at": None,
    }


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--limit", "1"], [2]),
        (["--contact", "Juliet@Capulet.example"], [1]),
        (["--old", "tybalt@old.example"], [2]),
        (["--new", "romeo@new.example"], [1]),
        (["--state", "released"], [2]),
        (["--state", "let pass"], [2]),
        (["--state", "handed-back"], []),
    ],
)
def test_moves_can_be_chosen(
    command: Command, filled: Path, options: list[str], ids: list[int]
) -> None:
    result = command("--config", filled, "moves", "--json", *options)
    assert [move["id"] for move in json.loads(result.out)["followed"]] == ids


def test_no_moves(command: Command, filled: Path) -> None:
    result = command("--config", filled, "moves", "--state", "taking")
    assert (result.code, result.out) == (0, "No moves.\n")


@pytest.mark.parametrize(
    "options",
    [["--limit", "0"], ["--contact", "capulet.example"], ["--state", "odd"], ["--nothing"]],
)
def test_usage_mistakes(command: Command, filled: Path, options: list[str]) -> None:
    result = command("--config", filled, "moves", *options)
    assert result.code == 2
    assert "Traceback" not in result.err
    assert options[0] in result.err


def test_show_tells_the_story(command: Command, filled: Path) -> None:
    result = command("--config", filled, "show", "1")
    assert (result.code, result.err) == (0, "")
    cells = [re.split(" {2,}", line.rstrip()) for line in result.out.splitlines()]
    assert cells == [
        ["Move 1: romeo@old.example → romeo@new.example"],
        ["On the roster of", "juliet@capulet.example"],
        ["Request came", "2026-03-01 12:00:00 UTC"],
        ["Decided", "2026-03-01 12:00:00 UTC (0.50 s later)"],
        ["Ended", "2026-03-01 12:00:01 UTC (1.00 s later)"],
        ["State", "followed. The roster was changed."],
        ["Reason", "The old account itself names the new address."],
        ["Evidence", "item current"],
        [""],
        ["Address", "Before", "After"],
        ["romeo@new.example", "not on the roster", 'from (asked), "Romeo", in Friends'],
        ["romeo@old.example", 'both, "Ro\\x1b[31mmeo", in Friends', 'to, "Romeo"'],
    ]


def test_show_of_an_unchanged_roster(command: Command, filled: Path) -> None:
    result = command("--config", filled, "show", "2")
    assert "The roster was not changed by us. When the request came:" in result.out
    assert result.out.rstrip().endswith("tybalt@new.example  not on the roster")


def test_show_as_json(command: Command, filled: Path) -> None:
    result = command("--config", filled, "show", "1", "--json")
    story = json.loads(result.out)
    assert story["stanza"] == "", "a record that is closed needs it no more"
    assert [change["jid"] for change in story["changes"]] == [
        "romeo@new.example",
        "romeo@old.example",
    ]
    assert story["changes"][0]["before"] is None
    assert story["changes"][0]["after"]["ask"] is True


def test_show_of_an_unknown_move(command: Command, filled: Path) -> None:
    result = command("--config", filled, "show", "99")
    assert result.code == 1
    assert result.err == (
        "xmpp-moved: there is no move 99; `xmpp-moved moves` lists those there are\n"
    )


def test_store_errors_are_sentences(command: Command, config_file: Path, database: Path) -> None:
    result = command("--config", config_file, "moves")
    assert result.code == 1
    assert result.err.startswith("xmpp-moved: ")
    assert str(database) in result.err
    assert "Traceback" not in result.err
    database.write_bytes(b"this is no database, and long enough for that to be plain" * 20)
    result = command("--config", config_file, "show", "1")
    assert result.code == 1
    assert "is damaged or no SQLite database" in result.err


def test_db_upgrade(command: Command, config_file: Path) -> None:
    result = command("--config", config_file, "db", "upgrade")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("The database has schema ")
    assert command("--config", config_file, "moves").out == "No moves.\n"
