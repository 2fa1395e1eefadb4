// All that a reader can set, as one object, and as a link: what differs from the beginning, behind the page's #.
//     #shapes=circle_310_340_130_e8423c_0~…&held=1&layer=2&pin=pixel_0_500_250&cuts=e0h1.outside
// Places and sizes are in thousandths of the image's sides (radii: of the shorter one), angles in degrees.

import { isDrawnByHand } from "./shapes.js";

const THOUSAND = 1000;
export const MOST_SHAPES = 20;
export const MOST_POINTS = 400; // of a shape's strokes
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

const inThousandths = (number, side) => Math.round((number / side) * THOUSAND);

/** A shape's numbers as a link holds them: [x, y, radius] in thousandths, the angle in degrees, strokes in thousandths. */
function wholeNumbers({ x, y, radius, angle, strokes }, { height, width }) {
  return {
    places: [inThousandths(x, width), inThousandths(y, height), inThousandths(radius, Math.min(height, width))],
    degrees: Math.round((angle * 180) / Math.PI),
    strokes: strokes?.map((line) => line.map((point) => point.map((n) => inThousandths(n, 1)))),
  };
}

/** And back: what of a shape those numbers decide. */
function fromWholeNumbers({ places: [x, y, size], degrees, strokes }, { height, width }) {
  const shape = {
    x: (x / THOUSAND) * width,
    y: (y / THOUSAND) * height,
    radius: (size / THOUSAND) * Math.min(height, width),
    angle: (degrees * Math.PI) / 180,
  };
  if (strokes) shape.strokes = strokes.map((line) => line.map((point) => point.map((n) => n / THOUSAND)));
  return shape;
}

/** The shapes as a link brings them back: these are painted, so that who opens the link sees the same to the pixel. */
export function asLinked(shapes, can) {
  return shapes.map((shape) => ({ ...shape, ...fromWholeNumbers(wholeNumbers(shape, can), can) }));
}

function written(state, can) {
  const { shapes, pin, cuts, points, model, beside, ...plain } = state;
  const shapeWords = (shape) => {
    const { places, degrees, strokes } = wholeNumbers(shape, can);
    const words = [shape.kind, ...places, shape.colour.slice(1), degrees];
    if (strokes) words.push(strokes.map((line) => line.flat().join(".")).join("!"));
    return words.join("_");
  };
  const pinWords = {
    held: () => "held",
    box: () => `box_${pin.box.map((n) => inThousandths(n, 1)).join("_")}`,
    pixel: () => `pixel_${pin.level}_${inThousandths(pin.x, 1)}_${inThousandths(pin.y, 1)}`,
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

function readShape(words, can) {
  const [kind, ...rest] = words.split("_");
  if (!can.kinds.includes(kind)) throw unreadable(words.slice(0, 30), `the model knows ${can.kinds.join(", ")}`);
  const [x, y, size, colour, degrees, strokes] = rest;
  if (!/^[0-9a-f]{6}$/.test(colour)) throw unreadable(words.slice(0, 60), "a colour has six hexadecimal digits");
  const [shorter, longer] = [Math.min(can.height, can.width), Math.max(can.height, can.width)];
  const largest = Math.ceil((THOUSAND * longer) / shorter / 2); // a digit may be drawn over all of the image
  const numbers = {
    places: [...[x, y].map((text) => whole(text, [0, THOUSAND], words)), whole(size, [1, largest], words)],
    degrees: whole(degrees, [-THOUSAND, THOUSAND], words),
    strokes: isDrawnByHand(kind) ? readStrokes(strokes ?? "", words) : undefined,
  };
  return { kind, colour: `#${colour}`, ...fromWholeNumbers(numbers, can) };
}

function readStrokes(text, words) {
  const lines = text.split("!").map((line) => line.split("."));
  if (lines.flat().length > 2 * MOST_POINTS || lines.some((line) => line.length % 2)) {
    throw unreadable(words.slice(0, 30), `strokes are pairs of numbers, at most ${MOST_POINTS}`);
  }
  const numbers = lines.map((line) => line.map((n) => whole(n, [-THOUSAND, THOUSAND], words.slice(0, 30))));
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
