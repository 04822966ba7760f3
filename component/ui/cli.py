"""The command ``xmpp-moved``.

Imports that cost time stand inside the commands, so that ``--help`` is quick.  Expected failures
become a sentence on standard error and an exit code (:class:`component.ui.exits.Exit`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from component import __version__
from component.ui import cli_fetch, cli_moves
from component.ui.cli_db import db_app
from component.ui.common import NAME, bare_address, load_config, store_failures
from component.ui.exits import CommandFailed, Exit

if TYPE_CHECKING:
    from component.core.records import CheckLine
    from component.hooks.lines import HookSetup

app = typer.Typer(
    name=NAME,
    help="Follow contacts who change their XMPP address (XEP-0283).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
hook_app = typer.Typer(help="Install the module that the XMPP server needs.", no_args_is_help=True)
app.add_typer(hook_app, name="hook")
app.add_typer(db_app, name="db")


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
    # structlog would load rich's tracebacks and with them pygments: 3 MiB that no service uses.
    sys.modules.setdefault("pygments", None)  # type: ignore[arg-type]
    config = load_config(context.obj)
    from component.ops import log

    log.configure(config.log.level, config.log.format)
    from component.config import ConfigError, load
    from component.ops.http import ListenError
    from component.process import run as run_app
    from component.xmpp.errors import SecretRefused

    with store_failures():
        try:
            asyncio.run(run_app(config, lambda: load(context.obj)))
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
        typer.Option(
            metavar="JID", help="Also test whether this account can publish (PEP) and get out."
        ),
    ] = None,
    remote: Annotated[
        str | None,
        typer.Option(metavar="DOMAIN", help="Also test whether this domain elsewhere answers."),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(min=1, max=600, help="How many seconds the server may take to accept us."),
    ] = 8.0,
) -> None:
    """Test everything that is needed, and say what to do about what is missing."""
    config = load_config(context.obj, log_level="error")
    account = bare_address("--test-account", test_account)
    from component.checks import check as probe

    if not asyncio.run(_print_checks(probe(config, account, remote=remote, wait=wait))):
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


cli_moves.add_to(app)
cli_fetch.add_to(app)

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
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the lines there, with the secret; do not print."),
    ] = None,
    jid: JidOption = None,
    host: HostOption = None,
    show_secret: SecretFlag = False,
) -> None:
    """Install the Prosody module; print or write the configuration lines for this component.

    DIR is a folder for modules, /usr/local/lib/prosody/modules say; the lines have Prosody look
    there. FILE is one that Prosody includes and that holds nothing else. With --jid and --host no
    configuration file is needed.
    """
    from component.ui.hook import prosody

    setup = _hook_setup(context, to, jid, host, show_secret or write is not None)
    _print_hook(lambda: prosody(setup, write))


@hook_app.command("snikket")
def hook_snikket(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The folder that is /snikket in the container: write all there."
        ),
    ] = None,
    jid: JidOption = None,
    host: HostOption = None,
    show_secret: SecretFlag = False,
) -> None:
    """Install the module in a Snikket's data, with a file of configuration for this component.

    Nothing of Snikket's own configuration is replaced. Without DIR the lines are printed, and with
    --jid and --host no configuration file is needed.
    """
    from component.ui.hook import snikket

    setup = _hook_setup(context, None, jid, host, show_secret or data is not None)
    _print_hook(lambda: snikket(setup, data))


@hook_app.command("ejabberd")
def hook_ejabberd(
    context: typer.Context,
    to: ToOption = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Put the lines into this ejabberd.yml, with the secret; keep it "
            "as FILE.before-moved.",
        ),
    ] = None,
    jid: JidOption = None,
    host: HostOption = None,
    show_secret: SecretFlag = False,
) -> None:
    """Install the ejabberd module; print or write the configuration lines for this component.

    DIR is the folder sources in ejabberd's CONTRIB_MODULES_PATH. FILE is not touched before the
    module in DIR is compiled. With --jid and --host no configuration file is needed.
    """
    from component.ui.hook import ejabberd

    setup = _hook_setup(context, to, jid, host, show_secret or write is not None)
    _print_hook(lambda: ejabberd(setup, write))


def _hook_setup(
    context: typer.Context, to: Path | None, jid: str | None, hosts: list[str] | None, secret: bool
) -> HookSetup:
    from component.config import ConfigError
    from component.ui.hook import plan

    config = None
    if context.obj is not None or not (jid and hosts) or secret:
        config = load_config(context.obj, secret=False)
    try:
        return plan(config, context.obj, jid, hosts or [], to, secret)
    except ConfigError as error:
        raise CommandFailed(str(error), Exit.CONFIG) from error


def _print_hook(do: Callable[[], str]) -> None:
    from component.hooks.installer import InstallError

    try:
        typer.echo(do(), nl=False)
    except InstallError as error:
        raise CommandFailed(str(error)) from error
