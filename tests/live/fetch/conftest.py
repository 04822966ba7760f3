"""A server that the tests of a module share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.certificates import Authority
from tests.live.account.servers import House
from tests.live.fetch.house import encrypted
from tests.live.servers.differences import Kind
from tests.live.shared import kept


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Issued the server's certificate."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def running(
    kind: Kind, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A stock server with STARTTLS."""
    folder = tmp_path_factory.mktemp(kind.name) / "house"
    with kept(House(kind, folder, encrypted(kind, authority))) as house:
        yield house


@pytest.fixture
async def house(running: House) -> AsyncIterator[House]:
    """The same, without clients at the end of the test."""
    yield running
    await running.log_out()
