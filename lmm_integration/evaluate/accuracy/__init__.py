"""How often a model answers right by method and budget, and what that costs: `mmdp evaluate`."""
