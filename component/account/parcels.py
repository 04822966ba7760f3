"""Parcels as items of a PEP node (docs/handover.md)."""

from __future__ import annotations

import binascii
import re
import xml.etree.ElementTree as ET
from base64 import b64decode, b64encode
from datetime import UTC, datetime

from component.account.handover import (
    CHUNK_BYTES,
    MAX_BYTES,
    MAX_CHUNKS,
    VERSION,
    BadParcel,
    ChunkInfo,
    Fault,
    Manifest,
)
from component.core import jids

NODE = "urn:xmpp-moved:handover:0"
"""The node of an account, and the namespace of what is in it."""
RECEIPT_NODE = "urn:xmpp-moved:received:0"
"""The node of the new account where it says what it has; the item's id is the parcel's."""
MANIFEST_ID = "manifest"
"""The id of the item that is published last."""
_PARCEL, _CHUNK, _RECEIVED = (f"{{{NODE}}}{name}" for name in ("parcel", "chunk", "received"))
_HASH = re.compile("[0-9a-f]{64}")
_NUMBER = re.compile("0|[1-9][0-9]{0,9}")
_TEXT = (CHUNK_BYTES + 2) // 3 * 4
_TIME = "%Y-%m-%dT%H:%M:%SZ"
"""XEP-0082, in UTC and to the second."""


def chunk_id(parcel: str, number: int) -> str:
    """The id of a chunk's item."""
    return f"{parcel}-{number}"


def write_manifest(manifest: Manifest) -> ET.Element:
    """The payload of the manifest's item."""
    parcel = ET.Element(
        _PARCEL,
        {
            "version": VERSION,
            "old": manifest.old,
            "new": manifest.new,
            "made": manifest.made.astimezone(UTC).strftime(_TIME),
            "expires": manifest.expires.astimezone(UTC).strftime(_TIME),
            "compression": "zlib",
            "size": str(manifest.size),
            "sha256": manifest.sha256,
        },
    )
    for chunk in manifest.chunks:
        ET.SubElement(parcel, _CHUNK, {"size": str(chunk.size), "sha256": chunk.sha256})
    return parcel


def read_manifest(parcel: ET.Element) -> Manifest:
    """Read a manifest.  What it says is not judged: that is for the ``Unpacker``.

    :raises BadParcel: it is none, or of a version that we do not know.
    """
    if parcel.tag != _PARCEL:
        raise BadParcel(Fault.FORMAT, "it is no parcel")
    if parcel.get("version") != VERSION or parcel.get("compression") != "zlib":
        raise BadParcel(Fault.VERSION, "it was packed in a way that this version does not know")
    old, new = (jids.bare(parcel.get(name)) for name in ("old", "new"))
    if old is None or new is None:
        raise BadParcel(Fault.FORMAT, "it does not say from whom and for whom it is")
    chunks = [
        ChunkInfo(_number(one, "size", CHUNK_BYTES), _hash(one))
        for one in parcel.findall(_CHUNK)[: MAX_CHUNKS + 1]
    ]
    size = _number(parcel, "size", MAX_BYTES)
    made, expires = _time(parcel, "made"), _time(parcel, "expires")
    return Manifest(old, new, made, expires, size, _hash(parcel), tuple(chunks))


def write_chunk(parcel: str, number: int, data: bytes) -> ET.Element:
    """The payload of a chunk's item."""
    chunk = ET.Element(_CHUNK, {"parcel": parcel, "number": str(number)})
    chunk.text = b64encode(data).decode()
    return chunk


def read_chunk(chunk: ET.Element) -> tuple[str, int, bytes]:
    """The parcel's id, the number, and the bytes of a chunk.

    :raises BadParcel: it is none, larger than any may be, or no base64 (RFC 4648 section 4).
    """
    if chunk.tag != _CHUNK:
        raise BadParcel(Fault.FORMAT, "it is no chunk")
    number = _number(chunk, "number", None)
    text = chunk.text or ""
    if len(text) > _TEXT:
        raise BadParcel(Fault.OVERSIZE, f"it has more than {CHUNK_BYTES} bytes", number)
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadParcel(Fault.TAMPERED, "it is no base64", number) from None
    return chunk.get("parcel", ""), number, data


def write_receipt(old: str, sha256: str) -> ET.Element:
    """What the new account says when it has a parcel of the old one; of its file the hash."""
    return ET.Element(_RECEIVED, {"old": old, "sha256": sha256})


def is_receipt(receipt: ET.Element, manifest: Manifest) -> bool:
    """Whether it is for this parcel."""
    return (
        receipt.tag == _RECEIVED
        and receipt.get("sha256") == manifest.sha256
        and jids.key(jids.bare(receipt.get("old")) or "") == jids.key(manifest.old)
    )


def _number(element: ET.Element, name: str, most: int | None) -> int:
    text = element.get(name, "")
    if _NUMBER.fullmatch(text) is None:
        raise BadParcel(Fault.FORMAT, f"its {name} is no number")
    if most is not None and int(text) > most:
        raise BadParcel(Fault.TOO_LARGE, f"its {name} is {text}, and {most} the most")
    return int(text)


def _hash(element: ET.Element) -> str:
    text = element.get("sha256", "")
    if _HASH.fullmatch(text) is None:
        raise BadParcel(Fault.FORMAT, "a SHA-256 is missing")
    return text


def _time(element: ET.Element, name: str) -> datetime:
    try:
        return datetime.strptime(element.get(name, ""), _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise BadParcel(Fault.FORMAT, f"its {name} is no time") from None
