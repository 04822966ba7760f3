"""The import rule of docs/ARCHITECTURE.md: imports point inward, and the core touches nothing."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.unit.cases import cases

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "component"

# What a top folder may not import: the fakes in sim know the package alone.
NEVER: dict[str, set[str]] = {
    "component": {"sim", "tests", "bench", "docs"},
    "sim": {"tests", "bench", "docs"},
    "bench": {"tests.unit", "docs"},
}
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
    "checks": {"core", "config", "engine", "store", "xmpp", "hooks", "settings"},
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
    "re",
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
            if node.module.count(".") <= 1:
                subs = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {s for s in subs if is_ours(s)} or {node.module}
            else:
                found.add(node.module)
    return found


def is_ours(module: str) -> bool:
    """Whether a dotted name is a module or package of the project."""
    path = ROOT.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def room(path: Path) -> str:
    """The folder or file just below the package."""
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


FILES = sorted(path for path in PACKAGE.rglob("*.py"))


def is_one_of(module: str, may: set[str]) -> bool:
    """Whether it is one of them, or below one."""
    return any(module == one or module.startswith(one + ".") for one in may)


def test_fakes_and_measurements_know_no_tests() -> None:
    with cases() as case:
        for folder, never in NEVER.items():
            for path in (ROOT / folder).rglob("*.py"):
                for module in imports(path):
                    with case(f"{path} imports {module}"):
                        assert not is_one_of(module, set(never))


def test_imports_point_inward() -> None:
    with cases() as case:
        for path in FILES:
            here = room(path)
            for module in imports(path):
                with case(f"{path.relative_to(PACKAGE)} imports {module}"):
                    parts = module.split(".")
                    if parts[0] == "component" and len(parts) > 1:
                        assert parts[1] == here or parts[1] in ALLOWED[here]
                    if here == "engine" and is_one_of(
                        module, {"component.xmpp", "component.store"}
                    ):
                        assert module in ENGINE_MAY


def test_the_core_is_pure() -> None:
    with cases() as case:
        for path in sorted((PACKAGE / "core").glob("*.py")):
            for module in imports(path):
                with case(f"{path.name} imports {module}"):
                    assert is_one_of(module, CORE_MAY | {"component.core"})


def test_the_account_is_pure() -> None:
    with cases() as case:
        for path in sorted((PACKAGE / "account").glob("*.py")):
            ours = {"component.account", "component.core"}
            parses = {"lxml"} if path.stem in ("read", "write") else set()
            for module in imports(path):
                with case(f"{path.name} imports {module}"):
                    assert is_one_of(module, ACCOUNT_MAY | ours | parses)
