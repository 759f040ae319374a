"""What a script gave that does not fit, each of the type that pydensecrf raises there, for scripts that catch it."""

from __future__ import annotations

from segfield.errors import DataError


class ModelError(DataError, ValueError):
    """Shapes and values that do not fit: a ValueError as well."""


class MissingIndexError(ModelError, IndexError):
    """A label, axis or channel that there is none of: an IndexError as well."""


class WrongTypeError(ModelError, TypeError):
    """None, or text, where numbers belong: a TypeError as well."""


class NoProbabilityError(ModelError, AssertionError):
    """A probability that is not between 0 and 1: an AssertionError as well."""
