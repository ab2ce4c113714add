"""How accurate is your LLM on every slice of its traffic."""

__all__: list[str] = []
