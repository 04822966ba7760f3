"""A stock server that clients reach over TLS, and the command as a process beside it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import Authority
from tests.live.account.servers import HOSTS, House
from tests.live.servers import prosody
from tests.live.servers.base import C2S_PORT, PASSWORD
from tests.live.servers.differences import Kind
from tests.live.servers.prosody import lua_value

AT_MOST = 90.0
"""Seconds for one run of the command."""


def encrypted(kind: Kind, authority: Authority, **more: str) -> Mapping[str, str]:
    """Options of a server that offers STARTTLS with a certificate of this authority."""
    certificate = authority.issue("server", *HOSTS)
    if kind.name.startswith("ejabberd"):
        return {"certfiles": json.dumps([str(certificate.together())]), **more}
    modules = [name for name in prosody.MODULES if not name.startswith("test_")]
    return {
        "ssl": lua_value({"key": str(certificate.key), "certificate": str(certificate.chain)}),
        "modules_enabled": lua_value([*modules, "tls"]),
        "modules_disabled": '{ "s2s_auth_certs", "http", "admin_shell", "admin_socket" }',
        **more,
    }


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the command left."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that was printed."""
        return self.out + self.err


async def fetch(
    here: House, jid: str, target: Path, *more: str | Path, password: str = PASSWORD
) -> Ran:
    """Run ``xmpp-moved fetch`` against the server, the password on a pipe of its own."""
    theirs, ours = os.pipe()
    try:
        os.write(ours, f"{password}\n".encode())
    finally:
        os.close(ours)
    words = ["fetch", jid, "-o", target, "--password-fd", theirs, "--host"]
    words += [here.server.spec.address, "--port", C2S_PORT, *more]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "component", *map(str, words)),
        pass_fds=[theirs],
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "NO_COLOR": "1"},
    )
    os.close(theirs)
    out, err = await asyncio.wait_for(child.communicate(), AT_MOST)
    assert child.returncode is not None
    return Ran(child.returncode, out.decode(), err.decode())
