"use strict";
// Everything on this page comes from the JSON in #data; text is added as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const theme = data.theme;
const SVG = "http://www.w3.org/2000/svg";
const INK = theme.colours.map((colour) => {
  const [r, g, b] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 120 ? "#000" : "#fff";
});
const find = (id) => document.getElementById(id);
const digits = find("digits");
const hasText = () => digits.checked || theme.symbols; // in every cell
const symbolOf = (value) => (theme.symbols ? theme.symbols[value] : value);

function element(tag, options = {}, ...children) {
  const { text, ...attributes } = options;
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  node.append(...children.filter((child) => child !== null));
  return node;
}

function svgElement(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const rowsOf = (grid) => grid.split("/");
const sizeOf = (rows) => `${rows.length} × ${rows[0].length}`;
const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const spoken = (figure) => (figure.grid === null ? ", no grid" : figure.verdict ? `, ${figure.verdict}` : "");

// A verdict is a sign and a word, so that it does not need colour.
function verdictMark(verdict) {
  return verdict === "wrong"
    ? element("span", { class: "verdict wrong", text: "✗ wrong" })
    : element("span", { class: "verdict right", text: `✓ ${verdict}` });
}

function drawGrid(figure, question) {
  const rows = rowsOf(figure.grid), height = rows.length, width = rows[0].length;
  const cell = Math.min(Math.max(Math.floor(210 / Math.max(height, width)), 7), 24);
  const spelt = hasText() ? `: ${rows.map((row) => [...row].map((value) => theme.characters[value]).join(" ")).join("; ")}` : "";
  const given = theme.given && question.length === figure.grid.length ? rowsOf(question) : null;
  const svg = svgElement("svg", {
    class: "grid", role: "img", viewBox: `0 0 ${width} ${height}`, width: width * cell,
    height: height * cell, "aria-label": `${figure.label}, ${height} rows of ${width}${spoken(figure)}${spelt}`,
  });
  const paths = {}, inks = {};
  rows.forEach((row, y) => [...row].forEach((value, x) => {
    const fill = given && given[y][x] !== "0" && given[y][x] === value ? theme.given : theme.colours[value];
    paths[fill] = (paths[fill] || "") + `M${x + 0.03} ${y + 0.03}h.94v.94h-.94z`;
    if (symbolOf(value) === " ") return;
    const ink = (inks[INK[value]] ||= { text: "", x: [], y: [] });
    ink.text += symbolOf(value);
    ink.x.push(x + 0.5);
    ink.y.push(y + 0.74);
  }));
  for (const [fill, d] of Object.entries(paths)) svg.append(svgElement("path", { d, fill }));
  if (theme.boxes[height]) {
    const [boxHeight, boxWidth] = theme.boxes[height];
    let d = "";
    for (let y = boxHeight; y < height; y += boxHeight) d += `M0 ${y}h${width}`;
    for (let x = boxWidth; x < width; x += boxWidth) d += `M${x} 0v${height}`;
    svg.append(svgElement("path", { d, stroke: "#4a4845", "stroke-width": 0.12, fill: "none" }));
  }
  if (hasText()) {
    for (const [fill, { text, x, y }] of Object.entries(inks)) {
      svg.append(svgElement("text", {
        x: x.join(" "), y: y.join(" "), fill, "font-size": 0.7, "text-anchor": "middle",
        "font-family": "ui-monospace, monospace",
      }, text));
    }
  }
  if (figure.wrong_cells) {
    const mark = hasText() // which a cross would hide
      ? (x, y) => `M${x + 0.11} ${y + 0.11}h.78v.78h-.78z` : (x, y) => `M${x + 0.2} ${y + 0.2}l.6 .6m0 -.6l-.6 .6`;
    const isWrong = (index) => (parseInt(figure.wrong_cells[index >> 2], 16) >> (3 - (index % 4))) & 1;
    const wrong = Array.from({ length: width * height }, (_, index) => index).filter(isWrong);
    const d = wrong.map((index) => mark(index % width, Math.floor(index / width))).join("");
    svg.append(svgElement("path", { d, stroke: "#fff", "stroke-width": 0.22, fill: "none", class: "wrong-cells" }));
    svg.append(svgElement("path", { d, stroke: "#000", "stroke-width": 0.1, fill: "none" }));
  }
  return svg;
}

// A figure of a pair, whose input says which cells are given.
function drawFigure(figure, pair) {
  if (figure.grid === null) {
    return element("figure", {}, element("figcaption", { text: figure.label }), element("div", { class: "none", text: "no grid" }));
  }
  const caption = element("figcaption", { text: `${figure.label} ` });
  if (figure.verdict) caption.append(verdictMark(figure.verdict));
  let size = sizeOf(rowsOf(figure.grid));
  if (figure.verdict === "wrong" && pair.output) {
    const correct = sizeOf(rowsOf(pair.output.grid));
    if (correct !== size) size += `, correct is ${correct}`;
  }
  return element("figure", {}, caption, drawGrid(figure, pair.input.grid), element("figcaption", { class: "size", text: size }));
}

function votesTable(test, label) {
  if (!test.candidates.length || !theme.numbered) return null; // a single prediction is no vote
  const body = element("tbody");
  for (const { figure, votes, halt_prob } of test.candidates) {
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("i"));
    bar.firstChild.style.width = `${(100 * votes) / test.votes}%`;
    body.append(element("tr", {},
      element("th", { scope: "row", text: figure.label }),
      element("td", { class: "bars" }, bar),
      element("td", { class: "number", text: `${votes} of ${test.votes} (${percent(votes / test.votes)})` }),
      element("td", { class: "number", text: percent(halt_prob) }),
      element("td", {}, figure.verdict ? verdictMark(figure.verdict) : "not known")));
  }
  const head = element("thead", {}, element("tr", {},
    ...["Candidate", "", "Votes", "Mean halting probability", "Verdict"].map((text) =>
      text ? element("th", { scope: "col", text }) : element("td", { class: "bars" }))));
  const more = test.distinct - test.candidates.length;
  let note = `Votes on ${label}: ${counted(test.distinct, "candidate")}`;
  if (more > 0) note += `, the first ${test.candidates.length} below`;
  if (test.output && test.rank === null) note += "; the correct one got no vote";
  if (test.rank > test.candidates.length) note += `; the correct one is number ${test.rank} with ${counted(test.rank_votes, "vote")}`;
  const table = element("table", { class: "votes" }, head, body);
  const others = test.candidates.filter((candidate) => !candidate.is_attempt);
  return element("div", {}, element("p", { class: "small", text: `${note}.` }),
    element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Votes on ${label}` }, table),
    others.length ? element("details", {}, element("summary", { text: `Show ${counted(others.length, "more candidate")}` }),
      element("div", { class: "row" }, ...others.map(({ figure }) => drawFigure(figure, test)))) : null);
}

function traceSlider(test, label, id) {
  const count = test.trace.length;
  if (!count) return null;
  const slot = element("div");
  const status = element("output", { for: id });
  const slider = element("input", { type: "range", id, min: 1, max: count, value: count, step: 1 });
  const update = () => {
    const number = Number(slider.value);
    const figure = test.trace.slice(0, number).findLast((step) => step.figure).figure;
    const text = `step ${number} of ${count}, halting probability ${percent(test.trace[number - 1].halt_prob)}${spoken(figure)}`;
    status.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    slot.replaceChildren(drawFigure(figure, test));
  };
  slider.addEventListener("input", update);
  update();
  return element("div", {},
    element("div", { class: "steps" }, element("label", { for: id, text: theme.numbered ? `How the prediction for ${label} changed` : "How the prediction changed" }), slider, status), slot);
}

function fillArticle(article, task) {
  const body = element("div", { class: "body" });
  if (task.demonstrations.length) body.append(element("h4", { text: "Demonstrations" }), element("div", { class: "row" },
    ...task.demonstrations.map((pair) => element("div", { class: "pair" },
      drawFigure(pair.input, pair), element("span", { "aria-hidden": "true", text: "→" }),
      drawFigure(pair.output, pair)))));
  task.tests.forEach((test, index) => {
    const label = test.input.label.toLowerCase();
    const figures = [test.input, ...test.attempts].map((figure) => drawFigure(figure, test));
    if (!test.attempts.length) figures.push(element("p", { text: "No prediction." }));
    else if (data.has_votes && !test.votes) figures.push(element("p", { text: "Nothing was voted for: both attempts are guesses." }));
    if (test.output) figures.push(drawFigure(test.output, test));
    body.append(element("div", { class: "test" },
      theme.numbered ? element("h4", { text: `Test ${index + 1}` }) : null, element("div", { class: "row" }, ...figures),
      traceSlider(test, label, `step-${task.number}-${index}`), votesTable(test, label)));
  });
  const old = article.querySelector(".body");
  if (old) old.replaceWith(body); else article.append(body);
  article.dataset.filled = digits.checked ? "digits" : "colours";
}

const OUTCOMES = {
  solved: ["✓ solved", "right"], valid: ["✓ valid", "right"], partly: ["◐ partly solved", "wrong"],
  unsolved: ["✗ not solved", "wrong"], unknown: ["? correct output not known", ""],
};
const anchor = (task) => `task-${encodeURIComponent(task.id)}`; // means the same in every report
const list = find("tasks");
const articles = data.tasks.map((task, number) => {
  task.number = number;
  const [text, style] = OUTCOMES[task.outcome];
  const article = element("article", { id: anchor(task), "aria-labelledby": `name-${number}` },
    element("header", {},
      element("h3", { id: `name-${number}` }, element("a", { href: `#${anchor(task)}`, text: task.title })),
      element("span", { class: `verdict ${style}`, text }),
      element("span", { class: "muted", text: task.confidence === null ? ""
        : theme.numbered ? `best candidate: ${percent(task.confidence)} of the votes` : `halting probability ${percent(task.confidence)}` })));
  return article;
});
list.append(...articles);

