// The replay of an episode: heads on the grid in the order in which a searcher measures them, and the best so far of all searchers.

const NAMES = Object.keys(DATA.subjects);
const LINES = DATA.searchers;
const SEARCHERS = Object.keys(LINES).filter((key) => key !== "blind");
const HELD_OUT = "docstring";

const state = { subject: 0, task: 0, episode: 0, seed: 0, searcher: "seeing", hidden: false, pick: 10 };
let timer = null;

const controls = html("div", { class: "controls" });
const slider = html("input", { type: "range", id: "pick", min: 1, value: state.pick, "aria-label": "price, in heads measured" });
const button = html("button", { type: "button", id: "play" }, "play");
const said = html("span", { id: "said", "aria-live": "polite" });
const grids = html("div", { class: "grids" });
const chart = html("figure");
const readout = html("div", { id: "readout" });
const replay = html("div", { class: "replay" }, grids, html("div", {}, chart, readout));
const caption = html("div", { id: "caption" });
document.getElementById("page").append(
  controls,
  html("div", { class: "player" }, button, slider, said),
  replay,
  caption,
);

function subject() {
  return DATA.subjects[NAMES[state.subject]];
}

function task() {
  return subject().tasks[state.task];
}

function episode() {
  return task().episodes[state.episode];
}

/** The heads that a searcher measures on the episode, in order; before them, null for each head's worth of a gradient. */
function order(key) {
  if (key === "list") return subject().list;
  if (key === "attribution") return [...Array(subject().gradient_price).fill(null), ...episode()[key]];
  return key === "seeing" || key === "blind" ? episode().seeds[state.seed][key] : episode()[key];
}

/** The best reward after each pick; minus infinity before the first head. */
function running(key) {
  let most = -Infinity;
  return order(key).map((head) => (most = head === null ? most : Math.max(most, episode().rewards[head])));
}

function oracle() {
  return Math.max(...episode().rewards);
}

function picks() {
  return order("seeing").length;
}

/** The searchers that are drawn: the blind policy only where the rewards are hidden from it. */
function drawn() {
  return Object.keys(LINES).filter((key) => key !== "blind" || state.hidden);
}

function drawControls() {
  const hide = html("input", { type: "checkbox", id: "hidden" });
  hide.checked = state.hidden;
  hide.addEventListener("change", () => {
    Object.assign(state, { hidden: hide.checked, searcher: hide.checked ? "seeing" : state.searcher });
    draw();
  });
  const hideLabel = html("label", { class: "hide" }, hide, " hide the rewards from the policy");
  const set = (name) => (i) => {
    state[name] = i;
    draw();
  };
  const numbers = (count) => Array.from({ length: count }, (_, i) => `${i + 1}`);
  controls.replaceChildren(
    choices("subject", NAMES, state.subject, set("subject")),
    choices("task", subject().tasks.map((one) => one.title), state.task, set("task")),
    choices("episode", numbers(task().episodes.length), state.episode, set("episode")),
    choices("policy of seed", episode().seeds.map((_, i) => `${i}`), state.seed, set("seed")),
    choices("who searches", SEARCHERS.map((key) => LINES[key].title), SEARCHERS.indexOf(state.searcher), (i) => {
      Object.assign(state, { searcher: SEARCHERS[i], hidden: state.hidden && i === 0 });
      draw();
    }),
    hideLabel,
  );
}

