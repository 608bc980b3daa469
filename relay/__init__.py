"""Relay, a notification relay for Penpot."""

__version__ = "0.1.0"
