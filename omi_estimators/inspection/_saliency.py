"""What a network looks at: the share of each lead and sample in its answer, and a picture of it over the beat."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.stats import rankdata

from omi_estimators._paper import INK
from omi_estimators._validation import how_to_install
from omi_estimators.displays import get_axes
from omi_estimators.inspection._paper import name_leads, place_beats, write_name

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]

METHODS = ("gradient", "integrated_gradients", "grad_cam")
_BATCH_SIZE = 32

# Steps from the baseline to a record: as many as are taken first, doubled until its values add up, and the most.
_N_STEPS, _MOST_STEPS = 32, 1024
# How far the values of a record may be from adding up: in log-odds, or as a share of the sum, whichever is more.
_TOLERANCE, _RELATIVE_TOLERANCE = 0.05, 0.01

# Of the picture: width and height of a lead and the gap between two (mm), and what a colour means.
_WIDTH, _HEIGHT, _GAP = 40.0, 16.0, 4.0
_WORDS = {
    "integrated_gradients": "share of the log-odds",
    "gradient": "log-odds per unit of the signal",
    "grad_cam": "Grad-CAM",
}


@dataclass(frozen=True, eq=False)
class Saliency:
    """What a network looked at in some records.

    Attributes
    ----------
    values : ndarray of shape (n_records, n_leads, n_samples)
        Positive where the signal speaks for the class. In log-odds for integrated gradients, log-odds per unit of the
        signal for gradients, arbitrary units for Grad-CAM, which is never negative.
    beats : ndarray of shape (n_records, n_leads, n_samples)
        What the network saw: in a pipeline the scaled median beats, otherwise `X`.
    log_odds : ndarray of shape (n_records,)
        Of the class against all others, as the network gives them (without `correct_prior`).
    target : ndarray of shape (n_records,)
        The class explained.
    method : str
        Of `saliency`.
    sampling_rate : float
        Of the beats, in Hz; NaN where the pipeline has no `MedianBeat`.
    """

    values: Array
    beats: Array
    log_odds: Array
    target: NDArray[Any]
    method: str
    sampling_rate: float

    def __repr__(self) -> str:
        return f"<Saliency: {self.method}, {len(self.values)} records of {' x '.join(map(str, self.beats.shape[1:]))}>"


def saliency(
    estimator: Any,
    X: ArrayLike,
    *,
    target: Any = None,
    method: str = "gradient",
    baseline: ArrayLike | None = None,
) -> Saliency:
    r"""Say which leads and times moved the answer of a network.

    With :math:`f` the log-odds of the class, "gradient" is :math:`\partial f / \partial x`; "integrated_gradients" is
    its mean on the straight way from the baseline :math:`x_0` to the record, times :math:`x - x_0`, in as many steps as
    it takes until the values of a record add up to :math:`f(x) - f(x_0)` within 0.05 or 1 %, whichever is more;
    "grad_cam" weighs the feature maps before leads are combined by their mean gradient: lead by lead, but coarse in
    time.

    Parameters
    ----------
    estimator : fitted ECGSmartNetClassifier, TemporalResNet18Classifier, ResNet18Classifier or Pipeline
        A pipeline has to end in one of them; its first steps are applied to `X`.
    X : array-like of shape (n_records, n_leads, n_samples)
        What the estimator takes.
    target : class label, optional
        The class explained, such as 1. None is the second of two classes, and the most probable one of more.
    method : {"gradient", "integrated_gradients", "grad_cam"}, default="gradient"
        As above. The default and "grad_cam" pass `randomisation_check`; integrated gradients do not, since a large
        part of them is the signal itself (``python -m benchmarks inspection``).
    baseline : array-like of shape (n_leads, n_samples), optional
        What a record is compared with by integrated gradients, such as the mean beat of normal records; a flat line if
        None.

    Returns
    -------
    Saliency
        Of every record.

    Raises
    ------
    TypeError
        If the estimator does not end in one of our networks; `ablation_importance` takes any classifier.
    ValueError
        If a parameter is not one of those named, or `baseline` has another shape than a beat.
    ImportError
        If captum is not installed.

    Warns
    -----
    UserWarning
        If the integrated gradients of a record do not add up after 1024 steps.

    References
    ----------
    Sundararajan M. et al., Axiomatic Attribution for Deep Networks, ICML 2017, arXiv:1703.01365; Selvaraju R. R. et
    al., Grad-CAM, ICCV 2017, doi:10.1109/ICCV.2017.74; Kokhlikyan N. et al., Captum, arXiv:2009.07896.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import ECGSmartNetClassifier
    >>> from omi_estimators.inspection import saliency
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 10)
    >>> X = rng.normal(size=(20, 12, 50)) + y[:, np.newaxis, np.newaxis]
    >>> net = ECGSmartNetClassifier(width=4, blocks=(1, 1), n_members=1, max_epochs=3, random_state=0).fit(X, y)
    >>> saliency(net, X[:2]).values.shape
    (2, 12, 50)
    """
    classifier, beats, rate = _split(estimator, X)
    network, columns = _copy_network(classifier, beats, target)
    values, log_odds, gaps = _attribute(network, beats, columns, method, baseline, most_steps=_MOST_STEPS)
    open_ = np.flatnonzero(gaps > 1)
    if open_.size:
        warnings.warn(
            f"The integrated gradients of {open_.size} of {len(beats)} records (first: record {open_[0]}) do not add "
            f"up to their log-odds within {_TOLERANCE} or {_RELATIVE_TOLERANCE:.0%} after {_MOST_STEPS} steps; the "
            f"worst is {gaps.max():.1f} times as far off. Read them as a picture, not as a sum.",
            UserWarning,
            stacklevel=2,
        )
    return Saliency(values, beats.astype(np.float64), log_odds, classifier.classes_[columns], method, rate)


def randomisation_check(
    estimator: Any,
    X: ArrayLike,
    *,
    target: Any = None,
    method: str = "gradient",
    baseline: ArrayLike | None = None,
    n_repeats: int = 5,
    random_state: int | None = None,
) -> Array:
    """Compare the saliency of a network with that of networks which know nothing.

    A picture that stays the same when the weights are drawn anew shows the ECG, not what was learned.

    Parameters
    ----------
    estimator, X, target, method, baseline
        As in `saliency`.
    n_repeats : int, default=5
        Networks with new weights.
    random_state : int, optional
        Seed of these weights.

    Returns
    -------
    ndarray of shape (n_repeats, n_records)
        Spearman's correlation of the absolute saliency over leads and time; 1 where new weights change nothing.

    References
    ----------
    Adebayo J. et al., Sanity Checks for Saliency Maps, NeurIPS 2018, arXiv:1810.03292.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators import ECGSmartNetClassifier
    >>> from omi_estimators.inspection import randomisation_check
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 10)
    >>> X = rng.normal(size=(20, 12, 50)) + y[:, np.newaxis, np.newaxis]
    >>> net = ECGSmartNetClassifier(width=4, blocks=(1, 1), n_members=1, max_epochs=3, random_state=0).fit(X, y)
    >>> randomisation_check(net, X[:2], n_repeats=3, random_state=0).shape
    (3, 2)
    """
    import torch

    classifier, beats, _ = _split(estimator, X)
    network, columns = _copy_network(classifier, beats, target)
    learned = np.abs(_attribute(network, beats, columns, method, baseline)[0])
    alike = []
    with torch.random.fork_rng():
        torch.manual_seed(np.random.SeedSequence(random_state).generate_state(1)[0])
        for _ in range(n_repeats):
            for module in network.modules():
                draw_anew: Any = getattr(module, "reset_parameters", None)
                if draw_anew is not None:
                    draw_anew()
            drawn = np.abs(_attribute(network, beats, columns, method, baseline)[0])
            alike.append([_rank_correlation(a, b) for a, b in zip(learned, drawn, strict=True)])
    return np.array(alike)


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
    >>> net = ECGSmartNetClassifier(width=4, blocks=(1, 1), n_members=1, max_epochs=3, random_state=0).fit(X, y)
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
    ) -> Self:
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

    def plot(self, ax: Any = None) -> Self:
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
        placed, size = place_beats(self.leads, traces[:, np.newaxis], _WIDTH, _GAP)
        self.ax_ = get_axes(ax, ((size[0] + 30) / 25.4, (size[1] + 10) / 25.4))
        self.figure_ = self.ax_.figure
        limit = max(float(np.abs(value).max()), 1e-12)
        style: dict[str, Any] = {"cmap": "PuOr_r", "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
        if self.saliency.method == "grad_cam":
            style |= {"cmap": "Oranges", "vmin": 0}
        for i, strip in placed:
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


def _split(estimator: Any, X: ArrayLike) -> tuple[Any, NDArray[np.float32], float]:
    """Return the network classifier, what it sees of `X`, and the sampling rate of that."""
    steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
    classifier = steps[-1]
    if not hasattr(classifier, "nets_"):
        raise TypeError(
            f"saliency needs a fitted network classifier, alone or at the end of a Pipeline; got "
            f"{type(classifier).__name__}. ablation_importance takes any classifier of records."
        )
    beats = np.asarray(estimator[:-1].transform(X) if len(steps) > 1 else X, dtype=np.float32)
    if beats.ndim == 2:
        beats = beats[:, np.newaxis]
    expected = (classifier.n_leads_in_, classifier.n_samples_in_)
    if beats.shape[1:] != expected or not np.isfinite(beats).all():
        raise ValueError(
            f"The network takes finite records of {expected[0]} leads and {expected[1]} samples; got {beats.shape}."
        )
    windows = [step.n_samples / (step.before + step.after) for step in steps if hasattr(step, "before")]
    return classifier, beats, float(windows[-1]) if windows else np.nan


def find_target(classes: Any, target: Any) -> int:
    """Return the position of the class asked for; of two, the second if None."""
    classes = np.asarray(classes)
    if target is None and len(classes) == 2:
        return 1
    found = np.flatnonzero(classes == target)
    if not found.size:
        raise ValueError(f"target must be one of the classes {classes.tolist()}; got {target!r}.")
    return int(found[0])


def _copy_network(classifier: Any, beats: NDArray[np.float32], target: Any) -> tuple[Any, NDArray[np.intp]]:
    """Return a copy of the trained network, on the CPU, and the position of the class to explain for each record."""
    import torch

    from omi_estimators.classifiers import inference_network

    network = inference_network(classifier, folded=False)
    if target is not None or len(classifier.classes_) == 2:
        return network, np.full(len(beats), find_target(classifier.classes_, target))
    with torch.inference_mode():
        parts = [network(torch.from_numpy(part[:, np.newaxis])).argmax(dim=1) for part in _batches(beats)]
    return network, torch.cat(parts).numpy()


def _batches(array: NDArray[Any]) -> list[NDArray[Any]]:
    """Return `array` in pieces."""
    return [array[start : start + _BATCH_SIZE] for start in range(0, len(array), _BATCH_SIZE)]


def _attribute(
    network: Any,
    beats: NDArray[np.float32],
    columns: NDArray[np.intp],
    method: str,
    baseline: ArrayLike | None,
    *,
    most_steps: int = 0,
) -> tuple[Array, Array, Array]:
    """Return saliency, log-odds, and how far from adding up, in tolerances, of each record."""
    try:
        import torch
        from captum import attr
    except ImportError as error:
        raise ImportError(f"saliency needs captum; install it with: {how_to_install('inspect')}") from error
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    reference = np.zeros(beats.shape[1:], np.float32) if baseline is None else np.asarray(baseline, np.float32)
    if reference.shape != beats.shape[1:]:
        raise ValueError(f"baseline must have the shape of a beat, {beats.shape[1:]}; got {reference.shape}.")

    def log_odds(x: Tensor, column: Tensor) -> Tensor:
        """Return the log-odds of a class against all others."""
        logits = network(x)
        own = logits.gather(1, column[:, None])[:, 0]
        is_own = torch.nn.functional.one_hot(column, logits.shape[1]).bool()
        return own - torch.logsumexp(logits.masked_fill(is_own, -torch.inf), dim=1)

    values, answers, gaps = [], [], []
    for part, column in zip(_batches(beats), _batches(columns), strict=True):
        x = torch.from_numpy(part[:, np.newaxis]).requires_grad_()
        which = torch.from_numpy(column)
        gap = torch.zeros(len(x))
        if method == "gradient":
            value = attr.Saliency(log_odds).attribute(x, abs=False, additional_forward_args=which)
        elif method == "integrated_gradients":
            value, gap = _integrate(log_odds, x, torch.from_numpy(reference)[None, None], which, most_steps)
        else:
            layers = [attr.LayerGradCam(log_odds, member.stages) for member in network.networks]
            maps = sum(layer.attribute(x, additional_forward_args=which, relu_attributions=True) for layer in layers)
            value = attr.LayerAttribution.interpolate(maps, part.shape[1:], "bilinear")
        values.append(value.detach()[:, 0].double().numpy())
        gaps.append(gap.double().numpy())
        with torch.inference_mode():
            answers.append(log_odds(x, which).double().numpy())
    return np.concatenate(values), np.concatenate(answers), np.concatenate(gaps)


def _integrate(
    log_odds: Callable[..., Tensor], x: Tensor, reference: Tensor, column: Tensor, most_steps: int
) -> tuple[Tensor, Tensor]:
    """Return integrated gradients, of more and more steps until they add up, and how far from it they are."""
    import torch
    from captum import attr

    with torch.no_grad():
        total = log_odds(x, column) - log_odds(reference.expand_as(x), column)
    tolerance = (_RELATIVE_TOLERANCE * total.abs()).clamp(min=_TOLERANCE)
    values, gaps, steps = torch.zeros_like(x), torch.zeros(len(x)), _N_STEPS
    left = torch.arange(len(x))
    while True:
        # The log-odds are straight between the kinks of the network's ReLUs, for which no finer rule does better.
        values[left] = attr.IntegratedGradients(log_odds).attribute(
            x[left],
            reference,
            additional_forward_args=column[left],
            n_steps=steps,
            method="riemann_middle",
            internal_batch_size=4 * _BATCH_SIZE,
        )
        gaps[left] = ((values[left].sum(dim=(1, 2, 3)) - total[left]).abs() / tolerance[left]).detach()
        left, steps = left[gaps[left] > 1], 2 * steps
        if not len(left) or steps > most_steps:
            return values, gaps


def _rank_correlation(a: Array, b: Array) -> float:
    """Return Spearman's correlation; zero where one of them is constant."""
    ranks = [rankdata(values) for values in (a, b)]
    if min(np.ptp(rank) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])
