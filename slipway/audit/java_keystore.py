"""Reads the trusted certificates of Java from its key store in the format JKS.

The format is that of OpenJDK's sun.security.provider.JavaKeyStore: numbers are big-endian, a text follows its length in
two bytes, and the file ends with a digest of 20 bytes that is keyed by a well-known password.
"""

import struct

MAGIC = 0xFEEDFEED
VERSION = 2
TRUSTED = 2  # the tag of an entry with a certificate; 1 is a private key
DIGEST_SIZE = 20


def read_certificates(store: bytes) -> list[bytes]:
    """Return the certificates (DER) of a store that holds nothing else; ValueError for any other content."""
    try:
        magic, version, count = struct.unpack_from(">3I", store)
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError("no key store in the format JKS")
        found, offset = [], 12
        for _ in range(count):
            certificate, offset = read_entry(store, offset)
            found.append(certificate)
    except struct.error:
        raise ValueError("it ends early") from None
    if len(store) != offset + DIGEST_SIZE:
        raise ValueError("its size does not match its entries")
    return found


def read_entry(store: bytes, offset: int) -> tuple[bytes, int]:
    """Return the certificate of the entry at an offset, and the offset after it."""
    (tag,) = struct.unpack_from(">I", store, offset)
    if tag != TRUSTED:
        raise ValueError("it has an entry that is no certificate")
    offset = skip_text(store, offset + 4) + 8  # its alias, and when it was added
    offset = skip_text(store, offset)  # "X.509"
    (size,) = struct.unpack_from(">I", store, offset)
    return store[offset + 4 : offset + 4 + size], offset + 4 + size


def skip_text(store: bytes, offset: int) -> int:
    """Return the offset after a text."""
    (size,) = struct.unpack_from(">H", store, offset)
    return offset + 2 + int(size)
