"""``moves`` and ``show`` of users' own moves, on a real database."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from component.core.journey.model import ContactState, JourneyState
from component.core.model import Divert
from component.core.records import NewRecord
from component.store import Store
from component.ui.show_journeys import ALL_PAUSED
from tests.unit.ops.fake_orders import CONTACTS, NOON, followed, journey

from .conftest import Command


async def fill(database: Path) -> None:
    async with await Store.open(f"sqlite+aiosqlite:///{database}") as store:
        first = await store.journeys.create(journey(), CONTACTS)
        assert first.id == 1
        done = replace(
            journey(state=JourneyState.DONE),
            old="tybalt@old.example",
            new="romeo@old.example",
            owner="tybalt@old.example",
            created_at=NOON + timedelta(hours=1),
            started_at=None,
            ended_at=NOON + timedelta(hours=2),
            detail="a\x1bb",
            access=None,
        )
        await store.journeys.create(done, ())
        await store.journeys.create(replace(journey(state=JourneyState.DRAFT), owner="x@y.z"), ())


async def follow_one(database: Path) -> None:
    m = followed()
    async with await Store.open(f"sqlite+aiosqlite:///{database}") as store:
        await store.add(
            NewRecord(
                m.at,
                Divert(
                    m.request_id, m.instance, m.contact, m.old, m.new, m.old_item, None, m.stanza
                ),
            )
        )


@pytest.fixture
def filled(config_file: Path, database: Path) -> Path:
    asyncio.run(fill(database))
    return config_file


def test_users_moves_stand_above_followed_contacts(
    command: Command, filled: Path, database: Path
) -> None:
    alone = command("--config", filled, "moves")
    assert (alone.code, alone.err) == (0, "")
    title, heading, second, first = alone.out.splitlines()
    assert title == "Users of this server who move"
    assert heading.split() == ["ID", "When", "Old", "→", "new", "State", "Contacts"]
    assert re.split(" {2,}", first.rstrip()) == [
        "m1",
        "2026-03-01 12:00:00 UTC",
        "romeo@old.example → romeo@new.example",
        "notifying",
        "1 waiting, 1 mutual",
    ]
    assert second.startswith("m2")
    asyncio.run(follow_one(database))
    both = command("--config", filled, "moves").out.splitlines()
    assert both[:4] == [title, heading, second, first]
    assert both[4:6] == ["", "Contacts who moved"]
    assert both[6].split()[:3] == ["ID", "When", "Contact"]
    assert both[7].split()[0] == "1"


def test_a_pause_of_all_stands_above(command: Command, filled: Path, database: Path) -> None:
    async def pause(paused: bool) -> None:
        async with await Store.open(f"sqlite+aiosqlite:///{database}") as store:
            await store.user_settings.put_run_time({"paused": paused})

    asyncio.run(pause(True))
    lines = command("--config", filled, "moves").out.splitlines()
    assert lines[:2] == [ALL_PAUSED, "Users of this server who move"]
    assert json.loads(command("--config", filled, "moves", "--json").out)["paused"] is True
    asyncio.run(pause(False))
    assert ALL_PAUSED not in command("--config", filled, "moves").out


def test_as_json(command: Command, filled: Path, database: Path) -> None:
    asyncio.run(follow_one(database))
    listed = json.loads(command("--config", filled, "moves", "--json").out)
    assert [move["id"] for move in listed["followed"]] == [1]
    assert [move["id"] for move in listed["journeys"]] == ["m2", "m1"]
    assert listed["journeys"][1] == {
        "id": "m1",
        "kind": "both",
        "old": "romeo@old.example",
        "new": "romeo@new.example",
        "owner": "romeo@old.example",
        "state": "notifying",
        "access": "presence",
        "created_at": "2026-03-01T12:00:00.000Z",
        "started_at": "2026-03-01T12:00:00.000Z",
        "ended_at": None,
        "resume_to": None,
        "detail": None,
        "counts": {"queued": 1, "mutual": 1},
        "total": 2,
    }


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--limit", "1"], ["m2"]),
        (["--old", "Romeo@Old.example"], ["m1"]),
        (["--new", "romeo@old.example"], ["m2"]),
        (["--old", "romeo@old.example", "--new", "romeo@old.example"], []),
        (["--contact", "romeo@old.example"], []),
        (["--state", "done"], []),
    ],
)
def test_they_can_be_chosen(
    command: Command, filled: Path, options: list[str], ids: list[str]
) -> None:
    result = command("--config", filled, "moves", "--json", *options)
    assert [move["id"] for move in json.loads(result.out)["journeys"]] == ids


def test_show_tells_where_each_contact_stands(command: Command, filled: Path) -> None:
    result = command("--config", filled, "show", "m1")
    assert (result.code, result.err) == (0, "")
    cells = [re.split(" {2,}", line.strip()) for line in result.out.splitlines()]
    noon = "2026-03-01 12:00:00 UTC"
    assert cells == [
        ["Move m1: romeo@old.example → romeo@new.example"],
        ["Accounts", "Both accounts are on hosts served here."],
        ["Ordered by", "romeo@old.example"],
        ["Prepared", noon],
        ["Started", noon],
        ["State", "notifying. Contacts are being notified."],
        ["Statement read by", "presence"],
        ["Contacts", "1 waiting, 1 mutual"],
        [""],
        ["Contact", "On the old roster", "State", "Tries", "Sent", "Due", "Error"],
        ["juliet@capulet.example", 'both, "Ju\\x1bliet", in Friends', "mutual", "1", noon],
        ["nurse@capulet.example", "to", "waiting", "0", noon],
        [""],
        ["waiting", "Not notified yet."],
        ["mutual", "The new account and this contact see each other."],
    ]


def test_show_without_contacts_and_with_a_detail(command: Command, filled: Path) -> None:
    result = command("--config", filled, "show", "M2")
    assert ["Because of", "a\\x1bb", ""] in [
        re.split(" {2,}", line) for line in result.out.splitlines()
    ]
    assert result.out.rstrip().endswith("no contacts")


def test_show_as_json(command: Command, filled: Path) -> None:
    story = json.loads(command("--config", filled, "show", "m1", "--json").out)
    assert story["id"] == "m1"
    assert [one["state"] for one in story["contacts"]] == [
        ContactState.MUTUAL.value,
        ContactState.QUEUED.value,
    ]
    assert story["contacts"][0]["before"]["subscription"] == "none"


def test_show_of_an_unknown_one(command: Command, filled: Path) -> None:
    result = command("--config", filled, "show", "m99")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "xmpp-moved: there is no move m99; `xmpp-moved moves` lists those there are\n"
    )


@pytest.mark.parametrize(
    "id", ["0", "m0", "-1", "m", "7m", "mm7", "\u0667", "1e3", "9" * 30, " 7", ""]
)
def test_an_id_that_is_none_is_a_usage_mistake(command: Command, filled: Path, id: str) -> None:
    result = command("--config", filled, "show", "--", id)
    assert result.code == 2
    assert "`xmpp-moved moves` lists them" in " ".join(result.err.split())
    assert "Traceback" not in result.err
