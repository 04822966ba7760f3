"""The machines of the test: servers as Debian and Snikket configure them, and their domains."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.certificates import Authority
from tests.machines import readme, snikket
from tests.machines.machine import CACHE, ROOT, Machine, MachineError, Network, inside, layers
from tests.machines.people import Somebody

T = TypeVar("T")
_DAY = 86400.0
PASSWORD = "wherefore art thou"
_SOURCES = (
    "component",
    "packaging",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "config.example.toml",
)
DATA = (
    "/dev",
    "/etc/.pwd.lock",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
    "/proc",
    "/root",
    "/run",
    "/tmp",
    "/var/cache",
    "/var/lib/dpkg",
    "/var/lib/apt",
    "/var/lib/systemd",
    "/var/log",
    "/var/tmp",
)
"""What changes on any machine by itself, and is left out where before and after are compared."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A server in the version that a suite has.

    :ivar domain: not one below "test.", which Prosody's resolver (libunbound) says does not exist.
    :ivar block: the README's block that installs us beside it; those that update and remove have
        this name behind ``update-`` and ``remove-``.
    :ivar data: what the server writes while users use it.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    domain: str
    block: str
    unit: str
    data: tuple[str, ...]

    @property
    def layers(self) -> tuple[Path, Path]:
        """Its root; see :func:`~tests.machines.machine.layers`."""
        return layers(self.suite, self.name, self.packages)


_PYTHON = ("python3-venv",)
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "prosody-0.12",
            "bookworm",
            ("prosody", *_PYTHON),
            "montague.example",
            "prosody",
            "prosody",
            ("/var/lib/prosody/*",),
        ),
        Kind(
            "prosody-13.0",
            "trixie",
            ("prosody", *_PYTHON),
            "capulet.example",
            "prosody",
            "prosody",
            ("/var/lib/prosody/*",),
        ),
        Kind(
            "ejabberd-24.12",
            "trixie",
            ("ejabberd", *_PYTHON),
            "verona.example",
            "ejabberd",
            "ejabberd",
            ("/var/lib/ejabberd/[!.]*",),
        ),
        Kind(
            "snikket",
            "trixie",
            ("prosody", "prosody-modules", *_PYTHON),
            "mantua.example",
            "snikket",
            "prosody",
            ("/snikket/prosody/*%2e*", "/snikket/prosody/*.sock", "/var/lib/prosody/*"),
        ),
    )
}


@functools.cache
def sources() -> Path:
    """A copy of the tree that is tested, without what builds leave in one; named by its content."""
    made = Path(tempfile.mkdtemp(prefix="source-", dir=CACHE))
    for name in _SOURCES:
        here = ROOT / name
        if here.is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(here, made / name, ignore=leave)
        else:
            shutil.copy(here, made / name)
    content = hashlib.sha256()
    for file in sorted(path for path in made.rglob("*") if path.is_file()):
        content.update(str(file.relative_to(made)).encode() + b"\0" + file.read_bytes())
    folder = CACHE / f"source-{content.hexdigest()[:16]}"
    if folder.exists():
        shutil.rmtree(made)
    else:
        made.rename(folder)
    return folder


@functools.cache
def package(suite: str) -> Path:
    """A folder with the Debian package of the tree that is tested, built in that suite."""
    source, cache = sources(), CACHE / "pip"
    folder = CACHE / f"{source.name.replace('source', 'dist')}-{suite}"
    if [*folder.glob("*.deb")]:
        return folder
    for old in (*CACHE.glob("dist-*"), *CACHE.glob("source-*")):
        # Not those of a run beside this one.
        if old not in (source, folder) and time.time() - old.stat().st_mtime > _DAY:
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    cache.mkdir(exist_ok=True)
    inside(
        layers(suite, "build", _PYTHON),
        "export PIP_CACHE_DIR=/srv/cache LEVEL=1\n/srv/source/packaging/build-deb.sh /srv/dist",
        folders={source: "/srv/source", folder: "/srv/dist", cache: "/srv/cache"},
    )
    return folder


_DOCKER = """#!/bin/sh
# A stand-in: the container's data are in /snikket, and its Prosody is this machine's.
case "$1 $*" in
inspect*Mounts*) echo /snikket ;;
"restart restart snikket") systemctl restart prosody ;;
*) echo "docker: not known to this stand-in: $*" >&2; exit 1 ;;
esac
"""


