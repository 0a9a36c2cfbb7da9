"""What a sample of all sensors costs on this machine, or on a made-up one; and what it costs decoding.

python benchmarks/sampling.py [--tree laptop] [--samples 2000] [--model MODEL.edge]
"""

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from edge.devices.device import detect
from edge.devices.governor import Governor
from edge.devices.monitor import Monitor
from edge.devices.policy import Targets
from edge.devices.profile import Profile
from edge.devices.root import Root
from edge.devices.sample import Sample, Sensors
from edge.devices.status import Publisher
from tests.devices import trees

ROUNDS, TOKENS = 40, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", choices=trees.TREES, help="files of such a device, on this disk")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--model", type=Path, help="decode with and without a monitor at 2 Hz")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Root()
        if arguments.tree:
            trees.write(Path(folder), trees.TREES[arguments.tree]())
            root = trees.FakeRoot(folder, firmware=trees.firmware())
        started = time.perf_counter()
        device = detect(root)
        sensors = Sensors.of(device, root)
        print(
            f"{len(sensors.found)} sensors found in {1e3 * (time.perf_counter() - started):.1f} ms"
        )
        costs = [_cost(sensors) for _ in range(arguments.samples)]
        print(
            f"a sample: median {statistics.median(costs):.1f} us, "
            f"of 100 the slowest {statistics.quantiles(costs, n=100)[-1]:.1f} us"
        )
        _processor_time(sensors, device.profile)
        if arguments.model:
            _decode(arguments.model, sensors, device.profile)


def _cost(sensors: Sensors) -> float:
    started = time.perf_counter()
    sensors.sample(time.monotonic())
    return 1e6 * (time.perf_counter() - started)


def _processor_time(sensors: Sensors, profile: Profile, rounds: int = 400) -> None:
    """Of this thread, which a busy machine does not change as it changes the clock on the wall."""
    governor = Governor(profile, 4, Targets(max_temp_c=70))  # with a forecast: all that there is
    monitor = Monitor(sensors=sensors, activity=lambda: governor.activity)
    publisher = Publisher("a model")
    samples = steps = 0
    for _ in range(rounds):
        started = time.thread_time_ns()
        sample = monitor.sample()
        governor.observe(sample)
        publisher.tell(sample, governor.activity)
        between = time.thread_time_ns()
        governor.before_step()
        governor.after_step(1, 0.1)
        samples, steps = samples + between - started, steps + time.thread_time_ns() - between
    publisher.close()
    share = 2 * samples / rounds / 1e9
    print(
        f"monitor, governor and telling other processes at 2 Hz: {share:.3%} of one core, "
        f"and {steps / rounds / 1e3:.1f} us a token"
    )


def _decode(path: Path, sensors: Sensors, profile: Profile) -> None:
    """Rounds in turns; the machine drifts, neighbours do not."""
    from edge.session import load_model

    model = load_model(path, context=TOKENS + 1)
    governor = Governor(profile, model.threads)
    plain, watched = [], []
    _tokens(model)
    for i in range(2 * ROUNDS):
        if i % 4 in (0, 3):  # ABBA
            plain.append(_tokens(model))
            continue
        monitor = Monitor(0.5, sensors=sensors, activity=lambda: governor.activity)
        publisher = Publisher("a model")
        tell = partial(_tell, publisher, governor)
        monitor.observers += [governor.observe, tell]
        model.pace = governor
        monitor.start()
        watched.append(_tokens(model))
        monitor.stop()
        publisher.close()
        model.pace = None
    model.close()
    a, b = statistics.median(plain), statistics.median(watched)
    print(
        f"decode: {a:.1f} tok/s alone, {b:.1f} with monitor, governor and telling: {1 - b / a:+.2%} lost"
    )
    spread = statistics.quantiles(plain, n=4)
    print(f"half of the rounds alone lay within {(spread[2] - spread[0]) / a:.1%}")


def _tell(publisher: Publisher, governor: Governor, sample: Sample) -> None:
    publisher.observe(sample, governor.activity)


def _tokens(model) -> float:
    model.rewind(0)
    started = time.perf_counter()
    for token in range(TOKENS):
        model.forward([token])
    return TOKENS / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
