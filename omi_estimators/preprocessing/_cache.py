"""joblib's cache, with a digest beside each result, and of the code that gave it.

joblib itself returns what a damaged file holds, and looks at the code of the cached function alone, not at the
functions that it calls.
"""

from __future__ import annotations

import functools
import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
from sklearn.utils.validation import check_memory

import omi_estimators
from omi_estimators._compat import get_func_code

# All that decides a beat, a row of features or a quality, beside the record.
_SOURCES = ("leads.py", "preprocessing", "features")
_DEPENDENCIES = ("neurokit2", "numpy", "scipy")


def _digest_sources(package: Path) -> str:
    """Return a digest of the files that decide what is cached; without them, as in a zip file, of nothing."""
    digest = sha256()
    for place in (package / name for name in _SOURCES):
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


# As early as possible: a file changed while the process runs is not what runs.
_SOURCE_DIGEST = _digest_sources(Path(omi_estimators.__file__).parent)
_VERSIONS = tuple(version(name) for name in _DEPENDENCIES)


class CheckedMemory:
    """A cache whose results are held against a digest when they are read, and computed again if they differ.

    joblib writes the numbers of an array as they are. Where a disk has changed one of them, it reads another number
    and says nothing. Results are also found again only for the same version and source files of this package, and the
    same versions of NeuroKit2, NumPy and SciPy.

    Parameters
    ----------
    memory : str, path, joblib.Memory, CheckedMemory or None
        Where to keep results; None keeps none.

    Raises
    ------
    OSError
        If the folder cannot be made. One that is full, or read-only, later on costs time only, with a warning.

    Examples
    --------
    >>> from omi_estimators.preprocessing._cache import CheckedMemory
    >>> CheckedMemory(None).cache(len)([1, 2, 3])
    3
    """

    def __init__(self, memory: str | os.PathLike[str] | joblib.Memory | CheckedMemory | None):
        if isinstance(memory, CheckedMemory):
            memory = memory._memory
        self._memory: Any
        with _writing_to(memory):
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

        Raises
        ------
        OSError
            If the folder of the function cannot be made.
        """
        # joblib sees the code of _seal only, so what it would notice of the function is an argument.
        identity = omi_estimators.__version__, *_VERSIONS, _SOURCE_DIGEST, get_func_code(function)[0]
        with _writing_to(self._memory):
            cached_seal = self._memory.cache(_seal)
        return functools.partial(_recall, cached_seal, function, identity)


@contextmanager
def _writing_to(memory: Any) -> Iterator[None]:
    """Say what to do about a folder in which nothing can be made."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"memory={str(memory)!r} cannot be written to ({error}); give a folder with write permission, or None to "
            "keep no results."
        ) from error


def _seal(
    function: Callable[..., Any], identity: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bytes, bytes]:
    """Return what a function gives, pickled as joblib would, and the digest of that."""
    content = pickle.dumps(function(*args, **kwargs), protocol=pickle.HIGHEST_PROTOCOL)
    return content, sha256(content).digest()


def _recall(
    cached_seal: Any, function: Callable[..., Any], identity: tuple[str, ...], /, *args: Any, **kwargs: Any
) -> Any:
    """Return a result from the cache if it is whole, else compute it."""
    given = function, identity, args, kwargs
    try:
        sealed = cached_seal(*given)
    except (OSError, ValueError) as error:
        # One of the function's own comes again here; what does not was joblib's, about a file beside the results.
        result = function(*args, **kwargs)
        warnings.warn(
            f"The cache of {function.__name__} cannot be used ({error}); delete its folder, or check the disk.",
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
        if not hasattr(cached_seal, "call_and_shelve"):
            # Some other cache than joblib's: how it forgets a result is not known.
            return function(*args, **kwargs)
        cached_seal.call_and_shelve(*given).clear()
        sealed = cached_seal(*given)
    return pickle.loads(sealed[0])


def _is_whole(sealed: Any) -> bool:
    """Return whether what came from the cache, any object if bytes are damaged, is a result with its digest."""
    match sealed:
        case (bytes() as content, bytes() as digest):
            return sha256(content).digest() == digest
    return False
