"""A large file of an account: many contacts, many megabytes, and a history that stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from component.account.model import Contact, Identity, PepItem, PepNode, Piece, Xml
from component.account.write import write
from component.core.model import Subscription
from tests.live.belongings.test_sizes import contacts

ITEM_BYTES = 240_000
"""Of a published entry: near the most that ejabberd takes (250,000, mod_pubsub of 24.12)."""
_ITEMS_A_NODE = 20
"""Together more than one stanza of ours may have (4 MiB)."""
_END = b"</user>\n</host>\n</server-data>\n"


@dataclass(frozen=True)
class Large:
    """How much of each sort there is."""

    contacts: int
    items: int
    history: int
    """Bytes."""

    @property
    def things(self) -> int:
        """What a report counts."""
        return self.contacts + self.items + len(set(self._nodes()))

    def _nodes(self) -> Iterator[str]:
        return (f"urn:example:album:{n // _ITEMS_A_NODE}" for n in range(self.items))

    def pieces(self, identity: Identity) -> Iterator[Piece]:
        """Whose it is, contacts, nodes and entries."""
        yield identity
        yield from sorted(
            (
                Contact(one.jid, one.name, one.groups, Subscription.BOTH)
                for one in contacts(self.contacts)
            ),
            key=lambda one: one.jid,
        )
        options = (("pubsub#access_model", ("whitelist",)), ("pubsub#max_items", ("60",)))
        nodes = sorted(set(self._nodes()))
        yield from (PepNode(node, options) for node in nodes)
        placed = sorted(zip(self._nodes(), range(self.items), strict=True))
        for node, number in placed:
            picture = f"{number:03}" + "QUJD" * (ITEM_BYTES // 4)
            payload = Xml(f'<data xmlns="urn:example:album">{picture}</data>')
            yield PepItem(node, f"p{number}", payload)

    def parts(self, identity: Identity) -> Iterator[bytes]:
        """The file: the pieces, then a history."""
        file = BytesIO()
        write(file, self.pieces(identity))
        head, end, _ = file.getvalue().rpartition(_END)
        assert end, file.getvalue()[-200:]
        yield head
        one = b"<result xmlns='urn:xmpp:mam:2' id='x'><body>" + b"y" * 900 + b"</body></result>\n"
        yield b"<archive xmlns='urn:xmpp:pie:0#mam'>"
        for _ in range(self.history // (len(one) * 1000) + 1):
            yield one * 1000
        yield b"</archive>" + _END
