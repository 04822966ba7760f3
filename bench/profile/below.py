"""What Linux sees of a process: ``perf record``, switched on for some rounds only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

HERTZ = 499
"""Looks a second: no divisor of what servers do each second."""
_PATIENCE = 20.0
_ERLANG = re.compile(r"\$?(?:global::)?'?([a-z_][\w@]*)'?:\S+/\d+")
"""A function of Erlang, as the emulator writes it into the map for perf (``+JPperf map``)."""


class NoPerf(RuntimeError):
    """``perf`` is missing, or may not look."""


class Watched:
    """One process, for one of the ways; see :func:`watched`."""

    def __init__(self, data: Path, log: Path, process: Process, control: int, ack: int) -> None:
        self._data, self._log, self._process = data, log, process
        self._control, self._ack = control, ack

    async def switch(self, on: bool) -> None:
        """Look, or look away; returns once perf has said that it does.  Raises :class:`NoPerf`."""
        loop = asyncio.get_running_loop()
        said = asyncio.Event()
        loop.add_reader(self._ack, said.set)
        waiting = [
            asyncio.create_task(said.wait()),
            asyncio.create_task(self._process.wait()),
        ]
        try:
            os.write(self._control, b"enable\n" if on else b"disable\n")
            await asyncio.wait(waiting, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._ack)
            for task in waiting:
                task.cancel()
        if not said.is_set():
            raise NoPerf(f"perf does not look: {self._log.read_text().strip() or 'no answer'}")
        os.read(self._ack, 64)

    def samples(self) -> Counter[str]:
        """How often which part of the process was seen at work; once nobody looks any more."""
        answer = subprocess.run(
            [
                *("perf", "report", "-i", str(self._data), "--stdio", "-q", "--no-children"),
                *("-g", "none", "-F", "sample,dso,sym", "-t", "|"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode != 0:
            raise NoPerf(f"perf report: {answer.stderr.strip()}")
        found: Counter[str] = Counter()
        for line in answer.stdout.splitlines():
            count, _, rest = line.partition("|")
            library, _, symbol = rest.partition("|")
            if count.strip().isdigit():
                found[part_of(library.strip(), symbol.strip())] += int(count)
        return found


@contextlib.asynccontextmanager
async def watched(folder: Path, name: str, pid: int) -> AsyncIterator[Watched]:
    """Be ready to look at a process; switched off at first.  Raises :class:`NoPerf`.

    :param folder: where the samples go.
    :param name: tells them from others there.
    """
    program = shutil.which("perf")
    if program is None:
        raise NoPerf("there is no perf here: apt install linux-perf")
    data, log = folder / f"{name}.perf", folder / f"{name}.log"
    fifos = [folder / f"{name}.{kind}" for kind in ("control", "ack")]
    with contextlib.ExitStack() as stack:
        ends = []
        for path in fifos:
            os.mkfifo(path)
            # Linux opens a pipe for both ends without waiting for the other side (fifo(7)).
            ends.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
            stack.callback(os.close, ends[-1])
        process = await asyncio.create_subprocess_exec(
            *(program, "record", "-q", "-F", str(HERTZ), "-p", str(pid), "-o", str(data)),
            *("--delay", "-1", "--control", f"fifo:{fifos[0]},{fifos[1]}"),
            stdout=stack.enter_context(log.open("wb")),
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield Watched(data, log, process, *ends)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                await asyncio.wait_for(process.wait(), _PATIENCE)


def part_of(library: str, symbol: str) -> str:
    """What a sample counts for: a library, the kernel, or a module of Erlang."""
    kind, _, name = symbol.partition(" ")
    if kind == "[k]":
        return "kernel"
    erlang = _ERLANG.match(name)
    if erlang is not None:
        return f"{erlang[1]} (Erlang)"
    if library.endswith(".map") or library in ("[JIT]", "[unknown]"):
        return "Erlang's emulator"
    return library
