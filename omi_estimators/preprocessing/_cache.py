"""joblib's cache, with a digest beside each result: joblib itself returns what a damaged file holds."""

from __future__ import annotations

import functools
import os
import pickle
import warnings
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import joblib
from joblib.func_inspect import get_func_code
from sklearn.utils.validation import check_memory

import omi_estimators


class CheckedMemory:
    """A cache whose results are held against a digest when they are read, and computed again if they differ.

    joblib writes the numbers of an array as they are. Where a disk has changed one of them, it reads another number
    and says nothing. Results are also found again for the same version of this package only.

    Parameters
    ----------
    memory : str, path, joblib.Memory, CheckedMemory or None
        Where to keep results; None keeps none.

    Examples
    --------
    >>> from omi_estimators.preprocessing._cache import CheckedMemory
    >>> CheckedMemory(None).cache(len)([1, 2, 3])
    3
    """

    def __init__(self, memory: str | os.PathLike[str] | joblib.Memory | CheckedMemory | None):
        if isinstance(memory, CheckedMemory):
            memory = memory._memory
        self._memory = check_memory(os.fspath(memory) if isinstance(memory, os.PathLike) else memory)

    def cache(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a cache.

        Parameters
        ----------
        function : callable
            One that a module defines by name; its arguments can be hashed by joblib.

        Returns
        -------
        callable
            Gives the same, and can be sent to another process.
        """
        # joblib sees the code of _seal only, so what it would notice of the function is an argument.
        identity = omi_estimators.__version__, get_func_code(function)[0]
        return functools.partial(_recall, self._memory.cache(_seal), function, identity)


def _seal(
    function: Callable[..., Any], identity: tuple[str, str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bytes, bytes]:
    """Return what a function gives, pickled as joblib would, and the digest of that."""
    content = pickle.dumps(function(*args, **kwargs), protocol=pickle.HIGHEST_PROTOCOL)
    return content, sha256(content).digest()


def _recall(
    cached_seal: Any, function: Callable[..., Any], identity: tuple[str, str], /, *args: Any, **kwargs: Any
) -> Any:
    """Return a result from the cache if it is whole, else compute it."""
    given = function, identity, args, kwargs
    try:
        sealed = cached_seal(*given)
    except ValueError as error:
        # One of the function's own comes again here; what does not was joblib's, about a file beside the results.
        result = function(*args, **kwargs)
        warnings.warn(
            f"The cache of {function.__name__} is damaged and not used ({error}); delete its folder.",
            UserWarning,
            stacklevel=2,
        )
        return result
    if not _is_whole(sealed):
        warnings.warn(
            f"A cached result of {function.__name__} is damaged on disk; it is computed again. If this comes again, "
            "check the disk, or delete the folder of the cache.",
            UserWarning,
            stacklevel=2,
        )
        cached_seal.call_and_shelve(*given).clear()
        sealed = cached_seal(*given)
    return pickle.loads(sealed[0])


def _is_whole(sealed: Any) -> bool:
    """Return whether what came from the cache, any object if bytes are damaged, is a result with its digest."""
    match sealed:
        case (bytes() as content, bytes() as digest):
            return sha256(content).digest() == digest
    return False
