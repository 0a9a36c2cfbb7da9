"""A team of threads walks a plan: claim a chunk, compute it, until the last op is done.

Nobody waits for a thread, only for chunks: an op is over when as many chunks are done as it
has.  A thread that the system has set aside between two chunks holds nobody up, whatever the
number of threads and cores; it finds its work done when it comes back.

Each op has a claim cell and (shared by ops with no barrier between them) a done cell, both
`generation << 32 | count`.  A count of an older generation reads as 0, so nothing is reset
between steps, and a thread that is a step behind finds a newer generation and leaves.
All atomics are sequentially consistent: a waiter announces itself before it looks at the count,
a worker counts before it looks for waiters, so one of the two sees the other.  Waiters sleep on a
word that every wake-up changes, not on the cell: a futex compares 32 bits, and the counts of two
generations can be alike.
"""

from . import simd
from .compiler import inline
from .layout import (
    ACTIVE,
    ARGUMENTS,
    BARRIER,
    CHUNKS,
    CLAIM,
    COUNTS_OUTPUTS,
    DONE,
    EVERYBODY,
    FUTEX,
    FUTEX_WAIT,
    FUTEX_WAKE,
    GENERATION,
    KERNEL,
    NEXT,
    NEXT_END,
    OP_WORDS,
    OPS,
    OUTPUTS,
    PLAN,
    SCRATCH,
    SCRATCH_BYTES,
    SLEEPERS,
    STOP,
    SYSCALL,
    TOKENS,
    TOKENS_PER_CHUNK,
    WAITERS,
    WAKES,
    YIELD,
)

SPINS, YIELDS = 2000, 4  # some 20-50 us, then let others run, then sleep
IDLE_SPINS = 10000  # between steps: as long as it takes to choose a token
FETCH = 512  # bytes fetched between two looks at the count
EXHAUSTED, STALE = -1, -2


@inline
def field(op, position):
    return simd.load_i64(op + 8 * position)


@inline
def claim(cell, generation, chunks):
    """The next chunk that nobody has, EXHAUSTED, or STALE."""
    while True:
        value = simd.load_acquire(cell)
        age = (value >> 32) - generation
        if age > 0:
            return STALE
        chunk = value & 0xFFFFFFFF if age == 0 else 0
        if chunk >= chunks:
            return EXHAUSTED
        if simd.compare_and_swap(cell, value, (generation << 32) + chunk + 1):
            return chunk


@inline
def report(state, cell, generation, finished):
    """Add finished chunks to a done cell and wake whoever sleeps on it."""
    while True:
        value = simd.load_acquire(cell)
        if (value >> 32) == generation:
            swapped = simd.compare_and_swap(cell, value, value + finished)
        else:
            swapped = simd.compare_and_swap(cell, value, (generation << 32) + finished)
        if swapped:
            break
    if simd.load_acquire(state + WAITERS) > 0:
        simd.fetch_add(state + WAKES, 1)
        futex(state, state + WAKES, FUTEX_WAKE, EVERYBODY)


@inline
def futex(state, word, operation, value):
    if simd.load_i64(state + SYSCALL) != 0:
        number = simd.load_i64(state + FUTEX)
        simd.call_futex(simd.load_i64(state + SYSCALL), number, word, operation, value)
    elif operation == FUTEX_WAIT:
        simd.call0(simd.load_i64(state + YIELD))


@inline
def sleep(state, counter, wakes, word, seen):
    """Sleep until the state's `wakes` changes, unless `word` is no longer `seen` already."""
    simd.fetch_add(state + counter, 1)
    before = simd.load_acquire(state + wakes)
    if simd.load_acquire(word) == seen:
        futex(state, state + wakes, FUTEX_WAIT, before & 0xFFFFFFFF)
    simd.fetch_add(state + counter, -1)


