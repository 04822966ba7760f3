"""The deaths in a book of the crash campaign, by point and server: ``bench/results/deaths.csv``."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from bench import parts
from tests.live.crash.campaign import Book
from tests.live.servers.differences import KINDS


def write(book: Path, folder: Path = parts.FOLDER) -> Path:
    """Write the table: a row for each point, a column for each server; returns its path."""
    found = {server: Book(book, server).deaths() for server in KINDS}
    servers = [server for server, deaths in found.items() if deaths]
    path = folder / "deaths.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["point", *servers])
        for point in sorted(set().union(*found.values())):
            rows.writerow([point, *(found[server][point] for server in servers)])
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.deaths", description=__doc__)
    parser.add_argument("book", type=Path, help="of tests.live.crash.campaign --book")
    print(write(parser.parse_args().book))


if __name__ == "__main__":
    main()
