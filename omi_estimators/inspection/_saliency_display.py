"""What a network looks at, over the beat."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d

from omi_estimators.displays import get_axes
from omi_estimators.inspection._paper import INK, Strip, beat_rows, name_leads, place, write_name
from omi_estimators.inspection._saliency import Saliency, saliency

_WIDTH, _GAP, _HEIGHT = 40.0, 4.0, 16.0
_WORDS = {
    "integrated_gradients": "share of the log-odds",
    "gradient": "log-odds per unit of the signal",
    "grad_cam": "Grad-CAM",
}


class SaliencyDisplay:
    """A beat in every lead, on the colour of what the network looked at.

    Orange speaks for the class, purple against it. With several records it is the mean of their saliency under the
    mean of their beats. Leads are drawn on one scale, that of what the network saw.

    Parameters
    ----------
    saliency : Saliency
        From `saliency`.
    rows : array-like of bool or of indices, optional
        The records to average over; all if None.
    leads : sequence of str, optional
        Names of the leads; `LEADS` for twelve.
    smoothing : float, default=0.01
        SD of the Gaussian that smooths the colours in time, as a share of the length; 8 ms of a median beat. From one
        sample to the next saliency changes its sign faster than an eye can use.
    name : str, optional
        For the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    AblationDisplay : The same question to any classifier, by lead and segment.
    randomisation_check : Whether the picture owes anything to what was learned.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from omi_estimators import ECGSmartNetClassifier
    >>> from omi_estimators.inspection import SaliencyDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 10)
    >>> X = rng.normal(size=(20, 12, 50)) + y[:, np.newaxis, np.newaxis]
    >>> net = ECGSmartNetClassifier(width=4, blocks=(1, 1), max_epochs=3, random_state=0).fit(X, y)
    >>> display = SaliencyDisplay.from_estimator(net, X[:1], ax=Figure().add_subplot())
    >>> display.leads[0]
    'I'
    """

    def __init__(
        self,
        saliency: Saliency,
        *,
        rows: ArrayLike | None = None,
        leads: Sequence[str] | None = None,
        smoothing: float = 0.01,
        name: str | None = None,
    ) -> None:
        self.saliency = saliency
        self.rows = rows
        self.smoothing = smoothing
        self.leads = name_leads(saliency.beats[0], leads)
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        rows: ArrayLike | None = None,
        leads: Sequence[str] | None = None,
        smoothing: float = 0.01,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> SaliencyDisplay:
        """Explain and draw.

        Parameters
        ----------
        estimator : fitted network classifier, or Pipeline that ends in one
            As in `saliency`.
        X : array-like of shape (n_records, n_leads, n_samples)
            What the estimator takes.
        rows : array-like of bool or of indices, optional
            The records to average over; all if None.
        leads : sequence of str, optional
            Names of the leads; `LEADS` for twelve.
        smoothing : float, default=0.01
            SD of the Gaussian that smooths the colours in time, as a share of the length.
        name : str, optional
            For the title.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.
        **kwargs
            `target`, `method`, `baseline`, as in `saliency`.

        Returns
        -------
        SaliencyDisplay
            Drawn.
        """
        return cls(saliency(estimator, X, **kwargs), rows=rows, leads=leads, smoothing=smoothing, name=name).plot(ax)

    def plot(self, ax: Any = None) -> SaliencyDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        SaliencyDisplay
            Itself.
        """
        chosen = slice(None) if self.rows is None else np.asarray(self.rows)
        beats, values = self.saliency.beats[chosen], self.saliency.values[chosen]
        beat, value = beats.mean(axis=0), values.mean(axis=0)
        if self.smoothing > 0:
            value = gaussian_filter1d(value, self.smoothing * value.shape[1], axis=1)
        traces = beat * (_HEIGHT / max(float(np.ptp(beat)), 1e-12))
        indices = beat_rows(self.leads)
        placed, size = place(
            [[Strip(self.leads[i], traces[i : i + 1], _WIDTH) for i in row] for row in indices], gap=_GAP
        )
        self.ax_ = get_axes(ax, ((size[0] + 30) / 25.4, (size[1] + 10) / 25.4))
        self.figure_ = self.ax_.figure
        limit = max(float(np.abs(value).max()), 1e-12)
        style: dict[str, Any] = {"cmap": "PuOr_r", "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
        if self.saliency.method == "grad_cam":
            style |= {"cmap": "Oranges", "vmin": 0}
        for strip, i in zip(chain(*placed), chain(*indices), strict=True):
            extent = (strip.x, strip.x + _WIDTH, strip.bottom + 0.5, strip.top)
            image = self.ax_.imshow(value[i : i + 1], extent=extent, aspect="equal", zorder=1, **style)
            self.ax_.plot(strip.times, strip.y + strip.strip.traces[0], color=INK, linewidth=1.1, zorder=3)
            write_name(self.ax_, strip)
        self.ax_.set(xlim=(0, size[0]), ylim=(0, size[1]), xticks=[], yticks=[])
        self.ax_.spines[:].set_visible(False)
        self.figure_.colorbar(image, ax=self.ax_, label=_WORDS[self.saliency.method], shrink=0.8)
        self.ax_.set_title(self._title(len(beats), chosen), fontsize=10, loc="left")
        return self

    def _title(self, n_records: int, chosen: Any) -> str:
        """Return what is shown, in words."""
        classes = set(self.saliency.target[chosen].tolist())
        explained = f"class {classes.pop()}" if len(classes) == 1 else "the most probable class"
        said = f"mean of {n_records} records" if n_records > 1 else f"log-odds {self.saliency.log_odds[chosen][0]:+.1f}"
        return "   ".join(part for part in (self.name, f"for {explained}", said) if part)
