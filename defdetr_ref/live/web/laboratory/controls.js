// The controls beside the picture: each shows a part of the state, and changes it.

import { DetrBaseline } from "../dense.js";
import { cutNames, OUTSIDE, partsOf } from "./cuts.js";
import { isDrawnByHand } from "./shapes.js";

export class Controls {
  constructor(laboratory) {
    this.laboratory = laboratory;
    this.find = laboratory.find;
    this.fill();
    this.listen();
  }

  get state() {
    return this.laboratory.state;
  }

  /** What does not change while the page is open. */
  fill() {
    const { kinds, models, size, pointers } = this.laboratory;
    const digits = kinds.filter(isDrawnByHand);
    options(this.find("digit"), digits.map((kind) => [kind, kind]));
    for (const each of this.laboratory.root.querySelectorAll("[data-part=can-draw]")) {
      each.hidden = !pointers.includes("draw");
    }
    this.find("radius").max = Math.min(...size) / 2;
    this.find("add").disabled = digits.length === kinds.length;
    options(this.find("model"), models.ids.map((id) => [id, models.wordsOf(id)]));
    const others = models.ids.map((id) => [id, models.wordsOf(id)]);
    options(this.find("beside"), [["", "nothing"], ["uncut", "the same model, uncut"], ...others]);
    this.find("course").max = models.course.length - 1;
    this.find("has-course").hidden = models.course.length === 1;
  }

  listen() {
    const { laboratory } = this;
    const { editor } = laboratory;
    const input = (name, call) => this.find(name).addEventListener("input", ({ target }) => call(target));
    const click = (name, call) => this.find(name).addEventListener("click", call);
    this.find("controls").addEventListener("submit", (event) => event.preventDefault());
    for (const radio of this.radios()) {
      radio.addEventListener("change", () => laboratory.choosePointer(radio.value));
    }
    input("kind", ({ value }) => editor.changeKind(value));
    input("radius", ({ value }) => editor.resizeTo(Number(value)));
    input("angle", ({ value }) => editor.turnTo((value * Math.PI) / 180));
    input("colour", ({ value }) => editor.recolour(value));
    click("add", () => editor.add());
    click("erase", () => editor.erase());
    for (const name of ["layer", "encoder", "score"]) input(name, ({ value }) => laboratory.set({ [name]: Number(value) }));
    input("points", ({ checked }) => laboratory.set({ points: checked }));
    input("outside", () => this.toggleCut(OUTSIDE));
    click("mend", () => laboratory.set({ cuts: [] }));
    input("model", ({ value }) => laboratory.set({ model: value }));
    input("beside", ({ value }) => laboratory.set({ beside: value }));
    input("course", ({ value }) => laboratory.set({ model: laboratory.models.course[value].id }));
    input("photo", ({ files }) => files.length && laboratory.takePhotograph(files[0]));
    click("no-photo", () => laboratory.usePhotograph(null));
    click("anew", () => laboratory.begin());
    click("copy", () => this.copyLink());
  }

  radios() {
    return this.laboratory.root.querySelectorAll("input[name=pointer]");
  }

  /** The link is selected, too, for where a page may not write to the clipboard. */
  async copyLink() {
    const field = this.find("link");
    field.value = this.laboratory.address();
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      this.laboratory.say("The link is copied.");
    } catch {
      this.laboratory.say("The link is selected: copy it with the keyboard.");
    }
  }

  toggleCut(name) {
    const { cuts } = this.state;
    this.laboratory.set({ cuts: cuts.includes(name) ? cuts.filter((each) => each !== name) : [...cuts, name] });
  }

  /** A button for each layer of the detector, and for its heads and levels. */
  buildCuts(detector) {
    const { num_heads: heads, num_levels: levels } = detector.config;
    const rows = partsOf(detector).flatMap(({ letter, part, layers }) =>
      layers.map((_, layer) => {
        const row = document.createElement("div");
        const name = `${letter}${layer}`;
        row.append(this.cutButton(name, `${part} ${layer + 1}`, `${part} layer ${layer + 1}`));
        for (let head = 0; head < heads; head++) {
          row.append(this.cutButton(`${name}h${head}`, `h${head}`, `head ${head} of ${part} layer ${layer + 1}`));
        }
        for (let level = 0; level < levels; level++) {
          row.append(this.cutButton(`${name}l${level}`, `l${level}`, `level ${level} of ${part} layer ${layer + 1}`));
        }
        return row;
      }),
    );
    this.find("cuts").replaceChildren(...rows);
  }

  cutButton(name, words, title) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: words, title });
    button.dataset.cut = name;
    button.setAttribute("aria-label", title);
    button.addEventListener("click", () => this.toggleCut(name));
    return button;
  }

  /** What the state is now. detector: the one that looks, or null. */
  show(detector) {
    const { state } = this;
    const { can, editor, models, photograph, kinds } = this.laboratory;
    for (const radio of this.radios()) radio.checked = radio.value === state.pointer;
    this.find("shape").disabled = editor.shape === null && this.find("add").disabled;
    this.find("erase").disabled = editor.shape === null;
    if (editor.shape !== null) {
      const { kind, radius, angle, colour } = editor.shape;
      const alike = kinds.filter((each) => isDrawnByHand(each) === isDrawnByHand(kind));
      if (this.find("kind").length !== alike.length) options(this.find("kind"), alike.map((each) => [each, each]));
      const values = { kind, radius, angle: Math.round((angle * 180) / Math.PI), colour };
      for (const [name, value] of Object.entries(values)) this.find(name).value = value;
    }
    const looking = [detector, models.opened(state.beside)].filter((each) => each !== null);
    for (const [name, part, most] of [["layer", "decoder_layers", can.layers], ["encoder", "encoder_layers", can.encoderLayers]]) {
      const layers = looking.map(({ config }) => config[part]);
      const max = layers.length > 0 ? Math.max(...layers) : most;
      Object.assign(this.find(name), { max, value: state[name] }); // a value beyond the end becomes the end
      this.find(`${name}-words`).textContent = this.find(name).value;
    }
    this.find("score").value = state.score;
    this.find("score-words").textContent = (state.score / 100).toFixed(2);
    this.find("points").checked = state.points;
    this.find("outside").checked = state.cuts.includes(OUTSIDE);
    this.find("mend").disabled = state.cuts.length === 0;
    [this.find("model").value, this.find("beside").value] = [state.model, state.beside];
    this.find("course").value = models.course.findIndex(({ id }) => id === state.model);
    this.find("no-photo").disabled = photograph === null;
    if (detector === null) return;
    const names = cutNames(detector.config, detector instanceof DetrBaseline).join(" ");
    if (names !== this.cutsShown) this.buildCuts(detector);
    this.cutsShown = names;
    for (const button of this.find("cuts").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", state.cuts.includes(button.dataset.cut));
    }
  }
}

function options(select, choices) {
  select.replaceChildren(...choices.map(([value, words]) => new Option(words, value)));
}
