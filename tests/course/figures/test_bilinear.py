"""The pictures of bilinear reading, checked by what was drawn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from defdetr_ref.course.figures.bilinear import PER_PIXEL, plot_row, plot_surface, read, row_facts, surface_facts

HEIGHT, WIDTH = 3, 5


def image() -> torch.Tensor:
    return torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) + 0.1


def by_gid(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


def sampled(x: np.ndarray, y: float) -> np.ndarray:
    """Along a row, by PyTorch."""
    places = torch.stack([torch.as_tensor(x), torch.full((len(x),), y, dtype=torch.float64)], -1)
    grid = (2 * places + 1) / torch.tensor([WIDTH, HEIGHT]) - 1
    return F.grid_sample(image().double()[None, None], grid[None, None], align_corners=False)[0, 0, 0].numpy()


def test_a_read_gives_value_and_slope_along_x():
    value, slope = read(image(), 2.25, 0.5)
    pixels = image()[:2, 2:4]
    assert value == pytest.approx((pixels.mean(0) @ torch.tensor([0.75, 0.25])).item())
    assert slope == pytest.approx((pixels[:, 1] - pixels[:, 0]).mean().item())
    assert read(image(), -1.5, 0.5) == (0, 0)


def test_the_surface_goes_through_the_pixels_down_to_zero():
    figure = plot_surface(image())
    rows, pixels = by_gid(figure.axes[0], "row"), by_gid(figure.axes[0], "pixels")
    assert len(rows) == len(pixels) == HEIGHT
    for number, (row, dots) in enumerate(zip(rows, pixels, strict=True)):
        x, y, z = row.get_data_3d()
        assert len(x) == (WIDTH + 1) * PER_PIXEL + 1 and set(y) == {number}
        np.testing.assert_allclose(z, sampled(x, number), atol=1e-6)
        np.testing.assert_allclose(dots.get_data_3d()[2], image()[number], atol=1e-6)
    assert surface_facts(figure) == [
        f"3×5 pixel centres from {image().min():.2f} to {image().max():.2f}",
        "the surface goes through all of them: True",
        "highest point of the surface is a pixel: True",
        "one pixel outside the map it is zero: True",
    ]


def test_the_row_shows_value_clamped_border_and_slope():
    figure = plot_row(image(), 1.25)
    left, right = figure.axes
    (value,), (clamped,) = by_gid(left, "value"), by_gid(left, "clamped")
    np.testing.assert_allclose(value.get_ydata(), sampled(value.get_xdata(), 1.25), atol=1e-6)
    inside = np.clip(clamped.get_xdata(), 0, WIDTH - 1)
    np.testing.assert_allclose(clamped.get_ydata(), sampled(inside, 1.25), atol=1e-6)
    for piece in by_gid(right, "slope"):
        (start, end), (slope, _) = piece.get_data()
        assert slope == pytest.approx(np.diff(sampled(np.array([start, end]), 1.25)).item(), abs=1e-6)


def test_the_facts_of_a_row():
    value, slope = row_facts(plot_row(image(), 1))
    assert value == (
        "value at y = 1: at the map's edge x = -0.5 0.50 of the first pixel, zero up to x = -1 and from x = 5 on, "
        "same as clamped from pixel to pixel: True"
    )
    assert slope == "slope ∂/∂x: 8 flat pieces, 7 jumps between them, 2 pieces without any slope"
