"""Many small cases in one test: pytest takes longer for an item than most of them do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest


@contextmanager
def cases() -> Iterator[Callable[[object], AbstractContextManager[None]]]:
    """Run each case in a block of what this yields; at the end all that failed are named.

    A test without any case fails.
    """
    names: list[str] = []
    failures: list[BaseException] = []

    @contextmanager
    def case(name: object) -> Iterator[None]:
        names.append(str(name))
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(f"case: {name}")
            failures.append(error)

    yield case
    assert names, "no cases"
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(names)} cases failed", failures)
