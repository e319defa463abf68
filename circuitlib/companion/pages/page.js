"use strict";
// What both pages use: the data, elements, colours of heads, and choices.

const DATA = JSON.parse(document.getElementById("data").textContent);

/** An HTML element with attributes and children; a string child is text. */
function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The field's name of a head, such as L9.H6. */
function headName(subject, head) {
  return `L${Math.floor(head / subject.across)}.H${head % subject.across}`;
}

/** A number with so many decimals, and a true minus sign. */
function number(value, decimals = 3) {
  const text = value.toFixed(decimals);
  return (/^-0\.?0*$/.test(text) ? text.slice(1) : text).replace("-", "\u2212");
}

const COLD = [33, 102, 172], HOT = [178, 24, 43], WHITE = [247, 247, 247];

/** Red above zero and blue below, growing with the square root of the share of a limit. */
function colour(value, limit) {
  const depth = Math.min(1, Math.sqrt(Math.abs(value) / (limit || 1)));
  const end = value < 0 ? COLD : HOT;
  return `rgb(${WHITE.map((white, i) => Math.round(white + depth * (end[i] - white))).join(",")})`;
}

/** Whether white is better read than black on that colour. */
function isDark(value, limit) {
  return Math.sqrt(Math.abs(value) / (limit || 1)) > 0.6;
}

function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** Radio buttons that look like a switch: calls back with the index of the chosen title. */
function choices(legend, titles, chosen, callback) {
  const inputs = titles.map((title, i) => {
    const input = html("input", { type: "radio", name: legend, value: i });
    input.checked = i === chosen;
    input.addEventListener("change", () => callback(i));
    return html("label", {}, input, title);
  });
  return html("fieldset", {}, html("legend", {}, legend), html("div", { class: "choices" }, ...inputs));
}

/** A list to choose one title from: calls back with its index. */
function selection(name, titles, chosen, callback) {
  const list = html("select", { "aria-label": name }, ...titles.map((title, i) => html("option", { value: i }, title)));
  list.value = chosen;
  list.addEventListener("change", () => callback(Number(list.value)));
  return html("label", {}, html("span", { class: "name" }, name), list);
}

const WIDTH = 400, LEFT = 26, TOP = 16;

/** A grid of heads, layers down and heads across: the picture, its cells by head, and the place of each. */
function headGrid(subject, label) {
  const { layers, across } = subject;
  const width = (WIDTH - LEFT) / across, height = Math.min(width, 480 / layers);
  const place = (head) => ({ x: LEFT + (head % across) * width, y: TOP + Math.floor(head / across) * height });
  const bottom = TOP + layers * height;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${bottom + 2}`, role: "img", "aria-label": label });
  const cells = Array.from({ length: layers * across }, (_, head) =>
    svg("rect", { ...place(head), width: width - 1, height: height - 1, "data-head": head }));
  for (let head = 0; head < across; head++) {
    const at = { x: place(head).x + width / 2, y: TOP - 5, "text-anchor": "middle", class: "axis" };
    picture.append(svg("text", at, String(head)));
  }
  for (let layer = 0; layer < layers; layer += height < 11 ? 2 : 1) {
    const at = { x: LEFT - 5, y: TOP + (layer + 0.5) * height + 4, "text-anchor": "end", class: "axis" };
    picture.append(svg("text", at, String(layer)));
  }
  picture.append(...cells);
  return { picture, cells, place, width, height };
}

/** In the cell of a head whose colour is below zero by so much a dash, so far down: in grey its colour is that of one above. */
function dashBelowZero({ picture, place, width, height }, head, value, limit, down, least) {
  if (value >= 0 || Math.sqrt(-value / (limit || 1)) < least) return;
  const { x, y } = place(head), middle = x + (width - 1) / 2, at = y + down * (height - 1);
  const look = { stroke: isDark(value, limit) ? "#fff" : "#000", "stroke-width": 1.4, class: "below", "pointer-events": "none" };
  picture.append(svg("line", { x1: middle - 3.5, x2: middle + 3.5, y1: at, y2: at, ...look }));
}

/** Tell a page that shows this one in a frame how high it is. */
function tellHeight() {
  if (window.parent !== window) {
    window.parent.postMessage({ height: Math.ceil(document.body.getBoundingClientRect().height) }, "*");
  }
}
window.addEventListener("load", tellHeight);
new ResizeObserver(tellHeight).observe(document.body);

// That page says whether it is light or dark; without one, the reader's system does.
window.addEventListener("message", (event) => {
  if (event.source === window.parent && event.data.theme) document.documentElement.dataset.theme = event.data.theme;
});
