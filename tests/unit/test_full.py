"""The parts of the full run, and the page that it writes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests import full
from tests.full import PARTS, ROOT, Result, counts, main, page

GREEN = Result("crash", 12, 1, 0, 90.0, "2026-12-01 10:00", "abc1234", 0)


def test_every_test_file_is_in_one_part() -> None:
    places = [(part, ROOT / path) for part, paths in PARTS.items() for path in paths]
    machines = ROOT / "tests" / "machines"  # `make test-machines`
    for file in (ROOT / "tests").rglob("test_*.py"):
        if machines in file.parents:
            continue
        parts = [part for part, place in places if place == file or place in file.parents]
        assert len(parts) == 1, f"{file} is in {parts or 'no part'}"


def test_what_a_part_names_is_there() -> None:
    assert not [path for paths in PARTS.values() for path in paths if not (ROOT / path).exists()]


def test_a_result_takes_the_place_of_the_former_one_of_its_part() -> None:
    unit = Result("unit", 5, 0, 0, 60.0, "2026-12-01 09:00", "abc1234", 0)
    first = page(page("", GREEN), unit)
    assert first.index("| unit | green |") < first.index("| crash | green | 12 | 1 | 0 | 1.5 |")
    failed = Result("crash", 11, 1, 1, 90.0, "2026-12-01 11:00", "def5678", 1)
    second = page(first, failed)
    assert "| crash | **failed** (exit 1) | 11 | 1 | 1 | 1.5 | 2026-12-01 11:00 |" in second
    assert unit.row in second
    assert GREEN.row not in second


def test_counts_of_a_report() -> None:
    report = "<testsuites><testsuite tests='9' skipped='2' failures='1' errors='1'/></testsuites>"
    assert counts(report) == (5, 2, 2)
    assert counts("") == (0, 0, 0)
    assert counts(report[:40]) == (0, 0, 0)


def test_a_narrowed_run_writes_no_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(full, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(full, "run", lambda part, more: replace(GREEN, part=part))
    assert main(["crash", "--server=prosody-0.12"]) == 0
    monkeypatch.setenv("XMPP_MOVED_TIMES", "1")
    assert main(["crash"]) == 0
    assert not full.PAGE.exists()
    assert "no full run" in capsys.readouterr().out
    monkeypatch.delenv("XMPP_MOVED_TIMES")
    assert main(["crash"]) == 0
    assert GREEN.row in full.PAGE.read_text()


def test_an_interrupted_part_keeps_its_former_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(full, "PAGE", tmp_path / "page.md")
    full.PAGE.write_text(page("", GREEN))
    monkeypatch.setattr(
        full, "run", lambda part, more: replace(GREEN, part=part, exit_code=full.INTERRUPTED)
    )
    assert main(["crash", "unit"]) == full.INTERRUPTED
    assert full.PAGE.read_text() == page("", GREEN)


def test_the_page_itself_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part writes it: the next one's commit is still the one that is tested."""

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    git("init")
    for name in ("page.md", "other"):
        (tmp_path / name).write_text("before")
    git("add", ".")
    git("commit", "-m", "x")
    monkeypatch.setattr(full, "ROOT", tmp_path)
    monkeypatch.setattr(full, "PAGE", tmp_path / "page.md")
    full.PAGE.write_text("after")
    assert not full._commit().endswith("and changes")
    (tmp_path / "other").write_text("after")
    assert full._commit().endswith("and changes")


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crush"]) == 2
    assert "crush" in capsys.readouterr().err
