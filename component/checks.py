"""``xmpp-moved check``: looks at each requirement, or asks the running component about it."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from component.config import Config
from component.core.records import CheckLine
from component.engine.check import Check, admins_line, counter_line, hook_line, paused_line
from component.engine.clock import SystemClock
from component.engine.handover.leftovers import Leftover, leftovers
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.hooks import installer
from component.settings import link_settings
from component.store import Store, StoreError, StoreLocked, StoreMissing
from component.xmpp.link import Link

STREAM_SECONDS = 8.0
"""How long ``check`` waits for the server to accept the stream."""


async def check(
    config: Config,
    account: str | None = None,
    *,
    remote: str | None = None,
    wait: float = STREAM_SECONDS,
) -> AsyncIterator[CheckLine]:
    """Look at each requirement; lines come as they are known.

    :param account: a bare JID of a served host whose PEP service and role are to be tested
    :param remote: a domain elsewhere that is to be reached
    :param wait: for how many seconds the server may keep us waiting for the stream
    :raises ConfigError: the secret cannot be read.
    """
    if odd := admins_line(config.served.admins, config.served.hosts):
        yield odd
    said = await _ask_running(config)
    if said is not None:
        for line in _from_health(config, said):
            yield line
        return
    for line in _check_modules():
        yield line
    database = await _check_database(config)
    yield database
    if isinstance(database, _Taken):
        return
    up = asyncio.Event()

    async def on_up() -> None:
        up.set()

    link = Link(link_settings(config), on_up=on_up)
    running = asyncio.create_task(link.run(), name="check")
    waiting = asyncio.create_task(up.wait())
    try:
        await asyncio.wait({running, waiting}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        yield _check_stream(config, link, running)
        if not up.is_set():
            return
        probe = Check(link, deadline=config.contacts.deadline_seconds)
        async for line in probe.hosts(config.served.hosts, remote):
            yield line
        if database.ok:
            if (paused := await _check_paused(config)) is not None:
                yield paused
            yield await _check_handovers(config, link)
        if account is not None:
            yield await probe.pep(account)
            if out := await probe.federation(account, f"federation of {account}"):
                yield out
    finally:
        waiting.cancel()
        if running.done():
            running.exception()
        else:
            await link.stop()
            await running


class _Taken(CheckLine):
    """The database line where another process is at work on it."""


async def _ask_running(config: Config) -> dict[str, Any] | None:
    """What a running xmpp-moved says of its health, None where none answers.

    A second stream of the same name must not be opened beside it: Prosody refuses it, but
    ejabberd (seen on 24.12) takes it and then sends the first one's replies to the second.
    """
    address = config.metrics.address
    if address is None:
        return None
    host = f"[{address[0]}]" if ":" in address[0] else address[0]

    def ask() -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://{host}:{address[1]}/health", timeout=3) as answer:
                return _health_of(answer.read())
        except urllib.error.HTTPError as error:
            return _health_of(error.read())
        except OSError:
            return None

    return await asyncio.to_thread(ask)


def _health_of(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.get("component") else None


def _from_health(config: Config, said: dict[str, Any]) -> Iterator[CheckLine]:
    """Check lines out of what a running xmpp-moved says."""
    yield CheckLine("running", True, f"{said['component']} is at work; this is what it says")
    up = said["stream"] == "up"
    yield CheckLine("stream", up, said["stream"], None if up else str(said.get("trouble")))
    for host in config.served.hosts:
        hook = said["hooks"].get(host)
        if hook:
            yield hook_line(host, hook)
        else:
            why = said.get("hook_troubles", {}).get(host)
            remedy = why or "see the log of the running one: it names what to install"
            yield CheckLine(f"hook on {host}", False, "none", remedy)
        if (counter := said.get("counters", {}).get(host)) is not None:
            yield counter_line(host, *counter)
    yield paused_line(bool(said.get("paused")))
    fine = said["journal"] == "writable"
    yield CheckLine("database", fine, said["journal"], None if fine else "see its log")
    yield _handovers(int(said.get("handovers_left_over", 0)), "its log names the moves")


async def _check_paused(config: Config) -> CheckLine | None:
    try:
        async with await Store.open(config.database.url, writer=False) as store:
            return paused_line(await store.user_settings.all_paused())
    except StoreError:  # there is none yet, or the line of the database says it
        return None


async def _check_handovers(config: Config, link: Link) -> CheckLine:
    """What moves that ended have left in accounts; the journal says which accounts those are."""
    accounts = Accounts(link, Hook(link))
    try:
        async with await Store.open(config.database.url, writer=False) as store:
            known = await store.handovers.open()
            found = await leftovers(accounts, SystemClock(), known, store.journeys.get)
    except StoreMissing:
        found = []
    except StoreError as error:
        return CheckLine("hand-overs", False, "cannot be looked up", str(error))
    told = [f"{one.account}: {one.node}{_because(one)}" for one in found[:_SHOWN]]
    if len(found) > len(told):
        told.append(f"and {len(found) - len(told)} more")
    return _handovers(len(found), "; ".join(told))


def _because(left: Leftover) -> str:
    return f" ({left.trouble})" if left.trouble else ""


def _handovers(count: int, told: str) -> CheckLine:
    if not count:
        return CheckLine("hand-overs", True, "nothing is left over")
    return CheckLine("hand-overs", False, f"{count} left over: {told}", _LEFT_OVER)


_SHOWN = 5
"""Accounts with something left over that are named."""
_LEFT_OVER = (
    "let xmpp-moved run, which deletes these nodes; where the server refuses that, its log says "
    "why, and the nodes are yours to delete"
)


def _check_stream(config: Config, link: Link, running: asyncio.Task[None]) -> CheckLine:
    where = f"{config.component.host}:{config.component.port} as {config.component.jid}"
    if running.done():
        return CheckLine("stream", False, where, str(running.exception()))
    if link.connected:
        return CheckLine("stream", True, where)
    remedy = "see that the server runs, listens there for components and has a section for this one"
    return CheckLine("stream", False, f"{where}: {link.trouble or 'no answer'}", remedy)


def _check_modules() -> Iterator[CheckLine]:
    """The module where this machine's servers are used to find it; nothing where it is not."""
    for place in installer.placed():
        yield CheckLine(f"module in {place.folder}", place.wrong is None, place.found, place.wrong)


async def _check_database(config: Config) -> CheckLine:
    try:
        async with await Store.open(config.database.url, create=False) as store:
            counts = await store.counts()
    except StoreLocked as error:
        remedy = "stop it to check the rest, or give it [metrics] listen and ask it by this command"
        return _Taken("database", False, str(error), remedy)
    except StoreMissing as missing:
        folder = Path(make_url(config.database.url).database or "").parent
        if os.access(folder, os.W_OK):
            return CheckLine("database", True, f"none yet; run will make it in {folder}")
        remedy = f"make {folder} and let the user that runs xmpp-moved write there"
        return CheckLine("database", False, str(missing), remedy)
    except StoreError as error:
        return CheckLine("database", False, "not usable", str(error))
    return CheckLine("database", True, f"{sum(counts.values())} moves in the journal")
