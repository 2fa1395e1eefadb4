"""The lessons in reading order: one notebook each."""

from typing import NamedTuple


class Lesson(NamedTuple):
    """A notebook of the course."""

    file: str  # without .ipynb; it begins with the lesson's number in two digits
    title: str
    minutes: int  # to read it and fill its blanks, rounded to five
    seconds: int  # to run it on one core of an AMD EPYC, rounded up to five

    @property
    def number(self) -> str:
        """ "04"."""
        return self.file[:2]


LESSONS = (
    Lesson("00_map", "Map", 25, 10),
    Lesson("01_reading_between_pixels", "Reading between pixels", 25, 10),
    Lesson("02_attention_without_keys", "Attention without keys", 25, 10),
    Lesson("03_sampling_offsets", "Where to look first", 25, 15),
    Lesson("04_multi_scale_attention", "Many scales, no FPN", 25, 10),
    Lesson("05_reference_points", "Reference points", 30, 15),
    Lesson("06_from_query_to_box", "From query to box", 30, 15),
    Lesson("07_box_refinement", "Refinement with the gradient blocked", 25, 15),
    Lesson("08_two_stages", "Two stages", 35, 10),
    Lesson("09_matching_and_focal_loss", "Matching and focal loss", 35, 10),
    Lesson("10_train_a_detector", "Train a detector", 30, 90),
    Lesson("11_detr_against_deformable_detr", "DETR against Deformable DETR", 25, 10),
    Lesson("12_what_it_costs", "What it costs", 25, 15),
    Lesson("13_write_the_kernel", "Write the kernel", 50, 15),
    Lesson("14_relatives", "Relatives", 40, 10),
    Lesson("15_what_it_has_learned", "What it has learned", 30, 30),
    Lesson("16_find_the_bug", "Find the bug", 45, 60),
    Lesson("17_build_it_whole", "Build it whole", 60, 90),
)
