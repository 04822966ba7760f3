"""Bookmarked rooms of XEP-0048, all in one element, as items of XEP-0402, one for each room."""

from __future__ import annotations

from collections.abc import Iterator

from component.account.canonical import Builder, Element, split
from component.account.model import NS_BOOKMARKS, NS_STORAGE, PepItem, PepNode
from component.core import jids

NODE = PepNode(
    NS_BOOKMARKS,
    (
        ("pubsub#access_model", ("whitelist",)),
        ("pubsub#max_items", ("max",)),
        ("pubsub#persist_items", ("true",)),
        ("pubsub#send_last_published_item", ("never",)),
    ),
)
"""The node of bookmarks as XEP-0402 section 3.3 has it made: nobody else may read it."""
NO_PLACE = "XEP-0402 has no place for it"
_OWN = ("nick", "password")


def converted(storage: Element) -> Iterator[PepItem | str]:
    """The rooms of ``<storage xmlns='storage:bookmarks'/>``, by XEP-0048 section 2.1.

    What the old format let clients add to a room goes into ``<extensions/>`` (XEP-0402 section 2).

    :returns: items; and the name of each thing that could not become one.
    """
    for child in storage:
        if not isinstance(child.tag, str):
            continue
        attributes = dict(child.attrib.items())
        room = jids.entity(attributes.get("jid"))
        if child.tag == f"{{{NS_STORAGE}}}conference" and room is not None:
            yield _item(room.partition("/")[0], attributes, child)
        else:
            yield split(child.tag)[1]


def _item(room: str, attributes: dict[str, str], conference: Element) -> PepItem:
    shown = {}
    if attributes.get("autojoin") in ("true", "1"):
        shown["autojoin"] = "true"
    if attributes.get("name"):
        shown["name"] = attributes["name"]
    builder = Builder()
    builder.start(f"{{{NS_BOOKMARKS}}}conference", shown.items())
    children = [child for child in conference if isinstance(child.tag, str)]
    own = {f"{{{NS_STORAGE}}}{name}": name for name in _OWN}
    for tag, name in own.items():
        text = next((child.text for child in children if child.tag == tag), None)
        if text:
            builder.start(f"{{{NS_BOOKMARKS}}}{name}")
            builder.text(text)
            builder.end()
    added = [child for child in children if child.tag not in own]
    if added:
        builder.start(f"{{{NS_BOOKMARKS}}}extensions")
        for child in added:
            builder.element(child)
        builder.end()
    builder.end()
    return PepItem(NS_BOOKMARKS, room, builder.result())
