"""What is written down about the program stays in step with it: man page, DOAP, Containerfile."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

import component

ROOT = Path(__file__).parents[3]
PACKAGING = ROOT / "packaging"
DOAP = "{http://usefulinc.com/ns/doap#}"
XMPP = "{https://linkmauve.fr/ns/xmpp-doap#}"
RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"


def man() -> Any:
    """The script that writes the manual page."""
    spec = importlib.util.spec_from_file_location("man_page", PACKAGING / "man.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_man_page_is_what_the_commands_say() -> None:
    page = (PACKAGING / "xmpp-moved.1").read_text()
    assert page == man().page(), "run: python packaging/man.py"
    for command in ("run", "moves", "db backup", "db restore", "hook ejabberd"):
        assert f"\n.SS xmpp-moved {command} " in page.replace("\\-", "-")


@pytest.mark.skipif(shutil.which("man") is None, reason="no man")
def test_the_man_page_is_sound() -> None:
    done = subprocess.run(
        ["man", "--warnings", "--encoding=UTF-8", "-l", str(PACKAGING / "xmpp-moved.1")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == ""
    assert "xmpp-moved db backup [OPTIONS] FILE" in done.stdout
    assert "\\f" not in done.stdout


def cited() -> set[str]:
    """Numbers of the XEPs that the code cites."""
    kinds = ("*.py", "*.lua", "*.erl")
    files = [file for kind in kinds for file in Path(component.__file__).parent.rglob(kind)]
    return {n for file in files for n in re.findall(r"XEP-(\d{4})", file.read_text())}


def test_the_doap_file_lists_what_the_code_cites() -> None:
    tree = etree.parse(PACKAGING / "xmpp-moved.doap")
    listed: list[str] = []
    for one in tree.iter(f"{XMPP}SupportedXep"):
        where = one.find(f"{XMPP}xep")
        assert where is not None
        match = re.fullmatch(
            r"https://xmpp\.org/extensions/xep-(\d{4})\.html", where.get(RESOURCE) or ""
        )
        assert match is not None
        listed.append(match[1])
        assert one.findtext(f"{XMPP}status") in ("complete", "partial", "planned")
    assert listed == sorted(set(listed))
    # In a catalog, XEP-0227 is named only where users read of it.
    assert set(listed) == cited() | {"0227"}


def test_the_doap_file_has_what_a_list_of_software_needs() -> None:
    project = etree.parse(PACKAGING / "xmpp-moved.doap").find(f"{DOAP}Project")
    assert project is not None
    for element in ("name", "shortdesc", "description", "programming-language", "license"):
        assert project.find(f"{DOAP}{element}") is not None, element


def test_the_container_file_copies_what_exists_and_starts_the_command() -> None:
    text = (PACKAGING / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    for words in lines:
        if words[0] == "COPY" and not words[1].startswith("--from"):
            assert all((ROOT / source).exists() for source in words[1:-1])
    by_name = {words[0]: words[1:] for words in lines}
    assert by_name["ENTRYPOINT"] == ['["xmpp-moved"]']
    # By number, so that whoever runs it can see that it is not root, and owns the secret for it.
    user = by_name["USER"][0].partition(":")[0]
    assert user.isdecimal()
    assert f"--uid {user} " in text
    assert f"install -o {user} " in text
    bases = [words[1] for words in lines if words[0] == "FROM"]
    assert set(bases) == {"${BASE}"}
    assert re.fullmatch(r"BASE=debian:12-slim@sha256:[0-9a-f]{64}", by_name["ARG"][0])
    # podman's own format would drop it.
    assert "HEALTHCHECK" in by_name
    assert "podman build --format docker " in text
    assert by_name["STOPSIGNAL"] == ["SIGTERM"]
    assert 'xmpp-moved = "component.ui.cli:main"' in (ROOT / "pyproject.toml").read_text()
