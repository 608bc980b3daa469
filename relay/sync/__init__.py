"""Polls Penpot for what its webhooks leave out."""
