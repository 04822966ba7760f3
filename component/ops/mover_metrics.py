"""Figures of the mover's side, and of the orders that come through the control socket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge

from component.core.belongings.model import JobState
from component.core.journey.handover import HandoverState
from component.core.journey.model import ContactState, JourneyState

S = TypeVar("S", bound=StrEnum)


class MoverMetrics:
    """Part of :class:`component.ops.metrics.Metrics`; implements ``MoverGauges``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._journeys: Final = Gauge(
            "xmpp_moved_journeys", "Moves of users here, by state.", ["state"], registry=registry
        )
        self._all_paused: Final = Gauge(
            "xmpp_moved_all_paused",
            "1 while an admin has paused all moves of users here.",
            registry=registry,
        )
        self._contacts: Final = Gauge(
            "xmpp_moved_journey_contacts",
            "Contacts of the moves at work, by state.",
            ["state"],
            registry=registry,
        )
        self._notifications: Final = Counter(
            "xmpp_moved_notifications_total",
            "Notifications to contacts of users who move, by result.",
            ["result"],
            registry=registry,
        )
        self._retries: Final = Counter(
            "xmpp_moved_notification_retries_total",
            "Notifications that were not the first to their contact.",
            registry=registry,
        )
        self._ways_back: Final = Counter(
            "xmpp_moved_ways_back_total",
            "Requests to users who move that the server held for us, by verdict.",
            ["verdict"],
            registry=registry,
        )
        self._awaited: Final = Gauge(
            "xmpp_moved_ways_back_held",
            "Approved ways back of which the server has not said what became.",
            registry=registry,
        )
        self._domain_up: Final = Gauge(
            "xmpp_moved_domain_up",
            "1 while a contact domain answers; the unreachable and the most recent only.",
            ["domain"],
            registry=registry,
        )
        self._domain_pace: Final = Gauge(
            "xmpp_moved_domain_notifications_per_minute",
            "How many notifications a minute a contact domain gets at most; as above.",
            ["domain"],
            registry=registry,
        )
        self._unreachable: Final = Gauge(
            "xmpp_moved_domains_unreachable",
            "Contact domains that failed last and have not answered since.",
            registry=registry,
        )
        self._handovers: Final = Gauge(
            "xmpp_moved_handovers",
            "Hand-overs of accounts, by state.",
            ["state"],
            registry=registry,
        )
        self._left_over: Final = Gauge(
            "xmpp_moved_handovers_left_over",
            "Hand-overs that should have been gone for a day and still stand in an account.",
            registry=registry,
        )
        self._copies: Final = Gauge(
            "xmpp_moved_copies",
            "Copies of accounts' things, by state.",
            ["state"],
            registry=registry,
        )
        self._orders: Final = Counter(
            "xmpp_moved_control_orders_total",
            "Orders through the control socket, by order.",
            ["order"],
            registry=registry,
        )

    def notified(self, *, again: bool, left: bool) -> None:
        """A notification was sent (``left``), or could not be; ``again``: not the first one."""
        self._notifications.labels("sent" if left else "not-sent").inc()
        if again:
            self._retries.inc()

    def way_back(self, verdict: str) -> None:
        """A held request to a mover was answered: ``take`` or ``release``."""
        self._ways_back.labels(verdict).inc()

    def ordered(self, order: str) -> None:
        """The control socket took an order."""
        self._orders.labels(order).inc()

    def ways_back_held(self, number: int) -> None:
        """How many approved ways back wait for the server's word."""
        self._awaited.set(number)

    def journeys(self, states: Mapping[JourneyState, int]) -> None:
        """How many moves are in each state."""
        _by_state(self._journeys, JourneyState, states)

    def all_paused(self, paused: bool) -> None:
        """Whether an admin has paused all moves."""
        self._all_paused.set(paused)

    def contacts(self, states: Mapping[ContactState, int]) -> None:
        """How many contacts of the moves at work are in each state."""
        _by_state(self._contacts, ContactState, states)

    def handovers(self, states: Mapping[HandoverState, int], left_over: int) -> None:
        """How many hand-overs are in each state, and how many should be gone and are not."""
        _by_state(self._handovers, HandoverState, states)
        self._left_over.set(left_over)

    def copies(self, states: Mapping[JobState, int]) -> None:
        """How many copies of accounts' things are in each state."""
        _by_state(self._copies, JobState, states)

    def domains(self, unreachable: int, shown: Iterable[tuple[str, bool, float]]) -> None:
        """How contact domains are.

        :param unreachable: how many in all
        :param shown: (domain, whether it answers, notifications a minute) of some; those that
            are missing here vanish from the figures, so that their number stays bounded
        """
        self._unreachable.set(unreachable)
        self._domain_up.clear()
        self._domain_pace.clear()
        for domain, up, per_minute in shown:
            self._domain_up.labels(domain).set(up)
            self._domain_pace.labels(domain).set(per_minute)


def _by_state(gauge: Gauge, every: type[S], states: Mapping[S, int]) -> None:
    """Show how many are in each state, and nought where nobody is."""
    for state in every:
        gauge.labels(state.value).set(states.get(state, 0))
