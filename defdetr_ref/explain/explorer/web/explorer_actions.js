// What pointer and keys in a picture mean: another query, or another layer.

const CLICK_REACH = 0.035; // of the image, around an object's reference point

function makeActions(explorer) {
  const whenThere = (call) => explorer.whenThere(call);
  return {
    pick: (panel, event) => pickFrom(explorer, panel, event),
    step: (dx, dy, times) => whenThere(() => explorer.choose({ query: neighbour(explorer, dx, dy, times) })),
    next: (direction) => whenThere(() => explorer.choose({ query: following(explorer, direction) })),
    first: () => whenThere(() => explorer.choose({ query: firstQuery(explorer) })),
    zoom: (direction) => {
      const zoom = ZOOMS[ZOOMS.indexOf(explorer.settings.zoom) + direction];
      if (zoom) explorer.set({ zoom });
    },
    layer: (direction) => whenThere(() => explorer.goToLayer(explorer.view.layer + direction)),
    hover: (panel, event) => {
      explorer.tooltip.follow(panel, event);
      explorer.tooltip.show(explorer.scene);
    },
  };
}

/** A click or a drag in a picture. */
function pickFrom(explorer, panel, { offsetX, offsetY }) {
  if (!panel.frame) explorer.drawNow(performance.now()); // it came before the first frame
  if (!panel.frame) return;
  const at = onFrame(panel, { offsetX, offsetY });
  const { x, y } = clampToImage(fromCanvas(panel.frame, at.x, at.y));
  explorer.whenThere(() => pickUnder(explorer, x, y, panel.level));
}

/** The query at a place; in the picture of a level, a pixel of this level. */
function pickUnder(explorer, x, y, level) {
  const { image, layer, view, candidates } = explorer;
  const query = queryUnder(image, layer, x, y, level, candidates);
  if (query !== view.query) explorer.choose({ query });
}

/** candidates: the objects that can be meant; by default all. */
function queryUnder(image, layer, x, y, level, candidates = undefined) {
  if (layer.query_kind === "objects") return objectUnder(image, layer, x, y, CLICK_REACH, candidates);
  return pixelUnder(layer, level ?? finestLevel(layer), x, y);
}

function finestLevel(layer) {
  return layer.shapes.indexOf(closest(layer.shapes, ([height, width]) => -height * width));
}

function neighbour({ layer, view, candidates }, dx, dy, times) {
  if (layer.query_kind === "objects") return objectTowards(layer, view.query, dx, dy, candidates);
  const { level, row, column } = pixelPlace(layer, view.query);
  return pixelQuery(layer, level, row + times * dy, column + times * dx);
}

/** The next object by score; or the pixel at the same place of the next level. */
function following({ layer, view, candidates: order }, direction) {
  if (layer.query_kind === "objects") {
    return order.at((order.indexOf(view.query) + direction) % order.length);
  }
  const { level, x, y } = pixelPlace(layer, view.query);
  return pixelUnder(layer, Math.min(Math.max(level + direction, 0), layer.shapes.length - 1), x, y);
}

function firstQuery({ layer, candidates }) {
  return layer.query_kind === "objects" ? candidates[0] : pixelUnder(layer, finestLevel(layer), 0.5, 0.5);
}

/**
 * The whole view after a change of part, layer or image: the layer asked for, or the same, as far as there is one; the
 * query that it was, among the same queries, else the one at its place; and of the heads and levels those that there
 * are; all, if all were shown. Python keeps the same rule, in fit.py.
 */
function fittingView({ metadata, view, image: imageBefore, layer: before }, changes) {
  const image = metadata.images[changes.image_index ?? view.image_index];
  const part = changes.part ?? (image.parts.includes(view.part) ? view.part : image.parts.at(-1));
  const stack = image.layers.filter((each) => each.part === part);
  const layer = stack[Math.min(changes.layer ?? view.layer, stack.length - 1)];
  const areTheSame = image === imageBefore && part === before.part && layer.queries === before.queries;
  const { x, y } = clampToImage((before.query_kind === "pixels" ? pixelPlace : objectPlace)(before, view.query));
  const query = areTheSame ? view.query : queryUnder(image, layer, x, y);
  const kept = (chosen, old, now) => (chosen.length === old ? upTo(now) : chosen.filter((index) => index < now));
  const heads = kept(view.heads, before.heads, layer.heads);
  const levels = kept(view.levels, before.levels, layer.levels);
  return { ...changes, part, layer: layer.layer, query, heads, levels };
}

function upTo(count) {
  return Array.from({ length: count }, (_, index) => index);
}
