"""Models in which everything matters: no parameter, and no running statistic, is what a new model has."""

import torch
from torch import Tensor, nn

from defdetr_ref import DeformableDETR, DeformableDETRConfig
from defdetr_ref.preparation import IMAGENET_MEAN, IMAGENET_STD
from tests.small_models import SMALL


def disturb(module: nn.Module, seed: int = 5) -> None:
    """Noise on every parameter, and statistics as if it had been trained; then evaluation mode."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=rng))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=rng))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=rng))
    module.eval()


def live_model(seed: int = 3, model_class: type[nn.Module] = DeformableDETR, **fields) -> nn.Module:
    """A small model; fields of the config replace those of SMALL. `preset` starts from a preset instead."""
    torch.manual_seed(seed)
    if "preset" in fields:
        config = DeformableDETRConfig.preset(fields.pop("preset"), **fields)
    else:
        config = DeformableDETRConfig(**{**SMALL, "num_classes": 5, **fields})
    model = model_class(config)
    disturb(model, seed + 1)
    return model


def colours(height: int, width: int, channels: int = 3, seed: int = 7) -> Tensor:
    """(H, W, channels), from 0 to 255: coarse patches and fine noise, so that no two places look alike."""
    rng = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 200, (1, channels, 5, 4), generator=rng).float()
    smooth = nn.functional.interpolate(patches, (height, width), mode="bilinear")[0].permute(1, 2, 0)
    return (smooth + torch.randint(0, 56, (height, width, channels), generator=rng)).to(torch.uint8)


def normalised(rgb: Tensor) -> Tensor:
    """(H, W, 3 or 4) colours → the batch of one image that the model takes, (1, 3, H, W)."""
    scaled = (rgb[..., :3].float() / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    return scaled.permute(2, 0, 1)[None]
