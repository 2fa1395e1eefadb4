"""Images of different sizes as one batch: padded, with a mask, and checked before a model sees them."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def pad_images(
    images: list[Tensor],
) -> tuple[Float[Tensor, "batch 3 height width"], Bool[Tensor, "batch height width"]]:
    """Pad images of different sizes on the right and at the bottom to one batch.

    [(3, H, W), …] → images (N, 3, H, W) with zeros, mask (N, H, W), True on padding.
    Raises ValueError on an empty list or an image that is not (3, H, W).
    """
    if not images:
        raise ValueError("pad_images: got an empty list; give at least one image of shape (3, H, W)")
    for i, image in enumerate(images):
        if image.dim() != 3 or image.shape[0] != 3:
            raise ValueError(f"pad_images: image {i} has shape {tuple(image.shape)}; expected (3, H, W)")
    height = max(image.shape[1] for image in images)
    width = max(image.shape[2] for image in images)
    batch = images[0].new_zeros(len(images), 3, height, width)
    mask = torch.ones(len(images), height, width, dtype=torch.bool, device=images[0].device)
    for i, image in enumerate(images):
        batch[i, :, : image.shape[1], : image.shape[2]] = image
        mask[i, : image.shape[1], : image.shape[2]] = False
    return batch, mask


def check_images(images: Tensor, mask: Tensor | None, largest_stride: int) -> Tensor:
    """The mask, made if there is none. Raises ValueError if the model cannot take the batch."""
    if images.dim() != 4 or images.shape[1] != 3 or images.shape[0] == 0:  # len() would fix it for torch.export
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (N, 3, H, W) with N at least 1")
    batch, _, height, width = images.shape
    if min(height, width) < largest_stride:
        raise ValueError(
            f"images are {height}×{width} (height × width), smaller than the model's largest stride of "
            f"{largest_stride} pixels; use larger images"
        )
    if mask is None:
        return torch.zeros(batch, height, width, dtype=torch.bool, device=images.device)
    if mask.shape != (batch, height, width) or mask.dtype != torch.bool:
        raise ValueError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}; expected torch.bool of shape "
            f"{(batch, height, width)}, True on padding"
        )
    if not torch.compiler.is_compiling():
        hidden = mask.flatten(1).all(1)
        if hidden.any():
            raise ValueError(
                f"the mask hides the whole of image {int(hidden.int().argmax())}; it must be False on the image"
            )
        if mask[:, 0, 0].any():
            image = int(mask[:, 0, 0].int().argmax())
            raise ValueError(f"the mask hides the top-left pixel of image {image}; pad on the right and at the bottom")
    return mask
