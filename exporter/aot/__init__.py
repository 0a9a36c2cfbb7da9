"""Kernels compiled ahead of time: objects for a target, linked into a freestanding library."""
