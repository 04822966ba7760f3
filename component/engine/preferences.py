"""What users have chosen, in memory: every diverted request asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from component.core import jids
from component.core.model import same_account
from component.core.notices import Follow, Settings


class SettingsKept(Protocol):
    """Where the choices are durable."""

    async def all(self) -> Mapping[str, Settings]:
        """Every choice, by prepared bare JID."""

    async def put(self, jid: str, settings: Settings) -> None:
        """Durable on return."""


class Preferences:
    """A view of all users' settings, filled once at the start and written through."""

    def __init__(self, kept: SettingsKept, follow: Follow = Follow.AUTO) -> None:
        """``follow``: what is done for users who chose nothing ([contacts] follow)."""
        self._kept = kept
        self._default = Settings(follow)
        self._known: dict[str, Settings] = {}
        self._one_at_a_time = asyncio.Lock()

    def set_default(self, follow: Follow) -> None:
        """Change what is done for users who chose nothing."""
        self._default = Settings(follow)

    async def load(self) -> Mapping[str, Settings]:
        """Read everything, before the first request is answered, and say what there was.

        :returns: every choice, by prepared bare JID.
        :raises StoreError: the store cannot be read.
        """
        stored = await self._kept.all()
        self._known = {jids.key(jid): settings for jid, settings in stored.items()}
        return stored

    def take_in(self, chosen: Mapping[str, Settings]) -> None:
        """What users chose at another instance, by prepared bare JID; it is durable already."""
        self._known.update((jids.key(jid), settings) for jid, settings in chosen.items())

    def of(self, jid: str, account: str | None) -> Settings:
        """What a user has chosen, or the default.

        :param account: the token of the account that has the name now.
        """
        chosen = self._known.get(jids.key(jid), self._default)
        return chosen if same_account(chosen.account, account) else self._default

    async def put(self, jid: str, settings: Settings) -> None:
        """Keep a choice; durable on return, and in force from then on.

        :raises StoreError: it could not be kept, and nothing has changed.
        """
        async with self._one_at_a_time:
            await self._kept.put(jid, settings)
            self._known[jids.key(jid)] = settings
