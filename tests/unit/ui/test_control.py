"""``undo``, ``pause``, ``resume`` and ``moves --watch`` against a real control socket."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyte
import pytest
from rich.console import Console

from component.core.journey.model import ContactState, JourneyState, Progress
from component.core.restore import Cause, Difference
from component.engine.movers.orders import RunTime
from component.ui.watch import ENDED_KEPT, Board, achieved, progress_line, state_words
from tests.unit.ops.fake_orders import FakeOrders, journey, progress

from .conftest import Command
from .running import Running, process, running
from .test_journeys import fill

NOW_LINE = re.compile(r"\d\d:\d\d:\d\d (.*)")
STARTED = (
    "m7 romeo@old.example → romeo@new.example: notifying 12/30, about 5 min left; "
    "18 waiting, 12 mutual"
)


@pytest.fixture
def component(control_path: Path) -> Iterator[Running]:
    """One that runs, with the moves m7 (runs) and m8 (done)."""
    with running(control_path, FakeOrders(progress(7), progress(8, JourneyState.DONE))) as one:
        yield one


# Orders -----------------------------------------------------------------------------------------


def test_a_move_is_paused_resumed_and_undone(
    command: Command, config_file: Path, component: Running
) -> None:
    for order, state in (("pause", "paused"), ("resume", "notifying"), ("undo", "undoing")):
        sure = ["--yes"] if order == "undo" else []
        result = command("--config", config_file, order, "m7", *sure)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith("m7 romeo@old.example → romeo@new.example: " + state)
        assert component.orders.moves[7].journey.state.value == state


def test_everything_is_withdrawn(
    command: Command, config_file: Path, component: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is given until nothing is left; what is left in the end is named."""

    def state_of_7() -> str:
        return component.orders.moves[7].journey.state.value

    result = command("--config", config_file, "withdraw")
    assert result.code == 2
    assert "`xmpp-moved withdraw --all`" in result.err
    assert state_of_7() == "notifying"

    component.do(lambda: component.orders.put(progress(9, JourneyState.UNDOING)))
    result = command("--config", config_file, "withdraw", "--all", "--yes")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "Withdrawn: the statements of 0 moves, 1 moves under way, 0 hand-overs.\n"
    )
    assert state_of_7() == "cancelled"

    monkeypatch.setattr("component.ui.cli_moves._WITHDRAWALS", 2)
    component.do(lambda: component.orders.put(progress(9, JourneyState.UNDOING)))
    component.orders.undoing = 5
    result = command("--config", config_file, "withdraw", "--all", "--yes")
    assert result.code == 1
    assert "give the order again later:\n  m9: Rosters are being put back" in result.err


@pytest.mark.parametrize("target", [[], ["all"]])
def test_all_are_paused_and_resumed(
    command: Command, config_file: Path, component: Running, target: list[str]
) -> None:
    result = command("--config", config_file, "pause", *target)
    assert (
        result.out == "Users' moves send nothing until `xmpp-moved resume`, even after a restart.\n"
    )
    assert component.orders.settings.paused
    assert command("--config", config_file, "resume", *target).out.startswith("Users' moves go on.")
    assert not component.orders.settings.paused


def test_a_followed_contact_is_undone(
    command: Command, config_file: Path, component: Running
) -> None:
    result = command("--config", config_file, "undo", "3", "-y")
    assert (result.code, result.out) == (
        0,
        "Move 3 is undone: the roster of juliet@capulet.example has romeo@old.example and "
        "romeo@new.example as before.\n",
    )
    component.orders.differences = tuple(
        Difference(jid, cause) for jid, cause in zip("abc", Cause, strict=True)
    )
    result = command("--config", config_file, "undo", "3", "-y")
    assert result.out == (
        "Move 3 is undone: the roster of juliet@capulet.example is not as before in this: a was "
        "changed since, and is left so; b does not exist any more, so nothing is granted to that "
        "name; c was asked to let itself be seen again, and has not answered.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["undo", "m99", "--yes"], "that was refused: there is no move m99"),
        (["undo", "99", "--yes"], "that was refused: no followed move has that number (id: 99)"),
        (
            ["pause", "m8"],
            "that was refused: the move is not in a state in which this can be done (state: done)",
        ),
    ],
)
def test_a_refusal_is_a_sentence(
    command: Command,
    config_file: Path,
    component: Running,
    arguments: list[str],
    sentence: str,
) -> None:
    result = command("--config", config_file, *arguments)
    assert (result.code, result.out, result.err) == (1, "", f"xmpp-moved: {sentence}\n")


