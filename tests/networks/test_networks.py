"""One contract for all networks."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from omi_estimators import networks
from omi_estimators.classifiers._prediction import fold_batch_norm, replace_layers

N_PARAMETERS = {"ECGSmartNet": 6_991_682, "TemporalResNet18": 3_844_930, "ResNet18": 11_171_266}


@pytest.fixture(params=sorted(N_PARAMETERS))
def network_class(request):
    return getattr(networks, request.param)


def test_every_network_is_held_to_the_contract():
    modules = {name for name in networks.__all__ if name != "BasicBlock"}
    assert modules == set(N_PARAMETERS)


def test_parameter_count_is_the_published_one(network_class):
    network = network_class(n_leads=12, n_classes=2)
    assert sum(parameter.numel() for parameter in network.parameters()) == N_PARAMETERS[network_class.__name__]


@pytest.mark.parametrize("n_leads", [1, 2, 3, 8, 12, 15])
@pytest.mark.parametrize("n_samples", [1, 2, 7, 200])
def test_forward_takes_any_number_of_leads_and_samples(network_class, n_leads, n_samples):
    network = network_class(n_leads=n_leads, n_classes=3, width=2).eval()
    assert network(torch.zeros(4, 1, n_leads, n_samples)).shape == (4, 3)


def test_shapes_by_stage_are_those_of_the_paper():
    network = networks.ECGSmartNet().eval()
    with torch.inference_mode():
        stem = network.stem(torch.zeros(1, 1, 12, 200))
        pooled = network.pool(stem)
        staged = network.stages(pooled)
        spatial = network.spatial(staged)
    assert stem.shape[1:] == (64, 12, 100)
    assert pooled.shape[1:] == (64, 12, 50)
    assert staged.shape[1:] == (512, 12, 7)
    assert spatial.shape[1:] == (512, 1, 7)


def test_temporal_kernels_never_mix_leads():
    network = networks.ECGSmartNet(width=2).eval()
    x = torch.randn(1, 1, 12, 200)
    changed = x.clone()
    changed[0, 0, 5] += 1
    with torch.inference_mode():
        before, after = (network.stages(network.pool(network.stem(signal))) for signal in (x, changed))
    moved = (before != after).any(dim=3).any(dim=1)[0]
    assert moved.nonzero().flatten().tolist() == [5]


def test_dropout_stands_before_the_linear_layer():
    network = networks.ECGSmartNet(width=2, dropout=0.999).train()
    logits = network(torch.randn(8, 1, 12, 40))
    # With nearly every feature dropped, what is left is the bias: logits themselves are never zeroed.
    assert torch.isclose(logits, network.head.bias).all(dim=1).any()


@pytest.mark.parametrize(
    "sizes",
    [{"kernel_size": 2}, {"stem_kernel_size": 0}, {"width": 0}, {"blocks": ()}, {"n_classes": 1}, {"n_leads": 0}],
)
def test_impossible_sizes_are_errors(network_class, sizes):
    with pytest.raises(ValueError, match="got"):
        network_class(**sizes)


def test_state_dict_round_trip(network_class):
    first, second = network_class(width=2).eval(), network_class(width=2).eval()
    x = torch.randn(2, 1, 12, 50)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(first(x), second(x), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.export's own, torch 2.13
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torch_export(network_class):
    network = network_class(width=2, blocks=(1, 1)).eval()
    x = torch.randn(3, 1, 12, 50)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: batch},))
    more = torch.randn(5, 1, 12, 50)
    torch.testing.assert_close(exported.module()(more), network(more))


def test_folded_batch_norm_predicts_the_same(network_class):
    network = network_class(width=4)
    for _ in range(3):
        network(torch.randn(8, 1, 12, 50))
    network.eval()
    folded = fold_batch_norm(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    x = torch.randn(4, 1, 12, 50)
    np.testing.assert_allclose(folded(x).detach(), network(x).detach(), atol=1e-5)


def test_packed_convolutions_predict_the_same(network_class):
    network = network_class(width=16).eval().to(memory_format=torch.channels_last)
    packed = copy.deepcopy(network)
    replace_layers(packed)
    x = torch.randn(4, 1, 12, 50)
    with torch.inference_mode():
        np.testing.assert_allclose(packed(x), network(x), atol=1e-6)
    if torch.backends.mkldnn.is_available():
        assert not any(isinstance(module, torch.nn.Conv2d) for module in packed.children())
        assert sum(type(module).__name__ == "_PackedConv2d" for module in packed.modules()) > 10


def test_only_plain_convolutions_are_packed():
    plain, same = torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(1, 2, 3, padding="same")
    hooked, mirrored = torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")
    hooked.register_forward_hook(lambda *_: None)
    left = [same, hooked, mirrored, torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(1, 2, 3))]
    network = torch.nn.Sequential(plain, *left)
    replace_layers(network)
    assert list(network)[1:] == left
