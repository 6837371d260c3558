"""How a problem is solved. `solve` is the door, `CATALOG` the map; `optimal_sets` samples the sets that are as good."""

from solvers.catalog import CATALOG
from solvers.ensemble import optimal_sets, refined
from solvers.solve import solve

__all__ = ["CATALOG", "optimal_sets", "refined", "solve"]
