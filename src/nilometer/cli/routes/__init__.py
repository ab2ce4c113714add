"""The verbs of `nilometer route`."""

__all__: list[str] = []
