"""The spans of one request on their way in: a bad span costs itself only, and there is an end to their number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from sls_tracing.thrift.schema import DecodeError, TooMuchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sls_tracing.model import SpanRecord

__all__ = ["Intake", "load_json"]

T = TypeVar("T")

MAX_SPANS = 50_000
"""Spans of one request, whole or not. Clients send some hundreds; a SpanRecord takes a kilobyte and more."""

MAX_JSON_VALUES = 500_000
"""A body of nothing but ``[[],[],…`` becomes 25 times its size as Python objects. A span has some 50, and clients
send some hundreds of spans."""


class Intake:
    """Collects the spans of one request: ``spans`` those that could be read, ``rejected`` how many could not, ``reason`` why the first."""

    def __init__(self) -> None:
        self.spans: list[SpanRecord] = []
        self.rejected = 0
        self.reason = ""
        self._parts = 0

    def take(self, read: Callable[[T], Iterable[SpanRecord]], source: T) -> None:
        """Add the spans that ``read`` makes of ``source``, or count it as one that could not be read."""
        self.count()
        try:
            self.spans.extend(read(source))
        except TooMuchError:
            raise
        except DecodeError as error:
            self.rejected += 1
            self.reason = self.reason or str(error)

    def take_all(self, spans: Sequence[SpanRecord]) -> None:
        """Add spans that were read already."""
        self.count(len(spans))
        self.spans.extend(spans)

    def count(self, parts: int = 1) -> None:
        """Count parts of the request, empty ones too: those cost two bytes to send and far more to read."""
        self._parts += parts
        if self._parts > MAX_SPANS:
            raise TooMuchError(f"more than {MAX_SPANS} spans in one request; send them in several")


def load_json(body: bytes) -> Any:
    """Return the JSON value in UTF-8. Raises :class:`DecodeError`; :class:`TooMuchError` before it costs memory."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_JSON_VALUES:
        raise TooMuchError(f"more than {MAX_JSON_VALUES} JSON values in one request; send them in several")
    try:
        return json.loads(body)
    except RecursionError:
        raise DecodeError("JSON that is nested too deep") from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are; so is an integer of too many digits
        raise DecodeError(f"not JSON: {error}"[:200]) from None
