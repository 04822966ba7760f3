"""ejabberd 24.12 as a test server, run from a folder (tests/bootstrap/ejabberd.sh)."""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import component
from tests.live.servers.base import (
    C2S_PORT,
    COMPONENT_PORT,
    COMPONENT_SECRET,
    PASSWORD,
    S2S_PORT,
    RosterEntry,
    ServerError,
    ServerSpec,
)
from tests.live.servers.child import ChildServer
from tests.live.servers.process import Process

HELP_PORT = 25280
"""HTTP port of mod_test_help."""
DIST_PORT = 25469
"""Port of Erlang's own distribution: given, so that no epmd is needed."""

HOOK_SOURCES = Path(component.__file__).parent / "hooks" / "ejabberd" / "mod_moved_hook" / "src"
_TEST_SOURCES = Path(__file__).with_name("ejabberd_modules")
_READY_TIMEOUT = 60.0

# No resolver: mod_test_help brings the SRV records of the test's zone.
_INETRC = '{lookup, [file]}.\n{resolv_conf, ""}.\n{hosts_file, ""}.\nclear_ns.\n'

# Debian's default, without what listens on ports of its own, needs the network, or (as
# mod_pres_counter) drops the sixth subscription presence of a stream within a minute.
_MODULES: Mapping[str, Mapping[str, object]] = {
    "mod_adhoc": {},
    "mod_announce": {},
    "mod_blocking": {},
    "mod_caps": {},
    "mod_carboncopy": {},
    "mod_client_state": {},
    "mod_configure": {},
    "mod_disco": {},
    "mod_last": {},
    "mod_offline": {},
    "mod_ping": {},
    "mod_privacy": {},
    "mod_private": {},
    "mod_pubsub": {"plugins": ["flat", "pep"]},
    "mod_push": {},
    "mod_register": {},
    "mod_roster": {"versioning": True, "store_current_id": True},
    "mod_s2s_dialback": {},
    "mod_shared_roster": {},
    "mod_stream_mgmt": {},
    "mod_vcard": {},
    "mod_vcard_xupdate": {},
    "mod_version": {"show_os": False},
}


@dataclass(frozen=True, slots=True)
class Installation:
    """Where an ejabberd lives: ``root`` holds ``usr/lib``, as its packages unpack.

    ``launcher`` goes in front of the commands of its Erlang.
    """

    kind: str
    root: Path
    launcher: tuple[str, ...] = ()

    @property
    def libraries(self) -> tuple[Path, Path]:
        """Folders of the Erlang libraries and of ejabberd itself."""
        return self.root / "usr/lib/erlang/lib", self.root / "usr/lib/x86_64-linux-gnu"


