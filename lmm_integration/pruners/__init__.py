"""One file per published method. `METHODS` lists them; the tables are made from it."""

from lmm_integration.pruners.average_pool import AveragePool
from lmm_integration.pruners.cdpruner import CDPruner
from lmm_integration.pruners.cls_attention import ClsAttention
from lmm_integration.pruners.divprune import DivPrune
from lmm_integration.pruners.dop import DOP
from lmm_integration.pruners.fastv import FastV
from lmm_integration.pruners.feature_resize import FeatureResize
from lmm_integration.pruners.input_resize import InputResize
from lmm_integration.pruners.iwp import IWP
from lmm_integration.pruners.method import Method
from lmm_integration.pruners.random import RandomPruner
from lmm_integration.pruners.trimtokenator import TrimTokenator
from lmm_integration.pruners.trimtokenator_lc import TrimTokenatorLC
from lmm_integration.pruners.uniform_grid import UniformGrid

METHODS: tuple[type[Method], ...] = (
    DivPrune,
    CDPruner,
    IWP,
    TrimTokenator,
    TrimTokenatorLC,
    DOP,
    FastV,
    ClsAttention,
    UniformGrid,
    AveragePool,
    FeatureResize,
    InputResize,
    RandomPruner,
)

__all__ = [
    "DOP",
    "IWP",
    "METHODS",
    "AveragePool",
    "CDPruner",
    "ClsAttention",
    "DivPrune",
    "FastV",
    "FeatureResize",
    "InputResize",
    "Method",
    "RandomPruner",
    "TrimTokenator",
    "TrimTokenatorLC",
    "UniformGrid",
]
