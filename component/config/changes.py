"""What of a changed configuration can be put in force without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from component.config.model import Config
from component.config.movers import MoversSection

WITHOUT_RESTART: frozenset[str] = frozenset(
    {
        "served.admins",
        "served.language",
        "database.keep_days",
        "contacts.max_old_into_new",
        "contacts.window_days",
        "contacts.allow_domains",
        "contacts.deny_domains",
        "contacts.follow",
        "contacts.notice",
        "contacts.undo_days",
        "limits.per_domain_per_minute",
        "limits.max_open_requests",
        "log.level",
        "log.format",
    }
    | {f"movers.{option}" for option in MoversSection.model_fields}
)
"""Options by ``section.option``; a change of any other counts from the next start."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two configurations, as ``[section] option``."""

    now: tuple[str, ...]
    """Can be put in force at once."""
    later: tuple[str, ...]
    """Counts from the next start."""
    config: Config
    """What is in force from now on: the new value of the former, the old value of the latter."""


def compare(old: Config, new: Config) -> Changes:
    """What it takes to come from ``old``, which is in force, to ``new``."""
    now: list[str] = []
    later: list[str] = []
    sections: dict[str, object] = {}
    for section, option in _differences(old, new):
        key = f"{section}.{option}"
        (now if key in WITHOUT_RESTART else later).append(f"[{section}] {option}")
        if key in WITHOUT_RESTART:
            value = getattr(getattr(new, section), option)
            part = sections.get(section, getattr(old, section))
            assert hasattr(part, "model_copy")
            sections[section] = part.model_copy(update={option: value})
    return Changes(tuple(now), tuple(later), old.model_copy(update=sections))


def _differences(old: Config, new: Config) -> Iterator[tuple[str, str]]:
    for section in Config.model_fields:
        before, after = getattr(old, section), getattr(new, section)
        for option in type(before).model_fields:
            if getattr(before, option) != getattr(after, option):
                yield section, option