class Ejabberd(ChildServer):
    """See :class:`tests.live.servers.base.Server`.

    Keys of ``spec.extra`` are dotted places in ``ejabberd.yml``, values are JSON; ``null``
    removes what is there.  Nodes of one cluster have one ``cookie``.
    """

    program = "ejabberd"

    def __init__(
        self, installation: Installation, spec: ServerSpec, folder: Path, *, cookie: str = ""
    ) -> None:
        super().__init__(installation.kind, spec, folder, ready=_READY_TIMEOUT, grace=20.0)
        self._installation = installation
        # Servers that share one steal each other's IQ answers.
        self.cookie = cookie or sha256(self.node.encode()).hexdigest()[:20]
        for part in ("spool", "home"):
            (folder / part).mkdir(exist_ok=True)
        self._configure()
        (folder / "inetrc").write_text(_INETRC)

    @property
    def node(self) -> str:
        """Name of the Erlang node, unique as the address is."""
        return f"ejabberd@{self.spec.address}"

    @property
    def environment(self) -> dict[str, str]:
        """What every Erlang program that has to do with this server needs in its environment."""
        erlang, ejabberd = self._installation.libraries
        return {
            **os.environ,
            "ERL_LIBS": f"{erlang}:{ejabberd}",
            "HOME": str(self.folder / "home"),
            "LC_ALL": "C.UTF-8",
            "RES_OPTIONS": "timeout:1 attempts:1",
        }

    def _spawn(self) -> Process:
        return Process(
            self._command(),
            cwd=self.folder,
            output=self._output,
            env={
                **self.environment,
                "EJABBERD_CONFIG_PATH": str(self.folder / "ejabberd.yml"),
                "EJABBERD_LOG_PATH": str(self.log_path),
                "ERL_CRASH_DUMP": str(self.folder / "erl_crash.dump"),
                "ERL_INETRC": str(self.folder / "inetrc"),
                "CONTRIB_MODULES_PATH": str(self.folder / "modules"),
            },
        )

    async def join(self, other: Ejabberd) -> None:
        """Become a node of the other's cluster, as by ``ejabberdctl join_cluster``.

        What this one had is lost, and it starts anew.
        """
        # In a process that does not end with ejabberd.
        leader = "group_leader(whereis(init), self())"
        self.evaluate(f"spawn(fun() -> {leader}, ejabberd_cluster:join('{other.node}') end).")
        try:
            async with asyncio.timeout(self._ready):
                while not (self._is_with(other) and await self._serves()):
                    if not self.running:
                        raise ServerError(self._story(f"ended while joining {other.node}"))
                    await asyncio.sleep(0.05)
        except TimeoutError as slow:
            raise ServerError(self._story(f"did not join {other.node}")) from slow

    def _is_with(self, other: Ejabberd) -> bool:
        with suppress(ServerError):  # while it starts anew
            nodes = self.evaluate("ejabberd_cluster:get_nodes().")
            return self.node in nodes and other.node in nodes
        return False

    def add_user(self, jid: str) -> None:
        """Register through mod_test_help."""
        user, _, host = jid.partition("@")
        self._help({"do": "user", "user": user, "host": host, "password": PASSWORD})

    def remove_user(self, jid: str) -> None:
        """Delete as ``ejabberdctl unregister`` does."""
        user, _, host = jid.partition("@")
        self.evaluate(f'ejabberd_auth:remove_user(<<"{user}">>, <<"{host}">>).')

    def set_roster(self, jid: str, entries: Sequence[RosterEntry]) -> None:
        """Write the entries through mod_roster."""
        user, _, host = jid.partition("@")
        items = [
            {
                "jid": entry.jid,
                "name": entry.name or "",
                "groups": list(entry.groups),
                "subscription": entry.subscription,
                "ask": _ASK[entry.ask, entry.pending],
            }
            for entry in entries
        ]
        self._help({"do": "roster", "user": user, "host": host, "items": items})

    def reload(self, extra: Mapping[str, str]) -> None:
        """Change ``spec.extra`` while it runs, as ``ejabberdctl reload_config`` does.

        Of a database, ejabberd would keep the connections that it had before.
        """
        had = "sql_type" in self.spec.extra
        self.spec.extra.clear()
        self.spec.extra.update(extra)
        self._configure()
        said = self.evaluate("ejabberd_config:reload().")
        if had:
            self.evaluate("[ejabberd_sql_sup:stop(Host) || Host <- ejabberd_option:hosts()].")
        if said != "ok":
            raise ServerError(self._story(f"does not take {extra}: {said}"))

    def _configure(self) -> None:
        # JSON is YAML.
        (self.folder / "ejabberd.yml").write_text(json.dumps(self._config(), indent=1))

    def evaluate(self, code: str) -> str:
        """Evaluate Erlang expressions inside the server; return the value as it prints."""
        return self._help({"do": "eval", "code": code})

    def _help(self, request: Mapping[str, object]) -> str:
        connection = http.client.HTTPConnection(self.spec.address, HELP_PORT, timeout=15.0)
        try:
            connection.request("POST", "/help", json.dumps(request).encode())
            answer = connection.getresponse()
            text = answer.read().decode()
        except OSError as error:
            raise ServerError(self._story(f"does not help: {error}")) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ServerError(self._story(f"cannot do {request}: {text}"))
        return text

    def _command(self) -> list[str]:
        interface = "{" + self.spec.address.replace(".", ",") + "}"
        return [
            *self._installation.launcher,
            "erl",
            *("-name", self.node, "-setcookie", self.cookie),
            *("-start_epmd", "false", "-erl_epmd_port", str(DIST_PORT)),
            *("-kernel", "inet_dist_use_interface", interface),
            *("-mnesia", "dir", json.dumps(str(self.folder / "spool"))),
            *("-pa", str(compiled(self._installation))),
            *("+K", "true", "+sbwt", "none", "-noinput", "-s", "ejabberd"),
        ]

    def _config(self) -> dict[str, object]:
        spec = self.spec
        modules: dict[str, object] = {name: dict(options) for name, options in _MODULES.items()}
        modules["mod_test_help"] = {
            "fault_path": str(self.folder / "faults"),
            "zone": [
                {"domain": domain.encode("idna").decode(), "address": address, "port": S2S_PORT}
                for domain, address in spec.zone.items()
            ],
        }
        hook = spec.hook
        if hook is not None:
            asked = hook.components or spec.components[:1]
            options: dict[str, object] = {"component": list(asked)}
            if hook.timeout is not None:
                # ejabberd's configuration knows whole seconds.
                options["timeout"] = math.ceil(hook.timeout)
            if hook.max_held is not None:
                options["max_held"] = hook.max_held
            modules["mod_moved_hook"] = options
        config: dict[str, object] = {
            "hosts": list(spec.hosts),
            "loglevel": "info",
            "hide_sensitive_log_data": False,
            "auth_method": ["internal"],
            "auth_password_format": "plain",
            "s2s_use_starttls": False,
            "outgoing_s2s_port": S2S_PORT,
            "outgoing_s2s_families": ["ipv4"],
            "outgoing_s2s_timeout": 10,
            "s2s_dns_retries": 1,
            "s2s_dns_timeout": 1,
            "listen": listeners(spec),
            "shaper": {},
            "access_rules": {"register": {"allow": "all"}},
            "modules": modules,
        }
        for key, value in spec.extra.items():
            _put(config, key.split("."), json.loads(value))
        return config


