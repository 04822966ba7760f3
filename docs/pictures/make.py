"""Makes the pictures of docs/moving.md anew: ``make pictures``.

Juliet moves on throw-away servers, and the screens are those of Gajim, a client that nobody here
wrote and that knows nothing of moves.  All that she does she does in it, with keys and a pointer.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from component.config.movers import MoversSection
from docs.pictures.screen import Gajim
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
FIRST_CHAT = (200, 150)
"""Where the first chat of the list is."""
ME = (35, 627)
"""Where the own picture is: a click shows account and requests."""
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
        self.lines: list[str] = []
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
            for client in clients:
                await stack.enter_async_context(client)
                await client.rest()
            self.say("servers and clients are there")
            await self.move(*clients)

    async def move(self, old: Gajim, new: Gajim, romeo: Gajim, friar: Gajim) -> None:
        """Juliet moves, by chat, as docs/moving.md tells her."""
        began = time.monotonic()
        await old.add_contact(COMPONENT_HOST)
        await old.picture(HERE / "added.png")
        await old.activate("account-execute-command", f"'{COMPONENT_HOST}'")
        await old.rest()
        await old.picture(HERE / "adhoc.png")
        await old.click(284, 164)
        await old.click(663, 538)
        await old.rest()
        await old.picture(HERE / "adhoc1.png")
        await old.press("Tab")
        await old.type(NEW)
        await old.picture(HERE / "adhoc2.png")
        await old.click(663, 538)
        await old.rest()
        await old.picture(HERE / "adhoc3.png")
        await old.press("Escape")
        await old.rest()
        await old.open_chat("moved")
        await old.say("help")
        await old.hears("Move away")
        self.say("Juliet has help")
        await old.picture(HERE / "help.png")

        await old.say("move away")
        await old.hears("Your new address")
        await old.say(NEW)
        await old.hears("contacts will be told")
        self.say("the checks are done")
        await old.picture(HERE / "checked.png")
        await old.say("1")
        await old.hears("Who may read")
        await old.rest()
        await old.say("1")
        await old.hears("The code")
        self.say("the code is asked for")
        said = await new.hears("enter this code there")
        await new.click(*FIRST_CHAT)
        await new.picture(HERE / "code.png")
        found = re.search(r"enter this code there: (\S+)", said)
        assert found is not None, said
        await old.say(found[1])
        await old.hears("has begun")
        self.say("the move has begun")
        await romeo.hears("has moved from")
        await romeo.click(*FIRST_CHAT)
        await romeo.picture(HERE / "notice.png")
        await friar.click(*ME)
        await friar.picture(HERE / "request.png")
        await old.hears("5 of 6")
        self.say("five of six follow")
        await old.picture(HERE / "progress.png")
        await romeo.activate("account-execute-command", f"'{COMPONENT_HOST}'")
        await romeo.rest()
        await romeo.click(284, 429)
        await romeo.click(663, 538)
        await romeo.picture(HERE / "settings.png")
        print("\n".join(old.received()[-3:]))


def main(arguments: Sequence[str]) -> int:
    """Make all pictures; exit code 0 where all were made."""
    with tempfile.TemporaryDirectory(prefix="xm-pictures-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the clients run as somebody else
        asyncio.run(Play(folder).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
