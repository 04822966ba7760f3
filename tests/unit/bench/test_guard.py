"""The rule by which ``make bench-check`` fails, with figures that nobody measured."""

from __future__ import annotations

import pytest

from bench.guard import compare


@pytest.mark.parametrize(
    ("now", "lost"),
    [(2.0, False), (3.0, False), (1.72, False), (1.70, False), (1.68, True), (0.5, True)],
    ids=["same", "better", "14 % worse", "15 % worse", "16 % worse", "much worse"],
)
def test_a_loss_of_more_than_15_percent_counts(now: float, lost: bool) -> None:
    (found,) = compare({"ours / peer": 2.0}, {"ours / peer": now})
    assert found.lost is lost
    assert str(found).startswith("LOST" if lost else "kept")


def test_what_could_not_be_measured_is_lost() -> None:
    (found,) = compare({"ours / peer": 2.0}, {})
    assert found.lost
    assert "not measured" in str(found)


def test_what_is_new_has_nothing_to_be_compared_with() -> None:
    assert compare({}, {"ours / limit": 0.9}) == []


def test_each_ratio_is_judged_by_itself() -> None:
    found = compare({"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 5.0})
    assert {f.name: f.lost for f in found} == {"a": True, "b": False}
