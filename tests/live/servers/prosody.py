"""Prosody as a test server: 0.12 from the system, 13.0 from a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import component
from tests.live.servers.base import (
    C2S_PORT,
    COMPONENT_PORT,
    COMPONENT_SECRET,
    PASSWORD,
    S2S_PORT,
    RosterEntry,
    ServerSpec,
)
from tests.live.servers.child import ChildServer
from tests.live.servers.process import Process

_TEST_MODULES = Path(__file__).with_name("prosody_modules")
HOOK_MODULES = Path(component.__file__).parent / "hooks" / "prosody"
_READY_TIMEOUT = 60.0

MODULES = (
    "roster",
    "saslauth",
    "dialback",
    "disco",
    "presence",
    "message",
    "iq",
    "c2s",
    "s2s",
    "ping",
    "pep",
    "private",
    "blocklist",
    "carbons",
    "vcard",
    "version",
    "offline",
    "restrict_federation",
    "isolate_host",
    "test_fault",
    "test_route",
    "test_saves",
)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a Prosody lives: ``program`` is usr/bin/prosody, its paths already right.

    ``launcher`` goes in front of its command.
    """

    kind: str
    program: Path
    launcher: tuple[str, ...] = ()


class Prosody(ChildServer):
    """See :class:`tests.live.servers.base.Server`."""

    program = "prosody"

    def __init__(self, installation: Installation, spec: ServerSpec, folder: Path) -> None:
        super().__init__(installation.kind, spec, folder, ready=_READY_TIMEOUT, grace=10.0)
        self._command = (*installation.launcher, str(installation.program))
        (folder / "data").mkdir(exist_ok=True)
        (folder / "prosody.cfg.lua").write_text(self._config())

    def _spawn(self) -> Process:
        return Process(
            [*self._command, "-F", "--config", str(self.folder / "prosody.cfg.lua")],
            cwd=self.folder,
            output=self._output,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    def add_user(self, jid: str) -> None:
        """Write the account file of authentication "internal_plain"."""
        self._write("accounts", jid, lua_table({"password": PASSWORD}))

    def remove_user(self, jid: str) -> None:
        """Remove what ``prosodyctl deluser`` removes: the files of the account in every store."""
        user, _, host = jid.partition("@")
        for path in (self.folder / "data" / _encode(host)).glob(f"*/{_encode(user)}.*"):
            path.unlink()

    def set_roster(self, jid: str, entries: Sequence[RosterEntry]) -> None:
        """Write the roster file of internal storage (core/rostermanager.lua, 0.12 and 13.0)."""
        roster: dict[object, object] = {
            False: {"version": 1, "pending": {e.jid: True for e in entries if e.pending}}
        }
        for entry in entries:
            if entry.pending and entry.subscription == "none" and not entry.ask:
                continue
            item: dict[object, object] = {
                "subscription": entry.subscription,
                "groups": dict.fromkeys(entry.groups, True),
            }
            if entry.name is not None:
                item["name"] = entry.name
            if entry.ask:
                item["ask"] = "subscribe"
            roster[entry.jid] = item
        self._write("roster", jid, lua_table(roster))

    def set_role(self, jid: str, role: str) -> None:
        """Write what mod_authz_internal keeps (13.0 and newer); nobody is told."""
        self._write("account_roles", jid, lua_table({"_default": role}))

    def _write(self, store: str, jid: str, table: str) -> None:
        user, _, host = jid.partition("@")
        path = self.folder / "data" / _encode(host) / store / f"{_encode(user)}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"return {table};\n")

    def _config(self) -> str:
        spec = self.spec
        settings: dict[object, object] = {
            "run_as_root": True,
            "pidfile": str(self.folder / "prosody.pid"),
            "data_path": str(self.folder / "data"),
            "plugin_paths": [str(HOOK_MODULES), str(_TEST_MODULES)],
            "interfaces": [spec.address],
            "local_interfaces": [spec.address],
            "component_interfaces": [spec.address],
            "c2s_ports": [C2S_PORT],
            "s2s_ports": [S2S_PORT],
            "component_ports": [COMPONENT_PORT],
            "modules_enabled": list(MODULES),
            "modules_disabled": ["tls", "s2s_auth_certs", "http", "admin_shell", "admin_socket"],
            "authentication": "internal_plain",
            "storage": "internal",
            "c2s_require_encryption": False,
            "allow_unencrypted_plain_auth": True,
            "s2s_require_encryption": False,
            "s2s_secure_auth": False,
            "s2s_timeout": 10,
            "test_fault_path": str(self.folder / "faults"),
            "log": [{"levels": {"min": "debug"}, "to": "file", "filename": str(self.log_path)}],
            "unbound": resolver(spec.zone),
        }
        # An option that is given twice is an error to Prosody.
        own = {key: value for key, value in settings.items() if key not in spec.extra}
        lines = [f"{key} = {lua_value(value)}" for key, value in own.items()]
        lines += [f"{key} = {value}" for key, value in spec.extra.items()]
        for host in spec.hosts:
            lines.append(f"\nVirtualHost {lua_value(host)}")
            lines += self._host_lines(host)
        for domain in spec.components:
            lines.append(f"\nComponent {lua_value(domain)}")
            lines.append(f"component_secret = {lua_value(COMPONENT_SECRET)}")
        return "\n".join(lines) + "\n"

    def _host_lines(self, host: str) -> list[str]:
        """What a VirtualHost has of its own: here the hook, the same for all of them."""
        hook = self.spec.hook
        if hook is None:
            return []
        lines = [
            'modules_enabled = { "moved_hook" }',
            f"moved_hook_component = {lua_value(hook.components or self.spec.components[0])}",
        ]
        if hook.timeout is not None:
            lines.append(f"moved_hook_timeout = {hook.timeout}")
        if hook.max_held is not None:
            lines.append(f"moved_hook_max_held = {hook.max_held}")
        return lines


def resolver(zone: Mapping[str, str]) -> dict[object, object]:
    """Settings for lua-unbound under which only ``zone`` exists and no query leaves the machine.

    libunbound takes ``local-data:`` once per record, a Lua table has a key once; the binding
    hands keys over as C strings, so what follows a NUL tells them apart for Lua alone.
    """
    options: dict[object, object] = {"local-zone:": ". static"}
    for domain, address in zone.items():
        name = domain.encode("idna").decode()
        for record in (
            f"{name}. 60 IN A {address}",
            f"_xmpp-server._tcp.{name}. 60 IN SRV 0 0 {S2S_PORT} {name}.",
        ):
            options[f"local-data:\0{len(options)}"] = record
    return {"hoststxt": False, "resolvconf": False, "options": options}


def lua_value(value: object) -> str:
    """Return a Lua literal for str, bool, numbers, lists and dicts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(_lua_char(char) for char in value) + '"'
    if isinstance(value, list | tuple):
        return "{ " + ", ".join(lua_value(part) for part in value) + " }"
    if isinstance(value, Mapping):
        return lua_table(value)
    raise TypeError(f"no Lua literal for {value!r}")


def lua_table(table: Mapping[object, object] | Mapping[str, object]) -> str:
    """Return a Lua table constructor."""
    parts = (f"[{lua_value(key)}] = {lua_value(value)}" for key, value in table.items())
    return "{ " + "; ".join(parts) + " }"


def _lua_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return f"\\{ord(char):03d}" if ord(char) < 32 else char


def _encode(name: str) -> str:
    # util.datamanager: every byte that is no ASCII letter or digit becomes %xx.
    return "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02x}"
        for byte in name.encode()
    )
