"use strict";
// Everything on this page comes from the JSON in #data; text is added as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const theme = data.theme;
const SVG = "http://www.w3.org/2000/svg";
const SIDE = 240, LARGEST = 24, THUMBNAIL = 48; // px of a grid's longer side, of a cell, of a candidate
const CROSS = 12; // px of the smallest cell in which a cross can be read
const find = (id) => document.getElementById(id);
const digits = find("digits");
const hasText = () => digits.checked || theme.symbols; // in every cell
const valueOf = (digit) => parseInt(digit, 36);
const symbolOf = (value) => (theme.symbols ? theme.symbols[value] : String(value));
const isLight = theme.colours.map((colour) => {
  const [r, g, b] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 120;
});

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
const longerSide = (grid) => Math.max(rowsOf(grid).length, rowsOf(grid)[0].length);
const sizeOf = (grid) => `${rowsOf(grid).length} × ${rowsOf(grid)[0].length}`;
const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const spoken = (figure) => (figure.grid === null ? ", no grid" : figure.verdict ? `, ${figure.verdict}` : "");

// A verdict is a sign and a word, so that it does not need colour.
function verdictMark(verdict) {
  return verdict === "wrong"
    ? element("span", { class: "verdict bad", text: "✗ wrong" })
    : element("span", { class: "verdict good", text: `✓ ${verdict}` });
}

function describe(figure) {
  const rows = rowsOf(figure.grid);
  const spelt = hasText() ? `: ${rows.map((row) => [...row].map((digit) => theme.characters[valueOf(digit)]).join(" ")).join("; ")}` : "";
  return `${figure.label}, ${rows.length} rows of ${rows[0].length}${spoken(figure)}${spelt}`;
}

function wrongCells(figure) {
  if (!figure.wrong_cells) return [];
  const isWrong = (index) => (parseInt(figure.wrong_cells[index >> 2], 16) >> (3 - (index % 4))) & 1;
  const cells = rowsOf(figure.grid).join("").length;
  return Array.from({ length: cells }, (_, index) => index).filter(isWrong);
}

// A cross; where a cross would be too small a square; a frame around what is written in a cell.
function wrongPath(x, y, cell) {
  if (hasText()) return `M${x + 0.11} ${y + 0.11}h.78v.78h-.78z`;
  return cell < CROSS ? `M${x + 0.3} ${y + 0.3}h.4v.4h-.4z` : `M${x + 0.2} ${y + 0.2}l.6 .6m0 -.6l-.6 .6`;
}

// `cell` is about the pixels of a cell; the page's style says how large it is.
function drawGrid(figure, question, cell) {
  const rows = rowsOf(figure.grid), height = rows.length, width = rows[0].length;
  const given = theme.given && question.length === figure.grid.length ? rowsOf(question) : null;
  const svg = svgElement("svg", {
    class: "grid", role: "img", viewBox: `0 0 ${width} ${height}`, "aria-label": describe(figure),
    style: `--columns:${width};--rows:${height}`,
  });
  const paths = {}, inks = {};
  const gap = cell < CROSS ? 0.05 : 0.03;
  rows.forEach((row, y) => [...row].forEach((digit, x) => {
    const value = valueOf(digit);
    const fill = given && value !== 0 && given[y][x] === digit ? theme.given : theme.colours[value];
    paths[fill] = (paths[fill] || "") + `M${x + gap} ${y + gap}h${1 - 2 * gap}v${1 - 2 * gap}h-${1 - 2 * gap}z`;
    if (symbolOf(value) === " " || !hasText()) return;
    const ink = (inks[isLight[value] ? "ink-dark" : "ink-light"] ||= { text: "", x: [], y: [] });
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
    svg.append(svgElement("path", { d, class: "boxes" }));
  }
  for (const [ink, { text, x, y }] of Object.entries(inks)) {
    svg.append(svgElement("text", { x: x.join(" "), y: y.join(" "), class: ink }, text));
  }
  const wrong = wrongCells(figure);
  if (wrong.length) {
    const d = wrong.map((index) => wrongPath(index % width, Math.floor(index / width), cell)).join("");
    const small = cell < CROSS && !hasText() ? " small" : "";
    svg.append(svgElement("path", { d, class: `halo${small}` }), svgElement("path", { d, class: `wrong-cells${small}` }));
  }
  return svg;
}

// All grids of a task have cells of one size, except for answers that are larger than all others.
// On a phone the cells are so small that two grids fit side by side.
function cellSize(side) {
  return Math.min(LARGEST, SIDE / side, (find("tasks").clientWidth / 2 - 40) / side);
}
function cellStyle(side) {
  return `--cell:min(${Math.min(LARGEST, SIDE / side).toFixed(2)}px,calc((50cqi - 1.75rem)/${side}))`;
}

// A grid that can be selected to enlarge it; larger ones than `side` have smaller cells.
function gridButton(figure, question, side, cell) {
  const own = longerSide(figure.grid);
  const drawn = drawGrid(figure, question, cell || cellSize(Math.max(own, side)));
  const button = element("button", { type: "button", class: "enlarge", "aria-haspopup": "dialog" }, drawn);
  if (own > side) button.setAttribute("style", cellStyle(own));
  button.addEventListener("click", () => enlarge(figure, question));
  return button;
}

// A figure of a pair: `question` says which cells are given, `output` what is correct if known.
function drawFigure(figure, question, output, side) {
  const caption = element("figcaption", { text: `${figure.label} ` });
  if (figure.grid === null) {
    return element("figure", {}, caption, element("div", { class: "none", text: "no grid" }));
  }
  if (figure.verdict) caption.append(verdictMark(figure.verdict));
  return element("figure", {}, caption, gridButton(figure, question, side),
    element("div", { class: "size", text: sizeText(figure, output, side) }));
}

function sizeText(figure, output, side) {
  const parts = [sizeOf(figure.grid)], wrong = wrongCells(figure).length;
  if (wrong) parts.push(`${counted(wrong, "cell")} wrong`);
  if (figure.verdict === "wrong" && output && sizeOf(output.grid) !== parts[0]) parts.push(`correct is ${sizeOf(output.grid)}`);
  if (longerSide(figure.grid) > side) parts.push("drawn smaller");
  return parts.join(", ");
}

const dialog = find("enlarged");
function enlarge(figure, question) {
  const rows = rowsOf(figure.grid);
  const title = find("enlarged-title");
  title.replaceChildren(`${figure.label} `);
  if (figure.verdict) title.append(verdictMark(figure.verdict));
  title.append(element("small", { text: ` ${sizeText(figure, null, 99)}` }));
  const size = `--cell:min(3rem,calc((100vw - 4rem)/${rows[0].length}),calc((100vh - 9rem)/${rows.length}))`;
  find("enlarged-grid").replaceChildren(element("div", { style: size }, drawGrid(figure, question, LARGEST)));
  dialog.showModal();
}
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
