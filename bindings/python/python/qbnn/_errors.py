"""Exceptions. Each text is one line: what was found, what was wanted, and the fix."""


class Error(Exception):
    """Anything that qbnn refuses or that goes wrong in it."""


class ArgumentError(Error, ValueError):
    """A mistake in what was asked for: an argument, a setting, an array."""


class FileError(Error, OSError):
    """A file or folder that the system refuses."""


class MissingFileError(FileError, FileNotFoundError):
    """A file or folder that is not there."""


class QbnnWarning(UserWarning):
    """What a user should know about a result that was given all the same."""
