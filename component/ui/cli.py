"""The command ``xmpp-moved``.

Imports that cost time stand inside the commands, so that ``--help`` is quick.  Expected failures
become a sentence on standard error and an exit code (:class:`component.ui.exits.Exit`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from component import __version__
from component.core.records import MoveState
from component.ui.exits import CommandFailed, Exit

if TYPE_CHECKING:
    from component.config import Config
    from component.core.records import AuditRecord, CheckLine, MoveRecord
    from component.hooks.installer import Installed
    from component.hooks.lines import HookSetup

NAME = "xmpp-moved"

app = typer.Typer(
    name=NAME,
    help="Follow contacts who change their XMPP address (XEP-0283).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
hook_app = typer.Typer(help="Install the module that the XMPP server needs.", no_args_is_help=True)
db_app = typer.Typer(help="Look after the database.", no_args_is_help=True)
app.add_typer(hook_app, name="hook")
app.add_typer(db_app, name="db")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    :param argv: the arguments without the program's name; those of the process by default
    """
    for stream in (sys.stdout, sys.stderr):
        _never_fail_on_odd_characters(stream)
    try:
        app(args=None if argv is None else list(argv), prog_name=NAME)
    except CommandFailed as failure:
        print(f"{NAME}: {failure}", file=sys.stderr)
        return failure.code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.OK if not end.code else Exit.FAILURE
    return Exit.OK


def _never_fail_on_odd_characters(stream: TextIO) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar="XMPP_MOVED_CONFIG",
            help="The configuration file.  [default: /etc/xmpp-moved/config.toml]",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    context.obj = config


@app.command()
def run(context: typer.Context) -> None:
    """Connect to the server and follow moves until stopped."""
    config = _load(context)
    from component.ops import log

    log.configure(config.log.level, config.log.format)
    from component.app import run as run_app
    from component.config import ConfigError
    from component.ops.http import ListenError
    from component.xmpp.errors import SecretRefused

    with _store_failures():
        try:
            asyncio.run(run_app(config))
        except SecretRefused as error:
            raise CommandFailed(str(error), Exit.REFUSED) from error
        except ConfigError as error:
            raise CommandFailed(str(error), Exit.CONFIG) from error
        except ListenError as error:
            raise CommandFailed(str(error)) from error
        except KeyboardInterrupt:
            return


@app.command()
def check(
    context: typer.Context,
    test_account: Annotated[
        str | None,
        typer.Option(metavar="JID", help="Also test whether this account can publish (PEP)."),
    ] = None,
) -> None:
    """Test everything that is needed, and say what to do about what is missing."""
    config = _load(context, log_level="error")
    account = _bare("--test-account", test_account)
    from component.app import check as probe

    if not asyncio.run(_print_checks(probe(config, account))):
        raise typer.Exit(Exit.FAILURE)


async def _print_checks(lines: AsyncIterator[CheckLine]) -> bool:
    """Print each line as it is known; True if all is well."""
    from component.ui.show import print_check
    from component.ui.terminal import make_console

    console = make_console()
    good = True
    async for line in lines:
        print_check(console, line)
        good = good and line.ok
    return good


