// The overview: a mark for each task, filters, order, and keys.

const search = find("search"), order = find("order"), count = find("count"), keys = find("keys");
const strip = find("strip"), chips = find("outcomes");

const marks = data.tasks.map((task, number) => {
  const mark = markOf[task.outcome];
  const link = element("a", {
    href: `#${anchor(task)}`, class: `sign ${mark.style}`, text: mark.sign, tabindex: -1,
    title: `${task.title}: ${mark.words}`, "aria-label": `${task.title}: ${mark.words}`,
  });
  link.addEventListener("click", (event) => {
    event.preventDefault();
    history.pushState(null, "", link.hash); // so that the browser's "back" leads to the overview
    goTo(number);
  });
  return link;
});
strip.append(...marks);

// Filters: one outcome, or the tasks whose correct answer got votes in vain.
let chosen = "all";
const missed = data.tasks.filter((task) => task.correct_got_votes).length;
const filters = [
  { key: "all", words: `all ${data.noun}s`, size: data.tasks.length },
  ...data.outcomes.map((mark) => ({ ...mark, size: data.tasks.filter((task) => task.outcome === mark.key).length })),
];
if (missed && data.names.length === 1) filters.push({ key: "voted", words: "not right, but the correct answer got votes", size: missed });
const buttons = filters.map((each) => {
  const button = element("button", { type: "button", class: "chip", "data-key": each.key },
    each.sign ? sign(each) : null, ` ${each.words} `, element("b", { text: each.size }));
  button.addEventListener("click", () => choose(each.key));
  return button;
});
chips.append(...buttons);

function choose(key) {
  chosen = key;
  filter();
}
function matches(task) {
  if (!task.id.toLowerCase().includes(search.value.trim().toLowerCase())) return false;
  return chosen === "all" || (chosen === "voted" ? task.correct_got_votes : task.outcome === chosen);
}
function filter() {
  let shown = 0;
  data.tasks.forEach((task, number) => {
    const hit = matches(task);
    articles[number].hidden = marks[number].hidden = !hit;
    shown += hit;
  });
  for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.key === chosen);
  count.textContent = `${shown} of ${counted(articles.length, data.noun)}`;
  find("nothing").hidden = shown > 0;
  makeReachable(marks.find((mark) => !mark.hidden));
}

let sequence = data.tasks.map((_, number) => number); // numbers of the tasks in the order shown
function sort() {
  sequence = data.tasks.map((_, number) => number);
  if (order.value !== "data") {
    const direction = order.value === "sure" ? -1 : 1;
    sequence.sort((a, b) => direction * ((data.tasks[a].confidence ?? -1) - (data.tasks[b].confidence ?? -1)) || a - b);
  }
  list.append(...sequence.map((number) => articles[number]));
  strip.append(...sequence.map((number) => marks[number]));
}
search.addEventListener("input", filter);
order.addEventListener("change", sort);
find("reset").addEventListener("click", () => { search.value = ""; choose("all"); search.focus(); });
find("demonstrations").addEventListener("change", (event) => document.body.classList.toggle("brief", !event.target.checked));

// The strip is one stop of the Tab key; arrow keys move within it.
function makeReachable(mark) {
  for (const each of marks) each.tabIndex = -1;
  if (mark) mark.tabIndex = 0;
}
strip.addEventListener("keydown", (event) => {
  const shown = sequence.map((number) => marks[number]).filter((mark) => !mark.hidden);
  const here = shown.indexOf(document.activeElement);
  const target = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: shown.length - 1 }[event.key];
  if (target === undefined || here < 0) return;
  event.preventDefault();
  const mark = shown[Math.min(Math.max(target, 0), shown.length - 1)];
  makeReachable(mark);
  mark.focus();
});

// Going to a task. Those above it grow while they are filled, which moves it away again.
let moved = false, jumps = 0;
for (const event of ["wheel", "keydown", "pointerdown", "touchstart", "popstate"]) {
  addEventListener(event, () => { moved = true; jumps += 1; }, { passive: true });
}
let current = -1; // the task that was gone to last
function goTo(number) {
  if (current >= 0) marks[current].removeAttribute("aria-current");
  current = number;
  marks[number].setAttribute("aria-current", "true");
  makeReachable(marks[number]);
  fillIfNeeded(number);
  const article = articles[number];
  history.replaceState(null, "", `#${article.id}`);
  article.querySelector("h3 a").focus({ preventScroll: true });
  showArticle(article);
}
function showArticle(article, frames = 10, jump = jumps) {
  if (jump !== jumps) return; // the reader has gone on
  article.scrollIntoView();
  if (frames) requestAnimationFrame(() => showArticle(article, frames - 1, jump));
}
function goToHash() {
  const number = articles.findIndex((article) => `#${article.id}` === location.hash);
  if (number < 0) return;
  fillIfNeeded(number);
  showArticle(articles[number]);
}

const always = () => true;
const STEPS = { j: [1, always], k: [-1, always], w: [1, wrong], W: [-1, wrong], c: [1, close], C: [-1, close] };
function wrong(task) { return data.wrong.includes(task.outcome); }
function close(task) { return data.close.includes(task.outcome); }

function step(direction, wanted) {
  const shown = sequence.filter((number) => !articles[number].hidden);
  const focused = document.activeElement.closest("article");
  const here = shown.indexOf(focused ? numberOf.get(focused) : current);
  const rest = direction > 0 ? shown.slice(here + 1) : shown.slice(0, Math.max(here, 0)).reverse();
  const next = rest.find((number) => wanted(data.tasks[number]));
  if (next !== undefined) goTo(next);
  else count.textContent = `no ${direction > 0 ? "further" : "earlier"} one of ${counted(shown.length, data.noun)} shown`;
}
addEventListener("keydown", (event) => {
  const types = event.target.closest("input:not([type=checkbox], [type=range]), select, textarea, dialog");
  if (!keys.checked || types || event.ctrlKey || event.metaKey || event.altKey || !(event.key in STEPS)) return;
  event.preventDefault();
  step(...STEPS[event.key]);
});

addEventListener("beforeprint", () => { for (const each of document.querySelectorAll("header details, .results details, .sections details")) each.open = true; });

if (data.names.length > 1) order.closest("label").hidden = true;
document.body.classList.toggle("single", data.tasks.length === 1);
filter();
find("gallery").hidden = false;
goToHash();
fillRest();
document.body.dataset.ready = "true";
