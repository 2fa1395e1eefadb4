"""What all figures share: colours, regions, images as they are shown."""

import io

import matplotlib.pyplot as plt  # noqa: TID251
import numpy as np
import pytest
import torch
from PIL import Image

from defdetr_ref.explain import plot_sampling_points
from defdetr_ref.explain.style import (
    INK,
    PAGE_INCHES,
    displayable,
    draw_box,
    panels,
    panels_on_a_page,
    region_around,
    show_image,
    text_colour,
)
from tests.explain.records import HEIGHT, WIDTH


def test_a_region_keeps_proportions_and_stays_in_the_image():
    inside = region_around(torch.tensor([[20.0, 10.0, 32.0, 22.0]]), HEIGHT, WIDTH)
    share = 12 / HEIGHT * 1.6  # the height is the tighter side
    assert inside == pytest.approx([26 - share * 30, 16 - share * 20, 26 + share * 30, 16 + share * 20])
    assert region_around(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), HEIGHT, WIDTH) == [0, 0, 15, 10]  # a quarter at least
    assert region_around(torch.tensor([[59.0, 39.0, 70.0, 50.0]]), HEIGHT, WIDTH) == [45, 30, 60, 40]
    assert region_around(torch.tensor([[-5.0, -5.0, 70.0, 50.0]]), HEIGHT, WIDTH) == [0, 0, WIDTH, HEIGHT]


def test_a_tensor_is_shown_without_its_normalisation():
    grey = torch.tensor([0.485, 0.456, 0.406]) + torch.tensor([0.229, 0.224, 0.225]) * torch.tensor([1.0, -1.0, 0.0])
    image = torch.tensor([1.0, -1.0, 0.0])[:, None, None].expand(3, 2, 5)
    assert displayable(image).shape == (2, 5, 3)
    np.testing.assert_allclose(displayable(image)[1, 4], grey, rtol=1e-6)


def test_pictures_are_shown_as_they_are():
    array = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    assert np.array_equal(displayable(array), array)
    assert np.array_equal(displayable(Image.fromarray(array)), array)


def test_text_is_readable_on_its_plate():
    assert text_colour("#F0E442") == INK and text_colour("#0072B2") == "white"


@pytest.mark.parametrize(
    "box",
    [(10.0, 12.0, 30.0, 26.0), (35.0, 0.0, 60.0, 25.0), (0.0, 14.0, 60.0, 40.0)],
    ids=["inside", "at the upper edge", "at the lower edge"],
)
def test_captions_of_boxes_that_coincide_do_not_cover_each_other(box):
    figure, ((ax,),) = panels(1, 1, (3.0, 2.0))
    show_image(ax, np.zeros((HEIGHT, WIDTH, 3)))
    for number, colour in enumerate(("#0072B2", "#F0E442", "#D55E00")):
        draw_box(ax, box, colour, f"circle 0.9{number}")
    figure.canvas.draw()
    extents = [text.get_window_extent() for text in ax.texts]
    assert len(extents) == 3 and all(extent.height > 5 for extent in extents)
    assert not any(one.overlaps(other) for place, one in enumerate(extents) for other in extents[:place])
    panel = ax.get_window_extent()
    assert all(panel.y0 <= extent.y0 and extent.y1 <= panel.y1 for extent in extents)


def test_a_caption_with_room_stands_on_its_box():
    figure, ((ax,),) = panels(1, 1, (3.0, 2.0))
    show_image(ax, np.zeros((HEIGHT, WIDTH, 3)))
    draw_box(ax, (10.0, 12.0, 30.0, 20.0), "#0072B2", "one")
    draw_box(ax, (10.0, 25.0, 30.0, 38.0), "#F0E442", "another")
    assert [(text.get_position(), text.get_verticalalignment()) for text in ax.texts] == [
        ((10, 12), "bottom"),
        ((10, 25), "bottom"),
    ]


def test_a_notebook_shows_a_figure_by_itself(record, image):
    png = plot_sampling_points(record, 0, image)._repr_png_()
    assert Image.open(io.BytesIO(png)).format == "PNG"


def stored(figure):
    return Image.open(io.BytesIO(figure._repr_png_()))


def test_a_drawing_is_stored_in_one_byte_a_pixel_and_a_photograph_is_not():
    figure, ((ax,),) = panels(1, 1, (3.0, 2.0))
    ax.plot([0, 1], [0, 1])
    drawing = stored(figure)
    assert (drawing.mode, drawing.size) == ("P", (300, 200))
    assert drawing.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    ax.imshow(np.random.default_rng(0).random((100, 150, 3)), aspect="auto")
    assert stored(figure).mode == "RGB"


@pytest.mark.parametrize(
    ("count", "width", "rows"), [(1, 3.0, [1]), (3, 2.4, [3]), (4, 2.4, [2, 2]), (5, 2.4, [3, 2]), (2, 9.0, [1, 1])]
)
def test_panels_break_into_rows_that_fit_the_page(count, width, rows):
    figure, axes = panels_on_a_page(count, (width, 2.0))
    assert len(axes) == len(figure.axes) == count and figure.get_figheight() == 2.0 * len(rows)
    assert figure.get_figwidth() <= max(PAGE_INCHES, width)
    assert [sum(ax.get_subplotspec().rowspan.start == row for ax in axes) for row in range(len(rows))] == rows


def test_pyplot_keeps_no_figure(record, image):
    before = plt.get_fignums()
    plot_sampling_points(record, 0, image)
    assert plt.get_fignums() == before
