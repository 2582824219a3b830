"""What README and docs show is true: Python runs, commands parse, links lead somewhere, variables and counters exist."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sls_tracing.cli
from sls_tracing.cli import COMMANDS
from sls_tracing.cli.run import INTERPRETER
from sls_tracing.environment import VARIABLES
from sls_tracing.instrumentation._options import HTTP_VARIABLES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
IDS = [page.name for page in PAGES]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_sessions_give_what_they_show(page):
    """Blocks with ``>>>`` are doctests; the blocks of a page share their names."""
    shown = "\n".join(block for block in blocks(page, "python") if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(shown, {}, page.name, str(page), 0)
    output = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=output.append)
    assert not output, "".join(output)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_programs_run(page, tmp_path):
    """Blocks without ``>>>`` run one after the other as one program."""
    program = "\n".join(block for block in blocks(page, "python") if ">>>" not in block)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_are_spelled_right(page):
    """Every ``sls-tracing …`` in a shell block is accepted by the command line's own parser."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and "=" in words[0]:
                words = words[1:]  # variables set for the command
            if words[:1] != ["sls-tracing"]:
                continue
            command, arguments = words[1], words[2:]
            assert command in COMMANDS, line
            result = subprocess.run(
                [sys.executable, "-c", PARSE, command, *arguments],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert result.returncode == 0, f"{line}\n{result.stderr}"


PARSE = """
import argparse, importlib, sys
from sls_tracing.cli import COMMANDS
parser = argparse.ArgumentParser()
importlib.import_module(COMMANDS[sys.argv[1]].module).add_arguments(parser)
parser.parse_args(sys.argv[2:])
"""


VARIABLE = re.compile(r"\b(?:JAEGER|SLS_TRACING)_[A-Z0-9_]+[A-Z0-9]\b")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_variables_that_are_named_exist(page):
    commands = "".join(module.read_text("utf-8") for module in Path(sls_tracing.cli.__path__[0]).glob("*.py"))
    known = {*VARIABLES, *HTTP_VARIABLES, INTERPRETER, *VARIABLE.findall(commands)}
    for name in set(VARIABLE.findall(page.read_text("utf-8"))):
        assert name in known, f"{page.name} names {name}"
