"""install and uninstall: what is patched, when, and what is left. Imports are watched in processes of their own."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask
import pytest
import requests
import wrapt

from sls_tracing import instrumentation
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.instrumentation import _import_hooks, _registry
from sls_tracing.instrumentation._patching import Patch, PatchedFunction
from sls_tracing.metrics import counters

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean():
    yield
    instrumentation.uninstall()


def python(code: str) -> str:
    """Run ``code`` in a fresh interpreter and return what it printed; warnings on stderr are failures."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


# -- importing ---------------------------------------------------------------------------------------------------------


def test_install_imports_nothing_that_programs_must_patch_first() -> None:
    """gevent has to patch ssl before anybody imports it; and a start has to be quick."""
    loaded = python("""
        import sys
        from sls_tracing import instrumentation
        instrumentation.install()
        print([name for name in ("ssl", "asyncio", "urllib3", "requests", "flask", "wrapt", "importlib.metadata") if name in sys.modules])
    """)
    assert loaded == "[]"


def test_libraries_are_patched_when_they_are_imported_and_look_untouched() -> None:
    """Import after install, and the module's loader is the real one."""
    assert python("""
        from sls_tracing import instrumentation
        instrumentation.install()
        import flask, requests, inspect, importlib.resources
        print(hasattr(flask.Flask.wsgi_app, "__wrapped__"), vars(requests.Session)["send"].__code__.co_name)
        print(type(flask.app.__spec__.loader).__name__, type(flask.app.__loader__).__name__)
        print(len(inspect.getsource(flask.app)) > 1000, inspect.signature(requests.Session.send))
    """).splitlines()[:2] == ["True patched", "SourceFileLoader SourceFileLoader"]


def test_a_reloaded_module_is_patched_again() -> None:
    """A reload makes new classes."""
    assert (
        python("""
        from sls_tracing import instrumentation
        instrumentation.install(["requests"])
        import importlib, requests.sessions
        importlib.reload(requests.sessions)
        print(vars(requests.sessions.Session)["send"].__code__.co_name)
    """)
        == "patched"
    )


def test_under_another_name_the_package_refuses(monkeypatch) -> None:
    """The folder on the path by itself would be a second, separate set of adapters; the error says what to write."""
    monkeypatch.syspath_prepend(ROOT)
    with pytest.raises(ImportError, match="from sls_tracing import instrumentation"):
        importlib.import_module("instrumentation")


