// What the page knows: the table of points, where pixels and objects are, and which of them is meant by a click.
// Places are x, y in [0, 1] of the image. All files beside this one share one scope; see page.py.

/** The bytes of a trait, however it arrived: a DataView from a notebook, base64 from a saved page. */
function asBytes(value) {
  if (typeof value === "string") return Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0));
  if (value instanceof DataView) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return new Uint8Array(value ?? []);
}

/** A model for a page without Python: the same four functions that a notebook's model has. */
function savedModel(state) {
  const values = { ...state };
  const listeners = [];
  return {
    get: (name) => values[name],
    set: (name, value) => {
      if (values[name] === value) return;
      values[name] = value;
      listeners.filter((each) => each.event === `change:${name}`).forEach((each) => each.call());
    },
    save_changes: () => {},
    on: (event, call) => listeners.push({ event, call }),
    off: () => {},
  };
}

/** One row of the table: the reference, and a sample for every head, level and point. */
function readRow(layer, steps, view, start) {
  const integer = (index) => view.getInt16(start + 2 * index, true);
  const place = (index) => integer(index) / steps.place;
  const isBox = integer(2) !== steps.absent;
  const reference = { x: place(0), y: place(1), ...(isBox ? { width: place(2), height: place(3) } : {}) };
  const samples = [];
  let index = steps.referenceNumbers;
  for (let head = 0; head < layer.heads; head++) {
    for (let level = 0; level < layer.levels; level++) {
      for (let point = 0; point < layer.points; point++, index += steps.sampleNumbers) {
        const weight = integer(index + 2) / steps.weight;
        samples.push({ head, level, point, x: place(index), y: place(index + 1), weight });
      }
    }
  }
  return { reference, samples };
}

function rowBytes(layer, steps) {
  return 2 * (steps.referenceNumbers + steps.sampleNumbers * layer.heads * layer.levels * layer.points);
}

/** The points of a query: from Python's answer if it is there, else from the table, of the nearest query it holds. */
function lookUp(metadata, table, answer, imageIndex, layerIndex, query) {
  const layer = metadata.images[imageIndex].layers[layerIndex];
  const answerView = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  const header = answer.byteLength >= 12 ? [0, 4, 8].map((at) => answerView.getInt32(at, true)) : [];
  if (header[0] === imageIndex && header[1] === layerIndex && header[2] === query) {
    return { ...readRow(layer, metadata.steps, answerView, 12), query, isAnswer: true };
  }
  const nearest = nearestInTable(layer, query);
  const place = layer.inTable === null ? nearest : layer.inTable.indexOf(nearest);
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  return { ...readRow(layer, metadata.steps, view, layer.offset + place * rowBytes(layer, metadata.steps)), query: nearest };
}

function nearestInTable(layer, query) {
  if (layer.inTable === null || layer.inTable.includes(query)) return query;
  if (layer.query_kind === "objects")
    return closest(layer.inTable, (other) => distance(objectPlace(layer, other), objectPlace(layer, query)));
  const wanted = pixelPlace(layer, query);
  const sameLevel = layer.inTable.filter((other) => pixelPlace(layer, other).level === wanted.level);
  return closest(sameLevel, (other) => distance(pixelPlace(layer, other), wanted));
}

function closest(items, cost) {
  return items.reduce((best, item) => (cost(item) < cost(best) ? item : best), items[0]);
}

function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}

/** Level, row, column and centre of a pixel query. Queries are the levels one after another, each row by row. */
function pixelPlace(layer, query) {
  let before = 0;
  for (let level = 0; level < layer.shapes.length; level++) {
    const [height, width] = layer.shapes[level];
    if (query < before + height * width) {
      const row = Math.floor((query - before) / width);
      const column = (query - before) % width;
      return {
        level,
        row,
        column,
        x: (column + 0.5) / width / layer.extent[0],
        y: (row + 0.5) / height / layer.extent[1],
      };
    }
    before += height * width;
  }
  return { level: 0, row: 0, column: 0, x: 0, y: 0 };
}

