"""Relay: Penpot's events, in the team's chat."""

__version__ = "0.1.0"