@pytest.mark.parametrize("arguments", [["pause", "7"], ["resume", "none"], ["undo", "all"]])
def test_usage_mistakes(command: Command, config_file: Path, arguments: list[str]) -> None:
    result = command("--config", config_file, *arguments)
    assert result.code == 2
    assert arguments[1] in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["undo", "7", "--yes"],
        ["undo", "m7", "--yes"],
        ["withdraw", "--all", "--yes"],
        ["pause"],
        ["resume", "m7"],
        ["moves", "--watch"],
    ],
)
def test_no_component_is_a_sentence(
    command: Command, config_file: Path, control_path: Path, arguments: list[str]
) -> None:
    def refused() -> None:
        result = command("--config", config_file, *arguments)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith(
            f"xmpp-moved: no component is running (nobody listens at {control_path}); start it "
            "with `systemctl start xmpp-moved` or `xmpp-moved run`."
        )

    refused()
    with socket.socket(socket.AF_UNIX) as dead:  # one that was killed leaves its socket behind
        dead.bind(str(control_path))
    refused()


def test_no_control_socket_configured(command: Command, config_file: Path) -> None:
    text = config_file.read_text()
    config_file.write_text(re.sub(r'control = ".*"', 'control = ""', text))
    result = command("--config", config_file, "pause")
    assert result.code == 1
    assert '[component] control is ""' in result.err


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (b"", "the component was stopped"),
        (b'{"ok": true, "resu', "the component was stopped"),
        (b"hello\n", "the running component does not speak as this command does"),
        (b'{"ok": true}\n', "the running component does not speak as this command does"),
        (b'{"ok": true, "result": 7}\n', "the running component does not speak as this command"),
        (b'{"ok": false}\n', "the running component does not speak as this command does"),
        (
            b'{"ok": false, "problem": "unknown-order", "facts": {}}\n',
            "that was refused: the running component does not know the order; restart it",
        ),
        (b'{"ok": false, "problem": "moon", "facts": {}}\n', "that was refused: moon"),
    ],
)
def test_an_odd_component_is_a_sentence(
    command: Command, config_file: Path, control_path: Path, said: bytes, sentence: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(control_path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        result = command("--config", config_file, "pause", "m7")
        thread.join()
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"xmpp-moved: {sentence}")


# Asking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "code", "state"),
    [("y\n", 0, JourneyState.UNDOING), ("n\n", 1, JourneyState.NOTIFYING)],
)
def test_undo_asks_on_a_terminal(
    config_file: Path,
    database: Path,
    control_path: Path,
    typed: str,
    code: int,
    state: JourneyState,
) -> None:
    asyncio.run(fill(database))
    orders = FakeOrders(progress(1))
    with (
        running(control_path, orders),
        process("--config", config_file, "undo", "m1", terminal=True) as undo,
    ):
        asked = undo.until(lambda text: "Go on? [y/N]" in text)
        assert "romeo@old.example → romeo@new.example, with 2 contacts" in asked
        assert orders.moves[1].journey.state is JourneyState.NOTIFYING
        undo.type(typed)
        ended, text = undo.end()
    assert ended == code
    assert orders.moves[1].journey.state is state
    assert ("nothing was changed" in text) == (code == 1)


