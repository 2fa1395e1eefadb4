"""The guided tours, on a page with the zoo's model and its epochs: every step leads somewhere, and says what is so."""

import re

import pytest

from defdetr_ref import live, zoo
from defdetr_ref.live.modules import WEB
from tests.browser.waiting import holds
from tests.live.laboratory.opened import Opened

TOLD = (WEB / "laboratory" / "tours_told.js").read_text(encoding="utf-8")
NAMES = re.findall(r'^    name: "([\w-]+)"', TOLD, re.MULTILINE)
SHOWN = "() => document.querySelector('[data-part=tour-words]').innerText"
LOOK = """() => {
    const { look, state } = window.laboratory;
    const shown = look.detections.filter(({ score }) => score >= state.score / 100);
    return { ap: look.ap, apUncut: look.apUncut, answers: shown.length };
}"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    epochs = {epoch: zoo.load("shapes", epoch=epoch) for epoch in (1, 4, 9)}
    return live.save_page(tmp_path_factory.mktemp("tours") / "page.html", zoo.load("shapes"), epochs=epochs)


def test_there_are_tours_of_several_steps():
    assert len(NAMES) == len(set(NAMES)) >= 5
    assert TOLD.count("say:") >= 3 * len(NAMES)


@pytest.mark.slow
def test_every_step_of_every_tour_shows_its_state(page, trained):
    laboratory = Opened(page, trained)
    for name in NAMES:
        laboratory.part("tour").select_option(name)
        laboratory.part("tour-start").click()
        place = laboratory.says("tour-place", "1 of ")
        steps = int(place.removeprefix("1 of "))
        words = set()
        for step in range(1, steps + 1):
            laboratory.says("tour-place", f"{step} of {steps}")
            laboratory.rest()
            words.add(holds(page, SHOWN, "(text) => text.length > 60"))
            laboratory.part("trouble").wait_for(state="hidden")
            if step < steps:
                laboratory.part("tour-next").click()
        assert len(words) == steps
    laboratory.part("tour-back").click()
    laboratory.says("tour-place", f"{steps - 1} of {steps}")
    laboratory.part("tour-end").click()
    laboratory.part("tour-step").wait_for(state="hidden")


def look(laboratory, link):
    laboratory.open(link)
    laboratory.rest()
    return laboratory.page.wait_for_function(LOOK).json_value()


@pytest.mark.slow
def test_what_the_tours_say_is_so(page, trained):
    laboratory = Opened(page, trained)
    fine, coarse = look(laboratory, "#tour=levels&step=3"), look(laboratory, "#tour=levels&step=4")
    assert fine["answers"] == 1 and coarse["answers"] == 4 and fine["ap"] < coarse["ap"] < fine["apUncut"]
    one_cut, two_cut = look(laboratory, "#tour=refinement&step=3"), look(laboratory, "#tour=refinement&step=4")
    assert two_cut["ap"] < one_cut["ap"] and one_cut["apUncut"] - one_cut["ap"] < 0.1
    assert look(laboratory, "#tour=proposal&step=4")["ap"] < 0.9
    outside = look(laboratory, "#tour=outside&step=3")
    assert outside["ap"] < 0.7 < outside["apUncut"]
    doubles = [look(laboratory, f"#tour=duplicates&step={step}") for step in (1, 2, 3)]
    assert [each["answers"] for each in doubles][0] == 2 < doubles[1]["answers"] < doubles[2]["answers"]
    assert doubles[0]["ap"] > doubles[1]["ap"] > doubles[2]["ap"]
    assert [look(laboratory, f"#tour=limits&step={step}")["answers"] for step in (1, 2)] == [1, 0]
    course = [look(laboratory, f"#tour=training&step={step}") for step in (1, 2, 3)]
    assert course[0]["answers"] > 20 and 4 < course[2]["answers"] < course[1]["answers"]
    assert course[0]["ap"] < 0.5 < course[1]["ap"]
    early = look(laboratory, "#tour=training&step=5")
    assert early["apUncut"] - early["ap"] < 0.1


def test_a_page_offers_the_tours_that_it_can_show(laboratory):
    offered = "() => [...document.querySelector('[data-part=tour]').options].map(({ value }) => value)"
    holds(laboratory.page, offered, f"(names) => String(names) === {','.join(NAMES[:-1])!r}")  # no epochs, no training
    laboratory.open("#tour=training&step=1")
    assert laboratory.says("trouble", "no tour").startswith('This page has no tour "training" with a step 1; its tours')
    laboratory.open("#tour=levels&step=9")
    laboratory.says("trouble", 'no tour "levels" with a step 9')
