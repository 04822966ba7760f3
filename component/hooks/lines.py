"""What a server's configuration has to say for the hook: the common part, then each server's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from component.hooks.installer import Installed

DEFAULT_PORT = 5347
"""Where Prosody listens for components (mod_component, 0.12 and 13.0), and our own default."""
PLACEHOLDER = "PUT THE SECRET HERE"


@dataclass(frozen=True, slots=True)
class HookSetup:
    """What the lines for a server depend on.

    :param jid: the component's address
    :param hosts: the hosts whose users are served
    :param secret: the secret in clear, or ``None`` for a placeholder
    :param secret_place: where the secret is to be found, to stand beside the placeholder
    :param folder: where the module was installed, or ``None`` if it was not
    """

    jid: str
    hosts: Sequence[str]
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    secret: str | None = None
    secret_place: str = ""
    folder: Path | None = None


# Prosody ---------------------------------------------------------------------------------------


def prosody_lines(setup: HookSetup) -> str:
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
    secret = lua_string(PLACEHOLDER if setup.secret is None else setup.secret)
    hint = ""
    if setup.secret is None:
        hint = f" -- {setup.secret_place}" if setup.secret_place else " -- [component] secret"
    lines += [
        "-- 3. At the end.",
        f"Component {lua_string(setup.jid)}",
        f"    component_secret = {secret}{hint}",
        "    -- Of two streams the later counts: Prosody may take long to see that one is dead.",
        '    component_conflict_resolve = "kick_old"',
    ]
    return "\n".join(lines) + "\n"


def _ports(setup: HookSetup) -> list[str]:
    """``component_ports`` and ``component_interfaces`` where Prosody's defaults do not serve."""
    lines = []
    if setup.port != DEFAULT_PORT:
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


def prosody_commands(setup: HookSetup, installed: Installed | None) -> list[str]:
    """The shell commands that make Prosody use what was installed and configured."""
    if installed is Installed.UPDATED:
        return [f"prosodyctl shell module reload moved_hook {host}" for host in setup.hosts]
    return ["prosodyctl check config", "systemctl restart prosody"]


def lua_string(text: str) -> str:
    """A Lua string literal, safe for any text (Lua 5.1 manual, section 2.1)."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\000"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


# ejabberd -------------------------------------------------------------------------------------

_EJABBERD_SOURCES = "/var/lib/ejabberd/.ejabberd-modules/sources"


def ejabberd_lines(setup: HookSetup) -> str:
    """The lines to add to ``ejabberd.yml``; each part says where it belongs."""
    secret = _quoted(PLACEHOLDER if setup.secret is None else setup.secret)
    hint = f" # {setup.secret_place or '[component] secret'}" if setup.secret is None else ""
    lines = [
        "# 1. Below listen:, a listener for this component alone: components that share one",
        "#    can write each other's address into their stanzas (seen on 24.12).",
        "listen:",
        "  -",
        f"    port: {setup.port}",
        f"    ip: {_quoted(setup.host if _is_address(setup.host) else '127.0.0.1')}",
        "    module: ejabberd_service",
        "    access: all",
        "    hosts:",
        f"      {_quoted(setup.jid)}:",
        f"        password: {secret}{hint}",
        "",
        "# 2. Below modules:, add store_current_id to the mod_roster that is there. Without it",
        "#    each roster push hashes the whole roster (seen: 23 moves a second instead of 200).",
        "modules:",
        "  mod_roster:",
        "    versioning: true",
        "    store_current_id: true",
        "#    Where mod_pres_counter is on (as Debian has it), raise it or take it out:",
        "#    of 5 presences a minute it drops the sixth without a word, and a contact who follows",
        "#    a move costs three, so that moves take hours.",
        "#  mod_pres_counter:",
        "#    count: 200",
        "#    interval: 60",
        "",
        "# 3. The module, on each host that is served.",
        "append_host_config:",
    ]
    for host in setup.hosts:
        lines += [
            f"  {_quoted(host)}:",
            "    modules:",
            "      mod_moved_hook:",
            f"        component: {_quoted(setup.jid)}",
        ]
    return "\n".join(lines) + "\n"


def ejabberd_commands(setup: HookSetup, installed: Installed | None) -> list[str]:
    """The shell commands that make ejabberd use what was installed and configured."""
    folder = setup.folder or Path(_EJABBERD_SOURCES)
    compile_it = "ejabberdctl module_install mod_moved_hook"
    if installed is Installed.UPDATED:
        compile_it = "ejabberdctl module_upgrade mod_moved_hook"
    return [f"chown -R ejabberd: {folder}", compile_it, "systemctl restart ejabberd"]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar; JSON's strings are that too (YAML 1.2, section 1.3)."""
    return json.dumps(text, ensure_ascii=False)
