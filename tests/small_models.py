"""Models small enough to run in a fraction of a second, with unequal counts of everything."""

import torch

import defdetr_ref
from defdetr_ref import DeformableDETR, DeformableDETRConfig

SMALL = dict(
    backbone="small", d_model=32, num_heads=4, num_points=3, encoder_layers=1, decoder_layers=3, d_ffn=24, num_queries=7
)
VARIANTS = {
    "single": dict(feature_strides=(32,), num_levels=1),
    "multi": dict(feature_strides=(8, 16), num_levels=3),
    "refine": dict(feature_strides=(8, 16), num_levels=3, box_refine=True),
    "refine from the paper's box": dict(feature_strides=(8, 16), num_levels=3, box_refine=True, initial_box="paper"),
    "two": dict(feature_strides=(8, 16), num_levels=3, box_refine=True, two_stage=True),
}


def small_config(variant: str = "two", **overrides) -> DeformableDETRConfig:
    return DeformableDETRConfig(**(SMALL | VARIANTS[variant] | {"num_classes": 5} | overrides))


def small_model(variant: str = "two", seed: int = 0, perturbed: bool = True, **overrides) -> DeformableDETR:
    """In evaluation mode; perturbed, because untrained heads and offsets are zero and would hide mistakes."""
    torch.manual_seed(seed)
    model = DeformableDETR(small_config(variant, **overrides)).eval()
    if perturbed:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def small_batch(seed: int = 1):
    """Two padded images and their targets: 3 objects and 1."""
    rng = torch.Generator().manual_seed(seed)
    images, mask = defdetr_ref.pad_images(
        [torch.randn(3, 96, 70, generator=rng), torch.randn(3, 65, 128, generator=rng)]
    )
    targets = [
        {"labels": torch.tensor(labels), "boxes": 0.2 + 0.3 * torch.rand(len(labels), 4, generator=rng)}
        for labels in ([1, 4, 4], [2])
    ]
    return images, mask, targets
