"""What ``hook prosody`` and ``hook ejabberd`` print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from component.config import config_path
from component.config.types import prepare_domain
from component.hooks.installer import MODULE, Installed
from component.hooks.lines import (
    HookSetup,
    ejabberd_commands,
    ejabberd_lines,
    prosody_commands,
    prosody_lines,
)

if TYPE_CHECKING:
    from component.config import Config


def plan(
    config: Config | None,
    path: Path | None,
    jid: str | None,
    hosts: Sequence[str],
    folder: Path | None,
    show_secret: bool,
) -> HookSetup:
    """What to print for this configuration, where ``jid`` and ``hosts`` win over it.

    :param path: the configuration file as given, to say where the secret is
    :raises typer.BadParameter: an address is none, or what is needed is nowhere
    """
    where = folder.absolute() if folder else None
    own = _domain("--jid", jid) if jid else None
    served = [_domain("--host", host) for host in hosts]
    if config is None:
        if show_secret:
            raise typer.BadParameter(
                "there is no secret to show without a configuration", param_hint="--show-secret"
            )
        return HookSetup(own or "", served, folder=where)
    component = config.component
    return HookSetup(
        own or component.jid,
        served or config.served.hosts,
        component.host,
        component.port,
        component.reveal() if show_secret else None,
        f"the content of {component.secret_file}"
        if component.secret_file
        else f"the secret of [component] in {config_path(path)}",
        where,
    )


def describe_prosody(setup: HookSetup, installed: Installed | None) -> str:
    """The text: what was installed, what to configure, what to run."""
    commands = prosody_commands(setup, installed)
    return _describe(setup, installed, "prosody.cfg.lua", prosody_lines(setup), commands)


def describe_ejabberd(setup: HookSetup, installed: Installed | None) -> str:
    """The text: what was installed, what to configure, what to run."""
    commands = ejabberd_commands(setup, installed)
    return _describe(setup, installed, "ejabberd.yml", ejabberd_lines(setup), commands)


def _describe(
    setup: HookSetup, installed: Installed | None, file: str, lines: str, commands: Sequence[str]
) -> str:
    parts = []
    if installed is not None and setup.folder is not None:
        parts.append(f"{setup.folder / MODULE}: {_WHAT[installed]}\n")
    parts.append(f"Configuration ({file}):\n")
    parts.append(lines)
    parts.append("Then:\n")
    parts.append("".join(f"    {command}\n" for command in (*commands, "xmpp-moved check")))
    return "\n".join(parts)


_WHAT = {
    Installed.NEW: "installed.",
    Installed.UPDATED: "updated; the old version runs until the module is reloaded.",
    Installed.SAME: "installed already, the same version; nothing was changed.",
}


def _domain(option: str, text: str) -> str:
    try:
        return prepare_domain(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
