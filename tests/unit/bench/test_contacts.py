"""What the benchmark of the contact side works out, from figures that nobody measured."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.contacts.cases import cases, guarded
from bench.contacts.limit import verdict
from bench.contacts.play import Move, successor
from bench.contacts.report import part, text
from bench.contacts.results import Row, Sample, histogram_bound
from bench.contacts.ways import EJABBERD, PROSODY, Way, of_server
from bench.parts import Origin


def sample(seconds: float, *, followed: int = 100, right: int = 20, cpu: float = 0.5) -> Sample:
    return Sample(
        moves=100,
        followed=followed,
        seconds=seconds,
        latencies=[seconds] * followed,
        server_cpu=cpu,
        own_cpu=cpu / 5,
        statements=1,
        looked_at=20,
        right=right,
    )


def row(**samples: list[Sample]) -> Row:
    by_way = {Way[name.upper()]: given for name, given in samples.items()}
    ours = {way: 0.01 for way in by_way if way.ours}
    return Row(next(cases("prosody-0.12")), by_way, dict(ours), dict(ours), dict(ours))


def test_a_ratio_is_the_median_of_rounds_that_ran_together() -> None:
    # The machine was slow in the second round: for both.
    found = row(
        shipped=[sample(1.0), sample(10.0), sample(1.0)],
        peer=[sample(2.0), sample(20.0), sample(1.5)],
    )
    ratio = found.ratio(Way.SHIPPED, Way.PEER)
    assert ratio is not None
    assert (ratio.median, ratio.least, ratio.most) == pytest.approx((2.0, 1.5, 2.0))
    rate = found.rate(Way.SHIPPED)
    assert rate is not None
    assert rate.text() == "100 (10..100)"


@pytest.mark.parametrize(
    "bad",
    [sample(1.0, followed=99), sample(1.0, right=19), replace(sample(1.0), pushes_due=1)],
    ids=["not followed", "a wrong roster", "a device was not told"],
)
def test_a_round_whose_work_was_not_done_makes_the_figure_void(bad: Sample) -> None:
    found = row(shipped=[sample(1.0), bad], peer=[sample(2.0), sample(2.0)])
    assert found.rate(Way.SHIPPED) is None
    assert found.ratio(Way.SHIPPED, Way.PEER) is None
    assert found.own_share(Way.SHIPPED) is None
    assert found.rate(Way.PEER) is not None


def test_void_figures_are_called_void_in_the_page() -> None:
    found = row(shipped=[sample(1.0, followed=98)], limit=[sample(1.0)])
    origin = Origin(command="c", began="b", commit="a", machine="m")
    words = text("prosody-0.12", False, looked_at=20, under_way=250)
    made = part("x", "prosody-0.12", origin, [found], words, Path(), {})
    base = next(table for table in made.tables if table.title == "The base case")
    assert base.rows[0][2] == "void: 98 of 100 followed"


def test_the_bound_of_a_percentile() -> None:
    buckets = Counter({0.01: 90, 0.1: 99, 1.0: 100, math.inf: 100})
    assert histogram_bound(buckets, 0.99) == 0.1
    assert histogram_bound(buckets, 1.0) == 1.0
    assert math.isnan(histogram_bound(Counter(), 0.99))


@pytest.mark.parametrize("quote", ["'", '"'])
def test_the_empty_component_answers_diverts_and_nothing_else(quote: str) -> None:
    divert = (
        "<message to='m'><outcome/></message>"
        "<iq type='set' to='moved.limit.example' id='D' from='c@limit.example'>"
        "<divert xmlns='urn:xmpp-moved:hook:0' instance='i'>"
        "<forwarded xmlns='urn:xmpp:forward:0'><presence type='subscribe' from='new@m' "
        "to='c@limit.example' xmlns='jabber:client'><moved xmlns='urn:xmpp:moved:1'>"
        "<old-jid>old@m</old-jid></moved></presence></forwarded></divert>"
    ).replace("'", quote)
    answer = verdict(divert.encode(), b"me").decode()
    assert "id='D' from='me' to='c@limit.example'" in answer
    assert "type='subscribed' to='new@m'" in answer
    assert "type='unsubscribed' to='old@m'" in answer
    assert verdict(b"<iq type='result' id='x'/>", b"me") == b""


def test_the_cases_vary_one_thing_at_a_time() -> None:
    for server in ("prosody-0.12", "ejabberd-24.12"):
        base, *others = cases(server)
        assert base.axis == "base"
        labels = [(case.axis, case.label) for case in others]
        assert len(labels) == len(set(labels))
        assert guarded(server).setting == base.setting
    assert of_server("prosody-13.0") == PROSODY
    assert of_server("ejabberd-24.12") == EJABBERD


def test_the_ordinary_request_says_nothing_of_a_move() -> None:
    move = Move("c@floor.example", "old1@m", successor("old1@m"))
    assert move.new == "new1@mover.example"
    assert "moved" not in move.request(moved=False)
    assert "<old-jid>old1@m</old-jid>" in move.request(moved=True)
