"""What may be ordered of the mover's side, whoever orders it: chat, ad-hoc command, control socket.

Every order names its ``asker``: the bare JID that authenticated itself to the server, taken from
the stanza that carries this very step, never from a session's memory.  Every order that cannot be
carried out raises :class:`~component.core.journey.model.Refused`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from component.core.journey.model import (
    Access,
    Journey,
    JourneyContact,
    Preflight,
    Problem,
    Progress,
    Refused,
)
from component.core.model import Subscription
from component.core.notices import Settings
from component.core.records import MoveRecord
from component.core.restore import Undone
from component.store.errors import StoreError
from component.xmpp.errors import LinkError

if TYPE_CHECKING:
    from component.engine.movers.leaving import Withdrawal

log = structlog.get_logger(__name__)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the surroundings could not do into a refusal that people understand."""
    try:
        yield
    except (LinkError, StoreError) as error:
        log.warning("an order could not be carried out", error=str(error))
        raise Refused(Problem.UNAVAILABLE, why=str(error)) from error


@dataclass(frozen=True, slots=True)
class Given:
    """A contact that the mover named: from a pasted list, or a roster in a file."""

    jid: str
    name: str | None = None
    groups: tuple[str, ...] = ()
    subscription: Subscription = Subscription.BOTH
    ask: bool = False
    """The mover has asked them, and they have not answered."""


class DraftOrders(Protocol):
    """Orders of a user about a move of their own that has not begun."""

    async def prepare_away(self, asker: str, new: str) -> Preflight:
        """Begin a draft of a move from the asker's account to ``new``; all contacts chosen.

        Where ``new`` is served too, the kind is BOTH and ``needs_code`` names it: no contacts
        are known before :meth:`prove`.  An older draft of the asker is dropped.
        """

    async def prepare_arrive(
        self, asker: str, old: str, contacts: Sequence[Given] | None = None
    ) -> Preflight:
        """Begin a draft of a move from ``old`` to the asker's account.

        Where ``old`` is served its roster is the source (kind BOTH).  Else ``contacts`` is; with
        None, what the old account's server hands over (docs/handover.md).  Where that is nothing,
        raises Refused(NO_CONTACTS): ask the user for a list.  Its fact ``lacking`` is a
        :class:`~component.engine.movers.arrivals.Lacking`, ``detail`` says more.
        """

    async def choose(self, asker: str, journey: int, jids: Collection[str]) -> Preflight:
        """Choose exactly these contacts of a draft; the others become SKIPPED."""

    async def access(self, asker: str, journey: int, access: Access | None) -> Preflight:
        """Choose who may read the statement; None: as suggested."""

    async def send_code(self, asker: str, journey: int) -> None:
        """Send a code to the other account (BOTH only); raises TOO_MANY_CODES."""

    async def code_from(self, asker: str) -> str | None:
        """Where a code is to be typed that the asker was sent and that is still good.

        None where there is none, or where it was sent to the last owner of the asker's name.
        """

    async def prove(self, asker: str, journey: int, code: str) -> Preflight:
        """Show by the code that the other account is the asker's too (BOTH only).

        From then on the contacts of both accounts are part of the draft.  Raises CODE_WRONG,
        CODE_TRIES, CODE_EXPIRED.
        """

    async def start(self, asker: str, journey: int) -> Journey:
        """Confirm: runs the checks once more and, if all are good, begins.

        Raises CHECKS_FAILED, and CODE_EXPIRED where a proof is needed and missing.
        """

    async def preflight(self, asker: str, journey: int) -> Preflight:
        """The preflight of a draft as it is now."""


class MoverOrders(Protocol):
    """Orders of a user about moves of their own that have begun, and about other people's."""

    def serves(self, jid: str) -> bool:
        """Whether a bare JID is on a served host."""

    async def account(self, asker: str) -> str | None:
        """The token of the account that has the asker's name now; None where it is not served."""

    async def journeys(self, asker: str) -> Sequence[Journey]:
        """The asker's journeys (as old or new account), newest first, drafts left out."""

    async def progress(self, asker: str, journey: int) -> Progress:
        """How far it is."""

    async def contacts(self, asker: str, journey: int) -> Sequence[JourneyContact]:
        """Its contacts in the order of their JIDs."""

    async def pause(self, asker: str, journey: int) -> Progress:
        """Stop sending; nothing is withdrawn."""

    async def resume(self, asker: str, journey: int) -> Progress:
        """Go on where a pause stopped."""

    async def cancel(self, asker: str, journey: int) -> Progress:
        """End it: the statement is withdrawn, requests without an answer are withdrawn.

        Contacts that followed stay as they are; ``undo`` is for those.
        """

    async def undo(self, asker: str, journey: int) -> Progress:
        """Bring both accounts and the contacts back to what they were; within 72 hours."""

    # Settings ---------------------------------------------------------------------------------

    async def settings(self, asker: str) -> Settings:
        """What the asker has chosen."""

    async def set_settings(self, asker: str, settings: Settings) -> None:
        """Keep it; durable on return."""

    # What was done for the asker as somebody's contact -------------------------------------------

    async def followed(self, asker: str) -> Sequence[MoveRecord]:
        """Automatic changes of the asker's roster that can still be undone, newest first.

        Not those that followed the undo of a move: the address before is the one that was left.
        """

    async def undo_followed(self, asker: str, record: int) -> Undone:
        """Undo one: the roster entries as they were, and what is not as it was.

        Raises NOT_YOURS, TOO_LATE, WRONG_STATE, NEWER.
        """


@dataclass(frozen=True, slots=True)
class RunTime:
    """Settings that an admin may change while the component runs; they outlive a restart."""

    paused: bool = False
    """No journey sends anything."""
    overall_per_second: float | None = None
    """Notifications a second over all journeys; None: as configured."""
    allow_domains: tuple[str, ...] | None = None
    """None: as configured."""
    deny_domains: tuple[str, ...] | None = None


class AdminOrders(Protocol):
    """Orders of an admin: a bare JID listed in ``[served] admins``, or the control socket."""

    def is_admin(self, jid: str) -> bool:
        """Whether a bare JID may give these orders."""

    async def all_journeys(self, *, running_only: bool = False) -> Sequence[Progress]:
        """Every journey, newest first, drafts left out."""

    async def show_any(self, journey: int) -> tuple[Progress, Sequence[JourneyContact]]:
        """One journey with its contacts."""

    async def pause_any(self, journey: int) -> Progress:
        """As :meth:`MoverOrders.pause`."""

    async def resume_any(self, journey: int) -> Progress:
        """As :meth:`MoverOrders.resume`."""

    async def undo_any(self, journey: int) -> Progress:
        """As :meth:`MoverOrders.undo`, whatever the time."""

    async def undo_any_followed(self, record: int) -> Undone:
        """As :meth:`MoverOrders.undo_followed`, for any user."""

    async def run_time(self) -> RunTime:
        """What is in force, the configuration's values filled in."""

    async def set_run_time(self, settings: RunTime) -> None:
        """Put in force; durable on return.  Pausing and resuming all is done by ``paused``."""

    def watch(self) -> AsyncIterator[Progress]:
        """Every change of any journey's progress from now on, until closed."""


class ControlOrders(AdminOrders, Protocol):
    """What can be ordered on the machine itself only, besides: by the control socket."""

    async def standing(self) -> Sequence[Journey]:
        """Moves that have something left on an account here, or are at work."""

    async def withdraw_all(self) -> Withdrawal:
        """Withdraw all statements and hand-overs, and cancel what runs; owners are told before.

        To be ordered again until nothing is left.
        """
