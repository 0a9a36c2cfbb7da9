"""Which recipe for which model on which device: decided from headers alone."""
