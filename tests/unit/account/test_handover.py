"""Parcels: what went in comes out, and nothing else ever does."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.account.handover import (
    CHUNK_BYTES,
    LIFETIME,
    MAX_BYTES,
    MAX_CHUNKS,
    BadParcel,
    ChunkInfo,
    Fault,
    Manifest,
    Parcel,
    Unpacker,
    pack,
)

OLD, NEW = "juliet@old.example", "júliet@bücher.example"
NOW = datetime(2026, 11, 21, 14, 30, 1, 5, tzinfo=UTC)
LATER = NOW + timedelta(days=6)


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that cannot be compressed."""
    return random.Random(seed).randbytes(size)


def unpacker(parcel: Parcel) -> Unpacker:
    return Unpacker(parcel.manifest, OLD, NEW, LATER)


def unpacked(parcel: Parcel) -> bytes:
    """Put a parcel together."""
    whole = unpacker(parcel)
    for number, chunk in enumerate(parcel.chunks):
        whole.take(parcel.manifest.id, number, chunk)
    whole.check(LATER)
    return whole.open().read()


PARCEL = pack(noise(CHUNK_BYTES * 3 + 1000), OLD, NEW, NOW)
SIZES = st.integers(0, CHUNK_BYTES * 4)


@given(SIZES, st.booleans(), st.randoms(use_true_random=False))
def test_what_went_in_comes_out_in_any_order(size: int, dense: bool, order: random.Random) -> None:
    data = noise(size) if dense else b"<item/>" * (size // 7)
    parcel = pack(data, OLD, NEW, NOW)
    assert parcel == pack(data, OLD, NEW, NOW)
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in parcel.chunks)
    whole = unpacker(parcel)
    numbers = [*range(len(parcel.chunks))] * 2
    order.shuffle(numbers)
    came: set[int] = set()
    for number in numbers:
        assert whole.missing == [n for n in range(len(parcel.chunks)) if n not in came]
        fresh = whole.take(parcel.manifest.id, number, parcel.chunks[number])
        assert fresh == (number not in came)
        came.add(number)
    whole.check(LATER)
    assert whole.open().read() == data


@given(st.integers(0, 3), st.integers(0, 8 * CHUNK_BYTES - 1))
def test_a_flipped_bit_is_named(number: int, bit: int) -> None:
    chunk = bytearray(PARCEL.chunks[number])
    bit %= 8 * len(chunk)
    chunk[bit // 8] ^= 1 << bit % 8
    whole = unpacker(PARCEL)
    with pytest.raises(BadParcel, match=f"^chunk {number}: ") as refused:
        whole.take(PARCEL.manifest.id, number, bytes(chunk))
    assert (refused.value.fault, refused.value.chunk) == (Fault.TAMPERED, number)
    assert len(whole.missing) == len(PARCEL.chunks)
    # What is refused does no harm: the right one is still taken.
    assert whole.take(PARCEL.manifest.id, number, PARCEL.chunks[number])
    with pytest.raises(BadParcel) as refused:
        whole.take(PARCEL.manifest.id, number, bytes(chunk))
    assert refused.value.fault is Fault.TWICE
    assert number not in whole.missing


@given(st.integers(0, 3), st.integers(-CHUNK_BYTES, 1000).filter(bool))
def test_another_length_is_named(number: int, by: int) -> None:
    chunk = PARCEL.chunks[number]
    other = chunk[:by] if by < 0 else chunk + b"x" * by
    with pytest.raises(BadParcel) as refused:
        unpacker(PARCEL).take(PARCEL.manifest.id, number, other)
    expected = Fault.TRUNCATED if by < 0 else Fault.OVERSIZE
    assert (refused.value.fault, refused.value.chunk) == (expected, number)


@pytest.mark.parametrize("number", [-1, 4, 10**9])
def test_surplus(number: int) -> None:
    with pytest.raises(BadParcel, match=f"chunk {number}: there should be 4 only") as refused:
        unpacker(PARCEL).take(PARCEL.manifest.id, number, b"x")
    assert refused.value.fault is Fault.SURPLUS


def test_a_chunk_of_another_parcel() -> None:
    other = pack(b"other", OLD, NEW, NOW)
    with pytest.raises(BadParcel) as refused:
        unpacker(PARCEL).take(other.manifest.id, 0, other.chunks[0])
    assert refused.value.fault is Fault.OTHER_PARCEL


def test_missing_chunks_are_named() -> None:
    whole = unpacker(PARCEL)
    whole.take(PARCEL.manifest.id, 2, PARCEL.chunks[2])
    with pytest.raises(BadParcel, match="3 chunks are missing: 0, 1, 3") as refused:
        whole.check(LATER)
    assert refused.value.fault is Fault.INCOMPLETE


# Whose, and when ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"), [(OLD, "romeo@old.example"), ("romeo@old.example", NEW), (NEW, OLD)]
)
def test_other_accounts(old: str, new: str) -> None:
    with pytest.raises(BadParcel) as refused:
        Unpacker(PARCEL.manifest, old, new, NOW)
    assert refused.value.fault is Fault.OTHER_JIDS


