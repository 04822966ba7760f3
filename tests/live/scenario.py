"""Reads scenario files; ``README.md`` beside this file describes the language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.live.servers.base import HookOptions
from tests.live.topology import Arrangement

_SECTIONS = ("accounts", "rosters", "statements", "faults", "component", "server")
_HEADERS = ("title", "shows", "xep", "ignore")
_SECTION = re.compile(r"\[(\w+)\]")


class ScenarioError(Exception):
    """A scenario file cannot be understood; names file and line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line with the indented lines below it, still with its ``{names}``."""

    number: int
    text: str
    body: str


@dataclass(frozen=True, slots=True)
class Account:
    """A declared account: ``alias`` is its local part in the file."""

    alias: str
    host: str
    exists: bool


@dataclass
class Scenario:
    """A parsed file."""

    path: Path
    headers: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    sections: dict[str, list[Line]] = field(default_factory=dict)
    steps: list[Line] = field(default_factory=list)
    arrangement: Arrangement = field(default_factory=Arrangement)

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.path.stem

    @property
    def interrupts(self) -> bool:
        """True where a step starts, stops or kills the component or a server."""
        return any(step.text.startswith(("component ", "server ")) for step in self.steps)

    @property
    def ignored(self) -> frozenset[str]:
        """Words of the header ``ignore``."""
        return frozenset(self.headers.get("ignore", "").replace(",", " ").split())

    def error(self, number: int, what: str) -> ScenarioError:
        """An error that names the place."""
        return ScenarioError(f"{self.path}:{number}: {what}")


def read(path: Path) -> Scenario:
    """Parse a file; raises ScenarioError."""
    scenario = Scenario(path, sections={name: [] for name in _SECTIONS})
    head, ruled, rest = path.read_text().partition("\n---\n")
    if not ruled:
        raise scenario.error(1, "no line '---' between declarations and steps")
    section = ""
    for line in _lines(head, 1):
        found = _SECTION.fullmatch(line.text)
        if found:
            section = found[1]
            if section not in _SECTIONS:
                raise scenario.error(line.number, f"unknown section [{section}]")
        elif section:
            scenario.sections[section].append(line)
        else:
            key, _, value = line.text.partition(":")
            if key not in _HEADERS:
                raise scenario.error(line.number, f"unknown header {key!r}")
            scenario.headers[key] = " ".join((value.strip() + " " + line.body).split())
    for needed in ("title", "shows"):
        if needed not in scenario.headers:
            raise scenario.error(1, f"header {needed!r} is missing")
    for line in scenario.sections["accounts"]:
        account = _account(scenario, line)
        scenario.accounts[account.alias] = account
    scenario.steps = list(_lines(rest, head.count("\n") + 3))
    scenario.arrangement = _arrangement(scenario)
    return scenario


def _lines(text: str, first: int) -> Iterator[Line]:
    number, head, body = 0, "", list[str]()
    for at, raw in enumerate(text.splitlines(), first):
        if raw.startswith("#"):
            continue
        if raw[:1].isspace() and head:
            body.append(raw)
            continue
        if not raw.strip():
            if head:
                body.append("")
            continue
        if head:
            yield Line(number, head, "\n".join(body).rstrip())
        number, head, body = at, raw.strip(), []
    if head:
        yield Line(number, head, "\n".join(body).rstrip())


def _account(scenario: Scenario, line: Line) -> Account:
    found = re.fullmatch(r"([a-z][a-z0-9-]*)@([^\s@/]+)(\s+missing)?", line.text)
    if not found:
        raise scenario.error(line.number, "an account is 'local@host', perhaps with 'missing'")
    return Account(found[1], found[2], found[3] is None)


def _arrangement(scenario: Scenario) -> Arrangement:
    component, settings = False, list[tuple[str, object]]()
    lines = scenario.sections["component"]
    for line in lines:
        if line.text in ("running", "absent"):
            component = line.text == "running"
            continue
        key, _, value = (part.strip() for part in line.text.partition("="))
        if "." not in key or not value:
            raise scenario.error(line.number, "'running', 'absent' or 'section.key = value'")
        settings.append((key, _value(value)))
    options: dict[str, float] = {}
    for line in scenario.sections["server"]:
        key, _, value = (part.strip() for part in line.text.partition("="))
        if key not in ("hook.timeout", "hook.max_held"):
            raise scenario.error(line.number, "server options: hook.timeout, hook.max_held")
        options[key] = float(value)
    if not lines and not options:
        return Arrangement()
    held = options.get("hook.max_held")
    hook = HookOptions(options.get("hook.timeout"), int(held) if held is not None else None)
    return Arrangement(hook, component, tuple(settings))


def _value(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    if text.startswith("["):
        return tuple(part.strip().strip('"') for part in text[1:-1].split(",") if part.strip())
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text.strip('"')
