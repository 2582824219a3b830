"""The end of a body that the application reads by itself: where a client's span ends, too."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sls_tracing.instrumentation._http import Call

__all__ = ["finish_when_called"]


def finish_when_called(call: Call, response: Any, method: str, errors: type[BaseException]) -> None:
    """Finish ``call`` when ``response.<method>`` is called for the first time, or when the response is forgotten.

    ``method`` is what its library calls at the end of a body and when a response is closed. If it does so because of one of ``errors``, the
    body broke off. The response is not held here, and no cycle is made that would keep its connection until the next collection.
    """
    reference = weakref.ref(response)

    def finishing(*args: Any, **kwargs: Any) -> Any:
        error = sys.exc_info()[1]
        if isinstance(error, errors):
            call.failed(error)
        call.finish()
        response = reference()
        return None if response is None else getattr(type(response), method)(response, *args, **kwargs)

    setattr(response, method, finishing)
    weakref.finalize(response, call.finish)
