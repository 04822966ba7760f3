"""What of an account comes along and what never does, each with its reason.

One table for the reader, the writer, whoever copies between accounts, and the manual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class Place(StrEnum):
    """Where a thing is found."""

    ACCOUNT = "account"
    """Below ``<user/>`` of XEP-0227: ``{namespace}name``, or ``@name`` of an attribute."""
    NODE = "PEP node"
    PRIVATE = "private XML"
    """``{namespace}name`` of an element of XEP-0049."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table.  ``match`` is a name; ``*`` stands for any characters."""

    place: Place
    match: str
    what: str
    carried: bool
    reason: str
    """Why not; of what is carried, what is to be known of it."""
    source: str


_HISTORY = "an archive is written by the server alone, with the old server's marks in it"
_DEVICES = (
    "the keys belong to devices, whose secret halves stay there; with an old list contacts would "
    "encrypt for devices that don't read the new address; each client publishes its own"
)
_SECRETS = "whoever has them can log in to the old account"

RULES: tuple[Rule, ...] = (
    Rule(
        Place.ACCOUNT,
        "{jabber:iq:privacy}query",
        "blocked people",
        True,
        "what the default list keeps out entirely; finer rules have no place in XEP-0191",
        "XEP-0227 4.8, XEP-0191",
    ),
    Rule(
        Place.ACCOUNT,
        "{urn:xmpp:blocking}blocklist",
        "blocked people",
        True,
        "XEP-0227 has no place for it, some programs write it all the same",
        "XEP-0191 3.2",
    ),
    Rule(
        Place.ACCOUNT,
        "{jabber:iq:roster}query",
        "contacts",
        True,
        "names and groups; subscriptions are asked for anew, because only contacts can grant them",
        "XEP-0227 4.4, RFC 6121 2",
    ),
    Rule(
        Place.ACCOUNT,
        "{vcard-temp}vCard",
        "profile and its picture",
        True,
        "",
        "XEP-0227 4.7, XEP-0054, XEP-0153",
    ),
    Rule(
        Place.ACCOUNT,
        "{jabber:iq:private}query",
        "private XML",
        True,
        "",
        "XEP-0227 4.6, XEP-0049",
    ),
    Rule(
        Place.ACCOUNT,
        "{http://jabber.org/protocol/pubsub#owner}pubsub",
        "PEP nodes",
        True,
        "with their options and whom a whitelist lets in",
        "XEP-0227 4.10.1",
    ),
    Rule(
        Place.ACCOUNT,
        "{http://jabber.org/protocol/pubsub}pubsub",
        "PEP items",
        True,
        "",
        "XEP-0227 4.10.2",
    ),
    Rule(Place.ACCOUNT, "@password", "passwords", False, _SECRETS, "XEP-0227 6"),
    Rule(
        Place.ACCOUNT,
        "{urn:xmpp:pie:0#scram}scram-credentials",
        "passwords (SCRAM)",
        False,
        _SECRETS,
        "XEP-0227 4.3",
    ),
    Rule(
        Place.ACCOUNT,
        "{*}offline-messages",
        "offline messages",
        False,
        "they were sent to the old address, which delivers them",
        "XEP-0227 4.5",
    ),
    Rule(
        Place.ACCOUNT,
        "{urn:xmpp:pie:0#mam}archive",
        "message history",
        False,
        _HISTORY,
        "XEP-0227 4.11",
    ),
    Rule(
        Place.ACCOUNT,
        "{*}presence",
        "requests that wait for an answer",
        False,
        "they were made to the old address; who asked there can ask here",
        "XEP-0227 4.9",
    ),
    Rule(
        Place.NODE,
        "eu.siacs.conversations.axolotl.*",
        "OMEMO keys and device lists",
        False,
        _DEVICES,
        "OMEMO, version 0.3",
    ),
    Rule(
        Place.NODE,
        "urn:xmpp:omemo:*",
        "OMEMO keys and device lists",
        False,
        _DEVICES,
        "OMEMO 5.3",
    ),
    Rule(
        Place.NODE,
        "urn:xmpp:moved:*",
        "moved statement",
        False,
        "it says where the old account went; the new one would say that it left",
        "XEP-0283 4.1",
    ),
    Rule(
        Place.NODE,
        "urn:xmpp-moved:*",
        "our own passing data",
        False,
        "it serves a hand-over and is deleted with it",
        "",
    ),
    Rule(
        Place.NODE,
        "urn:xmpp:mds:displayed:*",
        "what has been read",
        False,
        "it points into the old account's message history, which does not come along",
        "Message Displayed Synchronization 4.1",
    ),
    Rule(
        Place.NODE,
        "storage:bookmarks",
        "bookmarked rooms (old format)",
        True,
        "as items of XEP-0402; what that has already is left alone; web addresses have no place",
        "XEP-0048",
    ),
    Rule(Place.NODE, "urn:xmpp:bookmarks:1", "bookmarked rooms", True, "", "XEP-0402"),
    Rule(Place.NODE, "urn:xmpp:vcard4", "profile (vCard4)", True, "", "XEP-0292"),
    Rule(Place.NODE, "urn:xmpp:avatar:data", "avatar", True, "", "XEP-0084"),
    Rule(Place.NODE, "urn:xmpp:avatar:metadata", "avatar", True, "", "XEP-0084"),
    Rule(Place.NODE, "http://jabber.org/protocol/nick", "nickname", True, "", "XEP-0172"),
    Rule(
        Place.NODE,
        "*",
        "other PEP nodes",
        True,
        "with their options, access model first",
        "XEP-0163",
    ),
    Rule(
        Place.PRIVATE,
        "{storage:bookmarks}storage",
        "bookmarked rooms (old format)",
        True,
        "as items of XEP-0402; what that has already is left alone; web addresses have no place",
        "XEP-0048",
    ),
    Rule(Place.PRIVATE, "*", "private XML", True, "", "XEP-0049"),
)


def account(name: str) -> Rule | None:
    """The rule for an element or ``@attribute`` of a user, None for what nobody has defined."""
    return _first(Place.ACCOUNT, name)


def node(name: str) -> Rule:
    """The rule for a PEP node."""
    rule = _first(Place.NODE, name)
    assert rule is not None
    return rule


def private(name: str, ns: str) -> Rule:
    """The rule for an element of private storage."""
    rule = _first(Place.PRIVATE, f"{{{ns}}}{name}")
    assert rule is not None
    return rule


def _first(place: Place, name: str, rules: Sequence[Rule] = RULES) -> Rule | None:
    matching = (rule for rule in rules if rule.place is place and fnmatchcase(name, rule.match))
    return next(matching, None)
