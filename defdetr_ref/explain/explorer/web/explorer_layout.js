// The page around the pictures: where everything is, which controls there are, and the words that go along.

// What a control has beside its attributes. Its listeners are among them, so that they can be exchanged.
const CONTROL_PROPERTIES = [
  ...["onclick", "onchange", "onpointerenter", "onpointerleave", "onfocus", "onblur", "oninput"],
  ...["checked", "value"],
];

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Put everything in its place; returns the places that are filled again and again. */
function layOut({ root, main, levels, status, tooltip }) {
  const names = ["top", "shown", "legend", "sentence", "numbers", "strip"];
  const places = Object.fromEntries(names.map((name) => [name, element("div", { className: `dd-${name}` })]));
  places.captions = levels.map(() => element("figcaption"));
  const grids = levels.map((panel, level) => element("figure", {}, places.captions[level], panel.canvas));
  const numbers = element("details", {}, element("summary", { textContent: "The numbers" }), places.numbers);
  const left = element("div", { className: "dd-main" }, main.canvas, places.sentence, status, places.shown, numbers);
  const right = element("div", { className: "dd-side" }, ...grids, places.legend);
  const body = element("div", { className: "dd-body" }, left, right);
  root.replaceChildren(places.top, body, places.strip, tooltip.plate);
  return places;
}

/** All controls, as the view wants them. The one that has the keyboard's focus keeps it, by its name. */
function fillControls(explorer) {
  const { root, places } = explorer;
  const { activeElement } = document;
  becomeRow(places.top, queryControls(explorer));
  becomeRow(places.shown, shownControls(explorer));
  if (activeElement === document.activeElement || !activeElement.name) return;
  const controls = [...root.querySelectorAll("button, select, input")];
  controls.find((control) => control.name === activeElement.name)?.focus();
}

function becomeRow(row, fresh) {
  if (row.children.length === fresh.length) fresh.forEach((each, index) => become(row.children[index], each));
  else row.replaceChildren(...fresh);
}

/**
 * Turn an element into a fresh one of the same make, in place. One that is replaced while it is pressed hears of no
 * click; one of another make is replaced.
 */
function become(old, fresh) {
  const isSame = ["tagName", "name", "childElementCount"].every((property) => old[property] === fresh[property]);
  if (!isSame) {
    old.replaceWith(fresh);
    return;
  }
  [...fresh.children].forEach((child, index) => become(old.children[index], child));
  if (!fresh.childElementCount && old.textContent !== fresh.textContent) old.textContent = fresh.textContent;
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  for (const property of CONTROL_PROPERTIES) if (property in fresh) old[property] = fresh[property];
}

const PART_NAMES = { encoder: "Encoder: pixels ask", decoder: "Decoder: objects ask" };

/** Which query of which layer. */
function queryControls(explorer) {
  const { metadata, image, view, depth } = explorer;
  const images = metadata.images.map((_, index) => ({ value: index, label: `${index + 1} of ${metadata.images.length}` }));
  const parts = image.parts.map((value) => ({ value, label: PART_NAMES[value] ?? value }));
  const layers = upTo(depth).map((value) => ({ value, label: String(value + 1) })); // counted from 1, as papers do
  const turnToImage = (image_index) => explorer.turnTo({ image_index });
  return [
    ...(images.length > 1 ? [choiceList("Image", images, view.image_index, turnToImage)] : []),
    oneOf("Queries", parts, view.part, (part) => explorer.turnTo({ part })),
    oneOf("Layer", layers, view.layer, (layer) => explorer.goToLayer(layer)),
    ...(depth > 1 ? [playButton(explorer)] : []),
    queryControl(explorer),
    ...(image.objects && explorer.layer.query_kind === "objects" ? [scoreControl(explorer)] : []),
  ];
}

function scoreControl(explorer) {
  const choose = (leastScore) => explorer.set({ leastScore });
  return slider("Score from", explorer.settings.leastScore, choose, "Only object queries with at least this score");
}

