"""The one error of `cnichain dev`: a message for the reader, without a traceback."""


class DevError(Exception):
    """What is wrong, where, and what to do next, in one paragraph (log excerpts may follow on further lines)."""
