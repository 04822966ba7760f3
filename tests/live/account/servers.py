"""Servers that keep, export or import accounts as files of XEP-0227."""

from __future__ import annotations

import asyncio
import os
import re
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from component.account.model import Identity
from tests.live.client import Client
from tests.live.servers import prosody
from tests.live.servers.addresses import free_address
from tests.live.servers.base import HookOptions, Server, ServerError, ServerSpec
from tests.live.servers.differences import Kind
from tests.live.servers.ejabberd import Ejabberd
from tests.live.servers.prosody import lua_table, lua_value

_CHECKOUT = Path(__file__).parents[3]
HOSTS = ("capulet.example", "bücher.example")
FILES = {
    "storage": '{ accounts = "xep0227"; roster = "xep0227"; vcard = "xep0227";'
    ' private = "xep0227" }'
}
"""Options of a Prosody that keeps accounts in such files.  Not what is published: as the storage
of a running server, mod_storage_xep0227 answers a search in reverse with a table instead of an
iterator, and mod_pep fails at it (0.12.3, 13.0.1)."""
_STORES = ("roster", "vcard", "private", "pep-pubsub")
_PORTAL_STORES = "roster,vcard,private,pep,pep_data"
HTTP_PORT = 25281
MODULES = Path(os.environ.get("XMPP_MOVED_PROSODY_MODULES", _CHECKOUT / ".cache/prosody-modules"))
"""Where community modules of Prosody are; Debian's selection has no mod_http_xep227."""
_numbers = count(1)
_PLACES = ("SOURCEDIR", "PLUGINDIR", "CONFIGDIR", "DATADIR")