class House:
    """A machine with a server that somebody runs already, its domain, and its users."""

    def __init__(self, world: World, kind: Kind) -> None:
        self.kind = kind
        self.domain = kind.domain
        self.component = f"moved.{kind.domain}"
        self._world = world
        self.machine = Machine(
            world.network,
            kind.name.replace(".", "-"),
            kind.domain,
            kind.layers,
            files={
                "/usr/local/share/ca-certificates/test.crt": world.authority.file.read_text(),
            },
            shared={package(kind.suite): "/srv/dist"},
        )

        self.before: dict[str, str] = {}
        """What :meth:`state` was when :meth:`remember` was called."""
        self.had: frozenset[str] = frozenset()
        """The server's modules then."""
        self.installed = False

    def remember(self) -> None:
        """Keep what the machine is, to compare with later."""
        self.before = self.state()
        self.had = self.modules()

    def needs_installation(self) -> None:
        """Skip a test where the block that installs us did not work: it has failed already."""
        if not self.installed:
            pytest.skip(f"xmpp-moved is not installed on {self.kind.name}")

    def set_up(self) -> None:
        """Boot it, and make the server what an administrator has: a domain with a certificate."""
        self.machine.boot()
        parts = (self.domain, f"groups.{self.domain}", f"share.{self.domain}")
        made = self._world.authority.issue(self.kind.name, *parts)
        chain, key = made.chain.read_text(), made.key.read_text()
        if self.kind.unit == "ejabberd":
            self._set_up_ejabberd(key + chain)
        else:
            self._set_up_prosody(chain, key)

    def _set_up_ejabberd(self, both: str) -> None:
        machine, config = self.machine, "/etc/ejabberd/ejabberd.yml"
        text = machine.read(config)
        assert "\nhosts:\n  - localhost\n" in text, text[:2000]
        machine.run(
            *("sed", "-i", f"s/^  - localhost$/  - {self.domain}/", config),
        )
        machine.write("/etc/ejabberd/ejabberd.pem", both)
        machine.sh(
            "chown root:ejabberd /etc/ejabberd/ejabberd.pem; chmod 640 /etc/ejabberd/ejabberd.pem"
        )
        machine.sh("systemctl restart ejabberd")
        machine.until("ejabberdctl status", "ejabberd")

    def _set_up_prosody(self, chain: str, key: str) -> None:
        machine = self.machine
        names = [self.domain]
        if self.kind.name == "snikket":
            names += [f"groups.{self.domain}", f"share.{self.domain}"]
            self._stand_in()
        else:
            machine.write(
                f"/etc/prosody/conf.d/{self.domain}.cfg.lua", f'VirtualHost "{self.domain}"\n'
            )
        for name in names:
            machine.write(f"/etc/prosody/certs/{name}.crt", chain)
            machine.write(f"/etc/prosody/certs/{name}.key", key)
            machine.sh(
                f"cd /etc/prosody/certs; chgrp prosody {name}.key; chmod 640 {name}.key",
            )
        machine.sh("systemctl restart prosody")
        machine.until(f"prosodyctl shell module list {self.domain}", "Prosody")

    def _stand_in(self) -> None:
        """Snikket's configuration, and modules for those that Debian's Prosody has not."""
        machine = self.machine
        machine.sh("install -d -o prosody -g prosody /snikket/prosody /etc/prosody/modules")
        machine.write("/etc/prosody/prosody.cfg.lua", snikket.config(self.domain))
        machine.write(
            "/etc/systemd/system/prosody.service.d/snikket.conf",
            f"[Service]\nEnvironment=SNIKKET_DOMAIN={self.domain}\nReadWritePaths=/snikket\n",
        )
        there = machine.sh(
            "cd /usr/lib/prosody/modules; find -L . -name 'mod_*' | sed 's#.*/mod_##; s#\\.lua$##'"
        ).split()
        machine.write("/usr/local/bin/docker", _DOCKER)
        machine.sh("chmod 755 /usr/local/bin/docker")
        for name in (*snikket.MODULES, *snikket.HOST_MODULES):
            if name not in there:
                body = snikket.REFUSAL if name == "restrict_federation" else "-- a stand-in\n"
                machine.write(f"/etc/prosody/modules/mod_{name}.lua", body)
        machine.sh("systemctl daemon-reload")

    def version(self) -> str:
        """Server and system, as their packages say."""
        server = "ejabberd" if self.kind.unit == "ejabberd" else "prosody"
        found = self.machine.sh(
            f"dpkg-query -W -f '${{Package}} ${{Version}}' {server}; . /etc/os-release; "
            'echo ", Debian $VERSION_ID"'
        )
        return found.strip()

    def modules(self) -> frozenset[str]:
        """The modules that the users' host has."""
        if self.kind.unit == "ejabberd":
            self.machine.sh("ejabberdctl dump_config /var/lib/ejabberd/dumped.yml")
            dumped = yaml.safe_load(self.machine.read("/var/lib/ejabberd/dumped.yml"))
            parts = [dumped, dumped.get("host_config", {}).get(self.domain, {})]
            return frozenset(name for part in parts for name in part.get("modules", {}))
        said = self.machine.sh(f"prosodyctl shell module list {self.domain}")
        return frozenset(re.findall(r"^[|\s]+(\w+)$", said, re.MULTILINE))

    # What an administrator does ---------------------------------------------------------------

    def block(self, name: str) -> str:
        """Paste a block of the README; returns what was said."""
        try:
            return self.machine.sh(readme.block(name, self.domain), timeout=600)
        except MachineError as error:
            logged = self.machine.journal("xmpp-moved") + self.machine.journal(self.kind.unit)
            raise MachineError(f"{error}\n{logged}") from None

    def command(self, *words: str, check: bool = True) -> str:
        """Run xmpp-moved as root; returns what it printed, on both ways."""
        program = "$(command -v xmpp-moved || echo /opt/xmpp-moved/bin/xmpp-moved)"
        script = f"exec 2>&1; exec {program} {' '.join(words)}"
        done = self.machine.run("bash", "-c", script, check=False)
        assert done.returncode == 0 or not check, f"{self.kind.name}: {done.stdout}"
        return done.stdout

    def state(self) -> dict[str, str]:
        """All that was changed on this machine, but for what changes by itself."""
        return self.machine.changes((*DATA, *self.kind.data))

    def add_user(self, name: str) -> None:
        """Make an account, as an administrator does."""
        tool = "ejabberdctl" if self.kind.unit == "ejabberd" else "prosodyctl"
        self.machine.run(tool, "register", name, self.domain, PASSWORD)

    def somebody(self, name: str, *, approves: bool = False) -> Somebody:
        """A client of an account, in the event loop that runs; it has to begin."""
        return Somebody(
            f"{name}@{self.domain}",
            self.machine.address,
            PASSWORD,
            self._world.authority.file,
            approves=approves,
        )