const upToDate = (article) => article.dataset.filled === (digits.checked ? "digits" : "colours");
function fillIfNeeded(number) {
  if (!upToDate(articles[number])) fillArticle(articles[number], data.tasks[number]);
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) fillIfNeeded(articles.indexOf(entry.target));
}, { rootMargin: "600px" });
articles.forEach((article) => seen.observe(article));

// The other articles are filled in small slices of time, for find-in-page, print and screen readers.
const SLICE = 12; // ms of work at once, during which the page still responds
let waiting = false;
function fillRest() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    const end = performance.now() + SLICE;
    for (const [number, article] of articles.entries()) {
      if (upToDate(article)) continue;
      if (performance.now() > end) return fillRest();
      fillArticle(article, data.tasks[number]);
    }
    document.body.dataset.complete = "true";
    if (!moved) goToTask();
  });
}

// Articles above a task grow while they are filled, which moves it away from where it was shown.
let moved = false;
for (const event of ["wheel", "keydown", "pointerdown", "touchstart"]) {
  addEventListener(event, () => { moved = true; }, { passive: true });
}
function goToTask() {
  const number = articles.findIndex((article) => `#${article.id}` === location.hash);
  if (number < 0) return;
  fillIfNeeded(number);
  articles[number].scrollIntoView();
}

