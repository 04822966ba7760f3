"""What the documents promise is there: linked files, pictures, words, options, and the times."""

from __future__ import annotations

import ast
import math
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel
from typer.main import get_command

from component.config import Config
from component.config.movers import MoversSection
from component.core.journey.pace import Rates, estimate
from component.engine.belongings.ports import CopyOrders
from component.engine.files.ports import FileOrders
from component.engine.movers.orders import AdminOrders, DraftOrders, MoverOrders
from component.engine.ports import Clock
from component.ui import talk
from component.ui.cli import app
from component.ui.talk.admin import Admin
from component.ui.talk.choices import Choices
from component.ui.talk.commands import Command
from component.ui.talk.files import Files
from component.ui.talk.language import Languages
from component.ui.talk.moving import Moving
from component.ui.talk.running import Running
from component.ui.talk.things import Things
from tests.unit.core.journey.test_pace import simulate

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MOVING, ADMIN = DOCS / "moving.md", DOCS / "admin.md"
DOCUMENTS = (
    *sorted(DOCS.rglob("*.md")),
    *sorted(ROOT.glob("*.md")),
    ROOT / "tests" / "live" / "README.md",
)
PICTURE_BYTES = 120_000

_FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_ITALIC = re.compile(r"(?<!\*)\*(?=[^\s*])([^*\n]+?)(?<=\S)\*(?!\*)")

EXAMPLES = {"1-4, 7", "all but 3, 5", "moved.montague.example"}
"""In moving.md: answers and addresses, no words of ours."""
ELSEWHERE = {"Execute Command…"}
"""Set in italics, and to be read in a client, not in ours."""
NOT_OURS = {
    "<gone/>",
    "m1",
    "1",
    "debug",
    "plugin_paths",
    "modules_enabled",
    "LoadCredential",
    "RuntimeDirectory=xmpp-moved",
    "prosodyctl shell module reload moved_hook HOST",
    "ejabberdctl module_upgrade mod_moved_hook",
}
"""In admin.md: values, numbers, other programs' commands."""


def prose(path: Path) -> str:
    """A document without its blocks of code, each paragraph on one line."""
    return re.sub(r"(?<=\S)\n *(?=\S)", " ", _FENCE.sub("", path.read_text()))


def links(path: Path) -> Iterator[tuple[Path, str]]:
    """Files that a document links to, with the anchors there."""
    for target in _LINK.findall(_FENCE.sub("", path.read_text())):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield (path.parent / file if file else path), anchor


