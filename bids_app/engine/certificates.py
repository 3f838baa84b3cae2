"""Encryption of the live engine's connections: a certificate of its own for every run, known to its workers alone.

Whoever reaches a Dask scheduler may run code as its user. So head and workers show each other a certificate whose key
lies in a folder that only the user can read, and that is removed when the run ends.
"""

import datetime
import ipaddress
import os
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from bids_app.errors import ToolMissingError

#: Clocks of nodes differ, and a run of weeks ends before this.
_BEFORE, _AFTER = datetime.timedelta(days=1), datetime.timedelta(days=400)
_NAME = "qsm-bids-app"


@contextmanager
def security_of_run(parent: Path) -> Iterator[Any]:
    """Give the encryption of one run: a folder below ``parent`` (which workers see, too) holds its certificate and key.

    Raises
    ------
    ToolMissingError
        If the package cryptography is not installed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".tls-", dir=parent))  # for the user alone
    try:
        yield _security(*_write(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key, for the user alone; returns both paths."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError as error:
        raise ToolMissingError(
            "--cluster encrypts its connections with the package cryptography: pip install 'qsm-bids-app[cluster]', or "
            "write array scripts with --write-jobs"
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _AFTER)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    for path, content in zip(paths, (certificate.public_bytes(serialization.Encoding.PEM), private), strict=True):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    return paths


def _security(certificate: Path, key: Path) -> Any:
    from distributed.security import Security

    class QuotedSecurity(Security):  # type: ignore[misc]
        """Dask writes a worker's words into the job script as they are: these are words of a shell."""

        def get_tls_config_for_role(self, role: str) -> dict[str, Any]:
            settings = dict(super().get_tls_config_for_role(role))
            if role == "worker":
                settings = {name: shlex.quote(value) if value else value for name, value in settings.items()}
            return settings

    roles = ("client", "scheduler", "worker")
    files = {f"tls_{role}_{kind}": str(path) for role in roles for kind, path in (("cert", certificate), ("key", key))}
    return QuotedSecurity(require_encryption=True, tls_ca_file=str(certificate), **files)


def own_address() -> str:
    """Return the address by which other nodes reach this one: the host name's, or the first of a real interface.

    The scheduler listens there and nowhere else; on a machine without a network that is the loopback address.
    """
    candidates = []
    with suppress(OSError):
        candidates.append(socket.gethostbyname(socket.gethostname()))
    states = psutil.net_if_stats()
    candidates += [
        address.address
        for name, addresses in sorted(psutil.net_if_addrs().items())
        if name in states and states[name].isup
        for address in addresses
        if address.family == socket.AF_INET
    ]
    return next((address for address in candidates if not _is_local(address)), "127.0.0.1")


def _is_local(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified
