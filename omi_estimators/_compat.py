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
``FITTED_PRIVATE``, ``PRIVATE_TYPES``, ``restore_derived``   scikit-learn 1.9.0, 1.9.1
``joblib.externals.loky``: warnings, and the pool           joblib 1.4.0 to 1.6.0
``wfdb.io._signal._rd_segment``                            wfdb 4.3.0, 4.3.1
=========================================================  =========================

What is inherited cannot be imported, and is private too: scikit-learn's ``_parameter_constraints``,
``_validate_params``, ``_init_callback_context`` and ``_doc_link_module``, and skorch's ``_set_training``
(skorch 1.2.0 to 1.4.0).
"""

from __future__ import annotations

import functools
import importlib
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
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_parameter_constraints
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.parallel import Parallel
from sklearn.utils.parallel import delayed as delayed
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _num_samples as num_samples

from omi_estimators._validation import naming_package

# What saved models hold of scikit-learn beside public names and attributes that end with an underscore: private classes
# by the names that files give them, ...
PRIVATE_TYPES = {
    "sklearn.calibration.CalibratedClassifier": "sklearn.calibration:_CalibratedClassifier",
    "sklearn.calibration.SigmoidCalibration": "sklearn.calibration:_SigmoidCalibration",
    "sklearn.calibration.TemperatureScaling": "sklearn.calibration:_TemperatureScaling",
    "sklearn.ensemble.BinMapper": "sklearn.ensemble._hist_gradient_boosting.binning:_BinMapper",
    "sklearn.ensemble.TreePredictor": "sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor",
    "sklearn.gaussian_process.BinaryLaplace": "sklearn.gaussian_process._gpc:_BinaryGaussianProcessClassifierLaplace",
    "sklearn.impute.IterativeImputer": "sklearn.impute._iterative:IterativeImputer",
    "sklearn.impute.ImputerTriplet": "sklearn.impute._iterative:_ImputerTriplet",
    "sklearn.tree.Tree": "sklearn.tree._tree:Tree",
    "scipy.interpolate.BSpline": "scipy.interpolate._bsplines:BSpline",
}
# ... private attributes that an answer depends on, by the first two names of the module, ...
FITTED_PRIVATE = {
    f"sklearn.{module}": frozenset(names.split())
    for module, names in {
        "cluster": "_algorithm _batch_size _counts _ewa_inertia _ewa_inertia_min _init_size _n_features_out _n_init"
        " _n_since_last_reassign _n_threads _no_improvement _subcluster_norms _tol",
        "compose": "_columns _n_features _name_to_fitted_passthrough _remainder _training_dim"
        " _transformer_to_input_indices",
        "cross_decomposition": "_n_features_out _norm_y_weights _predict_1d _x_mean _x_scores _x_std _y_mean _y_scores"
        " _y_std",
        "decomposition": "_A _B _batch_size _beta_loss _centerer _components_denominator _components_numerator"
        " _ewa_cost _ewa_cost_min _fit_algorithm _fit_svd_solver _gamma _n_components _n_features_out _no_improvement"
        " _rho _transform_max_iter _unmixing",
        "discriminant_analysis": "_max_components _n_features_out",
        "dummy": "_strategy",
        "ensemble": "_average_path_length_per_tree _baseline_prediction _bin_mapper _decision_path_lengths"
        " _is_categorical_remapped _label_encoder _max_features _max_samples _n_feature_outs _n_features"
        " _n_features_out _n_samples _n_samples_bootstrap _predictors _preprocessor _random_seed _sample_weight _seeds"
        " _use_validation_data",
        "feature_extraction": "_tfidf",
        "gaussian_process": "_y_train_mean _y_train_std f_cached",
        "impute": "_estimator _fill_dtype _fit_X _fit_dtype _is_empty_feature _mask_fit_X _max_value _min_value"
        " _n_features _precomputed _valid_mask",
        "kernel_approximation": "_gamma _n_features_out",
        "linear_model": "_average_coef _average_intercept _expanded_class_weight _label_binarizer _standard_coef"
        " _standard_intercept",
        "manifold": "_init _metric _metric_mds _n_features_out",
        "neighbors": "_distances_fit_X_ _fit_X _fit_method _lrd _n_features_out _y",
        "neural_network": "_best_coefs _best_intercepts _label_binarizer _n_features_out _no_improvement_count",
        "preprocessing": "_default_to_infrequent_mappings _drop_idx_after_grouping _encoder"
        " _infrequent_enabled _infrequent_indices _max_degree _min_degree _missing_indices _n_features_outs"
        " _n_out_full _scaler",
        "random_projection": "_n_features_out",
        "svm": "_dual_coef_ _effective_probability _gamma _intercept_ _n_support _num_iter _probA _probB _sparse",
    }.items()
}
# ... and those that are made anew (`restore_derived`), or that only another fit would need.
TRAINING_ONLY = frozenset(
    "_base_loss _checked_cv_orig _curve_scorer _feature_subsample_rng _fitted_with_sw _loss _loss_function_ _optimizer"
    " _cached_dict _random_state _rng _scorer _stop_words_id _tree dummy_leaf_ f_ random_state_ rng root_".split()
)

# How boosted histogram trees with categories read the other columns; the name is that in files.
READ_NUMBERS = "sklearn.ensemble.read_numbers"
read_numbers = functools.partial(check_array, dtype=[np.float64], ensure_all_finite=False)


def find_private_type(name: str) -> type:
    """Return the class of `PRIVATE_TYPES` that a file names."""
    module, _, last = PRIVATE_TYPES[name].partition(":")
    found: type = getattr(importlib.import_module(module), last)
    return found


def tree_columns(tree: Any) -> dict[str, Any]:
    """Return what a decision tree of scikit-learn's is made of: sizes, and the node array and values."""
    state = tree.__getstate__()
    return {
        "n_features": tree.n_features,
        "n_classes": tree.n_classes,
        "n_outputs": tree.n_outputs,
        "nodes": state["nodes"],
        "values": state["values"],
    }


def node_dtypes() -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the node of a decision tree and that of a boosted histogram tree as compiled code here reads them."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    from sklearn.tree._tree import NODE_DTYPE

    return NODE_DTYPE, PREDICTOR_RECORD_DTYPE


def restore_derived(part: Any) -> None:
    """Give, in place, a fitted estimator what it makes of its other attributes and no file holds."""
    kind, found = type(part).__name__, vars(part)
    if kind == "IsotonicRegression" and "X_thresholds_" in found:
        part._build_f(part.X_thresholds_, part.y_thresholds_)
    elif "GradientBoosting" in kind and "n_features_in_" in found:
        part._loss = part._get_loss(sample_weight=None)
    elif kind in ("GammaRegressor", "PoissonRegressor", "TweedieRegressor") and "coef_" in found:
        part._base_loss = part._get_loss()
    elif kind == "TunedThresholdClassifierCV" and "best_threshold_" in found:
        part._curve_scorer = part._get_curve_scorer()
    elif kind == "MultiLabelBinarizer" and "classes_" in found:
        part._cached_dict = None
    elif "_fit_method" in found:
        from sklearn.neighbors import BallTree, KDTree

        tree = {"ball_tree": BallTree, "kd_tree": KDTree}.get(part._fit_method)
        metric = {"metric": part.effective_metric_, **part.effective_metric_params_}
        part._tree = None if tree is None else tree(part._fit_X, part.leaf_size, **metric)


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
