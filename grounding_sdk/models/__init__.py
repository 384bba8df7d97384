"""Models: the ports, what there is, where weights are, and the adapters."""