/** The pixel of `level` in this row and column; beyond the border, the last one before it. */
function pixelQuery(layer, level, row, column) {
  const before = layer.shapes.slice(0, level).reduce((sum, [height, width]) => sum + height * width, 0);
  const [height, width] = layer.shapes[level];
  const inside = (index, count) => Math.min(Math.max(index, 0), count - 1);
  return (
    before +
    inside(row, Math.ceil(height * layer.extent[1])) * width +
    inside(column, Math.ceil(width * layer.extent[0]))
  );
}

function pixelUnder(layer, level, x, y) {
  const [height, width] = layer.shapes[level];
  return pixelQuery(layer, level, Math.floor(y * layer.extent[1] * height), Math.floor(x * layer.extent[0] * width));
}

function objectPlace(layer, query) {
  const [x, y] = layer.references[query];
  return { x, y };
}

/** The object meant by a click: the best one whose reference is within reach, else the nearest. */
function objectUnder(image, layer, x, y, reach, queries = upTo(layer.queries)) {
  const near = queries.filter((query) => distance(objectPlace(layer, query), { x, y }) < reach);
  if (near.length && image.objects) return closest(near, (query) => -image.objects.scores[query]);
  return closest(near.length ? near : queries, (query) => distance(objectPlace(layer, query), { x, y }));
}

/** The next object in a direction (dx, dy): near, and more ahead than aside. The same one if there is none ahead. */
function objectTowards(layer, query, dx, dy, queries) {
  const from = objectPlace(layer, query);
  const ahead = queries
    .map((other) => ({ other, at: objectPlace(layer, other) }))
    .map(({ other, at }) => ({
      other,
      along: (at.x - from.x) * dx + (at.y - from.y) * dy,
      aside: Math.abs((at.x - from.x) * dy) + Math.abs((at.y - from.y) * dx),
    }))
    .filter(({ other, along, aside }) => other !== query && along > 0 && aside <= 2 * along);
  return ahead.length ? closest(ahead, ({ along, aside }) => along + 2 * aside).other : query;
}

/** Objects from the likeliest to the least. */
function objectsByScore(image, layer) {
  return image.objects ? image.objects.best : layer.references.map((_, query) => query);
}

/** [{x, y, width, height}] after each step of the refinement, 0 being the start; null where there is no box. */
function boxesOf(image, query) {
  if (!image.objects) return [];
  return image.objects.boxes.map((step) => {
    const [x, y, width, height] = step[query];
    return width === null ? null : { x, y, width, height };
  });
}

/** Intersection over union of two boxes with a centre. */
function overlap(one, other) {
  const side = (at, size) => {
    const low = Math.max(one[at] - one[size] / 2, other[at] - other[size] / 2);
    return Math.max(Math.min(one[at] + one[size] / 2, other[at] + other[size] / 2) - low, 0);
  };
  const shared = side("x", "width") * side("y", "height");
  return shared / (one.width * one.height + other.width * other.height - shared);
}

/** How much of the attention falls on each pixel of a level: bilinear reading gives every sample four pixels. */
function weightOfPixels(layer, level, samples) {
  const [height, width] = layer.shapes[level];
  const total = new Float32Array(height * width);
  for (const sample of samples.filter((each) => each.level === level)) {
    const x = sample.x * layer.extent[0] * width - 0.5;
    const y = sample.y * layer.extent[1] * height - 0.5;
    const [left, top] = [Math.floor(x), Math.floor(y)];
    for (const [row, column] of [
      [top, left],
      [top, left + 1],
      [top + 1, left],
      [top + 1, left + 1],
    ]) {
      if (row < 0 || row >= height || column < 0 || column >= width) continue; // beyond the border zero is read
      total[row * width + column] += sample.weight * (1 - Math.abs(x - column)) * (1 - Math.abs(y - row));
    }
  }
  return total;
}
