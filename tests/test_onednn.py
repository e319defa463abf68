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


def test_a_long_sum_with_a_large_part_is_as_exact_as_mkl_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one go every addition after the large one is rounded to its size."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(module, "ONEDNN", True)
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(64, 3072, generator=generator), torch.randn(64, generator=generator)
    x = torch.randn(2, 40, 3072, generator=generator)
    x[..., 5] = 20_000
    exact = F.linear(x.double(), weight.double(), bias.double())

    def error(y: torch.Tensor) -> float:
        return (y - exact).square().mean().sqrt().item()

    in_parts = error(Linear(weight, bias, torch.float32)(x))
    monkeypatch.setattr(module, "PART", 3072)
    assert in_parts < 0.9 * error(Linear(weight, bias, torch.float32)(x))
    assert in_parts < 2 * error(F.linear(x, weight, bias))


def test_linear_in_a_narrow_type_returns_the_input_s() -> None:
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    weight = torch.eye(32)
    y = Linear(weight, None, torch.bfloat16)(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, x.bfloat16().float())
