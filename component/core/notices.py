"""What users are told, as values: the engine says what, the interfaces say it in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from component.core.journey.model import Journey, Progress
from component.core.restore import Difference


class Follow(StrEnum):
    """What a user wants done when a contact moves; stored, so keep the values stable."""

    AUTO = "auto"
    ASK = "ask"
    """The request reaches them as usual, with a note that it is genuine."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user has chosen."""

    follow: Follow = Follow.AUTO
    language: str | None = None
    """A language tag (BCP 47); None: what their client says, else the configuration's."""
    account: str | None = field(default=None, compare=False)
    """The token of the account that chose (hook protocol, section 13)."""


# To a contact -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContactMoved:
    """After an automatic change."""

    record_id: int
    name: str | None
    """What the roster calls the mover."""
    old: str
    new: str
    undo_until: datetime


@dataclass(frozen=True, slots=True)
class ContactAsks:
    """``ask`` is set: a verified request was left to the user."""

    record_id: int
    name: str | None
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class ContactRestored:
    """An automatic change was undone."""

    record_id: int
    name: str | None
    old: str
    new: str
    differences: tuple[Difference, ...] = ()
    """What is not as it was before."""


# To a mover -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CodeSent:
    """To the other account of a move: prove that you are one person."""

    asker: str
    old: str
    new: str
    code: str
    minutes: int


@dataclass(frozen=True, slots=True)
class ProgressMade:
    """The running figure; corrected in place (XEP-0308)."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Published:
    """Moving away: the statement stands; what to do now at the new account.

    ``contacts``: a line for each, address and name, ready to be pasted there.
    """

    journey: Journey
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllFollowed:
    """Every contact that can follow has: it is safe to delete the old account."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class TimeOver:
    """A move away has had its time; some contacts have not followed."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Stopped:
    """Paused or cancelled, by the owner, an admin, or because something is wrong (``detail``)."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class UndoneTold:
    """Undone.  ``elsewhere``: what remains to be ordered at the other account's server, or None."""

    progress: Progress
    elsewhere: str | None = None


@dataclass(frozen=True, slots=True)
class HandoverTrouble:
    """The old account's things could not be made ready, or not be brought here; the move goes on.

    ``lasting``: it is not tried again.
    """

    journey: Journey
    lasting: bool


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The server stops looking after moves: the statement of this one is about to go."""

    journey: Journey


Notice = (
    ContactMoved
    | ContactAsks
    | ContactRestored
    | CodeSent
    | ProgressMade
    | Published
    | AllFollowed
    | TimeOver
    | Stopped
    | UndoneTold
    | HandoverTrouble
    | Withdrawn
)


@dataclass(frozen=True, slots=True)
class NewAddress:
    """The answer that a sender to an old account gets once a day (sent as the old account)."""

    old: str
    new: str
