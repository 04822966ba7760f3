"""Puts the server modules where a server finds them, and says how to switch them on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from ipaddress import ip_address
from pathlib import Path

PROSODY_MODULE = "mod_moved_hook"
PROSODY_PORT = 5347
"""Prosody's default for ``component_ports`` (mod_component, 0.12 and 13.0)."""
_PLACEHOLDER = "PUT THE SECRET HERE"


class InstallError(Exception):
    """The module cannot be installed; the text says why and what to do."""


class Installed(StrEnum):
    """What an installation changed."""

    NEW = "new"
    UPDATED = "updated"
    SAME = "the same"


def install_prosody(folder: Path) -> Installed:
    """Copy the Prosody module to ``folder/mod_moved_hook/``.

    Each file is replaced in one step and only if it differs; nothing else in the folder is
    touched and no copy is kept.

    :param folder: one of Prosody's ``plugin_paths``; must exist
    :raises InstallError: it does not exist, or cannot be written to
    """
    if not folder.is_dir():
        raise InstallError(
            f"{folder} is no folder; create it (mkdir -p {folder}), or name one of those in "
            "Prosody's plugin_paths"
        )
    source = files("component.hooks").joinpath("prosody", PROSODY_MODULE)
    try:
        found = {_put(item, folder / PROSODY_MODULE / path) for path, item in _walk(source)}
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InstallError(
            f"{folder} cannot be written to ({reason}); run this as a user who may, such as root"
        ) from error
    if not found:
        raise InstallError("this installation of xmpp-moved lacks the module; install it anew")
    if found == {Installed.SAME}:
        return Installed.SAME
    return Installed.NEW if found == {Installed.NEW} else Installed.UPDATED


def _walk(source: Traversable, under: str = "") -> Iterator[tuple[str, Traversable]]:
    """The files of a package folder with their relative paths, hidden ones left out."""
    if not source.is_dir():
        return
    for item in sorted(source.iterdir(), key=lambda item: item.name):
        if item.name.startswith((".", "__")):
            continue
        path = f"{under}{item.name}"
        if item.is_dir():
            yield from _walk(item, f"{path}/")
        else:
            yield path, item


def _put(source: Traversable, target: Path) -> Installed:
    """Write one file, readable by all (Prosody has a user of its own), in one step."""
    content = source.read_bytes()
    with suppress(FileNotFoundError):
        if target.read_bytes() == content:
            return Installed.SAME
    state = Installed.UPDATED if target.exists() else Installed.NEW
    for parent in reversed(target.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return state


@dataclass(frozen=True, slots=True)
class ProsodySetup:
    """What the lines for Prosody depend on.

    :param jid: the component's address
    :param hosts: the hosts whose users are served
    :param secret: the secret in clear, or ``None`` for a placeholder
    :param secret_place: where the secret is to be found, to stand beside the placeholder
    :param folder: where the module was installed, or ``None`` if it was not
    """

    jid: str
    hosts: Sequence[str]
    host: str = "127.0.0.1"
    port: int = PROSODY_PORT
    secret: str | None = None
    secret_place: str = ""
    folder: Path | None = None


def prosody_lines(setup: ProsodySetup) -> str:
    """The lines to add to ``prosody.cfg.lua``, valid Lua as they stand."""
    folder = str(setup.folder) if setup.folder else "/usr/local/lib/prosody/modules"
    lines = [
        "-- 1. In the global part, above the first VirtualHost. Keep the paths that are there.",
        f"plugin_paths = {{ {lua_string(folder)} }}",
        *_ports(setup),
        "",
        "-- 2. In the section of each host. If it has a modules_enabled already, add",
        '--    "moved_hook" to it instead; the global modules stay enabled in any case.',
    ]
    for host in setup.hosts:
        lines += [
            f"VirtualHost {lua_string(host)}",
            '    modules_enabled = { "moved_hook" }',
            f"    moved_hook_component = {lua_string(setup.jid)}",
            "",
        ]
    secret = lua_string(_PLACEHOLDER if setup.secret is None else setup.secret)
    hint = ""
    if setup.secret is None:
        hint = f" -- {setup.secret_place}" if setup.secret_place else " -- [component] secret"
    lines += [
        "-- 3. At the end.",
        f"Component {lua_string(setup.jid)}",
        f"    component_secret = {secret}{hint}",
    ]
    return "\n".join(lines) + "\n"


def _ports(setup: ProsodySetup) -> list[str]:
    """``component_ports`` and ``component_interfaces`` where Prosody's defaults do not serve."""
    lines = []
    if setup.port != PROSODY_PORT:
        lines.append(f"component_ports = {{ {setup.port} }} -- [component] port")
    if not _loopback(setup.host):
        lines += [
            "-- [component] host is not this machine's loopback: let Prosody listen there too.",
            "-- The stream is not encrypted; keep others off this network.",
            f"component_interfaces = {{ {lua_string(setup.host)} }}",
        ]
    return lines


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def prosody_commands(setup: ProsodySetup, installed: Installed | None) -> list[str]:
    """The shell commands that make Prosody use what was installed and configured."""
    if installed is Installed.UPDATED:
        return [f"prosodyctl shell module reload moved_hook {host}" for host in setup.hosts]
    return ["prosodyctl check config", "systemctl restart prosody"]


def lua_string(text: str) -> str:
    """A Lua string literal, safe for any text (Lua 5.1 manual, section 2.1)."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\000"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'
