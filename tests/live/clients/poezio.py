"""poezio, driven by its keys; the roster tab shows what it holds in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.live.clients.base import Account, Program, Screened, iq_answered
from tests.live.clients.terminal import Home, ScreenError, Terminal
from tests.live.servers.base import C2S_PORT, PASSWORD, RosterEntry

# force_encryption, ca_cert_path: the test servers have no certificate.
_CONFIG = """\
[Poezio]
jid = {jid}
password = {password}
custom_host = {address}
custom_port = {port}
force_encryption = false
ca_cert_path =
auto_reconnect = false
roster_show_offline = true
show_roster_jids = true
enable_vertical_tab_list = false
show_timestamps = false
enable_avatars = false
enable_user_activity = false
enable_user_gaming = false
enable_user_mood = false
enable_user_nick = false
enable_user_tune = false
use_bookmarks_method = local
use_remote_bookmarks = false
use_log = false
mam_sync = false
"""
_PROMPT = "Enter commands with"
_DOWN, _UP, _ABORT = "\x1b[B", "\x1b[A", "\x07"
_GROUP = re.compile(r"\[[-+]\] (?P<group>.+) \(\d+/\d+\)")
_CONTACT = re.compile(
    r" \S (?:\[[-+]\]|   ) (?:(?P<name>.+) \((?P<named>\S+@[^\s()]+)\)|(?P<jid>\S+@[^\s()]+?))"
    r"(?: \(\d+\))?(?P<marks>\W*)"
)
_NO_GROUP = "none"
_WALKS = 10


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the roster; ``group`` is the one it stands below."""

    group: str
    jid: str = ""
    name: str | None = None

    @property
    def heading(self) -> str:
        """What the pane below the roster begins with while this row is selected."""
        return f"{self.jid} (" if self.jid else self.group


class Poezio(Screened):
    """See :class:`tests.live.clients.base.ChatClient`."""

    def __init__(self, home: Home, terminal: Terminal, jid: str) -> None:
        super().__init__(home, terminal)
        self._jid = jid

    @classmethod
    async def start(cls, account: Account) -> Poezio:
        """Log in with a configuration file; the roster tab is on the screen."""
        home = Home("poezio")
        config = _CONFIG.format(
            jid=account.jid, address=account.address, port=C2S_PORT, password=PASSWORD
        )
        home.write("config/poezio/poezio.cfg", config)
        terminal = Terminal(f"poezio of {account.jid}", ["poezio"], home)
        client = cls(home, terminal, account.jid)
        return await client.until_ready("Your JID is", "Roster: ", _PROMPT)

    async def roster(self) -> Mapping[str, RosterEntry]:
        """Walk over the roster with the cursor; each row's pane tells the subscription."""
        await self.send("<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
        for _ in range(_WALKS):
            rows = self._rows()
            entries = await self._walk(rows)
            if entries is not None:
                return {jid: entry for jid, entry in entries.items() if jid != self._jid}
        raise ScreenError(f"the roster of {self._jid} changed {_WALKS} times while being read")

    async def send(self, stanza: str) -> None:
        """``/rawxml``; poezio shows what answers an IQ."""
        stanza, id_ = self.with_id(stanza)
        await self._command(f"/rawxml {stanza}")
        if stanza.startswith("<iq "):
            await self.terminal.until(
                lambda: iq_answered(" ".join(self._side("right")), id_), f"answer to {stanza}"
            )

    async def shows_request(self, jid: str) -> None:
        """Wait for the line among the messages."""
        await self.terminal.until(
            lambda: f"{jid} wants to subscribe" in " ".join(self._side("right")),
            f"request from {jid}",
        )

    def was_asked(self) -> bool:
        """True where the messages tell of any request."""
        return "wants to subscribe" in " ".join(self._side("right"))

    async def approve(self, jid: str) -> None:
        """Nothing to do: poezio approves by itself whoever has approved its user.

        (core/handlers.py, on_subscription_request, of poezio 0.14.)
        """

    async def leave(self) -> None:
        """``/quit``."""
        await self._command("/quit", back=False)

    async def _command(self, line: str, *, back: bool = True) -> None:
        # Keys that arrive at once are taken for a paste, in which Enter means a new line.
        terminal = self.terminal
        terminal.type(line[0])
        await terminal.until(lambda: terminal.cursor_line == line[0], "command line")
        terminal.type(line[1:])
        await terminal.until(lambda: terminal.cursor_line.endswith(line[-20:]), f"{line} typed")
        terminal.type("\r")
        if back:
            await self._idle()

    def _side(self, side: str) -> list[str]:
        """The lines of the left (roster) or right (messages) part of the tab, stripped."""
        parts = [line.partition("│") for line in self.terminal.lines if "│" in line]
        if side == "left":
            return [left.rstrip() for left, _, _ in parts]
        return [right.strip() for _, _, right in parts]

    def _rows(self) -> list[_Row]:
        rows: list[_Row] = []
        for line in self._side("left")[1:]:
            group, contact = _GROUP.fullmatch(line), _CONTACT.fullmatch(line)
            if group is not None:
                rows.append(_Row(group["group"]))
            elif contact is not None and rows:
                jid = contact["named"] or contact["jid"]
                rows.append(_Row(rows[-1].group, jid, contact["name"]))
            elif line:
                raise ScreenError(f"a line of poezio's roster that nobody understands: {line!r}")
        return rows

    async def _walk(self, rows: list[_Row]) -> dict[str, RosterEntry] | None:
        """Select each row in turn; None where the roster is no longer ``rows``."""
        self.terminal.type(_UP * len(rows))
        entries: dict[str, RosterEntry] = {}
        groups: dict[str, list[str]] = {}
        for number, row in enumerate(rows):
            if number:
                self.terminal.type(_DOWN)
            await self._drawn()
            heading, *facts = self._pane()
            if self._rows() != rows or not heading.startswith(row.heading):
                return None
            if not row.jid:
                continue
            told = dict(fact.split(": ", 1) for fact in facts if ": " in fact)
            if row.group != _NO_GROUP:
                groups.setdefault(row.jid, []).append(row.group)
            entries[row.jid] = RosterEntry(
                row.jid,
                told["Subscription"],
                row.name,
                tuple(sorted(groups.get(row.jid, ()))),
                told.get("Ask") == "asked",
            )
        return entries

    async def _drawn(self) -> None:
        """Return when everything before has been drawn: the command line is opened after it."""
        self.terminal.type("/")
        await self.terminal.until(lambda: self.terminal.cursor_line == "/", "command line")
        self.terminal.type(_ABORT)
        await self._idle()

    async def _idle(self) -> None:
        await self.terminal.until(lambda: _PROMPT in self.terminal.lines[-1], "idle last line")

    def _pane(self) -> list[str]:
        """What poezio tells of the selected row, left of the box for its picture."""
        right = self._side("right")
        top = max(number for number, line in enumerate(right) if "┌" in line)
        return [re.split("[┌│└]", line)[0].strip() for line in right[top:]]


POEZIO = Program("poezio", Poezio.start)
