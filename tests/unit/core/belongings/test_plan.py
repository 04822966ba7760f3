"""What becomes of each thing that comes, by what is there, and the way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from component.core.belongings.model import (
    Job,
    JobState,
    Line,
    Readers,
    Result,
    Sort,
    Thing,
    Why,
    mark_of,
    place,
)
from component.core.belongings.plan import (
    TABLE,
    Back,
    Planner,
    Relation,
    Standing,
    stands,
    verified,
    way_back,
)
from component.core.belongings.report import Report

JOB = Job(
    1, "j@new", "j@old", "j@old", JobState.DRAFT, False, None, datetime(2026, 1, 1, tzinfo=UTC)
)


def thing(sort: Sort, key: str, content: str = "", **rest: object) -> Thing:
    """A thing; its text is of no interest here."""
    return replace(Thing(sort, key, content, f"{sort}:{key}:{content}"), **rest)  # type: ignore[arg-type]


def node(name: str, access: str, *members: str, room: int | None = None) -> Thing:
    """A node and who may read it."""
    readers = Readers(access, tuple(sorted(members)), (), room)
    return thing(Sort.NODE, name, f"{access} {sorted(members)}", readers=readers)


def item(name: str, id: str, content: str = "x") -> Thing:
    """An item of a node."""
    return thing(Sort.ITEM, id, content, node=name)


def decide(
    coming: Iterable[Thing],
    there: Iterable[Thing],
    *,
    overwrite: bool = False,
    skip: Callable[[Thing], Why | None] = lambda _: None,
) -> list[Line]:
    """A line for each thing, in the order in which they are carried."""
    places = [(place(thing.sort, number), thing) for number, thing in enumerate(coming)]
    planner, standing = Planner(overwrite=overwrite, skip=skip), Standing(there)
    return [planner.line(thing, standing) for _, thing in sorted(places, key=lambda one: one[0])]


def became(lines: list[Line]) -> dict[str, tuple[Result, str | None]]:
    """Results and reasons by key; items apart from their nodes."""
    return {f"{x.thing.node}/{x.thing.key}": (x.result, x.why) for x in lines}


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(product(Relation, (False, True)))


@pytest.mark.parametrize("sort", [Sort.CONTACT, Sort.PROFILE, Sort.PRIVATE])
@pytest.mark.parametrize(
    ("there", "overwrite", "result"),
    [
        ((), False, Result.ADDED),
        (("a",), False, Result.SAME),
        (("a",), True, Result.SAME),
        (("b",), False, Result.KEPT),
        (("b",), True, Result.CHANGED),
    ],
)
def test_each_relation(sort: Sort, there: tuple[str, ...], overwrite: bool, result: Result) -> None:
    standing = [thing(sort, "k", content) for content in there]
    (line,) = decide([thing(sort, "k", "a")], standing, overwrite=overwrite)
    assert (line.result, line.why) == (result, None)
    assert line.before == tuple(standing)
    assert line.done is not result.written


def test_an_entry_that_says_nothing_is_filled() -> None:
    there = thing(Sort.CONTACT, "k", "", blank=True)
    (line,) = decide([thing(Sort.CONTACT, "k", "a")], [there])
    assert (line.result, line.before) == (Result.CHANGED, (there,))


def test_blocked_come_first_and_nodes_before_their_items() -> None:
    one_of_each = (thing(sort, "k") for sort in reversed(Sort) if sort is not Sort.ITEM)
    mixed = [item("k", "i"), *one_of_each]
    sorts = [line.thing.sort for line in decide(mixed, ())]
    assert sorts == sorted(sorts, key=list(Sort).index)
    assert sorts[-1] is Sort.ITEM


def test_what_a_rule_leaves_out() -> None:
    me = thing(Sort.CONTACT, "j@new")
    (line,) = decide([me], (), skip=lambda one: Why.SELF if one == me else None)
    assert (line.result, line.why, line.done) == (Result.SKIPPED, Why.SELF, True)


@pytest.mark.parametrize(
    ("there", "coming", "allowed"),
    [
        (node("n", "whitelist"), node("n", "open"), True),
        (node("n", "whitelist"), node("n", "presence"), True),
        (node("n", "presence"), node("n", "open"), True),
        (node("n", "open"), node("n", "presence"), False),
        (node("n", "presence"), node("n", "whitelist", "a@x"), False),
        (node("n", "whitelist", "a@x"), node("n", "whitelist", "a@x", "b@x"), True),
        (node("n", "whitelist", "a@x", "b@x"), node("n", "whitelist", "a@x"), False),
        (node("n", "whitelist", "a@x"), node("n", "presence"), False),
        (node("n", "strange"), node("n", "open"), False),
    ],
)
def test_nobody_reads_more_than_before(there: Thing, coming: Thing, allowed: bool) -> None:
    lines = decide([coming, item("n", "i")], [there])
    expected = (Result.ADDED, None) if allowed else (Result.REFUSED, Why.READERS)
    assert became(lines) == {"/n": (Result.KEPT, None), "n/i": expected}
    forced = decide([coming, item("n", "i")], [there], overwrite=True)
    assert became(forced) == {"/n": (Result.CHANGED, None), "n/i": (Result.ADDED, None)}


def test_an_item_without_its_node_goes_nowhere() -> None:
    (line,) = decide([item("n", "i")], ())
    assert (line.result, line.why) == (Result.REFUSED, Why.NO_NODE)


@pytest.mark.parametrize(
    "there",
    [
        [node("http://jabber.org/protocol/nick", "open")],
        [node("n", "open", room=1)],
    ],
    ids=["known", "by its room"],
)
def test_a_node_of_one_item_is_one_thing(there: list[Thing]) -> None:
    name = there[0].key
    mine = item(name, "other-id", "mine")
    lines = decide([node(name, "open"), item(name, "current", "old")], [*there, mine])
    assert lines[1].result is Result.KEPT
    assert lines[1].before == (mine,)
    same = decide([node(name, "open"), item(name, "current", "mine")], [*there, mine])
    assert same[1].result is Result.SAME


def test_nothing_is_pushed_out() -> None:
    standing = [node("n", "open", room=3), item("n", "a"), item("n", "b")]
    coming = [node("n", "open", room=3), item("n", "b"), item("n", "c"), item("n", "d")]
    assert became(decide(coming, standing)) == {
        "/n": (Result.SAME, None),
        "n/b": (Result.SAME, None),
        "n/c": (Result.ADDED, None),
        "n/d": (Result.REFUSED, Why.NO_ROOM),
    }


def test_what_the_server_has_decides() -> None:
    lines = decide([thing(Sort.CONTACT, k, "x") for k in "abc"], ())
    there = Standing([thing(Sort.CONTACT, "a", "x"), thing(Sort.CONTACT, "b", "y")])
    assert [stands(line, there) for line in lines] == [True, False, False]
    done = [verified(replace(line, done=True), there) for line in lines]
    assert [(line.result, line.why) for line in done] == [
        (Result.ADDED, None),
        (Result.REFUSED, Why.NOT_KEPT),
        (Result.REFUSED, Why.NOT_KEPT),
    ]
    kept = replace(done[1], result=Result.KEPT, why=None)
    assert verified(kept, there) == kept


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, "x", (Back.RESTORE, None)),
        (None, None, (Back.NOTHING, None)),
        ("o", "x", (Back.RESTORE, None)),
        ("o", "o", (Back.NOTHING, None)),
        ("o", None, (Back.RESTORE, None)),
        ("o", "z", (Back.LEAVE, Why.CHANGED_SINCE)),
        (None, "z", (Back.LEAVE, Why.CHANGED_SINCE)),
    ],
)
@pytest.mark.parametrize("sort", [Sort.PROFILE, Sort.CONTACT])
def test_the_way_back(
    sort: Sort, before: str | None, now: str | None, expected: tuple[Back, Why | None]
) -> None:
    earlier = () if before is None else (thing(sort, "k", before),)
    line = Line(thing(sort, "k", "x"), Result.ADDED, None, earlier, done=True)
    there = Standing(() if now is None else [thing(sort, "k", now)])
    assert way_back(line, there) == expected


def test_an_entry_with_a_subscription_stays() -> None:
    line = Line(thing(Sort.CONTACT, "k", "x"), Result.ADDED, done=True)
    bound = replace(line.thing, bound=True)
    assert way_back(line, Standing([bound])) == (Back.LEAVE, Why.IN_USE)


def test_the_counts_add_up() -> None:
    standing = [thing(Sort.CONTACT, "b", "x"), thing(Sort.CONTACT, "c", "y")]
    coming = [*(thing(Sort.CONTACT, k, "x") for k in "abc"), thing(Sort.BLOCKED, "d")]
    report = Report(JOB, Counter(map(mark_of, decide(coming, standing))))
    assert sum(report.counts.values()) == report.total == 4
    assert {k: v for k, v in report.counts.items() if v} == {
        Result.ADDED: 2,
        Result.SAME: 1,
        Result.KEPT: 1,
    }
    assert report.left == 2


def test_what_is_there_goes_piece_by_piece() -> None:
    contact, page = thing(Sort.CONTACT, "a"), item("n", "i")
    there = Standing([contact, page, item("n", "j")])
    assert there.get(page) == page
    assert there.room("n") == 2
    for one in (contact, page, page):
        there.remove(one)
        assert there.get(one) is None
    assert there.room("n") == 1
    assert there.room("m") == 0


def test_places_fit_a_database() -> None:
    places = [place(sort, number) for sort in Sort for number in (0, 1, 10**8)]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    assert places[-1] < 2**31


def test_items_that_are_not_all_known() -> None:
    """Of a node with large items they are counted, and asked for only where they matter."""
    there = Standing([node("n", "open", room=3), item("n", "a")])
    there.holds("n", 2)
    planner = Planner()
    coming = [node("n", "open", room=3), *(item("n", id) for id in "acd")]
    lines = [planner.line(one, there) for one in coming]
    assert [line.why for line in lines] == [None, None, None, Why.NO_ROOM]
    there.remove(item("n", "a"))
    there.remove(item("n", "z"))
    assert there.room("n") == 1
