"""What a server's configuration has to say for the hook: the common part, then each server's."""

from __future__ import annotations

import json
import re
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
    :param folder: where the server finds the module, or ``None`` if it was not installed
    :param appends: whether this Prosody can add to its lists (13.0 and newer) or only replace them
    :param found: whether its ``plugin_paths`` name the folder already
    """

    jid: str
    hosts: Sequence[str]
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    secret: str | None = None
    secret_place: str = ""
    folder: Path | None = None
    appends: bool = False
    found: bool = False


# Prosody ---------------------------------------------------------------------------------------

PROSODY_HEADER = "-- xmpp-moved"
"""How a file begins that holds our lines alone."""


def prosody_lines(setup: HookSetup) -> str:
    """A file for Prosody to include, valid Lua as it stands.

    It has no section but that of the component, which loads the module on the hosts: what other
    files say of the hosts, their ``modules_enabled`` above all, is not replaced.
    """
    secret = lua_string(PLACEHOLDER if setup.secret is None else setup.secret)
    hint = ""
    if setup.secret is None:
        hint = f" -- {setup.secret_place}" if setup.secret_place else " -- [component] secret"
    lines = [
        f"{PROSODY_HEADER}: a file of its own, for Prosody to include.",
        *_plugin_paths(setup),
        *_ports(setup),
        "",
        f"Component {lua_string(setup.jid)}",
        f"    component_secret = {secret}{hint}",
        "    -- Of two streams the later counts: Prosody may take long to see that one is dead.",
        '    component_conflict_resolve = "kick_old"',
        "    -- Loads the module here and on these hosts; their own sections stay as they are.",
        '    modules_enabled = { "moved_hook" }',
        f"    moved_hook_hosts = {{ {', '.join(map(lua_string, setup.hosts))} }}",
    ]
    return "\n".join(lines) + "\n"


def _plugin_paths(setup: HookSetup) -> list[str]:
    """``plugin_paths`` where Prosody would not look into the folder by itself."""
    if setup.folder is None or setup.found:
        return []
    folder = lua_string(str(setup.folder))
    if setup.appends:
        return [
            "if not plugin_paths then plugin_paths = {} end",
            f"plugin_paths: append {{ {folder} }}",
        ]
    return [
        "-- This line replaces another plugin_paths: if there is one, add the folder to that.",
        f"plugin_paths = {{ {folder} }}",
    ]


def prosody_paths(text: str) -> list[str] | None:
    """The folders in the ``plugin_paths`` of a file of Prosody's; None: it has none."""
    found = re.findall(
        r"^[ \t]*plugin_paths\s*(?:=|:\s*append)\s*\{(.*?)\}", text, re.MULTILINE | re.DOTALL
    )
    return re.findall(r"""["']([^"']+)["']""", " ".join(found)) if found else None


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
    return ["systemctl restart prosody && xmpp-moved check"]


