"""The machine edge runs on: what it is, what it has, what it feels."""
