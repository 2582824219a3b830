"""`sls-tracing run`, with real programs, a real gunicorn and a real UDP receiver."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sls_tracing.cli import main
from sls_tracing.cli.run import BOOTSTRAP, INTERPRETER, interpreter, prepare_environment, usual_arguments
from sls_tracing.thrift.decoding import decode_emit_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BIN = Path(sys.executable).parent
RUN = [sys.executable, "-m", "sls_tracing", "run"]

APP = """
    import sys
    from flask import Flask

    app = Flask("shop")

    @app.get("/products/<int:number>")
    def product(number):
        return str(number)

    if __name__ == "__main__":
        import requests  # after the start: patched when it comes
        client = app.test_client()
        print(client.get("/products/7").data.decode())
"""


NOT_AT_START = (
    # of the standard library: 50 ms
    *(
        "argparse",
        "asyncio",
        "dataclasses",
        "http.client",
        "importlib.metadata",
        "inspect",
        "ipaddress",
        "json",
        "logging",
    ),
    *("pathlib", "shutil", "ssl", "subprocess", "traceback", "urllib.parse", "uuid"),
    # of ours
    *("sls_tracing.metrics_factory", "sls_tracing.metrics_jaeger", "sls_tracing.propagators.jaeger"),
    *("sls_tracing.reporters.composite", "sls_tracing.reporters.logging", "sls_tracing.reporters.memory"),
    *("sls_tracing.samplers.probabilistic", "sls_tracing.samplers.rate_limiting", "sls_tracing.samplers.remote"),
    *("sls_tracing.http_fetch", "sls_tracing.senders.http", "sls_tracing.throttler"),
    *("sls_tracing.thrift.binary", "sls_tracing.thrift.compact", "sls_tracing.thrift.varint"),
    *("sls_tracing.instrumentation._http", "sls_tracing.instrumentation._options", "sls_tracing.instrumentation.flask"),
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """What an agent does with its UDP port: take datagrams and decode them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield Receiver(sock)


class Receiver:
    def __init__(self, sock: socket.socket) -> None:
        self.port = sock.getsockname()[1]
        self._socket = sock

    def spans(self, count: int, seconds: float = 20.0) -> list[tuple[str, str]]:
        """Return (service, operation) of the first ``count`` spans that arrive."""
        deadline, found = time.monotonic() + seconds, []
        while len(found) < count:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            batch = decode_emit_batch(self._socket.recv(65_535), "compact")
            found += [(batch.process.service_name, span.operation_name) for span in batch.spans]
        return found


@pytest.fixture
def environ(receiver, tmp_path) -> dict[str, str]:
    """A clean environment whose agent is the receiver."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("JAEGER_", "PYTHON", "SLS_"))}
    path = os.pathsep.join([str(BIN), keep.get("PATH", "")])
    return {
        **keep,
        "PATH": path,
        "JAEGER_AGENT_HOST": "127.0.0.1",
        "JAEGER_AGENT_PORT": str(receiver.port),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture
def app(tmp_path) -> Path:
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    return tmp_path / "app.py"


def run(*arguments: object, environ: dict[str, str], cwd: Path, **options) -> subprocess.CompletedProcess[str]:
    command = [*RUN, *map(str, arguments)]
    return subprocess.run(
        command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=60, check=False, **options
    )


# -- programs ----------------------------------------------------------------------------------------------------------


def test_a_script_is_traced_without_touching_it(app, environ, receiver) -> None:
    """Its output and exit status are its own; its span arrives under the service's name."""
    done = run("--service", "shop", "python", "app.py", environ=environ, cwd=app.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")
    assert receiver.spans(1) == [("shop", "GET /products/<int:number>")]


@pytest.mark.parametrize("separator", [[], ["--"]])
def test_the_commands_options_are_its_own(environ, tmp_path, separator) -> None:
    """Nothing after the command is read by us; the exit status passes."""
    code = "import sys; print(sys.argv[1:]); sys.exit(3)"
    arguments = ["--service", "a", *separator, "python", "-c", code, "--service", "b", "--", "-h"]
    done = run(*arguments, environ=environ, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "['--service', 'b', '--', '-h']\n")


def test_the_variable_names_the_service_too(app, environ, receiver) -> None:
    """And `python -m`, `-c` and subprocesses are programs like any other."""
    environ["JAEGER_SERVICE_NAME"] = "from-variable"
    code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'app'], check=True)"
    assert run("python", "-c", code, environ=environ, cwd=app.parent).returncode == 0
    assert receiver.spans(1) == [("from-variable", "GET /products/<int:number>")]


