"""Recado: a messenger that a few Linux hosts run for themselves.

This package is the library: ``from recado.client import connect``.  It imports nothing here,
so that ``import recado`` costs nothing and each program pays only for what it uses.
"""

__version__ = "0.1.0"
