"""The play: Juliet moves, her contacts watch, and one of them changes his mind."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich.padding import Padding
from rich.text import Text

from tests.demo import rosters
from tests.demo.chat import BOT, Chat, show_row
from tests.demo.person import Entry, Person
from tests.demo.stage import BEFORE, NEW, NURSE, OLD, PLAIN, ROMEO, SERVED, TYBALT, Astray, Stage
from tests.live.servers.base import COMPONENT_HOST

_BAR = " of 3"
"""Only the message that shows progress, and the answer to "progress", hold this."""


class Play:
    """Everything that happens, in order."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.console = stage.console

    async def run(self) -> None:
        """All acts; raises Astray where one cannot go on."""
        stage = self.stage
        stage.announce("A throw-away Prosody starts, and the component.")
        await stage.open()
        self._note(f"{' and '.join(SERVED)} have the server module; {PLAIN} knows nothing of moves")

        stage.announce("Romeo is online with two devices, Tybalt with one; the Nurse is offline.")
        self.phone = await stage.enter(ROMEO, "phone")
        self.laptop = await stage.enter(ROMEO, "laptop")
        self.tybalt = await stage.enter(TYBALT, "phone")
        self.old = await stage.enter(OLD, "old account")
        self.new = await stage.enter(NEW, "new account")
        rosters.show_before(stage, {OLD: self.old, ROMEO: self.laptop, TYBALT: self.tybalt})

        await self._order_move()
        await self._watch_contacts()
        await self._finish()
        nurse = await self._wake_nurse()
        people = {
            ROMEO: self.laptop,
            NURSE: nurse,
            TYBALT: self.tybalt,
            OLD: self.old,
            NEW: self.new,
        }
        await self._undo(people)

        stage.announce("In the end:")
        rosters.show_after(stage, people)
        await self._show_journal()

    # Juliet -------------------------------------------------------------------------------------

    async def _order_move(self) -> None:
        self.stage.announce("Juliet writes to the component.")
        chat = Chat(self.stage, self.old)
        chat.title()
        await chat.say(f"move away {NEW}", "The code")
        other = Chat(self.stage, self.new)
        other.title(" (her new account)")
        code = re.search(r"enter this code there: (\S+)", await other.hear("enter this code"))
        if code is None:
            self.stage.wrong.append("the message with the code holds none")
            raise Astray
        chat.title()
        await chat.say(code[1], "Who is told?")
        await chat.say("1", "Who may read")
        await chat.say("ok", "Begin now?")
        await chat.say("yes", "has begun")
        self._juliet = chat

    async def _watch_contacts(self) -> None:
        stage = self.stage
        stage.announce("Nobody does anything, and this is what they see.")
        await stage.until(
            "Romeo's devices",
            lambda: all(
                _holds(device, rosters.MOVED) and device.heard("has moved", COMPONENT_HOST)
                for device in (self.phone, self.laptop)
            ),
        )
        await stage.until("Tybalt's request", lambda: NEW in self.tybalt.requests)
        wanted = rosters.AFTER[NEW][NURSE]
        await stage.until("the Nurse to follow", lambda: self.new.entries.get(NURSE) == wanted)
        self._show_seen(self.phone)
        self._show_seen(self.laptop, like=self.phone)
        self._show_seen(self.tybalt)
        self._note("Tybalt's server is not ours: he decides, as with any request.")

    async def _finish(self) -> None:
        stage = self.stage
        stage.announce("Juliet asks how far it is. Then Tybalt accepts.")
        self._juliet.title()
        await self._juliet.say("progress", f"2{_BAR}")
        self.tybalt.accept(NEW)
        await self._juliet.hear("You can now delete")
        # The answer to "progress" has a thread; the message that is corrected has none.
        shown = [m for m in self.old.heard(_BAR, COMPONENT_HOST) if not m.thread]
        stage.check(len(shown) == 1, f"progress has to be one message, not {len(shown)}")
        for message in shown:
            total = len(message.versions)
            self._note(
                f"One message has shown the progress, corrected in place ({total} versions):"
            )
            for body in message.versions:
                show_row(self.console, f"{BOT}:", _short_progress(body))
            stage.check(total > 1, "the message that shows the progress was never corrected")
            stage.check(f"3{_BAR}" in message.body, "the progress does not end with 3 of 3")

    # Contacts -----------------------------------------------------------------------------------

    async def _wake_nurse(self) -> Person:
        self.stage.announce("The Nurse comes online and finds everything done.")
        nurse = await self.stage.enter(NURSE, "tablet")
        await self.stage.until(
            "the Nurse's notice", lambda: bool(nurse.heard("has moved", COMPONENT_HOST))
        )
        self._show_seen(nurse)
        # By now a second notice, or a request, would have come too.
        for device in (self.phone, self.laptop, nurse):
            self._check_told_once(device)
        self.stage.check(
            self.tybalt.requests == [NEW] and not self.tybalt.messages,
            f"Tybalt has to see one request and no message; he saw {self.tybalt.seen}",
        )
        return nurse

    async def _undo(self, people: Mapping[str, Person]) -> None:
        stage = self.stage
        stage.announce("Romeo changes his mind.")
        chat = Chat(stage, self.laptop)
        chat.title()
        await chat.say("undo", "Undone")
        wanted = rosters.AFTER[ROMEO]
        await stage.until(
            "Romeo's old entry",
            lambda: all(_holds(device, wanted) for device in (self.phone, self.laptop)),
        )
        # Pushes may still be on their way; what is wrong in detail, the table tells.
        await stage.until(
            "every roster to be right",
            lambda: all(_holds(people[jid], wanted) for jid, wanted in rosters.AFTER.items()),
        )
        self._show_entries(self.phone, wanted)
        self._show_entries(self.laptop, wanted)

    def _show_entries(self, device: Person, wanted: Mapping[str, Entry | None]) -> None:
        """A device's entries after the undo, each with a tick where it is what it was before."""
        self.console.print(f"  [green]{device.who}[/] has again:", highlight=False)
        for jid in wanted:
            entry = device.entries.get(jid)
            should = rosters.wrong_entry(self.stage, device.who, jid, entry, wanted)
            shown = rosters.tick(f"    {jid}: {entry or 'not there'}", should)
            same = jid in BEFORE[ROMEO] and should is None
            self.console.print(shown.append(" exactly as before" if same else ""))

    def _show_seen(self, person: Person, *, like: Person | None = None) -> None:
        """What a device was told, unless it is what another one was told."""
        self.console.print(f"  [green]{person.who}[/] saw:", highlight=False)
        if like is not None and person.seen == like.seen:
            self.console.print("    the same", highlight=False)
            return
        for what, text in person.seen or [("nothing", "")]:
            show_row(self.console, what, text)

    def _check_told_once(self, person: Person) -> None:
        notices = len(person.heard("", COMPONENT_HOST))
        self.stage.check(notices == 1, f"{person.who} has to get one notice, not {notices}")
        self.stage.check(not person.requests, f"{person.who} was asked: {person.requests}")

    # The admin ----------------------------------------------------------------------------------

    async def _show_journal(self) -> None:
        self.stage.announce("What the admin sees.")
        for command in (("moves",), ("show", "m1"), ("show", "1")):
            self.console.print(f"[bold]$ xmpp-moved {' '.join(command)}[/]", highlight=False)
            text = await self.stage.command(*command)
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _note(self, text: str) -> None:
        self.console.print(Padding(Text(text, style="dim"), (0, 0, 0, 2), expand=False))


def _holds(device: Person, wanted: Mapping[str, object]) -> bool:
    return all(device.entries.get(jid) == entry for jid, entry in wanted.items())


def _short_progress(body: str) -> str:
    """The bar and the counts of a message that shows progress, on one line."""
    lines = body.splitlines()
    bar = next((line for line in lines if _BAR in line), body)
    counts = [line for line in lines if line[:1].isdigit()]
    return f"{bar}: {', '.join(counts)}"