def test_a_hook_that_raises_does_not_fail_the_import(tmp_path, monkeypatch) -> None:
    """It is counted, and the module is there."""
    (tmp_path / "target_of_failing_hook.py").write_text("value = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = counters.get("guard_failures_instrumentation_import_hook")
    _import_hooks.watch("target_of_failing_hook", lambda module: module.missing)
    try:
        assert importlib.import_module("target_of_failing_hook").value == 1
    finally:
        _import_hooks.forget("target_of_failing_hook")
    assert counters.get("guard_failures_instrumentation_import_hook") == before + 1


def test_a_target_whose_import_raises_is_tried_again(tmp_path, monkeypatch) -> None:
    """The error is the application's; the next import that succeeds is patched."""
    target = tmp_path / "target_that_fails_first.py"
    target.write_text("raise OSError('not today')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    seen: list[object] = []
    _import_hooks.watch("target_that_fails_first", seen.append)
    try:
        with pytest.raises(OSError, match="not today"):
            importlib.import_module("target_that_fails_first")
        target.write_text("value = 1")
        importlib.invalidate_caches()
        assert importlib.import_module("target_that_fails_first") is seen[0]
    finally:
        _import_hooks.forget("target_that_fails_first")


def test_other_import_hooks_see_the_module_too(tmp_path, monkeypatch) -> None:
    """wrapt's hooks, which other tools use, registered before and after ours."""
    (tmp_path / "watched_by_two.py").write_text("value = 1")
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[str] = []
    wrapt.register_post_import_hook(lambda module: seen.append("before"), "watched_by_two")
    _import_hooks.watch("watched_by_two", lambda module: seen.append("ours"))
    wrapt.register_post_import_hook(lambda module: seen.append("after"), "watched_by_two")
    try:
        importlib.import_module("watched_by_two")
    finally:
        _import_hooks.forget("watched_by_two")
    assert sorted(seen) == ["after", "before", "ours"]


# -- install, uninstall ------------------------------------------------------------------------------------------------


def test_installing_twice_is_silent_and_changes_nothing(caplog) -> None:
    """One wrapper, no message."""
    instrumentation.install()
    first = vars(flask.Flask)["wsgi_app"]
    instrumentation.install(["flask"])
    instrumentation.install("requests")
    assert vars(flask.Flask)["wsgi_app"] is first
    assert sorted(instrumentation.installed()) == sorted(instrumentation.known())
    assert {"flask", "requests", "threading", "futures", "gevent"} <= set(instrumentation.known())
    assert caplog.records == []


def test_uninstall_restores_everything() -> None:
    """Attributes, and the list of import finders."""
    patched = flask.Flask, requests.Session, threading.Thread, ThreadPoolExecutor
    originals = [dict(vars(each)) for each in patched], list(sys.meta_path)
    instrumentation.install()
    instrumentation.uninstall([name for name in instrumentation.known() if name != "flask"])
    assert instrumentation.installed() == ("flask",)
    instrumentation.uninstall()
    instrumentation.uninstall()
    instrumentation.uninstall("flask")
    assert ([dict(vars(each)) for each in patched], list(sys.meta_path)) == originals


@pytest.mark.parametrize("name", ["flsk", "Flask", "reqests"])
def test_an_unknown_name_is_an_error_with_advice_and_changes_nothing(name) -> None:
    """Neither installed nor half installed."""
    with pytest.raises(ConfigurationError, match=r"did you mean '(flask|requests)'"):
        instrumentation.install(["requests", name])
    assert instrumentation.installed() == ()


def test_a_third_partys_entry_point_is_found_when_asked_for(monkeypatch, tmp_path) -> None:
    """A distribution with an entry point in the group; its adapter patches what it likes."""
    (tmp_path / "shop_client.py").write_text("class Client:\n    def call(self): return 'plain'\n")
    (tmp_path / "shop_tracing.py").write_text(
        "from sls_tracing.instrumentation._patching import Patch\n"
        "modules = ['shop_client']\n"
        "def patches(module, tracer):\n"
        "    return [Patch(module.Client, 'call', lambda wrapped, *_: 'traced ' + wrapped())]\n"
    )
    metadata = tmp_path / "shop_tracing-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-tracing\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[sls_tracing.instrumentation]\nshop = shop_tracing\n")
    monkeypatch.syspath_prepend(tmp_path)
    instrumentation.install(["shop"])
    client = importlib.import_module("shop_client").Client()
    assert client.call() == "traced plain"
    instrumentation.uninstall(["shop"])
    assert client.call() == "plain"


def test_threads_may_install_and_uninstall_at_once() -> None:
    """Whatever the order, the end is clean."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                instrumentation.install()
                instrumentation.uninstall()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    instrumentation.uninstall()
    assert errors == []
    assert not hasattr(flask.Flask.__call__, "__wrapped__")


# -- one patch among others --------------------------------------------------------------------------------------------


class Target:
    def call(self) -> str:
        return "original"


class Child(Target):
    pass


def ours(wrapped, instance, args, kwargs):
    return f"ours({wrapped(*args, **kwargs)})"


def theirs(wrapped, instance, args, kwargs):
    return f"theirs({wrapped(*args, **kwargs)})"


def test_removed_under_another_tools_wrapper_it_only_passes_calls_on() -> None:
    """They came later: what is outermost is theirs and stays. When they go, nothing acts any more."""
    original = vars(Target)["call"]
    patch = Patch(Target, "call", ours)
    patch.install()
    mine = vars(Target)["call"]
    wrapt.wrap_function_wrapper(Target, "call", theirs)
    assert Target().call() == "theirs(ours(original))"
    patch.remove()
    assert Target().call() == "theirs(original)"
    Target.call = mine  # as the other tool restores it
    assert Target().call() == "original"
    assert isinstance(vars(Target)["call"], PatchedFunction)
    Target.call = original


def test_installed_over_another_tools_wrapper_it_leaves_that_in_place() -> None:
    """They came first."""
    original = vars(Target)["call"]
    wrapt.wrap_function_wrapper(Target, "call", theirs)
    their_wrapper = vars(Target)["call"]
    patch = Patch(Target, "call", ours)
    patch.install()
    patch.install()
    assert Target().call() == "ours(theirs(original))"
    patch.remove()
    patch.remove()
    assert vars(Target)["call"] is their_wrapper
    Target.call = original


def test_an_inherited_attribute_is_not_left_as_an_own_one() -> None:
    """After removal the class inherits again."""
    patch = Patch(Child, "call", ours)
    patch.install()
    assert (Child().call(), Target().call()) == ("ours(original)", "original")
    patch.remove()
    assert "call" not in vars(Child)


# -- versions, and libraries that fail ---------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A function that writes a library `old_shop_client` and its adapter, and puts both into the table."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(source: str = "", adapter: str = "", minimum: str = "2.0") -> None:
        (tmp_path / "old_shop_client.py").write_text(f"class Client:\n    def call(self): return 'plain'\n{source}\n")
        (tmp_path / "old_shop_tracing.py").write_text(
            "from sls_tracing.instrumentation._patching import Patch\n"
            "def patches(module, tracer):\n"
            "    return [Patch(module.Client, 'call', lambda wrapped, *_: 'traced ' + wrapped())]\n" + adapter
        )
        importlib.invalidate_caches()
        row = _registry.Row("old_shop_tracing", ("old_shop_client",), "old-shop-client", minimum)
        monkeypatch.setitem(_registry.TABLE, "old_shop", row)
        _registry._libraries.pop("old_shop", None)
        instrumentation.install("old_shop")

    yield make
    instrumentation.uninstall("old_shop")
    _registry._libraries.pop("old_shop", None)
    for name in ("old_shop_client", "old_shop_tracing"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("version", "result"),
    [
        ("'1.9.9'", "plain"),
        ("'1.10rc1'", "plain"),
        ("'2'", "traced plain"),
        ("'2.0.0b1'", "traced plain"),
        ("'10.0'", "traced plain"),
        ("'unknown'", "traced plain"),
        ("None", "traced plain"),
        ("(1, 0)", "traced plain"),
    ],
)
def test_a_version_below_the_minimum_is_not_patched(library, version, result) -> None:
    """By numbers. A version that nothing tells is as good as a new one."""
    before = counters.get("instrumentation_unsupported_versions")
    library(f"__version__ = {version}")
    assert importlib.import_module("old_shop_client").Client().call() == result
    is_old = result == "plain"
    assert counters.get("instrumentation_unsupported_versions") == before + is_old
    patched, reasons = _registry.patched("old_shop")
    assert (patched == ()) is is_old
    assert list(reasons.values()) == [f"old-shop-client {version[1:-1]} is older than 2.0"] * is_old


def test_the_version_is_read_from_the_metadata_beside_the_library(library, tmp_path) -> None:
    """Where the module itself tells none, as Flask 3.2 and Werkzeug 3.1."""
    (tmp_path / "Old_shop.client-1.5.dist-info").mkdir()
    library()
    assert importlib.import_module("old_shop_client").Client().call() == "plain"


@pytest.mark.parametrize("raised", ["OSError('not today')", "SystemExit(3)", "KeyboardInterrupt", "GeneratorExit"])
def test_a_library_whose_import_raises_anything_stays_as_it_is(library, raised) -> None:
    """The application gets its exception, the module is as little there as without us, and nothing is counted as ours."""
    failures = {name: count for name, count in counters.snapshot().items() if name.startswith("guard_failures")}
    library(f"raise {raised}")
    kind = type(eval(raised)) if "(" in raised else eval(raised)
    with pytest.raises(kind):
        importlib.import_module("old_shop_client")
    assert "old_shop_client" not in sys.modules
    assert failures == {name: count for name, count in counters.snapshot().items() if name.startswith("guard_failures")}


@pytest.mark.parametrize(
    "adapter",
    [
        "raise OSError('no adapter')",
        "def patches(module, tracer): raise AttributeError('other library')",
        "def patches(module, tracer): return [Patch(module.Client, 'call', print), Patch(module.Client, 'gone', print)]",
        "def patches(module, tracer): return 7",
    ],
    ids=["cannot be imported", "finds nothing", "gets half way", "returns nonsense"],
)
def test_an_adapter_that_fails_leaves_the_library_as_it_was(library, adapter) -> None:
    """Also where its first patch was on already. It is counted, and doctor can say so."""
    before = sum(count for name, count in counters.snapshot().items() if name.startswith("guard_failures"))
    library(adapter=adapter)
    assert importlib.import_module("old_shop_client").Client().call() == "plain"
    assert sum(count for name, count in counters.snapshot().items() if name.startswith("guard_failures")) == before + 1
    patched, reasons = _registry.patched("old_shop")
    assert (patched, list(reasons)) == ((), ["old_shop_client"])


def test_a_module_is_patched_when_its_whole_package_has_been_imported(tmp_path, monkeypatch) -> None:
    """An adapter imports from the package what the package defines last; patched in the middle it would fail, as httpx and aiohttp did."""
    package = tmp_path / "shop_package"
    package.mkdir()
    (package / "__init__.py").write_text("from shop_package.client import Client\nclass ShopError(Exception): pass\n")
    (package / "client.py").write_text("class Client:\n    def call(self): return 'plain'\n")
    (package / "late.py").write_text("class Late:\n    def call(self): return 'plain'\n")
    (tmp_path / "shop_package_tracing.py").write_text(
        "from shop_package import ShopError\n"
        "from sls_tracing.instrumentation._patching import Patch\n"
        "def patches(module, tracer):\n"
        "    kind = getattr(module, 'Late', None) or module.Client\n"
        "    return [Patch(kind, 'call', lambda wrapped, *_: 'traced ' + wrapped())]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    row = _registry.Row("shop_package_tracing", ("shop_package.client", "shop_package.late"))
    monkeypatch.setitem(_registry.TABLE, "shop_package", row)
    instrumentation.install("shop_package")
    try:
        assert importlib.import_module("shop_package").Client().call() == "traced plain"
        assert importlib.import_module("shop_package.late").Late().call() == "traced plain"
    finally:
        instrumentation.uninstall("shop_package")
        _registry._libraries.pop("shop_package")
    assert sys.modules["shop_package"].Client().call() == "plain"


@pytest.mark.parametrize("name", sorted(set(_registry.TABLE)))
def test_every_library_is_patched_when_it_is_imported_after_install(name) -> None:
    """In a process of its own, where nothing has been imported before: no adapter depends on the order."""
    modules = [module for module in _registry.TABLE[name].modules if not module.startswith("kombu")]
    code = f"""
        import importlib, sys
        from sls_tracing import instrumentation
        from sls_tracing.instrumentation import _registry
        instrumentation.install()
        for module in {modules!r}:
            importlib.import_module(module)
        patched, why_not = _registry.patched({name!r})
        print(len(patched) >= {len(modules)}, why_not)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True {}\n", "")
