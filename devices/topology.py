"""Clusters of equal cores, the big ones first, and keeping a process on some of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .root import Root

CPUS = "sys/devices/system/cpu"
LITTLE = 0.65  # little cores run at 55-64 % of the big ones' clock, at less of their capacity


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind.  `max_hz` and `capacity` (0..1024) are None where the system is silent."""

    cpus: tuple[int, ...]
    max_hz: float | None
    capacity: int | None
    policies: tuple[str, ...]  # folders of cpufreq that set their clock


def clusters(root: Root) -> tuple[Cluster, ...]:
    """Fastest first.  Without cpufreq all cores that exist are one cluster."""
    found: dict[tuple[float | None, float | None], Cluster] = {}
    for policy in root.folders(f"{CPUS}/cpufreq", "policy"):
        cpus = cpu_list(root.text_or(f"{policy}/related_cpus"))
        if not cpus:
            continue
        khz = root.number_or_none(f"{policy}/cpuinfo_max_freq")
        capacity = root.number_or_none(f"{CPUS}/cpu{cpus[0]}/cpu_capacity")
        before = found.get((khz, capacity), Cluster((), None, None, ()))
        found[khz, capacity] = Cluster(
            tuple(sorted({*before.cpus, *cpus})),
            khz and khz * 1000,
            None if capacity is None else int(capacity),
            (*before.policies, policy),
        )
    if not found:
        return _without_cpufreq(root)
    return tuple(sorted(found.values(), key=lambda c: (-(c.capacity or 0), -(c.max_hz or 0))))


def _without_cpufreq(root: Root) -> tuple[Cluster, ...]:
    cpus = cpu_list(root.text_or(f"{CPUS}/present"))
    return (Cluster(cpus, None, None, ()),) if cpus else ()


def cpu_list(text: str) -> tuple[int, ...]:
    """ "0-3 6" or "0-3,6" -> 0, 1, 2, 3, 6; nothing for what is not such a list."""
    cpus: list[int] = []
    for part in text.replace(",", " ").split():
        low, _, high = part.partition("-")
        if not (low.isdigit() and (high or low).isdigit()):
            return ()
        cpus += range(int(low), int(high or low) + 1)
    return tuple(cpus)


def big_cores(found: Iterable[Cluster]) -> tuple[int, ...]:
    """Cores of at least LITTLE of the fastest one's capacity, or clock where that is all we know.

    Desktop processors have cores that differ by a few percent: those are all big.
    """
    kinds = list(found)
    fastest = max((_speed(cluster) for cluster in kinds), default=0.0)
    big = [cluster for cluster in kinds if _speed(cluster) >= LITTLE * fastest]
    return tuple(cpu for cluster in big for cpu in cluster.cpus)


def _speed(cluster: Cluster) -> float:
    return cluster.capacity or cluster.max_hz or 0.0


def stay_on(
    cpus: Iterable[int],
    set_affinity: Callable[[int, Iterable[int]], None] | None = None,
    get_affinity: Callable[[int], set[int]] | None = None,
) -> str | None:
    """Keep this process and its later threads on `cpus`; why that failed, or None.

    Some vendors' kernels accept the call and ignore it, so the result is read back.
    """
    set_affinity = set_affinity or getattr(os, "sched_setaffinity", None)
    get_affinity = get_affinity or getattr(os, "sched_getaffinity", None)
    if set_affinity is None or get_affinity is None:
        return "this system cannot choose cores"
    wanted = set(cpus)
    try:
        set_affinity(0, wanted)
        found = set(get_affinity(0))
    except OSError as error:
        return f"sched_setaffinity: {error.strerror}"
    return None if found == wanted else f"asked for cores {sorted(wanted)}, got {sorted(found)}"