def test_another_spelling_is_the_same_account() -> None:
    Unpacker(PARCEL.manifest, OLD, "júliet@xn--bcher-kva.example", NOW)


def test_after_a_week_it_is_gone() -> None:
    made = NOW.replace(microsecond=0)
    assert PARCEL.manifest.expires == made + LIFETIME
    whole = Unpacker(PARCEL.manifest, OLD, NEW, made + LIFETIME - timedelta(seconds=1))
    for number, chunk in enumerate(PARCEL.chunks):
        whole.take(PARCEL.manifest.id, number, chunk)
    for late in (lambda now: Unpacker(PARCEL.manifest, OLD, NEW, now), whole.check):
        with pytest.raises(BadParcel, match="it expired on 2026-11-28 at 14:30 UTC") as refused:
            late(made + LIFETIME)
        assert refused.value.fault is Fault.EXPIRED


@pytest.mark.parametrize("expires", [NOW + timedelta(days=9), NOW - timedelta(days=1)])
def test_a_life_that_nobody_gives(expires: datetime) -> None:
    manifest = replace(PARCEL.manifest, expires=expires)
    with pytest.raises(BadParcel) as refused:
        Unpacker(manifest, OLD, NEW, NOW - timedelta(days=2) if expires < NOW else NOW)
    assert refused.value.fault is Fault.FORMAT


# Bounds ---------------------------------------------------------------------------------------


def forged(*chunks: bytes, size: int, digest: str = "0" * 64) -> Parcel:
    """A parcel whose chunks are what its manifest says, and whose file is not."""
    infos = tuple(ChunkInfo(len(chunk), sha256(chunk).hexdigest()) for chunk in chunks)
    made = NOW.replace(microsecond=0)
    return Parcel(Manifest(OLD, NEW, made, made + LIFETIME, size, digest, infos), chunks)


@pytest.mark.parametrize(
    "parcel",
    [
        forged(size=0),
        forged(b"x", size=MAX_BYTES + 1),
        forged(*[b"x"] * (MAX_CHUNKS + 1), size=1),
        forged(b"x" * (CHUNK_BYTES + 1), size=1),
        forged(b"", size=1),
    ],
    ids=["no chunks", "file", "chunks", "chunk", "empty chunk"],
)
def test_beyond_the_bounds(parcel: Parcel) -> None:
    with pytest.raises(BadParcel) as refused:
        unpacker(parcel)
    assert refused.value.fault is Fault.TOO_LARGE


def test_a_bomb_is_not_unpacked() -> None:
    """It is refused at the first byte beyond what the manifest says."""
    bomb = zlib.compress(bytes(40_000_000), 9)
    assert len(bomb) < CHUNK_BYTES
    with pytest.raises(BadParcel, match="unpacked it has more than 10 bytes") as refused:
        unpacked(forged(bomb, size=10))
    assert refused.value.fault is Fault.TAMPERED


@pytest.mark.parametrize(
    ("parcel", "fault"),
    [
        (forged(zlib.compress(b"abc"), size=3), Fault.TAMPERED),
        (forged(zlib.compress(b"abc"), size=4), Fault.TAMPERED),
        (forged(zlib.compress(b"abc") + b"x", size=3), Fault.TAMPERED),
        (forged(zlib.compress(b"abc"), zlib.compress(b"abc"), size=6), Fault.TAMPERED),
        (forged(zlib.compress(b"abc")[:-1], size=3), Fault.TRUNCATED),
        (forged(b"no zlib", size=3), Fault.TAMPERED),
        (forged(zlib.compress(b""), size=0), Fault.TAMPERED),
    ],
)
def test_chunks_that_are_right_with_a_file_that_is_not(parcel: Parcel, fault: Fault) -> None:
    with pytest.raises(BadParcel) as refused:
        unpacked(parcel)
    assert refused.value.fault is fault


def test_what_is_too_large_is_not_packed() -> None:
    dense = noise(CHUNK_BYTES * MAX_CHUNKS)
    with pytest.raises(BadParcel, match="even compressed, and 11250000 are the most"):
        pack(dense, OLD, NEW, NOW)
    with pytest.raises(BadParcel, match="more than 104857600 bytes"):
        pack(bytes(MAX_BYTES + 1), OLD, NEW, NOW)


@pytest.mark.parametrize(
    ("old", "new", "now"),
    [
        (OLD, OLD, NOW),
        (OLD, NEW.upper(), NOW),
        (OLD, "new.example", NOW),
        (OLD, NEW, NOW.replace(tzinfo=None)),
    ],
)
def test_what_cannot_be_packed(old: str, new: str, now: datetime) -> None:
    with pytest.raises(ValueError, match=r"two accounts|zone"):
        pack(b"x", old, new, now)