class World:
    """The network, whom all machines trust, and the machines; a context manager by its stack."""

    def __init__(self, folder: Path) -> None:
        self.network = Network()
        self.authority = Authority(folder / "authority")
        self.houses: dict[str, House] = {}
        self._stack = ExitStack()

    def open(self) -> None:
        """Make the network."""
        self._stack.enter_context(self.network)

    def close(self) -> None:
        """Stop all machines, and undo the network."""
        self._stack.close()

    def house(self, name: str) -> House:
        """The machine of a kind with its server, booted where it is not."""
        if name not in self.houses:
            house = House(self, KINDS[name])
            self._stack.callback(house.machine.stop)
            house.set_up()
            self.houses[name] = house
        return self.houses[name]

    def machine(self, suite: str, packages: Sequence[str], domain: str) -> Machine:
        """A bare machine of a suite, booted; it stops with the world."""
        name = f"bare-{suite}"
        machine = Machine(
            self.network,
            name,
            domain,
            layers(suite, "bare", packages),
            files={"/usr/local/share/ca-certificates/test.crt": self.authority.file.read_text()},
        )
        self._stack.callback(machine.stop)
        machine.boot()
        return machine

    def plays(self, play: Coroutine[Any, Any, T]) -> T:
        """Run what people do, in the network of the machines."""
        with self.network.inside():
            return asyncio.run(play)
