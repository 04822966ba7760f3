"""What a soak run is judged by: each promise kept, and each broken."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import about
from bench.soak import evaluate
from bench.soak.about import About
from bench.soak.evaluate import Check, Result
from bench.soak.report import conclude
from bench.soak.rows import Event, Rows, Sample, What, read_events, read_samples
from tests.unit.bench.runs import Line, flat, in_order, moves, restart, samples

LONG = 7200.0


def check(result: Result, name: str) -> Check:
    """The check whose name begins so."""
    return next(check for check in result.checks if check.name.startswith(name))


def judged(
    events: Sequence[Event] | None = None, measured: Sequence[Sample] | None = None
) -> Result:
    """A long run, good where nothing else is said."""
    return evaluate.evaluate(events or moves(LONG), measured or samples(LONG))


def test_a_flat_run_is_good() -> None:
    result = judged()
    assert result.ok
    assert all(check.ok for check in result.checks)
    assert len(result.fates) == 720
    assert len(result.minutes) == 120
    assert {minute.followed for minute in result.minutes} == {6}


def test_the_slope_is_that_of_a_line_through_noise() -> None:
    points = [(at, 100 + 3 * at / 3600 + math.sin(at)) for at in range(0, 7200, 10)]
    assert evaluate.slope(points) == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize(
    ("blocks", "good"),
    [
        (flat(500_000), True),
        (lambda at: 500_000 - at, True),
        (lambda at: 500_000 + 4_500 * at / 3600, True),
        (lambda at: 500_000 + 5_500 * at / 3600, False),
        (lambda at: 400_000 + 100_000 * min(1, at / 1800), True),  # caches fill
        (lambda at: 400_000 + 100_000 * min(1, at / 5400), False),
        (lambda at: 500_000 + 4_000 * (at % 300 / 300), True),  # garbage, collected now and then
    ],
)
def test_what_python_holds_may_not_grow(blocks: Line, good: bool) -> None:
    result = judged(measured=samples(LONG, blocks=blocks))
    assert check(result, "held").ok is good
    assert result.ok is good


def test_one_object_left_by_every_tenth_move_is_seen() -> None:
    assert not judged(measured=samples(LONG, blocks=lambda at: 500_000 + at * 20 / 10)).ok


@pytest.mark.parametrize(
    ("memory", "good"),
    [
        (flat(100.0), True),
        (lambda at: 100 - at / 3600, True),
        (lambda at: 100 + 0.9 * at / 3600, True),
        (lambda at: 100 + 1.2 * at / 3600, False),
        (lambda at: 500 + 4.5 * at / 3600, True),  # within 1 %
        (lambda at: 500 + 6.0 * at / 3600, False),
        (lambda at: 70 + 30 * min(1, at / 1800), True),  # caches fill in the first quarter
        (lambda at: 100 + 30 * min(1, at / 5400), False),
    ],
)
def test_memory_may_not_grow(memory: Line, good: bool) -> None:
    result = judged(measured=samples(LONG, memory=memory))
    assert check(result, "memory").ok is good
    assert result.ok is good


def test_a_leak_of_a_few_bytes_a_move_is_seen() -> None:
    leak = 20 * 20 / 2**20  # bytes a move, moves a second: MiB a second
    assert not judged(measured=samples(LONG, memory=lambda at: 100 + leak * at)).ok


@pytest.mark.parametrize("name", ["descriptors", "threads"])
def test_descriptors_and_threads_may_not_grow(name: str) -> None:
    grows: dict[str, Line] = {name: lambda at: 10 + at // 1800}
    assert check(judged(measured=samples(LONG, **grows)), name).ok is False
    once: dict[str, Line] = {name: lambda at: 10 + (at > 3600)}
    assert check(judged(measured=samples(LONG, **once)), name).ok


def test_a_short_run_is_not_judged_by_its_slopes() -> None:
    result = evaluate.evaluate(
        moves(600, lambda at: 0.02 + at / 1000),
        samples(
            600,
            memory=lambda at: 100 + at / 60,
            blocks=lambda at: 500_000 + at * 100,
            descriptors=lambda at: 10 + at // 60,
        ),
    )
    assert check(result, "descriptors").ok is None
    assert check(result, "held").ok is None
    assert check(result, "memory").ok is None
    assert check(result, "latency").ok is None
    assert result.ok


def test_a_request_that_the_contact_never_saw_is_lost() -> None:
    lost = [Event(100.5, What.ASKED, 9999), Event(190.5, What.LOST, 9999, "m to c")]
    result = judged(in_order(moves(LONG), lost))
    assert check(result, "requests lost").found == "1"
    assert not result.ok
    assert result.minutes[1].lost == 1


def test_a_request_without_any_end_is_lost_unless_the_run_ended_before_it() -> None:
    early, late = Event(100.5, What.ASKED, 9998), Event(LONG - 20, What.ASKED, 9999)
    result = judged(in_order(moves(LONG), [early, late]))
    assert check(result, "requests lost").found == "1"
    assert result.unfinished == 1
    assert judged(in_order(moves(LONG), [late])).ok


@pytest.mark.parametrize("what", [What.GONE, What.AGAIN])
def test_what_a_server_loses_itself_is_excused_by_its_restart_alone(what: What) -> None:
    lost = [Event(599.5, What.ASKED, 9999), Event(690.0, what, 9999, "c")]
    assert not judged(in_order(moves(LONG), lost)).ok
    assert not judged(in_order(moves(LONG), lost, restart(3600))).ok
    assert judged(in_order(moves(LONG), lost, restart(600))).ok == (what is What.GONE)
    seen = [Event(599.8, What.FOLLOWED, 9999)]
    assert judged(in_order(moves(LONG), lost, seen, restart(600))).ok


def test_half_a_roster_is_no_good_end() -> None:
    half = [Event(5.0, What.HALF, 0, "c: none")]
    assert not judged(in_order(moves(LONG), half)).ok


def test_a_stream_that_ends_by_itself_is_told() -> None:
    assert not judged(in_order(moves(LONG), [Event(5.0, What.DROPPED, 0, "c")])).ok


def test_what_was_sent_again_counts_from_then_and_once() -> None:
    again = [
        Event(100.0, What.ASKED, 9999),
        Event(120.0, What.UNSENT, 9999),
        Event(120.1, What.ASKED, 9999),
        Event(120.2, What.FOLLOWED, 9999),
        Event(120.2, What.SETTLED, 9999),
    ]
    result = judged(in_order(moves(LONG), again))
    assert result.ok
    assert result.fates[9999].latency == pytest.approx(0.1)
    assert len(result.fates) == 721


def test_a_released_request_has_its_reason_and_no_latency() -> None:
    # The row is written when the reason is known, after that of the whole roster.
    events = [
        Event(100.0, What.ASKED, 9999),
        Event(100.4, What.SETTLED, 9999),
        Event(101.3, What.RELEASED, 9999, "deadline"),
    ]
    result = judged([*moves(LONG), *events])
    assert result.reasons == {"deadline": 1}
    assert result.fates[9999].latency is None
    assert result.ok


@pytest.mark.parametrize(("factor", "good"), [(1.4, True), (1.6, False)])
def test_latency_may_not_grow(factor: float, good: bool) -> None:
    slower = moves(LONG, lambda at: 0.02 * (factor if at >= 5400 else 1))
    assert check(judged(slower), "latency").ok is good


def test_latency_is_compared_without_what_a_restart_does() -> None:
    def latency(at: float) -> float:
        return 5.0 if 5990 <= at < 6030 else 0.02

    assert not judged(moves(LONG, latency)).ok
    assert judged(in_order(moves(LONG, latency), restart(5994))).ok
    late = in_order(moves(LONG, lambda at: latency(at - 30)), restart(5994))
    assert not judged(late).ok


def test_cpu_is_added_up_over_restarts() -> None:
    values = [100.0, 110.0, 5.0, 15.0]
    measured = [
        replace(sample, server_cpu=value) for sample, value in zip(samples(30), values, strict=True)
    ]
    assert evaluate.cpu_seconds(measured, lambda sample: sample.server_cpu) == 25.0


def test_nothing_to_judge_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing asked"):
        evaluate.evaluate([], samples(100))
    with pytest.raises(ValueError, match="no sample"):
        evaluate.evaluate(moves(100), [])


# Files -------------------------------------------------------------------------------------------


def written(folder: Path, events: Sequence[Event], measured: Sequence[Sample]) -> Path:
    """A folder as a run leaves it."""
    rows = Rows(folder)
    for event in events:
        rows.event(event)
    for sample in measured:
        rows.sample(sample)
    rows.close()
    About("now", "a command", "abc", "a machine", "a server", 120, 20, 600, 850, "xfs").write(
        folder
    )
    return folder


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    events = [Event(1.25, What.ASKED, 7), Event(2.5, What.LOST, 7, 'c: "x", <y>')]
    measured = samples(30)
    written(tmp_path, events, measured)
    assert read_events(tmp_path) == events
    assert read_samples(tmp_path) == measured


def test_the_last_row_of_a_killed_run_may_be_half(tmp_path: Path) -> None:
    written(tmp_path, moves(100), samples(100))
    for name in (Rows.EVENTS, Rows.SAMPLES):
        with (tmp_path / name).open("a") as file:
            file.write("101.5,as")
    assert read_events(tmp_path) == moves(100)
    assert read_samples(tmp_path) == samples(100)


def test_the_exit_status_says_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert conclude(written(tmp_path / "good", moves(LONG), samples(LONG)), None) == 0
    lost = in_order(moves(LONG), [Event(5.0, What.LOST, 2, "c")])
    assert conclude(written(tmp_path / "bad", lost, samples(LONG)), None) == 1
    assert "BAD  requests lost: 1" in capsys.readouterr().out


def test_the_report_says_what_was_found(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'bench'")
    docs = tmp_path / "docs"
    docs.mkdir()
    released = [Event(100.0, What.ASKED, 9999), Event(101.0, What.RELEASED, 9999, "deadline")]
    events = in_order(moves(LONG), restart(600), released)
    assert conclude(written(tmp_path / "run", events, samples(LONG)), docs) == 0
    text = (docs / "soak.md").read_text()
    assert "| released, and why | 1; deadline 1 |" in text
    assert "| followed | 720 |" in text
    assert "| 10.0 min | 2.0 s | 10.0 s |" in text
    for name in ("memory", "latency", "files"):
        assert f"(soak-{name}.svg)" in text
        assert (docs / f"soak-{name}.svg").read_text().rstrip().endswith("</svg>")


def test_the_report_says_where_the_files_lay_and_what_was_remarked(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'bench'")
    run = written(tmp_path / "run", moves(LONG), samples(LONG))
    conclude(run, tmp_path, "another run went on beside it")
    text = (tmp_path / "soak.md").read_text()
    assert "* files of the server and of the component: xfs\n* another run went on" in text
    kept = replace(About.read(run), files="tmpfs")
    kept.write(run)
    conclude(run, tmp_path)
    text = (tmp_path / "soak.md").read_text()
    assert "component: tmpfs, which is memory" in text
    assert "another run" not in text


@pytest.mark.parametrize("folder", [Path(__file__).parent, Path("/dev/shm")])
def test_a_filesystem_is_one_that_the_kernel_knows(folder: Path) -> None:
    """One mount may lie over another: what is asked is which of them holds the folder."""
    assert about.filesystem(folder) in Path("/proc/filesystems").read_text().split()


def test_a_run_that_did_not_note_its_filesystem_is_judged(tmp_path: Path) -> None:
    run = written(tmp_path, moves(LONG), samples(LONG))
    record = run / "about.json"
    kept = json.loads(record.read_text())
    del kept["files"]
    record.write_text(json.dumps(kept))
    assert About.read(run).files == about.filesystem(run)
