"""Lists that a server hands out in pages (XEP-0059), put together again."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable

from component.xmpp.codecs import tag
from component.xmpp.names import NS_DISCO_ITEMS, NS_PUBSUB

NS_RSM = "http://jabber.org/protocol/rsm"
_SET = tag(NS_RSM, "set")
_PUBSUB, _ITEMS, _ITEM = (tag(NS_PUBSUB, name) for name in ("pubsub", "items", "item"))
_QUERY, _LISTED = (tag(NS_DISCO_ITEMS, name) for name in ("query", "item"))

Ask = Callable[[ET.Element], Awaitable[ET.Element]]


async def whole(ask: Ask, payload: ET.Element) -> tuple[ET.Element, bool]:
    """Ask, and where the answer is the first page of a list, for the others.

    That is so for items of a node (XEP-0060 section 6.5.4) and service discovery (XEP-0030
    section 3.5); other questions are asked once.

    :param ask: sends a request and returns the IQ that answers it.
    :returns: the first answer with everything in it; and whether that is all of it.

    Raises what ``ask`` raises.
    """
    answer = await ask(payload)
    listed = _list(answer)
    if listed is None or (len(payload) and len(payload[0])):  # single items were asked for
        return answer, True
    seen = {key for one in listed if (key := _key(one))}
    page = answer
    while (after := _after(page, len(seen))) is not None:
        page = await ask(_next(payload, after))
        fresh = [one for one in _list(page) or () if (key := _key(one)) and key not in seen]
        if not fresh:  # the server does not know pages after all, or forgot where we were
            return answer, False
        listed.extend(fresh)
        seen.update(_key(one) for one in fresh)
    return answer, True


def _list(answer: ET.Element) -> ET.Element | None:
    found = answer.find(f"{_PUBSUB}/{_ITEMS}")
    return found if found is not None else answer.find(_QUERY)


def _key(item: ET.Element) -> str:
    """What tells an item from the others; empty for what is none."""
    if item.tag == _ITEM:
        return item.get("id", "")
    if item.tag == _LISTED:
        return f"{item.get('jid')} {item.get('node')} {item.get('name')}"
    return ""


def _after(page: ET.Element, got: int) -> str | None:
    """Where the next page begins (XEP-0059 section 2.2); None where this was the last one."""
    ends = page.find(f"*/{_SET}")
    if ends is None:
        return None
    count = ends.findtext(tag(NS_RSM, "count")) or ""
    if count.isdecimal() and int(count) <= got:
        return None
    return ends.findtext(tag(NS_RSM, "last")) or None


def _next(payload: ET.Element, after: str) -> ET.Element:
    asked = copy.deepcopy(payload)
    ET.SubElement(ET.SubElement(asked, _SET), tag(NS_RSM, "after")).text = after
    return asked
