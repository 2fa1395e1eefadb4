"""A whole detector: ResNet-50, four levels, an image of 480×640, with one operator and with another."""

import time
from typing import Any

import torch

import defdetr_ref
from benchmarks.implementations import BASELINE
from benchmarks.measuring import interleaved, summary
from defdetr_ref import DeformableDETR, DeformableDETRConfig, DetectionLoss
from defdetr_ref.attention import DeformableSampling

IMAGE = (480, 640)
CLASSES = 91
BACKENDS = {"cpu": (BASELINE, "numba"), "cuda": (BASELINE, "cuda")}


def use_backend(model: torch.nn.Module, backend: str) -> None:
    """Every attention of the model reads its points with `backend`."""
    for module in model.modules():
        if isinstance(module, DeformableSampling):
            module.backend = backend


def bench_detector(device: str, rounds: int, seed: int) -> dict[str, Any]:
    """Forward pass and training step (forward, loss, backward) of the multi-scale preset, one image."""
    torch.manual_seed(seed)
    model = DeformableDETR(DeformableDETRConfig.preset("multi_scale")).to(device)
    images = torch.randn(1, 3, *IMAGE, device=device)
    boxes = torch.tensor([[0.3, 0.4, 0.2, 0.3], [0.6, 0.5, 0.5, 0.4], [0.8, 0.2, 0.1, 0.1]], device=device)
    targets = [{"boxes": boxes, "labels": torch.tensor([1, 17, 44], device=device)}]
    loss = DetectionLoss(CLASSES)

    def forward(backend: str) -> None:
        use_backend(model, backend)
        with torch.no_grad():
            model.eval()(images)

    def training_step(backend: str) -> None:
        use_backend(model, backend)
        model.train().zero_grad()
        loss(model(images), targets)["total"].backward()

    found: dict[str, Any] = {"image": list(IMAGE), "preset": "multi_scale", "batch": 1}
    for name, step in (("forward", forward), ("training step", training_step)):
        runs = {backend: lambda step=step, backend=backend: step(backend) for backend in BACKENDS[device]}
        found[name] = summary(interleaved(runs, rounds, device), BASELINE)
    return found


def first_calls(seed: int) -> dict[str, float]:
    """Seconds of the first and second call, forward and backward, in this process, which must be a fresh one."""
    torch.manual_seed(seed)
    value = torch.randn(2, 6 * 9, 8, 32, requires_grad=True)
    places, weights = torch.rand(2, 5, 8, 1, 4, 2), torch.rand(2, 5, 8, 1, 4)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        defdetr_ref.ms_deform_attn(value, [(6, 9)], places, weights, backend="numba").sum().backward()
        seconds.append(time.perf_counter() - start)
    return {"first": round(seconds[0], 4), "second": round(seconds[1], 4)}