/** The grid of one searcher, with the heads that it has measured by now numbered in order. */
function drawGrid(key) {
  const rewards = episode().rewards, limit = largest(rewards), measured = order(key).slice(0, state.pick);
  const title = `${LINES[key].title}: ${NAMES[state.subject]}, ${task().title}, episode ${state.episode + 1}`;
  const parts = headGrid(subject(), `${title}; ${measured.filter((head) => head !== null).length} heads measured`);
  const { picture, cells, place, width, height } = parts;
  picture.dataset.searcher = key;
  cells.forEach((cell) => cell.setAttribute("fill", "var(--empty)"));
  measured.forEach((head, i) => {
    if (head === null) return;
    const { x, y } = place(head), ink = isDark(rewards[head], limit) ? "#fff" : "#000";
    cells[head].setAttribute("fill", colour(rewards[head], limit));
    cells[head].append(svg("title", {}, `price ${i + 1}: ${headName(subject(), head)} pays ${number(rewards[head])}`));
    const at = { x: x + width / 2 - 0.5, y: y + height / 2 + 3.5, "text-anchor": "middle", style: `fill: ${ink}; pointer-events: none` };
    picture.append(svg("text", at, `${i + 1}`));
    dashBelowZero(parts, head, rewards[head], limit, 0.93, 0);
  });
  const outlined = (head, look) => {
    const size = { width: width - 1, height: height - 1, fill: "none", "pointer-events": "none" };
    picture.append(svg("rect", { ...place(head), ...size, ...look }));
  };
  outlined(rewards.indexOf(oracle()), { stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "3 2", class: "oracle" });
  const last = measured[measured.length - 1];
  if (last !== null) outlined(last, { stroke: "var(--now)", "stroke-width": 2.5 });
  return html("figure", {}, html("figcaption", {}, LINES[key].title), picture);
}

const CHART = { width: 480, height: 250, left: 40, right: 8, top: 10, bottom: 34 };

/** The best so far of every searcher as a fraction of the oracle's; pale, what is still to come. */
function drawChart() {
  const { width, height, left, right, top, bottom } = CHART, last = picks();
  const x = (pick) => left + ((width - left - right) * (pick - 0.5)) / last;
  const y = (share) => top + (height - top - bottom) * (1 - Math.max(0, share) / 1.05);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", id: "chart", "aria-label": "best reward so far, as a fraction of the oracle's, by price" });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const look = { x1: left, x2: width - right, y1: y(share), y2: y(share), stroke: share === 1 ? "currentColor" : "var(--line)", "stroke-dasharray": share === 1 ? "2 3" : "" };
    picture.append(svg("line", look), svg("text", { x: left - 5, y: y(share) + 4, "text-anchor": "end", class: "axis" }, number(share, 2)));
  }
  for (const pick of [1, 10, 20, 30, 40, 50].filter((one) => one <= last)) {
    picture.append(svg("text", { x: x(pick), y: height - bottom + 15, "text-anchor": "middle", class: "axis" }, `${pick}`));
  }
  picture.append(svg("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle", class: "axis" }, "price (heads measured)"));
  picture.append(svg("line", { x1: x(state.pick), x2: x(state.pick), y1: top, y2: height - bottom, stroke: "var(--faint)" }));
  for (const key of drawn()) {
    const shares = running(key).map((best) => best / oracle()), first = shares.findIndex(Number.isFinite);
    const path = (some) => some.slice(first).map((share, i) => `${i ? "H" : "M"}${x(first + i + 1)}${i ? "V" : " "}${y(share)}`).join("");
    const look = { fill: "none", stroke: LINES[key].colour, "stroke-dasharray": LINES[key].dashes, "stroke-width": 2 };
    picture.append(svg("path", { ...look, d: path(shares), opacity: 0.25 }));
    picture.append(svg("path", { ...look, d: path(shares.slice(0, state.pick)), "data-searcher": key, "data-best": running(key).join(" ") }));
  }
  chart.replaceChildren(html("figcaption", {}, "best so far, as a fraction of the oracle's"), picture);
}

/** A piece of a searcher's line. */
function sample(look) {
  const line = svg("line", { x1: 0, x2: 40, y1: 3, y2: 3, "stroke-width": 2, ...look });
  return svg("svg", { viewBox: "0 0 40 6", class: "swatch", "aria-hidden": "true" }, line);
}

