"""A log group as bytes: Log Service's protobuf message and its compressions.

The message is small and its fields never change, so it is written by hand: 1,000 span logs take a fifth of what the official SDK's put path takes
(34 ms), and no protobuf package has to agree with the application's. Field numbers: LogGroup {Logs 1, Topic 3, Source 4, LogTags 6}, Log {Time 1,
Contents 2, Time_ns 4 fixed32}, Content and LogTag {Key 1, Value 2} (aliyun-log SDKs, ``log_logs_raw_pb2``).
"""

from __future__ import annotations

import importlib
import struct
import zlib
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sls_tracing.exceptions import ConfigurationError, TracingError
from sls_tracing.log_service.logstore import Log, LogGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "COMPRESSIONS",
    "MAX_LOGS",
    "MAX_RAW_SIZE",
    "Compression",
    "WireError",
    "compress",
    "decode_log_group",
    "decompress",
    "encode_log_group",
    "encode_logs",
]

Compression: TypeAlias = Literal["", "deflate", "lz4", "zstd"]
"""Values of ``x-log-compresstype``; empty for none. Deflate needs no package beside the standard library's."""

COMPRESSIONS: tuple[Compression, ...] = ("", "deflate", "lz4", "zstd")

DEFLATE_LEVEL = 1
"""1,000 span logs (640 kB) shrink to a tenth in 1.0 ms; level 6 takes 1.7 ms for a fifth less."""


MAX_RAW_SIZE = 10_000_000
"""Bytes that a request may hold when unpacked: the service's limit (10 MB). Nothing larger is unpacked, whatever a header announces."""

MAX_LOGS = 40_960
"""Logs of one group: what the official producer allows itself. An empty log has four bytes, so bytes alone would bound nothing."""

_ZSTD_WINDOW = 1 << 24  # memory that a frame may ask for; levels up to 19 use 8 MiB


class WireError(TracingError):
    """Bytes that are no log group, or no compressed body of the size that they claim."""


# -- out -------------------------------------------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_SIZES = [_varint(size) for size in range(1 << 14)]
"""Lengths as varints: nearly all that are needed, looked up instead of counted."""


def _size(length: int) -> bytes:
    return _SIZES[length] if length < 16384 else _varint(length)


def encode_log_group(group: LogGroup) -> bytes:
    """Return the message, byte for byte what the official SDK makes of the same group (topic and source are written even if empty).

    Raises ValueError for a time outside of uint32, UnicodeEncodeError for text with lone surrogates.
    """
    parts = encode_logs(group.logs)
    topic, source = group.topic.encode(), group.source.encode()
    parts += [b"\x1a", _size(len(topic)), topic, b"\x22", _size(len(source)), source]
    for key, value in group.tags:
        tag = _pair(key, value)
        parts += [b"\x32", _size(len(tag)), tag]
    return b"".join(parts)


def _pair(key: str, value: str) -> bytes:
    name, text = key.encode(), value.encode()
    return b"\x0a" + _size(len(name)) + name + b"\x12" + _size(len(text)) + text


def encode_logs(logs: Any) -> list[bytes]:
    """Return the ``Logs`` of a group as parts to be joined.

    One loop with local names: this is the hot path of whoever stores spans, 4 to 6 µs a log of 19 fields. Keys come from a small set, so their
    bytes are kept for the length of one call.
    """
    parts: list[bytes] = []
    keys: dict[str, bytes] = {}
    sizes = _SIZES
    append = parts.append
    for time, contents, time_ns in logs:
        if not 0 <= time < 1 << 32:
            raise ValueError(f"a log's time must be seconds from 0 to 2**32 - 1, not {time}")
        fields = [b"\x08" + _varint(time)]
        add = fields.append
        for key, value in contents:
            head = keys.get(key)
            if head is None:
                name = key.encode()
                head = keys[key] = b"\x0a" + _size(len(name)) + name + b"\x12"
            text = value.encode()
            length = len(text)
            size = sizes[length] if length < 16384 else _varint(length)
            inner = len(head) + len(size) + length
            add(b"\x12" + (sizes[inner] if inner < 16384 else _varint(inner)) + head + size + text)
        if time_ns is not None:
            add(b"\x25" + struct.pack("<I", time_ns))
        log = b"".join(fields)
        length = len(log)
        append(b"\x0a" + (sizes[length] if length < 16384 else _varint(length)) + log)
    return parts


# -- in --------------------------------------------------------------------------------------------------------------------


