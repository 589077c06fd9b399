"""Download size of everything that `pip install karusel` needs; fails above 60 MB.

Downloads the wheels into a temporary folder, so it needs the network. `./dev bench closure [--limit MB]`
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--limit", type=float, default=60.0, metavar="MB", help="default 60; 1 MB is 10^6 bytes"
    )
    limit = parser.parse_args().limit
    needed = [line for line in requires("karusel") or [] if "extra ==" not in line]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--only-binary=:all:",
            "-d",
            folder,
            *needed,
        ]
        subprocess.run(command, check=True)
        sizes = {path.name: path.stat().st_size / 1e6 for path in Path(folder).iterdir()}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size:7.2f} MB  {name}")
    total = sum(sizes.values())
    print(f"{total:7.2f} MB  in {len(sizes)} wheels, limit {limit:g} MB; Karusel itself comes on top")
    return int(total > limit)


if __name__ == "__main__":
    sys.exit(main())
