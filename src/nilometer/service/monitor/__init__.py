"""Alerts: closed windows against a reference, one rate of false alarms, and how they reach people."""

from nilometer.facades import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
