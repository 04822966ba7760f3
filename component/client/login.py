"""One login to an account, with TLS and SCRAM, and questions asked in it.

slixmpp (1.17) brings connecting, STARTTLS, SASL and binding.  This class adds what a tool that
holds somebody's password needs: nothing is tried twice, the password is not there before TLS is,
what is sent while logging in is not logged, answers are bounded, and every end has one sentence.
"""

from __future__ import annotations

import asyncio
import ssl
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError
from slixmpp.util.sasl.client import saslprep
from slixmpp.util.stringprep_profiles import StringPrepError
from slixmpp.xmlstream.xmlstream import NotConnectedError

from component.client import reasons
from component.client.errors import ClientFailed, Trouble
from component.core import jids
from component.xmpp.errors import GuardError, RemoteError
from component.xmpp.guard import StanzaParser

SCRAM = frozenset(f"SCRAM-{name}" for name in ("SHA-1", "SHA-256", "SHA-512"))
"""RFC 5802, RFC 7677, and what servers offer beyond."""
_BOUND = frozenset(f"{name}-PLUS" for name in SCRAM)
ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer: a list of 300,000 contacts, or a node full of pictures."""
_DEPTH = 200
_FOREVER = 86_400.0
_CLOSING = 2.0


@dataclass(frozen=True, slots=True)
class Server:
    """How to reach and to trust an account's server; by default as its domain's DNS says.

    :ivar host: a machine, instead of what DNS says (RFC 6120 section 3.2).
    :ivar port: its port; 5222, or 5223 where ``direct_tls`` holds, by default.
    :ivar direct_tls: begin with TLS (XEP-0368), not with STARTTLS; with ``host`` only, because
        DNS says by itself which.
    :ivar ca_file: certificates to trust, instead of those of the machine.
    :ivar plain: send the password itself, over TLS, where the server offers no SCRAM.
    :ivar login_timeout: seconds from the beginning to the end of the login.
    :ivar silence: seconds without a byte after which an answer is given up.
    """

    host: str | None = None
    port: int | None = None
    direct_tls: bool = False
    ca_file: Path | None = None
    plain: bool = False
    login_timeout: float = 60.0
    silence: float = 60.0


@asynccontextmanager
async def login(account: str, password: str, server: Server) -> AsyncIterator[Connection]:
    """Log in for the length of a ``with`` block.

    No presence is sent: to contacts and other devices the account stays as it is.

    :param account: a bare JID that :mod:`component.core.jids` has prepared.
    :raises ClientFailed: it did not succeed, and why.
    """
    _check(password)
    connection = Connection(account, password, server, _context(server))
    try:
        await connection.open()
        yield connection
    finally:
        await connection.close()


class Connection(ClientXMPP):
    """A client's stream, for one login.  Made and ended by :func:`login`."""

    def __init__(
        self, account: str, password: str, server: Server, context: ssl.SSLContext
    ) -> None:
        super().__init__(account, "", ssl_context=context)
        self.account = account
        self._secret = password
        self._server = server
        self._domain = jids.domain(account)
        loop = asyncio.get_running_loop()
        self._up: asyncio.Future[Any] = loop.create_future()
        self._lost: asyncio.Future[Any] = loop.create_future()
        self._failed: ClientFailed | None = None
        self._heard = loop.time()
        self._offered = ""
        if server.host is not None or server.port is not None:
            self.enable_direct_tls = server.direct_tls
            self.enable_starttls = not server.direct_tls
        allowed = SCRAM | _BOUND | ({"PLAIN"} if server.plain else set())
        self.plugin["feature_mechanisms"].use_mechs = set(allowed)
        for event, handler in (
            ("connection_failed", self._on_connection_failed),
            ("reconnect_delay", self._on_all_tried),
            ("ssl_invalid_chain", self._on_bad_chain),
            ("tls_success", self._on_encrypted),
            ("failed_auth", self._on_refused),
            ("no_auth", self._on_no_mechanism),
            ("stream_error", self._on_stream_error),
            ("session_start", self._on_session),
        ):
            self.add_event_handler(event, handler)

    async def open(self) -> None:
        """Connect and log in.  :raises ClientFailed: it did not succeed."""
        server = self._server
        if server.host is None and server.port is None:
            self.connect()
        else:
            port = server.port or (5223 if server.direct_tls else 5222)
            self.connect(server.host or self._domain, port)
        seconds = server.login_timeout
        await asyncio.wait(
            {self._up, self._lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if self._lost.done():
            raise self._lost.result()
        if not self._up.done():
            raise self._failed or reasons.silent(self._domain, "the login", seconds)

    async def close(self) -> None:
        """End the stream, and all that slixmpp has running for it."""
        self._secret = self.password = ""
        if self.transport is not None:
            self.disconnect(wait=_CLOSING, ignore_send_queue=True)
            await asyncio.wait({self._lost}, timeout=_CLOSING + 1.0)
        self.cancel_connection_attempt()
        if self.transport is not None:
            self.transport.abort()
        if self._run_out_filters is not None:
            self._run_out_filters.cancel()

    async def query(
        self, kind: Literal["get", "set"], payload: ET.Element, to: str | None = None
    ) -> ET.Element:
        """Ask something; the whole answer, an IQ of type ``result``.

        :param to: a bare JID; the account itself by default.
        :raises RemoteError: the answer is an error.
        :raises ClientFailed: there was none, or the connection ended.
        """
        if self._lost.done():
            raise self._lost.result()
        iq: Any = self.make_iq(ito=to, itype=kind)
        iq.xml.append(payload)
        self._heard = self.loop.time()
        answer = asyncio.ensure_future(iq.send(timeout=_FOREVER))
        try:
            await self._answered(answer, payload)
            return cast(ET.Element, answer.result().xml)
        except IqError as error:
            raise RemoteError.from_element(error.iq.xml) from None
        finally:
            answer.cancel()
            self.cancel_schedule(f"IqTimeout_{iq['id']}")

    async def _answered(self, answer: asyncio.Future[Any], payload: ET.Element) -> None:
        while not answer.done():
            rest = self._heard + self._server.silence - self.loop.time()
            if rest <= 0:
                what = payload.tag.rpartition("}")[2]
                raise reasons.silent(self._domain, what, self._server.silence)
            await asyncio.wait(
                {answer, self._lost}, timeout=rest, return_when=asyncio.FIRST_COMPLETED
            )
            if self._lost.done() and not answer.done():
                raise self._lost.result()

    # What asyncio and slixmpp call ----------------------------------------------------------

    def init_parser(self) -> None:
        """slixmpp: a stream begins."""
        super().init_parser()
        # slixmpp calls feed() and read_events() of it, and no more.
        self.parser = StanzaParser(  # type: ignore[assignment]
            ANSWER_BYTES, _DEPTH, self._on_too_much
        )

    def send_raw(self, data: str | bytes) -> None:
        """slixmpp: write; what logs us in goes into no log, whatever its level."""
        if self.authenticated:
            super().send_raw(data)
            return
        if self.transport is None:
            raise NotConnectedError
        self.transport.write(data.encode() if isinstance(data, str) else data)

    def data_received(self, data: bytes | str) -> None:
        """asyncio: bytes came."""
        self._heard = self.loop.time()
        try:
            super().data_received(data)
        except GuardError as error:
            self._broken(f"it broke the rules of XMPP ({error})")

    def connection_lost(self, exception: BaseException | None) -> None:
        """asyncio: disconnected."""
        super().connection_lost(exception)
        if isinstance(exception, ssl.SSLError) and not self.authenticated:
            # It comes here before slixmpp hears of it elsewhere.
            self._finish(reasons.tls(self._domain, exception))
            return
        why = str(exception) if exception is not None else "the server closed it"
        self._finish(reasons.ended(self._domain, why))

    # Events ---------------------------------------------------------------------------------

    def _on_connection_failed(self, error: object) -> None:
        """One place has been tried in vain; others may follow."""
        if isinstance(error, ssl.SSLError):
            self._failed = reasons.tls(self._domain, error)
        elif self._failed is None or self._failed.trouble is not Trouble.CERTIFICATE:
            self._failed = reasons.connection(self._where(), error)

    def _on_all_tried(self, _seconds: object) -> None:
        self.cancel_connection_attempt()  # slixmpp would begin anew for ever
        self._finish(self._failed or reasons.connection(self._where(), None))

    def _on_bad_chain(self, error: BaseException) -> None:
        self._finish(reasons.tls(self._domain, error))
        self.abort()

    def _on_encrypted(self, _event: object) -> None:
        self.password = self._secret

    def _on_refused(self, failure: Any) -> None:
        # Another mechanism would have the same password refused once more.
        self.plugin["feature_mechanisms"].mech_list = set()
        self._finish(reasons.login(self.account, str(failure["condition"])))

    def _on_no_mechanism(self, _event: object) -> None:
        if not isinstance(self.socket, ssl.SSLSocket | ssl.SSLObject):
            self._finish(reasons.unencrypted(self._domain))
            return
        offered = ", ".join(sorted(self.plugin["feature_mechanisms"].mech_list))
        self._finish(reasons.no_mechanism(self._domain, offered))

    def _on_stream_error(self, error: Any) -> None:
        self._broken(f"it ended the stream ({error['condition']})")

    def _on_session(self, _event: object) -> None:
        if not self._up.done():
            self._up.set_result(None)

    def _on_too_much(self, _top: ET.Element, reason: str) -> None:
        self._broken(f"it sent something {reason}")

    # Inside ---------------------------------------------------------------------------------

    def _where(self) -> str:
        server = self._server
        if server.host is None:
            return self._domain
        return f"{server.host}:{server.port}" if server.port else server.host

    def _broken(self, what: str) -> None:
        sentence = f"{self._domain} cannot be worked with: {what}"
        self._finish(ClientFailed(Trouble.SERVER, sentence, "ask its admin"))
        self.abort()

    def _finish(self, failed: ClientFailed) -> None:
        """Keep the first cause: what follows are its consequences."""
        if not self._lost.done():
            self._lost.set_result(failed)


def _check(password: str) -> None:
    """Whether SASL can carry a password (RFC 4013).

    :raises ClientFailed: it cannot.
    """
    try:
        prepared = saslprep(password)
    except (StringPrepError, UnicodeError):
        prepared = ""
    if not prepared:
        raise ClientFailed(
            Trouble.REFUSED,
            "the password is empty, or holds characters that no password may have",
            "type it again",
        )


def _context(server: Server) -> ssl.SSLContext:
    """TLS with the server's certificate verified.

    :raises ClientFailed: there is no certificate in the file.
    """
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise ClientFailed(
            Trouble.CERTIFICATE,
            f"{server.ca_file} holds no certificates that can be read ({reason})",
            "give a file in the PEM format",
        ) from None
    if server.ca_file is not None:
        # Python 3.13 refuses authorities whose certificate does not say what their key is for; many
        # private ones do not.  Whom the file names is trusted on the user's word.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
