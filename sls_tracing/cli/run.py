"""`sls-tracing run`: run a program traced, without touching its code.

Nothing happens here but a change of the environment and an ``exec``: ``PYTHONPATH`` gets a folder whose ``sitecustomize`` does the work
in every Python process that the program starts, so reloaders, workers and subprocesses are traced like the first process. What
could go wrong with the settings is found out before, while somebody is looking.

Each start of a service waits for this process too. So it loads what every Python has loaded when it starts, and hardly more.
"""
# ruff: noqa: PTH110, PTH112, PTH113, PTH118, PTH120 - pathlib takes 9 ms of 15

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in sls_tracing/__init__
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, MutableMapping, Sequence

__all__ = [
    "BOOTSTRAP",
    "INTERPRETER",
    "add_arguments",
    "become",
    "interpreter",
    "main",
    "prepare_environment",
    "usual_arguments",
]

BOOTSTRAP = os.path.join(os.path.dirname(__file__), "bootstrap")

INTERPRETER = "SLS_TRACING_RUN_INTERPRETER"
"""The variable that tells a child which interpreter has this package; any other one stays as it is."""

_PREFIXES = ("JAEGER_", "SLS_TRACING_")
_HARMLESS = ("JAEGER_SERVICE_NAME", INTERPRETER)
SETTING_IS_WRONG = 2
CANNOT_EXECUTE = 126
NOT_FOUND = 127
"""As shells answer, so that supervisors and scripts understand."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; everything after the first word that is not one belongs to the command."""
    import argparse

    parser.usage = "sls-tracing run [--service NAME] [--] COMMAND [ARGUMENT ...]"
    parser.add_argument(
        "--service", metavar="NAME", help="the service's name in every trace; JAEGER_SERVICE_NAME if not given"
    )
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the program and its arguments")


def usual_arguments(words: Sequence[str]) -> tuple[str | None, list[str]] | None:
    """Return service and command of ``[--service NAME] [--] COMMAND …``; None for anything else, which argparse reads or refuses."""
    rest = list(words)
    service = None
    if rest[:1] == ["--service"]:
        service, rest = rest[1] if len(rest) > 1 else "-", rest[2:]
    if not rest or rest == ["--"] or (rest[0].startswith("-") and rest[0] != "--") or (service or "").startswith("-"):
        return None
    return service, rest


def main(args: argparse.Namespace) -> int:
    """As :func:`become`, with what argparse has read."""
    return become(args.service, args.command)


def become(service: str | None, words: list[str]) -> int:
    """Become the command; return only if that is impossible. Raises ConfigurationError for settings that cannot work."""
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        return _fail(SETTING_IS_WRONG, "no command; for example: sls-tracing run --service shop python app.py")
    environ = dict(os.environ)
    if service is not None:
        environ["JAEGER_SERVICE_NAME"] = service
    _check_settings(environ)
    prepare_environment(environ)
    path = _find(command[0], environ)
    if path is None:
        return _not_found(command[0], environ)
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        return _fail(CANNOT_EXECUTE, f"{command[0]}: {_why_not_executable(path, command)}")
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(path, command, environ)  # noqa: S606 - the point of this command; no shell, so nothing to quote
    except FileNotFoundError:  # the file is there: what its first line names is not
        return _fail(NOT_FOUND, f"{command[0]}: the interpreter named in its first line does not exist")
    except OSError as error:
        return _fail(CANNOT_EXECUTE, f"{command[0]}: {error.strerror}")


def prepare_environment(environ: MutableMapping[str, str]) -> None:
    """Change ``environ`` so that Python processes under it trace themselves. Doing it twice changes nothing more."""
    paths = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != BOOTSTRAP]
    environ["PYTHONPATH"] = os.pathsep.join([BOOTSTRAP, *paths])
    environ[INTERPRETER] = interpreter()


def interpreter() -> str:
    """Return what ``sitecustomize`` compares: the version and the environment (prefix) of this interpreter."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}:{os.path.realpath(sys.prefix)}"


def _check_settings(environ: MutableMapping[str, str]) -> None:
    from sls_tracing.exceptions import ConfigurationError

    if not environ.get("JAEGER_SERVICE_NAME", "").strip():
        raise ConfigurationError("the service has no name: say --service NAME, or set JAEGER_SERVICE_NAME")
    if not any(name.startswith(_PREFIXES) for name in environ if name not in _HARMLESS):
        return  # what is left at its default is right: this process need not load the library, half of what `run` costs
    from sls_tracing.config import check_settings

    check_settings(environ)
    if any(name.startswith("SLS_TRACING_HTTP_") for name in environ):
        from sls_tracing.instrumentation import HTTPOptions  # 10 ms, for those who set them

        HTTPOptions.from_environment(environ)


def _find(command: str, environ: MutableMapping[str, str]) -> str | None:
    if os.sep in command:
        return command if os.path.exists(command) else None
    path = environ.get("PATH", os.defpath)
    for folder in path.split(os.pathsep):
        file = os.path.join(folder or os.curdir, command)
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return file
    from shutil import which  # it knows what Windows makes of a name

    return which(command, path=path)


def _not_found(command: str, environ: MutableMapping[str, str]) -> int:
    return _fail(NOT_FOUND, f"{command}: command not found{_advice(command, environ)}")


def _advice(command: str, environ: MutableMapping[str, str]) -> str:
    """Say what was probably meant: a script to be run by Python, or a command with nearly this name."""
    from difflib import get_close_matches

    if command.endswith(".py") and os.path.exists(command):
        return f"; did you mean `python {command}`?"
    if os.sep in command:
        return ""
    near = get_close_matches(command, sorted(set(_commands(environ))), n=1, cutoff=0.7)
    return f"; did you mean `{near[0]}`?" if near else ""


def _commands(environ: MutableMapping[str, str]) -> Iterator[str]:
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        try:
            with os.scandir(folder or os.curdir) as entries:
                yield from (entry.name for entry in entries)
        except OSError:  # PATH names folders that are gone or closed; shells do not mind either
            continue


def _why_not_executable(path: str, command: list[str]) -> str:
    if os.path.isdir(path):
        return "is a directory"
    advice = f"; did you mean `python {' '.join(command)}`?" if path.endswith(".py") else ""
    return f"permission denied{advice}"


def _fail(status: int, message: str) -> int:
    print(f"sls-tracing run: error: {message}", file=sys.stderr)
    return status
