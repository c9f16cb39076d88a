"""Names of scikit-learn and joblib that are private or too new to be sure of, here and nowhere else; joblib's loop.

When a release moves or changes one, this is the file to mend. The tests run with the lowest and the highest version:

=========================================================  =========================
names                                                      known to work with
=========================================================  =========================
``sklearn.base._fit_context``                              scikit-learn 1.9.0, 1.9.1
``sklearn.callback`` (new in 1.9, experimental)            scikit-learn 1.9.0, 1.9.1
``sklearn.utils._param_validation``                        scikit-learn 1.9.0, 1.9.1
``sklearn.utils.metaestimators._BaseComposition``          scikit-learn 1.9.0, 1.9.1
``sklearn.utils._safe_indexing``                           scikit-learn 1.9.0, 1.9.1
``sklearn.utils.validation._check_sample_weight``          scikit-learn 1.9.0, 1.9.1
``sklearn.utils.validation._num_samples``                  scikit-learn 1.9.0, 1.9.1
``joblib.func_inspect.get_func_code``                      joblib 1.4.0 to 1.6.0
``joblib.externals.loky``, as a module that warns           joblib 1.4.0 to 1.6.0
=========================================================  =========================

What is inherited cannot be imported, and is private too: scikit-learn's ``_parameter_constraints``,
``_validate_params``, ``_init_callback_context`` and ``_doc_link_module``, and skorch's ``_set_training``
(skorch 1.2.0 to 1.4.0).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from joblib.func_inspect import get_func_code
from sklearn.base import _fit_context as fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.parallel import Parallel
from sklearn.utils.parallel import delayed as delayed
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _num_samples as num_samples


def run_parallel(tasks: Iterable[Any], n_jobs: int | None) -> Iterator[Any]:
    """Return the results of delayed calls in order, as they come, from joblib's workers.

    Parameters
    ----------
    tasks : iterable
        What `delayed` of this module makes: scikit-learn's, whose settings and warnings reach the workers.
    n_jobs : int or None
        In joblib's meaning.

    Returns
    -------
    iterator
        The results.
    """
    # A worker that grew too large, or ended idle just when work came, is replaced by the one thread that minds all
    # workers, which warns of it. Where warnings are errors the thread would die of it, and the call never end.
    warnings.filterwarnings("default", module=r"joblib\.externals\.loky")
    results: Iterator[Any] = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    return results
