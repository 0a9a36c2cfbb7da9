"""Random graphs through all passes: whatever they recognise, the results stay."""

import numpy as np
import pytest

from edge.exporter.graph.fuse import PASSES
from tests.exporter.graph.building import Building, assert_same, random

C = 4


class Random:
    """Adds random operators to images [N, C, H, W] and sequences [N, T, C] that are there."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.b = Building(x=("N", C, 6, "W"))
        self.images = ["x"]
        self.sequences = [self.b("Transpose", self.b("Reshape", "x", [0, C, -1]), perm=(0, 2, 1))]

    def array(self, *shape):
        return random(*shape, seed=int(self.rng.integers(1 << 30)))

    def pick(self, values):
        return values[self.rng.integers(len(values))]

    def conv(self, x):
        kernel = self.pick([1, 3])
        groups = self.pick([1, 2, C])
        more = [self.array(C)] if self.rng.integers(2) else []
        w = self.array(C, C // groups, kernel, kernel) / 3
        return self.b("Conv", x, w, *more, group=groups, pads=(kernel // 2,) * 4)

    def norm(self, x):
        gain, bias, mean = (self.array(C) for _ in range(3))
        return self.b("BatchNormalization", x, gain, bias, mean, 1 + abs(self.array(C)))

    def channels(self, x):
        op = self.pick(["Add", "Sub", "Mul"])
        constant = self.array(*self.pick([(C, 1, 1), (1, C, 1, 1), (1,), ()]))
        return self.b(op, *self.pick([(x, constant), (constant, x)]))

    def unary(self, x):
        return self.b(self.pick(["Relu", "Neg", "Tanh", "Sigmoid"]), x)

    def two(self, x):
        return self.b(self.pick(["Add", "Mul", "Max"]), x, self.pick(self.images))

    def halves(self, x):
        first, second = self.b("Split", x, [2, 2], axis=1, outputs=2)
        return self.b("Concat", second, self.unary(first), axis=1)

    def excited(self, x):
        return self.b("Mul", x, self.b("Sigmoid", self.conv(self.b("GlobalAveragePool", x))))

    def pooled(self, x):
        op = self.pick(["MaxPool", "AveragePool"])
        return self.b(op, x, kernel_shape=(3, 3), pads=(1, 1, 1, 1))

    def turned(self, x):
        y = self.b("Transpose", x, perm=(0, 2, 3, 1))
        return self.b("Transpose", self.unary(y), perm=(0, 3, 1, 2))

    def linear(self, x):
        y = self.b("MatMul", x, self.array(C, C))
        return self.b("Add", y, self.array(C)) if self.rng.integers(2) else y

    def layer_norm(self, x):
        centred = self.b("Sub", x, self.b("ReduceMean", x, [-1]))
        variance = self.b("ReduceMean", self.b("Mul", centred, centred), [-1])
        y = self.b("Div", centred, self.b("Sqrt", self.b("Add", variance, 0.1)))
        return self.b("Mul", y, self.array(C))

    def attention(self, x):
        q, k, v = (
            self.b("Transpose", self.b("Reshape", part, [0, 0, 2, 2]), perm=(0, 2, 1, 3))
            for part in (self.linear(x), self.linear(x), x)
        )
        if self.rng.integers(2):
            q, k = self.rotated(q), self.rotated(k)
        scores = self.b("MatMul", q, self.b("Transpose", k, perm=(0, 1, 3, 2)))
        weights = self.b("Softmax", self.b("Mul", scores, 0.5))
        y = self.b("Transpose", self.b("MatMul", weights, v), perm=(0, 2, 1, 3))
        return self.b("Add", x, self.b("Reshape", y, [0, 0, C]))

    def rotated(self, x):
        first, second = (self.b("Slice", x, [i], [i + 1], [3]) for i in (0, 1))
        turned = self.b("Concat", self.b("Neg", second), first, axis=3)
        return self.b("Add", self.b("Mul", x, self.array(1, 2)), self.b("Mul", turned, 0.5))

    def silu(self, x):
        return self.b("Mul", x, self.b("Sigmoid", x))

    def grow(self):
        image = self.pick(
            [self.conv, self.conv, self.norm, self.channels, self.unary, self.two, self.halves]
            + [self.excited, self.pooled, self.turned, self.silu]
        )
        self.images.append(image(self.pick(self.images[-3:])))
        if self.rng.integers(3) == 0:
            sequence = self.pick([self.linear, self.layer_norm, self.attention, self.silu])
            self.sequences.append(sequence(self.pick(self.sequences[-2:])))
        if self.rng.integers(8) == 0:
            flat = self.b("Reshape", self.images[-1], [0, C, -1])
            self.sequences.append(self.b("Transpose", flat, perm=(0, 2, 1)))

    def model(self):
        for _ in range(14):
            self.grow()
        outputs = {self.images[-1], self.sequences[-1], self.pick(self.images)}
        return self.b.model(*sorted(outputs))


@pytest.mark.parametrize("seed", range(40))
def test_all_passes_together_keep_what_a_random_graph_computes(seed):
    before = Random(seed).model()
    after = before
    for change in PASSES:
        after = change(after)
    assert_same(before, after, random(2, C, 6, 5))
