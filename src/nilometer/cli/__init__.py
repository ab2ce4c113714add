"""See the package docstring of nilometer."""

__all__: list[str] = []
