"""Certificates of the tests' own, made with the program openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
        strict: its certificate has all that RFC 5280 asks for; else it says nothing of what its
            key is for, as many private ones do not.
    """

    def __init__(self, folder: Path, *, strict: bool = True) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._own = Certificate(folder / "authority.pem", folder / "authority.key")
        usage = "keyUsage = critical, keyCertSign, cRLSign\n" if strict else ""
        self._config = folder / "authority.cnf"
        self._config.write_text(_CONFIG.format(folder=folder, usage=usage))
        (folder / "issued").touch()
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
        extensions.write_text(f"{_EXTENSIONS}subjectAltName = {names}\n")
        self._request(Certificate(request, made.key), name)
        # By dates: `-days` takes no negative number any more (OpenSSL 3.5).
        now = datetime.now(UTC)
        times = (now - timedelta(days=2), now + timedelta(days=days))
        begins, ends = (f"{moment:%Y%m%d%H%M%SZ}" for moment in times)
        _openssl(
            *("ca", "-config", self._config, "-batch", "-notext", "-extfile", extensions),
            *("-in", request, "-out", made.chain, "-startdate", begins, "-enddate", ends),
        )
        return made

    def _request(self, made: Certificate, name: str, *more: str) -> None:
        _openssl(
            *("req", "-new", *_KEY, "-config", self._config, "-subj", f"/CN={name}", "-batch"),
            *("-keyout", made.key, "-out", made.chain, *more),
        )


_CONFIG = """[ca]
default_ca = own
[own]
database = {folder}/issued
new_certs_dir = {folder}
certificate = {folder}/authority.pem
private_key = {folder}/authority.key
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = hash
{usage}"""
_EXTENSIONS = """basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def _openssl(*words: object) -> None:
    assert OPENSSL is not None
    done = subprocess.run(
        [OPENSSL, *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr}")
