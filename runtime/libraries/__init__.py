"""Ways to have the kernels: prebuilt libraries, Numba; which of them this process takes."""
