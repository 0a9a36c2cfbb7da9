"""What a sample of all sensors costs on this machine, or on a made-up one.

python benchmarks/sampling.py [--tree laptop] [--samples 2000]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from edge.devices.device import detect
from edge.devices.root import Root
from edge.devices.sample import Sensors
from tests.devices import trees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", choices=trees.TREES, help="files of such a device, on this disk")
    parser.add_argument("--samples", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Root()
        if arguments.tree:
            trees.write(Path(folder), trees.TREES[arguments.tree]())
            root = trees.FakeRoot(folder, firmware=trees.firmware())
        started = time.perf_counter()
        sensors = Sensors.of(detect(root), root)
        print(
            f"{len(sensors.found)} sensors found in {1e3 * (time.perf_counter() - started):.1f} ms"
        )
        costs = [_cost(sensors) for _ in range(arguments.samples)]
    print(
        f"a sample: median {statistics.median(costs):.1f} us, "
        f"of 100 the slowest {statistics.quantiles(costs, n=100)[-1]:.1f} us"
    )


def _cost(sensors: Sensors) -> float:
    started = time.perf_counter()
    sensors.sample(time.monotonic())
    return 1e6 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
