"""Contacts from an account in a file (XEP-0227): a server's export, or written by hand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from tests.live.arrange import publish
from tests.live.cases import cases
from tests.live.movers.cast import Cast, after_follow, compare
from tests.live.movers.conftest import PAIRS, WorldFor
from tests.live.movers.guides import GUIDES
from tests.live.movers.moves import check_views, is_of, until
from tests.live.movers.people import Manner, Person
from tests.live.movers.stage import NAMES
from tests.live.servers.base import RosterEntry
from tests.live.servers.differences import Kind
from tests.live.servers.ejabberd import Ejabberd

UNANSWERED = "gone@mantua.example"
XEP_0227 = """<?xml version='1.0' encoding='UTF-8'?>
<server-data xmlns='urn:xmpp:pie:0'>
  <!-- written by hand -->
  <host jid='{host}'>
    <user name='{user}' password='wherefore'>
      <query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>
      <vCard xmlns='vcard-temp'><FN>Juliet &amp; Co.</FN></vCard>
      <query xmlns='jabber:iq:roster'>
{items}
        <item jid='gone@mantua.example' subscription='none' ask='subscribe'/>
      </query>
    </user>
    <user name='somebody-else'>
      <query xmlns='jabber:iq:roster'>
        <item jid='stranger@montague.example' subscription='both'/>
      </query>
    </user>
  </host>
</server-data>"""


def written(owner: Person, entries: dict[str, RosterEntry]) -> str:
    """An account as somebody writes it by hand."""
    user, _, host = owner.jid.partition("@")
    items = []
    for entry in entries.values():
        name = f" name='{entry.name}'" if entry.name else ""
        groups = "".join(f"<group>{group}</group>" for group in entry.groups)
        items.append(
            f"        <item jid='{entry.jid}'{name} subscription='{entry.subscription}'>"
            f"{groups}</item>"
        )
    return XEP_0227.format(user=user, host=host, items="\n".join(items))


def exported(owner: Person, entries: dict[str, RosterEntry]) -> str:
    """The account as ejabberd exports it; by hand where the server has no export."""
    server = owner.server
    if not isinstance(server, Ejabberd):
        return written(owner, entries)
    user, _, host = owner.jid.partition("@")
    folder = server.folder / f"export of {user}"
    folder.mkdir()
    assert "ok" in server.evaluate(f'ejabberd_piefxis:export_host("{folder}", <<"{host}">>).')
    (path,) = folder.glob("*_mantua_example.xml")
    whole = path.read_text()
    mine = re.search(rf"<user name='{user}'.*?</user>", whole, re.DOTALL)
    assert mine is not None, whole
    # It holds everybody; its owner is given their own account.
    return whole[: whole.index("<user ")] + mine[0] + "</host>"


DOCUMENTS: dict[str, Callable[[Person, dict[str, RosterEntry]], str]] = {
    "chat": exported,
    "ad-hoc": written,
}
"""How the order is given, and where the document comes from then."""


@pytest.mark.parametrize(
    ("pair", "way"),
    cases(["prosody-0.12+ejabberd-24.12-chat"], PAIRS, GUIDES),
    indirect=["pair"],
)
async def test_a_whole_account_is_pasted(pair: Kind, world_for: WorldFor, way: str) -> None:
    """The old server knows nothing of moves: its owner has the file, and publishes by hand."""
    world = await world_for(pair, names=NAMES)
    home = world.houses["montague"]
    async with Cast(world) as cast:
        old = cast.person("juliet", "mantua.example")
        new = cast.person("juliet", "montague.example")
        romeo = cast.person("romeo", "montague.example")
        nurse = cast.person("nurse", "verona.example")
        friar = cast.person("friar", "mantua.example", manner=Manner.APPROVES, reads=True)
        cast.friends(old, romeo, name="Romeo", groups=("Love", "Verona"), called="Juliet")
        cast.friends(old, nurse, called="My lamb", called_groups=("Home",))
        cast.friends(old, friar, name="Fr. Laurence", groups=("Cell",))
        cast.arrange()
        await cast.enter()
        document = DOCUMENTS[way](old, cast.arranged(old))
        await publish(old.device, new.jid, "open", [])
        wanted = dict.fromkeys((c.jid for c in (romeo, nurse, friar)), "mutual")
        if UNANSWERED in document:
            wanted[UNANSWERED] = "skipped"  # named to the mover, and not asked again

        # A line in a form is a value (XEP-0004, text-multi); in a chat all is one message.
        pasted = document if way == "chat" else document.splitlines()
        async with home.orders.watch() as watch:
            said = await GUIDES[way](new, home.component).order("arrive", old=old.jid, list=pasted)
            assert "has begun" in said
            await until(watch, old, new, ("done",), counts=Counter(wanted.values()))
            watch.check_totals(len(wanted), is_of(old, new))
        await check_views(home, old, new, wanted, "done")

        await cast.settled()
        assert compare({"": cast.arranged(old)}, {"": await new.roster()}) == ""
        for contact in (romeo, nurse):
            after = after_follow(cast.arranged(contact), old.jid, new.jid)
            assert compare({"": after}, {"": await contact.roster()}) == ""
            assert not contact.requests
        assert [(n.old, n.new) for n in friar.notifications] == [(old.jid, new.jid)]
        assert [proof.holds for proof in friar.proofs] == [True]
