// The views of the job, of any shape: their list, and the current rows of one.

import { isPinned, toggle } from "./pins.js";
import { NONE, byId, compact, count, duration, fill, make, put, visible } from "./text.js";

const PAGE = 50;
const NUMBERS = new Set(["integer", "decimal", "double"]);
const SHAPES = {
  rows: "rows without groups",
  groups: "one row per group, updated in place",
  windows: "one row per group and window, updated in place",
  history: "one row per group and commit that changed it",
};

let all = []; // the views, as in the first event
let numbers = {}; // by view, as in the last status
let shown = null; // the last rows
let drawn = ""; // what the rows in the table were asked for
let reopen = () => {};
const asked = { view: null, search: "", sort: "", order: "asc", offset: 0 };

const list = byId("view-table").tBodies[0];
const table = byId("row-table");
const head = table.tHead.rows[0];
const body = table.tBodies[0];

/** Takes the selection from the page's address. `opens` opens another stream for another selection. */
export function restore(place, opens) {
  reopen = opens;
  asked.view = place.get("view");
  asked.search = place.get("view_search") ?? "";
  asked.sort = place.get("view_sort") ?? "";
  asked.order = place.get("view_order") === "desc" ? "desc" : "asc";
  byId("view-search").value = asked.search;
}

/** The selection, for the page's address. */
export function kept(to) {
  if (asked.view !== null) to.set("view", asked.view);
  if (asked.search) to.set("view_search", asked.search);
  if (asked.sort) to.set("view_sort", asked.sort), to.set("view_order", asked.order);
}

/** The selection, for the request. */
export function query(to) {
  if (asked.view === null) return;
  kept(to);
  to.set("view_offset", asked.offset);
}

function ask(more) {
  Object.assign(asked, more);
  reopen();
}

/** Takes the views of the job. Without trucks, the first one is shown. */
export function about(views, showsTrucks) {
  all = views;
  const first = all.find((view) => view.name !== "dead_letters") ?? all[0];
  if (asked.view === null && !showsTrucks && first) choose(first.name);
}

/** Updates the list. `rate` is the growth of a number of statuses per second. */
export function status(now, rate) {
  numbers = now.views;
  fill(list, all, (row, view) => {
    if (!row.cells.length) {
      row.appendChild(make("td")).appendChild(make("button")).type = "button";
      for (const kind of ["r", "r", "r wide"]) row.appendChild(make("td", kind));
    }
    const is = numbers[view.name] ?? view;
    row.dataset.name = view.name;
    current(row);
    const [name, rows, flow, last] = row.cells;
    put(name.firstChild, visible(view.name));
    put(rows, is.complete ? count(is.rows) : `+${count(is.rows)}`);
    rows.title = is.complete ? "" : "since the job started; there are earlier rows";
    put(flow, compact(rate((status) => status.views[view.name]?.changes ?? 0)));
    put(last, is.changed ? `${duration(Math.max(1, Math.round((now.now - is.changed) / 1000)))} ago` : NONE);
  });
}

function current(row) {
  if (row.dataset.name === asked.view) row.setAttribute("aria-current", "true");
  else row.removeAttribute("aria-current");
}

function choose(view, scroll) {
  if (view === asked.view) return;
  byId("view-search").value = "";
  shown = null;
  ask({ view, search: "", sort: "", order: "asc", offset: 0 });
  for (const row of list.rows) current(row);
  if (scroll && matchMedia("(max-width: 1080px)").matches) byId("view").scrollIntoView({ block: "start" });
}

/** Shows the rows of the selected view; null if the job has no such view. */
export function rows(now) {
  put(byId("view-title"), visible(asked.view));
  for (const part of byId("view").querySelectorAll(".search, .pages")) part.hidden = now === null;
  if (now === null) {
    put(byId("view-note"), "The job has no view with this name.");
    return;
  }
  shown = now;
  const sinks = [now.table && `table ${visible(now.table)}`, now.file && `file ${visible(now.file)}`];
  const changes = now.shape === "groups" || now.shape === "windows";
  const earlier = now.complete ? "" : `Rows from before the job started ${changes ? "appear when they change" : "are not shown"}.`;
  put(byId("view-note"), [SHAPES[now.shape], ...sinks, earlier].filter(Boolean).join(" · "));
  heads(now.columns);
  const { found } = now;
  const request = JSON.stringify(asked);
  const held = drawn === request && (body.matches(":hover") || body.contains(document.activeElement));
  if (held) {
    // Rows must not move while one is hovered or focused.
    const news = new Map(found.list.map((row) => [key(row), row]));
    for (const element of body.rows) if (news.has(element.dataset.key)) write(element, news.get(element.dataset.key));
  } else {
    fill(body, found.list, write);
  }
  drawn = request;
  roving();
  const none = byId("no-rows");
  none.hidden = found.list.length > 0;
  put(none, asked.search ? `No value contains “${visible(asked.search)}”.` : now.complete ? "No rows yet." : "No row has changed since the job started.");
  const from = found.offset + 1;
  const of = found.matching === found.kept ? count(found.kept) : `${count(found.matching)} found of ${count(found.kept)}`;
  const left = now.complete && now.rows > found.kept ? `: the last changed of ${count(now.rows)} rows` : "";
  put(byId("row-range"), found.list.length ? `${count(from)}–${count(from + found.list.length - 1)} of ${of}${left}` : "");
  byId("rows-before").disabled = found.offset === 0;
  byId("rows-after").disabled = found.offset + found.list.length >= found.matching;
}