function drawReadout() {
  const rows = drawn().map((key) => {
    const best = running(key)[state.pick - 1];
    const swatch = sample({ stroke: LINES[key].colour, "stroke-dasharray": LINES[key].dashes });
    const cells = [html("td", {}, swatch, LINES[key].title), ...(Number.isFinite(best) ? [number(best), `${number((100 * best) / oracle(), 0)}%`] : ["none yet", ""]).map((text) => html("td", {}, text))];
    return html("tr", { "data-searcher": key }, ...cells);
  });
  const best = html("tr", {}, html("td", {}, sample({ stroke: "currentColor", "stroke-dasharray": "2 3" }), `oracle: ${headName(subject(), episode().rewards.indexOf(oracle()))}`), html("td", {}, number(oracle())), html("td", {}, "100%"));
  const titles = [`${state.pick} of ${picks()} heads paid`, "best reward", "of the oracle"].map((title) => html("th", {}, title));
  readout.replaceChildren(html("table", {}, html("thead", {}, html("tr", {}, ...titles)), html("tbody", {}, ...rows, best)));
}

/** What seeing gains over all episodes after the pick, in points of the oracle, with its interval. */
function points() {
  const { effect, low, high } = task().gains;
  const [value, ...ends] = [effect, low, high].map((shares) => number(100 * shares[state.pick - 1], 1));
  return `${value} (${ends.join(" to ")})`;
}

function drawCaption() {
  const one = subject(), { name, title } = task();
  const trained = one.trained_on.includes(name) ? `was trained on ${title}, but is not told that this is it` : `was never shown ${title}`;
  const lines = [
    `The policy, trained with best-of-${one.trained_k} and played without planning, ${trained}. ` +
      `Dashed box: the episode's best head. Grey: not measured yet. A dash under a number: below zero. ${one.caption}.`,
    `Random search, layers in order (at random within a layer) and the policy draw their picks. Of ${one.all_draws} plays of an episode, ${one.all_plays} of a policy, ` +
      `the one shown is that whose best reward after ${one.typical_after} heads is nearest to the mean over them; ` +
      `the policy's, seeing and blind, are drawn with the same random numbers and judged together.`,
    `Attribution first pays for a gradient of the episode's own prompts, as much as measuring ${one.gradient_price} heads costs; then it measures heads in the order of what that says they pay.`,
  ];
  if (state.hidden) {
    const [seeing, blind] = ["seeing", "blind"].map((key) => order(key).slice(0, state.pick));
    const same = seeing.filter((head) => blind.includes(head)).length;
    const gain = (running("seeing")[state.pick - 1] - running("blind")[state.pick - 1]) / oracle();
    lines.push(
      `Here, after ${state.pick} heads, ${same} of them the same in both, seeing its rewards gains the policy ${number(100 * gain, 1)} points of the oracle. ` +
      `One episode decides nothing. Over all ${one.all_episodes} episodes of ${title}, ${one.all_plays} plays of each and ${one.all_seeds} seeds, ` +
      `the paired difference with its 95% interval is ${points()} points after ${state.pick} heads (table seeing).`);
  }
  caption.replaceChildren(...lines.map((line) => html("p", { class: "caption" }, line)));
}

/** All that changes with the pick. */
function drawPick() {
  const head = order(state.searcher)[state.pick - 1];
  slider.max = picks();
  slider.value = state.pick;
  const pays = head === null ? "the gradient is being paid for" : `${headName(subject(), head)} pays ${number(episode().rewards[head])}`;
  said.replaceChildren(`price ${state.pick}: ${pays}`);
  grids.replaceChildren(drawGrid(state.searcher), ...(state.hidden ? [drawGrid("blind")] : []));
  replay.classList.toggle("two", state.hidden);
  drawChart();
  drawReadout();
  drawCaption();
}

function draw() {
  state.pick = Math.min(state.pick, picks());
  drawControls();
  drawPick();
}

function stop() {
  clearInterval(timer);
  timer = null;
  button.textContent = "play";
}

button.addEventListener("click", () => {
  if (timer) return stop();
  if (state.pick >= picks()) state.pick = 0;
  button.textContent = "stop";
  timer = setInterval(() => {
    state.pick += 1;
    drawPick();
    if (state.pick >= picks()) stop();
  }, 250);
});

slider.addEventListener("input", () => {
  stop();
  state.pick = Number(slider.value);
  drawPick();
});

state.task = Math.max(0, subject().tasks.findIndex((one) => one.name === HELD_OUT));
draw();
