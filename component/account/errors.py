"""What can be wrong with a file, and how much of it the reader takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """What is wrong with a file of XEP-0227; the values are stable."""

    NOT_XML = "not-xml"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    ENCODING = "encoding"
    ENTITIES = "entities"
    INCLUDE = "include"
    ROOT = "root"
    NAMESPACE = "namespace"
    NO_ADDRESS = "no-address"
    BAD_ADDRESS = "bad-address"
    SECOND_HOST = "second-host"
    SEVERAL_USERS = "several-users"
    DUPLICATE_USER = "duplicate-user"
    OTHER_USER = "other-user"
    NO_USER = "no-user"
    DEPTH = "depth"
    LENGTH = "length"
    SIZE = "size"
    NAMES = "names"
    TOO_MANY = "too-many"


REMEDIES: dict[Why, str] = {
    Why.NOT_XML: "give the XML file of an account (XEP-0227), unpacked",
    Why.MALFORMED: "have the file made again by the program that exports accounts",
    Why.TRUNCATED: "the end of the file is missing: download or copy it again",
    Why.ENCODING: "convert the file to UTF-8, the only encoding of XMPP",
    Why.ENTITIES: "remove the document type: XEP-0227 has none, and it is a way to attack readers",
    Why.INCLUDE: "give the file that is named there instead: included files are not opened",
    Why.ROOT: "the file must begin with <server-data xmlns='urn:xmpp:pie:0'>",
    Why.NAMESPACE: "the namespace must be urn:xmpp:pie:0 (XEP-0227, version 1.0 or later)",
    Why.NO_ADDRESS: "add the missing address, or remove the element",
    Why.BAD_ADDRESS: "correct the address, or remove the element",
    Why.SECOND_HOST: "say which account is meant, by its full address",
    Why.SEVERAL_USERS: "say which account is meant, by its full address",
    Why.DUPLICATE_USER: "remove one of the two: nobody can tell which of them counts",
    Why.OTHER_USER: "remove what belongs to somebody else",
    Why.NO_USER: "look whether this is the right file, and whether the address is spelled right",
    Why.DEPTH: "no account needs so many elements inside each other: remove this one",
    Why.LENGTH: "shorten or remove it",
    Why.SIZE: "remove the element, or make it smaller (pictures are the usual cause)",
    Why.NAMES: "no account needs so many different names: look where the file comes from",
    Why.TOO_MANY: "split the file, or remove some of them",
}
"""What to do about it."""


class BadFile(Exception):
    """A file cannot be read.

    :ivar why: what kind of thing is wrong.
    :ivar line: where, counted from 1.
    :ivar element: the element there with all around it, as ``server-data/host/user``.
    :ivar text: what is wrong, in words.
    :ivar remedy: what to do, in words.
    """

    def __init__(self, why: Why, line: int, element: str, text: str) -> None:
        self.why = why
        self.line = line
        self.element = element
        self.text = text
        self.remedy = REMEDIES[why]
        place = f"line {line}" + (f", {element}" if element else "")
        super().__init__(f"{place}: {text}; {self.remedy}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the reader takes, in characters where nothing else is said.

    Nothing is held in memory beyond these before it is refused.
    """

    depth: int = 100
    """Elements inside each other, the file's own included."""
    text: int = 65_536
    """One name, group, address or option."""
    piece: int = 4_194_304
    """One profile, item or setting, and one piece of markup (bytes)."""
    elements: int = 20_000
    """Elements in one of these."""
    names: int = 262_144
    """All different names of elements, attributes and namespaces together."""
    groups: int = 200
    """Groups of a contact."""
    contacts: int = 200_000
    """Contacts, and likewise people blocked."""
    nodes: int = 2_000
    """PEP nodes, and members of one; bookmarks likewise."""
