// The explorer: what is shown, what the controls do, and how the notebook and the page stay of one mind.

const TWEEN_MS = 350; // from one layer to the next
const PLAY_MS = 1100; // how long a layer is shown while the layers are played
const CLICK_REACH = 0.035; // of the image, around an object's reference point
const HINT = "Click or drag in a picture to move the query. Keys: arrows (with Shift: further), Page Up/Down, Home; [ and ] change the layer.";

function render({ model, el }) {
  const root = element("div", { className: "defdetr-explorer" });
  const tooltip = element("div", { className: "dd-tooltip", hidden: true });
  const status = element("p", { className: "dd-status" });
  status.setAttribute("role", "status");
  el.append(root);

  let about, table, heatBytes, pictures, panels, scene, places, timer, frameRequest, tween, highlighted = {}, choosing = false;
  const view = () => Object.fromEntries(["image_index", "part", "layer", "query", "heads", "levels", "heat_map"].map((name) => [name, model.get(name)]));
  const imageNow = () => about.images[model.get("image_index")];
  const layerIndex = ({ part, layer } = view()) => imageNow().layers.findIndex((each) => each.part === part && each.layer === layer);
  const layerNow = () => imageNow().layers[layerIndex()];

  /** Read what came from Python once, and build the page around it. */
  function open() {
    about = model.get("about");
    table = asBytes(model.get("table"));
    heatBytes = asBytes(model.get("heat"));
    pictures = about.images.map((image) => {
      const picture = element("img", { src: image.picture });
      picture.addEventListener("load", draw);
      return picture;
    });
    build();
  }

  function build() {
    stop();
    const main = makePanel("dd-image", `The image with the query's sampling points. ${HINT}`, null, actions);
    const levels = layerNow().shapes.map((_, level) => makePanel("dd-level", `The grid of level ${level}. ${HINT}`, level, actions));
    panels = { main, levels, captions: levels.map(() => element("figcaption")) };
    places = Object.fromEntries(["top", "shown", "legend", "sentence", "numbers"].map((name) => [name, element("div", { className: `dd-${name}` })]));
    const grids = levels.map((panel, level) => element("figure", {}, panels.captions[level], panel.canvas));
    const numbers = element("details", {}, element("summary", { textContent: "The numbers" }), places.numbers);
    root.replaceChildren(
      places.top,
      element("div", { className: "dd-body" }, element("div", { className: "dd-main" }, main.canvas, places.sentence, status, places.shown, numbers), element("div", { className: "dd-side" }, ...grids, places.legend)),
      tooltip,
    );
    controls();
    draw();
  }

  function controls() {
    const { part, layer, heads, levels, heat_map } = view();
    const image = imageNow();
    const focused = [...root.querySelectorAll("button, select, input")].indexOf(document.activeElement);
    const depth = image.layers.filter((each) => each.part === part).length;
    const what = { encoder: "Encoder: pixels ask", decoder: "Decoder: objects ask" };
    const play = element("button", { type: "button", className: "dd-play", textContent: timer ? "❚❚ Stop" : "▶ Play" });
    play.title = "Go through the layers, one after another";
    play.addEventListener("click", () => (timer ? stop() : start(depth)));
    places.top.replaceChildren(
      ...(about.images.length > 1 ? [choiceList("Image", about.images.map((_, index) => ({ value: index, label: `${index + 1} of ${about.images.length}` })), view().image_index, (index) => choose(fitting({ image_index: index })))] : []),
      oneOf("Queries", image.parts.map((value) => ({ value, label: what[value] ?? value })), (value) => value === part, (value) => choose(fitting({ part: value }))),
      oneOf("Layer", Array.from({ length: depth }, (_, index) => ({ value: index, label: String(index + 1) })), (value) => value === layer, goToLayer),
      ...(depth > 1 ? [play] : []),
      ...queryControl(),
    );
    const count = (number) => Array.from({ length: number }, (_, index) => ({ value: index, label: String(index) }));
    places.shown.replaceChildren(
      anyOf("Heads", count(layerNow().heads), heads, (value) => choose({ heads: value }), (head) => highlight({ head })),
      anyOf("Levels", count(layerNow().levels), levels, (value) => choose({ levels: value }), (level) => highlight({ level })),
      ...(image.proposals ? [switchBox("Proposals' heat map", heat_map, (value) => choose({ heat_map: value }), "Where the first stage of the two-stage model finds objects")] : []),
    );
    if (focused >= 0) [...root.querySelectorAll("button, select, input")][focused]?.focus();
  }

  /** Objects are in a list, the likeliest first; a pixel is only named. */
  function queryControl() {
    const layer = layerNow();
    if (layer.asks === "pixels") {
      const { level, row, column } = pixelPlace(layer, view().query);
      return [element("span", { className: "dd-control" }, element("span", { className: "dd-label", textContent: "Pixel" }), element("output", { textContent: `row ${row}, column ${column} of level ${level}` }))];
    }
    const { objects } = imageNow();
    const label = (query) => (objects ? `${objects.names[query]} ${objects.scores[query].toFixed(2)} · query ${query}` : `query ${query}`);
    return [choiceList("Object", objectsByScore(imageNow(), layer).map((query) => ({ value: query, label: label(query) })), view().query, (query) => choose({ query }))];
  }

  /** Change what is shown. Python hears of it, and may answer with the exact points or with a refusal. */
  function choose(changes) {
    choosing = true; // between the first of the changes and the last, what is shown need not exist
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    choosing = false;
    model.save_changes();
    if (changes.part || changes.image_index !== undefined) build();
    else refresh();
  }

  /** After a change of part or image: the same layer as far as there is one, and the query nearest to the last one. */
  function fitting(changes) {
    const before = view();
    const image = about.images[changes.image_index ?? before.image_index];
    const part = changes.part ?? (image.parts.includes(before.part) ? before.part : image.parts.at(-1));
    const stack = image.layers.filter((each) => each.part === part);
    const layer = stack[Math.min(before.layer, stack.length - 1)];
    const { x, y } = clampToImage(scene.shown.reference);
    const query = layer.asks === "pixels" ? pixelUnder(layer, 0, x, y) : objectUnder(image, layer, x, y, CLICK_REACH);
    const count = (number) => Array.from({ length: number }, (_, index) => index);
    const kept = (list, old, now) => (list.length === old ? count(now) : list.filter((index) => index < now));
    const { heads, levels } = layerNow();
    return { ...changes, part, layer: layer.layer, query, heads: kept(before.heads, heads, layer.heads), levels: kept(before.levels, levels, layer.levels) };
  }

  const actions = {
    pick({ x, y }, level) {
      const layer = layerNow();
      const finest = layer.shapes.indexOf(closest(layer.shapes, ([height, width]) => -height * width));
      const query = layer.asks === "pixels" ? pixelUnder(layer, level ?? finest, x, y) : objectUnder(imageNow(), layer, x, y, CLICK_REACH);
      if (query !== model.get("query")) choose({ query });
    },
    step(dx, dy, times) {
      const [layer, query] = [layerNow(), model.get("query")];
      if (layer.asks === "objects") return choose({ query: objectTowards(layer, query, dx, dy) });
      const { level, row, column } = pixelPlace(layer, query);
      choose({ query: pixelQuery(layer, level, row + times * dy, column + times * dx) });
    },
    next(direction) {
      const [layer, query] = [layerNow(), model.get("query")];
      if (layer.asks === "objects") {
        const order = objectsByScore(imageNow(), layer);
        return choose({ query: order.at((order.indexOf(query) + direction) % order.length) });
      }
      const { level, x, y } = pixelPlace(layer, query);
      const other = Math.min(Math.max(level + direction, 0), layer.shapes.length - 1);
      choose({ query: pixelUnder(layer, other, x, y) });
    },
    first() {
      const layer = layerNow();
      choose({ query: layer.asks === "objects" ? objectsByScore(imageNow(), layer)[0] : pixelUnder(layer, 0, 0.5, 0.5) });
    },
    layer(direction) {
      const depth = imageNow().layers.filter((each) => each.part === view().part).length;
      goToLayer(Math.min(Math.max(model.get("layer") + direction, 0), depth - 1));
    },
    hover: showTooltip,
  };

  function goToLayer(layer) {
    if (layer === model.get("layer")) return;
    const before = scene;
    choose({ layer });
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) glide(before);
  }

  /** Move points and box from where they were to where they are now. */
  function glide(before) {
    const [from, startedAt] = [before, performance.now()];
    tween = (now) => {
      const share = Math.min((now - startedAt) / TWEEN_MS, 1);
      if (share === 1) tween = null;
      return { from, share: share * share * (3 - 2 * share) };
    };
    draw();
  }

  function start(depth) {
    timer = setInterval(() => (model.get("layer") + 1 < depth ? goToLayer(model.get("layer") + 1) : stop()), PLAY_MS);
    if (model.get("layer") === depth - 1) goToLayer(0);
    controls();
  }

  function stop() {
    if (!timer) return;
    clearInterval(timer);
    timer = null;
    controls();
  }

  function highlight(what) {
    highlighted = what;
    draw();
  }

  function refresh() {
    controls();
    draw();
  }

  function draw() {
    if (!frameRequest) frameRequest = requestAnimationFrame(drawNow);
  }

  function drawNow(now) {
    frameRequest = null;
    if (!root.isConnected || !panels.main.canvas.clientWidth) return;
    scene = compose(tween ? tween(now) : null);
    drawMain(panels.main, scene);
    panels.levels.forEach((panel) => drawLevel(panel, scene));
    describe();
    if (tween) draw();
  }

  /** Everything the pictures need to know. */
  function compose(moving) {
    const now = view();
    const [image, layer] = [imageNow(), layerNow()];
    const shown = lookUp(about, table, asBytes(model.get("answer")), now.image_index, layerIndex(now), now.query);
    const boxes = layer.asks === "objects" ? boxesOf(image, now.query) : [];
    const same = moving && moving.from.layer.part === layer.part && moving.from.shown.samples.length === shown.samples.length;
    const samples = shown.samples.filter((sample) => now.heads.includes(sample.head) && now.levels.includes(sample.level));
    const scale = { image, layer, boxes, view: now, style: about.style, picture: pictures[now.image_index], heat: heatOf(image) };
    const moved = same ? between(moving, shown, boxes[now.layer + 1]) : shown;
    const visible = same ? moved.samples.filter((sample) => now.heads.includes(sample.head) && now.levels.includes(sample.level)) : samples;
    const heaviest = Math.max(...samples.map((sample) => sample.weight), 1e-6);
    const { head, level } = highlighted;
    const isFaded = (sample) => (head ?? sample.head) !== sample.head || (level ?? sample.level) !== sample.level;
    return { ...scale, shown: moved, samples: visible, heaviest, isFaded, exact: shown.query === now.query };
  }

  function between({ from, share }, to, box) {
    const mix = (one, other) => one + share * (other - one);
    const place = (one, other) => ({ ...other, x: mix(one.x, other.x), y: mix(one.y, other.y) });
    const samples = to.samples.map((sample, index) => ({ ...place(from.shown.samples[index], sample), weight: mix(from.shown.samples[index].weight, sample.weight) }));
    const start = from.shown.box ?? from.boxes[from.view.layer + 1];
    const moved = start && box ? { ...place(start, box), width: mix(start.width, box.width), height: mix(start.height, box.height) } : null;
    return { ...to, reference: place(from.shown.reference, to.reference), samples, box: moved };
  }

  function heatOf(image) {
    if (!image.proposals) return null;
    let offset = image.proposals.offset;
    return image.proposals.shapes.map(([height, width]) => {
      const values = Float32Array.from(heatBytes.subarray(offset, offset + height * width), (byte) => byte / 255);
      offset += height * width;
      return values;
    });
  }

  /** The words and numbers around the pictures. */
  function describe() {
    const { image, layer, samples, boxes, heaviest, view: now } = scene;
    const whole = weightOf(samples) || 1;
    panels.captions.forEach((caption, level) => {
      const [height, width] = layer.shapes[level];
      const share = weightOf(samples.filter((sample) => sample.level === level)) / whole;
      const name = `${MARKERS[level % MARKERS.length]} level ${level}: ${height}×${width}`;
      caption.replaceChildren(element("b", { textContent: name }), element("br"), `${Math.round(100 * share)} % of the weight`);
      caption.parentElement.classList.toggle("dd-off", !now.levels.includes(level));
    });
    const isObject = layer.asks === "objects";
    places.legend.replaceChildren(legend(about.style, heaviest, layer.shapes.map((_, level) => level), { boxes: boxes.length > 0, objects: isObject, heat: now.heat_map ? image.proposals : null, beyond: scene.samples.some(({ x, y }) => x < -MARGIN || x > 1 + MARGIN || y < -MARGIN || y > 1 + MARGIN) }));
    places.sentence.textContent = sentence(scene);
    places.numbers.replaceChildren(numbersTable(samples, image, layer));
    const nearest = scene.exact ? "" : `This page holds no points of query ${now.query}; shown are those of the nearest one it holds, query ${scene.shown.query}.`;
    status.textContent = model.get("status") || nearest;
    Object.assign(root.dataset, { part: now.part, layer: now.layer, query: now.query, points: samples.length, shown: scene.shown.query, answered: scene.shown.isAnswer ? now.query : "", drawn: Number(root.dataset.drawn ?? 0) + 1 });
  }

  function showTooltip(panel, event) {
    const sample = panel?.frame ? sampleAt(panel, event.offsetX, event.offsetY) : null;
    tooltip.hidden = !sample;
    if (!sample) return;
    const { image, layer } = scene;
    const position = `x ${(sample.x * image.width).toFixed(1)}, y ${(sample.y * image.height).toFixed(1)} px`;
    tooltip.replaceChildren(element("b", { textContent: `weight ${sample.weight.toFixed(3)}` }), element("br"), `head ${sample.head}, level ${sample.level}, point ${sample.point}`, element("br"), `${position}; ${pixelRead(layer, sample)}`);
    const [outer, inner] = [root.getBoundingClientRect(), panel.canvas.getBoundingClientRect()];
    const left = inner.left - outer.left + event.offsetX + 14;
    tooltip.style.left = `${Math.min(left, root.clientWidth - tooltip.offsetWidth - 8)}px`;
    tooltip.style.top = `${inner.top - outer.top + event.offsetY + 14}px`;
  }

  /** Python may send a part, a layer and a query one after another: wait for the last. */
  function isThere() {
    return Boolean(imageNow()) && layerIndex() >= 0 && view().query < layerNow().queries;
  }

  const events = { about: open, answer: draw, status: draw, image_index: build, part: build, layer: refresh, query: refresh, heads: refresh, levels: refresh, heat_map: refresh };
  const mine = Object.entries(events).map(([name, call]) => [`change:${name}`, () => !choosing && (name === "about" || isThere()) && call()]);
  open();
  for (const [event, call] of mine) model.on(event, call);
  const watcher = new ResizeObserver(draw);
  watcher.observe(root);
  return () => {
    stop();
    watcher.disconnect();
    for (const [event, call] of mine) model.off(event, call);
  };
}

function weightOf(samples) {
  return samples.reduce((sum, sample) => sum + sample.weight, 0);
}

/** What one sees, in a sentence. */
function sentence({ image, layer, boxes, samples, view }) {
  const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
  const outside = samples.filter(({ x, y }) => x < 0 || x > 1 || y < 0 || y > 1);
  const share = Math.round((100 * weightOf(outside)) / (weightOf(samples) || 1));
  const zeros = outside.length ? `, ${outside.length} of them, with ${share} % of the weight, outside the image, where zeros are read` : "";
  const points = `${count(samples.length, "point")} of ${count(view.heads.length, "head")} on ${count(view.levels.length, "level")}${zeros}.`;
  const [before, after] = [boxes[view.layer], boxes[view.layer + 1]];
  if (!before || !after) return points;
  const pixels = (box) => ({ x: box.x * image.width, y: box.y * image.height, size: `${(box.width * image.width).toFixed(0)}×${(box.height * image.height).toFixed(0)}` });
  const [one, other] = [pixels(before), pixels(after)];
  return `${points} Layer ${view.layer + 1} moves the box by ${distance(one, other).toFixed(1)} px and makes it ${other.size} instead of ${one.size} px.`;
}

export default { render };
