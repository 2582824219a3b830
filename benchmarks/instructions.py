"""``python benchmarks/instructions.py``: machine instructions a span, against ``instructions.json``. The gate that keeps a hot path short.

Times differ from run to run by half on a shared machine, instructions by a thousandth; so a change that makes a path longer fails here and is
seen. valgrind's callgrind counts them. What differs between builds of one Python (compiler, libc, processor) differs in plain Python too: so each figure is
divided by that of a piece of plain Python, counted in the same run (``reference``).

``--update`` writes down the figures of this interpreter. Do that for each of 3.10 to 3.13, when a path became longer for a reason or shorter.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE / "instructions.json"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
BUILD = f"{sys.version} {sys.platform}"
TOLERANCE, TOLERANCE_OF_OTHER_BUILDS = 0.03, 0.2
"""How much longer a path may be: for the very build that was written down, and for another one of the same Python."""
TOLERANCE_OF_IMPORT = 0.12
"""An import also counts how long Python searches: where the modules lie, and how many folders come before."""
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
_PART = re.compile(r"\.(\d+)$")


def count() -> dict[str, float]:
    """Return instructions a unit of each piece of work."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        sys.exit("valgrind is missing: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, str(HERE / "instruction_works.py")]
        # Fixed hashes, compiled modules kept: the first run writes them, the second is counted.
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONHASHSEED": "0",
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
            "PYTHONPYCACHEPREFIX": f"{folder}/pyc",
            "OPENSSL_ia32cap": "0",  # OpenSSL's own choice of instructions at import
        }
        subprocess.run(program, env=environment, check=True, stdout=subprocess.DEVNULL)
        options = ["--tool=callgrind", "--dump-before=getpriority", f"--callgrind-out-file={folder}/out"]
        run = subprocess.run(
            [valgrind, *options, *program], env=environment, capture_output=True, text=True, check=False
        )
        if run.returncode:
            sys.exit(f"the work failed under valgrind:\n{run.stderr[-4000:]}")
        units = json.loads(run.stdout)
        parts = sorted(Path(folder).glob("out.*"), key=lambda path: int(_PART.search(path.name)[1]))  # type: ignore[index]
        totals = [int(_TOTALS.search(path.read_text())[1]) for path in parts]  # type: ignore[index]
    # The parts: what came before the first piece, then each piece and what lies between it and the next one.
    pieces = totals[1::2]
    if len(pieces) < len(units):
        sys.exit(f"callgrind wrote {len(totals)} parts for {len(units)} pieces of work")
    return {name: total / unit for (name, unit), total in zip(units.items(), pieces, strict=False)}


def compare(counted: dict[str, float], kept: dict[str, float], tolerance: float) -> bool:
    """Print the table; return whether every path is as short as it was."""
    scale = counted["reference"] / kept["reference"]
    print(f"CPython {sys.version.split()[0]}, instructions a unit; plain Python costs {scale:.3f} of what it did")
    fine = True
    for name, instructions in counted.items():
        before = kept.get(name)
        if before is None:
            print(f"  {name:<12} {instructions:>12,.0f}   not written down yet")
            fine = False
            continue
        change = instructions / scale / before - 1
        allowed = max(tolerance, TOLERANCE_OF_IMPORT) if name == "import" else tolerance
        verdict = "LONGER" if change > allowed else "shorter" if change < -allowed else ""
        print(f"  {name:<12} {instructions:>12,.0f} {change:>+8.1%}  {verdict}")
        fine = fine and change <= allowed
    return fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--update", action="store_true", help="write the figures down")
    options = parser.parse_args()
    everything = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    counted = count()
    kept = everything.get(PYTHON)
    fine = True
    if kept is not None:
        tolerance = TOLERANCE if kept["build"] == BUILD else TOLERANCE_OF_OTHER_BUILDS
        fine = compare(counted, kept["instructions"], tolerance)
    elif not options.update:
        sys.exit(f"no figures of Python {PYTHON} in {KEPT.name}: run with --update")
    if options.update:
        everything[PYTHON] = {"build": BUILD, "instructions": {name: round(value) for name, value in counted.items()}}
        KEPT.write_text(json.dumps(dict(sorted(everything.items())), indent=1) + "\n")
    elif not fine:
        sys.exit(f"a path became longer than {KEPT.name} says: shorten it, or run --update and say why in the commit")


if __name__ == "__main__":
    main()
