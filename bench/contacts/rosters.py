"""Makes users and rosters by the thousand, and looks at what became of them."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from bench.contacts.cases import Storage
from bench.contacts.play import Move, Play
from bench.contacts.ways import Way
from tests.live.servers.base import PASSWORD
from tests.live.servers.ejabberd import Ejabberd

_NS = "urn:xmpp-moved:bench:0"
_ENTRIES_AT_ONCE = 5_000


class Rosters(ABC):
    """Of one server."""

    @abstractmethod
    async def fill(self, host: str, users: Mapping[str, Sequence[str]], filler: int) -> None:
        """Create accounts.

        Args:
            users: by localpart, the bare JIDs that are on the roster as both; with a plus sign in
                front, those that are approved before they ask.
            filler: further entries of each.
        """

    @abstractmethod
    async def right(self, way: Way, moves: Sequence[Move]) -> int:
        """How many of these contacts' rosters are as they must be after the move."""


class ProsodyRosters(Rosters):
    """Through mod_bench_rosters, whatever the storage."""

    def __init__(self, play: Play) -> None:
        self._play = play

    async def fill(self, host: str, users: Mapping[str, Sequence[str]], filler: int) -> None:
        """See :class:`Rosters`."""
        for part in _parts(users, filler):
            lines = "\n".join(" ".join((user, *jids)) for user, jids in part.items())
            await self._ask(
                f"<fill xmlns='{_NS}' password='{PASSWORD}' filler='{filler}'>{lines}</fill>",
                host,
                "set",
            )

    async def right(self, way: Way, moves: Sequence[Move]) -> int:
        """See :class:`Rosters`."""
        states = " ".join(f"{key}='{value}'" for key, value in way.left.items())
        lines = "\n".join(f"{_local(m.contact)} {m.old} {m.new}" for m in moves)
        answer = await self._ask(
            f"<verify xmlns='{_NS}' {states}>{lines}</verify>", way.host, "get"
        )
        verified = answer.find(f"{{{_NS}}}verify")
        return int(verified.get("right", "0")) if verified is not None else 0

    async def _ask(self, payload: str, host: str, kind: str) -> ET.Element:
        answer = await self._play.request(payload, kind=kind, to=host)
        if answer.get("type") != "result":
            raise RuntimeError(f"mod_bench_rosters: {ET.tostring(answer, 'unicode')[:500]}")
        return answer


# A user's entries are written straight into the table: no device needs to be told, and
# mod_roster's way, one transaction for each, takes longer than what is measured.
_FILL = """
Host = <<"{host}">>,
Item = fun(User, Jid) ->
  [Node, Domain] = binary:split(Jid, <<"@">>),
  LJid = {{Node, Domain, <<>>}},
  {{roster, {{User, Host, LJid}}, {{User, Host}}, LJid, <<"Juliet">>, both, none,
   [<<"Friends">>], <<>>, []}} end,
Filler = [<<"f", (integer_to_binary(N))/binary, "@elsewhere.example">>
          || N <- lists:seq(1, {filler})],
Write = {write},
[begin
   ok = ejabberd_auth:try_register(User, Host, <<"{password}">>),
   Write([Item(User, Jid) || Jid <- Jids ++ Filler])
 end || {{User, Jids}} <- [{users}]],
ok.
"""
_WRITE_MNESIA = "fun(Items) -> [ok = mnesia:dirty_write(Item) || Item <- Items] end"
_WRITE_SQL = """fun(Items) -> {atomic, _} = ejabberd_sql:sql_transaction(Host, fun() ->
  [mod_roster_sql:update_roster(element(1, element(3, I)), Host, element(4, I), I) || I <- Items]
  end) end"""
_RIGHT = """
length([right || {{User, {{OldNode, OldHost}}, {{NewNode, NewHost}}}} <- [{moves}],
  begin
    {{Old, _, _}} = mod_roster:get_jid_info(none, User, <<"{host}">>, jid:make(OldNode, OldHost)),
    {{New, Ask, _}} = mod_roster:get_jid_info(none, User, <<"{host}">>, jid:make(NewNode, NewHost)),
    {{Old, New, Ask}} == {{{old}, {new}, {ask}}}
  end]).
"""


class EjabberdRosters(Rosters):
    """Through Erlang expressions, for Mnesia or SQL."""

    def __init__(self, server: Ejabberd, storage: Storage) -> None:
        self._server = server
        self._write = _WRITE_SQL if storage is Storage.SQLITE else _WRITE_MNESIA

    async def fill(self, host: str, users: Mapping[str, Sequence[str]], filler: int) -> None:
        """See :class:`Rosters`; nobody can be approved before asking (RFC 6121 3.4) there."""
        for part in _parts(users, filler):
            listed = ",".join(
                f"{{{_binary(user)}, [{','.join(map(_binary, jids))}]}}"
                for user, jids in part.items()
            )
            await self._evaluate(
                _FILL.format(
                    host=host,
                    filler=filler,
                    write=self._write,
                    password=PASSWORD,
                    users=listed,
                )
            )

    async def right(self, way: Way, moves: Sequence[Move]) -> int:
        """See :class:`Rosters`."""
        listed = ",".join(
            f"{{{_binary(_local(m.contact))}, {_pair(m.old)}, {_pair(m.new)}}}" for m in moves
        )
        states = way.left
        found = await self._evaluate(
            _RIGHT.format(
                moves=listed,
                host=way.host,
                old=states.get("old", "Old"),
                new=states["new"],
                ask="out" if "ask" in states else "Ask",
            )
        )
        return int(found)

    async def _evaluate(self, code: str) -> str:
        return await asyncio.to_thread(self._server.evaluate, code)


def _parts(users: Mapping[str, Sequence[str]], filler: int) -> Iterator[dict[str, Sequence[str]]]:
    """Portions that a server makes in a few seconds."""
    part: dict[str, Sequence[str]] = {}
    entries = 0
    for user, jids in users.items():
        part[user] = jids
        entries += 10 + filler + len(jids)
        if entries >= _ENTRIES_AT_ONCE:
            yield part
            part, entries = {}, 0
    if part:
        yield part


def _local(jid: str) -> str:
    return jid.partition("@")[0]


def _binary(text: str) -> str:
    return f'<<"{text}">>'


def _pair(jid: str) -> str:
    local, _, domain = jid.partition("@")
    return f"{{{_binary(local)}, {_binary(domain)}}}"
