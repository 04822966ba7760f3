"""Bare JIDs in one prepared form, so that two spellings of an address compare equal."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from slixmpp.jid import JID, InvalidJID


def bare(text: str | None) -> str | None:
    """Prepare the bare JID of a user (RFC 7622 section 3: case, width, IDN forms).

    :param text: an address as it came from the wire; surrounding white space is ignored.
    :returns: ``localpart@domainpart`` prepared, or None where the text is no JID, has a
        resource (XEP-0283 4.3: old-jid must be a bare JID) or has no localpart (a mover is a user).
    """
    jid = _parse(text)
    if jid is None or jid.resource or not jid.local or "/" in (text or ""):
        return None
    return str(jid)


def typed(text: str) -> str | None:
    """The bare JID out of what a person types or pastes for an address, prepared; None: none.

    Taken are quotation marks about it, or angle brackets with a name before, ``xmpp:`` or
    ``mailto:`` before it, a full stop or a comma after it; a resource and an action (``?message``)
    are cut.
    """
    named = _NAMED.search(text)
    stripped = (named[1] if named else text).strip(_QUOTES).rstrip(_AFTER).strip(_QUOTES)
    scheme, colon, path = stripped.partition(":")
    if colon and scheme.casefold() in _SCHEMES:
        stripped = unquote(path.lstrip("/"))
    local, at, rest = stripped.partition("@")
    return bare(f"{local}{at}{_AFTER_DOMAIN.split(rest)[0].rstrip(_AFTER)}")


_QUOTES = "\"'`“”„«»<> \t\u00a0\u2018\u2019\u201a\u2039\u203a"
_NAMED = re.compile(r"^[^<>@]*<([^<>]+)>[^<>@]*$")
_AFTER = ".,;:!?"
_AFTER_DOMAIN = re.compile("[/?#]")
_SCHEMES = frozenset({"xmpp", "mailto"})


def bare_of(text: str | None) -> str | None:
    """Prepare an address that may have a resource, and drop the resource."""
    jid = _parse(text)
    return str(jid.bare) if jid is not None and jid.local else None


def entity(text: str | None) -> str | None:
    """Prepare any address: an account's, a service's (no localpart) or a device's (a resource)."""
    jid = _parse(text)
    return str(jid) if jid is not None else None


def key(prepared: str) -> str:
    """One spelling for comparing JIDs that :func:`bare` has prepared.

    Preparation leaves A-labels (``xn--``) alone, and a server addresses its users by the spelling
    it was given; two spellings of one domain are the same address all the same (RFC 7622 3.2).
    """
    if "xn--" not in prepared and _IDEOGRAPHIC_STOP not in prepared:
        return prepared
    local, at, host = prepared.rpartition("@")
    labels = [_u_label(label) for label in host.replace(_IDEOGRAPHIC_STOP, ".").split(".")]
    return f"{local}{at}{'.'.join(labels)}"


def domain(prepared: str) -> str:
    """The domainpart of a JID that :func:`bare` has prepared."""
    return prepared.rpartition("@")[2]


def from_uri(uri: str | None) -> str | None:
    """The bare JID of an ``xmpp:`` URI (RFC 5122), or None.

    XEP-0283 4.3 lets ``<gone/>`` stand in for a statement only with a valid URI of an account:
    one with an authority, a resource, a query or a fragment names something else.
    """
    text = (uri or "").strip()
    scheme, colon, path = text.partition(":")
    if not colon or scheme.lower() != "xmpp" or path.startswith("/"):
        return None
    if any(mark in path for mark in "/?#"):
        return None
    try:
        return bare(unquote(path, errors="strict"))
    except UnicodeDecodeError:
        return None


def to_uri(prepared: str) -> str:
    """The ``xmpp:`` URI of a bare JID (RFC 5122 section 2.7.2: reserved characters escaped)."""
    local, at, host = prepared.rpartition("@")
    return f"xmpp:{quote(local, safe=_URI_NODE)}{at}{quote(host, safe=_URI_HOST)}"


_IDEOGRAPHIC_STOP = "\u3002"
"""Separates labels as a full stop does (RFC 3490 section 3.1); preparation leaves it alone, and so
one domain would have as many spellings as it has dots."""
_STOPS = (".", _IDEOGRAPHIC_STOP)
_URI_NODE = "!$'()*+,;=-._~"
_URI_HOST = "!$'()*+,;=-._~:[]"


def _parse(text: str | None) -> JID | None:
    stripped = (text or "").strip()
    if not stripped:
        return None
    try:
        jid = JID(stripped)
        if jid.domain.endswith(_STOPS):
            # RFC 7622 3.2 strips it; slixmpp 1.17 does where it has to prepare anything else.
            before = f"{jid.local}@" if jid.local else ""
            after = f"/{jid.resource}" if jid.resource else ""
            jid = JID(f"{before}{jid.domain[:-1]}{after}")
        if str(jid) != stripped:
            # Preparation can make a label longer than a label may be: then it is no JID either.
            JID(str(jid))
    except (InvalidJID, UnicodeError):
        return None
    return jid if jid.domain and not jid.domain.endswith(_STOPS) else None


def _u_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label.encode("ascii").decode("idna")
    except UnicodeError:
        return label