@pytest.mark.parametrize("typed", [b"y\n", b"n\n", b"maybe\n", b""])
@pytest.mark.parametrize("order", [["undo", "m7"], ["undo", "3"], ["withdraw", "--all"]])
def test_nothing_is_taken_back_where_nobody_can_be_asked(
    config_file: Path, component: Running, order: list[str], typed: bytes
) -> None:
    """Whatever a pipe says: the question was never put to a person."""
    ended = subprocess.run(
        [sys.executable, "-m", "component", "--config", str(config_file), *order],
        input=typed,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"give --yes" in ended.stderr.replace(b"\n", b" ")
    assert component.orders.moves[7].journey.state is JourneyState.NOTIFYING


def test_undo_does_not_ask_twice_where_yes_is_given(config_file: Path, component: Running) -> None:
    with process("--config", config_file, "undo", "m7", "--yes", terminal=True) as undo:
        code, text = undo.end()
    assert code == 0
    assert "Go on?" not in text


def test_undo_of_an_unknown_move_does_not_ask(
    config_file: Path, database: Path, component: Running
) -> None:
    asyncio.run(fill(database))
    with process("--config", config_file, "undo", "m99", terminal=True) as undo:
        code, text = undo.end()
    assert code == 1
    assert "there is no move m99" in text


# Watching ---------------------------------------------------------------------------------------


def lines(text: str) -> list[str]:
    """The lines without the time at their beginning."""
    found = [NOW_LINE.fullmatch(line) for line in text.splitlines()]
    return [line[1] for line in found if line]


def test_watch_prints_a_line_for_each_change(config_file: Path, component: Running) -> None:
    orders = component.orders
    with process("--config", config_file, "moves", "--watch", "--until-done") as watch:
        assert lines(watch.until(lambda text: text.endswith("\n"))) == [STARTED]
        component.wait(orders.watched_by(1))
        component.do(lambda: orders.put(progress(7)))  # the same again: no line
        component.do(lambda: orders.put(progress(7, queued=17, mutual=13, left=30.0)))
        watch.until(lambda text: text.count("\n") == 2)
        component.do(
            lambda: orders.put(progress(7, JourneyState.DONE, queued=0, mutual=30, left=None))
        )
        code, text = watch.end()
    assert code == 0
    assert lines(text)[1:] == [
        "m7 romeo@old.example → romeo@new.example: notifying 13/30, under a minute left; "
        "17 waiting, 13 mutual",
        "m7 romeo@old.example → romeo@new.example: done 30/30; 30 mutual",
    ]
    component.wait(orders.watched_by(0))


def test_watch_as_json(config_file: Path, component: Running) -> None:
    orders = component.orders
    with process("--config", config_file, "moves", "--until-done", "--json") as watch:
        watch.until(lambda text: text.endswith("\n"))
        component.do(lambda: orders.change(7, JourneyState.UNDONE))
        code, text = watch.end()
    assert code == 0
    told = [json.loads(line) for line in text.splitlines()]
    assert [(one["id"], one["state"]) for one in told] == [("m7", "notifying"), ("m7", "undone")]
    assert told[0]["seconds_left"] == 300.0


@pytest.mark.usefixtures("ctrl_c")
def test_watch_ends_with_ctrl_c(config_file: Path, component: Running) -> None:
    component.orders.settings = RunTime(paused=True)
    with process("--config", config_file, "moves", "--watch") as watch:
        text = watch.until(lambda text: text.count("\n") == 2)
        assert text.startswith("All moves of users are paused; `xmpp-moved resume` goes on.\n")
        watch.interrupt()
        code, text = watch.end()
    assert (code, len(text.splitlines())) == (0, 2)
    component.wait(component.orders.watched_by(0))


def test_watch_says_that_the_component_stopped(config_file: Path, component: Running) -> None:
    with process("--config", config_file, "moves", "--watch") as watch:
        watch.until(lambda text: text.endswith("\n"))
        component.stop()
        code, text = watch.end()
    assert code == 1
    assert text.endswith("xmpp-moved: the component was stopped\n")


def test_until_done_with_nothing_running_ends_at_once(
    command: Command, config_file: Path, component: Running
) -> None:
    result = command("--config", config_file, "moves", "--until-done", "--old", "x@y.example")
    assert (result.code, result.out, result.err) == (0, "", "")


@pytest.mark.parametrize("option", [["--contact", "x@y.example"], ["--state", "done"]])
def test_what_does_not_go_with_watch(
    command: Command, config_file: Path, option: list[str]
) -> None:
    result = command("--config", config_file, "moves", "--watch", *option)
    assert result.code == 2
    assert option[0] in result.err


def test_watch_draws_bars_on_a_terminal(config_file: Path, component: Running) -> None:
    orders = component.orders
    screen = pyte.Screen(120, 24)

    def shown(text: str) -> str:
        screen.reset()
        pyte.Stream(screen).feed(text)
        return "\n".join(line.rstrip() for line in screen.display).rstrip()

    with process("--config", config_file, "moves", "--until-done", terminal=True) as watch:
        text = watch.until(lambda text: "12 mutual" in shown(text))
        assert "notifying 12/30" in shown(text)
        assert "━" in shown(text)
        component.do(lambda: orders.put(progress(9, mutual=0, left=None)))
        watch.until(lambda text: "m9" in shown(text))
        for id in (7, 9):
            ended = progress(id, JourneyState.DONE, queued=0)
            component.do(partial(orders.put, ended))
        code, text = watch.end()
    assert code == 0
    rows = shown(text).splitlines()
    assert [row.split()[0] for row in rows] == ["m7", "m9"]
    assert all("done 12/12" in row for row in rows)


def test_a_board_keeps_what_fits() -> None:
    board = Board(lambda: None, print)
    for id in range(1, 101):
        board.show(progress(id, JourneyState.DONE if id <= 50 else JourneyState.NOTIFYING))
    out = io.StringIO()
    Console(file=out, width=200, height=24).print(board, height=24)
    text = out.getvalue().splitlines()
    assert text[0].startswith("m51")
    assert text[-1] == f"and {50 + ENDED_KEPT - (len(text) - 1)} more"
    assert len(text) < 24


def test_a_board_without_moves_says_so() -> None:
    out = io.StringIO()
    Console(file=out).print(Board(lambda: None, print))
    assert out.getvalue() == "No move is running.\n"


# How far it is ------------------------------------------------------------------------------------


def _counted(state: JourneyState, **counts: int) -> Progress:
    found = {ContactState(name): n for name, n in counts.items()}
    return Progress(journey(state=state), found, sum(counts.values()), 10.0)


@pytest.mark.parametrize(
    ("given", "done"),
    [
        (_counted(JourneyState.NOTIFYING, queued=3, sending=1, sent=2, skipped=4), (2, 6)),
        (_counted(JourneyState.SETTLING, mutual=3, pending=1, unreachable=2), (6, 6)),
        (_counted(JourneyState.UNDOING, mutual=3, restored=1), (1, 4)),
        (_counted(JourneyState.DONE), (0, 0)),
    ],
)
def test_what_counts_as_achieved(given: Progress, done: tuple[int, int]) -> None:
    assert achieved(given) == done


def test_time_left_is_told_of_what_runs_only() -> None:
    assert state_words(_counted(JourneyState.PAUSED, queued=3)) == "paused 0/3"
    assert state_words(_counted(JourneyState.NOTIFYING, queued=3)).endswith("under a minute left")


def test_a_line_says_why_and_cannot_steer_the_terminal() -> None:
    stopped = replace(journey(state=JourneyState.CANCELLED), detail="a\x1b[2Jb")
    line = progress_line(Progress(stopped, {}, 0, None))
    assert line.endswith(": cancelled 0/0; no contacts (a\\x1b[2Jb)")