@app.command()
def moves(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many, newest first.")] = 50,
    contact: Annotated[
        str | None, typer.Option(metavar="JID", help="Only those on this user's roster.")
    ] = None,
    old: Annotated[
        str | None, typer.Option(metavar="JID", help="Only those from this address.")
    ] = None,
    new: Annotated[
        str | None, typer.Option(metavar="JID", help="Only those to this address.")
    ] = None,
    state: Annotated[MoveState | None, typer.Option(help="Only those in this state.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List moves, newest first."""
    config = _load(context)
    found = asyncio.run(
        _list_moves(
            config.database.url,
            limit=limit,
            contact=_bare("--contact", contact),
            old=_bare("--old", old),
            new=_bare("--new", new),
            state=state.value if state else None,
        )
    )
    if as_json:
        from component.ui.as_json import move_dict

        typer.echo(json.dumps([move_dict(move) for move in found], indent=2, ensure_ascii=False))
        return
    from component.ui.show import print_moves
    from component.ui.terminal import make_console

    print_moves(make_console(), found)


async def _list_moves(
    url: str,
    *,
    limit: int,
    contact: str | None,
    old: str | None,
    new: str | None,
    state: str | None,
) -> list[MoveRecord]:
    from component.store import Store

    with _store_failures():
        async with await Store.open(url, writer=False) as store:
            return await store.list_moves(
                limit=limit, contact=contact, old=old, new=new, state=state
            )


@app.command()
def show(
    context: typer.Context,
    id: Annotated[int, typer.Argument(metavar="ID", min=1, help="As listed by moves.")],
    as_json: JsonFlag = False,
) -> None:
    """Tell the story of one move."""
    config = _load(context)
    found = asyncio.run(_get_move(config.database.url, id))
    if found is None:
        raise CommandFailed(f"there is no move {id}; `{NAME} moves` lists those there are")
    if as_json:
        from component.ui.as_json import story_dict

        typer.echo(json.dumps(story_dict(*found), indent=2, ensure_ascii=False))
        return
    from component.ui.show import print_story
    from component.ui.terminal import make_console

    print_story(make_console(), *found)


async def _get_move(url: str, id: int) -> tuple[MoveRecord, list[AuditRecord]] | None:
    from component.store import Store

    with _store_failures():
        async with await Store.open(url, writer=False) as store:
            return await store.get(id)


ToOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Install the module into this folder.")
]
JidOption = Annotated[str | None, typer.Option(metavar="DOMAIN", help="The component's address.")]
HostOption = Annotated[
    list[str] | None,
    typer.Option(metavar="DOMAIN", help="A host that is served; may be given several times."),
]
SecretFlag = Annotated[
    bool, typer.Option("--show-secret", help="Print the secret, not where to find it.")
]


@hook_app.command("prosody")
def hook_prosody(
    context: typer.Context,
    to: ToOption = None,
    jid: JidOption = None,
    host: HostOption = None,
    show_secret: SecretFlag = False,
) -> None:
    """Install the Prosody module and print the configuration lines for this component.

    DIR is one of Prosody's plugin_paths. With --jid and --host no configuration file is needed.
    """
    from component.hooks.installer import install_prosody
    from component.ui.hook import describe_prosody

    setup = _hook_setup(context, to, jid, host, show_secret)
    typer.echo(describe_prosody(setup, _installed(install_prosody, to)), nl=False)


@hook_app.command("ejabberd")
def hook_ejabberd(
    context: typer.Context,
    to: ToOption = None,
    jid: JidOption = None,
    host: HostOption = None,
    show_secret: SecretFlag = False,
) -> None:
    """Install the ejabberd module and print the configuration lines for this component.

    DIR is the folder sources in ejabberd's CONTRIB_MODULES_PATH. With --jid and --host no
    configuration file is needed.
    """
    from component.hooks.installer import install_ejabberd
    from component.ui.hook import describe_ejabberd

    setup = _hook_setup(context, to, jid, host, show_secret)
    typer.echo(describe_ejabberd(setup, _installed(install_ejabberd, to)), nl=False)


def _hook_setup(
    context: typer.Context,
    to: Path | None,
    jid: str | None,
    hosts: list[str] | None,
    show_secret: bool,
) -> HookSetup:
    from component.ui.hook import plan

    config = None
    if context.obj is not None or not (jid and hosts):
        config = _load(context)
    return plan(config, context.obj, jid, hosts or [], to, show_secret)


def _installed(install: Callable[[Path], Installed], to: Path | None) -> Installed | None:
    from component.hooks.installer import InstallError

    if to is None:
        return None
    try:
        return install(to)
    except InstallError as error:
        raise CommandFailed(str(error)) from error


@db_app.command("upgrade")
def db_upgrade(context: typer.Context) -> None:
    """Bring the database to the schema of this release."""
    config = _load(context)
    from component.store import upgrade

    with _store_failures():
        revision = asyncio.run(upgrade(config.database.url))
    typer.echo(f"The database has schema {revision}, the newest.")


def _load(context: typer.Context, log_level: str = "warning") -> Config:
    """The configuration; logging is set up so that standard output stays the command's."""
    from component.config import ConfigError, load
    from component.ops import log

    log.configure(log_level)

    def warn(sentence: str) -> None:
        print(f"{NAME}: warning: {sentence}", file=sys.stderr)

    try:
        return load(context.obj, warn=warn)
    except ConfigError as error:
        raise CommandFailed(str(error), Exit.CONFIG) from error


@contextmanager
def _store_failures() -> Iterator[None]:
    from component.store import StoreError

    try:
        yield
    except StoreError as error:
        raise CommandFailed(str(error)) from error


def _bare(option: str, given: str | None) -> str | None:
    """The address of an option in the form that the journal holds."""
    if given is None:
        return None
    from component.core import jids

    prepared = jids.bare(given)
    if prepared is None:
        raise typer.BadParameter(
            f"{given!r} is not the address of a user (name@domain)", param_hint=option
        )
    return prepared
