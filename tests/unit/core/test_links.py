"""Links of users that are followed, and all the others."""

from __future__ import annotations

import pytest

from component.core.links import MOST_CHARACTERS, is_link, same_storage

SLOT = "https://upload.capulet.example:5281/file_share/0190-slot/probe.xml"
EJABBERD = "http://127.0.0.9:5443/upload/5f3e/slot/probe.xml"


@pytest.mark.parametrize(
    ("link", "slot", "url"),
    [
        (
            "https://upload.capulet.example:5281/file_share/abc/juliet.xml",
            SLOT,
            "https://upload.capulet.example:5281/file_share/abc/juliet.xml",
        ),
        # Written otherwise, and the same: what is asked for has the slot's spelling.
        (
            "HTTPS://UPLOAD.Capulet.example:5281/file_share/abc/j%20%C3%BC.xml",
            SLOT,
            "https://upload.capulet.example:5281/file_share/abc/j%20%C3%BC.xml",
        ),
        (
            "https://upload.capulet.example:5281/file_share/abc/jü.xml",
            SLOT,
            "https://upload.capulet.example:5281/file_share/abc/j%C3%BC.xml",
        ),
        ("https://u.example:443/abc/j.xml", "https://u.example/x/p", "https://u.example/abc/j.xml"),
        (
            "https://xn--bcher-kva.example/a/j.xml",
            "https://bücher.example/x/p",
            "https://bücher.example/a/j.xml",
        ),
        ("http://127.0.0.9:5443/upload/5f3e/a/j.xml", EJABBERD, None),
    ],
)
def test_followed(link: str, slot: str, url: str | None) -> None:
    assert same_storage(link, slot) == (url or link)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example:5281/file_share/abc/j.xml",
        "https://upload.capulet.example/file_share/abc/j.xml",
        "https://upload.capulet.example:443/file_share/abc/j.xml",
        "https://upload.capulet.example:52810/file_share/abc/j.xml",
        "https://upload.capulet.example:/file_share/abc/j.xml",
        "https://upload.capulet.example:x/file_share/abc/j.xml",
        "http://upload.capulet.example:5281/file_share/abc/j.xml",
        "ftp://upload.capulet.example:5281/file_share/abc/j.xml",
        "file:///etc/passwd",
        "file://upload.capulet.example:5281/file_share/abc/j.xml",
        "//upload.capulet.example:5281/file_share/abc/j.xml",
        "upload.capulet.example:5281/file_share/abc/j.xml",
        "https://127.0.0.1:5281/file_share/abc/j.xml",
        "https://2130706433:5281/file_share/abc/j.xml",
        "https://[::1]:5281/file_share/abc/j.xml",
        "https://[::1/file_share/abc/j.xml",
        "https://user@upload.capulet.example:5281/file_share/abc/j.xml",
        "https://user:pw@upload.capulet.example:5281/file_share/abc/j.xml",
        "https://upload.capulet.example:5281@evil.example/file_share/abc/j.xml",
        "https://evil.example\\@upload.capulet.example:5281/file_share/abc/j.xml",
        "https://upload.capulet.example:5281\\@evil.example/file_share/abc/j.xml",
        "https://upload.capulet.example.evil.example:5281/file_share/abc/j.xml",
        "https://upload.capulet.example.:5281/file_share/abc/j.xml",
        "https://upload.capulet.example%2eevil.example:5281/file_share/abc/j.xml",
        "https://upload.capulet.example:5281/admin/abc/j.xml",
        "https://upload.capulet.example:5281/file_shared/abc/j.xml",
        "https://upload.capulet.example:5281/FILE_SHARE/abc/j.xml",
        "https://upload.capulet.example:5281/file_share/j.xml",
        "https://upload.capulet.example:5281/file_share/abc/deep/j.xml",
        "https://upload.capulet.example:5281/file_share/abc/",
        "https://upload.capulet.example:5281/file_share//j.xml",
        "https://upload.capulet.example:5281//file_share/abc/j.xml",
        "https://upload.capulet.example:5281/file_share/../admin",
        "https://upload.capulet.example:5281/file_share/abc/..",
        "https://upload.capulet.example:5281/file_share/%2e%2e/j.xml",
        "https://upload.capulet.example:5281/file_share/%252e%252e/j.xml",
        "https://upload.capulet.example:5281/file_share/abc/..%2f..%2fadmin",
        "https://upload.capulet.example:5281/file_share/abc/a%5cb",
        "https://upload.capulet.example:5281/file_share/abc/a%00b",
        "https://upload.capulet.example:5281/file_share/abc/%25252525252e",
        "https://upload.capulet.example:5281/file_share/abc/j.xml?to=evil",
        "https://upload.capulet.example:5281/file_share/abc/j.xml?",
        "https://upload.capulet.example:5281/file_share/abc/j.xml#part",
        "https://upload.capulet.example:5281/file_share/abc/j\n.xml",
        "https://upload.capulet.example:5281/file_share/abc/j\u202e.xml",
        "https://upload.capulet.example:5281/file_share/abc/j .xml",
        "https://upload.capulet.example:5281",
        "https://",
        "",
        f"https://upload.capulet.example:5281/file_share/abc/{'j' * MOST_CHARACTERS}",
    ],
)
def test_not_followed(link: str) -> None:
    assert same_storage(link, SLOT) is None


@pytest.mark.parametrize("slot", ["", "https://u.example/", "https://u.example/one", "u/x/p"])
def test_a_slot_that_is_no_slot(slot: str) -> None:
    for link in ("https://u.example/one", "https://u.example/a/b", "https://u.example/", slot):
        assert same_storage(link, slot) is None


def test_others_files_on_ejabberd() -> None:
    """Its addresses have the uploader in them: only the user's own files are theirs to bring."""
    assert same_storage("http://127.0.0.9:5443/upload/5f3f/a/j.xml", EJABBERD) is None


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("https://u.example/a", True),
        ("HTTP://u.example/a", True),
        ("file:///etc/passwd", False),
        ("look: https://u.example/a", False),
        ("https://u.example/a and more", False),
        ("https://", False),
        ("away", False),
        ("", False),
    ],
)
def test_what_is_a_link(text: str, link: bool) -> None:
    assert is_link(text) is link