class House:
    """One server, and accounts on it."""

    def __init__(
        self,
        kind: Kind,
        folder: Path,
        extra: Mapping[str, str] | None = None,
        *,
        component: str | None = None,
    ) -> None:
        """``component``: of the hook, which is there then."""
        address = free_address()
        zone = dict.fromkeys(HOSTS, address)
        own = dict(extra or {})
        if "http_ports" in own:
            own["http_interfaces"] = lua_value([address])
        named, hook = ((component,), HookOptions()) if component else ((), None)
        spec = ServerSpec("capulet", address, HOSTS, zone, named, hook, own)
        self.kind = kind
        self.component = component
        self.server: Server = kind.build(spec, folder)
        self._clients: list[Client] = []

    async def __aenter__(self) -> House:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.log_out()
        await self.stop()

    async def start(self) -> None:
        """Start the server."""
        await self.server.start()

    async def stop(self) -> None:
        """Stop it."""
        await self.server.stop()

    async def log_out(self) -> None:
        """Close every client."""
        while self._clients:
            await self._clients.pop().close()

    def account(self, name: str, host: str) -> Identity:
        """Create an account that no other test has."""
        identity = Identity(host, f"{name}{next(_numbers)}")
        self.server.add_user(identity.jid)
        return identity

    @asynccontextmanager
    async def told(self, folder: Path, extra: Mapping[str, str]) -> AsyncIterator[House]:
        """The same with more options, for the length of a ``with`` block.

        An ejabberd is told while it runs, and brought back.  There is another Prosody, in this
        folder: it starts faster than one could be told.
        """
        server, before = self.server, dict(self.server.spec.extra)
        if isinstance(server, Ejabberd):
            try:
                server.reload({**before, **extra})
                yield self
            finally:
                server.reload(before)
        else:
            async with House(
                self.kind, folder, {**before, **extra}, component=self.component
            ) as own:
                yield own

    async def client(self, jid: str, resource: str = "Gerät") -> Client:
        """A device of an account, logged in."""
        client = Client(jid, f"{jid}/{resource}", self.server.spec.address, noise=self.kind.noise)
        await client.open()
        self._clients.append(client)
        return client

    def file_of(self, jid: str) -> Path:
        """Where Prosody's mod_storage_xep0227 keeps an account."""
        return self.server.folder / "data" / f"{jid}.xml"

    async def migrate(self, source: str, target: str) -> None:
        """Run Prosody's own migrator between its storage and files of XEP-0227, both in "data".

        Args:
            source: ``internal`` or ``xep0227``; ``target`` is the other one.

        Raises ServerError where it fails.
        """
        folder, data = self.server.folder, self.server.folder / "data"
        # A file of ours has no password, and to the migrator that is the password.
        stores = _STORES if source == "xep0227" else ("accounts", *_STORES)
        hosts = lua_table({"hosts": dict.fromkeys(HOSTS, stores)})[1:-1]
        config = folder / "migrator.cfg.lua"
        config.write_text(
            f'internal {{ {hosts}; type = "internal"; path = {lua_value(str(data))} }}\n'
            f'xep0227 {{ {hosts}; type = "xep0227" }}\n'
        )
        # Its paths are in the program itself.
        program = folder / "prosody-migrator"
        text = self.kind.program.with_name("prosody-migrator").read_text()
        library = self.kind.program.parents[1] / "lib/prosody"
        places = (library, f"{library}/modules/", folder, data)
        for place, path in zip(_PLACES, places, strict=True):
            text = re.sub(f"(?m)^CFG_{place}=.*$", f"CFG_{place}={lua_value(str(path))};", text)
        program.write_text(text)
        child = await asyncio.create_subprocess_exec(
            *("lua5.4", str(program), "--root", "--config", str(config), source, target),
            cwd=folder,
            stdout=PIPE,
            stderr=STDOUT,
        )
        output, _ = await child.communicate()
        if child.returncode != 0 or b"Done!" not in output:
            raise ServerError(output.decode(errors="replace"))

    def control(self, *words: str) -> None:
        """What ``ejabberdctl`` makes the server do.  Raises ServerError where that fails."""
        assert isinstance(self.server, Ejabberd)
        # As UTF-8 bytes: the command line of ejabberdctl comes to Erlang in no other way.
        arguments = ", ".join(str(list(word.encode())) for word in words)
        status = self.server.evaluate(f"ejabberd_ctl:process([{arguments}]).")
        if status != "0":
            raise ServerError(f"ejabberdctl {words[0]} ended with {status}")

    async def http(self, method: str, token: str, body: bytes = b"") -> bytes:
        """Ask mod_http_xep227 for an export (GET) or give it a file (PUT); return what it sends.

        Raises ServerError unless it says 200.
        """
        path = {"GET": "export", "PUT": "import"}[method]
        address = self.server.spec.address
        reader, writer = await asyncio.open_connection(address, HTTP_PORT)
        try:
            writer.write(
                f"{method} /xep227/{path}?stores={_PORTAL_STORES} HTTP/1.1\r\nHost: {HOSTS[0]}\r\n"
                f"Connection: close\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
            )
            writer.write(body)
            answer = await asyncio.wait_for(reader.read(), 20.0)
        finally:
            writer.close()
        head, _, content = answer.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise ServerError(answer.decode(errors="replace"))
        return content


def portal(folder: Path, jid: str) -> dict[str, str]:
    """Options of a Prosody with mod_http_xep227, which writes a token for an account there."""
    ours = [Path(file).with_name("prosody_modules") for file in (__file__, prosody.__file__)]
    modules = [str(path) for path in (MODULES, *ours)]
    return {
        "plugin_paths": lua_value(modules),
        "modules_disabled": '{ "tls", "s2s_auth_certs", "admin_shell", "admin_socket" }',
        "http_ports": f"{{ {HTTP_PORT} }}",
        "https_ports": "{}",
        "http_default_host": lua_value(HOSTS[0]),
        "modules_enabled": lua_value([*prosody.MODULES, "http", "http_xep227", "test_token"]),
        "test_token_jid": lua_value(jid),
        "test_token_path": lua_value(str(folder / "token")),
    }
