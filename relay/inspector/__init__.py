"""The inspector: the pages in the browser."""
