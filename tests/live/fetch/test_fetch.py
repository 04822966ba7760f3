"""An account is fetched from a server that does not know of it, and compared piece by piece."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from component.account.model import NS_STORAGE, Contact, PepNode, Piece, in_order
from component.account.read import Reader
from component.core.model import Subscription
from tests.certificates import OPENSSL, Authority
from tests.full import FULL
from tests.live.account.furniture import EVERYTHING, NEVER, OLD_ROOM, OLD_ROOMS
from tests.live.account.owner import PRIVATE, furnish, must, seen
from tests.live.account.servers import House
from tests.live.account.test_exchange import befriend, is_prosody, plain
from tests.live.client import Client
from tests.live.fetch.house import fetch
from tests.live.servers.base import PASSWORD, RosterEntry
from tests.live.servers.differences import Kind
from tests.live.shared import NEWER_PROSODY, kinds

pytestmark = [pytest.mark.skipif(OPENSSL is None, reason="no openssl"), kinds(NEWER_PROSODY)]

HOST = "capulet.example"


def read(path: Path, jid: str) -> list[Piece]:
    with path.open("rb") as file:
        return list(Reader(file, jid))


async def test_everything_is_fetched(house: House, authority: Authority, tmp_path: Path) -> None:
    identity = house.account("jülïet", HOST)
    juliet = await house.client(identity.jid)
    await juliet.roster()
    await furnish(juliet, [*EVERYTHING, *NEVER])
    if is_prosody(house.kind):
        await must(juliet, f"<query xmlns='{PRIVATE}'>{OLD_ROOMS}</query>")
    await befriend(juliet, await house.client(house.account("nurse", HOST).jid))
    there = await seen(juliet, identity, EVERYTHING)

    target, trust = tmp_path / "juliet.xml", ("--ca-file", authority.file)
    ran = await fetch(house, identity.jid, target, *trust)
    assert ran.code == 0, ran.said
    assert "6 contacts, 3 blocked addresses, 1 profile, 1 private setting" in ran.out
    assert "Not taken along: OMEMO keys and device lists" in ran.out
    assert "refuses" not in ran.out
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    found = read(target, identity.jid)
    never = {NS_STORAGE} | {piece.node for piece in NEVER if isinstance(piece, PepNode)}
    kept = [piece for piece in there if getattr(piece, "node", None) not in never]
    assert plain(found) == plain(in_order([*kept, *old_rooms(house.kind)]))

    # Nothing is replaced without --force, and a second look at the same account is the same file.
    first = target.read_bytes()
    again = await fetch(house, identity.jid, target, *trust)
    assert again.code == 1
    assert f"{target} exists; name another file, or give --force" in again.err
    forced = await fetch(house, identity.jid, target, *trust, "--force")
    assert forced.code == 0, forced.said
    assert target.read_bytes() == first
    assert PASSWORD not in ran.said + again.said + forced.said + first.decode()
    assert sorted(os.listdir(tmp_path)) == ["juliet.xml"]


def old_rooms(kind: Kind) -> list[Piece]:
    """What the old format of bookmarks adds: ejabberd shows the new ones in the old format too."""
    return [OLD_ROOM] if is_prosody(kind) else []


async def test_an_empty_account(house: House, authority: Authority, tmp_path: Path) -> None:
    tybalt = house.account("tybalt", HOST)
    target = tmp_path / "tybalt.xml"
    ran = await fetch(house, tybalt.jid, target, "--ca-file", authority.file)
    assert ran.code == 0, ran.said
    with target.open("rb") as file:
        assert list(Reader(file)) == [tybalt]


async def test_many_contacts(house: House, authority: Authority, tmp_path: Path) -> None:
    count = 10_000 if FULL else 500
    tybalt = house.account("tybalt", HOST).jid
    entries = [
        RosterEntry(f"контакт{n}@h{n % 50}.example", "both", f"Nr. {n} 🌹", ("Ä",) if n % 3 else ())
        for n in range(count)
    ]
    # Prosody's is one file; ejabberd adds to what is there, and takes a while.
    at_once = count if is_prosody(house.kind) else 1000
    for start in range(0, count, at_once):
        house.server.set_roster(tybalt, entries[start : start + at_once])
    target = tmp_path / "tybalt.xml"
    ran = await fetch(house, tybalt, target, "--ca-file", authority.file)
    assert ran.code == 0, ran.said
    assert f"  {count} contacts, 0 blocked" in ran.out
    with target.open("rb") as file:
        found = [piece for piece in Reader(file) if isinstance(piece, Contact)]
    expected = [Contact(e.jid, e.name, e.groups, Subscription.BOTH) for e in entries]
    assert found == in_order(expected)


NEW = "juliet@new.example"
STATEMENT = (
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:moved:1'>"
    "<item id='current'/></items></pubsub>"
)
NEW_JID = "{urn:xmpp:moved:1}new-jid"


async def test_the_statement_is_published(
    house: House, authority: Authority, tmp_path: Path
) -> None:
    juliet, nurse, tybalt = [
        await house.client(house.account(name, HOST).jid) for name in ("jülïet", "nurse", "tybalt")
    ]
    await juliet.roster()
    await befriend(nurse, juliet)
    await furnish(juliet, [Contact(NEW)])
    publish = ("--ca-file", authority.file, "--publish", NEW)

    async def read_by(reader: Client) -> list[str | None]:
        answer = await reader.request(STATEMENT, to=juliet.bare)
        return [found.text for found in answer.iter(NEW_JID)]

    ran = await fetch(house, juliet.bare, tmp_path / "1.xml", *publish)
    assert ran.code == 0, ran.said
    assert f"{juliet.bare} says now that it moved to {NEW}; read back, and right." in ran.out
    assert "--access whitelist" in ran.out
    assert (await read_by(nurse), await read_by(tybalt)) == ([NEW], [])
    # Again, for those who are listed; and for everybody.
    listed = await fetch(house, juliet.bare, tmp_path / "2.xml", *publish, "--access", "whitelist")
    assert listed.code == 0, listed.said
    assert "--access" not in listed.out
    assert (await read_by(nurse), await read_by(tybalt)) == ([NEW], [])
    to_all = await fetch(house, juliet.bare, tmp_path / "3.xml", *publish, "--access", "open")
    assert to_all.code == 0, to_all.said
    assert (await read_by(nurse), await read_by(tybalt)) == ([NEW], [NEW])
    assert not any("urn:xmpp:moved" in (tmp_path / f"{n}.xml").read_text() for n in (1, 2, 3))
