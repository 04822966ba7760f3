"""Logins that succeed and that do not, and where the password is to be found: nowhere."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from pathlib import Path

import pytest

from component.client.errors import ClientFailed, Trouble
from component.client.login import SCRAM, Server, login
from component.xmpp import mover_codecs
from tests.certificates import OPENSSL, Authority
from tests.live.account.servers import House
from tests.live.fetch.house import encrypted, fetch
from tests.live.servers.base import C2S_PORT, PASSWORD
from tests.live.servers.differences import Kind
from tests.live.servers.prosody import lua_value
from tests.live.shared import NEWER_PROSODY, kinds

pytestmark = [pytest.mark.skipif(OPENSSL is None, reason="no openssl"), kinds(NEWER_PROSODY)]


def without_scram(kind: Kind) -> dict[str, str]:
    """Options of a server that wants to see the password, as those do that ask a directory."""
    names = sorted({*SCRAM, *(f"{name}-PLUS" for name in SCRAM), "DIGEST-MD5", "X-OAUTH2"})
    ejabberd = kind.name.startswith("ejabberd")
    return {"disable_sasl_mechanisms": json.dumps(names) if ejabberd else lua_value(names)}


async def test_scram(
    house: House, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    romeo = enter(house)
    target, trust = tmp_path / "romeo.xml", ("--ca-file", authority.file)
    wrong = await fetch(house, romeo, target, *trust, password="Wherefore")
    assert wrong.code == 77
    assert wrong.err == (
        f"xmpp-moved: {romeo}: the server does not take the password; look whether the "
        "address is spelled right, and type the password again\n"
    )
    stranger = await fetch(house, "nobody@bücher.example", target, *trust)
    assert stranger.code == 77
    unknown = await fetch(house, romeo, target)
    assert unknown.code == 1
    assert "issued by nobody whom this machine trusts, nothing was sent" in unknown.err
    assert not target.exists()
    with caplog.at_level(logging.DEBUG):
        await look(house, romeo, authority, plain=False)
    assert_no_password(romeo, caplog.text, wrong.said, unknown.said, stranger.said)


async def test_a_server_without_scram(
    house: House, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house.told(tmp_path / "house", without_scram(house.kind)) as here:
        romeo = enter(here)
        target, trust = tmp_path / "romeo.xml", ("--ca-file", authority.file)
        refused = await fetch(here, romeo, target, *trust)
        assert refused.code == 1
        assert "bücher.example offers no login by SCRAM (only PLAIN); " in refused.err
        wrong = await fetch(here, romeo, target, *trust, "--plain", password="Wherefore")
        assert wrong.code == 77, wrong.said
        assert not target.exists()
        plain = await fetch(here, romeo, target, *trust, "--plain")
        assert plain.code == 0, plain.said
        # Now the password itself goes over the wire, and still into no log.
        with caplog.at_level(logging.DEBUG):
            await look(here, romeo, authority, plain=True)
    assert "slixmpp" in caplog.text
    assert_no_password(romeo, caplog.text, refused.said, wrong.said, plain.said, target.read_text())


def enter(here: House) -> str:
    """A new account; its address."""
    return here.account("ромео", "bücher.example").jid


async def look(here: House, romeo: str, authority: Authority, *, plain: bool) -> None:
    """One login in this process, where everything that is logged is seen."""
    server = Server(here.server.spec.address, C2S_PORT, ca_file=authority.file, plain=plain)
    async with login(romeo, PASSWORD, server) as connection:
        assert connection.boundjid.bare == romeo


def assert_no_password(jid: str, *texts: str) -> None:
    user = jid.partition("@")[0]
    hidden = [PASSWORD, *(b64encode(part.encode()).decode().rstrip("=") for part in (
        PASSWORD, f"\0{user}\0{PASSWORD}", f"{user}\0{user}\0{PASSWORD}",
    ))]  # fmt: skip
    for text in texts:
        assert not [secret for secret in hidden if secret in text]


async def test_a_server_that_dies(kind: Kind, authority: Authority, tmp_path: Path) -> None:
    async with House(kind, tmp_path / "house", encrypted(kind, authority)) as here:
        romeo = enter(here)
        server = Server(here.server.spec.address, C2S_PORT, ca_file=authority.file)
        async with login(romeo, PASSWORD, server) as connection:
            await here.server.kill()
            with pytest.raises(ClientFailed) as failed:
                await connection.query("get", mover_codecs.disco_request())
        assert failed.value.trouble is Trouble.UNREACHABLE
        with pytest.raises(ClientFailed, match=r"cannot connect to 127.*: Connection refused"):
            async with login(romeo, PASSWORD, server):
                pass
