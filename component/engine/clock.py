"""The clocks of this machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Time of day for records, a monotonic clock for intervals."""

    def now(self) -> datetime:
        """Aware UTC time of day."""
        return datetime.now(UTC)

    def tick(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()
