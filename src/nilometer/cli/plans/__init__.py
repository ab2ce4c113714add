"""What the verbs under ``nilometer plan`` do."""

__all__: list[str] = []
