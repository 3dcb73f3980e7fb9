"""The project's own penalty: --alpha."""

from bremen import imagine_paths as imagine  # noqa: F401
