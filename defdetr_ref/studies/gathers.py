"""Where the reads go: addresses of deformable attention, the memory lines a warp touches, and a simulated cache.

Memory moves in lines of 128 bytes. A GPU runs threads in warps of 32 that read at the same moment: if the 32 numbers
lie side by side they fill one line; if they lie anywhere, up to 32 lines are moved for 32 numbers. On a CPU the same
question is asked of its cache: is the line still there when it is needed again?

Patterns of locations, all with the same number of points, all inside the image:

| pattern  | query q reads                                        | as in                                       |
|----------|------------------------------------------------------|---------------------------------------------|
| own      | around its own pixel, offsets of 3 pixels            | an encoder that never looks outside         |
| shuffled | what `own` reads around another pixel, drawn at random | object queries, in no order               |
| random   | anywhere                                             | no model; the worst case                    |
"""

from collections import OrderedDict
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from defdetr_ref.explain.matrices import token_centres
from defdetr_ref.positions import SpatialShapes
from defdetr_ref.studies.counting import NUMBER_BYTES, Workload

WARP = 32  # threads
LINE_BYTES = 128
OFFSET_PIXELS = 3.0  # standard deviation, on each level
PATTERNS = ("own", "shuffled", "random")

Locations = Float[Tensor, "batch query head level point 2"]


def sampling_pattern(work: Workload, pattern: str, seed: int = 0) -> Locations:
    """Locations (1, S, M, L, K, 2) for an encoder layer. Raises ValueError for an unknown pattern."""
    if pattern not in PATTERNS:
        raise ValueError(f"unknown pattern {pattern!r}; choose from {', '.join(PATTERNS)}")
    generator = torch.Generator().manual_seed(seed)
    shape = (1, work.tokens, work.num_heads, work.num_levels, work.num_points, 2)
    if pattern == "random":
        return torch.rand(shape, generator=generator)
    sides = torch.tensor([[width, height] for height, width in work.spatial_shapes])  # (L, 2)
    offsets = OFFSET_PIXELS * torch.randn(shape, generator=generator) / sides[:, None]
    locations = (token_centres(work.spatial_shapes)[None, :, None, None, None] + offsets).clamp(0, 1)
    if pattern == "shuffled":
        return locations[:, torch.randperm(work.tokens, generator=generator)]
    return locations


def corner_tokens(locations: Locations, spatial_shapes: SpatialShapes) -> Int[Tensor, "batch query head level point 4"]:
    """The four tokens that each point reads, −1 for a corner outside its level: top left, top right, and below."""
    found, start = [], 0
    for level, (height, width) in enumerate(spatial_shapes):
        place = locations[:, :, :, level] * torch.tensor([width, height]) - 0.5  # (N, Q, M, K, 2)
        left, top = place.floor().long().unbind(-1)
        corners = []
        for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            corners.append(torch.where(inside, start + row * width + column, -1))
        found.append(torch.stack(corners, dim=-1))
        start += height * width
    return torch.stack(found, dim=3)


