// Guided tours: each a list of states, as links (see state.js), with a sentence or two. `#tour=proposal&step=2` leads to one.
// In a link, @dense stands for the first model of that kind, see `kindsOfModels`.

import { fromLink } from "./state.js";
import { TOURS } from "./tours_told.js";

export class Tours {
  constructor(laboratory) {
    this.laboratory = laboratory;
    this.find = laboratory.find;
    this.now = null; // { tour, step, link }
    this.offered = TOURS.filter(({ needs }) => needs(laboratory.can));
    this.find("tour").replaceChildren(...this.offered.map(({ name, title }) => new Option(title, name)));
    this.find("tour").closest("section").hidden = this.offered.length === 0;
    const click = (name, call) => this.find(name).addEventListener("click", call);
    click("tour-start", () => this.go(this.find("tour").value, 1));
    click("tour-back", () => this.go(this.now.tour.name, this.now.step - 1));
    click("tour-next", () => this.go(this.now.tour.name, this.now.step + 1));
    click("tour-end", () => this.leave());
  }

  /** Follow a link such as "tour=proposal&step=2"; false if it is no link of a tour. */
  follow(link) {
    const match = /^tour=([\w-]+)(?:&step=(\d+))?$/.exec(link);
    if (match === null) return false;
    const [, name, step = "1"] = match;
    const tour = this.offered.find((each) => each.name === name);
    if (tour === undefined || step < 1 || step > tour.steps.length) {
      const list = this.offered.map((each) => each.name).join(", ");
      throw new Error(`This page has no tour "${name}" with a step ${step}; its tours are ${list}. The scene begins anew.`);
    }
    this.go(name, Number(step));
    return true;
  }

  /** Steps are counted from 1. */
  go(name, step) {
    const tour = this.offered.find((each) => each.name === name);
    const { first, can } = this.laboratory;
    const link = tour.steps[step - 1].link.replace(/@(\w+)/g, (_, kind) => encodeURIComponent(can.kindsOfModels[kind]));
    this.now = { tour, step };
    this.laboratory.show(fromLink(link, first, can));
    this.now.link = this.laboratory.link(); // until the reader changes something
    const { say } = tour.steps[step - 1];
    this.find("tour").value = name;
    this.find("tour-step").hidden = false;
    this.find("tour-words").textContent = say;
    this.find("tour-place").textContent = `${step} of ${tour.steps.length}`;
    this.find("tour-back").disabled = step === 1;
    this.find("tour-next").disabled = step === tour.steps.length;
  }

  leave() {
    this.now = null;
    this.find("tour-step").hidden = true;
    this.laboratory.ask();
  }

  /** The tour's own link instead of that of its state. */
  shorten(link) {
    return link === this.now?.link ? `tour=${this.now.tour.name}&step=${this.now.step}` : link;
  }
}
