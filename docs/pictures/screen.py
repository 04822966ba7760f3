"""A real graphical client, Gajim, on a screen that nobody looks at but us."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from tests.live.servers.base import C2S_PORT, PASSWORD

SIZE = (860, 660)
"""Width and height of the screen, in pixels; the client fills it."""
PATIENCE = 30.0
"""Seconds within which the client must show what is waited for."""
_POLL = 0.1
_USER = "nobody"
"""Who runs the client where we are root: Gajim refuses to start as root."""

_WORKSPACE = "b0a1c5f0-8d3e-4f0c-9a57-3f0f6a1f8f10"

_GTK = """[Settings]
gtk-cursor-blink=0
gtk-enable-animations=0
gtk-theme-name=Adwaita
gtk-font-name=DejaVu Sans 10
"""
# No frame, no buttons; the main window fills the screen, dialogs lie in its middle.
_OPENBOX = """<openbox_config xmlns='http://openbox.org/3.4/rc'>
<focus><focusNew>yes</focusNew></focus>
<placement><policy>Smart</policy><center>yes</center></placement>
<applications>
<application class='*'><decor>no</decor><focus>yes</focus></application>
<application name='gajim' type='normal'><maximized>no</maximized></application>
</applications>
</openbox_config>
"""
_APP: Mapping[str, object] = {
    "check_for_update": False,
    "show_notifications": False,
    "sounds_on": False,
    "use_keyring": False,
    "autoaway": False,
    "autoxa": False,
    "use_speller": False,
    "dark_theme": 0,
    "mainwin_width": SIZE[0],
    "mainwin_height": SIZE[1],
    "show_help_start_chat": False,
    "date_time_format": "%H:%M",
    "developer_modus": False,
    "chat_handle_position": 240,
    "show_trayicon": False,
}
_SCHEMA = """
CREATE TABLE settings (name TEXT UNIQUE, settings TEXT);
CREATE TABLE account_settings (account TEXT UNIQUE, settings TEXT);
PRAGMA user_version=5;
"""


class ScreenError(Exception):
    """A program of the screen did not do what was waited for."""


class Gajim:
    """Gajim, logged in to one account, on an X server of its own (Xvfb).

    It is driven by keys and a pointer only; what it has received is read in its own archive.
    Use as an async context manager.

    :param jid: bare JID of a test account (its password is that of all test accounts).
    :param address: of its server, on the test's client port, without TLS.
    :param folder: new; gets the client's whole home.
    """

    def __init__(self, jid: str, address: str, folder: Path) -> None:
        self.jid = jid
        self.folder = folder
        self._address = address
        self._programs: list[subprocess.Popen[bytes]] = []
        self._env: dict[str, str] = {}
        self._log = folder / "output.log"

    async def __aenter__(self) -> Self:
        self._furnish()
        try:
            display = await self._start_x()
            self._env = self._surroundings(display)
            bus = await self._start_bus()
            self._env["DBUS_SESSION_BUS_ADDRESS"] = bus
            self._run("openbox", "--config-file", str(self.folder / "openbox.xml"))
            self._run("gajim", "-s", "-c", str(self.folder / "gajim"))
            await self._tool(
                *("timeout", str(PATIENCE)),
                *("xdotool", "search", "--sync", "--onlyvisible", "--class", "gajim"),
            )
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()

    # What a person does -------------------------------------------------------------------------

    async def open_chat(self, jid: str) -> None:
        """Ctrl-N, the address, Enter: as anybody begins a chat."""
        await self.press("ctrl+n")
        await self.rest()
        await self.type(jid)
        await self.rest()
        await self.press("Return")
        await self.rest()

    async def add_contact(self, jid: str) -> None:
        """Menu "Accounts", "Add Contact...", the address, Enter, Enter."""
        await self.activate("add-contact", "''")
        await self.rest()
        await self.type(jid)
        await self.rest()
        await self.press("Return")
        await self.rest()
        await self.press("Return")
        await self.rest()

    async def say(self, text: str) -> None:
        """Type a message into the open chat and send it."""
        await self.type(text)
        await self.press("Return")

    async def type(self, text: str) -> None:
        """Type, a key at a time."""
        await self._tool("xdotool", "type", "--delay", "12", "--clearmodifiers", "--", text)

    async def press(self, *keys: str) -> None:
        """Press keys, by their X names."""
        await self._tool("xdotool", "key", "--clearmodifiers", *keys)

    async def click(self, x: int, y: int, *, button: int = 1) -> None:
        """Click at a place of the screen."""
        await self._tool(
            "xdotool", "mousemove", str(x), str(y), "click", str(button), "mousemove", "0", "0"
        )

    async def point(self, x: int, y: int) -> None:
        """Let the pointer rest at a place, until what it shows is there."""
        await self._tool("xdotool", "mousemove", str(x), str(y))
        await self._tool("xdotool", "mousemove_relative", "1", "1")
        await asyncio.sleep(1)

    async def execute_command(self, jid: str) -> None:
        """Menu item "Execute Command..." of a contact."""
        await self.activate("account-execute-command", f"'{jid}'")
        await self.rest()

    async def activate(self, action: str, *values: str) -> None:
        """Choose a menu item: the GTK action that it stands for (org.gtk.Actions)."""
        await self._tool(
            *("gdbus", "call", "--session", "--dest", "org.gajim.Gajim"),
            *("--object-path", "/org/gajim/Gajim", "--method", "org.gtk.Actions.Activate"),
            *(action, "[" + ", ".join(f"<{value}>" for value in values) + "]", "{}"),
        )

    # What is seen -------------------------------------------------------------------------------

    def received(self) -> list[str]:
        """Texts of all messages that the client has in its archive, the oldest first."""
        path = self.folder / "gajim" / "logs.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as archive:
            try:
                rows = archive.execute(
                    "SELECT message FROM logs WHERE message IS NOT NULL ORDER BY log_line_id"
                ).fetchall()
            except sqlite3.OperationalError:
                return []
        return [str(row[0]) for row in rows]

    async def hears(self, text: str, timeout: float = PATIENCE, *, times: int = 1) -> str:
        """The newest message that holds a text, once so many are there; raises ScreenError."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in self.received() if text in line]
            return len(found) >= times

        await self._until(there, repr(text), timeout)
        return found[-1]

    async def rest(self) -> None:
        """Wait until the screen has not changed for a while."""
        still_since = time.monotonic()
        last = await self._shot()
        began = still_since
        while time.monotonic() - still_since < 0.7:
            await asyncio.sleep(_POLL)
            shot = await self._shot()
            if shot != last:
                last, still_since = shot, time.monotonic()
            if time.monotonic() - began > PATIENCE:
                raise ScreenError(f"{self.jid}: the screen never rests")

    async def picture(self, path: Path, *, crop: str | None = None) -> None:
        """Save what is on the screen, once it rests, as a small PNG.

        :param crop: an area as ImageMagick has it, such as ``600x400+10+20``.
        """
        await self.rest()
        await self._tool("import", "-window", "root", str(self.folder / "shot.png"))
        area = ("-crop", crop, "+repage") if crop else ()
        smaller = await asyncio.create_subprocess_exec(
            *("convert", str(self.folder / "shot.png"), *area, "-strip", "-dither", "None"),
            *("-colors", "64", "-define", "png:compression-level=9", f"PNG8:{path}"),
        )
        if await smaller.wait():
            raise ScreenError(f"{path} could not be written")

    # Programs -----------------------------------------------------------------------------------

    def _furnish(self) -> None:
        home = self.folder
        for part in ("gajim", "run", ".config/gtk-3.0"):
            (home / part).mkdir(parents=True)
        (home / "openbox.xml").write_text(_OPENBOX)
        (home / ".config/gtk-3.0/settings.ini").write_text(_GTK)
        account = {
            "account_label": self.jid,
            "active": True,
            "name": self.jid.partition("@")[0],
            "hostname": self.jid.partition("@")[2],
            "password": PASSWORD,
            "savepass": True,
            "resource": "gajim",
            "use_custom_host": True,
            "custom_host": self._address,
            "custom_port": C2S_PORT,
            "custom_type": "PLAIN",
            "use_plain_connection": True,
            "confirm_unencrypted_connection": False,
            "last_status": "online",
            "send_idle_time": False,
        }
        with contextlib.closing(sqlite3.connect(home / "gajim" / "settings.sqlite")) as file:
            file.executescript(_SCHEMA)
            for name in ("soundevents", "status_presets", "proxies", "plugins", "workspaces"):
                file.execute("INSERT INTO settings VALUES (?, '{}')", (name,))
            workspace = {"name": "", "color": "#0a9", "avatar_sha": "", "chats": []}
            file.execute(
                "UPDATE settings SET settings = ? WHERE name = 'workspaces'",
                (json.dumps({_WORKSPACE: workspace}),),
            )
            app = {**_APP, "workspace_order": [_WORKSPACE]}
            file.execute("INSERT INTO settings VALUES ('app', ?)", (json.dumps(app),))
            whole = {"account": account, "contact": {}, "group_chat": {}}
            file.execute(
                "INSERT INTO account_settings VALUES (?, ?)", ("account", json.dumps(whole))
            )
            file.commit()
        if os.geteuid() == 0:
            for path in (home, *home.rglob("*")):
                shutil.chown(path, _USER, pwd.getpwnam(_USER).pw_gid)
        (home / "run").chmod(0o700)

    def _surroundings(self, display: str) -> dict[str, str]:
        home = str(self.folder)
        return {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "DISPLAY": display,
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "LANGUAGE": "en",
            "XDG_RUNTIME_DIR": f"{home}/run",
            "XDG_CONFIG_HOME": f"{home}/.config",
            "GSETTINGS_BACKEND": "memory",
            "NO_AT_BRIDGE": "1",
            "TZ": "UTC",
        }

    async def _start_x(self) -> str:
        number = await asyncio.to_thread(_first_line, self._run_x())
        if not number:
            raise ScreenError("Xvfb did not start")
        return f":{number}"

    def _run_x(self) -> int:
        """Start the X server; returns where it will write the number of its display."""
        read, write = os.pipe()
        size = f"{SIZE[0]}x{SIZE[1]}x24"
        command = ("Xvfb", "-displayfd", str(write), "-screen", "0", size, "-nolisten", "tcp")
        self._programs.append(
            subprocess.Popen((*command, "-noreset"), pass_fds=(write,), stderr=subprocess.DEVNULL)
        )
        os.close(write)
        return read

    async def _start_bus(self) -> str:
        read, write = os.pipe()
        self._run(
            *("dbus-daemon", "--session", "--nofork", f"--print-address={write}"), pass_fd=write
        )
        os.close(write)
        return await asyncio.to_thread(_first_line, read)

    def _run(self, *command: str, pass_fd: int | None = None) -> None:
        root = os.geteuid() == 0
        self._programs.append(
            subprocess.Popen(
                command,
                env=self._env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=self._log.open("ab"),
                stderr=subprocess.STDOUT,
                pass_fds=() if pass_fd is None else (pass_fd,),
                user=_USER if root else None,
                group=pwd.getpwnam(_USER).pw_gid if root else None,
                extra_groups=[] if root else None,
            )
        )

    def _end(self) -> None:
        for program in reversed(self._programs):
            if program.poll() is None:
                program.send_signal(signal.SIGTERM)
                try:
                    program.wait(5)
                except subprocess.TimeoutExpired:
                    program.kill()
                    program.wait()
        self._programs.clear()

    async def _tool(self, *command: str) -> bytes:
        root = os.geteuid() == 0
        tool = await asyncio.create_subprocess_exec(
            *command,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.folder,
            user=_USER if root else None,
        )
        output, _ = await tool.communicate()
        if tool.returncode:
            raise ScreenError(f"{' '.join(command)}: {output.decode(errors='replace')}")
        return output

    async def _shot(self) -> bytes:
        return await self._tool("import", "-window", "root", "rgb:-")

    async def _until(self, there: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
        began = time.monotonic()
        while not there():
            if time.monotonic() - began > timeout:
                log = self._log.read_text(errors="replace")[-2000:]
                raise ScreenError(f"{self.jid}: waited in vain for {what}\n{log}")
            await asyncio.sleep(_POLL)


def _first_line(descriptor: int) -> str:
    with os.fdopen(descriptor) as file:
        return file.readline().strip()
