"""An account's owner with an ordinary client: furnishes the account, and looks at what is there."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

from component.account.canonical import canonical
from component.account.model import (
    Blocked,
    Contact,
    Identity,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    in_order,
)
from component.core.model import Subscription
from tests.live.client import NS_ROSTER, Client, ClientError

PUBSUB = "http://jabber.org/protocol/pubsub"
BLOCKING = "urn:xmpp:blocking"
PRIVATE = "jabber:iq:private"
_OPTIONS = f"{PUBSUB}#publish-options"


async def furnish(client: Client, pieces: Iterable[Piece]) -> None:
    """Put pieces into the account, as clients do.  Raises ClientError when the server refuses."""
    nodes: dict[str, PepNode] = {}
    for piece in pieces:
        match piece:
            case Contact(jid, name, groups):
                inner = "".join(f"<group>{escape(group)}</group>" for group in groups)
                named = f" name={quoteattr(name)}" if name else ""
                item = f"<item jid={quoteattr(jid)}{named}>{inner}</item>"
                await must(client, f"<query xmlns='{NS_ROSTER}'>{item}</query>")
            case Blocked(jid):
                item = f"<item jid={quoteattr(jid)}/>"
                await must(client, f"<block xmlns='{BLOCKING}'>{item}</block>")
            case VcardTemp(element):
                await must(client, element)
            case PrivateXml(_, _, element):
                await must(client, f"<query xmlns='{PRIVATE}'>{element}</query>")
            case PepNode(node):
                nodes[node] = piece
            case PepItem(node):
                await must(client, _publish(piece, nodes[node]))
    for made in nodes.values():
        if made.members:
            members = "".join(
                f"<affiliation jid={quoteattr(jid)} affiliation='member'/>" for jid in made.members
            )
            inner = f"<affiliations node={quoteattr(made.node)}>{members}</affiliations>"
            await must(client, f"<pubsub xmlns='{PUBSUB}#owner'>{inner}</pubsub>")


async def seen(client: Client, identity: Identity, like: Sequence[Piece]) -> list[Piece]:
    """What the account has now, in the order of a file.

    Of private XML only what ``like`` names can be asked for; of a node's options, those are told
    that ``like`` has for it.
    """
    found: list[Piece] = [identity]
    for item in await client.roster():
        groups = tuple(sorted(group.text or "" for group in item))
        subscription = Subscription(item.get("subscription", "none"))
        ask = item.get("ask") == "subscribe"
        name = item.get("name") or None
        found.append(Contact(item.get("jid", ""), name, groups, subscription, ask))
    for item in await _children(client, f"<blocklist xmlns='{BLOCKING}'/>"):
        found.append(Blocked(item.get("jid", "")))
    vcard = await client.request("<vCard xmlns='vcard-temp'/>")
    if vcard.get("type") == "result" and len(vcard) and len(vcard[0]):
        found.append(VcardTemp(canonical(vcard[0])))
    for piece in like:
        if isinstance(piece, PrivateXml):
            asked = f"<{piece.name} xmlns={quoteattr(piece.ns)}/>"
            for child in await _children(client, f"<query xmlns='{PRIVATE}'>{asked}</query>"):
                found.append(PrivateXml(piece.name, piece.ns, canonical(child)))
    options = {piece.node: piece.config for piece in like if isinstance(piece, PepNode)}
    for node in await _nodes(client):
        found.append(await _node(client, node, dict(options.get(node, ()))))
        items = f"<pubsub xmlns='{PUBSUB}'><items node={quoteattr(node)}/></pubsub>"
        for item in (await _children(client, items))[0]:
            found.append(PepItem(node, item.get("id", ""), canonical(item[0])))
    return in_order(found)


async def must(client: Client, payload: str) -> ET.Element:
    """Set something; raises ClientError where the server does not take it."""
    answer = await client.request(payload, kind="set")
    if answer.get("type") != "result":
        raise ClientError(f"{payload}: {ET.tostring(answer, 'unicode')}")
    return answer


def _publish(item: PepItem, node: PepNode) -> str:
    fields = "".join(
        f"<field var={quoteattr(var)}>{''.join(f'<value>{escape(one)}</value>' for one in values)}"
        "</field>"
        for var, values in (("FORM_TYPE", (_OPTIONS,)), *node.config)
    )
    return (
        f"<pubsub xmlns='{PUBSUB}'><publish node={quoteattr(node.node)}>"
        f"<item id={quoteattr(item.id)}>{item.payload}</item></publish>"
        f"<publish-options><x xmlns='jabber:x:data' type='submit'>{fields}</x></publish-options>"
        "</pubsub>"
    )


async def _nodes(client: Client) -> list[str]:
    query = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
    answer = await client.request(query, to=client.bare)
    return [node for item in answer.iter() if (node := item.get("node")) is not None]


async def _node(client: Client, node: str, options: dict[str, tuple[str, ...]]) -> PepNode:
    name = quoteattr(node)
    owner = f"{PUBSUB}#owner"
    form = await client.request(f"<pubsub xmlns='{owner}'><configure node={name}/></pubsub>")
    config = {}
    for field in form.iter("{jabber:x:data}field"):
        var = field.get("var", "")
        values = tuple(value.text or "" for value in field.findall("{jabber:x:data}value"))
        if var in options:
            # Servers write the same truth in two ways (XEP-0004 section 3.3).
            config[var] = tuple({"1": "true", "0": "false"}.get(v, v) for v in values)
    listed = await client.request(f"<pubsub xmlns='{owner}'><affiliations node={name}/></pubsub>")
    members = sorted(
        one.get("jid", "")
        for one in listed.iter(f"{{{owner}}}affiliation")
        if one.get("affiliation") == "member"
    )
    return PepNode(node, tuple(sorted(config.items())), tuple(members))


async def _children(client: Client, payload: str) -> list[ET.Element]:
    answer = await client.request(payload)
    if answer.get("type") != "result":
        raise ClientError(f"{payload}: {ET.tostring(answer, 'unicode')}")
    return list(answer[0])
