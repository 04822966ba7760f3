"""Options of the whole test run."""

from __future__ import annotations

import pytest

pytest_plugins = ("tests.postgres",)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--server``."""
    parser.addoption(
        "--server",
        default="",
        help="comma-separated servers for the live tests, e.g. prosody-0.12; all by default",
    )
