"""Logging: formats, levels of libraries, and no rosters above debug."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from component.ops.log import ALIKE, ALIKE_SECONDS, LIBRARIES, Sparing, configure
from tests.unit.logging_state import logging_restored


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    with logging_restored():
        yield


def test_json_is_one_object_a_line() -> None:
    out = io.StringIO()
    configure("info", "json", out)
    structlog.get_logger("component.test").info("link up", host="a.example", n=3)
    logging.getLogger("slixmpp.stream").warning("odd: %s", "x")
    first, second = [json.loads(line) for line in out.getvalue().splitlines()]
    at = datetime.fromisoformat(first.pop("timestamp"))
    assert at.utcoffset() == datetime.now(UTC).utcoffset()
    assert first == {
        "event": "link up",
        "host": "a.example",
        "n": 3,
        "level": "info",
        "logger": "component.test",
    }
    assert second["event"] == "odd: x"
    assert second["logger"] == "slixmpp.stream"


def test_text_is_plain_without_a_terminal() -> None:
    out = io.StringIO()
    configure("info", "text", out)
    structlog.get_logger("component.test").warning("link lost", why="closed")
    line = out.getvalue()
    assert "link lost" in line
    assert "why=closed" in line
    assert "\x1b" not in line


def test_a_flood_of_warnings_is_not_one_of_lines() -> None:
    now = 0.0
    sparing = Sparing(lambda: now)

    def written(method: str, event: str, times: int) -> list[EventDict]:
        found = []
        for _ in range(times):
            with contextlib.suppress(structlog.DropEvent):
                found.append(sparing(None, method, {"event": event}))
        return found

    assert len(written("warning", "a stanza is odd", 5000)) == ALIKE
    assert len(written("error", "another", 1)) == 1
    assert len(written("info", "followed", 5000)) == 5000
    now = ALIKE_SECONDS
    first, *rest = written("warning", "a stanza is odd", ALIKE)
    assert first["left_out"] == 5000 - ALIKE
    assert rest == [{"event": "a stanza is odd"}] * (ALIKE - 1)
    for number in range(5000):
        written("error", f"{number}", 1)
    assert len(sparing._seen) <= 1000


def test_libraries_are_heard_from_warning_on() -> None:
    out = io.StringIO()
    configure("debug", "text", out)
    for name in LIBRARIES:
        logging.getLogger(f"{name}.part").info("<presence/>")
    assert out.getvalue() == ""
    configure("error", "text", out)
    logging.getLogger("slixmpp").warning("odd")
    assert out.getvalue() == ""


def test_level_is_obeyed_and_the_last_call_counts() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("debug", "text", first)
    configure("warning", "text", second)
    structlog.get_logger("component.test").info("quiet")
    structlog.get_logger("component.test").warning("loud")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full, (tmp_path / "closed").open("w") as closed:
        configure("info", "text", full)
        structlog.get_logger("component.test").info("no room")
        configure("info", "text", closed)
        closed.close()
        structlog.get_logger("component.test").info("nobody there")
        with contextlib.suppress(OSError):
            full.close()


def test_rosters_are_for_debug_only() -> None:
    out = io.StringIO()
    configure("debug", "json", out)
    log = structlog.get_logger("component.test")
    log.info("changed", item="Romeo", groups=["Friends"], stanza="<presence/>")
    log.debug("changed", item="Romeo")
    logging.getLogger("component.plain").info("hello", extra={"roster": "Romeo"})
    info, debug, _ = [json.loads(line) for line in out.getvalue().splitlines()]
    assert info["item"] == info["groups"] == info["stanza"] == "(shown at debug only)"
    assert debug["item"] == "Romeo"
    assert out.getvalue().count("Romeo") == 1


def test_tracebacks_are_kept() -> None:
    for format in ("json", "text"):
        out = io.StringIO()
        configure("info", format, out)
        try:
            raise ValueError("what broke")
        except ValueError:
            structlog.get_logger("component.test").exception("failed")
        assert "ValueError: what broke" in out.getvalue()


@pytest.mark.parametrize(("level", "format"), [("loud", "text"), ("info", "xml")])
def test_unknown_settings(level: str, format: str) -> None:
    with pytest.raises(ValueError, match="unknown log"):
        configure(level, format)
