"""Every kernel in plain NumPy: for machines that no compiled kernels can be had for."""
