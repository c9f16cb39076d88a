"""Fast prediction whose result for a record does not depend on the records around it."""

from __future__ import annotations

import copy
import itertools
import threading
from typing import Any, TypeGuard
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from omi_estimators.classifiers._training import uncompiled

# Records in a forward pass. Float32 convolutions may choose the order of their sums by the number of records, and a
# probability must not depend on how many were asked for at once: a smaller number is used only once it is known to
# give the same numbers bit for bit.
BATCH_SIZE = 32

# Numbers of each tensor, at least, that are looked at to see whether it has changed.
_SAMPLED = 128

_KEPT: WeakKeyDictionary[nn.Module, _Predictor] = WeakKeyDictionary()
_KEEPING = threading.Lock()


def predict_logits(
    module: nn.Module, X: NDArray[np.float32], device: torch.device, autocast_dtype: torch.dtype | None = None
) -> NDArray[np.float64]:
    """Return the logits of each record.

    What is made of the network for this is kept as long as the network, and made anew when its weights have changed.

    Parameters
    ----------
    module : nn.Module
        A trained network; it is left as it is.
    X : ndarray of shape (n_records, n_leads, n_samples)
        Records.
    device : torch.device
        Where to compute.
    autocast_dtype : torch.dtype, optional
        Reduced precision of the convolutions; float32 if None.

    Returns
    -------
    ndarray of shape (n_records, n_classes)
        Logits.
    """
    module = uncompiled(module)
    parts, tensors = _take_apart(module)
    hooks = [(len(part._forward_hooks), len(part._forward_pre_hooks)) for part in parts]
    states = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
    # Without the network itself, which would then never be forgotten.
    made_of = (device, autocast_dtype, torch.get_num_threads(), X.shape[1:], parts[1:], hooks, states)
    with _KEEPING:
        predictor = _KEPT.get(module)
        if predictor is None or not predictor.is_made_of(made_of):
            predictor = _KEPT[module] = _Predictor(module, device, autocast_dtype, tensors, made_of)
    return predictor.predict_logits(X)


