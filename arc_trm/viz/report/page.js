"use strict";
// Everything on this page comes out of the JSON in #data; text gets in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const INK = data.palette.map((colour) => {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 120 ? "#000" : "#fff";
});
const find = (id) => document.getElementById(id);
const digits = find("digits");
const look = data.look, [TASK, INPUT, ANSWER, OUTPUT, TRUTH] = look.words;
const numbered = (word, number) => (look.numbered ? `${word} ${number}` : word);
const written = () => digits.checked || look.signs; // into every cell
const sign = (value) => (look.signs ? look.signs[value] : value);
const RIGHT = "right", WRONG = "wrong";

function make(tag, options = {}, ...children) {
  const { text, ...attributes } = options;
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  node.append(...children.filter((child) => child !== null));
  return node;
}

function draw(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const rowsOf = (grid) => grid.split("/");
const sizeOf = (rows) => `${rows.length} × ${rows[0].length}`;

const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
const judgement = (grid, truth) => (!truth ? "" : grid === truth ? ", right" : ", wrong");

// A verdict is a sign and a word, so that it does not need colour.
function verdict(right) {
  return make("span", { class: `verdict ${right ? RIGHT : WRONG}`, text: right ? "✓ right" : "✗ wrong" });
}

function gridPicture(name, grid, truth, question) {
  const rows = rowsOf(grid), height = rows.length, width = rows[0].length;
  const cell = Math.min(Math.max(Math.floor(210 / Math.max(height, width)), 7), 24);
  const spelt = written() ? `: ${rows.map((row) => [...row].map((value) => look.plain[value]).join(" ")).join("; ")}` : "";
  const given = look.given && question && question.length === grid.length ? rowsOf(question) : null;
  const svg = draw("svg", {
    class: "grid", role: "img", viewBox: `0 0 ${width} ${height}`, width: width * cell,
    height: height * cell, "aria-label": `${name}, ${height} rows of ${width}${judgement(grid, truth)}${spelt}`,
  });
  const paths = {}, inks = {};
  rows.forEach((row, y) => [...row].forEach((colour, x) => {
    const fill = given && given[y][x] !== "0" && given[y][x] === colour ? look.given : data.palette[colour];
    paths[fill] = (paths[fill] || "") + `M${x + 0.03} ${y + 0.03}h.94v.94h-.94z`;
    if (sign(colour) === " ") return;
    const ink = (inks[INK[colour]] ||= { text: "", x: [], y: [] });
    ink.text += sign(colour);
    ink.x.push(x + 0.5);
    ink.y.push(y + 0.74);
  }));
  for (const [fill, d] of Object.entries(paths)) svg.append(draw("path", { d, fill }));
  if (look.boxes[height]) {
    const [high, wide] = look.boxes[height];
    let d = "";
    for (let y = high; y < height; y += high) d += `M0 ${y}h${width}`;
    for (let x = wide; x < width; x += wide) d += `M${x} 0v${height}`;
    svg.append(draw("path", { d, stroke: "#4a4845", "stroke-width": 0.12, fill: "none" }));
  }
  if (written()) {
    for (const [fill, { text, x, y }] of Object.entries(inks)) {
      svg.append(draw("text", {
        x: x.join(" "), y: y.join(" "), fill, "font-size": 0.7, "text-anchor": "middle",
        "font-family": "ui-monospace, monospace",
      }, text));
    }
  }
  const other = truth ? rowsOf(truth) : null;
  if (other && grid !== truth && other.length === height && other[0].length === width) {
    let d = "";
    const mark = written() // which a cross would hide
      ? (x, y) => `M${x + 0.11} ${y + 0.11}h.78v.78h-.78z` : (x, y) => `M${x + 0.2} ${y + 0.2}l.6 .6m0 -.6l-.6 .6`;
    rows.forEach((row, y) => [...row].forEach((colour, x) => {
      if (colour !== other[y][x]) d += mark(x, y);
    }));
    svg.append(draw("path", { d, stroke: "#fff", "stroke-width": 0.22, fill: "none", class: "wrong-cells" }));
    svg.append(draw("path", { d, stroke: "#000", "stroke-width": 0.1, fill: "none" }));
  }
  return svg;
}

function figure(name, grid, truth, question, valid) {
  if (grid === null) {
    return make("figure", {}, make("figcaption", { text: name }), make("div", { class: "none", text: "no grid" }));
  }
  const caption = make("figcaption", { text: `${name} ` });
  if (valid && grid !== truth) {
    caption.append(make("span", { class: `verdict ${RIGHT}`, text: "✓ valid" }));
    truth = undefined; // nothing in it is wrong
  }
  if (truth) caption.append(verdict(grid === truth));
  let size = sizeOf(rowsOf(grid));
  if (truth && sizeOf(rowsOf(truth)) !== size) size += `, correct is ${sizeOf(rowsOf(truth))}`;
  return make("figure", {}, caption, gridPicture(name, grid, truth, question), make("figcaption", { class: "size", text: size }));
}

const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

function nameOf(test, index) {
  const attempt = test.attempts.indexOf(test.candidates[index].grid);
  return attempt < 0 ? `Candidate ${index + 1}` : `Attempt ${attempt + 1}`;
}

function votesTable(test, label) {
  if (!test.candidates.length || !look.numbered) return null; // one answer is no vote
  const body = make("tbody");
  test.candidates.forEach((each, index) => {
    const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("i"));
    bar.firstChild.style.width = `${(100 * each.votes) / test.votes}%`;
    body.append(make("tr", {},
      make("th", { scope: "row", text: nameOf(test, index) }),
      make("td", { class: "bars" }, bar),
      make("td", { class: "number", text: `${each.votes} of ${test.votes} (${percent(each.votes / test.votes)})` }),
      make("td", { class: "number", text: percent(each.halt) }),
      make("td", {}, test.truth ? verdict(each.grid === test.truth) : "not known")));
  });
  const head = make("thead", {}, make("tr", {},
    ...["Answer", "", "Votes", "Mean halting score", "Verdict"].map((text) =>
      text ? make("th", { scope: "col", text }) : make("td", { class: "bars" }))));
  const more = test.distinct - test.candidates.length;
  let note = `Votes on ${label}: ${counted(test.distinct, "different answer")}`;
  if (more > 0) note += `, the first ${test.candidates.length} below`;
  if (test.truth && test.rank === null) note += "; the correct one got no vote";
  if (test.rank > test.candidates.length) note += `; the correct one is number ${test.rank} with ${counted(test.rank_votes, "vote")}`;
  const table = make("table", { class: "votes" }, head, body);
  const others = test.candidates.filter((each) => !test.attempts.includes(each.grid));
  return make("div", {}, make("p", { class: "small", text: `${note}.` }),
    make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Votes on ${label}` }, table),
    others.length ? make("details", {}, make("summary", { text: `Show ${counted(others.length, "more candidate")}` }),
      make("div", { class: "row" }, ...others.map((each) => figure(nameOf(test, test.candidates.indexOf(each)), each.grid, test.truth)))) : null);
}

function stepper(test, label, id, valid) {
  if (!test.steps.length) return null;
  const count = test.steps.length;
  const slot = make("div");
  const told = make("output", { for: id });
  const slider = make("input", { type: "range", id, min: 1, max: count, value: count, step: 1 });
  const update = () => {
    const number = Number(slider.value);
    let at = number - 1;
    while (test.steps[at].length < 2) at -= 1; // as at the step before
    const grid = test.steps[at][1], judged = valid && grid === test.attempts[0] && grid !== test.truth ? ", valid" : judgement(grid, test.truth);
    const text = `step ${number} of ${count}, halting score ${percent(test.steps[number - 1][0])}${judged}`;
    told.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    slot.replaceChildren(figure(`Draft after step ${number}`, grid, test.truth, test.input, valid && grid === test.attempts[0]));
  };
  slider.addEventListener("input", update);
  update();
  return make("div", {},
    make("div", { class: "steps" }, make("label", { for: id, text: look.numbered ? `How the answer to ${label} changed` : "How the answer changed" }), slider, told), slot);
}

function fill(article, task) {
  const body = make("div", { class: "body" });
  if (task.train.length) body.append(make("h4", { text: "Demonstrations" }), make("div", { class: "row" },
    ...task.train.map(([input, output], index) => make("div", { class: "pair" },
      figure(`Input ${index + 1}`, input), make("span", { "aria-hidden": "true", text: "→" }),
      figure(`Output ${index + 1}`, output)))));
  task.tests.forEach((test, index) => {
    const label = numbered(INPUT, index + 1).toLowerCase();
    const figures = [figure(numbered(INPUT, index + 1), test.input, undefined, test.input)];
    test.attempts.forEach((grid, number) =>
      figures.push(figure(numbered(ANSWER, number + 1), grid, test.truth, test.input, task.valid)));
    if (!test.attempts.length) figures.push(make("p", { text: "Not answered." }));
    else if (data.voted && !test.votes) figures.push(make("p", { text: "Nothing was voted for: both attempts are guesses." }));
    if (test.truth) figures.push(figure(TRUTH, test.truth, undefined, test.input));
    body.append(make("div", { class: "test" },
      look.numbered ? make("h4", { text: `Test ${index + 1}` }) : null, make("div", { class: "row" }, ...figures),
      stepper(test, label, `step-${task.number}-${index}`, task.valid), votesTable(test, label)));
  });
  const old = article.querySelector(".body");
  if (old) old.replaceWith(body); else article.append(body);
  article.dataset.filled = digits.checked ? "digits" : "colours";
}

const OUTCOMES = {
  solved: ["✓ solved", RIGHT], partly: ["◐ partly solved", WRONG], unsolved: ["✗ not solved", WRONG],
  unknown: ["? correct output not known", ""], valid: ["✓ valid", RIGHT],
};
const anchor = (task) => `task-${encodeURIComponent(task.id)}`; // means the same in every report
const list = find("tasks");
const articles = data.tasks.map((task, number) => {
  task.number = number;
  const [text, kind] = OUTCOMES[task.outcome];
  const article = make("article", { id: anchor(task), "aria-labelledby": `name-${number}` },
    make("header", {},
      make("h3", { id: `name-${number}` }, make("a", { href: `#${anchor(task)}`, text: `${TASK} ${task.id}` })),
      make("span", { class: `verdict ${kind}`, text }),
      make("span", { class: "muted", text: task.confidence === null ? ""
        : look.numbered ? `best answer: ${percent(task.confidence)} of the votes` : `halting score ${percent(task.confidence)}` })));
  return article;
});
list.append(...articles);

