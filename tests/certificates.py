"""A certificate for 127.0.0.1, and the authority that a client must know to trust it: made anew, good for a day."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.timedelta(days=1)


def make_certificates(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the file of the authority's certificate, and what a server at 127.0.0.1 needs."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def issue(name: str, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType, *, critical: bool) -> bytes:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            subject_name=_named(name),
            issuer_name=_named("authority"),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - DAY,
            not_valid_after=now + DAY,
        )
        return (
            builder.add_extension(extension, critical=critical)
            .sign(authority, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    trusted, own = directory / "authority.pem", directory / "server.pem"
    trusted.write_bytes(issue("authority", authority, x509.BasicConstraints(ca=True, path_length=None), critical=True))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    private = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    own.write_bytes(issue("server", server, address, critical=False) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return trusted, context


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