class _Predictor:
    """A network made ready for prediction on one device; several threads may use it at once."""

    def __init__(
        self,
        module: nn.Module,
        device: torch.device,
        autocast_dtype: torch.dtype | None,
        tensors: list[Tensor],
        made_of: tuple[Any, ...],
    ):
        self._made_of = made_of
        self._samples = [_sample(tensor) for tensor in tensors]
        self._sampled = torch.cat(self._samples)
        self._device, self._dtype = device, autocast_dtype
        self._network = fold_batch_norm(module).to(device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._sizes = {BATCH_SIZE: True}
        if device.type == "cpu" and autocast_dtype is None:
            replace_layers(self._network)
        else:
            self._sizes |= {2**power: False for power in range(5)}

    def is_made_of(self, made_of: tuple[Any, ...]) -> bool:
        """Return whether a network is as it was, by what torch counts and by a sample of its weights."""
        return self._made_of == made_of and torch.equal(torch.cat(self._samples), self._sampled)

    def predict_logits(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the logits of each record, in batches filled up with zeros."""
        logits = []
        for start in range(0, len(X), BATCH_SIZE):
            records = X[start : start + BATCH_SIZE]
            size = 1 << (len(records) - 1).bit_length()
            size = size if self._is_exact(size, X.shape[1:]) else BATCH_SIZE
            batch = np.zeros((size, 1, *X.shape[1:]), dtype=np.float32)
            batch[: len(records), 0] = records
            logits.append(self._pass(batch)[: len(records)])
        return np.concatenate(logits).astype(np.float64)

    def _pass(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits of one batch."""
        reduced = torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None)
        with torch.inference_mode(), reduced:
            logits: NDArray[np.float32] = self._network(torch.from_numpy(batch).to(self._device)).float().cpu().numpy()
        return logits

    def _is_exact(self, size: int, shape: tuple[int, ...]) -> bool:
        """Return whether a smaller batch gives the numbers that a whole one does, on records made up to find out."""
        if size not in self._sizes:
            # A whole batch of them, since a few sums in another order may come out alike by chance.
            probes = np.random.default_rng(0).normal(size=(BATCH_SIZE, 1, *shape)).astype(np.float32)
            whole, pieces = self._pass(probes), (slice(at, at + size) for at in range(0, BATCH_SIZE, size))
            self._sizes[size] = all(np.array_equal(self._pass(probes[piece]), whole[piece]) for piece in pieces)
        return self._sizes[size]


def _take_apart(module: nn.Module) -> tuple[list[nn.Module], list[Tensor]]:
    """Return a network's modules, itself first, and weights: ten times as fast as by its own methods."""
    parts = [module]
    for part in parts:
        parts += [child for child in part._modules.values() if child is not None]
    tensors = [tensor for part in parts for found in (part._parameters, part._buffers) for tensor in found.values()]
    return parts, [tensor for tensor in tensors if tensor is not None]


def _sample(tensor: Tensor) -> Tensor:
    """Return some of a tensor's numbers, all if they are few: what is set by ``tensor.data`` torch does not count."""
    content = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())
    numbers = content[: len(content) // 4 * 4].view(torch.int32)
    return numbers[:: max(1, len(numbers) // _SAMPLED)]


def inference_network(classifier: Any, *, folded: bool = True) -> MeanOfNetworks:
    """Return the trained networks of a classifier for use elsewhere, as one copy that maps records to logits.

    Parameters
    ----------
    classifier : ECGSmartNetClassifier, TemporalResNet18Classifier or ResNet18Classifier
        Fitted.
    folded : bool, default=True
        Whether each batch normalisation is folded into the convolution before it.

    Returns
    -------
    torch.nn.Module
        On the CPU, in evaluation mode, with the copy of each member in `networks`. It takes records of shape
        (n_records, 1, n_leads, n_samples) and gives the mean over members of the logarithms of their probabilities,
        which answer for the class shares `training_prior_` and are not calibrated: see `calibration_slope_` of the
        classifier.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from omi_estimators import ECGSmartNetClassifier
    >>> from omi_estimators.classifiers import inference_network
    >>> X = np.random.default_rng(0).normal(size=(20, 12, 50))
    >>> net = ECGSmartNetClassifier(width=4, blocks=(1, 1), n_members=1, max_epochs=1).fit(X, np.arange(20) % 2)
    >>> inference_network(net)(torch.zeros(3, 1, 12, 50)).shape
    torch.Size([3, 2])
    """
    modules = [uncompiled(net.module_) for net in classifier.nets_]
    copies = [fold_batch_norm(module) if folded else copy.deepcopy(module).eval() for module in modules]
    return MeanOfNetworks([each.cpu() for each in copies])


class MeanOfNetworks(nn.Module):
    """The mean of what networks say of records, as logarithms of probabilities.

    Parameters
    ----------
    networks : list of nn.Module
        From records to logits.
    """

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.networks: nn.ModuleList = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        """Map records (n, 1, n_leads, n_samples) to logarithms of probabilities (n, n_classes)."""
        return torch.stack([torch.log_softmax(network(x), dim=1) for network in self.networks]).mean(dim=0)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode, with each batch normalisation folded into the convolution before it."""
    original = uncompiled(module)
    # Folding makes new weights anyway, so the copy shares the old ones until then.
    shared = {id(part.weight): part.weight for part in original.modules() if isinstance(part, nn.Conv2d)}
    network = copy.deepcopy(original, shared).eval()
    for parent in network.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        children = list(parent.named_children())
        for (_, conv), (name, norm) in itertools.pairwise(children):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            mean, variance = norm.running_mean, norm.running_var
            if mean is not None and variance is not None:
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
                )
                setattr(parent, name, nn.Identity())
    return network


def replace_layers(network: nn.Module) -> None:
    """Replace layers of a network, in evaluation mode and float32, by faster ones that sum alike in any batch.

    The weights of the new convolutions lie as oneDNN wants them: brought there once, not in each call. Their operations
    are those that torch's compiler makes of convolutions. They are not documented; without them the old ones stay.
    """
    packs = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and _has_no_hooks(child):
                setattr(parent, name, _WholeLinear(child))
            elif packs and _is_plain(child):
                setattr(parent, name, _PackedConv2d(child))


class _WholeLinear(nn.Module):
    """A linear layer that computes as many rows as a whole batch has: a product of matrices sums few rows otherwise."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self._linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer makes of each row of `x`."""
        if x.dim() != 2 or len(x) >= BATCH_SIZE:
            return self._linear(x)
        return self._linear(nn.functional.pad(x, (0, 0, 0, BATCH_SIZE - len(x))))[: len(x)]


def _is_plain(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a module is a convolution and nothing more: no subclass, no hooks, zeros around it."""
    return (
        type(module) is nn.Conv2d
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and _has_no_hooks(module)
    )


def _has_no_hooks(module: nn.Module) -> bool:
    """Return whether nothing watches the calls of a module."""
    return not module._forward_hooks and not module._forward_pre_hooks


class _PackedConv2d(nn.Module):
    """A convolution whose weights are packed for the shape of the first batch."""

    def __init__(self, of: nn.Conv2d):
        super().__init__()
        self._shape = list(of.padding), list(of.stride), list(of.dilation), of.groups
        self._plain, self._packed = of.weight.detach(), torch.empty(0)
        self._bias = None if of.bias is None else of.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of `x`."""
        if not len(self._packed):
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(self._plain, *self._shape, list(x.shape))
        return torch.ops.mkldnn._convolution_pointwise(x, self._packed, self._bias, *self._shape, "none", [], "")


def shift_prior(
    logits: NDArray[np.float64], from_prior: NDArray[np.float64], to_prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return log-probabilities at one prevalence from logits trained at another.

    By Bayes' rule each class's log-odds move by ``log(to_prior / from_prior)``, if the ECGs of each
    class look alike at both prevalences. Balancing the classes in training changes nothing else.

    Parameters
    ----------
    logits : ndarray of shape (n_records, n_classes)
        Scores whose softmax is a probability at `from_prior`.
    from_prior, to_prior : ndarray of shape (n_classes,)
        Class shares in training, and where the answer is to hold. They sum to 1. A class whose share
        is zero in either keeps its score.

    Returns
    -------
    ndarray of shape (n_records, n_classes)
        Logarithms of probabilities.

    References
    ----------
    Saerens M., Latinne P., Decaestecker C., Adjusting the Outputs of a Classifier to New a Priori
    Probabilities, Neural Computation 14:21-41, 2002, doi:10.1162/089976602753284446.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_estimators.classifiers import shift_prior
    >>> np.exp(shift_prior(np.zeros((1, 2)), np.array([0.5, 0.5]), np.array([0.93, 0.07]))).round(2).tolist()
    [[0.93, 0.07]]
    """
    shift = np.zeros(len(to_prior))
    known = (from_prior > 0) & (to_prior > 0)
    shift[known] = np.log(to_prior[known]) - np.log(from_prior[known])
    shifted: NDArray[np.float64] = log_softmax(logits + shift, axis=1)
    return shifted
