"""Logs and exports that hold answers: one file per tool."""

__all__: list[str] = []
