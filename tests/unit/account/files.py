"""Files of accounts for tests: written out, made up part by part, and hostile ones."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat

from component.account.model import Piece
from component.account.read import Reader

JULIET = "juliet@capulet.example"
HEAD = "<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='urn:xmpp:pie:0'>\n"
HOST = "<host jid='capulet.example'>\n"
USER = "<user name='juliet'>\n"
TAIL = "</user>\n</host>\n</server-data>\n"
OPENED = HEAD + HOST + USER
"""What is before a user's things: four lines, so that they begin in line 5."""


class Parts(io.RawIOBase):
    """A file that is made while it is read, so that its size costs nothing."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        super().__init__()
        self._parts = iter(parts)
        self._rest = b""
        self.given = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill the buffer as far as there is something."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        while len(self._rest) < len(view):
            part = next(self._parts, None)
            if part is None:
                break
            self._rest += part
        taken = self._rest[: len(view)]
        self._rest = self._rest[len(view) :]
        view[: len(taken)] = taken
        self.given += len(taken)
        return len(taken)


def account(things: str) -> bytes:
    """A file with one account."""
    return (OPENED + things + TAIL).encode()


def read(data: bytes, user: str | None = None) -> list[Piece]:
    """All pieces of a file."""
    return list(Reader(io.BytesIO(data), user))


def things(xml: str) -> tuple[list[Piece], dict[str, int]]:
    """The pieces of an account without its identity, and what was skipped."""
    reader = Reader(io.BytesIO(account(xml)))
    pieces = list(reader)[1:]
    skipped: Counter[str] = Counter()
    for skip, count in reader.skipped.items():
        skipped[skip.what] += count
    return pieces, dict(skipped)


# Hostile files --------------------------------------------------------------------------------


def nested(count: int) -> Iterator[bytes]:
    """Elements inside each other."""
    yield OPENED.encode() + b"<vCard xmlns='vcard-temp'>"
    yield from repeat(b"<a>" * 1000, count // 1000)
    yield from repeat(b"</a>" * 1000, count // 1000)
    yield b"</vCard>" + TAIL.encode()


def siblings(count: int) -> Iterator[bytes]:
    """Elements beside each other in one piece."""
    yield OPENED.encode() + b"<vCard xmlns='vcard-temp'>"
    yield from repeat(b"<a/>" * 1000, count // 1000)
    yield b"</vCard>" + TAIL.encode()


def text(size: int) -> Iterator[bytes]:
    """A long text in one piece."""
    yield OPENED.encode() + b"<vCard xmlns='vcard-temp'>"
    yield from repeat(b"x" * 10_000, size // 10_000)
    yield b"</vCard>" + TAIL.encode()


def escaped(size: int) -> Iterator[bytes]:
    """A long text that the parser brings one character at a time."""
    yield OPENED.encode() + b"<vCard xmlns='vcard-temp'>"
    yield from repeat(b"&amp;" * 1000, size // 5000)
    yield b"</vCard>" + TAIL.encode()


def attribute(size: int) -> Iterator[bytes]:
    """A long attribute."""
    yield OPENED.encode() + b"<query xmlns='jabber:iq:roster'><item jid='"
    yield from repeat(b"x" * 10_000, size // 10_000)
    yield b"'/></query>" + TAIL.encode()


def comment(size: int) -> Iterator[bytes]:
    """A long comment."""
    yield OPENED.encode() + b"<!-- "
    yield from repeat(b"x" * 10_000, size // 10_000)
    yield b" -->" + TAIL.encode()


def names(count: int) -> Iterator[bytes]:
    """Different names, each long."""
    yield OPENED.encode() + b"<vCard xmlns='vcard-temp'>"
    for number in range(count):
        yield f"<n{number}{'x' * 1000}/>".encode()
    yield b"</vCard>" + TAIL.encode()


def laughs() -> Iterator[bytes]:
    """Entities of entities."""
    yield b"<?xml version='1.0'?><!DOCTYPE server-data [<!ENTITY l0 'ha'>"
    for level in range(1, 10):
        yield f"<!ENTITY l{level} '{f'&l{level - 1};' * 10}'>".encode()
    yield b"]><server-data xmlns='urn:xmpp:pie:0'>&l9;</server-data>"


def archive(size: int) -> Iterator[bytes]:
    """A message history, which is passed over however long it is."""
    one = b"<result xmlns='urn:xmpp:mam:2' id='x'><body>" + b"y" * 900 + b"</body></result>\n"
    yield OPENED.encode() + b"<archive xmlns='urn:xmpp:pie:0#mam'>"
    yield from repeat(one, size // len(one))
    yield b"</archive>" + TAIL.encode()


def contacts(count: int, size: int) -> Iterator[bytes]:
    """An account with so many contacts, each of so many bytes or a little more."""
    group = "<group>{} \u05d0\u05d1\u05d2 " + "\u00e9" * 100 + "</group>"
    groups = "".join(group.format(number) for number in range(size // len(group.encode())))
    yield OPENED.encode() + b"<query xmlns='jabber:iq:roster'>\n"
    for number in range(count):
        jid = f"contact{number}@montague{number % 97}.example"
        head = f"<item jid='{jid}' name='Kontakt \u2665 {number}' subscription='both'>"
        yield f"{head}{groups}<group>Gruppe {number % 7}</group></item>\n".encode()
    yield b"</query>" + TAIL.encode()


MADE: dict[str, Callable[[], Iterator[bytes]]] = {
    "nested": partial(nested, 1_000_000),
    "siblings": partial(siblings, 1_000_000),
    "text": partial(text, 200_000_000),
    "escaped": partial(escaped, 50_000_000),
    "attribute": partial(attribute, 200_000_000),
    "comment": partial(comment, 200_000_000),
    "names": partial(names, 300_000),
    "laughs": laughs,
    "archive": partial(archive, 20_000_000),
    "contacts": partial(contacts, 2_000, 2_100),
    "contacts-full": partial(contacts, 50_000, 2_100),
}
"""Large files, by name."""
