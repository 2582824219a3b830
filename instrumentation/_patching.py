"""One patch: a wrapper around one attribute of one class or module, which can be taken off again whoever came after us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import wrapt

from sls_tracing.instrumentation._function_patch import is_beneath

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Patch", "PatchedFunction", "SharedPatches", "Wrapper"]

Wrapper: TypeAlias = "Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]"
"""``wrapper(wrapped, instance, args, kwargs)``, as wrapt calls it; ``wrapped`` is bound already."""

_NOT_OWN = object()


class PatchedFunction(wrapt.FunctionWrapper):  # type: ignore[misc,type-arg,unused-ignore]
    """wrapt's wrapper under a name of our own, so that "is it ours?" has an answer.

    Removing whatever is outermost, as ``wrapt.unwrap`` and OpenTelemetry do, takes off another tool's wrapper when that tool came later.
    """


class Patch:
    """Wrap ``owner.<name>``. Installing or removing twice is fine.

    Arguments reach wrapt by position only: it has renamed its parameters before (2.0) and broke those who named them.
    """

    def __init__(self, owner: Any, name: str, wrapper: Wrapper) -> None:
        self._owner = owner
        self._name = name
        self._wrapper = wrapper
        self._enabled = False
        self._own: Any = _NOT_OWN
        self._patched: PatchedFunction | None = None

    def is_enabled(self) -> bool:
        """Whether the wrapper acts; a disabled one that could not be taken off passes its calls straight on."""
        return self._enabled

    def install(self) -> None:
        """Put the wrapper on."""
        if self._enabled:
            return
        if self._patched is not None and is_beneath(vars(self._owner).get(self._name), self._patched):
            self._enabled = True  # it could not be taken off, and another one would act twice
            return
        # The class's own attribute or none: restoring an inherited one by setattr would leave a copy behind.
        self._own = vars(self._owner).get(self._name, _NOT_OWN)
        original = getattr(self._owner, self._name) if self._own is _NOT_OWN else self._own
        self._patched = PatchedFunction(original, self._wrapper, self.is_enabled)
        setattr(self._owner, self._name, self._patched)
        self._enabled = True

    def remove(self) -> None:
        """Take the wrapper off if it is outermost. Otherwise it stays under the other tool's and passes calls on."""
        self._enabled = False
        if self._patched is None or vars(self._owner).get(self._name) is not self._patched:
            return
        if self._own is _NOT_OWN:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._own)
        self._patched = None


class SharedPatches:
    """Patches that several libraries need, on as long as one of them does. Each library installs and removes a :meth:`share` of its own.

    Two patches of ours around one attribute would not do: the first one to be removed is then not outermost and stays behind for good.
    """

    def __init__(self, patches: Sequence[Patch]) -> None:
        self._patches = tuple(patches)
        self._holders: set[_Share] = set()

    def share(self) -> _Share:
        """Return what one library installs and removes."""
        return _Share(self)

    def hold(self, holder: _Share) -> None:
        """Put the patches on for ``holder``."""
        self._holders.add(holder)
        for patch in self._patches:
            patch.install()

    def release(self, holder: _Share) -> None:
        """Take them off, if nobody else holds them."""
        self._holders.discard(holder)
        if not self._holders:
            for patch in reversed(self._patches):
                patch.remove()


class _Share:
    def __init__(self, shared: SharedPatches) -> None:
        self._shared = shared

    def install(self) -> None:
        self._shared.hold(self)

    def remove(self) -> None:
        self._shared.release(self)
