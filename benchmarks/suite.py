"""All benchmarks in turn: `./dev bench`.

A benchmark that other programs disturbed is not kept, the others are.
"""

from __future__ import annotations

import importlib
import sys
import time

import measuring

NAMES = ("kernels", "training", "streaming", "inference", "notebook", "forecast")


def main() -> None:
    options = measuring.parse(__doc__)
    options.rivals = options.rivals or measuring.RIVALS
    start, refused = time.monotonic(), []
    for name in NAMES:
        refused.append(measuring.run(name, importlib.import_module(name).measure, options))
        print(f"{(time.monotonic() - start) / 60:.1f} minutes so far", file=sys.stderr)
    if any(refused):
        raise SystemExit("\n".join(filter(None, refused)))


if __name__ == "__main__":
    main()