def lua_string(text: str) -> str:
    """A Lua string literal, safe for any text (Lua 5.1 manual, section 2.1)."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\000"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


# ejabberd -------------------------------------------------------------------------------------

EJABBERD_BEGIN, EJABBERD_END = "# xmpp-moved: begin", "# xmpp-moved: end"
"""Around each part that is ours in ``ejabberd.yml``, so that all can be taken out again."""
_OURS = re.compile(rf"^ *{EJABBERD_BEGIN}\n.*?^ *{EJABBERD_END}(?:\n|\Z)", re.MULTILINE | re.DOTALL)


class CannotEdit(ValueError):
    """The lines have no safe place in this ``ejabberd.yml``; the text says why."""


def ejabberd_lines(setup: HookSetup) -> str:
    """The lines to add to ``ejabberd.yml``; each part says where it belongs."""
    lines = [
        "# 1. Below listen:, a listener for this component alone: components that share one",
        "#    can write each other's address into their stanzas (seen on 24.12).",
        "listen:",
        *_indented("  ", _listener(setup)),
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
        *_on_hosts(setup),
    ]
    return "\n".join(lines) + "\n"


def _listener(setup: HookSetup) -> list[str]:
    secret = _quoted(PLACEHOLDER if setup.secret is None else setup.secret)
    hint = f" # {setup.secret_place or '[component] secret'}" if setup.secret is None else ""
    return [
        "-",
        f"  port: {setup.port}",
        f"  ip: {_quoted(setup.host if _is_address(setup.host) else '127.0.0.1')}",
        "  module: ejabberd_service",
        "  access: all",
        "  hosts:",
        f"    {_quoted(setup.jid)}:",
        f"      password: {secret}{hint}",
    ]


def _on_hosts(setup: HookSetup) -> list[str]:
    lines = ["append_host_config:"]
    for host in setup.hosts:
        lines += [
            f"  {_quoted(host)}:",
            "    modules:",
            "      mod_moved_hook:",
            f"        component: {_quoted(setup.jid)}",
        ]
    return lines


def ejabberd_edited(text: str, setup: HookSetup) -> str:
    """An ``ejabberd.yml`` with the lines in their places, and all else as it was.

    What an earlier call put in is replaced.

    :raises CannotEdit: the file is not written in a way that leaves no doubt where they belong
    """
    lines = ejabberd_without(text).splitlines()
    known = ejabberd_hosts(lines)
    missing = [host for host in setup.hosts if known and host not in known]
    if missing:
        raise CannotEdit(
            f"its hosts: are {', '.join(known)}, and not {', '.join(missing)}; see [served] hosts"
        )
    listen, modules = _key(lines, "listen"), _key(lines, "modules")
    if any(re.match(r"append_host_config *:", line) for line in lines):
        raise CannotEdit("it has an append_host_config already")
    port = next((n for n in _below(lines, listen) if _is_port(lines[n], setup.port)), None)
    if port is not None:
        raise CannotEdit(
            f"line {port + 1} has port {setup.port} already; give [component] port another"
        )
    first = next(iter(_below(lines, listen)), None)
    item = re.match(r"( *)-(?: |$)", lines[first]) if first is not None else None
    if item is None:
        raise CannotEdit("listen: is no list with an item a line")
    roster = next((n for n in _below(lines, modules) if _is_roster(lines[n])), None)
    # From the end on, so that the numbers of lines hold.
    parts = [(len(lines), "", _on_hosts(setup)), (listen + 1, item[1], _listener(setup))]
    if roster is not None and (indent := _option_indent(lines, roster)) is not None:
        parts.append((roster + 1, indent, ["store_current_id: true"]))
    for at, indent, part in sorted(parts, key=lambda part: part[0], reverse=True):
        lines[at:at] = _indented(indent, [EJABBERD_BEGIN, *part, EJABBERD_END])
    return "\n".join(lines) + "\n"


def ejabberd_hosts(lines: Sequence[str]) -> list[str]:
    """The hosts that an ``ejabberd.yml`` names; none where they cannot be told for sure."""
    at = [n for n, line in enumerate(lines) if re.match(r"hosts *:", line)]
    if len(at) != 1:
        return []
    inline = re.match(r"hosts *: *\[(.*)\] *(#.*)?$", lines[at[0]])
    if inline is not None:
        items = inline[1].split(",")
    else:
        found = [re.match(r" *- +([^#]*)", lines[n]) for n in _items(lines, at[0])]
        items = [item[1] if item is not None else "?" for item in found]
    names = [item.strip().strip("\"'") for item in items]
    domain = re.compile(r"[^\s@:?\[\]{}*&!|>%]+")  # no macro, and nothing else of YAML's
    sure = all(domain.fullmatch(name) and "xn--" not in name.lower() for name in names)
    return [name.lower() for name in names] if sure else []


def _items(lines: Sequence[str], key: int) -> list[int]:
    """The lines of a list, whose items may stand as far left as its key."""
    found = []
    for n in range(key + 1, len(lines)):
        if re.match(r"[^\s#-]", lines[n]) or lines[n].startswith("---"):
            break
        if re.match(r" *[^\s#]", lines[n]):
            found.append(n)
    return found


def ejabberd_left_out(text: str) -> bool:
    """Whether an edited ``ejabberd.yml`` says nothing of ``store_current_id``: the options of its
    mod_roster do not stand on lines of their own."""
    return re.search(r"^ *store_current_id *:", text, re.MULTILINE) is None


def ejabberd_without(text: str) -> str:
    """An ``ejabberd.yml`` without what :func:`ejabberd_edited` put in."""
    return _OURS.sub("", text)


def _key(lines: Sequence[str], name: str) -> int:
    """Where a key of the file itself stands that has its value on the lines below."""
    found = [n for n, line in enumerate(lines) if re.match(rf"{name} *: *(#.*)?$", line)]
    if len(found) != 1:
        raise CannotEdit(f"it has {len(found) or 'no'} lines {name}: of its own")
    return found[0]


def _below(lines: Sequence[str], key: int) -> list[int]:
    """The lines of a key's value, without empty ones and comments."""
    found = []
    for n in range(key + 1, len(lines)):
        if re.match(r"[^\s#-]", lines[n]):
            break
        if re.match(r" *[^\s#]", lines[n]):
            found.append(n)
    return found


def _is_port(line: str, port: int) -> bool:
    return re.match(rf"[ -]*port *: *{port} *(#.*)?$", line) is not None


def _is_roster(line: str) -> bool:
    return re.match(r" +mod_roster *: *(#.*)?$", line) is not None


def _option_indent(lines: Sequence[str], roster: int) -> str | None:
    """How mod_roster's options are indented; None: it has none, or the one that we add."""
    own = len(lines[roster]) - len(lines[roster].lstrip())
    indents = []
    for n in _below(lines, roster):
        indent = len(lines[n]) - len(lines[n].lstrip())
        if indent <= own:
            break
        if lines[n].lstrip().startswith("store_current_id"):
            return None
        indents.append(indent)
    return " " * indents[0] if indents else None


def ejabberd_install(installed: Installed | None) -> list[str]:
    """The shell commands that compile the module and see that it is there.

    They come before anything in the configuration names it: an ejabberd that cannot load a module
    of its configuration does not start.
    """
    verb = "module_upgrade" if installed is Installed.UPDATED else "module_install"
    commands = [
        f"ejabberdctl {verb} mod_moved_hook &&",
        "ejabberdctl modules_installed | grep mod_moved_hook",
    ]
    if installed is Installed.UPDATED:
        commands.append("# Should this fail, do not restart ejabberd before it has worked.")
    return commands


def _indented(indent: str, lines: Sequence[str]) -> list[str]:
    return [f"{indent}{line}" for line in lines]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar; JSON's strings are that too (YAML 1.2, section 1.3)."""
    return json.dumps(text, ensure_ascii=False)