def decode_log_group(data: bytes) -> LogGroup:
    """Read a message; unknown fields are skipped. Raises :class:`WireError` if it is none."""
    logs: list[Log] = []
    topic = source = ""
    tags: list[tuple[str, str]] = []
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            if len(logs) == MAX_LOGS:
                raise WireError(f"more than {MAX_LOGS} logs in one group")
            logs.append(_log(value))
        elif number == 3:
            topic = _text(value)
        elif number == 4:
            source = _text(value)
        elif number == 6:
            tags.append(_key_value(value))
    return LogGroup(logs, topic, source, tags)


def _log(data: bytes) -> Log:
    time: int | None = None
    time_ns: int | None = None
    contents: list[tuple[str, str]] = []
    for number, value in _fields(data):
        if number == 2 and isinstance(value, bytes):
            contents.append(_key_value(value))
        elif number == 1 and isinstance(value, int):
            time = value & 0xFFFF_FFFF  # as protobuf reads a uint32
        elif number == 4 and isinstance(value, int) and value < 1_000_000_000:  # more is no part of a second
            time_ns = value
    if time is None:
        raise WireError("a log has no Time, which is required")
    return Log(time, contents, time_ns)


def _key_value(data: bytes) -> tuple[str, str]:
    key = value = None
    for number, field in _fields(data):
        if isinstance(field, bytes):
            if number == 1:
                key = _text(field)
            elif number == 2:
                value = _text(field)
    if key is None or value is None:
        raise WireError("a content or tag has no Key or no Value; both are required")
    return key, value


def _text(data: bytes) -> str:
    # Binary values are stored as what can be read of them: one bad byte must not cost the batch.
    return data.decode("utf-8", "replace")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field numbers with their values: integers for varint and fixed widths, bytes for what has a length."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _read_varint(data, position)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError("field number 0")
        if kind == 0:
            value, position = _read_varint(data, position)
            yield number, value
        elif kind == 2:
            length, position = _read_varint(data, position)
            if length > end - position:
                raise WireError("a field is longer than its message")
            yield number, data[position : position + length]
            position += length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            if width > end - position:
                raise WireError("a number is cut off")
            yield number, int.from_bytes(data[position : position + width], "little")
            position += width
        else:
            raise WireError(f"wire type {kind}")


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise WireError("a number is cut off or too long")
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7


# -- compression -----------------------------------------------------------------------------------------------------------


def compress(data: bytes, kind: Compression) -> bytes:
    """Compress a body as ``x-log-compresstype`` names it. Raises ConfigurationError if the package for it is not installed."""
    if kind == "":
        return data
    if kind == "deflate":
        return zlib.compress(data, DEFLATE_LEVEL)
    if kind == "lz4":
        return bytes(_package("lz4.block", "lz4").compress(data, store_size=False))
    if kind == "zstd":
        return bytes(_package("zstandard", "zstandard").ZstdCompressor(level=1).compress(data))
    raise ConfigurationError(f"no compression is called {kind!r}; there are: deflate, lz4, zstd")


def decompress(data: bytes, kind: str, raw_size: int) -> bytes:
    """Undo :func:`compress`; ``raw_size`` is what ``x-log-bodyrawsize`` says, and no byte more is made.

    Raises :class:`WireError` for a body that is broken or of another size.
    """
    if kind == "":
        return data
    if not 0 <= raw_size <= MAX_RAW_SIZE:
        raise WireError(f"a body of {raw_size} bytes; the most is {MAX_RAW_SIZE}")
    try:
        raw = _decompress(data, kind, raw_size)
    except (zlib.error, _codec_error(kind)) as error:
        raise WireError(f"the body is no {kind}: {error}") from None
    if len(raw) != raw_size:
        raise WireError(f"the body holds {len(raw)} bytes and x-log-bodyrawsize says {raw_size}")
    return raw


def _decompress(data: bytes, kind: str, raw_size: int) -> bytes:
    if kind == "deflate":
        return zlib.decompressobj().decompress(data, raw_size + 1)
    if kind == "lz4":
        if raw_size == 0:
            return b""
        return bytes(_package("lz4.block", "lz4").decompress(data, uncompressed_size=raw_size))
    if kind == "zstd":
        with (
            _package("zstandard", "zstandard")
            .ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
            .stream_reader(data) as reader
        ):
            return bytes(reader.read(raw_size + 1))
    raise WireError(f"compression {kind!r} is not known")


def _codec_error(kind: str) -> type[Exception]:
    """Return what the package of ``kind`` raises for broken data."""
    if kind not in ("lz4", "zstd"):
        return zlib.error
    error: type[Exception] = (
        _package("lz4.block", "lz4").LZ4BlockError if kind == "lz4" else _package("zstandard", "zstandard").ZstdError
    )
    return error


def _package(module: str, distribution: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{distribution} is not installed: pip install {distribution}, or use deflate"
        ) from None
