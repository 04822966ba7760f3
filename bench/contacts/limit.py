"""The limit: a component that takes whatever it is asked about at once, and keeps nothing.

It sends what xmpp-moved sends, verifies nothing, and reads no more of a stanza than it needs: no
component outside the server can be faster.  ``python -m bench.contacts.limit ADDRESS JID HOST``
runs until it is killed.
"""

from __future__ import annotations

import asyncio
import re
import sys

from tests.live.client import RawComponent

READY = "ready"
"""What it prints once the server asks it."""

_NS = "urn:xmpp-moved:hook:0"
_END = b"</iq>"
_IQ = re.compile(rb"<iq ([^>]*)><divert[ >].*?<presence ([^>]*)>.*?<old-jid>([^<]*)", re.DOTALL)
_ATTRIBUTE = re.compile(rb"(\w+)=['\"]([^'\"]*)")


class Limit(RawComponent):
    """Answers diverts as bytes."""

    def __init__(self, address: str, domain: str) -> None:
        super().__init__("limit", domain, address)
        self._greeted = asyncio.Event()

    async def serve(self, host: str) -> None:
        """Greet the hook of a host, then answer until the stream ends."""
        await self.open()
        assert self._task is not None
        self.send(
            f"<iq type='get' id='h' from='{self.jid}' to='{host}'><hello xmlns='{_NS}'/></iq>"
        )
        await self._greeted.wait()
        print(READY, flush=True)
        await self._task

    async def _run(self) -> None:
        assert self._reader is not None
        assert self._writer is not None
        rest = b""
        while data := await self._reader.read(65536):
            *stanzas, rest = (rest + data).split(_END)
            for stanza in stanzas:
                if answer := verdict(stanza, self.jid.encode()):
                    self._writer.write(answer)
                elif b"<hello " in stanza:
                    self._greeted.set()


def verdict(stanza: bytes, me: bytes) -> bytes:
    """The answer to a divert (docs/hook-protocol.md, section 2); nothing to anything else."""
    found = _IQ.search(stanza)
    if found is None:
        return b""
    iq, presence = (dict(_ATTRIBUTE.findall(part)) for part in found.group(1, 2))
    old, new = found[3], presence[b"from"]
    return (
        b"<iq type='result' id='%s' from='%s' to='%s'><take xmlns='urn:xmpp-moved:hook:0'><send>"
        b"<item xmlns='jabber:iq:roster' jid='%s' name='Juliet'><group>Friends</group></item>"
        b"<presence xmlns='jabber:client' type='subscribed' to='%s'/>"
        b"<presence xmlns='jabber:client' type='unsubscribed' to='%s'/>"
        b"<presence xmlns='jabber:client' type='subscribe' to='%s'/></send></take></iq>"
    ) % (iq[b"id"], me, iq[b"from"], new, new, old, new)


if __name__ == "__main__":
    asyncio.run(Limit(sys.argv[1], sys.argv[2]).serve(sys.argv[3]))
