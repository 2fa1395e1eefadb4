// The laboratory: the reader changes a scene or the detector, the detector looks again, and everything that it computed
// can be seen.

import { install } from "../live.js";
import { Controls } from "./controls.js";
import { cutNames } from "./cuts.js";
import { Editor } from "./editing.js";
import { Levels } from "./levels.js";
import { lookAt } from "./look.js";
import { Models } from "./models.js";
import { readPhotograph } from "./photo.js";
import { levelShapes } from "./pins.js";
import { QuerySteps } from "./query.js";
import { apWords, fillTable, pinWords } from "./report.js";
import { makeGround, paintScene } from "./scene.js";
import { firstShapes, isDrawnByHand, OUTLINES } from "./shapes.js";
import { asLink, asLinked, firstState, fromLink } from "./state.js";
import { Tours } from "./tours.js";
import { paintDetections, paintView } from "./views.js";

const LINK_AFTER = 300; // ms of rest before the address is changed; browsers refuse many changes in a short time

export class Laboratory {
  /**
   * root: with the elements of laboratory.html; names: label → word; size: [height, width] of the image, in pixels;
   * described, bytes: as of `Models`, and of each description also the numbers of its `config` that are looked at here.
   */
  constructor(root, { names, size, described, bytes }) {
    this.root = root;
    this.nameOf = (label) => names[label] ?? `class ${label}`;
    this.labelOf = (kind) => Number(Object.keys(names).find((label) => names[label] === kind));
    this.size = size;
    this.find = (name) => root.querySelector(`[data-part=${name}]`);
    this.kinds = Object.values(names).filter((kind) => kind in OUTLINES || isDrawnByHand(kind));
    this.models = new Models(described, bytes);
    this.can = canOf(described, this.kinds, size);
    const [height, width] = size;
    this.image = Object.assign(document.createElement("canvas"), { height, width });
    this.ground = makeGround(height, width);
    this.photograph = null;
    this.first = firstState(firstShapes(this.kinds, height, width), this.can);
    this.state = structuredClone(this.first);
    this.waiting = false; // a frame is asked for
    this.drawn = 0;
    this.view = this.find("view");
    root.style.setProperty("--ratio", `${width} / ${height}`);
    this.editor = new Editor(this, this.view);
    this.levels = new Levels(this.find("levels"), (level, x, y) => {
      this.choosePointer("pixel");
      this.editor.pinPixel(x, y, level);
    });
    this.steps = new QuerySteps(this.find("steps"), this.nameOf);
    this.controls = new Controls(this);
    this.tours = new Tours(this);
    this.listen();
  }