_ASK = {(False, False): "none", (True, False): "out", (False, True): "in", (True, True): "both"}


def listeners(spec: ServerSpec) -> list[dict[str, object]]:
    """Listeners on the server's own address.

    All components share one, which no admin should do: any of them may then write the address of
    any other into ``from``, and the hook has to tell them apart all the same.  ``global_routes``
    must be off, or each would get stanzas that are for another.  Clients may encrypt where there
    is a certificate.
    """
    tls = {"starttls": True} if "certfiles" in spec.extra else {}
    return [
        {"ip": spec.address, **rest}
        for rest in (
            {"port": C2S_PORT, "module": "ejabberd_c2s", "access": "all", **tls},
            {"port": S2S_PORT, "module": "ejabberd_s2s_in"},
            {
                "port": HELP_PORT,
                "module": "ejabberd_http",
                "request_handlers": {"/help": "mod_test_help", "/upload": "mod_http_upload"},
            },
            {
                "port": COMPONENT_PORT,
                "module": "ejabberd_service",
                "global_routes": False,
                "hosts": {name: {"password": COMPONENT_SECRET} for name in spec.components},
            },
        )
    ]


@cache
def compiled(installation: Installation) -> Path:
    """Compile hook and test modules (once per content); return the folder of the beam files."""
    sources = [*sorted(HOOK_SOURCES.glob("*.erl")), *sorted(_TEST_SOURCES.glob("*.erl"))]
    digest = sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    target = installation.root.with_name(f"{installation.root.name}-modules") / digest
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of our own first: another test run may be compiling the same.
    fresh = Path(mkdtemp(dir=target.parent))
    erlang, ejabberd = installation.libraries
    includes = [next(ejabberd.glob("ejabberd-*/include")), next(erlang.glob("fast_xml-*/include"))]
    done = subprocess.run(
        [
            *installation.launcher,
            "erlc",
            *(part for include in includes for part in ("-I", str(include))),
            # Erlang/OTP 29 warns of every "catch"; older ones do not know the option.
            *("-Werror", "+nowarn_deprecated_catch", "+debug_info", "-o", str(fresh)),
            *map(str, sources),
        ],
        env={**os.environ, "ERL_LIBS": f"{erlang}:{ejabberd}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise ServerError(f"the modules do not compile:\n{done.stdout}{done.stderr}")
    with suppress(OSError):
        fresh.rename(target)
    return target


def _put(tree: dict[str, object], path: Sequence[str], value: object) -> None:
    for part in path[:-1]:
        branch = tree.setdefault(part, {})
        if not isinstance(branch, dict):
            raise ServerError(f"{'.'.join(path)} leads through a value")
        tree = branch
    if value is None:
        tree.pop(path[-1], None)
    else:
        tree[path[-1]] = value


class Differences:
    """Makes the stanzas of an ejabberd look as the scenarios expect; to be called for each.

    - A subscription presence reaches a device with the device's full JID in ``to`` (ejabberd_sm);
      RFC 6121 section 3.1.3 leaves the bare JID.
    - mod_vcard_xupdate adds ``<x/>`` (XEP-0153) to what the users' devices send.
    - A request that begins to wait for an answer is pushed as a roster change although the entry
      looks as before (mod_roster keeps both in one record).
    - Own devices hear of the end of a device that never was available.
    - A change of the block list is pushed to the device that made it, as a privacy list (XEP-0016)
      too.
    """

    _PRIVACY = ("{jabber:iq:privacy}query", "{urn:xmpp:blocking}block")
    _SUBSCRIPTIONS = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], bytes] = {}
        self._available: set[tuple[str, str]] = set()

    def __call__(self, stanza: ET.Element) -> bool:
        """Change the stanza in place; True where no other server would have sent it."""
        if stanza.tag == "{jabber:client}presence":
            return self._presence(stanza)
        if stanza.tag != "{jabber:client}iq" or stanza.get("type") != "set":
            return False
        item = stanza.find("{jabber:iq:roster}query/{jabber:iq:roster}item")
        if item is None:
            return any(stanza.find(name) is not None for name in self._PRIVACY)
        key = stanza.get("to", ""), item.get("jid", "")
        shown = ET.tostring(item)
        again = self._shown.get(key) == shown and item.get("ask") is None
        self._shown[key] = shown
        return again

    def _presence(self, stanza: ET.Element) -> bool:
        kind, to, sender = (stanza.get(name, "") for name in ("type", "to", "from"))
        for child in stanza.findall("{vcard-temp:x:update}x"):
            stanza.remove(child)
        if kind in self._SUBSCRIPTIONS:
            stanza.set("to", to.partition("/")[0])
        elif not kind:
            self._available.add((to, sender))
        own = to.partition("/")[0] == sender.partition("/")[0]
        return kind == "unavailable" and own and (to, sender) not in self._available
