"""Every way in which a login can fail has one sentence, and no password leaves before its time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from component.client.errors import ClientFailed, Trouble
from component.client.login import Server, login
from component.xmpp import mover_codecs
from component.xmpp.errors import RemoteError
from tests.certificates import OPENSSL, Authority, Certificate
from tests.unit.xmpp.peer import Peer, serve

JULIET = "juliet@old.example"
PASSWORD = "O Romeo, Romeo"
HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' from='old.example' id='1' "
    "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
)
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
MECHANISMS = (
    f"<stream:features><mechanisms xmlns='{SASL}'><mechanism>SCRAM-SHA-1</mechanism>"
    "<mechanism>PLAIN</mechanism></mechanisms></stream:features>"
)
BIND = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
Script = Callable[[Peer], Awaitable[None]]
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="no openssl")


class House:
    """A server with a certificate of an authority of its own."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.good = self.authority.issue("good", "old.example")

    def tls(self, certificate: Certificate | None = None) -> ssl.SSLContext:
        """The server's side of TLS."""
        shown = certificate or self.good
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.chain, shown.key)
        return context


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Made once: keys cost time."""
    return House(tmp_path_factory.mktemp("authority"))


async def failed(script: Script, server: Server, tls: ssl.SSLContext | None = None) -> ClientFailed:
    """How a login ends that must not succeed."""
    async with serve(script, tls) as port:
        there = Server("127.0.0.1", port, server.direct_tls, server.ca_file, server.plain, 10, 5)
        with pytest.raises(ClientFailed) as failure:
            async with login(JULIET, PASSWORD, there):
                raise AssertionError("logged in")
    assert PASSWORD not in str(failure.value)
    return failure.value


class Heard:
    """Opens a stream, sends what it is told, and keeps all that comes."""

    def __init__(self, *said: str) -> None:
        self.data = b""
        self._said = said

    async def __call__(self, peer: Peer) -> None:
        """One connection."""
        self.data += await peer.reader.readuntil(b"version='1.0'>")
        for part in self._said:
            await peer.send(part)
        while more := await peer.reader.read(1000):
            self.data += more


async def test_no_encryption() -> None:
    heard = Heard(HEADER, MECHANISMS)
    failure = await failed(heard, Server())
    assert failure.trouble is Trouble.NO_ENCRYPTION
    assert "offers no encryption, so the password was not sent" in str(failure)
    assert b"<auth" not in heard.data


async def test_no_encryption_where_plain_is_allowed() -> None:
    heard = Heard(HEADER, MECHANISMS)
    assert (await failed(heard, Server(plain=True))).trouble is Trouble.NO_ENCRYPTION
    assert b"<auth" not in heard.data


@needs_openssl
@pytest.mark.parametrize(
    ("days", "domain", "trusted", "sentence"),
    [
        (-1, "old.example", True, "of old.example has expired, nothing was sent; its admin"),
        (30, "new.example", True, "of old.example is for another name, nothing was sent; look"),
        (30, "old.example", False, "was issued by nobody whom this machine trusts"),
    ],
    ids=["expired", "name", "issuer"],
)
async def test_certificates(
    house: House, days: int, domain: str, trusted: bool, sentence: str
) -> None:
    heard = Heard(HEADER, MECHANISMS)
    shown = house.authority.issue(f"{days}-{domain}-{trusted}", domain, days=days)
    ca_file = house.authority.file if trusted else None
    failure = await failed(heard, Server(direct_tls=True, ca_file=ca_file), house.tls(shown))
    assert failure.trouble is Trouble.CERTIFICATE
    assert sentence in str(failure)
    assert heard.data == b""


@needs_openssl
async def test_an_authority_that_does_not_say_what_its_key_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many private ones do not: given by --ca-file it is trusted; Python 3.13 refuses it else."""
    authority = Authority(tmp_path, strict=False)
    shown = authority.issue("good", "old.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.chain, shown.key)

    heard = Heard(HEADER, MECHANISMS.replace("SCRAM-SHA-1", "X-NEW"))
    failure = await failed(heard, Server(direct_tls=True, ca_file=authority.file), context)
    assert failure.trouble is Trouble.NO_MECHANISM  # so TLS began

    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    heard = Heard(HEADER, MECHANISMS.replace("SCRAM-SHA-1", "X-NEW"))
    failure = await failed(heard, Server(direct_tls=True), context)
    if ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT:
        assert failure.trouble is Trouble.CERTIFICATE
        assert "is not as RFC 5280 has it (CA cert does not include key usage" in str(failure)
        assert "with --ca-file, the issuer whose certificate you give is trusted" in str(failure)
    else:
        assert failure.trouble is Trouble.NO_MECHANISM


async def test_no_tls_where_it_should_begin() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send("HTTP/1.1 400 Bad Request\r\n\r\n")

    failure = await failed(script, Server(direct_tls=True))
    assert failure.trouble is Trouble.CERTIFICATE
    assert "no encrypted connection to old.example: WRONG_VERSION_NUMBER; " in str(failure)


async def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    for path in (bad, tmp_path / "missing.pem"):
        with pytest.raises(ClientFailed, match="holds no certificates that can be read"):
            async with login(JULIET, PASSWORD, Server(ca_file=path)):
                pass


@pytest.mark.parametrize("password", ["", "\x00", "a\x07b"])
async def test_passwords_that_cannot_be(password: str) -> None:
    with pytest.raises(ClientFailed, match="holds characters that no password may have"):
        async with login(JULIET, password, Server("127.0.0.1", 1)):
            pass


async def test_a_host_that_is_unknown_there() -> None:
    error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    failure = await failed(Heard(HEADER, f"{error}</stream:error>"), Server())
    assert failure.trouble is Trouble.SERVER
    assert "old.example cannot be worked with: it ended the stream (host-unknown)" in str(failure)


@pytest.mark.parametrize("said", ["HTTP/1.1 400 Bad Request\r\n\r\n", "<!DOCTYPE x><x>"])
async def test_what_is_no_xmpp(said: str) -> None:
    failure = await failed(Heard(said), Server())
    assert failure.trouble is Trouble.SERVER
    assert "it broke the rules of XMPP" in str(failure)


async def test_a_silent_server() -> None:
    async with serve(Heard()) as port:
        with pytest.raises(ClientFailed, match=r"did not answer for 0\.2 seconds") as failure:
            async with login(JULIET, PASSWORD, Server("127.0.0.1", port, login_timeout=0.2)):
                pass
    assert failure.value.trouble is Trouble.SILENT


async def test_a_domain_that_nobody_knows() -> None:
    with pytest.raises(ClientFailed, match=r"nobody knows the address of nowhere\.invalid"):
        async with login(JULIET, PASSWORD, Server("nowhere.invalid", 5222)):
            pass


class Playing:
    """A server that lets in whoever says PLAIN, and then does as it is told.

    Args:
        after: what happens once the user is in.
    """

    def __init__(self, after: Script) -> None:
        self.let_in = asyncio.Event()
        self._after = after

    async def __call__(self, peer: Peer) -> None:
        """One connection."""
        await peer.reader.readuntil(b"version='1.0'>")
        await peer.send(HEADER + MECHANISMS.replace("SCRAM-SHA-1", "X-NEW"))
        await peer.reader.readuntil(b"</auth>")
        await peer.send(f"<success xmlns='{SASL}'/>")
        await peer.reader.readuntil(b"version='1.0'>")
        await peer.send(HEADER + BIND)
        id_ = await peer.request_id()
        await peer.send(
            f"<iq type='result' id='{id_}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<jid>{JULIET}/x</jid></bind></iq>"
        )
        self.let_in.set()
        await self._after(peer)


async def asked(house: House, after: Script, silence: float = 10) -> None:
    """Log in, and ask for the vCard."""
    async with serve(Playing(after), house.tls()) as port:
        there = Server("127.0.0.1", port, True, house.authority.file, True, 10, silence)
        async with login(JULIET, PASSWORD, there) as connection:
            await connection.query("get", mover_codecs.vcard_request())


@needs_openssl
async def test_an_answer_that_does_not_come(house: House) -> None:
    async def after(peer: Peer) -> None:
        await peer.request_id()
        await peer.reader.read()  # the end of the stream is not answered either

    with pytest.raises(ClientFailed, match=r"did not answer for 0.2 seconds \(vCard\)") as failure:
        await asked(house, after, 0.2)
    assert failure.value.trouble is Trouble.SILENT


@needs_openssl
async def test_a_server_that_leaves(house: House) -> None:
    async def after(peer: Peer) -> None:
        await peer.request_id()

    with pytest.raises(ClientFailed, match=r"the connection to old\.example ended") as failure:
        await asked(house, after)
    assert failure.value.trouble is Trouble.UNREACHABLE


@needs_openssl
async def test_an_error_is_the_answer(house: House) -> None:
    async def after(peer: Peer) -> None:
        id_ = await peer.request_id()
        await peer.send(
            f"<iq type='error' id='{id_}'><error type='cancel'><item-not-found "
            "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
        await peer.farewell()

    with pytest.raises(RemoteError) as failure:
        await asked(house, after)
    assert failure.value.condition == "item-not-found"


@needs_openssl
async def test_a_mechanism_that_we_do_not_know(house: House) -> None:
    heard = Heard(HEADER, MECHANISMS.replace("SCRAM-SHA-1", "X-NEW"))
    server = Server(direct_tls=True, ca_file=house.authority.file)
    failure = await failed(heard, server, house.tls())
    assert failure.trouble is Trouble.NO_MECHANISM
    assert "offers no login by SCRAM (only PLAIN, X-NEW)" in str(failure)
    assert b"<auth" not in heard.data
