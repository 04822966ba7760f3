"""The import rule of docs/ARCHITECTURE.md: imports point inward, and the core touches nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "component"

# Who may import whom, by the first folder or file below the package.
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "account": {"core"},
    "config": {"core"},
    "xmpp": {"core"},
    "store": {"core"},
    "hooks": set(),
    "engine": {"core", "account", "xmpp", "store"},
    "ops": {"core", "engine"},
    "web": {"core", "engine"},
    "client": {"core", "account", "engine", "xmpp"},
    "ui": {
        *("core", "account", "client", "config", "engine", "store", "xmpp", "hooks", "ops"),
        *("process", "checks"),
    },
    "demo": {"core", "store", "hooks"},
    "app": {"core", "config", "engine", "store", "xmpp", "ops", "ui", "settings", "moverside"},
    "moverside": {"core", "config", "engine", "store", "xmpp", "ui", "web", "settings"},
    "process": {"config", "store", "ops", "app"},
    "checks": {"core", "config", "engine", "store", "xmpp", "settings"},
    "settings": {"core", "config", "engine", "xmpp"},
    "__main__": {"ui"},
    "__init__": set(),
}
# What of the engine's surroundings it may name: codecs and errors, not streams or databases.
ENGINE_MAY = {
    "component.xmpp.codecs",
    "component.xmpp.errors",
    "component.xmpp.mover_codecs",
    "component.xmpp.names",
    "component.xmpp.pubsub",
    "component.store.errors",
    "component.store.shared",
}
CORE_MAY = {
    "__future__",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "json",
    "slixmpp.jid",
    "typing",
    "urllib.parse",
}

# An account's files are XML on open files: no sockets, no loop, no database.
ACCOUNT_MAY = {
    "__future__",
    "base64",
    "binascii",
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "enum",
    "fnmatch",
    "hashlib",
    "io",
    "itertools",
    "re",
    "typing",
    "xml.etree.ElementTree",
    "zlib",
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever it does so."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            assert node.module is not None
            if node.module == "component" or node.module.count(".") == 1:
                subs = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {s for s in subs if is_ours(s)} or {node.module}
            else:
                found.add(node.module)
    return found


def is_ours(module: str) -> bool:
    """Whether a dotted name is a module or package of the project."""
    path = ROOT.joinpath(*module.split("."))
    return module.startswith("component") and (path.is_dir() or path.with_suffix(".py").is_file())


def room(path: Path) -> str:
    """The folder or file just below the package."""
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


FILES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_inward(path: Path) -> None:
    here = room(path)
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "component" and len(parts) > 1:
            assert parts[1] == here or parts[1] in ALLOWED[here], f"{here} may not import {module}"
        if here == "engine" and module.startswith(("component.xmpp", "component.store")):
            assert module in ENGINE_MAY, f"the engine may not import {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda p: p.name)
def test_the_core_is_pure(path: Path) -> None:
    for module in imports(path):
        if not module.startswith("component.core"):
            pure = any(module == may or module.startswith(may + ".") for may in CORE_MAY)
            assert pure, f"the core may not import {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "account").glob("*.py")), ids=lambda p: p.name)
def test_the_account_is_pure(path: Path) -> None:
    parses = path.stem in ("read", "write")
    for module in imports(path):
        if not module.startswith(("component.account", "component.core")):
            pure = any(module == may or module.startswith(may + ".") for may in ACCOUNT_MAY)
            assert pure or (parses and module.startswith("lxml")), f"account: {module}"
