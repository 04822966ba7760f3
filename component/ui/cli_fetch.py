"""The command ``xmpp-moved fetch``: for users, on any machine; it needs no configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from component.core.journey.model import Access
from component.ui.common import bare_address
from component.ui.exits import CommandFailed


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("fetch")(fetch)


def fetch(
    account: Annotated[
        str, typer.Argument(metavar="JID", help="The account, such as juliet@old.example.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to make.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.")] = False,
    publish: Annotated[
        str | None,
        typer.Option(metavar="JID", help="Also publish that the account moved to this address."),
    ] = None,
    access: Annotated[
        Access | None,
        typer.Option(
            metavar="MODEL",
            help="Who may read what --publish publishes: presence (those who see the account "
            "online), whitelist (the new account and all contacts who are not blocked), open "
            "(everybody).  [default: presence]",
        ),
    ] = None,
    password_fd: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Read the password from this file descriptor, not from the terminal.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Connect to this machine, whatever the DNS says."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=1, max=65535, help="And to this port.  [default: 5222, or 5223]"
        ),
    ] = None,
    direct_tls: Annotated[
        bool,
        typer.Option("--direct-tls", help="With --host or --port: begin with TLS (XEP-0368)."),
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Trust these certificates (PEM), not those of the machine."
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Send the password itself, over TLS, to a server that offers no SCRAM.",
        ),
    ] = False,
    private: Annotated[
        list[str] | None,
        typer.Option(
            metavar="{NAMESPACE}NAME",
            help="Also take along this private XML (XEP-0049), which cannot be listed; may be "
            "given several times.",
        ),
    ] = None,
) -> None:
    """Fetch an account from any server into a file (XEP-0227), by its owner's own login.

    Takes along contacts, blocked addresses, the profile, private XML of known clients and what
    the account publishes, avatar and bookmarks among it. The server needs nothing of this program.

    The password is asked for on the terminal. It is kept nowhere, and is sent to nobody but a
    server whose certificate is good.
    """
    old = bare_address("JID", account)
    assert old is not None
    new = bare_address("--publish", publish)
    if new == old:
        raise typer.BadParameter("that is the account itself", param_hint="--publish")
    if access is not None and new is None:
        raise typer.BadParameter("needs --publish", param_hint="--access")
    if direct_tls and host is None and port is None:
        raise typer.BadParameter("needs --host or --port", param_hint="--direct-tls")
    names = [_private(one) for one in private or ()]
    from component.ops import log

    # slixmpp has lines of its own for what ends with one of our sentences.
    log.configure("critical")
    from component.client.login import Server
    from component.ui.fetch import Wanted, report
    from component.ui.fetch import fetch as run
    from component.ui.keep import check_target
    from component.ui.secret import read_password
    from component.ui.terminal import printable

    check_target(output, force=force)
    server = Server(host, port, direct_tls, ca_file, plain)
    wanted = Wanted(old, output, force, server, names, new, access or Access.PRESENCE)
    fetched = run(wanted, read_password(old, password_fd))
    for line in report(wanted, fetched):
        typer.echo(printable(line))
    if fetched.trouble is not None:
        raise CommandFailed(printable(f"{output} is there, but {fetched.trouble}"))


def _private(text: str) -> tuple[str, str]:
    """The name and the namespace.  :raises typer.BadParameter: it is written otherwise."""
    ns, closed, name = text.removeprefix("{").partition("}")
    if not text.startswith("{") or not closed or not ns or not name:
        raise typer.BadParameter(
            f"{text!r} is not written as {{NAMESPACE}}NAME", param_hint="--private"
        )
    return name, ns
