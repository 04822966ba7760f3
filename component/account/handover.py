"""A parcel: an account's file on its way from one server to another (docs/handover.md).

The file is compressed as one stream (zlib, RFC 1950) and cut into chunks; a manifest says what
they must be.  :func:`pack` makes a parcel, :class:`Unpacker` puts one together again and believes
nothing that the manifest does not say, and nothing of the manifest that is beyond the bounds here.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, BinaryIO

from component.core import jids

CHUNK_BYTES = 45_000
"""The largest chunk: 60,000 characters of base64, which with the hook's query around them stay
below 64 KiB.  Servers take 256 KiB from clients and 512 KiB from components and other servers
(Prosody 0.12 and 13.0, ejabberd 24.12), older configurations of ejabberd 64 KiB."""
MAX_CHUNKS = 250
"""Prosody keeps 256 items of a node at most, whatever is asked for (0.12.3, 13.0.1)."""
MAX_BYTES = 100 * 1024 * 1024
"""The largest file, unpacked."""
LIFETIME = timedelta(days=7)
SKEW = timedelta(days=1)
"""How far apart the clocks of two servers may be."""
VERSION = "0"
_INPUT = 65_536


class Fault(StrEnum):
    """What is wrong with a parcel; the values are stable."""

    FORMAT = "format"
    VERSION = "version"
    OTHER_JIDS = "other-jids"
    EXPIRED = "expired"
    TOO_LARGE = "too-large"
    OTHER_PARCEL = "other-parcel"
    SURPLUS = "surplus"
    TRUNCATED = "truncated"
    OVERSIZE = "oversize"
    TAMPERED = "tampered"
    TWICE = "twice"
    INCOMPLETE = "incomplete"


class BadParcel(Exception):
    """A parcel, or a part of one, is refused.

    :ivar fault: what kind of thing is wrong.
    :ivar chunk: the number of the chunk that is refused, None where it is the whole.
    :ivar text: what is wrong, in words.
    """

    def __init__(self, fault: Fault, text: str, chunk: int | None = None) -> None:
        super().__init__(f"chunk {chunk}: {text}" if chunk is not None else text)
        self.fault = fault
        self.chunk = chunk
        self.text = text


def parcel_id(sha256: str) -> str:
    """Tells a parcel's chunks from those of another: 16 digits of the file's hash."""
    return sha256[:16]


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """What a chunk has to be: its size in bytes, and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a parcel holds, whose it is, for whom, and until when.

    :ivar old: the bare JID of the account whose file it is.
    :ivar new: the bare JID of the account that may have it.
    :ivar made: when, in UTC, to the second.
    :ivar expires: from when on nobody may use it.
    :ivar size: of the file, in bytes, unpacked.
    :ivar sha256: of the file, in hexadecimal.
    :ivar chunks: in their order.
    """

    old: str
    new: str
    made: datetime
    expires: datetime
    size: int
    sha256: str
    chunks: tuple[ChunkInfo, ...]

    @property
    def id(self) -> str:
        """See :func:`parcel_id`."""
        return parcel_id(self.sha256)

    @property
    def compressed(self) -> int:
        """Bytes of all chunks together."""
        return sum(chunk.size for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A manifest, and what it speaks of."""

    manifest: Manifest
    chunks: tuple[bytes, ...]


def pack(data: bytes, old: str, new: str, now: datetime) -> Parcel:
    """Make a parcel.  Equal arguments give equal parcels.

    :param data: a file of XEP-0227.
    :param old: whose it is; ``new``: who may have it; both prepared bare JIDs.
    :param now: UTC.
    :raises BadParcel: the file is too large for a hand-over.
    :raises ValueError: an address is none, both are the same, or ``now`` has no zone.
    """
    if jids.bare(old) != old or jids.bare(new) != new or jids.key(old) == jids.key(new):
        raise ValueError(f"{old!r} and {new!r} are not the bare JIDs of two accounts")
    if now.tzinfo is None:
        raise ValueError("a time without a zone")
    if len(data) > MAX_BYTES:
        raise BadParcel(Fault.TOO_LARGE, f"the file has more than {MAX_BYTES} bytes")
    compressed = zlib.compress(data, 9)
    chunks = tuple(
        compressed[start : start + CHUNK_BYTES] for start in range(0, len(compressed), CHUNK_BYTES)
    )
    if len(chunks) > MAX_CHUNKS:
        most = MAX_CHUNKS * CHUNK_BYTES
        raise BadParcel(
            Fault.TOO_LARGE,
            f"the file has {len(compressed)} bytes even compressed, and {most} are the most",
        )
    infos = tuple(ChunkInfo(len(chunk), sha256(chunk).hexdigest()) for chunk in chunks)
    made = now.replace(microsecond=0)
    digest = sha256(data).hexdigest()
    manifest = Manifest(old, new, made, made + LIFETIME, len(data), digest, infos)
    return Parcel(manifest, chunks)


