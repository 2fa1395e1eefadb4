"""Cards as text."""

from defdetr_ref.zoo.cards import percent


def test_what_the_data_do_not_define_is_a_dash():
    assert percent(None) == "–" and percent(0.1234) == "12.3"
