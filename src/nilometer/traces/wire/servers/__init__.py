"""Answers as inference servers and their clients write them: one file per wire format."""

__all__: list[str] = []
