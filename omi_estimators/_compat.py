"""Names of scikit-learn, joblib and wfdb that are private or too new to be sure of, here alone; joblib's loop.

When a release moves or changes one, this is the file to mend. The tests run with the lowest and the highest version:

=========================================================  =========================
names                                                      known to work with
=========================================================  =========================
``sklearn.base._fit_context``                              scikit-learn 1.9.0, 1.9.1
``sklearn.callback`` (new in 1.9, experimental)            scikit-learn 1.9.0, 1.9.1
``sklearn.utils._param_validation``                        scikit-learn 1.9.0, 1.9.1
``sklearn.utils.metaestimators._BaseComposition``          scikit-learn 1.9.0, 1.9.1
``sklearn.utils._safe_indexing``                           scikit-learn 1.9.0, 1.9.1
``sklearn.utils.validation._check_method_params``          scikit-learn 1.9.0, 1.9.1
``sklearn.utils.validation._num_samples``                  scikit-learn 1.9.0, 1.9.1
``joblib.externals.loky``: warnings, and the pool           joblib 1.4.0 to 1.6.0
``wfdb.io._signal._rd_segment``                            wfdb 4.3.0, 4.3.1
=========================================================  =========================

What is inherited cannot be imported, and is private too: scikit-learn's ``_parameter_constraints``,
``_validate_params``, ``_init_callback_context`` and ``_doc_link_module``, and skorch's ``_set_training``
(skorch 1.2.0 to 1.4.0).
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib.externals.loky import reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool
from numpy.typing import NDArray
from sklearn.base import _fit_context as fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.parallel import Parallel
from sklearn.utils.parallel import delayed as delayed
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _num_samples as num_samples

from omi_estimators._validation import naming_package

# A dead worker is noticed within milliseconds, or never.
_WATCH_SECONDS = 2.0


def run_parallel(tasks: Iterable[Any], n_jobs: int | None) -> Iterator[Any]:
    """Yield the results of delayed calls in order, as they come, from joblib's workers.

    Parameters
    ----------
    tasks : iterable
        What `delayed` of this module makes: scikit-learn's, whose settings and warnings reach the workers.
    n_jobs : int or None
        In joblib's meaning.

    Yields
    ------
    object
        The results.

    Raises
    ------
    joblib.externals.loky.process_executor.BrokenProcessPool
        If a worker was killed.
    """
    # A worker that grew too large, or ended idle just when work came, is replaced by the one thread that minds all
    # workers, which warns of it. Where warnings are errors the thread would die of it, and the call never end.
    warnings.filterwarnings("default", module=r"joblib\.externals\.loky")
    done, broken = threading.Event(), threading.Event()
    if joblib.effective_n_jobs(n_jobs) > 1:
        threading.Thread(target=_watch_workers, args=(done, broken), daemon=True).start()
    try:
        yield from Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    except BrokenProcessPool as error:
        if broken.is_set():
            error.add_note("A worker was killed while it answered, perhaps for want of memory; try a smaller n_jobs.")
        raise
    finally:
        done.set()


def _watch_workers(done: threading.Event, broken: threading.Event) -> None:
    """Break a pool in which a worker is dead and nobody has noticed for seconds.

    Who minds the workers reads a result to its end. If its worker was killed in the middle of it, the rest never comes,
    for others, and this process, hold the pipe open. With all of them closed it ends, as an error of joblib.
    """
    dead_before: set[int] = set()
    while not done.wait(_WATCH_SECONDS):
        executor = reusable_executor._executor
        workers = {} if executor is None else dict(executor._processes)
        dead = {pid for pid, worker in workers.items() if not worker.is_alive()}
        if dead & dead_before:
            broken.set()
            executor._result_queue._writer.close()
            for pid in workers.keys() - dead:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            return
        dead_before = dead


def read_wfdb_samples(
    folder: Path,
    signals: list[tuple[str, str, int, int, int]],
    chosen: list[int],
    n_frames: int,
    start: int,
    end: int,
) -> list[NDArray[np.integer]]:
    """Return stored numbers of a WFDB record from one frame to another, without its header.

    Parameters
    ----------
    folder : Path
        Where its files are.
    signals : list of (str, str, int, int, int)
        File, format, offset in bytes, samples of a frame and first value of each; those of a file follow each other.
    chosen : list of int
        The places of those to return.
    n_frames, start, end : int
        Frames in all, the first that is wanted, and the one after the last.

    Returns
    -------
    list of ndarray of shape (n_samples,)
        One for each of `chosen`.

    Raises
    ------
    ImportError
        If `wfdb` is not installed (the extra `io`).
    """
    with naming_package("wfdb", "io", "Reading WFDB records"):
        from wfdb.io._signal import _rd_segment
    files, formats, offsets, per_frame, first = map(list, zip(*signals, strict=True))
    read: list[NDArray[np.integer]] = _rd_segment(
        file_name=files,
        dir_name=os.fspath(folder.resolve()),
        pn_dir=None,
        fmt=formats,
        n_sig=len(signals),
        sig_len=n_frames,
        byte_offset=offsets,
        samps_per_frame=per_frame,
        skew=[0] * len(signals),
        init_value=first,
        sampfrom=start,
        sampto=end,
        channels=chosen,
        ignore_skew=True,
    )
    return read
