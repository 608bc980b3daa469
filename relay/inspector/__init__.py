"""The inspector: Relay's web pages. Only ``gate`` and what it needs load at startup; the pages load
with the first permitted request."""
