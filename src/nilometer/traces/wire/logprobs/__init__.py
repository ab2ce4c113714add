"""Log-probabilities, in whatever shape a provider lists them, as clean arrays."""

__all__: list[str] = []
