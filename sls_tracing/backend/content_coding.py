"""Content codings of a body (RFC 9110, 8.4), undone within a bound: a megabyte of gzip can hold a gigabyte."""

from __future__ import annotations

import zlib

from sls_tracing.thrift.schema import DecodeError, TooMuchError

__all__ = ["CODINGS", "unpack"]

_STEP = 1 << 20
_RAW_DEFLATE = -15

CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""The codings served, and zlib's number for each. "deflate" is zlib's format; some clients send it bare, without header."""


def unpack(packed: bytes, coding: str, max_bytes: int) -> bytes:
    """Return what was packed. Raises :class:`DecodeError`, and :class:`TooMuchError` as soon as it is more than ``max_bytes``."""
    wbits = _RAW_DEFLATE if coding == "deflate" and not _is_zlib(packed) else CODINGS[coding]
    out = bytearray()
    rest = packed
    while rest:  # gzip may come in several members
        unpacker = zlib.decompressobj(wbits)
        while rest and not unpacker.eof:
            try:
                out += unpacker.decompress(rest, _STEP)
            except zlib.error as error:
                raise DecodeError(f"not {coding}: {error}") from None
            if len(out) > max_bytes:
                raise TooMuchError(f"a body of more than {max_bytes} bytes when unpacked; send the spans in several")
            rest = unpacker.unconsumed_tail
        if not unpacker.eof:
            raise DecodeError(f"truncated {coding}")
        rest = unpacker.unused_data
    return bytes(out)


def _is_zlib(packed: bytes) -> bool:
    """Whether it begins with zlib's header: method 8, and two bytes that are divisible by 31 (RFC 1950)."""
    return len(packed) >= 2 and packed[0] & 0x0F == 8 and (packed[0] << 8 | packed[1]) % 31 == 0
