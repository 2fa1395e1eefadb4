// The explorer: what is shown, and how the notebook and the page stay of one mind.

const TWEEN_MS = 350; // from one layer to the next
const PLAY_MS = 1100; // how long a layer is shown while the layers are played
const HINT =
  "Click or drag in a picture to move the query. Keys: arrows (with Shift: further), Page Up and Page Down, Home; " +
  "[ and ] change the layer, + and - the zoom.";
const ZOOMS = [1, 2, 4, 8];

class Explorer {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.tooltip = new Tooltip(root);
    this.status = element("p", { className: "dd-status" });
    this.status.setAttribute("role", "status");
    this.actions = makeActions(this);
    this.highlighted = {};
    this.settings = { leastScore: 0, zoom: 1, sideBySide: false, truth: true }; // of this page alone, not of Python
    this.waiting = []; // what was asked for while the view was not all there
  }

  get metadata() {
    return this.knowledge.metadata;
  }

  get view() {
    return Object.fromEntries(VIEW.map((name) => [name, this.model.get(name)]));
  }

  get image() {
    return this.metadata.images[this.model.get("image_index")];
  }

  get layer() {
    const { part, layer } = this.view;
    return this.image?.layers.find((each) => each.part === part && each.layer === layer);
  }

  /** The queries that can be chosen: objects above the score, likeliest first, and the one that is shown. */
  get candidates() {
    const { image, layer, view, settings } = this;
    const isAbove = (query) => !image.objects || image.objects.scores[query] >= settings.leastScore;
    return objectsByScore(image, layer).filter((query) => isAbove(query) || query === view.query);
  }

  get depth() {
    return this.image.layers.filter((each) => each.part === this.view.part).length;
  }

  /** Read what Python sent once, and build the page around it. */
  open() {
    const metadata = this.model.get("metadata");
    const pictures = metadata.images.map((image) => {
      const picture = element("img", { src: image.picture });
      picture.addEventListener("load", () => this.draw());
      return picture;
    });
    const [table, heat] = ["table", "heat"].map((name) => asBytes(this.model.get(name)));
    this.knowledge = { metadata, table, heat, pictures };
    this.refresh();
  }

  build() {
    this.tooltip.follow(null);
    this.main = makePanel("dd-image", `The image with the query's sampling points. ${HINT}`, null, this.actions);
    this.levels = this.layer.shapes.map((_, level) =>
      makePanel("dd-level", `The grid of level ${level}. ${HINT}`, level, this.actions),
    );
    this.places = layOut(this);
    this.strip = [];
  }

  /** A picture for each layer, or none. */
  fillStrip() {
    const count = this.settings.sideBySide && this.depth > 1 ? this.depth : 0;
    if (this.strip.length === count) return;
    this.strip = upTo(count).map((layer) =>
      makePanel("dd-layer", `The image as layer ${layer + 1} reads it. ${HINT}`, null, this.actions),
    );
    this.places.strip.replaceChildren(
      ...this.strip.map((panel) => element("figure", {}, element("figcaption"), panel.canvas)),
    );
  }

  get panels() {
    return [this.main, ...this.levels, ...this.strip];
  }

  /** Change what is shown. Python hears of it, and may answer with the exact points, or with a refusal. */
  choose(changes) {
    this.whenThere(() => {
      this.choosing = true; // between the first of the changes and the last, what is shown need not exist
      for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
      this.choosing = false;
      this.model.save_changes();
      this.refresh();
    });
  }

  /** Change how it is shown in this page. */
  set(changes) {
    this.whenThere(() => {
      if ("zoom" in changes) this.centre = null;
      Object.assign(this.settings, changes);
      this.refresh();
    });
  }

  /** Another part, layer or image, and what fits to it. */
  turnTo(changes) {
    this.whenThere(() => this.choose(fittingView(this, changes)));
  }

  goToLayer(layer) {
    this.whenThere(() => {
      if (layer === this.view.layer || layer < 0 || layer >= this.depth) return;
      const isStill = !this.scene || matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.tween = isStill ? null : { from: this.scene, at: performance.now() };
      this.turnTo({ layer });
    });
  }

  play() {
    const step = () => {
      if (!this.isThere()) return;
      if (this.view.layer + 1 < this.depth) this.goToLayer(this.view.layer + 1);
      else this.stop();
    };
    this.halt();
    this.timer = setInterval(step, PLAY_MS);
    if (this.view.layer === this.depth - 1) this.goToLayer(0);
    else this.refresh();
  }

  stop() {
    this.halt();
    this.refresh();
  }

  halt() {
    clearInterval(this.timer);
    this.timer = null;
  }

  highlight(what) {
    this.highlighted = what;
    this.draw();
  }

  /** Show what the model says now, as soon as all of it is there: part, layer and query may arrive one by one. */
  refresh() {
    if (!this.isThere()) return;
    const { image, layer } = this;
    const isOther = image !== this.pictured?.image || layer.part !== this.pictured.part;
    this.pictured = { image, part: layer.part };
    if (isOther) {
      this.halt();
      this.tween = null;
      this.highlighted = {};
      this.centre = null;
    }
    if (this.levels?.length !== layer.levels) this.build();
    this.fillStrip();
    fillControls(this);
    if (isOther) this.drawOther();
    else this.draw();
    while (this.waiting.length && this.isThere()) this.waiting.shift()();
  }

  /** Another picture is drawn at once: the next click is meant for it, and may come before the next frame. */
  drawOther() {
    for (const panel of this.panels) panel.frame = null;
    this.drawNow(performance.now());
  }

  draw() {
    this.frameRequest ??= requestAnimationFrame((now) => this.drawNow(now));
  }

  drawNow(now) {
    cancelAnimationFrame(this.frameRequest);
    this.frameRequest = null;
    if (!this.root.isConnected || !this.main.canvas.clientWidth) return; // drawn when it gets its place
    if (!this.isThere()) return; // drawn when the rest has arrived
    const answer = asBytes(this.model.get("query_points"));
    const { settings, view } = this;
    const composed = (layer, moving) => compose(this.knowledge, { ...view, layer }, answer, this.highlighted, moving);
    const scene = composed(view.layer, this.moving(now));
    const shared = { settings, candidates: this.candidates, zoom: this.zoomOn(scene.shown.reference) };
    this.scene = { ...scene, ...shared };
    drawMain(this.main, this.scene);
    this.strip.forEach((panel, layer) => drawLayer(panel, { ...composed(layer, null), ...shared }));
    this.levels.forEach((panel) => drawLevel(panel, this.scene));
    describeScene(this);
    this.tooltip.show(this.scene); // other numbers lie under a pointer that rests
    if (this.tween) this.draw();
  }

  /** What part of the image is shown: it stays until the query leaves it. Null for all. */
  zoomOn({ x, y }) {
    const { zoom: scale } = this.settings;
    if (scale === 1) return null;
    const half = (1 + 2 * MARGIN) / scale / 2; // of the side that is seen
    const isSeen = this.centre && Math.max(Math.abs(x - this.centre.x), Math.abs(y - this.centre.y)) < half;
    const inside = (value) => Math.min(Math.max(value, half - MARGIN), 1 + MARGIN - half);
    if (!isSeen) this.centre = { x: inside(x), y: inside(y) };
    return { scale, centre: this.centre };
  }

  /** How far the pictures are on their way from the layer before; null when they have arrived. */
  moving(now) {
    if (!this.tween) return null;
    const share = Math.min(Math.max(now - this.tween.at, 0) / TWEEN_MS, 1);
    const { from } = this.tween;
    if (share === 1) this.tween = null;
    return { from, share: share * share * (3 - 2 * share) }; // slow, fast, slow
  }

  /** What changes in Python changes here. */
  listen() {
    const refresh = () => this.refresh();
    const draw = () => this.draw();
    const listeners = [
      ["change:metadata", () => this.open()],
      ...VIEW.map((name) => [`change:${name}`, refresh]),
      ["change:query_points", draw],
      ["change:status", draw],
    ];
    for (const [event, call] of listeners) this.model.on(event, call);
    const watcher = new ResizeObserver(draw);
    watcher.observe(this.root);
    return () => {
      this.halt();
      cancelAnimationFrame(this.frameRequest);
      watcher.disconnect();
      for (const [event, call] of listeners) this.model.off(event, call);
    };
  }

  isThere() {
    return !this.choosing && Boolean(this.layer) && this.view.query < this.layer.queries;
  }

  /** What a user asks for while a change from Python is only half here is done when the rest of it has arrived. */
  whenThere(call) {
    if (this.isThere()) call();
    else this.waiting.push(call);
  }
}

function render({ model, el }) {
  const root = element("div", { className: "defdetr-explorer" });
  el.append(root);
  const explorer = new Explorer(model, root);
  explorer.open();
  return explorer.listen();
}

export default { render };
