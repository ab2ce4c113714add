"""What was said: traces with log-probabilities, read from every common wire format."""

from nilometer.traces.schema import FORMAT_VERSION, LABEL_SCHEMA, TRACE_SCHEMA

__all__ = ["FORMAT_VERSION", "LABEL_SCHEMA", "TRACE_SCHEMA"]
