"""Value types of the options: each validates, normalises and says what it allows."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from slixmpp.jid import JID, InvalidJID

from component.core import jids

_LABEL = re.compile(r"[^\W_](?:[\w-]*[^\W_])?")
_HOST = re.compile(r"[^\s/@\[\]]+")
SOCKET_PATH_LIMIT = 100
"""Bytes of a Unix socket's path; systems allow 104 to 108 with the final NUL (unix(7))."""
DATABASE_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")


@dataclass(frozen=True, slots=True)
class Allowed:
    """Annotation of an option's type: what may be written, as it completes "allowed: ..."."""

    text: str


def prepare_domain(text: str) -> str:
    """A domain as the server spells it: prepared (lower case, no trailing dot), A-labels kept.

    :raises ValueError: not a domain (RFC 7622 section 3.2), or a JID with more than a domain
    """
    if "@" in text or "/" in text:
        raise ValueError(f'"{text}" is more than a domain')
    try:
        domain = JID(text.strip()).domain
    except (InvalidJID, UnicodeError):
        raise ValueError(f'"{text}" is not a valid domain') from None
    if not domain:
        raise ValueError("it is empty")
    labels = domain.split(".")
    if not domain.startswith("[") and not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f'"{text}" is not a valid domain')
    return domain


def prepare_bare_jid(text: str) -> str:
    """A user's bare JID, prepared.

    :raises ValueError: not a JID, without a local part, or with a resource (RFC 7622)
    """
    jid = jids.bare(text)
    if jid is None:
        raise ValueError(f'"{text}" is not a bare JID')
    return jid


def _split(value: Any) -> Any:
    """Lists come from the environment as ``a, b`` or as JSON; from TOML they are lists already."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError("it begins as a JSON list but is not one") from None
    return [part.strip() for part in text.split(",") if part.strip()]


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _domains(values: tuple[str, ...]) -> tuple[str, ...]:
    return _unique(tuple(prepare_domain(value) for value in values))


def _domain_keys(values: tuple[str, ...]) -> tuple[str, ...]:
    """One spelling of each domain, for comparing (see :func:`component.core.jids.key`)."""
    return _unique(tuple(jids.key(value) for value in _domains(values)))


def _jids(values: tuple[str, ...]) -> tuple[str, ...]:
    return _unique(tuple(prepare_bare_jid(value) for value in values))


def _host(text: str) -> str:
    host = text.strip()
    if not _HOST.fullmatch(host):
        raise ValueError("it is no host name or IP address")
    return host


def split_listen(text: str) -> tuple[str, int]:
    """``host:port`` or ``[IPv6]:port`` as a pair.

    :raises ValueError: anything else
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("an address and a port are needed")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f'"{port}" is no port')
    if host.startswith("[") and host.endswith("]"):
        host = str(ip_address(host[1:-1]))
    elif ":" in host:
        raise ValueError("an IPv6 address is written in brackets")
    return _host(host), int(port)


def _listen(text: str) -> str:
    text = text.strip()
    if text:
        split_listen(text)
    return text


def mask_url(url: str) -> str:
    """The URL without its password, fit to be shown."""
    return re.sub(r"(//[^/@:]*):[^@]*@", r"\1:***@", url)


_ROOTS = frozenset({"data", "etc", "home", "mnt", "opt", "root", "run", "srv", "tmp", "usr", "var"})
"""Folders that absolute paths begin with; a relative one that does so has lost its slash."""


def _database_url(url: str) -> str:
    url = url.strip()
    scheme = url.partition("://")[0]
    if scheme not in DATABASE_DRIVERS:
        raise ValueError("the part before :// names no supported database")
    if scheme.startswith("sqlite"):
        if not re.fullmatch(r"sqlite\+aiosqlite:///.+", url):
            raise ValueError("a path is needed after sqlite+aiosqlite:///")
        path = url.partition(":///")[2]
        if path.partition("/")[0] in _ROOTS and "/" in path:
            raise ValueError(
                f"with three slashes this is {path} below the folder that xmpp-moved starts in; "
                "write four slashes for an absolute path"
            )
    else:
        parts = urlsplit(url)
        if len(parts.path) < 2:
            raise ValueError("a database name is needed after the host")
    return url


def _socket_path(text: str) -> str:
    path = text.strip()
    size = len(os.fsencode(path))
    if size > SOCKET_PATH_LIMIT:
        raise ValueError(f"it is {size} bytes long")
    if "\0" in path:
        raise ValueError("it holds a NUL character")
    return path


def _numbers(value: Any) -> Any:
    """A list of numbers; ``true`` is none, though Python counts it as one."""
    values = _split(value)
    if isinstance(values, (list, tuple)) and any(isinstance(one, bool) for one in values):
        raise ValueError("it holds a truth value")
    return values


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _no_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


Domain = Annotated[
    str, AfterValidator(prepare_domain), Allowed('a domain, such as "moved.montague.example"')
]
SomeDomains = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    AfterValidator(_domains),
    Allowed('a list of one domain or more, such as ["montague.example"]'),
]
DomainKeys = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    AfterValidator(_domain_keys),
    Allowed('a list of domains, such as ["montague.example"]'),
]
BareJids = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    AfterValidator(_jids),
    Allowed('a list of bare JIDs, such as ["admin@montague.example"]'),
]
Host = Annotated[str, AfterValidator(_host), Allowed("a host name or an IP address")]
Listen = Annotated[
    str,
    AfterValidator(_listen),
    Allowed('"address:port", such as "127.0.0.1:9347" or "[::1]:9347", or "" for off'),
]
DatabaseUrl = Annotated[
    str,
    AfterValidator(_database_url),
    Allowed('"sqlite+aiosqlite:////path/to/file.db" or "postgresql+asyncpg://user:pw@host/name"'),
]
FilePath = Annotated[str, AfterValidator(_no_blank), Allowed("the path of a file")]
SocketPath = Annotated[
    str,
    AfterValidator(_socket_path),
    Allowed(f'the path of a Unix socket, of at most {SOCKET_PATH_LIMIT} bytes, or "" for off'),
]
Hours = Annotated[
    tuple[Annotated[float, Field(ge=0, le=8760, allow_inf_nan=False)], ...],
    BeforeValidator(_numbers),
    Allowed("a list of at most 20 numbers from 0 to 8760, such as [1, 6, 24]"),
]
Word = BeforeValidator(_lower)
