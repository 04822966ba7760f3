"""A book of deaths, added up."""

from __future__ import annotations

from pathlib import Path

from bench.deaths import write
from tests.live.crash.campaign import Book, Trial


def test_deaths_are_added_up_by_point_and_server(tmp_path: Path) -> None:
    book = tmp_path / "book.jsonl"
    first, other = Book(book, "prosody-0.12"), Book(book, "ejabberd-24.12")
    first.add("Move", ["before a", "after a"])
    first.add("Asking", ["before a"])
    first.fail(Trial("Move", ()), "no good end")
    other.add("Move", ["after b"])
    assert write(book, tmp_path).read_text().splitlines() == [
        "point,prosody-0.12,ejabberd-24.12",
        "after a,1,0",
        "after b,0,1",
        "before a,2,0",
    ]
