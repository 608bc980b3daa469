"""All that knows Penpot."""
