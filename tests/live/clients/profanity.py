"""profanity, driven by its commands; ``/roster`` lists what it holds in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.live.clients.base import Account, Program, Screened, iq_answered
from tests.live.clients.terminal import Home, Terminal
from tests.live.servers.base import C2S_PORT, PASSWORD, RosterEntry

# Nothing that would ask the desktop or the network; the roster panel by groups.
_PROFRC = """\
[ui]
splash=false
vercheck=false
beep=false
roster=true
roster.by=group
roster.offline=true
roster.size=25
[notifications]
message=off
sub=false
invite=false
[logging]
chlog=false
grlog=false
"""
# tls.policy: the test servers have no certificate.
_ACCOUNT = """\
[{jid}]
enabled=true
jid={jid}
server={address}
port={port}
resource=profanity
password={password}
tls.policy=disable
"""
_LINES = 100
"""A screen on which nothing scrolls away within a test."""
_TITLE = "Roster: jid (nick) - subscription - groups"
_LINE = re.compile(
    r"[\d:]{8} -   (?P<jid>\S+@\S+)(?: \((?P<name>.*?)\))? - (?P<subscription>none|to|from|both)"
    r"(?P<ask>, request sent)?(?:, request received)?(?: - (?P<groups>\S.*?))?"
    r"(?:\s{2,}.*)?"  # the roster panel
)
_PONG = "Ping response from "  # the server, or the own account, by what the answer says
_TIME = re.compile(r"[\d:]{8} - ?")


class Profanity(Screened):
    """See :class:`tests.live.clients.base.ChatClient`."""

    @classmethod
    async def start(cls, account: Account) -> Profanity:
        """Log in with an account file; the console with the roster panel is on the screen."""
        home = Home("profanity")
        home.write("config/profanity/profrc", _PROFRC)
        home.write(
            "data/profanity/accounts",
            _ACCOUNT.format(
                jid=account.jid, address=account.address, port=C2S_PORT, password=PASSWORD
            ),
        )
        log = home.path / "profanity.log"
        command = ["profanity", "--account", account.jid, "--log", "INFO", "--logfile", str(log)]
        client = cls(home, Terminal(f"profanity of {account.jid}", command, home, lines=_LINES))
        # The panel has groups as soon as the roster is there.
        return await client.until_ready("logged in successfully", "no group (")

    async def roster(self) -> Mapping[str, RosterEntry]:
        """What ``/roster`` lists, once the server has answered a ping.

        The list is complete when the complaint about the next, unknown command follows it.
        """
        await self._ping()
        self._command("/roster")
        await self._mark()
        lines = self.terminal.lines
        last = max(number for number, line in enumerate(lines) if _TITLE in line)
        entries: dict[str, RosterEntry] = {}
        for line in lines[last + 1 :]:
            found = _LINE.fullmatch(line)
            if found is None:
                break
            groups = tuple(sorted((found["groups"] or "").split(", "))) if found["groups"] else ()
            entries[found["jid"]] = RosterEntry(
                found["jid"], found["subscription"], found["name"], groups, bool(found["ask"])
            )
        return entries

    async def send(self, stanza: str) -> None:
        """Type the stanza into the XML console, which sends it as it is and shows all traffic."""
        stanza, id_ = self.with_id(stanza)
        # What profanity asks the server after logging in would fill the XML console.
        await self._ping()
        self._command("/xmlconsole")
        self._command(stanza)
        if stanza.startswith("<iq "):

            def answered() -> bool:
                lines = (_TIME.sub("", line).strip() for line in self.terminal.lines)
                return iq_answered(" ".join(lines), id_)

            await self.terminal.until(answered, f"answer to {stanza}")
        self._command("/win 1")

    async def shows_request(self, jid: str) -> None:
        """Wait for the line in the console."""
        await self.terminal.shows(f"Received authorization request from {jid}")

    def was_asked(self) -> bool:
        """True where the console tells of any request."""
        return "authorization request" in self.screen

    async def approve(self, jid: str) -> None:
        """``/sub allow``, once the request is on the screen."""
        await self.shows_request(jid)
        self._command(f"/sub allow {jid}")
        await self.terminal.shows(f"Accepted subscription for {jid}")

    async def leave(self) -> None:
        """``/quit``."""
        self._command("/quit")

    async def _ping(self) -> None:
        begin = await self._mark()
        self._command("/ping")
        await self.terminal.until(
            lambda: _PONG in self.screen.rpartition(begin)[2], "answer to a ping of the server"
        )

    async def _mark(self) -> str:
        """Return, once it is on the screen, a line that comes after all output so far."""
        command = f"/no-{self.new_id()}-"
        self._command(command)
        await self.terminal.shows(f"Unknown command: {command}")
        return f"Unknown command: {command}"

    def _command(self, line: str) -> None:
        self.terminal.type(line + "\r")


PROFANITY = Program("profanity", Profanity.start)
