"""Where row number r of a value lies: sums of (r // divisor % modulus) * stride (kernels/moves.py)."""

Term = tuple[int, int, int]


def terms(sizes: tuple[int, ...], steps: tuple[int, ...]) -> list[Term]:
    """For rows counted over axes of these sizes, the last fastest; `steps` in bytes, 0: repeated.

    Neighbouring axes become one term where their steps fit together; a modulus of 0 means none.
    """
    merged: list[tuple[int, int]] = []  # (size, step), outermost first
    for size, step in zip(sizes, steps, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * step:
            merged[-1] = merged[-1][0] * size, step
        else:
            merged.append((size, step))
    found, divisor, rows = [], 1, 1
    for size, _ in merged:
        rows *= size
    for size, step in reversed(merged):
        if step:
            found.append((divisor, 0 if divisor * size == rows else size, step))
        divisor *= size
    return found


def flat(found: list[Term]) -> list[int]:
    return [word for term in found for word in term]
