"""All that knows text."""
