"""Graphs of operators: bound to the shapes of their inputs, and run."""
