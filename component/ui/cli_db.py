"""The commands ``xmpp-moved db ...``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from component.ui.common import NAME, load_config, store_failures

db_app = typer.Typer(help="Look after the database.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


@db_app.command("upgrade")
def upgrade(context: typer.Context) -> None:
    """Bring the database to the schema of this release."""
    config = load_config(context.obj, secret=False)
    from component.store import upgrade as upgrade_store

    with store_failures():
        revision = asyncio.run(upgrade_store(config.database.url, config.component.jid))
    typer.echo(f"The database has schema {revision}, the newest.")


@db_app.command("backup")
def backup(
    context: typer.Context,
    file: FileArgument,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.")] = False,
) -> None:
    """Copy the database into a file, also while the component runs.

    The copy holds parts of rosters, as the database does: only its owner may read it.
    """
    config = load_config(context.obj, secret=False)
    from component.store.backup import backup as copy

    with store_failures():
        size = copy(config.database.url, file, force=force)
    typer.echo(f"{file} holds the database as it was now ({size} bytes).")


@db_app.command("restore")
def restore(context: typer.Context, file: FileArgument) -> None:
    """Put a backup in the place of the database; the component must not run.

    The former database is kept beside it under another name.
    """
    config = load_config(context.obj, secret=False)
    from component.store.backup import restore as put_back

    with store_failures():
        restored = put_back(config.database.url, file)
    typer.echo(f"The database is what {file} holds.")
    if restored.aside is not None:
        typer.echo(f"The former one is {restored.aside}; delete it when you need it no more.")
    if not restored.current:
        typer.echo(f"Its schema is {restored.revision}: run `{NAME} db upgrade` before you start.")
