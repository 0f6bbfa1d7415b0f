"""The one exception that simulation raises on purpose."""

__all__ = ["SimulationError"]


class SimulationError(RuntimeError):
    """A simulation that cannot be prepared or run: a missing tool, an unsuitable input.

    The message is one sentence for the user: what, where, the limit, and the way out. The command
    line prints it as it is, without a traceback, and exits with status 2.
    """
