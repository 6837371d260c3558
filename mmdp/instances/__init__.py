"""Data to solve: photos, generators, worst cases, benchmark families, captured tokens.

Importing this package loads neither scikit-image, scikit-learn nor safetensors.
"""

from mmdp.instances.instance import Instance
from mmdp.instances.mdplib import gkd, mdg, read_mdplib, som, write_mdplib
from mmdp.instances.names import describe, list_names, load
from mmdp.instances.photos import photo_tokens, stacked_photo_tokens
from mmdp.instances.pictures import photo
from mmdp.instances.synthetic import clustered, duplicates, gaussian
from mmdp.instances.tight import tight
from mmdp.instances.tight_case import TightCase
from mmdp.instances.token_file import load_tokens, save_tokens

__all__ = [
    "Instance",
    "TightCase",
    "clustered",
    "describe",
    "duplicates",
    "gaussian",
    "gkd",
    "list_names",
    "load",
    "load_tokens",
    "mdg",
    "photo",
    "photo_tokens",
    "read_mdplib",
    "save_tokens",
    "som",
    "stacked_photo_tokens",
    "tight",
    "write_mdplib",
]
