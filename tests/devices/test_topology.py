"""Clusters, and the verdict on an affinity that was asked for."""

import errno

import pytest

from edge.devices import topology
from tests.devices import trees


def test_clusters_come_fastest_first(fake):
    found = topology.clusters(fake("phone"))
    assert [(c.cpus, c.max_hz, c.capacity) for c in found] == [
        ((7,), 3.0e9, 1024),
        ((4, 5, 6), 2.6e9, 871),
        ((0, 1, 2, 3), 1.8e9, 325),
    ]
    assert topology.big_cores(found) == (7, 4, 5, 6)


def test_clocks_are_enough_where_capacities_are_not_told(fake):
    tree = {path: text for path, text in trees.phone().items() if "capacity" not in path}
    assert topology.big_cores(topology.clusters(fake(tree))) == (7, 4, 5, 6)


def test_policies_of_equal_cores_are_one_cluster_of_big_ones(fake):
    found = topology.clusters(fake("laptop"))
    assert [cluster.cpus for cluster in found] == [(0, 1)]
    assert topology.big_cores(found) == (0, 1)


def test_favoured_cores_do_not_make_the_others_little(fake):
    tree = trees.policy(0, "0", [400000, 5200000], 1) | trees.policy(1, "1", [400000, 4900000], 1)
    assert topology.big_cores(topology.clusters(fake(tree))) == (0, 1)


def test_without_cpufreq_all_cores_are_one_cluster(fake):
    (cluster,) = topology.clusters(fake("virtual_machine"))
    assert cluster.cpus == (0, 1) and cluster.max_hz is None


def test_a_machine_that_says_nothing_has_no_clusters(fake):
    assert topology.clusters(fake({})) == () and topology.big_cores(()) == ()


@pytest.mark.parametrize(
    "text, cpus",
    [("0-3\n", (0, 1, 2, 3)), ("0 1 7", (0, 1, 7)), ("0-1,4", (0, 1, 4)), ("", ()), ("x-3", ())],
)
def test_lists_of_cores(text, cpus):
    assert topology.cpu_list(text) == cpus


def refuse(process, cpus):
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize(
    "set_affinity, got, why",
    [
        (lambda process, cpus: None, {1, 2}, None),
        (lambda process, cpus: None, {0, 1, 2, 3}, "got [0, 1, 2, 3]"),  # accepted and ignored
        (refuse, {1, 2}, "Operation not permitted"),
    ],
)
def test_an_affinity_is_read_back(set_affinity, got, why):
    said = topology.stay_on([1, 2], set_affinity, lambda process: got)
    assert said is None if why is None else why in said
