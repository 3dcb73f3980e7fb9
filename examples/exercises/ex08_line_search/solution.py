"""The project's own line search."""

from trpo import line_search

__all__ = ["line_search"]