const upToDate = (article) => article.dataset.filled === (digits.checked ? "digits" : "colours");
function fillIfNeeded(number) {
  if (!upToDate(articles[number])) fill(articles[number], data.tasks[number]);
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) fillIfNeeded(articles.indexOf(entry.target));
}, { rootMargin: "600px" });
articles.forEach((article) => seen.observe(article));

// The rest is filled in bit by bit, for find-in-page, print and screen readers.
const SLICE = 12; // ms of work at once, within which a page still answers
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
      fill(article, data.tasks[number]);
    }
    document.body.dataset.complete = "true";
    if (!moved) goToTask();
  });
}

// Articles above a task grow while they are filled, which moves it away from where it was shown.
let moved = false;
for (const kind of ["wheel", "keydown", "pointerdown", "touchstart"]) {
  addEventListener(kind, () => { moved = true; }, { passive: true });
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
  second: (task) => task.second, partly: (task) => task.outcome === "partly",
  unsolved: (task) => task.outcome === "unsolved" || task.outcome === "partly",
  valid: (task) => task.outcome === "valid",
  voted: (task) => task.voted, unknown: (task) => task.outcome === "unknown",
};
function filter() {
  const wanted = search.value.trim().toLowerCase();
  let shown = 0;
  data.tasks.forEach((task, number) => {
    const hit = task.id.toLowerCase().includes(wanted) && MATCHES[outcome.value](task);
    articles[number].hidden = !hit;
    shown += hit;
  });
  count.textContent = `${shown} of ${articles.length} ${look.numbered ? "tasks" : "puzzles"}`;
  find("nothing").hidden = shown > 0;
}
function sort() {
  const numbers = data.tasks.map((_, number) => number);
  if (order.value !== "data") {
    const sign = order.value === "sure" ? -1 : 1;
    numbers.sort((a, b) => sign * ((data.tasks[a].confidence ?? -1) - (data.tasks[b].confidence ?? -1)) || a - b);
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
for (const value of look.numbered ? ["valid"] : ["second", "partly", "voted"]) {
  outcome.querySelector(`[value="${value}"]`).remove();
}
if (!look.numbered) {
  find("tasks-heading").textContent = "Puzzles";
  search.parentElement.firstChild.textContent = "Number ";
}
if (look.signs) digits.parentElement.hidden = true;
filter();
find("gallery").hidden = false;
goToTask();
fillRest();
document.body.dataset.ready = "true";
