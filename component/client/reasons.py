"""What servers and TLS say when a login fails, as sentences that name the remedy."""

from __future__ import annotations

import os
import socket
import ssl

from component.client.errors import ClientFailed, Trouble

# Numbers of X509_V_ERR_ in OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_ISSUERS = frozenset((2, 18, 19, 20, 21))
_WRONG_NAME = 62
_FORM = range(79, 95)
"""What is not as RFC 5280 has it; most of them count since Python 3.13 only."""

_LOGIN = {
    "not-authorized": (
        "the server does not take the password",
        "look whether the address is spelled right, and type the password again",
    ),
    "account-disabled": ("the account is disabled", "ask the admin of that server"),
    "credentials-expired": (
        "the password has expired",
        "change it with a client, then fetch again",
    ),
    "temporary-auth-failure": (
        "the server cannot check passwords at the moment",
        "try again in a few minutes",
    ),
    "invalid-authzid": ("the server does not take the address", "look how it is spelled"),
    "encryption-required": ("the server asks for encryption that it did not get", "tell its admin"),
    "mechanism-too-weak": (
        "the server wants a stronger way to log in than we know",
        "ask its admin which one",
    ),
}
"""Conditions of RFC 6120 section 6.5."""


def login(account: str, condition: str) -> ClientFailed:
    """The server refused to let us in (RFC 6120 section 6.5)."""
    said = (f"the server refuses the login ({condition})", "ask its admin")
    sentence, remedy = _LOGIN.get(condition, said)
    return ClientFailed(Trouble.REFUSED, f"{account}: {sentence}", remedy)


def tls(domain: str, error: BaseException) -> ClientFailed:
    """TLS could not begin, because of the certificate or otherwise."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        return ClientFailed(
            Trouble.CERTIFICATE,
            f"no encrypted connection to {domain}: {reason}",
            "the server must speak TLS 1.2 or later; ask its admin",
        )
    code = error.verify_code
    if code == _EXPIRED:
        said = "has expired", "its admin has to renew it"
    elif code == _NOT_YET_VALID:
        said = "is not valid yet", "look at this machine's clock"
    elif code == _WRONG_NAME:
        said = (
            "is for another name",
            f"look at --host, and ask its admin for a certificate that names {domain}",
        )
    elif code in _UNKNOWN_ISSUERS:
        said = (
            "was issued by nobody whom this machine trusts",
            "give the issuer's certificate with --ca-file, if you got it from somebody you trust",
        )
    elif code in _FORM:
        said = (
            f"or its issuer's is not as RFC 5280 has it ({error.verify_message})",
            "ask its admin; with --ca-file, the issuer whose certificate you give is trusted as it "
            "is",
        )
    else:
        said = f"is refused ({error.verify_message})", "ask its admin"
    return ClientFailed(
        Trouble.CERTIFICATE, f"the certificate of {domain} {said[0]}, nothing was sent", said[1]
    )


def connection(where: str, error: object) -> ClientFailed:
    """There is no connection.

    :param error: an OSError, or what slixmpp says instead.
    """
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        reason = os.strerror(error.errno) if error.errno else str(error)
        return ClientFailed(
            Trouble.UNREACHABLE,
            f"cannot connect to {where}: {reason}",
            "look whether the server runs; --host and --port name another place",
        )
    return ClientFailed(
        Trouble.UNREACHABLE,
        f"nobody knows the address of {where}",
        "look how the domain is spelled, or name the machine with --host",
    )


def ended(domain: str, why: str) -> ClientFailed:
    """The connection ended before we were done."""
    return ClientFailed(
        Trouble.UNREACHABLE, f"the connection to {domain} ended: {why}", "try again"
    )


def silent(domain: str, what: str, seconds: float) -> ClientFailed:
    """An answer did not come."""
    return ClientFailed(
        Trouble.SILENT, f"{domain} did not answer for {seconds:g} seconds ({what})", "try again"
    )


def unencrypted(domain: str) -> ClientFailed:
    """There was no TLS, which whoever sits between us and the server can bring about."""
    return ClientFailed(
        Trouble.NO_ENCRYPTION,
        f"{domain} offers no encryption, so the password was not sent",
        "try from another network, or --direct-tls with the port for that; else ask its admin",
    )


def no_mechanism(domain: str, offered: str) -> ClientFailed:
    """The server offers no SCRAM (RFC 7677), where the password itself is never sent."""
    return ClientFailed(
        Trouble.NO_MECHANISM,
        f"{domain} offers no login by SCRAM (only {offered or 'nothing that we know'})",
        "where that is PLAIN, --plain lets the server see the password, over TLS",
    )
