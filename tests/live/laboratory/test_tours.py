"""The guided tours: each step leads somewhere, with untrained models too; what they say of the zoo's models is so."""

import re

import pytest

from defdetr_ref import DetrBaseline, live, zoo
from defdetr_ref.live.modules import WEB
from tests.browser.waiting import holds
from tests.live.laboratory.opened import SIZE, Opened
from tests.live.models import live_model

TOLD = (WEB / "laboratory" / "tours_told.js").read_text(encoding="utf-8")
NAMES = re.findall(r'^    name: "([\w-]+)"', TOLD, re.MULTILINE)
COMPARING = ["dense", "refined"]
WITH_EPOCHS = "training"
OFFERED = "() => [...document.querySelector('[data-part=tour]').options].map(({ value }) => value)"
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


def go_through(laboratory, names):
    """Every step of these tours, by the buttons; each has words of its own, and no trouble."""
    for name in names:
        laboratory.part("tour").select_option(name)
        laboratory.part("tour-start").click()
        place = laboratory.says("tour-place", "1 of ")
        steps = int(place.removeprefix("1 of "))
        words = set()
        for step in range(1, steps + 1):
            laboratory.says("tour-place", f"{step} of {steps}")
            laboratory.rest()
            words.add(holds(laboratory.page, SHOWN, "(text) => text.length > 60"))
            laboratory.part("trouble").wait_for(state="hidden")
            if step < steps:
                laboratory.part("tour-next").click()
        assert len(words) == steps
    return steps


@pytest.mark.slow
def test_every_step_of_every_tour_shows_its_state(page, trained):
    laboratory = Opened(page, trained)
    steps = go_through(laboratory, [name for name in NAMES if name not in COMPARING])
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


@pytest.mark.slow
def test_what_the_tours_say_of_compared_models_is_so(page, tmp_path):
    others = {name: zoo.load(f"shapes-{name}") for name in ("one-stage", "plain", "detr")}
    laboratory = Opened(page, live.save_page(tmp_path / "page.html", zoo.load("shapes"), others=others))
    deep, shallow = others["plain"].config, others["detr"].config
    assert shallow.encoder_layers < deep.encoder_layers and shallow.decoder_layers < deep.decoder_layers
    outside = "({ look }) => look.points.filter(({ x, y }) => x < 0 || x > 1 || y < 0 || y > 1).length"
    for step, condition in ((2, "(count) => count === 0"), (3, "(count) => count > 0")):
        laboratory.open(f"#tour=dense&step={step}")
        laboratory.rest()
        holds(page, f"() => ({outside})(window.laboratory)", condition)
    laboratory.open("#tour=refined&step=3")
    laboratory.rest()
    scores = "() => window.laboratory.look.steps.slice(1).map(({ score }) => score)"
    holds(page, scores, "(scores) => scores.length === 3 && scores[0] < scores[1] && scores[1] < scores[2]")
    page.set_viewport_size({"width": 390, "height": 900})
    holds(page, "() => document.documentElement.scrollWidth", "(seen) => seen <= 390")


def test_models_are_compared_where_they_are(page, tmp_path):
    fields = dict(feature_strides=(8, 16), num_levels=3, num_classes=6, encoder_layers=2, d_model=64, num_queries=9)
    others = {
        "one & refined": live_model(seed=21, **fields, box_refine=True),
        "plain": live_model(seed=22, **fields),
        "dense, too": live_model(seed=23, model_class=DetrBaseline, **fields),
    }
    first = live_model(seed=20, **fields, box_refine=True, two_stage=True)
    path = live.save_page(tmp_path / "page.html", first, others=others, image_size=SIZE, dtype="float32")
    laboratory = Opened(page, path)
    holds(page, OFFERED, f"(names) => String(names) === {','.join(n for n in NAMES if n != WITH_EPOCHS)!r}")
    go_through(laboratory, COMPARING)
    laboratory.open("#tour=refined&step=2")
    laboratory.says("caption", "one & refined: AP")
    laboratory.agrees(others["one & refined"])
    laboratory.open("#tour=dense&step=5")
    laboratory.says("caption", "plain: AP")
    laboratory.says("beside-caption", "dense, too: AP")


def test_a_page_offers_the_tours_that_it_can_show(laboratory):
    alone = [name for name in NAMES if name not in (WITH_EPOCHS, *COMPARING)]
    holds(laboratory.page, OFFERED, f"(names) => String(names) === {','.join(alone)!r}")
    laboratory.open("#tour=training&step=1")
    assert laboratory.says("trouble", "no tour").startswith('This page has no tour "training" with a step 1; its tours')
    laboratory.open("#tour=levels&step=9")
    laboratory.says("trouble", 'no tour "levels" with a step 9')
