"""Kernels: plain functions over addresses, compiled for a target's vector unit."""
