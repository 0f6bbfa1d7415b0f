"""The one exception that the compiler raises on purpose."""

__all__ = ["SparnnError"]


class SparnnError(Exception):
    """Something that the user has to change: a model, an input file, an option.

    The message is one sentence: what is wrong, where, the limit, and the way out. The command line
    prints it as it is, without a traceback, and exits with status 2. Anything else that is raised
    is a defect of sparnn and keeps its traceback.
    """
