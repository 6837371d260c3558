"""Data to solve: photos, generators, benchmark families, captured tokens."""

from mmdp.instances.instance import Instance

__all__ = ["Instance"]
