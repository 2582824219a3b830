"""The table of libraries: each is patched by an import that comes after install, and the page for users lists them all."""

import json
import re
import subprocess
import sys
from pathlib import Path

from sls_tracing.instrumentation._registry import TABLE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "instrumentation.md"

IMPORT_AFTER_INSTALL = """
import importlib, json, os, sys
from sls_tracing import instrumentation
from sls_tracing.instrumentation._registry import TABLE, patched

for name, row in TABLE.items():
    sys.stdout.flush()
    if os.fork() == 0:  # nothing but the standard library is loaded yet: each library sees a fresh process
        instrumentation.install([name])
        for module in row.modules:
            importlib.import_module(module.partition(".")[0])
            importlib.import_module(module)
        done, failed = patched(name)
        print(json.dumps([name, len(row.modules) - len(done), failed]))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


def test_an_import_after_install_patches_every_library():
    """Also of libraries whose modules are executed while their package is still being imported."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AFTER_INSTALL], cwd=ROOT, capture_output=True, text=True, timeout=110, check=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[name, 0, {}] for name in TABLE]


def test_the_page_lists_every_library_and_its_minimum():
    rows = re.findall(r"^\| .* \| `([\w.]+)` \| ([\d.]+|–) \|", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert dict(rows) == {name: row.minimum or "–" for name, row in TABLE.items()}
    assert [name for name, _ in rows] == sorted(TABLE), "in the order of their names"
