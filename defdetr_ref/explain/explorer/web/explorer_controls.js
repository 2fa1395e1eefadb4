// Controls, legend and table. Each control is a plain one of HTML, so that the keyboard reaches it.

/** A control with its name before it. */
function labelled(label, control, tag = "span") {
  const name = element("span", { className: "dd-label", textContent: label });
  return element(tag, { className: "dd-control" }, name, control);
}

function group(label, className, buttons) {
  const row = element("div", { className, role: "group" }, ...buttons);
  row.setAttribute("aria-label", label);
  return labelled(label, row);
}

/** A row of buttons of which one is chosen. choices: [{ label, value }]. */
function oneOf(label, choices, chosen, choose) {
  const buttons = choices.map(({ label: text, value }) => {
    const button = element("button", { type: "button", name: `${label} ${text}`, textContent: text });
    button.setAttribute("aria-pressed", String(value === chosen));
    button.onclick = () => choose(value);
    return button;
  });
  return group(label, "dd-segments", buttons);
}

/** A button for each of `count` things, switched on and off one by one; with Shift, one alone. */
function anyOf(thing, count, chosen, choose, highlight) {
  const name = `All ${thing.toLowerCase()}s`;
  const all = element("button", { type: "button", name, textContent: "all", className: "dd-chip dd-all" });
  all.setAttribute("aria-label", name);
  all.onclick = () => choose(upTo(count));
  const buttons = upTo(count).map((value) => chip(thing, value, count, chosen, choose, highlight));
  return group(`${thing}s`, "dd-chips", [...buttons, all]);
}

function chip(thing, value, count, chosen, choose, highlight) {
  const isOn = chosen.includes(value);
  const name = `${thing} ${value}`;
  const button = element("button", { type: "button", name, textContent: String(value), className: "dd-chip" });
  button.title = `Show or hide ${thing.toLowerCase()} ${value}; with Shift, show it alone`;
  button.setAttribute("aria-label", name);
  button.setAttribute("aria-pressed", String(isOn));
  const alone = () => (isOn && chosen.length === 1 ? upTo(count) : [value]);
  const toggled = () => upTo(count).filter((each) => (each === value ? !isOn : chosen.includes(each)));
  button.onclick = (event) => choose(event.shiftKey ? alone() : toggled());
  button.onpointerenter = button.onfocus = () => highlight(value);
  button.onpointerleave = button.onblur = () => highlight(null);
  return button;
}

function choiceList(label, choices, value, choose) {
  const options = choices.map((each) => element("option", { value: each.value, textContent: each.label }));
  const list = element("select", { name: label }, ...options);
  list.value = String(value);
  list.onchange = ({ currentTarget }) => choose(Number(currentTarget.value));
  return labelled(label, list, "label");
}

function switchBox(label, isOn, choose, title) {
  const box = element("input", { type: "checkbox", name: label, checked: isOn });
  box.onchange = ({ currentTarget }) => choose(currentTarget.checked);
  return element("label", { className: "dd-switch", title }, box, label);
}

/** A number between 0 and 1, by a slider that shows it. */
function slider(label, value, choose, title) {
  const range = element("input", { type: "range", name: label, min: "0", max: "0.95", step: "0.05", title });
  range.value = String(value);
  range.setAttribute("aria-label", title);
  range.oninput = ({ currentTarget }) => choose(Number(currentTarget.value));
  const name = element("span", { className: "dd-label", textContent: label });
  return element("span", { className: "dd-control" }, name, range, element("span", { textContent: value.toFixed(2) }));
}

/** What the marks mean. */
function legend(scene) {
  const { style, heaviest, layer, boxes, view, image, samples, zoom } = scene;
  const bar = element("span", { className: "dd-bar" });
  bar.style.background = `linear-gradient(to right, ${style.weights.join(", ")})`;
  const mark = (...children) => element("span", { className: "dd-mark" }, ...children);
  const drawn = (className, text) => mark(element("i", { className }), text);
  const shapes = layer.shapes.map((_, level) => `${markerOf(level)} level ${level}`).join("   ");
  const isFar = !zoom && samples.some((sample) => isOutside(sample, MARGIN));
  return [
    mark("weight 0", bar, heaviest.toFixed(3)),
    mark(shapes),
    ...(isFar ? [mark("white at the edge: further out")] : []),
    drawn("dd-cross", "reference point"),
    ...(boxes.length ? [drawn("dd-line dd-dashed", "box before this layer"), drawn("dd-line", "box after it")] : []),
    ...(truthOf(scene).length ? [drawn("dd-line dd-true", "true box")] : []),
    ...(layer.query_kind === "objects" ? [drawn("dd-dot", "other object queries")] : []),
    ...(view.heat_map && image.proposals
      ? [mark(`heat: proposals' scores, 0 to ${image.proposals.best.toFixed(3)}`)]
      : []),
  ];
}

/** The heaviest samples as a table, for reading and for screen readers. */
function numbersTable(samples, image, layer) {
  const heaviest = [...samples].sort((one, other) => other.weight - one.weight).slice(0, 12);
  const cells = (tag, texts) => element("tr", {}, ...texts.map((text) => element(tag, { textContent: text })));
  const rows = heaviest.map((each) =>
    cells("td", [
      each.head,
      each.level,
      each.point,
      each.weight.toFixed(3),
      (each.x * image.width).toFixed(1),
      (each.y * image.height).toFixed(1),
      pixelRead(layer, each),
    ]),
  );
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
