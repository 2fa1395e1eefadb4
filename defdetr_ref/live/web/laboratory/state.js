// All that a reader can set, as one object, and as a link: what differs from the beginning, behind the page's #.
//     #shapes=circle_310_340_130_e8423c_0~…&held=1&layer=2&pin=pixel_0_500_250&cuts=e0h1.outside
// Places and sizes are in thousandths of the image's sides (radii: of the shorter one), angles in degrees.

import { isDrawnByHand } from "./shapes.js";

const THOUSAND = 1000;
const LARGEST_RADIUS = 500; // thousandths
export const MOST_SHAPES = 20;
const MOST_POINTS = 400; // of a shape's strokes
const POINTERS = ["move", "pixel", "object", "draw"];

/** What the page begins with. can: see `Laboratory.can`. */
export function firstState(shapes, can) {
  return {
    shapes,
    held: shapes.length ? 0 : -1,
    pointer: "move",
    layer: can.layers, // of the decoder, counted from 1
    encoder: 1, // layer, likewise
    score: 30, // the smallest that is shown, in hundredths
    points: true,
    pin: { kind: "held" },
    cuts: [],
    model: can.models[0],
    beside: "",
  };
}

/** The part of a link behind the #. first: the state that needs no words. */
export function asLink(state, first, can) {
  const [now, before] = [state, first].map((each) => written(each, can));
  return Object.keys(now).filter((name) => now[name] !== before[name]).map((name) => `${name}=${now[name]}`).join("&");
}

function written(state, { height, width }) {
  const { shapes, pin, cuts, points, model, beside, ...plain } = state;
  const share = (number, side) => Math.round((number / side) * THOUSAND);
  const shapeWords = ({ kind, x, y, radius, colour, angle, strokes }) => {
    const degrees = Math.round((angle * 180) / Math.PI);
    const size = share(radius, Math.min(height, width));
    const words = [kind, share(x, width), share(y, height), size, colour.slice(1), degrees];
    if (strokes) words.push(strokes.map((line) => line.flat().map((n) => Math.round(n * THOUSAND)).join(".")).join("!"));
    return words.join("_");
  };
  const pinWords = {
    held: () => "held",
    box: () => `box_${pin.box.map((n) => share(n, 1)).join("_")}`,
    pixel: () => `pixel_${pin.level}_${share(pin.x, 1)}_${share(pin.y, 1)}`,
  };
  return {
    shapes: shapes.map(shapeWords).join("~"),
    ...plain,
    points: points ? 1 : 0,
    pin: pinWords[pin.kind](),
    cuts: cuts.join("."),
    model: encodeURIComponent(model),
    beside: encodeURIComponent(beside),
  };
}

/** The state that a link names. Throws an Error, in one sentence, for a link that cannot be read. */
export function fromLink(link, first, can) {
  const state = structuredClone(first);
  for (const part of link.split("&").filter(Boolean)) {
    const [name, text = ""] = part.split("=");
    const reader = READERS[name];
    if (reader === undefined) throw unreadable(part, `it may set ${Object.keys(READERS).join(", ")}`);
    state[name] = reader(text, can, part);
  }
  const last = state.shapes.length - 1;
  if (state.held > last) {
    if (/(^|&)held=/.test(link)) throw unreadable(`held=${state.held}`, `the last of the shapes is number ${last}`);
    state.held = last;
  }
  return state;
}

function unreadable(part, why) {
  return new Error(`The link cannot be read at "${part}": ${why}. The scene begins anew.`);
}

const READERS = {
  shapes(text, can, part) {
    const shapes = text.split("~").filter(Boolean);
    if (shapes.length > MOST_SHAPES) throw unreadable(part.slice(0, 30), `at most ${MOST_SHAPES} shapes are drawn`);
    return shapes.map((words) => readShape(words, can));
  },
  held: (text, can, part) => whole(text, [-1, MOST_SHAPES - 1], part),
  pointer: (text, can, part) => oneOf(text, POINTERS, part),
  layer: (text, can, part) => whole(text, [1, can.layers], part),
  encoder: (text, can, part) => whole(text, [1, can.encoderLayers], part),
  score: (text, can, part) => whole(text, [1, 99], part),
  points: (text, can, part) => oneOf(text, ["0", "1"], part) === "1",
  pin(text, can, part) {
    const [kind, ...numbers] = text.split("_");
    if (kind === "held" && numbers.length === 0) return { kind };
    if (kind === "box" && numbers.length === 4) {
      return { kind, box: numbers.map((number) => whole(number, [0, THOUSAND], part) / THOUSAND) };
    }
    if (kind === "pixel" && numbers.length === 3) {
      const level = whole(numbers[0], [0, can.levels - 1], part);
      const [x, y] = numbers.slice(1).map((number) => whole(number, [0, THOUSAND], part) / THOUSAND);
      return { kind, level, x, y };
    }
    throw unreadable(part, "a pin is held, box with 4 numbers, or pixel with 3");
  },
  cuts: (text, can, part) => text.split(".").filter(Boolean).map((name) => oneOf(name, can.cuts, part)),
  model: (text, can, part) => oneOf(named(text, part), can.models, part),
  beside: (text, can, part) => oneOf(named(text, part), ["", "uncut", ...can.models], part),
};

function readShape(words, { kinds, height, width }) {
  const [kind, ...rest] = words.split("_");
  if (!kinds.includes(kind)) throw unreadable(words.slice(0, 30), `the model knows ${kinds.join(", ")}`);
  const [x, y, size, colour, degrees, strokes] = rest;
  if (!/^[0-9a-f]{6}$/.test(colour)) throw unreadable(words.slice(0, 60), "a colour has six hexadecimal digits");
  const shape = {
    kind,
    x: (whole(x, [0, THOUSAND], words) / THOUSAND) * width,
    y: (whole(y, [0, THOUSAND], words) / THOUSAND) * height,
    radius: (whole(size, [1, LARGEST_RADIUS], words) / THOUSAND) * Math.min(height, width),
    colour: `#${colour}`,
    angle: (whole(degrees, [-THOUSAND, THOUSAND], words) * Math.PI) / 180,
  };
  return isDrawnByHand(kind) ? { ...shape, strokes: readStrokes(strokes ?? "", words) } : shape;
}

function readStrokes(text, words) {
  const lines = text.split("!").map((line) => line.split("."));
  if (lines.flat().length > 2 * MOST_POINTS || lines.some((line) => line.length % 2)) {
    throw unreadable(words.slice(0, 30), `strokes are pairs of numbers, at most ${MOST_POINTS}`);
  }
  const numbers = lines.map((line) => line.map((n) => whole(n, [-THOUSAND, THOUSAND], words.slice(0, 30)) / THOUSAND));
  return numbers.map((line) => Array.from({ length: line.length / 2 }, (_, i) => [line[2 * i], line[2 * i + 1]]));
}

function whole(text, [low, high], part) {
  const number = Number(text);
  if (!/^-?\d+$/.test(text) || number < low || number > high) {
    throw unreadable(part.slice(0, 60), `${JSON.stringify(text ?? "")} must be a whole number from ${low} to ${high}`);
  }
  return number;
}

function oneOf(text, choices, part) {
  if (!choices.includes(text)) throw unreadable(part, `it must be one of ${choices.filter(Boolean).join(", ")}`);
  return text;
}

function named(text, part) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error(`The link cannot be read at "${part}": the name is damaged. The scene begins anew.`);
  }
}
