"""What goes wrong with the files that users bring."""


class CorpusError(ValueError):
    """A corpus cannot be read; the message names the file and, where there is one, the line."""


class CorpusWarning(UserWarning):
    """Something of a corpus was left out; the message says how much, what, and why."""


class IndexFormatError(ValueError):
    """A saved index cannot be used; the message says why and what to do."""


class OldIndexError(IndexFormatError):
    """A saved index was written in an earlier version of the format."""


class EngineError(ValueError):
    """A search engine cannot be asked or gave no usable answer; the message says why and what to do."""


class EngineUnavailableError(EngineError):
    """A search engine cannot be reached, does not answer in time, or is busy."""


class BusyError(OSError):
    """Another process, or another thread, is writing there; the message says which and since when."""


class DiskFullError(OSError):
    """A disk, quota or limit is full; the message says what was being written and what is left of it."""
