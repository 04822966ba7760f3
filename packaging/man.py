"""Writes ``packaging/xmpp-moved.1`` from the command's own help, so that the two cannot differ.

Run ``python packaging/man.py`` after a change of a command; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from component import __version__  # noqa: E402
from component.ui.cli import NAME, app  # noqa: E402
from component.ui.exits import Exit  # noqa: E402

PAGE = ROOT / "packaging" / f"{NAME}.1"

_INTRO = """\
A contact who moves to another address names the old account, and publishes there where they went.
This component of an XMPP server verifies that and lets the rosters of the server's users follow.
It also does the mover's part for users who leave or arrive."""

_FILES = (
    ("/etc/xmpp-moved/config.toml", "The configuration; every option with its meaning stands in "
     "config.example.toml."),
    ("/etc/xmpp-moved/secret", "The secret that is shared with the server, where [component] "
     "secret_file names it."),
    ("/var/lib/xmpp-moved/moved.db", "The journal and the audit."),
    ("/run/xmpp-moved/control.sock", "Where pause, resume, undo and moves --watch reach the "
     "running component."),
)  # fmt: skip
_SIGNALS = (
    ("SIGHUP", "Read the configuration again. What needs a restart is named in the log; a file "
     "with a mistake changes nothing."),
    ("SIGTERM, SIGINT", "Finish what is being decided, then stop."),
)  # fmt: skip
_EXITS = (
    (Exit.OK, "All is well."),
    (Exit.FAILURE, "It failed; standard error says why."),
    (Exit.USAGE, "The command line is wrong."),
    (Exit.REFUSED, "The server refuses the secret, or the password of an account."),
    (Exit.CONFIG, "The configuration is wrong."),
)
_ENVIRONMENT = (
    ("XMPP_MOVED_CONFIG", "The configuration file."),
    ("XMPP_MOVED__SECTION__KEY", "An option; it wins over the file."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "As systemd sets them: see sd_notify(3)."),
)


def page() -> str:
    """The whole manual page."""
    command = get_command(app)
    return "\n".join(
        [
            '.\\" Written by packaging/man.py: change the help of the commands instead.',
            f'.TH XMPP-MOVED 1 "" "{NAME} {__version__}" "User Commands"',
            ".SH NAME",
            f"{NAME} \\- {_text(_first(command)).rstrip('.')}",
            ".SH SYNOPSIS",
            f".B {NAME}",
            "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
            ".SH DESCRIPTION",
            _text(_INTRO),
            ".SH OPTIONS",
            *_options(command),
            ".SH COMMANDS",
            *(line for name, one in _commands(command) for line in _command(name, one)),
            ".SH SIGNALS",
            *_terms(_SIGNALS),
            ".SH EXIT STATUS",
            *_terms(tuple((str(int(code)), text) for code, text in _EXITS)),
            ".SH FILES",
            *_terms(_FILES),
            ".SH ENVIRONMENT",
            *_terms(_ENVIRONMENT),
            ".SH SEE ALSO",
            _text("XEP-0283: Moved; prosodyctl(8), ejabberdctl(8), systemctl(1)"),
            "",
        ]
    )


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its full name, those of groups included."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from _commands(one, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", one


def _command(name: str, command: Any) -> Iterator[str]:
    given = [
        f"\\fI{_text(_metavar(one))}\\fR"
        for one in command.params
        if one.param_type_name == "argument"
    ]
    yield ".SS " + " ".join([f"{NAME} {name}", "[\\fIOPTIONS\\fR]", *given])
    for paragraph in (command.help or "").strip().split("\n\n"):
        yield ".PP"
        yield _text(" ".join(paragraph.split()))
    for one in command.params:
        if one.param_type_name == "argument" and getattr(one, "help", None):
            yield from _terms(((_metavar(one), one.help),))
    yield from _options(command)


def _options(command: Any) -> Iterator[str]:
    for one in command.params:
        if one.param_type_name != "option" or getattr(one, "hidden", False):
            continue
        names = ", ".join([*one.opts, *one.secondary_opts])
        value = "" if one.is_flag else f" {_metavar(one)}"
        default = one.default
        shown = "" if one.is_flag or default is None or callable(default) else f" [{default}]"
        yield from _terms(((f"{names}{value}", f"{one.help or ''}{shown}"),))


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _terms(pairs: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for term, text in pairs:
        yield ".TP"
        yield f"\\fB{_text(term)}\\fR"
        yield _text(" ".join(text.split()))


def _first(command: Any) -> str:
    return str((command.help or "").strip().split("\n\n")[0])


def _text(text: str) -> str:
    """Text as roff takes it: hyphens that can be copied, no line that begins a request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in plain.split("\n"))


if __name__ == "__main__":
    PAGE.write_text(page())
