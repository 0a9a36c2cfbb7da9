"""What kernels and their callers must agree on: the team's state, an op's row, sizes of chunks.

Imported by both sides, so it knows neither Numba nor NumPy.
"""

# The team's state, byte offsets; words that threads write have a cache line of their own.
GENERATION = 0  # odd while a step runs; the fields from PLAN on change only while it is even
SLEEPERS = 64  # threads asleep until the next step
WAITERS, WAKES = 128, 136  # threads asleep until an op's chunks are done; times they were woken
PLAN, OPS, ACTIVE, STOP, TOKENS, OUTPUTS, SCRATCH, SCRATCH_BYTES = range(192, 256, 8)
YIELD, SYSCALL, FUTEX = range(256, 280, 8)  # functions of the C library, the call's number
STATE_BYTES = 320
FUTEX_WAIT, FUTEX_WAKE = 128, 129  # private to the process
EVERYBODY = 2**31 - 1

# An op's row, int64 positions; the kernel's own arguments follow.
KERNEL, CLAIM, DONE, CHUNKS, TOKENS_PER_CHUNK, COUNTS_OUTPUTS, BARRIER, NEXT, NEXT_END = range(9)
ARGUMENTS, OP_WORDS = 10, 48

# Tokens of a chunk, and what attention needs of scratch behind its scores.
ACTIVATION_TOKENS, ROPE_TOKENS, ATTENTION_TOKENS, EMBEDDING_TOKENS = 4, 4, 8, 4
SPARE_BYTES = 1024
MOST_TERMS = 6  # of where a move's runs come from and go to
