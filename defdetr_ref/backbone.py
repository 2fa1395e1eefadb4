"""Backbones: ResNet-50 as torchvision lays it out, and a small residual network for the CPU lessons.

Both return the feature maps of the strides asked for, finest first.
"""

import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.weight_files.reading import read, state_dict_of

BATCH_NORM_EPS = 1e-5
IMAGENET_URL = "https://download.pytorch.org/models/resnet50-0676ba61.pth"  # the weights of the published models


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with fixed statistics and fixed scale: four buffers and no parameters.

    Detection batches are too small to estimate statistics, so the published code keeps ImageNet's.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        scale = self.weight * (self.running_var + BATCH_NORM_EPS).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def _load_from_state_dict(self, state_dict, prefix, *args):
        state_dict.pop(prefix + "num_batches_tracked", None)  # torchvision's files count batches; frozen, nobody does
        super()._load_from_state_dict(state_dict, prefix, *args)


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 with a shortcut. The stride sits in the 3×3 convolution (torchvision's "V1.5")."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1):
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = FrozenBatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = FrozenBatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = FrozenBatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), FrozenBatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return (self.bn3(self.conv3(x)) + shortcut).relu()


class ResNet50(nn.Module):
    """ResNet-50 (He et al., 2016) with torchvision's key names, without the classifier.

    As in the published code the stem and layer1 are not trained, and every batch norm is frozen.
    """

    BLOCKS, WIDTHS = (3, 4, 6, 3), (64, 128, 256, 512)
    CHANNELS = {4: 256, 8: 512, 16: 1024, 32: 2048}  # stride -> channels, the maps C2 to C5

    def __init__(self, strides: tuple[int, ...] = (8, 16, 32)):
        super().__init__()
        self.strides = strides
        self.channels = [self.CHANNELS[stride] for stride in strides]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = FrozenBatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        in_channels = 64
        for stage, (blocks, width) in enumerate(zip(self.BLOCKS, self.WIDTHS, strict=True), start=1):
            stride = 1 if stage == 1 else 2
            layers = [Bottleneck(in_channels, width, stride)]
            in_channels = width * Bottleneck.expansion
            layers += [Bottleneck(in_channels, width) for _ in range(blocks - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self._initialise()
        for module in (self.conv1, self.layer1):
            module.requires_grad_(False)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        x = self.maxpool(self.bn1(self.conv1(images)).relu())
        maps = {}
        for stride, layer in zip((4, 8, 16, 32), (self.layer1, self.layer2, self.layer3, self.layer4), strict=True):
            maps[stride] = x = layer(x)  # (N, channels, H/stride, W/stride)
        return [maps[stride] for stride in self.strides]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut and trainable batch norm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(inner)) + self.shortcut(x)).relu()


class SmallResNet(nn.Module):
    """A residual network that learns from scratch in minutes on a CPU: one block for each halving of the image."""

    CHANNELS = {2: 24, 4: 48, 8: 96, 16: 192, 32: 256}

    def __init__(self, strides: tuple[int, ...] = (8, 16, 32)):
        super().__init__()
        self.strides = strides
        self.channels = [self.CHANNELS[stride] for stride in strides]
        self.stem = nn.Sequential(
            nn.Conv2d(3, self.CHANNELS[2], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(self.CHANNELS[2]),
            nn.ReLU(),
        )
        self.stages = nn.ModuleDict()
        for stride in (4, 8, 16, 32):
            if stride <= strides[-1]:
                self.stages[str(stride)] = BasicBlock(self.CHANNELS[stride // 2], self.CHANNELS[stride], stride=2)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        maps = {}
        for stride, stage in self.stages.items():
            maps[int(stride)] = x = stage(x)  # (N, channels, H/stride, W/stride)
        return [maps[stride] for stride in self.strides]


BACKBONES = {"resnet50": ResNet50, "small": SmallResNet}


def build_backbone(name: str, strides: tuple[int, ...]) -> nn.Module:
    """The backbone called `name`. Raises ValueError for a name or a stride that does not exist."""
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r:.60}; choose from {', '.join(BACKBONES)}")
    usable = (4, 8, 16, 32)
    if not strides or any(stride not in usable for stride in strides) or list(strides) != sorted(set(strides)):
        raise ValueError(f"feature_strides {strides} must rise and be taken from {usable}")
    return BACKBONES[name](tuple(strides))


def load_imagenet(backbone: ResNet50, path: str | os.PathLike | None = None) -> None:
    """Fill `backbone` with ImageNet weights in torchvision's layout, from `path` or by download.

    The classifier's weights in the file are ignored. Raises FileNotFoundError or ConnectionError, saying which file to
    fetch and where to put it, and ValueError if the file is damaged or holds something else.
    """
    name = "the ImageNet weights" if path is None else f"{path}"
    state_dict = {str(key): tensor for key, tensor in _imagenet_file(path).items()}
    # Old files lack the batch counters, new ones have them; FrozenBatchNorm2d has none.
    given = {key for key in state_dict if not key.startswith("fc.") and not key.endswith("num_batches_tracked")}
    own = backbone.state_dict()
    differing = sorted(given ^ own.keys())
    differing += [key for key in own if key in given and not _alike(state_dict[key], own[key])]
    if differing:
        raise ValueError(
            f"{name}: these are not the weights of torchvision's ResNet-50; keys that differ include {differing[:5]}"
        )
    not_finite = [key for key in own if not state_dict[key].isfinite().all()]
    if not_finite:
        raise ValueError(f"{name}: NaN or infinity in {', '.join(not_finite[:5])}; download {IMAGENET_URL} again")
    backbone.load_state_dict({key: state_dict[key] for key in own})


def _alike(given: object, own: Tensor) -> bool:
    return isinstance(given, Tensor) and given.shape == own.shape and given.is_floating_point()


def _imagenet_file(path: str | os.PathLike | None) -> dict[str, Tensor]:
    name = IMAGENET_URL.rsplit("/", 1)[-1]
    if path is not None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"ImageNet weights {path} do not exist; download {IMAGENET_URL} and name that file")
        return state_dict_of(read(path))
    kept = Path(torch.hub.get_dir()) / "checkpoints" / name
    try:
        return torch.hub.load_state_dict_from_url(IMAGENET_URL, map_location="cpu", weights_only=True, progress=False)
    except OSError as error:
        raise ConnectionError(
            f"could not download the ImageNet weights ({error}); fetch {IMAGENET_URL} on another machine and put it at "
            f"{kept}, or name the file"
        ) from None
    except Exception:  # whatever PyTorch says of a file that is cut short
        raise ValueError(
            f"the ImageNet weights at {kept} are damaged; delete that file, it is downloaded again"
        ) from None
