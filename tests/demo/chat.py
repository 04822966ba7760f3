"""A chat with the component, carried on and shown."""

from __future__ import annotations

from itertools import count

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tests.demo.person import Person
from tests.demo.stage import Astray, Stage
from tests.live.servers.base import COMPONENT_HOST

BOT = COMPONENT_HOST.partition(".")[0]
"""What the component is called in a chat that is shown."""
_TICKS = 3
"""Lines with a tick that are shown of many."""
_threads = count(1)


def show_line(console: Console, who: str, text: str, *, style: str = "") -> None:
    """``who: text``, indented and wrapped; blank lines are left out, and many ticks shortened."""
    lines = [line for line in text.splitlines() if line.strip()]
    ticks = [line for line in lines if line.startswith("✓")]
    if len(ticks) > _TICKS:
        left = ticks[_TICKS - 1 :]
        at = lines.index(left[0])
        lines = [line for line in lines if line not in left]
        lines.insert(at, f"… {len(left)} more checks, all ✓")
    show_row(console, f"{who}:", "\n".join(lines), style=style)


def show_row(console: Console, who: str, text: str, *, style: str = "") -> None:
    """Two columns, indented; the second one wraps within itself."""
    table = Table.grid(padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True, min_width=7)
    table.add_column(overflow="fold")
    table.add_row(Text(who, style="bold"), Text(text, style=style))
    console.print(Padding(table, (0, 0, 0, 4), expand=False))


class Chat:
    """One person's chat with the component.

    What the person writes has a thread, and so has each answer: notices have none.
    """

    def __init__(self, stage: Stage, person: Person) -> None:
        self._stage = stage
        self._person = person
        self._who = str(person.boundjid.user).capitalize()
        self._thread = f"demo-{next(_threads)}"

    def title(self, note: str = "") -> None:
        """Say whose chat follows."""
        self._stage.console.print(
            f"  [green]{self._person.boundjid.bare}[/] ⇄ {COMPONENT_HOST}{note}", highlight=False
        )

    async def say(self, text: str, expected: str) -> str:
        """Write something, show it and the answer.

        :param expected: what the answer has to hold.
        :raises Astray: it does not, or none came.
        """
        show_line(self._stage.console, self._who, text, style="cyan")
        before = len(self._answers())
        self._person.write(COMPONENT_HOST, text, self._thread)
        came = await self._stage.until(
            f"an answer to “{text}”", lambda: len(self._answers()) > before
        )
        if not came:
            raise Astray
        answer = self._answers()[before]
        show_line(self._stage.console, BOT, answer)
        if expected not in answer:
            self._stage.wrong.append(f"the answer to “{text}” does not say “{expected}”")
            raise Astray
        return answer

    async def hear(self, expected: str) -> str:
        """Wait for a notice that holds this, and show it; raises Astray."""
        found = self._person.heard
        came = await self._stage.until(
            f"“{expected}” in {self._person.who}", lambda: bool(found(expected, COMPONENT_HOST))
        )
        if not came:
            raise Astray
        body = found(expected, COMPONENT_HOST)[0].body
        show_line(self._stage.console, BOT, body)
        return body

    def _answers(self) -> list[str]:
        return [
            m.body
            for m in self._person.messages.values()
            if m.sender == COMPONENT_HOST and m.thread == self._thread
        ]
