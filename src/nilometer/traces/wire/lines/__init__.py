"""One JSON object of a trace file, and what is known about a response from outside it."""

__all__: list[str] = []
