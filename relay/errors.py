"""The base of the package's exceptions."""


class RelayError(Exception):
    """Base class: each subclass is a failure that some caller handles or reports."""
