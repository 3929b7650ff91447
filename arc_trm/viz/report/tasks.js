// The cards of the tasks: demonstrations, attempts, votes, and how predictions changed.

function voteBar(candidate, votes, question) {
  const { figure } = candidate;
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("i"));
  bar.firstChild.style.width = `${(100 * candidate.votes) / votes}%`;
  const own = longerSide(figure.grid), cell = THUMBNAIL / own;
  const thumbnail = element("div", { class: "thumbnail", style: `--cell:${cell.toFixed(2)}px` }, gridButton(figure, question, own, cell));
  const name = element("span", { class: "candidate", text: `${figure.label} ` });
  if (figure.verdict) name.append(verdictMark(figure.verdict));
  const numbers = element("span", { class: "numbers" },
    element("span", { class: "number", text: `${candidate.votes} of ${counted(votes, "vote")} (${percent(candidate.votes / votes)})` }), " ",
    element("span", { class: "number muted", text: `halting probability ${percent(candidate.halt_prob)}` }));
  return element("li", {}, thumbnail, name, bar, numbers);
}

function votesList(answers, test, label) {
  if (!answers.candidates.length || !theme.numbered) return null; // a single prediction is no vote
  const { candidates, distinct, votes, rank } = answers;
  let note = `${counted(votes, "vote")} on ${label}, ${counted(distinct, "candidate")}`;
  if (distinct > candidates.length) note += `, the first ${candidates.length} below`;
  if (test.output && rank === null) note += "; the correct one got no vote";
  if (rank > candidates.length) note += `; the correct one is number ${rank} with ${counted(answers.rank_votes, "vote")}`;
  return element("div", { class: "votes" }, element("p", { class: "note", text: `${note}.` }),
    element("ol", { "aria-label": `Votes on ${label}` }, ...candidates.map((each) => voteBar(each, votes, test.input.grid))));
}

// How a prediction changed, behind a line that says how often.
function traceSlider(answers, test, label, id, side) {
  const count = answers.trace.length;
  if (!count) return null;
  const changes = answers.trace.filter((step) => step.figure).length;
  const summary = element("summary", { text: `${counted(changes, "prediction")} in ${count} supervision steps` });
  const details = element("details", { class: "trace" }, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(slider(answers, test, label, id, side));
  });
  return details;
}

function slider(answers, test, label, id, side) {
  const count = answers.trace.length, slot = element("div"), status = element("output", { for: id });
  const input = element("input", { type: "range", id, min: 1, max: count, value: count, step: 1 });
  const update = () => {
    const number = Number(input.value);
    const { figure } = answers.trace.slice(0, number).findLast((step) => step.figure);
    const text = `${number} of ${count}, halting probability ${percent(answers.trace[number - 1].halt_prob)}${spoken(figure)}`;
    status.textContent = text;
    input.setAttribute("aria-valuetext", text);
    slot.replaceChildren(figure.grid === null ? element("div", { class: "none", text: "no grid" }) : gridButton(figure, test.input.grid, side));
  };
  input.addEventListener("input", update);
  update();
  return element("div", {}, element("div", { class: "steps" }, element("label", { for: id, text: theme.numbered ? `Step for ${label}` : "Step" }), input, status), slot);
}

// The longest side of the grids that are given or correct; without a known output, of all.
function taskSide(task) {
  const figures = task.demonstrations.flat();
  for (const test of task.tests) {
    figures.push(test.input, ...(test.output ? [test.output] : test.answers.flatMap((each) => each.attempts)));
  }
  return Math.max(...figures.filter((figure) => figure && figure.grid !== null).map((figure) => longerSide(figure.grid)));
}

function demonstrationRow(task, side) {
  const pairs = task.demonstrations.map(([input, output]) => element("div", { class: "pair" },
    drawFigure(input, input.grid, null, side), element("span", { class: "arrow", "aria-hidden": "true", text: "→" }),
    output && drawFigure(output, input.grid, null, side)));
  return element("div", { class: "demonstrations" }, element("h4", { text: "Demonstrations" }), element("div", { class: "row" }, ...pairs));
}