class Unpacker:
    """Puts a parcel together, from chunks in any order, at once or in several goes.

    :param manifest: as :func:`component.account.parcels.read_manifest` gives it.
    :param old: the account that was asked for it; ``new``: whoever asked; prepared bare JIDs.
    :param now: UTC.
    :raises BadParcel: it is for or from somebody else, has expired, or is beyond the bounds.
    """

    def __init__(self, manifest: Manifest, old: str, new: str, now: datetime) -> None:
        _check(manifest, old, new, now)
        self.manifest = manifest
        self._chunks: dict[int, bytes] = {}

    @property
    def missing(self) -> Sequence[int]:
        """Numbers of the chunks that have not come, in their order."""
        return [n for n in range(len(self.manifest.chunks)) if n not in self._chunks]

    def take(self, parcel: str, number: int, data: bytes) -> bool:
        """Take a chunk; False where it had come already.

        :param parcel: the id of the parcel that it says it is of.
        :raises BadParcel: it is not what the manifest says; what has come before stays.
        """
        if parcel != self.manifest.id:
            raise BadParcel(Fault.OTHER_PARCEL, "it is of another parcel", number)
        if not 0 <= number < len(self.manifest.chunks):
            count = len(self.manifest.chunks)
            raise BadParcel(Fault.SURPLUS, f"there should be {count} only", number)
        wanted = self.manifest.chunks[number]
        known = self._chunks.get(number)
        if known is not None and known != data:
            raise BadParcel(Fault.TWICE, "it came twice, and differs", number)
        if len(data) != wanted.size:
            fault = Fault.TRUNCATED if len(data) < wanted.size else Fault.OVERSIZE
            raise BadParcel(fault, f"it has {len(data)} bytes instead of {wanted.size}", number)
        if sha256(data).hexdigest() != wanted.sha256:
            raise BadParcel(Fault.TAMPERED, "it is not what the manifest says (SHA-256)", number)
        self._chunks[number] = data
        return known is None

    def check(self, now: datetime) -> None:
        """See to it that the file is what the manifest says, once all chunks are there.

        :param now: UTC.
        :raises BadParcel: some are missing, it has expired meanwhile, or what is in them is not
            what the manifest says.
        """
        _fresh(self.manifest, now)
        if self.missing:
            named = ", ".join(map(str, self.missing[:10]))
            raise BadParcel(Fault.INCOMPLETE, f"{len(self.missing)} chunks are missing: {named}")
        size, digest = 0, sha256()
        for part in self._inflated():
            size += len(part)
            digest.update(part)
        if size != self.manifest.size:
            wanted = self.manifest.size
            raise BadParcel(Fault.TAMPERED, f"unpacked it has {size} bytes, not {wanted}")
        if digest.hexdigest() != self.manifest.sha256:
            raise BadParcel(Fault.TAMPERED, "unpacked it is not what the manifest says (SHA-256)")

    def open(self) -> BinaryIO:
        """The file, unpacked as it is read; :meth:`check` it before."""
        return io.BufferedReader(_Unpacked(self._inflated()), _INPUT)

    def _inflated(self) -> Iterator[bytes]:
        """What the chunks unpack to, in parts.

        :raises BadParcel: they are not one stream, or unpack to more than the manifest says.
        """
        room = self.manifest.size
        stream = zlib.decompressobj()
        try:
            for number in range(len(self.manifest.chunks)):
                waiting = self._chunks[number]
                while waiting and not stream.eof:
                    # One byte more than there is room for, to see that there is more.
                    part = stream.decompress(waiting, min(room + 1, _INPUT))
                    waiting = stream.unconsumed_tail
                    room -= len(part)
                    if room < 0:
                        size = self.manifest.size
                        raise BadParcel(Fault.TAMPERED, f"unpacked it has more than {size} bytes")
                    yield part
                if waiting or stream.unused_data:
                    raise BadParcel(Fault.TAMPERED, "something follows its end", number)
        except zlib.error as error:
            raise BadParcel(Fault.TAMPERED, f"it cannot be unpacked ({error})") from None
        if not stream.eof:
            raise BadParcel(Fault.TRUNCATED, "its end is missing")


class _Unpacked(io.RawIOBase):
    """Parts of a file as a file."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._part = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._part:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._part = memoryview(part)
        size = min(len(buffer), len(self._part))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        return size


def _check(manifest: Manifest, old: str, new: str, now: datetime) -> None:
    for named, meant, what in ((manifest.old, old, "from"), (manifest.new, new, "for")):
        if jids.key(named) != jids.key(meant):
            raise BadParcel(Fault.OTHER_JIDS, f"it is {what} {named}, not {what} {meant}")
    _fresh(manifest, now)
    if manifest.expires > now + LIFETIME + SKEW or manifest.expires <= manifest.made:
        raise BadParcel(Fault.FORMAT, f"it is said to last until {manifest.expires:%Y-%m-%d}")
    if manifest.size > MAX_BYTES or not 0 < len(manifest.chunks) <= MAX_CHUNKS:
        count = len(manifest.chunks)
        raise BadParcel(Fault.TOO_LARGE, f"{manifest.size} bytes in {count} chunks")
    for number, chunk in enumerate(manifest.chunks):
        if not 0 < chunk.size <= CHUNK_BYTES:
            raise BadParcel(Fault.TOO_LARGE, f"{chunk.size} bytes", number)


def _fresh(manifest: Manifest, now: datetime) -> None:
    if now >= manifest.expires:
        raise BadParcel(Fault.EXPIRED, f"it expired on {manifest.expires:%Y-%m-%d at %H:%M} UTC")
