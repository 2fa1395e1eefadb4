"""The table of a detector's parts."""

from defdetr_ref.boxes import refine_boxes
from defdetr_ref.course import exercises
from defdetr_ref.course.figures.whole import parts_table
from defdetr_ref.losses import focal_loss

PACKAGE = {"06-box-decoding": refine_boxes, "09-focal": focal_loss}  # which knows no alpha, and so is not the answer


def test_each_part_has_a_row_that_tells_whose_it_is():
    def unwritten(self, x, tokens, reference_points):
        raise NotImplementedError("about 4 lines")

    parts = {
        "06-box-decoding": lambda reference, delta: refine_boxes(reference, delta),
        "09-focal": focal_loss,
        "17-layer-loss": exercises.find("17-layer-loss").solution,
        "17-encoder-layer": unwritten,
        "17-matching": lambda logits, boxes, targets, cost: [],
    }
    head, *rows = parts_table(parts, PACKAGE).splitlines()
    assert [word.strip() for word in head.split("  ") if word] == ["part", "whose", "equal to the package's"]
    assert [row.split(maxsplit=1)[0] for row in rows] == list(parts)
    assert rows[0].endswith("yours          yes")
    assert rows[1].endswith(rows[2][-34:]) and rows[2].endswith("the package's  it is the package's")
    assert rows[3].endswith("yours          not written yet")
    assert "yours          no: the matches of 2 queries" in rows[4]
    assert (
        len({row.index(word) for row, word in zip(rows, ("yours", "the", "the", "yours", "yours"), strict=True)}) == 1
    )