function playButton(explorer) {
  const text = explorer.timer ? "❚❚ Stop" : "▶ Play";
  const button = element("button", { type: "button", name: "Play", className: "dd-play", textContent: text });
  button.title = "Go through the layers, one after another";
  button.onclick = () => (explorer.timer ? explorer.stop() : explorer.play());
  return button;
}

/** Objects are in a list, the likeliest first; a pixel is only named. */
function queryControl(explorer) {
  const { image, layer, view } = explorer;
  if (layer.query_kind === "pixels") {
    const { level, row, column } = pixelPlace(layer, view.query);
    return labelled("Pixel", element("output", { textContent: `row ${row}, column ${column} of level ${level}` }));
  }
  const found = (query) => `${image.objects.names[query]} ${image.objects.scores[query].toFixed(2)} · query ${query}`;
  const label = (query) => (image.objects ? found(query) : `query ${query}`);
  const choices = explorer.candidates.map((query) => ({ value: query, label: label(query) }));
  return choiceList("Object", choices, view.query, (query) => explorer.choose({ query }));
}

/** What is shown of the query. */
function shownControls(explorer) {
  const { image, layer, view, settings, depth } = explorer;
  const zooms = ZOOMS.map((value) => ({ value, label: `${value}×` }));
  const heatTitle = "Where the first stage of the two-stage model finds objects";
  const setHeat = (heat_map) => explorer.choose({ heat_map });
  const settingBox = (label, name, title) =>
    switchBox(label, settings[name], (isOn) => explorer.set({ [name]: isOn }), title);
  return [
    anyOf(
      "Head",
      layer.heads,
      view.heads,
      (heads) => explorer.choose({ heads }),
      (head) => explorer.highlight({ head }),
    ),
    anyOf(
      "Level",
      layer.levels,
      view.levels,
      (levels) => explorer.choose({ levels }),
      (level) => explorer.highlight({ level }),
    ),
    oneOf("Zoom", zooms, settings.zoom, (zoom) => explorer.set({ zoom })),
    ...(depth > 1 ? [settingBox("Layers side by side", "sideBySide", "A picture for each layer")] : []),
    ...(image.truth ? [settingBox("True boxes", "truth", "What is there, as the data set says")] : []),
    ...(image.proposals ? [switchBox("Proposals' heat map", view.heat_map, setHeat, heatTitle)] : []),
  ];
}

/** The words and numbers of a scene. What was drawn is also noted on the root, for whoever looks from outside. */
function describeScene({ root, places, scene, status, model }) {
  const { layer, samples, view, shown } = scene;
  places.captions.forEach((caption, level) => describeLevel(caption, level, scene));
  places.legend.replaceChildren(...legend(scene));
  places.sentence.textContent = sentence(scene);
  places.numbers.replaceChildren(numbersTable(samples, scene.image, layer));
  status.textContent = model.get("status") || apology(scene);
  const drawn = Number(root.dataset.drawn ?? 0) + 1;
  const answered = shown.isAnswer ? view.query : "";
  const { part, query } = view;
  Object.assign(root.dataset, {
    part,
    layer: view.layer,
    query,
    points: samples.length,
    shown: shown.query,
    answered,
    pictured: isLoaded(scene.picture),
    zoom: scene.settings.zoom,
    drawn,
  });
}

function describeLevel(caption, level, { layer, samples, view }) {
  const [height, width] = layer.shapes[level];
  const share = weightOf(samples.filter((sample) => sample.level === level)) / (weightOf(samples) || 1);
  const name = element("b", { textContent: `${markerOf(level)} level ${level}: ${height}×${width}` });
  caption.replaceChildren(name, element("br"), `${Math.round(100 * share)} % of the weight`);
  caption.parentElement.classList.toggle("dd-off", !view.levels.includes(level));
}
