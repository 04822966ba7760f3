"""One event loop for all inputs: making one takes longer than most targets do."""

from __future__ import annotations

import asyncio

LOOP = asyncio.new_event_loop()