  listen() {
    new ResizeObserver(() => this.ask()).observe(this.root); // at once, too
    window.addEventListener("hashchange", () => this.openLink());
    this.root.addEventListener("dragover", (event) => event.preventDefault());
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      const [file] = event.dataTransfer.files;
      if (file === undefined) this.say("Nothing was dropped that is a file; drop a photograph.");
      else this.takePhotograph(file);
    });
  }

  /** What pointers there are: digits are drawn where the detector knows digits. */
  get pointers() {
    return ["move", "pixel", "object", ...(this.kinds.some(isDrawnByHand) ? ["draw"] : [])];
  }

  get drawnKind() {
    return this.find("digit").value;
  }

  /** One sentence for the reader; it stays until the next one, or until something works again. */
  say(sentence) {
    const place = this.find("trouble");
    place.textContent = sentence;
    place.hidden = sentence === "";
  }

  begin() {
    this.show(structuredClone(this.first));
  }

  show(state) {
    this.state = state;
    this.say("");
    this.ask();
  }

  set(changes) {
    this.show(Object.assign(this.state, changes));
  }

  /** What the pointer does; what it pins is pinned at once. */
  choosePointer(pointer) {
    const pins = { pixel: { kind: "pixel", level: 0, x: 0.5, y: 0.5 }, object: { kind: "held" }, move: { kind: "held" } };
    const { pin } = this.state;
    const fits = pointer === "pixel" ? pin.kind === "pixel" : pointer === "object" && pin.kind !== "pixel";
    const keeps = fits || (pointer === "move" && pin.kind !== "box") || pointer === "draw";
    this.set({ pointer, pin: keeps ? pin : pins[pointer] });
  }

  async takePhotograph(file) {
    try {
      this.usePhotograph(await readPhotograph(file, this.size));
    } catch (error) {
      this.say(error.message);
    }
  }

  usePhotograph(photograph) {
    this.photograph = photograph;
    this.find("photo").value = "";
    this.set({});
  }

  levelShape(level) {
    return levelShapes(this.look.answer)[level];
  }

  detectionsByScore() {
    return [...this.look.detections].sort((a, b) => b.score - a.score);
  }

  /** The state as the part of a link behind the #. */
  link() {
    return asLink(this.state, this.first, this.can);
  }

  address() {
    const link = this.tours.shorten(this.link());
    return location.href.split("#")[0] + (link && `#${link}`);
  }

  /** Show what the page's address names. */
  openLink() {
    this.known = location.hash;
    const link = location.hash.slice(1);
    if (this.address() === location.href) return;
    this.tours.leave();
    this.begin();
    try {
      if (!this.tours.follow(link)) this.show(fromLink(link, this.first, this.can));
    } catch (error) {
      this.say(error.message);
    }
  }

  writeLink() {
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      if (location.hash !== this.known) return; // another link was followed, which is shown in a moment
      history.replaceState(null, "", this.address());
      this.known = location.hash;
    }, LINK_AFTER);
  }

  /** Look again at the next frame; what changes until then is seen with it. */
  ask() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.lookAgain();
    });
  }

  lookAgain() {
    const { state, models } = this;
    const seen = { ...state, shapes: asLinked(state.shapes, this.can) };
    const pixels = paintScene(this.image, seen.shapes, this.ground, this.photograph);
    try {
      this.look = lookAt(models, seen, pixels, this.size, this.labelOf);
      if (state.pin.kind === "box") state.pin.box = this.look.pinned.box; // it follows its query
    } catch (error) {
      this.look = null;
      this.say(error.message);
    }
    this.paint();
    this.drawn += 1;
    this.root.dataset.drawn = this.drawn;
    this.writeLink();
  }

  paint() {
    const { look, state, image, editor, nameOf } = this;
    const isShown = ({ score }) => score >= state.score / 100;
    const shown = look === null ? [] : look.detections.filter(isShown);
    paintView(this.view, image, { look, shown, nameOf, editor, withPoints: state.points });
    this.controls.show(look?.detector ?? null);
    this.find("beside-figure").hidden = !look?.beside;
    this.find("way").hidden = !look?.steps;
    if (look === null) return;
    const apOfCut = look.apUncut === null ? "" : `; without cuts ${apWords(look.apUncut)}`;
    this.find("caption").textContent = `${this.models.wordsOf(state.model)}: AP ${apWords(look.ap)}${apOfCut}`;
    this.find("status").textContent = pinWords({ look, shape: editor.shape, nameOf });
    this.find("ap").textContent = `AP of this scene: ${apWords(look.ap)}${apOfCut}.`;
    const how = look.detector.arithmetic === "simd" ? "in WebAssembly" : "in JavaScript alone, as WebAssembly does not run here";
    this.find("time").textContent = `One look: ${look.spent.toFixed(0)} ms, ${how}.`;
    fillTable(this.find("found"), look, state, nameOf);
    this.levels.show(look.answer, image, state.points ? look.points : null, state.pin);
    if (look.steps) this.steps.show(look.steps, look.truth, image);
    if (look.beside) {
      paintDetections(this.find("beside-view"), image, look.beside.detections.filter(isShown), nameOf);
      this.find("beside-caption").textContent = `${look.beside.words}: AP ${apWords(look.beside.ap)}`;
    }
  }
}

/** What a link may name. */
function canOf(described, kinds, [height, width]) {
  const most = (name) => Math.max(...described.map(({ config }) => config[name]));
  return {
    kinds,
    height,
    width,
    layers: most("decoder_layers"),
    encoderLayers: most("encoder_layers"),
    levels: most("num_levels"),
    cuts: [...new Set(described.flatMap(({ config }) => cutNames(config, config.dense)))],
    models: described.map(({ id }) => id),
    kindsOfModels: kindsOfModels(described),
    twoStage: described[0].config.two_stage,
    refines: described[0].config.box_refine,
    epochs: described.filter(({ epoch }) => epoch !== undefined).length,
  };
}

/** The ids of models that tours name by what they are: of each kind the first, epochs left out. */
function kindsOfModels(described) {
  const first = (fits) => described.find(({ epoch, config }) => epoch === undefined && fits(config))?.id;
  return {
    dense: first(({ dense }) => dense),
    plain: first(({ dense, box_refine }) => !dense && !box_refine),
    refined: first(({ box_refine, two_stage }) => box_refine && !two_stage),
  };
}

/** What page.py put into the page: facts in JSON, and weights in base64. */
export function storedPage() {
  const stored = (part) => document.querySelector(`[data-stored="${part}"]`).textContent;
  const bytesOf = (part) => fromBase64(stored(part));
  const facts = JSON.parse(stored("page"));
  const numberOf = (id) => facts.described.findIndex((each) => each.id === id);
  return { ...facts, bytes: (id) => ({ weights: bytesOf(numberOf(id)), kernel: bytesOf("kernel") }) };
}

function fromBase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  // Several times as fast as Uint8Array.from, and there are millions of them.
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/**
 * Fill the page: `root` as laboratory.html lays it out; `page`: see the constructor. `window.defdetr` is the first
 * model, see live.js. Resolves to the laboratory, also if the model cannot be opened: the scene can be changed then.
 */
export async function openLaboratory(root, page) {
  const first = page.described[0].id;
  const ready = install(() => page.bytes(first));
  const laboratory = new Laboratory(root, page);
  try {
    laboratory.models.keep(first, await ready);
  } catch (error) {
    laboratory.models.refuse(first, error);
    laboratory.find("status").textContent = "";
  }
  laboratory.openLink();
  laboratory.ask();
  return laboratory;
}
