"""How a problem is solved. `solve` is the door, `CATALOG` the map."""

from solvers.catalog import CATALOG
from solvers.solve import solve

__all__ = ["CATALOG", "solve"]
