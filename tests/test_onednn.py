"""A product by oneDNN is MKL's, up to rounding."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from circuitlib.ablation import onednn as module
from circuitlib.ablation.onednn import ACTIVATIONS, Linear

BEFORE = {
    "gelu": F.gelu,
    "gelu_new": lambda y: 0.5 * y * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (y + 0.044715 * y**3))),
    "gelu_pytorch_tanh": lambda y: F.gelu(y, approximate="tanh"),
    "relu": lambda y: y.clamp(min=0),
    "silu": lambda y: y * torch.sigmoid(y),
}


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_linear(activation: str | None, onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against float64, with and without oneDNN, for sequences, single rows and a transposed weight."""
    if onednn and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(module, "ONEDNN", onednn)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 33, generator=generator).T
    bias = torch.randn(33, generator=generator)
    for x in (torch.randn(3, 7, 48, generator=generator), torch.randn(1, 48, generator=generator)):
        for b in (bias, None):
            linear = Linear(weight, b, torch.float32, activation)
            assert linear.onednn == onednn
            exact = F.linear(x.double(), weight.double(), None if b is None else b.double())
            exact = exact if activation is None else BEFORE[activation](exact)
            assert_close(linear(x), exact.float(), rtol=1e-5, atol=1e-5)


def test_linear_in_a_narrow_type_returns_the_input_s() -> None:
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    weight = torch.eye(32)
    y = Linear(weight, None, torch.bfloat16)(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, x.bfloat16().float())
