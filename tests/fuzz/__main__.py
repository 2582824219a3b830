"""``python tests/fuzz [--seconds 600]``: atheris, led by coverage, over every decoder of the backend (``tox -e fuzz``).

Each decoder gets its share of the time in a process of its own, whose memory is watched. It fails with the input that did it, as hexadecimal, on any
exception but those that refuse, on a span that cannot be stored, on a single input of more than 5 seconds, and on memory that grows.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
MOST_SECONDS = 5  # for one input
MOST_BYTES = 65_000  # of one input; a datagram's
MOST_GROWTH = 150  # MiB, from its first input on; libFuzzer's own corpus is in it
MOST_MEMORY = 1024  # MiB


def fuzz(name: str, seconds: int, corpus: str) -> None:
    """Run one decoder until the time is over; libFuzzer ends the process."""
    import atheris

    sys.path.insert(0, str(HERE))
    with atheris.instrument_imports(include=["sls_tracing"]):
        import decoders

    for number, seed in enumerate(decoders.DECODERS[name].seeds):
        Path(corpus, str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            decoders.check(name, data)
        except BaseException:
            print(f"{name}: {data.hex()}", flush=True)
            raise

    flags = [f"-max_total_time={seconds}", f"-timeout={MOST_SECONDS}", f"-max_len={MOST_BYTES}", "-print_final_stats=1"]
    flags += [f"-rss_limit_mb={MOST_MEMORY}", f"-artifact_prefix={corpus}/"]
    atheris.Setup([sys.argv[0], *flags, corpus], one)
    atheris.Fuzz()


def watched(name: str, seconds: int) -> str:
    """Run one decoder in a process of its own; return what there is to say of it. Raises SystemExit if it failed."""
    with tempfile.TemporaryDirectory() as corpus, tempfile.NamedTemporaryFile("w+") as output:
        command = [sys.executable, __file__, "--seconds", str(seconds), "--decoder", name, "--corpus", corpus]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        memory: list[float] = []
        said = ""
        while process.poll() is None:
            time.sleep(0.5)
            said = Path(output.name).read_text("utf-8", "replace")
            if "INITED" in said:  # all is loaded, the seeds are read
                memory.append(resident_mib(process.pid))
        said = Path(output.name).read_text("utf-8", "replace")
        growth = max(memory[-3:] or [0]) - memory[0] if memory else 0
        runs = re.search(r"number_of_executed_units: +(\d+)", said)
        if process.returncode or runs is None:
            raise SystemExit(f"{name}: status {process.returncode}\n{said[-6000:]}")
        if growth > MOST_GROWTH:
            raise SystemExit(f"{name}: memory grew by {growth:.0f} MiB\n{said[-3000:]}")
        return f"{name:<18} {int(runs[1]):>10,} inputs   {max(memory or [0]):5.0f} MiB, {growth:+.0f} since its first input"


def resident_mib(pid: int) -> float:
    """Return the memory that a process holds; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    found = re.findall(r"VmRSS:\s+(\d+)", status)
    return int(found[0]) / 1024 if found else 0


def main() -> None:
    sys.path.insert(0, str(HERE))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, help="for all decoders together; %(default)s")
    parser.add_argument("--decoder", help="only this one")
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.corpus:
        fuzz(options.decoder, options.seconds, options.corpus)
        return
    from decoders import DECODERS

    names = [options.decoder] if options.decoder else list(DECODERS)
    for name in names:
        print(watched(name, max(1, options.seconds // len(names))), flush=True)


if __name__ == "__main__":
    main()
