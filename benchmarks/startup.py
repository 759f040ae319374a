"""How long `segfield --help` and `import segfield` take in a fresh process, and that neither loads torch.

The value is the slower of the two medians; the goal is 0.3 s. `segfield train --help`, which reads the recipe's settings, is in
the details. `--quick` takes 3 starts of each instead of 15.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

GOAL = 0.3

CASES = {
    "segfield --help": "from segfield.commands.main import main; main(['--help'])",
    "import segfield": "import segfield",
    "segfield train --help": "from segfield.commands.main import main; main(['train', '--help'])",
    "python alone": "pass",
}
LOADED = "; import sys; sys.stderr.write('torch' if 'torch' in sys.modules else 'none')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few starts; the number is not kept")
    options = parser.parse_args()
    from record import record

    medians, torch_loaded = {}, []
    for name, program in CASES.items():
        seconds = [start(program) for _ in range(3 if options.quick else 15)]
        medians[name] = statistics.median(seconds)
        if loads_torch(program):
            torch_loaded.append(name)
        print(f"{name:22s} median {medians[name]:.3f} s, best {min(seconds):.3f} s")
    value = max(medians["segfield --help"], medians["import segfield"])
    record(
        "startup",
        value,
        "s",
        f"python alone, {medians['python alone']:.3f} s",
        GOAL,
        value < GOAL and not torch_loaded,
        {"median_seconds": medians, "loads_torch": torch_loaded},
        quick=options.quick,
    )


def start(program: str) -> float:
    """Seconds of one fresh process, from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def loads_torch(program: str) -> bool:
    """Whether torch is loaded when the program has run."""
    done = subprocess.run([sys.executable, "-c", program + LOADED], check=True, capture_output=True, text=True)
    return done.stderr.endswith("torch")


if __name__ == "__main__":
    main()
