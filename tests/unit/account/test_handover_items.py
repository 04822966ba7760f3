"""Parcels as PEP items, through XML and back."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.account import carried
from component.account.handover import (
    CHUNK_BYTES,
    MAX_BYTES,
    MAX_CHUNKS,
    BadParcel,
    Fault,
    Unpacker,
    pack,
)
from component.account.model import Identity
from component.account.parcels import (
    MANIFEST_ID,
    NODE,
    chunk_id,
    is_receipt,
    read_chunk,
    read_manifest,
    write_chunk,
    write_manifest,
    write_receipt,
)
from component.account.read import Reader
from tests.unit.account.test_handover import LATER, NEW, NOW, OLD, PARCEL, noise

STANZA = 65_536
"""The smallest bound that any server we know of has in its configuration."""
AROUND = 5000
"""The hook's query around an item, with addresses of some hundred characters."""


@given(st.binary(max_size=300_000))
def test_through_xml_and_back(data: bytes) -> None:
    parcel = pack(data, OLD, NEW, NOW)
    manifest = read_manifest(ET.fromstring(ET.tostring(write_manifest(parcel.manifest))))
    assert manifest == parcel.manifest
    whole = Unpacker(manifest, OLD, NEW, LATER)
    for number, chunk in enumerate(parcel.chunks):
        element = ET.fromstring(ET.tostring(write_chunk(manifest.id, number, chunk)))
        whole.take(*read_chunk(element))
    whole.check(LATER)
    assert whole.open().read() == data


def test_stanzas_stay_small() -> None:
    largest = write_chunk(PARCEL.manifest.id, MAX_CHUNKS, noise(CHUNK_BYTES))
    assert len(ET.tostring(largest)) < STANZA - AROUND
    full = pack(noise(CHUNK_BYTES * MAX_CHUNKS - 10_000), OLD, NEW, NOW).manifest
    assert len(full.chunks) == MAX_CHUNKS
    assert len(ET.tostring(write_manifest(full))) < STANZA - AROUND


def test_ids_are_of_one_parcel() -> None:
    assert chunk_id(PARCEL.manifest.id, 3) == f"{PARCEL.manifest.sha256[:16]}-3"


def test_the_node_never_comes_along() -> None:
    assert not carried.node(NODE).carried


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("version", "1", Fault.VERSION),
        ("compression", "xz", Fault.VERSION),
        ("old", None, Fault.FORMAT),
        ("new", "new.example", Fault.FORMAT),
        ("made", "today", Fault.FORMAT),
        ("expires", "2026-11-28T14:30:01+01:00", Fault.FORMAT),
        ("size", "-1", Fault.FORMAT),
        ("size", "1e3", Fault.FORMAT),
        ("size", "\u0663", Fault.FORMAT),
        ("size", "9999999999", Fault.TOO_LARGE),
        ("sha256", "00", Fault.FORMAT),
        ("sha256", PARCEL.manifest.sha256.upper(), Fault.FORMAT),
    ],
)
def test_manifests_that_are_none(name: str, value: str | None, fault: Fault) -> None:
    element = write_manifest(PARCEL.manifest)
    element.attrib.pop(name)
    if value is not None:
        element.set(name, value)
    with pytest.raises(BadParcel) as refused:
        read_manifest(element)
    assert refused.value.fault is fault


def test_a_manifest_without_end() -> None:
    element = write_manifest(PARCEL.manifest)
    for _ in range(10_000):
        element.append(element[0])
    manifest = read_manifest(element)
    assert len(manifest.chunks) == MAX_CHUNKS + 1
    with pytest.raises(BadParcel) as refused:
        Unpacker(manifest, OLD, NEW, LATER)
    assert refused.value.fault is Fault.TOO_LARGE


@pytest.mark.parametrize(
    ("number", "text", "fault"),
    [
        ("0", "no base64!", Fault.TAMPERED),
        ("0", "YQ", Fault.TAMPERED),
        ("0", "Y\nQ==", Fault.TAMPERED),
        ("0", "ä", Fault.TAMPERED),
        ("0", b64encode(bytes(CHUNK_BYTES + 3)).decode(), Fault.OVERSIZE),
        ("00", "YQ==", Fault.FORMAT),
        ("", "YQ==", Fault.FORMAT),
    ],
)
def test_chunks_that_are_none(number: str, text: str, fault: Fault) -> None:
    element = write_chunk("x", 0, b"")
    element.set("number", number)
    element.text = text
    with pytest.raises(BadParcel) as refused:
        read_chunk(element)
    assert refused.value.fault is fault


def test_other_elements_are_refused() -> None:
    for element in (ET.Element("x"), ET.Element("{urn:x}parcel"), ET.Element("{urn:x}chunk")):
        for read in (read_manifest, read_chunk):
            with pytest.raises(BadParcel) as refused:
                read(element)
            assert refused.value.fault is Fault.FORMAT


def test_the_document_shows_what_is_written() -> None:
    """docs/handover.md holds a whole parcel."""
    document = (Path(__file__).parents[3] / "docs" / "handover.md").read_text()
    examples = re.findall("```xml\n(.*?)```", document, re.DOTALL)
    items = [ET.fromstring(example) for example in examples]
    chunk, parcel, received = (item[0] for item in items)
    manifest = read_manifest(parcel)
    whole = Unpacker(manifest, "juliet@old.example", "juliet@new.example", NOW)
    whole.take(*read_chunk(chunk))
    whole.check(NOW)
    assert list(Reader(whole.open())) == [Identity("old.example", "juliet")]
    assert is_receipt(received, manifest)
    assert [item.get("id") for item in items] == [
        chunk_id(manifest.id, 0),
        MANIFEST_ID,
        manifest.id,
    ]
    assert ET.canonicalize(ET.tostring(write_manifest(manifest)), strip_text=True) == (
        ET.canonicalize(ET.tostring(parcel), strip_text=True)
    )
    bounds = f"{CHUNK_BYTES:,} bytes", f"{MAX_CHUNKS} chunks", f"{MAX_BYTES // 2**20} MiB"
    assert all(bound in document for bound in bounds)


def test_a_receipt_is_for_one_parcel() -> None:
    manifest = PARCEL.manifest
    receipt = write_receipt(manifest.old, manifest.sha256)
    assert is_receipt(receipt, manifest)
    assert not is_receipt(receipt, pack(b"other", OLD, NEW, NOW).manifest)
    assert not is_receipt(write_manifest(manifest), manifest)
    for name, value in (("old", NEW), ("sha256", "0" * 64)):
        other = write_receipt(manifest.old, manifest.sha256)
        other.set(name, value)
        assert not is_receipt(other, manifest)


def test_times_are_utc() -> None:
    made = write_manifest(PARCEL.manifest).get("made")
    assert made == "2026-11-21T14:30:01Z"
    assert read_manifest(write_manifest(PARCEL.manifest)).made == datetime(
        2026, 11, 21, 14, 30, 1, tzinfo=UTC
    )
