// A scene is everything the pictures and the words around them need to know of the moment.

const VIEW = ["image_index", "part", "layer", "query", "heads", "levels", "heat_map"];

/**
 * knowledge: { metadata, table, heat, pictures }, what Python sent once. view: what is shown. answer: Python's latest.
 * highlighted: { head, level }, either of which may be missing. moving: { from, share } while one scene turns into the
 * next.
 */
function compose(knowledge, view, answer, highlighted, moving) {
  const image = knowledge.metadata.images[view.image_index];
  const layerIndex = image.layers.findIndex((each) => each.part === view.part && each.layer === view.layer);
  const layer = image.layers[layerIndex];
  const found = lookUp(knowledge.metadata, knowledge.table, answer, view.image_index, layerIndex, view.query);
  const boxes = layer.query_kind === "objects" ? boxesOf(image, view.query) : [];
  const canGlide = moving && moving.from.layer.part === layer.part;
  const shown = canGlide ? between(moving, found, boxes[view.layer + 1]) : found;
  const isVisible = (sample) => view.heads.includes(sample.head) && view.levels.includes(sample.level);
  const { head, level } = highlighted;
  return {
    image,
    layer,
    boxes,
    view,
    shown,
    style: knowledge.metadata.style,
    picture: knowledge.pictures[view.image_index],
    heat: heatOf(knowledge.heat, image.proposals),
    samples: shown.samples.filter(isVisible),
    heaviest: Math.max(...found.samples.filter(isVisible).map((sample) => sample.weight), 1e-6),
    isFaded: (sample) => (head ?? sample.head) !== sample.head || (level ?? sample.level) !== sample.level,
    isExact: found.query === view.query,
  };
}

/** Points and box on their way from the scene before to what is shown now. */
function between({ from, share }, to, box) {
  const mix = (one, other) => one + share * (other - one);
  const place = (one, other) => ({ ...other, x: mix(one.x, other.x), y: mix(one.y, other.y) });
  const before = from.shown.samples;
  if (before.length !== to.samples.length) return to; // another number of points
  const samples = to.samples.map((sample, index) => ({
    ...place(before[index], sample),
    weight: mix(before[index].weight, sample.weight),
  }));
  const start = from.shown.box ?? from.boxes[from.view.layer + 1];
  const size = (name) => mix(start[name], box[name]);
  const moved = start && box ? { ...place(start, box), width: size("width"), height: size("height") } : null;
  return { ...to, reference: place(from.shown.reference, to.reference), samples, box: moved };
}

/** The proposals' scores of each level, 1 being the best of the image. */
function heatOf(bytes, proposals) {
  if (!proposals) return null;
  let offset = proposals.offset;
  return proposals.shapes.map(([height, width]) => {
    const level = bytes.subarray(offset, offset + height * width);
    offset += height * width;
    return Float32Array.from(level, (byte) => byte / 255);
  });
}

function weightOf(samples) {
  return samples.reduce((sum, sample) => sum + sample.weight, 0);
}

/** The true boxes, if they are known and shown. */
function truthOf({ image, settings }) {
  return (settings.truth && image.truth) || [];
}

function isOutside({ x, y }, margin = 0) {
  return x < -margin || x > 1 + margin || y < -margin || y > 1 + margin;
}

/** What one sees, in words. */
function sentence(scene) {
  const { image, boxes, samples, view } = scene;
  const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
  const outside = samples.filter((sample) => isOutside(sample));
  const share = Math.round((100 * weightOf(outside)) / (weightOf(samples) || 1));
  const shown = `${count(samples.length, "point")} of ${count(view.heads.length, "head")}`;
  const zeros = `, ${outside.length} of them, with ${share} % of the weight, outside the image, where zeros are read`;
  const points = `${shown} on ${count(view.levels.length, "level")}${outside.length ? zeros : ""}.`;
  const [before, after] = [boxes[view.layer], boxes[view.layer + 1]];
  if (!before || !after) return points;
  const centre = (box) => ({ x: box.x * image.width, y: box.y * image.height });
  const size = (box) => `${(box.width * image.width).toFixed(0)}×${(box.height * image.height).toFixed(0)}`;
  const moved = `moves the box by ${distance(centre(before), centre(after)).toFixed(1)} px`;
  const truth = truthOf(scene);
  const best = truth.length ? closest(truth, (box) => -overlap(box, after)) : null;
  const shared = best ? ` Its IoU with the true ${best.name} is ${overlap(best, after).toFixed(2)}.` : "";
  const made = `makes it ${size(after)} instead of ${size(before)} px.`;
  return `${points} Layer ${view.layer + 1} ${moved} and ${made}${shared}`;
}

/** Where the page has to make do without Python's answer. */
function apology({ isExact, view, shown }) {
  if (isExact) return "";
  const nearest = `shown are those of the nearest one it holds, query ${shown.query}`;
  return `This page holds no points of query ${view.query}; ${nearest}.`;
}
