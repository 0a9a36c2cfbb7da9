"""Which matrix gets how many bits, under a budget."""
