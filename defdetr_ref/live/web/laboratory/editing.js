// Pointer and keys in the picture: shapes are moved, resized, turned, added and erased, digits are drawn, pixels and
// objects are pinned. What is done changes `laboratory.state`, and the laboratory looks again.

import { boxOf, fromStrokes, isDrawnByHand, placed, shapeAt, SMALLEST_RADIUS } from "./shapes.js";
import { MOST_POINTS, MOST_SHAPES } from "./state.js";

const STEP = 2; // px of the image, for each press of an arrow key
const LONG_STEP = 10; // with Shift
const GROWTH = 1.1; // of a shape, for each press of + or -
const TURN = Math.PI / 24; // for each press of r
const LARGEST_SHARE = 0.5; // radius, of the image's shorter side
const HANDLE_REACH = 14; // px of the page around a handle
const HANDLE_GAP = 16; // px of the page, from a shape to the handle that turns it
const COLOURS = ["#e8423c", "#2f6fe0", "#f2d43a", "#ee66cc", "#36b37e", "#f4f4f4"];
const NEW_SHARE = 0.12; // radius of a new shape, of the shorter side
const STROKE_REACH = 1.3; // how near to a digit, in its radii, a stroke belongs to it
const POINT_GAP = 1; // px of the image between two points of a stroke, at least
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Editor {
  constructor(laboratory, view) {
    this.laboratory = laboratory;
    this.view = view;
    this.holding = null; // what a pointer that is down does when it moves
    view.addEventListener("pointerdown", (event) => this.down(event));
    view.addEventListener("pointermove", (event) => this.holding?.(...this.placeOf(event)));
    for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => (this.holding = null));
    view.addEventListener("keydown", (event) => this.press(event));
  }

  get state() {
    return this.laboratory.state;
  }

  get shape() {
    return this.state.shapes[this.state.held] ?? null;
  }

  /** [height, width] of the image, in pixels. */
  get size() {
    return this.laboratory.size;
  }

  /** The pointer's place in the image. */
  placeOf(event) {
    const seen = this.view.getBoundingClientRect();
    const [height, width] = this.size;
    return [((event.clientX - seen.left) / seen.width) * width, ((event.clientY - seen.top) / seen.height) * height];
  }

  down(event) {
    const [x, y] = this.placeOf(event);
    const [height, width] = this.size;
    const actions = {
      move: () => this.takeHandle(x, y) || this.take(x, y),
      draw: () => this.startStroke(x, y),
      pixel: () => (this.holding = (x, y) => this.pinPixel(x / width, y / height)),
      object: () => (this.holding = (x, y) => this.pinObject(x, y)),
    };
    actions[this.state.pointer]();
    if (this.holding === null) return;
    this.view.setPointerCapture(event.pointerId);
    this.holding(x, y);
  }

  take(x, y) {
    const found = shapeAt(this.state.shapes, x, y);
    if (found < 0) return;
    this.hold(found);
    const [right, down] = [this.shape.x - x, this.shape.y - y];
    this.holding = (x, y) => this.moveTo(x + right, y + down);
  }

  /** Where the handles of the held shape are, in pixels of the image. */
  handles() {
    const [height, width] = this.size;
    const inside = ([x, y]) => [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
    const perPixel = width / this.view.clientWidth;
    const [cx, cy, w, h] = boxOf(this.shape, height, width);
    const [tip] = placed(this.shape, [[1 + (HANDLE_GAP * perPixel) / this.shape.radius, 0]]);
    return { size: inside([(cx + w / 2) * width, (cy + h / 2) * height]), turn: inside(tip), reach: HANDLE_REACH * perPixel };
  }

  takeHandle(x, y) {
    if (this.shape === null) return false;
    const { size, turn, reach } = this.handles();
    const { shape } = this;
    const away = (x, y) => Math.hypot(x - shape.x, y - shape.y);
    if (Math.hypot(turn[0] - x, turn[1] - y) <= reach) {
      const apart = shape.angle - Math.atan2(y - shape.y, x - shape.x);
      this.holding = (x, y) => this.turnTo(Math.atan2(y - shape.y, x - shape.x) + apart);
    } else if (Math.hypot(size[0] - x, size[1] - y) <= reach) {
      const share = shape.radius / Math.max(away(x, y), 1);
      this.holding = (x, y) => this.resizeTo(away(x, y) * share);
    }
    return this.holding !== null;
  }

  /** A stroke of a digit: of the held one if it is near, or else of a new one. */
  startStroke(x, y) {
    const kind = this.laboratory.drawnKind;
    const near = this.shape?.kind === kind && Math.hypot(this.shape.x - x, this.shape.y - y) < STROKE_REACH * this.shape.radius;
    const before = near ? this.shape.strokes.map((line) => placed(this.shape, line)) : [];
    const { colour } = near ? this.shape : { colour: this.nextColour() };
    if (!near && !this.push(fromStrokes(kind, [[[x, y]]], colour))) return;
    const line = [];
    const most = MOST_POINTS - before.flat().length;
    const [height, width] = this.size;
    this.holding = (right, down) => {
      const [x, y] = [Math.min(Math.max(right, 0), width), Math.min(Math.max(down, 0), height)]; // a link holds no others
      if (line.length && Math.hypot(line.at(-1)[0] - x, line.at(-1)[1] - y) < POINT_GAP) return;
      if (line.length >= most) {
        this.laboratory.say(`The digit has ${MOST_POINTS} points, which is the most; erase it and draw it shorter.`);
        return;
      }
      line.push([x, y]);
      this.state.shapes[this.state.held] = fromStrokes(kind, [...before, line], colour);
      this.laboratory.ask();
    };
  }

  pinPixel(x, y, level = this.state.pin.level ?? 0) {
    const inside = (place) => Math.min(Math.max(place, 0), 1);
    this.laboratory.set({ pin: { kind: "pixel", level, x: inside(x), y: inside(y) } });
  }

  /** The shape under a place is held, and its query pinned; elsewhere the query whose box is nearest. */
  pinObject(x, y) {
    const found = shapeAt(this.state.shapes, x, y);
    if (found >= 0) return this.hold(found, { kind: "held" });
    const [height, width] = this.size;
    return this.laboratory.set({ pin: { kind: "box", box: [x / width, y / height, 0, 0] } });
  }

  /** Arrows move what is held or pinned; the other keys are in the table of the page. */
  press(event) {
    const { key } = event;
    const actions = {
      "+": () => this.resizeTo(this.shape.radius * GROWTH),
      "-": () => this.resizeTo(this.shape.radius / GROWTH),
      r: () => this.turnTo(this.shape.angle + TURN),
      R: () => this.turnTo(this.shape.angle - TURN),
      c: () => this.recolour(COLOURS[(COLOURS.indexOf(this.shape.colour) + 1) % COLOURS.length]),
      k: () => this.changeKind(),
      Delete: () => this.erase(),
      Backspace: () => this.erase(),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key in MOVES) this.step(MOVES[key], event.shiftKey);
    else if (key === "Enter") this.next(event.shiftKey ? -1 : 1);
    else if (key === "n") this.add();
    else if (key === "p") this.nextPointer();
    else if (key === "PageUp" || key === "PageDown") this.changeLevel(key === "PageUp" ? -1 : 1);
    else if (key in actions && this.shape !== null) actions[key]();
    else return;
    event.preventDefault();
  }

  step([right, down], far) {
    const { pin } = this.state;
    if (this.state.pointer === "pixel") {
      const [rows, columns] = this.laboratory.levelShape(pin.level ?? 0);
      this.pinPixel((pin.x ?? 0.5) + right / columns, (pin.y ?? 0.5) + down / rows);
    } else if (this.shape !== null) {
      const length = far ? LONG_STEP : STEP;
      this.moveTo(this.shape.x + length * right, this.shape.y + length * down);
    }
  }

  /** The next shape, or with the pointer that pins objects the next query, the surest first. */
  next(direction) {
    const { shapes, held, pin, pointer } = this.state;
    if (pointer === "object") {
      const order = this.laboratory.detectionsByScore();
      const now = order.findIndex(({ query }) => query === this.laboratory.look.pinned?.query);
      const { box } = order.at((now + direction) % order.length);
      this.laboratory.set({ pin: { kind: "box", box } });
    } else if (shapes.length) {
      this.hold((held + direction + shapes.length) % shapes.length, pin);
    }
  }

  nextPointer() {
    const choices = this.laboratory.pointers;
    this.laboratory.choosePointer(choices[(choices.indexOf(this.state.pointer) + 1) % choices.length]);
  }

  changeLevel(direction) {
    const { pin } = this.state;
    if (pin.kind !== "pixel") return;
    const level = Math.min(Math.max(pin.level + direction, 0), this.laboratory.can.levels - 1);
    this.laboratory.set({ pin: { ...pin, level } });
  }

  hold(number, pin = this.state.pin) {
    this.laboratory.set({ held: number, pin: pin.kind === "box" ? { kind: "held" } : pin });
  }

  moveTo(x, y) {
    const [height, width] = this.size;
    this.change({ x: Math.min(Math.max(x, 0), width), y: Math.min(Math.max(y, 0), height) });
  }

  resizeTo(radius) {
    this.change({ radius: Math.min(Math.max(radius, SMALLEST_RADIUS), LARGEST_SHARE * Math.min(...this.size)) });
  }

  turnTo(angle) {
    this.change({ angle: Math.atan2(Math.sin(angle), Math.cos(angle)) }); // within ±π
  }

  recolour(colour) {
    this.change({ colour });
  }

  /** Another outline; a digit that is drawn is told to be another one. */
  changeKind(kind = null) {
    if (this.shape === null) return;
    const alike = this.laboratory.kinds.filter((each) => isDrawnByHand(each) === isDrawnByHand(this.shape.kind));
    this.change({ kind: kind ?? alike[(alike.indexOf(this.shape.kind) + 1) % alike.length] });
  }

  change(changes) {
    if (this.shape === null) return;
    Object.assign(this.shape, changes);
    this.laboratory.ask();
  }

  nextColour() {
    const used = this.state.shapes.map(({ colour }) => colour);
    return COLOURS.find((colour) => !used.includes(colour)) ?? COLOURS[used.length % COLOURS.length];
  }

  /** A new shape in the middle, or where there is more room. */
  add(kind = null) {
    const outlines = this.laboratory.kinds.filter((each) => !isDrawnByHand(each));
    if (outlines.length === 0) return;
    const [height, width] = this.size;
    const places = [0.5, 0.2, 0.8].flatMap((y) => [0.5, 0.2, 0.8].map((x) => [x * width, y * height]));
    const room = ([x, y]) => Math.min(...this.state.shapes.map((one) => Math.hypot(one.x - x, one.y - y) - one.radius), 1e9);
    const [x, y] = places.reduce((best, each) => (room(each) > room(best) + 1 ? each : best));
    const radius = NEW_SHARE * Math.min(height, width);
    this.push({ kind: kind ?? outlines[this.state.shapes.length % outlines.length], x, y, radius, colour: this.nextColour(), angle: 0 });
  }

  /** False, and a sentence in the page, if there are too many already. */
  push(shape) {
    if (this.state.shapes.length >= MOST_SHAPES) {
      this.laboratory.say(`The scene holds ${MOST_SHAPES} shapes, which is the most; erase one first.`);
      return false;
    }
    this.state.shapes.push(shape);
    this.hold(this.state.shapes.length - 1);
    return true;
  }

  erase() {
    if (this.shape === null) return;
    this.state.shapes.splice(this.state.held, 1);
    this.hold(Math.min(this.state.held, this.state.shapes.length - 1));
  }
}
