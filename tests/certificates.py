"""Certificates of the tests' own, made with the program openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OPENSSL = shutil.which("openssl")
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, both as PEM."""

    chain: Path
    key: Path

    def together(self) -> Path:
        """One file with both, as ejabberd wants them."""
        path = self.chain.with_suffix(".both")
        path.write_text(self.key.read_text() + self.chain.read_text())
        return path


class Authority:
    """A certificate authority that nobody but a test trusts.

    Args:
        folder: where its files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._own = Certificate(folder / "authority.pem", folder / "authority.key")
        self._request(self._own, "authority", "-x509", "-days", "3650")

    @property
    def file(self) -> Path:
        """Whom to trust."""
        return self._own.chain

    def issue(self, name: str, *domains: str, days: int = 30) -> Certificate:
        """A certificate for these domains; one that has expired where ``days`` is negative."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        names = ",".join(f"DNS:{domain.encode('idna').decode()}" for domain in domains)
        request = self._folder / f"{name}.csr"
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName = {names}\n")
        self._request(Certificate(request, made.key), name)
        signed = ("-CA", self._own.chain, "-CAkey", self._own.key, "-CAcreateserial")
        when = ("-days", days)
        _openssl(
            *("x509", "-req", "-in", request, "-out", made.chain, "-extfile", extensions),
            *signed,
            *when,
        )
        return made

    def _request(self, made: Certificate, name: str, *more: str) -> None:
        _openssl(
            *("req", "-new", *_KEY, "-subj", f"/CN={name}", "-batch"),
            *("-keyout", made.key, "-out", made.chain, *more),
        )


def _openssl(*words: object) -> None:
    assert OPENSSL is not None
    done = subprocess.run(
        [OPENSSL, *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr}")
