"""What ``hook prosody`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from component.config import config_path
from component.config.types import prepare_domain
from component.hooks.installer import (
    PROSODY_MODULE,
    Installed,
    ProsodySetup,
    prosody_commands,
    prosody_lines,
)

if TYPE_CHECKING:
    from component.config import Config


def plan_prosody(
    config: Config | None,
    path: Path | None,
    jid: str | None,
    hosts: Sequence[str],
    folder: Path | None,
    show_secret: bool,
) -> ProsodySetup:
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
        return ProsodySetup(own or "", served, folder=where)
    component = config.component
    return ProsodySetup(
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


def describe(setup: ProsodySetup, installed: Installed | None) -> str:
    """The text: what was installed, what to configure, what to run."""
    parts = []
    if installed is not None and setup.folder is not None:
        parts.append(f"{setup.folder / PROSODY_MODULE}: {_WHAT[installed]}\n")
    parts.append("Configuration (prosody.cfg.lua):\n")
    parts.append(prosody_lines(setup))
    parts.append("Then:\n")
    commands = [*prosody_commands(setup, installed), "xmpp-moved check"]
    parts.append("".join(f"    {command}\n" for command in commands))
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
