"""Batches that wait for a collector: in memory, or on disk, where they outlive a ``kill -9`` and hours without a collector.

On disk a batch is a file of its own, written under another name, flushed to the disk and then renamed: there is never half a batch under a
batch's name. What a crash leaves under the other name is removed at the next start, and counted. One file for up to a
megabyte of spans keeps that cheap: three flushes a second at 10,000 spans a second.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections import deque
from pathlib import Path
from typing import NamedTuple, Protocol

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.guard import limited_log
from sls_tracing.metrics import Counters, counters

__all__ = ["DiskSpool", "MemorySpool", "Packet", "Spool"]

_HEAD = struct.Struct(">4sII")  # magic, number of spans, CRC-32 of the body
_MAGIC = b"SLS1"
_SUFFIX, _UNFINISHED = ".batch", ".writing"


class Packet(NamedTuple):
    """A batch as it is sent, and how many spans are in it."""

    key: str
    body: bytes
    spans: int


class Spool(Protocol):
    """A queue of packets, oldest first. One thread puts, one takes."""

    def put(self, body: bytes, spans: int) -> bool:
        """Keep a batch; False if there is no room for it. It is safe, as far as this spool goes, when this returns True."""

    def first(self, timeout: float) -> Packet | None:
        """Return the oldest batch without removing it; wait up to ``timeout`` seconds for one."""

    def done(self, packet: Packet) -> None:
        """Forget a batch."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of all batches that wait."""

    def wake(self) -> None:
        """End the waiting in :meth:`first`."""


class MemorySpool:
    """Bounded by ``max_bytes``; gone with the process."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._packets: deque[Packet] = deque()
        self._bytes = 0
        self._ready = threading.Condition()
        self._number = 0
        self._woken = False

    def put(self, body: bytes, spans: int) -> bool:
        """See :class:`Spool`."""
        with self._ready:
            if self._packets and self._bytes + len(body) > self._max_bytes:
                return False
            self._number += 1
            self._packets.append(Packet(str(self._number), body, spans))
            self._bytes += len(body)
            self._ready.notify()
            return True

    def first(self, timeout: float) -> Packet | None:
        """See :class:`Spool`."""
        with self._ready:
            self._ready.wait_for(lambda: self._packets or self._woken, timeout)
            return self._packets[0] if self._packets else None

    def done(self, packet: Packet) -> None:
        """See :class:`Spool`."""
        with self._ready:
            self._packets.popleft()
            self._bytes -= len(packet.body)

    @property
    def waiting_bytes(self) -> int:
        """See :class:`Spool`."""
        return self._bytes

    def wake(self) -> None:
        """See :class:`Spool`."""
        with self._ready:
            self._woken = True
            self._ready.notify_all()


class DiskSpool:
    """In a directory of its own, bounded by ``max_bytes``. Raises ConfigurationError if that cannot be written to.

    Counts ``spool_files_broken``: unfinished or damaged, and removed.
    """

    def __init__(self, directory: str, max_bytes: int, *, counters: Counters = counters) -> None:
        self._directory = Path(directory)
        self._max_bytes = max_bytes
        self._counters = counters
        self._ready = threading.Condition()
        self._woken = False
        self._files: deque[tuple[str, int]] = deque()
        self._bytes = 0
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._load()
            self._write("probe" + _UNFINISHED, b"").unlink()
        except OSError as error:
            raise ConfigurationError(
                f"cannot spool in {directory}: {error.strerror}; name a directory that can be written to"
            ) from None
        self._number = int(self._files[-1][0].partition(".")[0]) if self._files else 0

    def put(self, body: bytes, spans: int) -> bool:
        """See :class:`Spool`. A disk that is full counts as no room."""
        size = _HEAD.size + len(body)
        if self._bytes + size > self._max_bytes and self._files:
            return False
        self._number += 1
        name = f"{self._number:016d}{_SUFFIX}"
        try:
            written = self._write(name + _UNFINISHED, _HEAD.pack(_MAGIC, spans, zlib.crc32(body)) + body)
            written.rename(self._directory / name)
            self._sync_directory()
        except OSError as error:
            limited_log.warning("spool_full", "cannot spool: %s", error.strerror)
            return False
        with self._ready:
            self._files.append((name, size))
            self._bytes += size
            self._ready.notify()
        return True

    def first(self, timeout: float) -> Packet | None:
        """See :class:`Spool`."""
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._files or self._woken, timeout)
                if not self._files:
                    return None
                name = self._files[0][0]
            packet = self._read(name)
            if packet is not None:
                return packet
            self._drop_first(name)
            self._counters.add("spool_files_broken")

    def done(self, packet: Packet) -> None:
        """See :class:`Spool`."""
        self._drop_first(packet.key)

    @property
    def waiting_bytes(self) -> int:
        """See :class:`Spool`."""
        return self._bytes

    def wake(self) -> None:
        """See :class:`Spool`."""
        with self._ready:
            self._woken = True
            self._ready.notify_all()

    def _load(self) -> None:
        for leftover in self._directory.glob("*" + _UNFINISHED):
            leftover.unlink()
            self._counters.add("spool_files_broken")
        found = sorted(each for each in self._directory.glob("*" + _SUFFIX) if each.name.partition(".")[0].isdecimal())
        self._files.extend((each.name, each.stat().st_size) for each in found)
        self._bytes = sum(size for _, size in self._files)

    def _write(self, name: str, content: bytes) -> Path:
        path = self._directory / name
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _sync_directory(self) -> None:
        if os.name != "posix":
            return
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _read(self, name: str) -> Packet | None:
        try:
            content = (self._directory / name).read_bytes()
            magic, spans, checksum = _HEAD.unpack_from(content)
        except (OSError, struct.error):
            return None
        body = content[_HEAD.size :]
        return Packet(name, body, spans) if magic == _MAGIC and checksum == zlib.crc32(body) else None

    def _drop_first(self, name: str) -> None:
        (self._directory / name).unlink(missing_ok=True)
        with self._ready:
            _, size = self._files.popleft()
            self._bytes -= size