/** What a row is known by on the page. */
const key = (row) => JSON.stringify([row.id, row.values[shown.columns.findIndex((column) => column.name === shown.time)] ?? null]);

function heads(columns) {
  const names = columns.map((column) => column.name);
  if (head.dataset.names !== JSON.stringify(names)) {
    head.dataset.names = JSON.stringify(names);
    head.replaceChildren(...columns.map((column) => {
      const cell = make("th", NUMBERS.has(column.type) ? "r" : "");
      cell.scope = "col";
      cell.dataset.sort = column.name;
      cell.appendChild(make("button", "", visible(column.name))).type = "button";
      return cell;
    }));
    body.replaceChildren();
  }
  for (const cell of head.cells) {
    if (cell.dataset.sort === asked.sort) cell.setAttribute("aria-sort", asked.order === "desc" ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  }
}

function write(element, row) {
  element.dataset.key = key(row);
  shown.columns.forEach((column, at) => {
    const value = row.values[at];
    const isNumber = NUMBERS.has(column.type);
    const cell = element.cells[at] ?? element.appendChild(make("td", isNumber ? "r" : ""));
    if (!isNumber || value === null) {
      put(cell, text(value, column.type));
      cell.title = value === null ? "NULL" : visible(value);
      return;
    }
    let button = cell.querySelector("button");
    if (!button) {
      cell.replaceChildren((button = make("button", "pin")));
      button.type = "button";
    }
    put(button, text(value, column.type));
    const on = isPinned(shown.name, row.id, column.name);
    button.setAttribute("aria-pressed", on);
    button.title = `${value}\n${on ? "Unpin" : "Pin as a chart"}`;
    Object.assign(button.dataset, { id: row.id, column: column.name });
  });
}

/** A value as it is shown; the complete one is the title. */
function text(value, type) {
  if (value === null) return NONE;
  if (type === "timestamp") return value.replace(/\.000000$/, "");
  if (type === "integer") return count(BigInt(value));
  if (type === "double" || (type === "decimal" && value.length > 16)) return String(+Number(value).toPrecision(9));
  return visible(value);
}

/** One cell of the table is reached by Tab, the others by the arrow keys. */
function roving(to) {
  const buttons = [...body.querySelectorAll("button.pin")];
  const one = to ?? buttons.find((button) => button === document.activeElement || button.tabIndex === 0) ?? buttons[0];
  for (const button of buttons) button.tabIndex = button === one ? 0 : -1;
}

/** Marks the pinned cells of the table. */
export function mark() {
  for (const button of body.querySelectorAll("button.pin")) button.setAttribute("aria-pressed", isPinned(shown.name, button.dataset.id, button.dataset.column));
}

list.addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row) choose(row.dataset.name, true);
});
list.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const row = event.target.closest("tr");
  if (!by || !row) return;
  event.preventDefault();
  list.rows[row.rowIndex - 1 + by]?.querySelector("button").focus();
});
head.addEventListener("click", (event) => {
  const sort = event.target.closest("th")?.dataset.sort;
  if (sort === undefined) return;
  const first = shown.columns.some((column) => column.name === sort && NUMBERS.has(column.type)) ? "desc" : "asc";
  const second = first === "desc" ? "asc" : "desc";
  // The third time, those that changed last are first again.
  if (asked.sort !== sort) ask({ sort, order: first, offset: 0 });
  else if (asked.order === first) ask({ order: second, offset: 0 });
  else ask({ sort: "", order: "asc", offset: 0 });
});
body.addEventListener("click", (event) => {
  const button = event.target.closest("button.pin");
  if (!button) return;
  roving(button);
  toggle({ view: shown.name, id: button.dataset.id, column: button.dataset.column });
});
body.addEventListener("keydown", (event) => {
  const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
  const cell = event.target.closest("td");
  if (!cell || (!down && !right)) return;
  event.preventDefault();
  let [row, at] = [cell.parentElement.rowIndex - 1, cell.cellIndex];
  for (;;) {
    [row, at] = [row + down, at + right];
    const next = body.rows[row]?.cells[at];
    if (!next) return;
    const button = next.querySelector("button.pin");
    if (button) {
      roving(button);
      button.focus();
      return;
    }
  }
});
byId("rows-before").addEventListener("click", () => ask({ offset: Math.max(0, asked.offset - PAGE) }));
byId("rows-after").addEventListener("click", () => ask({ offset: asked.offset + PAGE }));
let typing;
byId("view-search").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => ask({ search: event.target.value, offset: 0 }), 200);
});
