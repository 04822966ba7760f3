"""Makes the pictures of docs/moving.md anew: ``make pictures``.

Juliet moves on throw-away servers, and the screens are those of Gajim, a client that nobody here
wrote and that knows nothing of moves.  All that she does she does in it, with keys and a pointer.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from component.config.movers import MoversSection
from docs.pictures.screen import Gajim
from tests.live.movers.people import Person
from tests.live.movers.world import FAST, Settings, World
from tests.live.servers.base import COMPONENT_HOST, RosterEntry
from tests.live.servers.differences import KINDS

HERE = Path(__file__).parent
OLD, NEW = "juliet@montague.example", "juliet@verona.example"
ROMEO, FRIAR = "romeo@montague.example", "friar@mantua.example"
OTHERS = (
    ("nurse@verona.example", "Nurse"),
    ("mercutio@montague.example", "Mercutio"),
    ("benvolio@verona.example", "Benvolio"),
    ("rosaline@montague.example", "Rosaline"),
)
LOOK = 90.0
"""Seconds that something may take for which others are waited for."""

# Places on the screen, and areas of it.
FIRST_CHAT, ME = (200, 150), (35, 627)
REQUEST, ACCEPT = (530, 439), (708, 432)
FIRST_COMMAND, LAST_COMMAND, NEXT = (284, 164), (284, 429), (663, 538)
TOP, MIDDLE = "860x340+0+0", "860x530+0+0"
CHAT, UNDONE = "550x633+310+27", "550x350+310+27"
DIALOG, COMMANDS, SETTINGS = "602x502+129+79", "602x385+129+79", "602x190+129+79"
HOUSES = ("montague", "mantua")


def real_pace() -> Settings:
    """What a world for tests hurries, as it is by default: the time taken is a real one."""
    section = MoversSection()
    return tuple((key, getattr(section, key.partition(".")[2])) for key in FAST)


class Play:
    """Servers, clients and what happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World(KINDS["prosody-0.12"], folder / "world", real_pace(), HOUSES)
        self.device = Person(OLD, self.world.house_of(OLD).server)
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Tell what is happening, and when it did."""
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)

    def arrange(self) -> None:
        """Accounts and rosters."""
        contacts = [(ROMEO, "Romeo"), (FRIAR, "Friar Laurence"), *OTHERS]
        for jid in (OLD, NEW, *(jid for jid, _ in contacts)):
            self.world.house_of(jid).server.add_user(jid)
        mine = [RosterEntry(jid, "both", name, ("Verona",)) for jid, name in contacts]
        self.world.house_of(OLD).server.set_roster(OLD, mine)
        for jid, _ in contacts:
            self.world.house_of(jid).server.set_roster(jid, [RosterEntry(OLD, "both", "Juliet")])

    def client(self, jid: str, name: str) -> Gajim:
        """A client for one account."""
        return Gajim(jid, self.world.house_of(jid).server.spec.address, self.folder / name)

    async def run(self) -> None:
        """Everything, from two accounts to a finished move."""
        self.arrange()
        await self.world.start()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.world.stop)
            clients = (
                self.client(OLD, "old"),
                self.client(NEW, "new"),
                self.client(ROMEO, "romeo"),
                self.client(FRIAR, "friar"),
            )
            await self.device.log_in()
            stack.push_async_callback(self.device.log_out)
            for client in clients:
                await stack.enter_async_context(client)
                await client.rest()
            self.say("servers and clients are there")
            old, new, romeo, friar = clients
            await self.show_forms(old, new)
            await self.move(old, new)
            await self.watch(old, romeo, friar)
            await self.end(romeo)

    async def show_forms(self, old: Gajim, new: Gajim) -> None:
        """The same by the client's command window, as far as the page with the checks."""
        await old.execute_command(COMPONENT_HOST)
        await old.picture(HERE / "commands.png", crop=COMMANDS)
        await old.click(*FIRST_COMMAND)
        await old.click(*NEXT)
        await old.rest()
        await old.press("Tab")
        await old.type(NEW)
        await old.rest()
        await old.click(*NEXT)
        said = await new.hears("enter this code there")
        found = re.search(r"enter this code there: (\S+)", said)
        assert found is not None, said
        await old.rest()
        await old.press("Tab")
        await old.type(found[1])
        await old.rest()
        await old.click(*NEXT)
        await old.picture(HERE / "form.png", crop=DIALOG)
        await old.press("Escape")
        await old.rest()

    async def move(self, old: Gajim, new: Gajim) -> None:
        """Juliet moves, by chat, as docs/moving.md tells her."""
        began = time.monotonic()
        await old.add_contact(COMPONENT_HOST)
        await old.open_chat(COMPONENT_HOST.partition(".")[0])
        await old.say("help")
        await old.hears("Move away")
        await old.picture(HERE / "help.png", crop=CHAT)
        await old.say("move away")
        await old.hears("Your new address")
        await old.say(NEW)
        await old.hears("The code")
        said = await new.hears("enter this code there", times=2)  # after that of the forms
        await new.click(*FIRST_CHAT)
        await new.picture(HERE / "code.png", crop=TOP)
        found = re.search(r"enter this code there: (\S+)", said)
        assert found is not None, said
        await old.say(found[1])
        await old.hears("contacts will be told")
        await old.picture(HERE / "checked.png", crop=CHAT)
        await old.say("ok")
        await old.hears("Who may read")
        await old.rest()
        await old.say("ok")
        await old.hears("Begin now")
        await old.rest()
        await old.say("ok")
        await old.hears("has begun")
        self.say(f"Juliet's part took {time.monotonic() - began:.0f} s")

    async def watch(self, old: Gajim, romeo: Gajim, friar: Gajim) -> None:
        """What everybody sees while the contacts follow."""
        began = time.monotonic()
        await romeo.hears("has moved from")
        await romeo.click(*FIRST_CHAT)
        await romeo.picture(HERE / "notice.png", crop=TOP)
        await friar.click(*ME)
        await friar.rest()
        await friar.point(*REQUEST)
        await friar.picture(HERE / "request.png", crop=MIDDLE)
        # Gajim shows a correction at once, but writes it down late: a second device hears it.
        await self.device.hears("5 of 6", sender=COMPONENT_HOST, timeout=LOOK)
        self.say(f"progress is shown {time.monotonic() - began:.0f} s after the beginning")
        await old.picture(HERE / "progress.png", crop=CHAT)
        await friar.click(*ACCEPT)
        await friar.rest()
        await friar.press("Return")  # Gajim offers to add who was accepted: "Next",
        await friar.rest()
        await friar.press("Return")  # and "Add Contact"
        await old.hears("You can now delete", timeout=LOOK)
        self.say(f"all have followed, {time.monotonic() - began:.0f} s after the beginning")
        await old.picture(HERE / "done.png", crop=CHAT)

    async def end(self, romeo: Gajim) -> None:
        """A contact looks at the settings, and takes the change back."""
        await romeo.execute_command(COMPONENT_HOST)
        await romeo.click(*LAST_COMMAND)
        await romeo.click(*NEXT)
        await romeo.picture(HERE / "settings.png", crop=SETTINGS)
        await romeo.press("Escape")
        await romeo.rest()
        await romeo.say("undo")
        await romeo.hears("Undone")
        await romeo.picture(HERE / "undone.png", crop=UNDONE)


def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory(prefix="xm-pictures-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the clients run as somebody else
        asyncio.run(Play(folder).run())


if __name__ == "__main__":
    main()