const search = find("search"), outcome = find("outcome"), order = find("order"), count = find("count");
const MATCHES = {
  all: () => true, solved: (task) => task.outcome === "solved",
  several: (task) => task.needs_several_attempts, partly: (task) => task.outcome === "partly",
  unsolved: (task) => task.outcome === "unsolved" || task.outcome === "partly",
  valid: (task) => task.outcome === "valid",
  candidate: (task) => task.correct_got_votes, unknown: (task) => task.outcome === "unknown",
};
function filter() {
  const wanted = search.value.trim().toLowerCase();
  let shown = 0;
  data.tasks.forEach((task, number) => {
    const hit = task.id.toLowerCase().includes(wanted) && MATCHES[outcome.value](task);
    articles[number].hidden = !hit;
    shown += hit;
  });
  count.textContent = `${shown} of ${articles.length} ${data.noun}s`;
  find("nothing").hidden = shown > 0;
}
function sort() {
  const numbers = data.tasks.map((_, number) => number);
  if (order.value !== "data") {
    const direction = order.value === "sure" ? -1 : 1;
    numbers.sort((a, b) => direction * ((data.tasks[a].confidence ?? -1) - (data.tasks[b].confidence ?? -1)) || a - b);
  }
  list.append(...numbers.map((number) => articles[number]));
}
search.addEventListener("input", filter);
outcome.addEventListener("change", filter);
order.addEventListener("change", sort);
digits.addEventListener("change", () => {
  delete document.body.dataset.complete;
  const height = window.innerHeight;
  articles.forEach((article, number) => {
    const { top, bottom } = article.getBoundingClientRect();
    if (!article.hidden && bottom > -600 && top < height + 600) fillIfNeeded(number);
  });
  fillRest();
});
filter();
find("gallery").hidden = false;
goToTask();
fillRest();
document.body.dataset.ready = "true";
