"""Models as plans: a header's description becomes rows of kernel addresses and arguments."""
