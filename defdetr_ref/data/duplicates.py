"""Images that occur twice: pixel for pixel, or stored anew by another program.

A fingerprint is made of each image, and images are grouped by them in one pass. Each is compared with the first image
of a group only, and only with groups that share a quarter of the bits of its difference hash, so that many images take
seconds.
"""

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

SIDE = 16  # px of the small copies that are compared
ALIKE = 2.5  # of 255: mean difference of two small copies up to which they are the same picture
BANDS, BITS_OF_BAND = 4, 16  # of the difference hash


@dataclass(frozen=True)
class Fingerprint:
    """digest: of size and pixels. hash: whether each of 8×8 fields is brighter than the one to its right, 64 bits."""

    digest: bytes
    hash: int
    small: UInt8[np.ndarray, "side side 3"]

    @classmethod
    def of(cls, image: Image.Image) -> "Fingerprint":
        """Of an image in RGB."""
        digest = hashlib.sha256(f"{image.size}".encode("ascii") + image.tobytes()).digest()
        grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
        bits = np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()
        small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
        return cls(digest, int.from_bytes(bits, "big"), small)

    def is_like(self, other: "Fingerprint") -> bool:
        """Whether both are of one picture."""
        return float(np.abs(self.small.astype(np.int16) - other.small).mean()) <= ALIKE


def groups_of_duplicates(images: Iterable[tuple[Hashable, Fingerprint]]) -> list[tuple[list[Hashable], bool]]:
    """Groups of two images and more, as (their names, whether they are equal pixel by pixel), in order."""
    groups: list[list[tuple[Hashable, Fingerprint]]] = []
    by_band: dict[tuple[int, int], list[int]] = {}
    for name, fingerprint in images:
        bands = [(band, fingerprint.hash >> band * BITS_OF_BAND & (1 << BITS_OF_BAND) - 1) for band in range(BANDS)]
        candidates = dict.fromkeys(number for band in bands for number in by_band.get(band, ()))
        found = next((number for number in candidates if groups[number][0][1].is_like(fingerprint)), None)
        if found is not None:
            groups[found].append((name, fingerprint))
            continue
        for band in bands:
            by_band.setdefault(band, []).append(len(groups))
        groups.append([(name, fingerprint)])
    return [
        ([name for name, _ in group], len({fingerprint.digest for _, fingerprint in group}) == 1)
        for group in groups
        if len(group) > 1
    ]
