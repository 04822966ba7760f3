"""Which links of users are followed: those into the storage of the user's own server alone.

The server's upload service says where it keeps files, by the slot that it gives for one (XEP-0363
section 5).  What is asked for in the end has the slot's own scheme and host; of the link only the
path is taken, so two readings of one address cannot lead to two hosts.
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

MOST_CHARACTERS = 2000
"""Of a link."""
SCHEMES = ("https", "http")
_PORTS = {"https": 443, "http": 80}
_OWN_SEGMENTS = 2
"""The end of a slot's path is the file's own: a name that nobody guesses, and the file's name."""


def is_link(text: str) -> bool:
    """Whether a text is a link and nothing else."""
    scheme, colon, rest = text.partition("://")
    return bool(colon and rest) and scheme.lower() in SCHEMES and not text.split(None, 1)[1:]


def same_storage(link: str, slot: str) -> str | None:
    """The address to get a user's link from; None: it does not lead into the storage.

    :param link: what the user gave.
    :param slot: the address under which the storage would keep a file of the user's.
    """
    theirs, ours = _split(link), _split(slot)
    if theirs is None or ours is None or theirs[:3] != ours[:3]:
        return None
    path, wanted = theirs[3], ours[3]
    prefix = wanted[:-_OWN_SEGMENTS]
    if len(wanted) < _OWN_SEGMENTS or len(path) != len(wanted) or path[: len(prefix)] != prefix:
        return None
    scheme, authority = slot.partition("://")[0].lower(), urlsplit(slot).netloc
    return f"{scheme}://{authority}/" + "/".join(quote(part, safe=_KEPT) for part in path)


_KEPT = "!$%&'()*+,:;=@~"
"""What stands in a path as it is (RFC 3986 section 3.3), the marks of what is quoted included."""


def _split(text: str) -> tuple[str, str, int, tuple[str, ...]] | None:
    """Scheme, host, port and segments of a plain address; None for any other."""
    if len(text) > MOST_CHARACTERS or not text.isprintable() or set(text) & set(' \\"<>^`{|}'):
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in SCHEMES or not host or "@" in parts.netloc:
        return None
    if "?" in text or "#" in text:
        return None
    segments = tuple(parts.path.split("/")[1:])
    if not all(map(_is_plain, segments)):
        return None
    return parts.scheme, _ascii(host), port or _PORTS[parts.scheme], segments


def _is_plain(segment: str) -> bool:
    """Whether a segment leads nowhere else, however often it is unquoted."""
    for _ in range(4):
        if segment in ("", ".", "..") or set(segment) & set("/\\\0"):
            return False
        further = unquote(segment)
        if further == segment:
            return True
        segment = further
    return False


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host
