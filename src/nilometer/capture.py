"""The short path of the middleware: ``vllm serve MODEL --middleware nilometer.capture.Capture``."""

from nilometer.service.capture import Capture

__all__ = ["Capture"]
