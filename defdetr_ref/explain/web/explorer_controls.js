// The controls around the pictures. Each is a plain HTML control, so that the keyboard reaches it.

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A row of buttons of which one is chosen. choices: [{ label, value, title }]. */
function oneOf(label, choices, isChosen, choose) {
  const buttons = choices.map(({ label: text, value, title }) => {
    const button = element("button", { type: "button", textContent: text, title: title ?? "" });
    button.setAttribute("aria-pressed", String(isChosen(value)));
    button.addEventListener("click", () => choose(value));
    return button;
  });
  const row = element("div", { className: "dd-segments", role: "group" }, ...buttons);
  row.setAttribute("aria-label", label);
  return element("div", { className: "dd-control" }, element("span", { className: "dd-label", textContent: label }), row);
}

/** Buttons that are switched on and off one by one; with shift, or by a double click, one alone. */
function anyOf(label, choices, chosen, choose, highlight) {
  const everything = choices.map(({ value }) => value);
  const alone = (value) => (chosen.length === 1 && chosen[0] === value ? everything : [value]);
  const toggled = (value) => (chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value].sort((a, b) => a - b));
  const buttons = choices.map(({ label: text, value }) => {
    const button = element("button", { type: "button", textContent: text, className: "dd-chip" });
    button.title = `Show or hide ${label.toLowerCase().slice(0, -1)} ${value}; with Shift, show it alone`;
    button.setAttribute("aria-label", `${label.slice(0, -1)} ${value}`);
    button.setAttribute("aria-pressed", String(chosen.includes(value)));
    button.addEventListener("click", (event) => choose(event.shiftKey ? alone(value) : toggled(value)));
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => highlight(value));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => highlight(null));
    return button;
  });
  const all = element("button", { type: "button", textContent: "all", className: "dd-chip dd-all" });
  all.setAttribute("aria-label", `All ${label.toLowerCase()}`);
  all.addEventListener("click", () => choose(everything));
  const row = element("div", { className: "dd-chips", role: "group" }, ...buttons, all);
  row.setAttribute("aria-label", label);
  return element("div", { className: "dd-control" }, element("span", { className: "dd-label", textContent: label }), row);
}

function choiceList(label, choices, value, choose) {
  const list = element("select", {}, ...choices.map((each) => element("option", { value: each.value, textContent: each.label })));
  list.value = String(value);
  list.addEventListener("change", () => choose(Number(list.value)));
  return element("label", { className: "dd-control" }, element("span", { className: "dd-label", textContent: label }), list);
}

function switchBox(label, isOn, choose, title) {
  const box = element("input", { type: "checkbox", checked: isOn });
  box.addEventListener("change", () => choose(box.checked));
  return element("label", { className: "dd-switch", title }, box, label);
}

/** What the marks mean. */
function legend(style, heaviest, levels, { boxes, objects, heat, beyond }) {
  const gradient = `linear-gradient(to right, ${style.weights.join(", ")})`;
  const bar = element("span", { className: "dd-bar" });
  bar.style.background = gradient;
  const mark = (className, text) => element("span", { className: "dd-mark" }, element("i", { className }), text);
  const shapes = levels.map((level) => `${MARKERS[level % MARKERS.length]} level ${level}`).join("   ");
  return element("div", { className: "dd-marks" },
    element("span", { className: "dd-mark" }, "weight 0", bar, heaviest.toFixed(3)),
    element("span", { className: "dd-mark", textContent: shapes }),
    mark("dd-cross", "reference point"),
    ...(beyond ? [element("span", { className: "dd-mark", textContent: "white at the edge: further out" })] : []),
    ...(boxes ? [mark("dd-line dd-dashed", "box before this layer"), mark("dd-line", "box after it")] : []),
    ...(objects ? [mark("dd-dot", "other object queries")] : []),
    ...(heat ? [element("span", { className: "dd-mark", textContent: `heat: proposals' scores, 0 to ${heat.best.toFixed(3)}` })] : []),
  );
}

/** The heaviest samples as a table, for reading and for screen readers. */
function numbersTable(samples, image, layer) {
  const heaviest = [...samples].sort((one, other) => other.weight - one.weight).slice(0, 12);
  const cells = (tag, texts) => element("tr", {}, ...texts.map((text) => element(tag, { textContent: text })));
  const rows = heaviest.map((each) => cells("td", [
    each.head, each.level, each.point, each.weight.toFixed(3),
    (each.x * image.width).toFixed(1), (each.y * image.height).toFixed(1), pixelRead(layer, each),
  ]));
  const head = cells("th", ["head", "level", "point", "weight", "x, px", "y, px", "on its level"]);
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

/** "row 4, column 7", of the pixel that a sample falls into. */
function pixelRead(layer, sample) {
  const [height, width] = layer.shapes[sample.level];
  const row = Math.floor(sample.y * layer.extent[1] * height);
  const column = Math.floor(sample.x * layer.extent[0] * width);
  const inside = row >= 0 && row < height && column >= 0 && column < width;
  return inside ? `row ${row}, column ${column}` : "outside: reads zeros";
}