def anchors(path: Path) -> set[str]:
    """What headings are called in links."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_linked_is_there(path: Path) -> None:
    for file, anchor in links(path):
        assert file.exists(), f"{path.name} links to {file}"
        assert not anchor or anchor in anchors(file), f"{path.name} links to {file.name}#{anchor}"


def test_pictures_are_small_and_used() -> None:
    screens = set((DOCS / "pictures").glob("*.png"))
    charts = set(DOCS.rglob("*.svg"))
    shown = {file.resolve() for path in DOCUMENTS for file, _ in links(path)}
    assert screens
    assert screens | charts <= shown
    assert all(screen.stat().st_size < PICTURE_BYTES for screen in screens)


def test_documents_are_what_a_person_reads() -> None:
    """What programs keep for themselves lies in bench/results."""
    kinds = {file.suffix for file in DOCS.rglob("*") if "__pycache__" not in file.parts}
    assert kinds <= {"", ".md", ".png", ".svg", ".py"}


# Words and options ----------------------------------------------------------------------------


def commands() -> list[Command]:
    """All of them; nothing is ordered."""
    movers, admin = cast(MoverOrders, None), cast(AdminOrders, None)
    things = Things(cast(CopyOrders, None), movers)
    return [
        *Moving(cast(DraftOrders, None)).commands(),
        *Running(movers).commands(),
        *things.commands(),
        *Files(cast(FileOrders, None), things, cast(Clock, None)).commands(),
        *Choices(movers, Languages("en")).commands(),
        *Admin(admin).commands(),
    ]


def chat_words() -> set[str]:
    """What calls a command, and what is understood within one."""
    texts = [command.words for command in commands()]
    folder = Path(talk.__file__).parent
    for name in ("chat.py", "picking.py", "moving.py"):
        texts += _marked(folder / name)
    return {word.strip() for text in texts for word in text.split(",")}


def _marked(path: Path) -> Iterator[str]:
    """Words of a dialog: what a constant of this file has for translators."""
    for node in ast.parse(path.read_text()).body:
        value = node.value if isinstance(node, ast.AnnAssign) else None
        if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "N_":
            yield ast.literal_eval(value.args[0])


def sections() -> dict[str, type[BaseModel]]:
    """Sections of the configuration by name."""
    found: dict[str, Any] = {name: field.annotation for name, field in Config.model_fields.items()}
    return found


def options() -> set[str]:
    """Every option, by its own name."""
    return {option for section in sections().values() for option in section.model_fields}


def test_words_in_moving() -> None:
    # "open" is how the question's second answer is called in a form; the marks are those of lists.
    known = chat_words() | EXAMPLES | {"open", "[to]", "[from]"}
    unknown = set(_CODE.findall(prose(MOVING))) - known
    assert not unknown


def test_texts_in_moving() -> None:
    said = "\n".join(path.read_text() for path in Path(talk.__file__).parent.glob("*.py"))
    said = re.sub(r'"\s+"', "", said)
    for text in set(_ITALIC.findall(_CODE.sub("", prose(MOVING)))) - ELSEWHERE:
        assert f'"{text}' in said, text


def test_words_and_options_in_admin() -> None:
    known = chat_words() | options() | NOT_OURS
    for code in set(_CODE.findall(prose(ADMIN))) - known:
        section = re.fullmatch(r"\[(\w+)\](?: (\w+))?", code)
        setting = re.fullmatch(r"(\w+) = \S+", code)
        if section is not None:
            assert section[1] in sections(), code
            assert section[2] is None or section[2] in sections()[section[1]].model_fields, code
        elif setting is not None:
            assert setting[1] in options(), code
        else:
            _check_command(code)


def _check_command(text: str) -> None:
    """``xmpp-moved moves --watch``, ``moves --watch`` or ``--watch``."""
    known: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    words = text.removeprefix("xmpp-moved ").split()
    flags = {o for command in _all(known) for parameter in command.params for o in parameter.opts}
    names = [word for word in words if word.islower() and not word.startswith("-")]
    assert set(names) <= {command.name for command in _all(known)}, text
    assert {word for word in words if word.startswith("--")} <= flags, text


def _all(known: dict[str, Any]) -> Iterator[Any]:
    for command in known.values():
        yield command
        yield from _all(getattr(command, "commands", {}))


def test_every_option_of_movers_is_explained_with_its_default() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \| [^|]+ \|$", ADMIN.read_text(), re.M)
    defaults = MoversSection()
    explained: dict[str, str] = {}
    for names, values in rows:
        listed = _CODE.findall(names)
        parts = values.split(", ") if len(listed) > 1 else [values]
        explained |= dict(zip(listed, parts, strict=True))
    assert explained == {name: _shown(getattr(defaults, name)) for name in explained}
    assert set(explained) == set(MoversSection.model_fields)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(_shown(part) for part in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def test_the_pace_table() -> None:
    rows = re.findall(
        r"^\| (\d+) on (?:(your own)|(one|\d+)) (?:other )?servers? \| (.+) \| (.+) \|$",
        MOVING.read_text(),
        re.MULTILINE,
    )
    assert len(rows) == 7
    for number, own, servers, *told in rows:
        count = 1 if own or servers == "one" else int(servers)
        each = [(f"s{n}.example", int(number) // count) for n in range(count)]
        near = tuple(name for name, _ in each) if own else ()
        most = estimate(each, Rates(), near)
        for words, seconds in zip(told, (most, simulate(dict(each), near=near).end), strict=True):
            minutes = math.ceil(seconds / 60)
            fits = f"{minutes} minutes" if minutes < 120 else f"{math.ceil(minutes / 60)} hours"
            named = {"a few seconds": 6.0, "half a minute": 30.0}.get(words)
            assert words == fits if named is None else seconds <= named, (number, servers, seconds)


# Installing -----------------------------------------------------------------------------------

_BLOCK = re.compile(r"^<!-- run: (\S+) -->\n```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = dict(_BLOCK.findall((ROOT / "README.md").read_text()))
"""What the README says to paste, by server; tests/machines runs it."""


def test_every_server_has_a_block_to_paste() -> None:
    servers = {"prosody", "ejabberd", "snikket"}
    wanted = {f"{what}{name}" for name in servers for what in ("", "update-", "remove-")}
    assert set(BLOCKS) == wanted


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_shell_and_its_commands_are_ours(name: str) -> None:
    block = BLOCKS[name]
    done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if not name.startswith("remove-"):
        # A step is done only if the one before it worked.
        body, config = block.replace("\\\n", ""), re.compile(r"<<'END' &&\n.*?^END$", re.M | re.S)
        lines = config.sub("<<'END' &&", body).strip().splitlines()
        assert [line for line in lines[:-1] if not re.search(r"&&( +#.*)?$", line)] == []
        last = "check --wait 60" if name.startswith("update-") else "enable --now xmpp-moved"
        assert last in lines[-1]
    command = get_command(app)
    for words in re.findall(r"\bxmpp-moved ((?:hook|check)[^&|]*)", block.replace("\\\n", " ")):
        found, arguments = command, shlex.split(words)
        while arguments and arguments[0] in getattr(found, "commands", {}):
            found = found.commands[arguments.pop(0)]  # type: ignore[attr-defined]
        known = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("--")} <= known
