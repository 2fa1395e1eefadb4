// What is painted: pictures, points, boxes, heat. A `frame` says where the image lies on a canvas:
// { context, left, top, width, height, areaWidth, areaHeight }, in CSS pixels.

const MARGIN = 0.06; // of the image, around it: points there read zeros
const LARGEST_RADIUS = 0.017; // of the frame's larger side, for the heaviest point
const SMALLEST_RADIUS = 2; // px
const MARKERS = ["●", "■", "▲", "◆"]; // one for each level
const FINEST_GRID = 5; // px; a grid with smaller cells is not drawn

function colourOf(style, share) {
  const last = style.weights.length - 1;
  return style.weights[Math.round(Math.min(Math.max(share, 0), 1) * last)];
}

function markerOf(level) {
  return MARKERS[level % MARKERS.length];
}

function toCanvas(frame, place) {
  return [frame.left + place.x * frame.width, frame.top + place.y * frame.height];
}

function fromCanvas(frame, x, y) {
  return { x: (x - frame.left) / frame.width, y: (y - frame.top) / frame.height };
}

/**
 * Fit the canvas to its place on the page, in the screen's own pixels, and lay the image into it.
 * zoom: { scale, centre }, how many times as large, and which place of the image is in the middle; or null.
 */
function makeFrame(canvas, image, margin, zoom = null) {
  const areaWidth = canvas.clientWidth;
  const scale = areaWidth / (image.width * (1 + 2 * margin));
  const areaHeight = Math.round(image.height * (1 + 2 * margin) * scale);
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(areaWidth * ratio);
  canvas.height = Math.round(areaHeight * ratio);
  canvas.style.height = `${areaHeight}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const size = Math.max(image.width, image.height) * scale; // markers do not grow with the zoom
  const [width, height] = [image.width, image.height].map((side) => side * scale * (zoom?.scale ?? 1));
  const left = zoom ? areaWidth / 2 - zoom.centre.x * width : image.width * margin * scale;
  const top = zoom ? areaHeight / 2 - zoom.centre.y * height : image.height * margin * scale;
  return { context, left, top, width, height, areaWidth, areaHeight, size };
}

function drawPicture(frame, picture, image, brightness) {
  const { context } = frame;
  context.fillStyle = "#000"; // around it the canvas stays clear, and has the page's colour
  context.fillRect(frame.left, frame.top, frame.width, frame.height);
  if (!isLoaded(picture)) return;
  context.globalAlpha = brightness;
  context.imageSmoothingEnabled = frame.width < 3 * image.width; // a small picture is shown pixel by pixel
  context.drawImage(picture, frame.left, frame.top, frame.width, frame.height);
  context.globalAlpha = 1;
}

function isLoaded(picture) {
  return picture.complete && picture.naturalWidth > 0;
}

/** Values of a level's pixels, in [0, 1], as colours over the image. */
function drawCells(frame, layer, shape, values, style, opacity) {
  const [height, width] = shape;
  const cell = [frame.width / width / layer.extent[0], frame.height / height / layer.extent[1]];
  for (let index = 0; index < values.length; index++) {
    if (values[index] < 0.02) continue; // would only veil the picture
    const [row, column] = [Math.floor(index / width), index % width];
    frame.context.globalAlpha = opacity(values[index]);
    frame.context.fillStyle = colourOf(style, values[index]);
    frame.context.fillRect(frame.left + column * cell[0], frame.top + row * cell[1], cell[0] + 0.5, cell[1] + 0.5);
  }
  frame.context.globalAlpha = 1;
}

function drawGrid(frame, layer, shape) {
  const [height, width] = shape;
  const cell = [frame.width / width / layer.extent[0], frame.height / height / layer.extent[1]];
  if (Math.min(...cell) < FINEST_GRID) return;
  const { context } = frame;
  context.strokeStyle = "rgba(255, 255, 255, 0.22)";
  context.lineWidth = 1;
  context.beginPath();
  for (let column = 1; column < width; column++)
    line(context, frame.left + column * cell[0], frame.top, 0, frame.height);
  for (let row = 1; row < height; row++) line(context, frame.left, frame.top + row * cell[1], frame.width, 0);
  context.stroke();
}

function line(context, x, y, right, down) {
  context.moveTo(x, y);
  context.lineTo(x + right, y + down);
}

/** The samples' markers: shape says the level, size and colour the weight; the heaviest lies on top. */
function drawSamples(frame, samples, { heaviest, style, isFaded }, size = 1) {
  const { context } = frame;
  const largest = Math.max(size * LARGEST_RADIUS * frame.size, 3.2);
  for (const sample of [...samples].sort((one, other) => one.weight - other.weight)) {
    const share = sample.weight / heaviest;
    const radius = SMALLEST_RADIUS + (largest - SMALLEST_RADIUS) * Math.sqrt(share);
    const { x, y, isBeyond } = markerPlace(frame, sample, radius);
    context.globalAlpha = isFaded(sample) ? 0.12 : 1;
    tracePath(context, sample.level, x, y, radius);
    context.fillStyle = isBeyond ? "white" : colourOf(style, share);
    context.fill();
    context.lineWidth = isBeyond ? 1.6 : 0.9;
    context.strokeStyle = isBeyond ? colourOf(style, share) : "rgba(255, 255, 255, 0.9)";
    context.stroke();
  }
  context.globalAlpha = 1;
}

/** On the canvas; a sample further out is drawn at the edge, on the side where it is. */
function markerPlace(frame, sample, radius) {
  const [x, y] = toCanvas(frame, sample);
  const inside = (value, length) => Math.min(Math.max(value, radius + 1), length - radius - 1);
  const [left, top] = [inside(x, frame.areaWidth), inside(y, frame.areaHeight)];
  return { x: left, y: top, isBeyond: Math.hypot(left - x, top - y) > radius };
}

function tracePath(context, level, x, y, radius) {
  context.beginPath();
  const marker = level % MARKERS.length;
  if (marker === 0) context.arc(x, y, radius, 0, 2 * Math.PI);
  else if (marker === 1) context.rect(x - 0.86 * radius, y - 0.86 * radius, 1.72 * radius, 1.72 * radius);
  else polygon(context, marker === 2 ? 3 : 4, x, y, 1.2 * radius);
  context.closePath();
}

function polygon(context, corners, x, y, radius) {
  for (let corner = 0; corner < corners; corner++) {
    const angle = -Math.PI / 2 + (2 * Math.PI * corner) / corners;
    context.lineTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
  }
}

function drawCross(frame, place, style, size) {
  const [x, y] = toCanvas(frame, place);
  const { context } = frame;
  for (const [width, colour] of [
    [0.5 * size, "white"],
    [0.24 * size, style.reference],
  ]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.lineCap = "round";
    context.beginPath();
    line(context, x - size, y, 2 * size, 0);
    line(context, x, y - size, 0, 2 * size);
    context.stroke();
  }
}

function drawBox(frame, box, colour, { dashed = false, width = 2, opacity = 1, caption = "" } = {}) {
  const { context } = frame;
  const [left, top] = toCanvas(frame, { x: box.x - box.width / 2, y: box.y - box.height / 2 });
  context.globalAlpha = opacity;
  context.setLineDash(dashed ? [6, 4] : []);
  for (const [lineWidth, stroke] of [
    [width + 2, "rgba(255, 255, 255, 0.75)"],
    [width, colour],
  ]) {
    context.lineWidth = lineWidth;
    context.strokeStyle = stroke;
    context.strokeRect(left, top, box.width * frame.width, box.height * frame.height);
  }
  context.setLineDash([]);
  if (caption) drawCaption(frame, caption, colour, left, top);
  context.globalAlpha = 1;
}

function drawCaption(frame, caption, colour, left, top) {
  const { context } = frame;
  context.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
  const width = context.measureText(caption).width + 10;
  const x = Math.min(Math.max(left - 1, 0), frame.areaWidth - width);
  const y = Math.max(top - 20, 0);
  context.fillStyle = colour;
  context.fillRect(x, y, width, 18);
  context.fillStyle = "white";
  context.fillText(caption, x + 5, y + 13);
}

/** Faint dots where the other objects are, of those that can be chosen; those that were found are larger. */
function drawObjects(frame, image, layer, chosen, candidates) {
  const { context } = frame;
  for (const query of candidates) {
    if (query === chosen) continue;
    const [x, y] = toCanvas(frame, objectPlace(layer, query));
    const score = image.objects ? image.objects.scores[query] : 0;
    context.beginPath();
    context.arc(x, y, 2.2 + 3 * score, 0, 2 * Math.PI);
    context.fillStyle = `rgba(255, 255, 255, ${0.25 + 0.5 * score})`;
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = "rgba(0, 0, 0, 0.6)";
    context.stroke();
  }
}
