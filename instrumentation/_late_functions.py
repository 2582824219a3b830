"""A function of the application, named in a variable as ``module:function`` and imported when it is first called.

Not earlier: the variable is read at the start of the process, and an import then would load what the application has to patch first.
"""

from __future__ import annotations

import importlib
from typing import Any

from sls_tracing.patterns import Pattern

__all__ = ["LateFunction", "late_function"]

_NAME = Pattern(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


class LateFunction:
    """Calls the function of that name, imported at the first call. Raises what the import raises, each time: a circular one may end well later."""

    __slots__ = ("_function", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._function: Any = None

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        function = self._function
        if function is None:
            module, _, path = self.name.partition(":")
            function = importlib.import_module(module)
            for attribute in path.split("."):
                function = getattr(function, attribute)
            self._function = function
        return function(*args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LateFunction) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<function {self.name}>"


def late_function(text: str) -> LateFunction:
    """Read the variable. Raises ValueError with the remedy."""
    if not _NAME.fullmatch(text):
        raise ValueError("a function is written module:function, such as shop.tracing:on_request")
    return LateFunction(text)
