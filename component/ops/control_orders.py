"""The orders that the control socket knows: a fixed table, each entry one call of ControlOrders."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from component.engine.movers.orders import ControlOrders
from component.ops.control_json import contact_dict, progress_dict, record_dict

WATCH: Final = "watch"
"""The one order that is answered with more than one line."""

MAX_ID: Final = 2**63 - 1
"""The largest id that a database can hold."""


class Fault(StrEnum):
    """What can be wrong with a request itself; beside the Problems of the orders."""

    BAD_REQUEST = "bad-request"
    UNKNOWN_ORDER = "unknown-order"
    TOO_LONG = "line-too-long"
    NOT_PERMITTED = "not-permitted"
    """The other process runs under another user id."""


class BadRequest(Exception):
    """A request that is no order of ours."""

    def __init__(self, fault: Fault, **facts: str) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Request:
    """One line that was understood: an order of the table, with arguments that it takes."""

    order: str
    id: int = 0
    running: bool = False


def parse(line: bytes) -> Request:
    """Understand one line.

    :raises BadRequest: it is no JSON object, names no order of the table, lacks an argument, or
        has one that the order does not take.
    """
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise BadRequest(Fault.BAD_REQUEST, expected="one JSON object a line") from None
    if not isinstance(given, dict):
        raise BadRequest(Fault.BAD_REQUEST, expected="a JSON object")
    name = given.get("order")
    if not isinstance(name, str) or name not in _TAKES:
        raise BadRequest(Fault.UNKNOWN_ORDER, known=", ".join(sorted(_TAKES)))
    takes = _TAKES[name]
    for key in given:
        if key != "order" and key not in takes:
            raise BadRequest(Fault.BAD_REQUEST, order=name, unknown=key[:100])
    return Request(
        name,
        id=_id(given.get("id")) if "id" in takes else 0,
        running=_flag(given.get("running", False)) if "running" in takes else False,
    )


async def carry_out(orders: ControlOrders, request: Request) -> Any:
    """Have an order other than WATCH carried out; returns its result as JSON values.

    :raises Refused: it cannot be done.
    """
    return await _ORDERS[request.order][1](orders, request)


async def _list(orders: ControlOrders, request: Request) -> Any:
    found = await orders.all_journeys(running_only=request.running)
    return [progress_dict(progress) for progress in found]


async def _show(orders: ControlOrders, request: Request) -> Any:
    progress, contacts = await orders.show_any(request.id)
    return {
        "progress": progress_dict(progress),
        "contacts": [contact_dict(contact) for contact in contacts],
    }


async def _pause(orders: ControlOrders, request: Request) -> Any:
    return progress_dict(await orders.pause_any(request.id))


async def _resume(orders: ControlOrders, request: Request) -> Any:
    return progress_dict(await orders.resume_any(request.id))


async def _undo(orders: ControlOrders, request: Request) -> Any:
    return progress_dict(await orders.undo_any(request.id))


async def _undo_followed(orders: ControlOrders, request: Request) -> Any:
    undone = await orders.undo_any_followed(request.id)
    differences = [{"jid": one.jid, "cause": one.cause.value} for one in undone.differences]
    return {**record_dict(undone.record), "differences": differences}


async def _pause_all(orders: ControlOrders, request: Request) -> Any:
    return await _set_paused(orders, True)


async def _resume_all(orders: ControlOrders, request: Request) -> Any:
    return await _set_paused(orders, False)


async def _set_paused(orders: ControlOrders, paused: bool) -> Any:
    settings = await orders.run_time()
    if settings.paused != paused:
        await orders.set_run_time(replace(settings, paused=paused))
    return {"paused": paused, "changed": settings.paused != paused}


async def _standing(orders: ControlOrders, request: Request) -> Any:
    found = await orders.standing()
    return {"running": sum(j.state.running for j in found), "all": len(found)}


async def _withdraw_all(orders: ControlOrders, request: Request) -> Any:
    done = await orders.withdraw_all()
    return {
        "withdrawn": list(done.withdrawn),
        "cancelled": list(done.cancelled),
        "handovers": list(done.handovers),
        "left": {str(id): why for id, why in done.left.items()},
    }


async def _run_time(orders: ControlOrders, request: Request) -> Any:
    settings = await orders.run_time()
    return {
        "paused": settings.paused,
        "overall_per_second": settings.overall_per_second,
        "allow_domains": _listed(settings.allow_domains),
        "deny_domains": _listed(settings.deny_domains),
    }


def _listed(domains: tuple[str, ...] | None) -> list[str] | None:
    return None if domains is None else list(domains)


_Run = Callable[[ControlOrders, Request], Awaitable[Any]]
_ORDERS: Final[Mapping[str, tuple[frozenset[str], _Run]]] = {
    "list": (frozenset({"running"}), _list),
    "show": (frozenset({"id"}), _show),
    "pause": (frozenset({"id"}), _pause),
    "resume": (frozenset({"id"}), _resume),
    "undo": (frozenset({"id"}), _undo),
    "undo-followed": (frozenset({"id"}), _undo_followed),
    "pause-all": (frozenset(), _pause_all),
    "resume-all": (frozenset(), _resume_all),
    "run-time": (frozenset(), _run_time),
    "standing": (frozenset(), _standing),
    "withdraw-all": (frozenset(), _withdraw_all),
}
_TAKES: Final[Mapping[str, frozenset[str]]] = {
    WATCH: frozenset(),
    **{name: takes for name, (takes, _) in _ORDERS.items()},
}


def _id(given: object) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= MAX_ID:
        return given
    raise BadRequest(Fault.BAD_REQUEST, expected="id: a whole number from 1 on")


def _flag(given: object) -> bool:
    if isinstance(given, bool):
        return given
    raise BadRequest(Fault.BAD_REQUEST, expected="running: true or false")
