"""Lists in pages (XEP-0059), as servers hand them out that limit what they send at once."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from component.client.paging import whole
from component.engine.belongings import asks
from component.xmpp import mover_codecs

RSM = "http://jabber.org/protocol/rsm"
PUBSUB = "http://jabber.org/protocol/pubsub"


class Pages:
    """A server with a list, of which it sends so many at once."""

    def __init__(self, ids: list[str], size: int, *, counts: bool = True) -> None:
        self.ids = ids
        self.asked: list[str | None] = []
        self._size = size
        self._counts = counts

    async def __call__(self, payload: ET.Element) -> ET.Element:
        """An answer to a question for items, or for nodes."""
        after = payload.findtext(f"{{{RSM}}}set/{{{RSM}}}after")
        self.asked.append(after)
        start = self.ids.index(after) + 1 if after is not None else 0
        page = self.ids[start : start + self._size]
        answer = ET.Element("{jabber:client}iq", {"type": "result"})
        outer = ET.SubElement(answer, payload.tag)
        if payload.tag == f"{{{PUBSUB}}}pubsub":
            items = ET.SubElement(outer, f"{{{PUBSUB}}}items", {"node": "n"})
            for id_ in page:
                one = ET.SubElement(items, f"{{{PUBSUB}}}item", {"id": id_})
                ET.SubElement(one, "{urn:x}x")
        else:
            for id_ in page:
                ET.SubElement(outer, payload.tag.replace("query", "item"), {"node": id_})
        if len(page) < len(self.ids):
            ends = ET.SubElement(outer, f"{{{RSM}}}set")
            if page:
                ET.SubElement(ends, f"{{{RSM}}}last").text = page[-1]
            if self._counts:
                ET.SubElement(ends, f"{{{RSM}}}count").text = str(len(self.ids))
        return answer


IDS = st.lists(st.text("abcä ", min_size=1, max_size=4), max_size=30, unique=True)


@given(IDS, st.integers(1, 10), st.booleans())
async def test_all_pages_of_items(ids: list[str], size: int, counts: bool) -> None:
    pages = Pages(ids, size, counts=counts)
    answer, complete = await whole(pages, asks.items_get("n"))
    assert [item.id for item in asks.read_items(answer, "n")] == ids
    # Without a count, only an empty page says that there are no more.
    assert complete or not counts
    assert len(pages.asked) <= len(ids) // size + 2


async def test_all_pages_of_nodes() -> None:
    ids = [f"n{number:03}" for number in range(25)]
    answer, complete = await whole(Pages(ids, 10), asks.nodes_get())
    assert asks.read_nodes(answer) == ids
    assert complete


async def test_a_server_that_sends_the_first_page_for_ever() -> None:
    pages = Pages([f"n{number}" for number in range(9)], 3)

    async def ask(_payload: ET.Element) -> ET.Element:
        return await pages(asks.items_get("n"))

    answer, complete = await whole(ask, asks.items_get("n"))
    assert len(list(asks.read_items(answer, "n"))) == 3
    assert not complete
    assert len(pages.asked) == 2


async def test_one_item_and_other_questions_have_no_pages() -> None:
    for payload in (asks.items_get("n", "a"), mover_codecs.vcard_request()):
        pages = Pages(["a", "b", "c"], 1)
        await whole(pages, payload)
        assert pages.asked == [None]