@inline
def wait_for(state, cell, generation, chunks, weights, weights_end):
    """Wait until a done cell counts `chunks`; False if the step is over already.

    Meanwhile memory is idle: fetch the weights of the next product, to the L2 cache.
    """
    turns = 0
    while True:
        value = simd.load_acquire(cell)
        age = (value >> 32) - generation
        if age > 0:
            return False
        if age == 0 and (value & 0xFFFFFFFF) >= chunks:
            return True
        if weights < weights_end:
            for line in range(0, FETCH, 64):
                simd.prefetch(weights + line)
            weights += FETCH
            continue
        turns += 1
        if turns < SPINS:
            simd.pause()
        elif turns < SPINS + YIELDS:
            simd.call0(simd.load_i64(state + YIELD))
        else:
            sleep(state, WAITERS, WAKES, cell, value)


@inline
def chunks_of(op, tokens, outputs):
    """Chunks of an op: a fixed number, times the blocks of tokens where it is cut by tokens."""
    chunks = field(op, CHUNKS)
    size = field(op, TOKENS_PER_CHUNK)
    if size > 0:
        count = outputs if field(op, COUNTS_OUTPUTS) != 0 else tokens
        chunks *= (count + size - 1) // size
    return chunks


@inline
def walk(state, generation, plan, ops, tokens, outputs, scratch):
    """Do a share of every op, in order."""
    pending = 0  # chunks of the ops since the last barrier
    for i in range(ops):
        op = plan + 8 * OP_WORDS * i
        chunks = chunks_of(op, tokens, outputs)
        finished = 0
        chunk = claim(field(op, CLAIM), generation, chunks)
        while chunk >= 0:
            simd.call_kernel(field(op, KERNEL), op + 8 * ARGUMENTS, chunk, scratch)
            finished += 1
            chunk = claim(field(op, CLAIM), generation, chunks)
        if finished > 0:
            report(state, field(op, DONE), generation, finished)
        if chunk == STALE:
            return
        pending += chunks
        # An op can have no chunks (logits of no token): nobody reports, nothing to wait for.
        if field(op, BARRIER) != 0 and pending > 0:
            weights, weights_end = field(op, NEXT), field(op, NEXT_END)
            if not wait_for(state, field(op, DONE), generation, pending, weights, weights_end):
                return
            pending = 0


def step(state, generation, thread):
    """Run the plan in the state once, as thread 0, with whoever comes to help.

    `generation` is odd and larger than any that the plan or the team has seen.
    """
    simd.store_release(state + GENERATION, generation)
    if simd.load_acquire(state + SLEEPERS) > 0:
        futex(state, state + GENERATION, FUTEX_WAKE, EVERYBODY)
    plan, ops = simd.load_i64(state + PLAN), simd.load_i64(state + OPS)
    tokens, outputs = simd.load_i64(state + TOKENS), simd.load_i64(state + OUTPUTS)
    walk(state, generation, plan, ops, tokens, outputs, simd.load_i64(state + SCRATCH))
    simd.store_release(state + GENERATION, generation + 1)


def work(state, generation, thread):
    """Help with every step until STOP: the life of thread 1, 2, ..."""
    seen = generation
    turns = 0
    while True:
        generation = simd.load_acquire(state + GENERATION)
        if generation == seen or generation & 1 == 0:
            turns += 1
            if simd.load_acquire(state + STOP) != 0:
                return
            if turns < IDLE_SPINS:
                simd.pause()
            elif turns < IDLE_SPINS + YIELDS:
                simd.call0(simd.load_i64(state + YIELD))
            else:
                sleep(state, SLEEPERS, GENERATION, state + GENERATION, generation)
            continue
        turns = 0
        seen = generation
        plan, ops = simd.load_acquire(state + PLAN), simd.load_acquire(state + OPS)
        tokens, outputs = simd.load_acquire(state + TOKENS), simd.load_acquire(state + OUTPUTS)
        active = simd.load_acquire(state + ACTIVE)
        if simd.load_acquire(state + GENERATION) != generation or thread >= active:
            continue
        scratch = simd.load_i64(state + SCRATCH) + thread * simd.load_i64(state + SCRATCH_BYTES)
        walk(state, generation, plan, ops, tokens, outputs, scratch)