def test_a_program_that_is_not_python(environ, tmp_path) -> None:
    """It runs as ever."""
    done = run("--service", "x", "sh", "-c", "echo $0 $1; exit 5", "zero", "one", environ=environ, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (5, "zero one\n", "")


@contextmanager
def serving(
    arguments: list[str], environ: dict[str, str], cwd: Path, pattern: str, stop: Callable[[int, int], None] = os.killpg
) -> Iterator[str]:
    """Start a server under `sls-tracing run` and give its address, found by ``pattern`` in what it prints. ``stop`` gets it SIGTERM."""
    process = subprocess.Popen(
        [*RUN, "--service", "shop", *arguments],
        env=environ,
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(pattern, line)
            if found:
                yield found[1]
                break
        else:
            pytest.fail("the server ended without saying where it listens")
    finally:
        stop(process.pid, signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def kill(process: int, _: int) -> None:
    """uWSGI forgets to stop a worker that is still loading; how it ends is another test's matter."""
    os.killpg(process, signal.SIGKILL)


def fetch(url: str, seconds: float = 20.0) -> bytes:
    """Get ``url``, waiting for a server that has said its address and is not listening yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.read()
        except ConnectionError:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("options", [[], ["--preload"], ["-k", "gthread"], ["-k", "gevent"]], ids=" ".join)
def test_gunicorns_workers_are_traced(app, environ, receiver, options) -> None:
    """Forked before or after the application is loaded, with threads and with gevent."""
    arguments = ["gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", *options, "app:app"]
    with serving(arguments, environ, app.parent, r"Listening at: (http://\S+)") as url:
        for _ in range(4):
            assert fetch(f"{url}/products/7") == b"7"
        assert receiver.spans(4) == [("shop", "GET /products/<int:number>")] * 4


DJANGO = """
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    urlpatterns = [path("products/<int:number>", lambda request, number: HttpResponse(str(number)))]
    settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="test", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
    django.setup()
    from django.core.wsgi import get_wsgi_application

    app = get_wsgi_application()
"""

FASTAPI = """
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/products/{number}")
    async def product(number: int):
        return number
"""


@pytest.mark.parametrize(
    ("program", "server", "listening", "name"),
    [
        (DJANGO, ["gunicorn", "--bind", "127.0.0.1:0"], r"Listening at: (http://\S+)", "GET /products/<int:number>"),
        (FASTAPI, ["uvicorn", "--port", "0"], r"running on (http://\S+)", "GET /products/{number}"),
    ],
    ids=["django", "fastapi"],
)
def test_frameworks_under_their_servers_are_traced(
    environ, tmp_path, receiver, program, server, listening, name
) -> None:
    """Django under gunicorn, FastAPI under uvicorn: one span, named by the route, with no line in the program for it."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(program))
    with serving([*server, "shop:app"], environ, tmp_path, listening) as url:
        assert fetch(f"{url}/products/7") == b"7"
        assert receiver.spans(1) == [("shop", name)]


@pytest.mark.parametrize("options", [[], ["--debug"]], ids=["plain", "reloader"])
def test_flask_run_and_its_reloader_child_are_traced(app, environ, receiver, options) -> None:
    """The reloader starts the program again with the same environment."""
    arguments = ["flask", "--app", "app", "run", "--port", "0", *options]
    if options:
        arguments = ["flask", "--debug", "--app", "app", "run", "--port", "0"]
    with serving(arguments, environ, app.parent, r"Running on (http://\S+)") as url:
        assert fetch(f"{url}/products/7") == b"7"
        assert receiver.spans(1) == [("shop", "GET /products/<int:number>")]


@pytest.mark.parametrize("options", [[], ["--lazy-apps"]], ids=["forked", "lazy"])
def test_uwsgis_workers_are_traced(app, environ, receiver, options) -> None:
    """uWSGI embeds Python: there is no command line to change, and it forks in C."""
    arguments = ["uwsgi", "--http-socket", "127.0.0.1:0", "--master", "--processes", "2", "--wsgi-file", "app.py"]
    arguments += ["--callable", "app", "--need-app", "--die-on-term", *options]
    with serving(arguments, environ, app.parent, r"bound to TCP address (\S+)", stop=kill) as address:
        assert fetch(f"http://{address}/products/7") == b"7"
        assert receiver.spans(1) == [("shop", "GET /products/<int:number>")]


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_celerys_workers_are_traced(environ, tmp_path, receiver, pool) -> None:
    """Forked and threaded ones; over a queue in a folder, with the worker that users start."""
    (tmp_path / "tasks.py").write_text(CELERY)
    (tmp_path / "queue").mkdir()
    arguments = ["celery", "-A", "tasks", "worker", "--pool", pool, "--concurrency", "2", "--loglevel", "INFO"]
    # To the first process alone: Celery by itself hangs now and then when its workers get the signal too.
    with serving(arguments, environ, tmp_path, r"(celery@\S+) ready", stop=os.kill):
        code = "import tasks; tasks.work.delay(7)"
        subprocess.run([sys.executable, "-c", code], env=environ, cwd=tmp_path, check=True, timeout=60)
        spans = [("shop", "work 7")]
        while spans[0] not in (arrived := receiver.spans(1)):
            assert arrived


CELERY = """
import celery, opentracing

app = celery.Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "queue"}
app.conf.worker_hijack_root_logger = False

@app.task
def work(number):
    with opentracing.global_tracer().start_active_span(f"work {number}"):
        pass
"""


@pytest.mark.parametrize("arguments", [["-m", "app"], ["-m", "flask", "--app", "app", "shop"]], ids=["module", "flask"])
def test_python_m_is_traced(app, environ, receiver, arguments) -> None:
    """The program is a module; sys.argv and __main__ are its own."""
    (app.parent / "app.py").write_text((app.parent / "app.py").read_text() + FLASK_COMMAND)
    done = run("--service", "shop", "python", *arguments, environ=environ, cwd=app.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert receiver.spans(1) == [("shop", "GET /products/<int:number>")]


FLASK_COMMAND = """
@app.cli.command("shop")
def shop():
    app.test_client().get("/products/7")
"""


def test_processes_of_multiprocessing_are_traced(environ, tmp_path, receiver) -> None:
    """Spawned ones start anew, forked ones go on; both report."""
    (tmp_path / "work.py").write_text(
        textwrap.dedent("""
        import multiprocessing, opentracing

        def work(name):
            with opentracing.global_tracer().start_active_span(name):
                pass

        if __name__ == "__main__":
            for method in ("fork", "spawn"):
                process = multiprocessing.get_context(method).Process(target=work, args=(method,))
                process.start()
                process.join()
        """)
    )
    assert run("--service", "pool", "python", "work.py", environ=environ, cwd=tmp_path).stderr == ""
    assert sorted(receiver.spans(2)) == [("pool", "fork"), ("pool", "spawn")]


# -- the start of a process --------------------------------------------------------------------------------------------


def test_the_start_imports_nothing_that_programs_patch_first(environ, tmp_path) -> None:
    """gevent must come before ssl and urllib3, and a start must be quick."""
    code = "import sys; print([m for m in ('ssl', 'asyncio', 'urllib3', 'requests', 'wrapt', 'flask', 'thriftpy2') if m in sys.modules])"
    done = run("--service", "x", "python", "-c", code, environ=environ, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_start_loads_only_what_a_silent_program_needs(environ, tmp_path) -> None:
    """What is loaded for a service that sends no span, logs nothing and sets nothing is paid for by every process there is."""
    code = "import gc, sys; assert gc.isenabled(); print(*(name for name in sys.argv[1:] if name in sys.modules))"
    bare = subprocess.check_output([sys.executable, "-c", code, *NOT_AT_START], env=environ, cwd=tmp_path, text=True)
    done = run("--service", "x", "python", "-c", code, *NOT_AT_START, environ=environ, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (bare, "")  # site may load some: an editable install's finder does


def test_the_first_process_loads_next_to_nothing(environ, tmp_path) -> None:
    """It ends in an exec: whatever it loads is thrown away, and loaded again. With settings it checks them, and needs the library for that.

    Under -S, since site and what it finds load what they like.
    """
    program = textwrap.dedent(
        f"""
        import os, sys
        before = set(sys.modules)
        sys.path[:0] = {[path for path in sys.path if path]!r}
        os.execve = lambda *_: print(*sorted(set(sys.modules) - before))
        from sls_tracing.cli import main
        main(["run", "--service", "x", "python", "app.py"])
        """
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={name: value for name, value in environ.items() if not name.startswith("JAEGER_")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert {name for name in loaded if not name.startswith("sls_tracing")} == {"__future__"}
    assert {name for name in loaded if name.startswith("sls_tracing")} == {
        "sls_tracing",
        *(f"sls_tracing.{name}" for name in ("cli", "cli.run", "exceptions", "lazy", "version")),
    }


@pytest.mark.parametrize(
    ("words", "usual"),
    [
        (["python", "app.py", "--service", "x"], (None, ["python", "app.py", "--service", "x"])),
        (["--service", "x", "--", "-c"], ("x", ["--", "-c"])),
        (["--service", "", "python"], ("", ["python"])),
        (["--service=x", "python"], None),
        (["--service", "-x", "python"], None),
        (["--service", "x"], None),
        (["--service"], None),
        (["--help"], None),
        (["--"], None),
        ([], None),
    ],
)
def test_what_is_read_without_argparse(words, usual) -> None:
    """The usual form; anything else is left to argparse, which knows what to say."""
    assert usual_arguments(words) == usual


def test_the_environments_own_sitecustomize_runs_too(environ, tmp_path) -> None:
    """It comes first, `import sitecustomize` gives it, and its path entries stay."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\nvalue = 'mine'\nsys.path.append('/from/sitecustomize')\n"
    )
    environ["PYTHONPATH"] = str(tmp_path / "site")
    code = "import sys, sitecustomize, opentracing; print(sitecustomize.value, '/from/sitecustomize' in sys.path, opentracing.is_global_tracer_registered())"
    done = run("--service", "x", "python", "-c", code, environ=environ, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("mine True True\n", "")


def test_a_sitecustomize_that_fails_fails_as_ever(environ, tmp_path) -> None:
    """Python reports it and goes on; tracing is there all the same."""
    (tmp_path / "sitecustomize.py").write_text("import surely_not_installed")
    environ["PYTHONPATH"] = str(tmp_path)
    code = "import opentracing; print(opentracing.is_global_tracer_registered())"
    done = run("--service", "x", "python", "-c", code, environ=environ, cwd=tmp_path)
    assert done.stdout == "True\n"
    assert "surely_not_installed" in done.stderr


def test_another_interpreter_is_left_alone(environ, tmp_path) -> None:
    """Its folder is on the path of every Python; one with another version or prefix does nothing and says nothing."""
    environ = {**environ, "JAEGER_SERVICE_NAME": "x"}
    prepare_environment(environ)
    environ[INTERPRETER] = "2.7:/elsewhere"
    code = "import sys; print('sls_tracing' in sys.modules, 'opentracing' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("False False\n", "")


def test_the_bootstrap_can_be_read_by_any_python() -> None:
    """No syntax from after Python 2.7: no annotations, no f-strings, no `from __future__ import annotations`."""
    text = Path(BOOTSTRAP, "sitecustomize.py").read_text("utf-8")
    assert text.isascii()
    assert not re.search(r"^from __future__|->.*:$|\bf[\"']|:=|^\s*def \w+\([^)]*:", text, re.MULTILINE)


def test_preparing_twice_is_preparing_once() -> None:
    """`sls-tracing run sls-tracing run …`, and the user's own PYTHONPATH stays."""
    environ = {"PYTHONPATH": os.pathsep.join(["/mine", BOOTSTRAP])}
    prepare_environment(environ)
    prepare_environment(environ)
    assert environ == {"PYTHONPATH": os.pathsep.join([BOOTSTRAP, "/mine"]), INTERPRETER: interpreter()}


# -- what can be wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "arguments", "message"),
    [
        ({}, ["true"], "the service has no name: say --service NAME, or set JAEGER_SERVICE_NAME"),
        ({}, ["--service", "  ", "true"], "the service has no name"),
        ({}, ["--service", "x"], "no command; for example: sls-tracing run --service shop python app.py"),
        ({"JAEGER_SAMPLER_TYPE": "sometimes"}, ["--service", "x", "true"], "JAEGER_SAMPLER_TYPE='sometimes' cannot be used: known samplers are: const"),
        ({"JAEGER_SAMPLER_TYPE": "probabilistic", "JAEGER_SAMPLER_PARAM": "7"}, ["--service", "x", "true"], "JAEGER_SAMPLER_PARAM"),
        ({"JAEGER_PROPAGATION": "pigeon"}, ["--service", "x", "true"], "known are: b3"),
        ({"JAEGER_AGENT_PORT": "many"}, ["--service", "x", "true"], "JAEGER_AGENT_PORT"),
    ],
)  # fmt: skip
def test_wrong_settings_are_found_before_the_program_starts(environ, tmp_path, variables, arguments, message) -> None:
    """Status 2, and a message with the remedy."""
    done = run(*arguments, environ={**environ, **variables}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sls-tracing run: error: ")
    assert message in done.stderr


def make(folder: Path, name: str, text: str, mode: int) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(mode)


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("gunicron", 127, "gunicron: command not found; did you mean `gunicorn`?"),
        ("nothing-like-it-anywhere", 127, "nothing-like-it-anywhere: command not found"),
        ("./missing", 127, "./missing: command not found"),
        ("script.py", 127, "script.py: command not found; did you mean `python script.py`?"),
        ("./script.py", 126, "./script.py: permission denied; did you mean `python ./script.py`?"),
        ("./folder", 126, "./folder: is a directory"),
        ("./bad-interpreter", 127, "./bad-interpreter: the interpreter named in its first line does not exist"),
        ("./no-format", 126, "./no-format: Exec format error"),
    ],
)
def test_a_command_that_cannot_be_run_ends_as_in_a_shell(environ, tmp_path, command, status, message) -> None:
    """127: not there; 126: there and not to be executed."""
    make(tmp_path, "script.py", "print(1)", 0o644)
    make(tmp_path, "bad-interpreter", "#!/does/not/exist\n", 0o755)
    make(tmp_path, "no-format", "neither a program nor a script\n", 0o755)
    (tmp_path / "folder").mkdir()
    done = run("--service", "x", command, environ=environ, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"sls-tracing run: error: {message}\n")


def test_help_says_how_it_is_called(capsys) -> None:
    """The usage shows where the command begins."""
    with pytest.raises(SystemExit) as end:
        main(["run", "--help"])
    assert end.value.code == 0
    assert "sls-tracing run [--service NAME] [--] COMMAND [ARGUMENT ...]" in capsys.readouterr().out
