"""The one exception that the hardware descriptions raise on purpose."""

__all__ = ["ConfigurationError"]


class ConfigurationError(ValueError):
    """A machine that cannot be built as configured.

    The message is one sentence for the user: which parameter, its value, the limit, and the way
    out. The command line prints it as it is, without a traceback, and exits with status 2.
    """
