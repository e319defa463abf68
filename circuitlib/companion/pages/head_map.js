// The map of heads: a grid coloured by one quantity, and all that is known of the head that is pointed at.

const NAMES = Object.keys(DATA.subjects);
const state = { subject: 0, task: 0, shown: "reward", head: 0 };

const PER_TASK = { reward: "reward", damage: "damage to the task", general: "general damage" };

const controls = html("div", { class: "controls" });
const grid = html("figure");
const panel = html("section", { id: "panel", "aria-live": "polite" });
document.getElementById("page").append(controls, html("div", { class: "panes" }, grid, panel));

function subject() {
  return DATA.subjects[NAMES[state.subject]];
}

/** What the grid is coloured by: values by head, their title and unit. */
function shown() {
  const task = subject().tasks[state.task];
  const detector = subject().detectors.find((one) => one.name === state.shown);
  if (detector) return { values: detector.score, title: `detector ${detector.name}, on ${detector.task}: ${detector.reads}`, unit: "share" };
  if (state.shown === "general") return { values: subject().general, title: PER_TASK.general, unit: "nats" };
  return { values: task[state.shown], title: `${PER_TASK[state.shown]}, ${task.title}`, unit: task.unit };
}

function drawControls() {
  const kinds = [...Object.keys(PER_TASK), ...subject().detectors.map((one) => one.name)];
  const titles = kinds.map((kind) => PER_TASK[kind] || `detector: ${kind}`);
  controls.replaceChildren(
    choices("subject", NAMES, state.subject, (i) => {
      state.subject = i;
      const there = subject().detectors.some((one) => one.name === state.shown) || state.shown in PER_TASK;
      Object.assign(state, { task: Math.min(state.task, subject().tasks.length - 1), shown: there ? state.shown : "reward" });
      state.head = best();
      draw();
    }),
    choices("task", subject().tasks.map((task) => task.title), state.task, (i) => {
      state.task = i;
      drawGrid();
    }),
    selection("colour shows", titles, kinds.indexOf(state.shown), (i) => {
      state.shown = kinds[i];
      drawGrid();
    }),
  );
}

/** The head of the largest reward on the task. */
function best() {
  return subject().tasks[state.task].rank.indexOf(1);
}

let parts;

function drawGrid() {
  const { values, title, unit } = shown();
  const limit = largest(values);
  parts = headGrid(subject(), `${title}: every head of ${NAMES[state.subject]}; arrow keys move from head to head`);
  parts.picture.setAttribute("tabindex", "0");
  parts.picture.setAttribute("id", "grid");
  parts.cells.forEach((cell, head) => {
    cell.setAttribute("fill", colour(values[head], limit));
    dashBelowZero(parts, head, values[head], limit, 0.5, 0.15);
  });
  parts.frame = svg("rect", { fill: "none", stroke: "var(--mark)", "stroke-width": 2, width: parts.width - 1, height: parts.height - 1 });
  parts.picture.append(parts.frame);
  parts.picture.addEventListener("pointerover", (event) => event.target.dataset.head && point(Number(event.target.dataset.head)));
  parts.picture.addEventListener("click", (event) => event.target.dataset.head && point(Number(event.target.dataset.head)));
  parts.picture.addEventListener("keydown", move);
  grid.replaceChildren(html("figcaption", {}, title), parts.picture, legend(limit, unit, Math.min(...values) < 0));
  point(state.head);
}

/** A number on the scale of colours. */
function onScale(value, limit) {
  return number(value, limit < 0.1 ? 3 : 2);
}

/** How far the colours of each task go, for what has values of each. */
function reaches() {
  if (!(state.shown in subject().tasks[0])) return "";
  const each = subject().tasks.map((task) => {
    const limit = largest(task[state.shown]);
    return `${task.title} ${onScale(limit, limit)} ${task.unit}`;
  });
  return `, on each task to its own largest: ${each.join(", ")}`;
}

/** The scale of colours, from minus the limit, or from zero, to the limit. */
function legend(limit, unit, below) {
  const shares = below ? [-1, -0.25, 0, 0.25, 1] : [0, 0.25, 1];
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} 36`, role: "img", "aria-label": `colours: up to ${number(limit)} ${unit}`, id: "scale" });
  const at = (share) => LEFT + (WIDTH - 2 * LEFT) * (below ? (Math.sign(share) * Math.sqrt(Math.abs(share)) + 1) / 2 : Math.sqrt(share));
  const steps = 80, from = below ? -1 : 0;
  for (let i = 0; i < steps; i++) {
    const depth = from + ((1 - from) * (i + 0.5)) / steps;
    const wide = (WIDTH - 2 * LEFT) / steps;
    picture.append(svg("rect", { x: LEFT + i * wide, y: 8, width: wide + 0.5, height: 9, fill: colour(Math.sign(depth) * depth * depth, 1) }));
  }
  for (const share of shares) {
    picture.append(svg("text", { x: at(share), y: 30, "text-anchor": "middle", class: "axis" }, onScale(share * limit, limit)));
  }
  const words = `${unit}; ${below ? "dashed: visibly below zero; " : ""}the colour grows with the square root${reaches()}`;
  return html("div", {}, picture, html("div", { class: "small" }, words));
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function move(event) {
  if (!(event.key in STEPS)) return;
  event.preventDefault();
  const { layers, across } = subject(), [down, right] = STEPS[event.key];
  const layer = Math.floor(state.head / across) + down, head = (state.head % across) + right;
  if (layer >= 0 && layer < layers && head >= 0 && head < across) point(layer * across + head);
}

function row(cells, current = false) {
  return html("tr", current ? { class: "current" } : {}, ...cells.map((cell) => html("td", {}, cell)));
}

function table(titles, rows, look = "numbers") {
  return html("table", { class: look }, html("thead", {}, html("tr", {}, ...titles.map((title) => html("th", {}, title)))), html("tbody", {}, ...rows));
}

/** Show what is known of a head. */
function point(head) {
  state.head = head;
  const one = subject(), { x, y } = parts.place(head);
  parts.frame.setAttribute("x", x);
  parts.frame.setAttribute("y", y);
  const tasks = one.tasks.map((task, i) => row([
    task.unit === "logits" ? task.title : `${task.title} (${task.unit})`,
    `${number(task.damage[head])} \u00b1 ${number(task.error[head])}`,
    number(task.reward[head]),
    `${task.rank[head]}`,
  ], i === state.task));
  const detectors = one.detectors.map((detector) => row([detector.name, number(detector.score[head]), `${detector.reads}, on ${detector.task}`]));
  const general = `${number(one.general[head], 4)} \u00b1 ${number(one.general_error[head], 4)}`;
  panel.replaceChildren(
    html("h2", {}, `${headName(one, head)} of ${NAMES[state.subject]}`),
    table(["task", "damage (logits)", "reward", `rank of ${one.layers * one.across}`], tasks),
    html("p", {}, `general damage: ${general} nats`),
    table(["detector", "score", "what it reads"], detectors, "words"),
    html("p", { class: "small" }, `Damage is the mean over ${one.tasks[state.task].prompts} prompts, general damage over ${one.spans} spans of text, \u00b1 its ` +
      `standard error; reward is damage minus general damage. ${one.caption}.`),
  );
}

function draw() {
  drawControls();
  drawGrid();
}

state.head = best();
draw();
