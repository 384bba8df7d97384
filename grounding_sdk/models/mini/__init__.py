"""The embedded model: network, recipe, weights, and its adapters to the two ports."""
