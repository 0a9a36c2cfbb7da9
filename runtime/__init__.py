""".edge -> tokens: map, lower to a plan, walk it with a team of threads, sample."""