// What is said in place of attempts, or about them.
function attemptsNote(answers) {
  if (!answers.attempts.length) return element("p", { class: "note", text: "No prediction." });
  return answers.is_guess ? element("p", { class: "note", text: "The model predicted no grid: both attempts are guesses." }) : null;
}

// One of two sets of predictions for a test: its attempts, and what else is known, behind a line.
function answersGroup(answers, index, draw, extras) {
  const name = element("h5", {}, element("b", { class: "letter", text: "AB"[index] }), ` ${data.names[index]}`);
  const more = extras.length ? element("details", { class: "extras" }, element("summary", { class: "note", text: `Votes of ${"AB"[index]}` }), ...extras) : null;
  return element("div", { class: "answers" }, name, element("div", { class: "row" }, ...answers.attempts.map(draw)), attemptsNote(answers), more);
}

function testSection(task, test, number, side) {
  const label = test.input.label.toLowerCase();
  const draw = (figure) => drawFigure(figure, test.input.grid, test.output, side);
  const extras = test.answers.map((answers, index) => {
    const id = `step-${task.number}-${number}-${index}`;
    return [votesList(answers, test, label), traceSlider(answers, test, label, id, side)].filter(Boolean);
  });
  const title = element("h4", { text: !theme.numbered ? "Puzzle" : task.tests.length > 1 ? `Test ${number + 1}` : "Test" });
  const output = test.output && draw(test.output);
  if (test.answers.length > 1) {
    return element("div", { class: "test several" },
      element("div", {}, title, element("div", { class: "row" }, draw(test.input), output)),
      element("div", { class: "sides" }, ...test.answers.map((answers, index) => answersGroup(answers, index, draw, extras[index]))));
  }
  const [answers] = test.answers;
  return element("div", { class: "test" }, theme.numbered ? title : null,
    element("div", { class: "row" }, draw(test.input), ...answers.attempts.map(draw), output), attemptsNote(answers), ...extras[0]);
}

function fillArticle(article, task) {
  const side = taskSide(task);
  const body = element("div", { class: "body" });
  const grids = element("div", { class: "grids", style: cellStyle(side) });
  body.append(grids);
  if (task.demonstrations.length) grids.append(demonstrationRow(task, side));
  task.tests.forEach((test, number) => grids.append(testSection(task, test, number, side)));
  const old = article.querySelector(".body");
  if (old) old.replaceWith(body); else article.append(body);
  article.dataset.filled = digits.checked ? "digits" : "colours";
}

const markOf = Object.fromEntries(data.outcomes.map((mark) => [mark.key, mark]));
function sign(mark) {
  return element("span", { class: `sign ${mark.style}`, "aria-hidden": "true", text: mark.sign });
}
const anchor = (task) => `task-${encodeURIComponent(task.id)}`; // means the same in every report
const list = find("tasks");
const articles = data.tasks.map((task, number) => {
  task.number = number;
  const mark = markOf[task.outcome];
  const sure = task.confidence === null || data.names.length > 1 ? ""
    : theme.numbered ? `best candidate: ${percent(task.confidence)} of the votes` : `halting probability ${percent(task.confidence)}`;
  return element("article", { id: anchor(task), "aria-labelledby": `name-${number}` },
    element("header", {},
      element("h3", { id: `name-${number}` }, element("a", { href: `#${anchor(task)}`, text: task.title })),
      element("span", { class: "outcome" }, sign(mark), ` ${mark.words}`),
      element("span", { class: "muted", text: sure })));
});
list.append(...articles);

const upToDate = (article) => article.dataset.filled === (digits.checked ? "digits" : "colours");
function fillIfNeeded(number) {
  if (!upToDate(articles[number])) fillArticle(articles[number], data.tasks[number]);
}
const numberOf = new Map(articles.map((article, number) => [article, number]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) fillIfNeeded(numberOf.get(entry.target));
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
    if (!moved) goToHash();
  });
}
digits.addEventListener("change", () => {
  delete document.body.dataset.complete;
  const height = window.innerHeight;
  articles.forEach((article, number) => {
    const { top, bottom } = article.getBoundingClientRect();
    if (!article.hidden && bottom > -600 && top < height + 600) fillIfNeeded(number);
  });
  fillRest();
});