def lines_touched(addresses: Int[Tensor, "*read thread"]) -> Int[Tensor, "*read"]:
    """How many 128-byte lines each read of a warp touches. addresses: in bytes; −1: this thread reads nothing."""
    lines = torch.where(addresses < 0, -1, addresses // LINE_BYTES).sort(dim=-1).values
    new = lines[..., 1:] != lines[..., :-1]
    return (new & (lines[..., 1:] >= 0)).sum(-1) + (lines[..., 0] >= 0)


def warp_of_queries(tokens: Int[Tensor, " query"]) -> Int[Tensor, "warp thread"]:
    """Addresses if each channel is a plane of its own (N, C, H, W) and the threads of a warp are 32 queries in a row.

    tokens: which token each query reads. The last queries that fill no warp are left out.
    """
    whole = len(tokens) // WARP * WARP
    return torch.where(tokens < 0, -1, tokens * NUMBER_BYTES)[:whole].unflatten(0, (-1, WARP))


def warp_of_channels(tokens: Int[Tensor, " query"], work: Workload) -> Int[Tensor, "query thread"]:
    """Addresses if a token's channels lie side by side (N, S, M, D) and a warp's threads are 32 channels of head 0."""
    first = tokens * (work.d_model * NUMBER_BYTES)
    addresses = first[:, None] + NUMBER_BYTES * torch.arange(WARP)
    return torch.where(tokens[:, None] < 0, -1, addresses)


def warp_lines(work: Workload) -> dict[str, float]:
    """Mean lines of a warp's read on the finest level, for each pattern and for one tap of a convolution.

    In planes, each thread is a query; in "channels last", the layout of the operator, each thread is a channel.
    """
    height, width = work.spatial_shapes[0]
    finest = height * width
    in_row = torch.arange(finest)  # tap of a convolution: query q reads token q, or its neighbour
    found = {"convolution, planes": lines_touched(warp_of_queries(in_row)).double().mean().item()}
    for pattern in PATTERNS:
        tokens = corner_tokens(sampling_pattern(work, pattern), work.spatial_shapes)[0, :finest, 0, 0, 0, 0]
        for name, addresses in (
            ("planes", warp_of_queries(tokens)),
            ("channels last", warp_of_channels(tokens[tokens >= 0], work)),
        ):
            found[f"{pattern}, {name}"] = lines_touched(addresses).double().mean().item()
    return found


def hit_rate(lines: Iterable[int], capacity: int) -> float:
    """The share of reads whose line is still in a cache that holds the `capacity` lines used last (LRU).

    Raises ValueError without reads.
    """
    cache: OrderedDict[int, None] = OrderedDict()
    reads = hits = 0
    for line in lines:
        reads += 1
        if line in cache:
            hits += 1
            cache.move_to_end(line)
        else:
            cache[line] = None
            if len(cache) > capacity:
                cache.popitem(last=False)
    if not reads:
        raise ValueError("hit_rate: there are no reads")
    return hits / reads


def operator_lines(locations: Locations, work: Workload, tile: int | None = None) -> list[int]:
    """The lines that the operator reads, one for each corner, as a head's row of D = 32 channels is one line.

    In the order query, head, level, point, corner; with `tile`, all queries of a tile × tile square do one head before
    they do the next. Raises ValueError if a head's row is not exactly one line.
    """
    if work.channels * NUMBER_BYTES != LINE_BYTES:
        raise ValueError(
            f"operator_lines: a head has {work.channels} channels, {work.channels * NUMBER_BYTES} bytes; expected "
            f"{LINE_BYTES}"
        )
    tokens = corner_tokens(locations, work.spatial_shapes)[0]  # (Q, M, L, K, 4)
    lines = tokens * work.num_heads + torch.arange(work.num_heads)[:, None, None, None]
    lines = torch.where(tokens < 0, -1, lines)
    if tile is not None:
        lines = torch.cat([lines[queries].transpose(0, 1).flatten() for queries in query_tiles(work, tile)])
    return lines[lines >= 0].tolist()


def query_tiles(work: Workload, side: int) -> list[Int[Tensor, " query"]]:
    """The queries of each side × side square of a level, all levels one after another; smaller at a border."""
    tiles, start = [], 0
    for height, width in work.spatial_shapes:
        grid = (start + torch.arange(height * width)).view(height, width)
        tiles += [square.flatten() for row in grid.split(side, 0) for square in row.split(side, 1)]
        start += height * width
    return tiles


def convolution_lines(work: Workload, kernel: int) -> list[int]:
    """The lines that a kernel × kernel window reads of one such row for each token, pixel by pixel, on every level."""
    lines: list[int] = []
    start = 0
    reach = kernel // 2
    for height, width in work.spatial_shapes:
        grid = (start + torch.arange(height * width)).view(height, width)
        padded = torch.nn.functional.pad(grid, (reach,) * 4, value=-1)
        windows = padded.unfold(0, kernel, 1).unfold(1, kernel, 1).flatten()
        lines += windows[windows >= 0].tolist()
        start += height * width
    return lines
