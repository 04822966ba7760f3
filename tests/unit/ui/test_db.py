"""``xmpp-moved db backup`` and ``restore``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from component.store import Store
from tests.unit.store.support import record, url_of

from .conftest import Command


async def _fill(path: Path, name: str) -> None:
    async with await Store.open(url_of(path)) as store:
        await store.add(record(name))


def test_there_and_back(
    command: Command, config_file: Path, database: Path, tmp_path: Path
) -> None:
    asyncio.run(_fill(database, "r1"))
    copy = tmp_path / "copy.db"
    made = command("--config", config_file, "db", "backup", copy)
    assert (made.code, made.err) == (0, "")
    assert made.out == (f"{copy} holds the database as it was now ({copy.stat().st_size} bytes).\n")
    again = command("--config", config_file, "db", "backup", copy)
    assert (again.code, again.out) == (1, "")
    assert "give --force to replace it" in again.err
    assert command("--config", config_file, "db", "backup", "--force", copy).code == 0
    asyncio.run(_fill(database, "r2"))
    back = command("--config", config_file, "db", "restore", copy)
    assert back.code == 0
    assert f"The database is what {copy} holds." in back.out
    assert f"The former one is {database}.before-" in back.out
    assert "db upgrade" not in back.out


def test_what_is_no_backup_is_called_so(
    command: Command, config_file: Path, database: Path, tmp_path: Path
) -> None:
    asyncio.run(_fill(database, "r1"))
    wrong = tmp_path / "passwd"
    wrong.write_text("root:x:0:0\n" * 200)
    refused = command("--config", config_file, "db", "restore", str(wrong))
    assert refused.code == 1
    assert f"{wrong} is damaged, or no backup" in refused.err
    assert "name one that `xmpp-moved db backup` made" in refused.err
    assert "move it away" not in refused.err


def test_postgresql_is_for_pg_dump(command: Command, config_file: Path, database: Path) -> None:
    text = config_file.read_text()
    url = f"sqlite+aiosqlite:///{database}"
    config_file.write_text(text.replace(url, "postgresql+asyncpg://u:hidden@h/moved"))
    for order in ("backup", "restore"):
        refused = command("--config", config_file, "db", order, "x")
        assert refused.code == 1
        assert "pg_dump" in refused.err
        assert "hidden" not in refused.err
