"""What is put back between the examples of the gallery, so that each begins like a script of its own."""

from __future__ import annotations

import os
import warnings
from typing import Any

_ENVIRONMENT = dict(os.environ)
_FILTERS = list(warnings.filters)


def reset_state(gallery_conf: dict[str, Any], name: str) -> None:
    """Undo what an example may have left: figures, scikit-learn's settings, filters of warnings, the environment."""
    import matplotlib.pyplot as plt
    import sklearn

    plt.close("all")
    plt.rcdefaults()
    sklearn.set_config(**_SKLEARN)
    warnings.resetwarnings()
    warnings.filters[:] = _FILTERS
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)


def _get_sklearn_settings() -> dict[str, Any]:
    import sklearn

    return sklearn.get_config()


_SKLEARN = _get_sklearn_settings()
