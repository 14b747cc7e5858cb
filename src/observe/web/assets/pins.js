// Pinned numbers: a value of a view over time, as a chart.

import { number } from "./charts.js";
import { read } from "./stream.js";
import { NONE, byId, count, make, put, visible } from "./text.js";

const PINS = 8;
const POINTS = 500;
const PAUSE = 1000; // between two requests of a pin

const pins = []; // { view, id, column, points, ... }
let changed = () => {};

const same = (pin, view, id, column) => pin.view === view && pin.id === id && pin.column === column;
export const isPinned = (view, id, column) => pins.some((pin) => same(pin, view, id, column));

/** Takes the pins from the page's address. `changes` is called when there are others. */
export function restore(place, changes) {
  for (const text of place.getAll("pin").slice(0, PINS)) {
    try {
      const [view, id, column] = JSON.parse(text).map(String);
      if (!isPinned(view, id, column)) add({ view, id, column });
    } catch {
      // Not an address that this page has made.
    }
  }
  changed = changes;
  show();
}

/** The pins, for the page's address. */
export function kept(to) {
  for (const { view, id, column } of pins) to.append("pin", JSON.stringify([view, id, column]));
}

/** Pins a number, or unpins it. */
export function toggle({ view, id, column }) {
  const at = pins.findIndex((pin) => same(pin, view, id, column));
  if (at >= 0) remove(pins[at]);
  else if (pins.length < PINS) add({ view, id, column });
  else put(byId("pins-note"), `At most ${PINS} numbers can be pinned; unpin one first.`);
  show();
  changed();
}

function show() {
  byId("pins").hidden = pins.length === 0;
  if (pins.length < PINS) put(byId("pins-note"), "Points are added while this page is open. Its address keeps the pins.");
}

/** The subject of a row as text: the values of its keys. */
function subject(id) {
  try {
    return JSON.parse(id).map((value) => value ?? "NULL").join(", ");
  } catch {
    return id;
  }
}

function add(pin) {
  const of = visible(subject(pin.id));
  const title = of ? `${visible(pin.column)} of ${of}` : visible(pin.column);
  const figure = byId("pin-list").appendChild(make("figure"));
  const caption = figure.appendChild(make("figcaption"));
  const name = caption.appendChild(make("span", "what", title));
  name.title = title;
  caption.append(make("small", "", visible(pin.view)), make("output", "", NONE), make("button", "", "Unpin"));
  const button = caption.lastChild;
  button.type = "button";
  button.setAttribute("aria-label", `Unpin ${title} in ${visible(pin.view)}`);
  const element = figure.appendChild(make("div", "chart"));
  element.setAttribute("role", "img");
  Object.assign(pin, { figure, element, title, output: caption.querySelector("output"), points: new Map(), read: -1, at: 0, chart: number(element) });
  button.addEventListener("click", () => toggle(pin));
  pins.push(pin);
}

function remove(pin) {
  pins.splice(pins.indexOf(pin), 1);
  pin.chart.destroy();
  pin.figure.remove();
}

/** Reads the numbers of views that have changed. */
export function status(now) {
  for (const pin of pins) {
    const changes = now.views[pin.view]?.changes ?? 0;
    if (changes === pin.read || Date.now() - pin.at < PAUSE) continue;
    [pin.read, pin.at] = [changes, Date.now()];
    update(pin);
  }
}

async function update(pin) {
  const query = new URLSearchParams({ id: pin.id, limit: 200 });
  const view = await read(`/api/v1/views/${encodeURIComponent(pin.view)}/rows?${query}`);
  const place = (name) => view?.columns.findIndex((column) => column.name === name) ?? -1;
  const [at, time] = [place(pin.column), place(view?.time)];
  const rows = view?.found.list ?? [];
  if (at < 0 || rows.length === 0) {
    put(pin.output, NONE);
    pin.output.title = "no longer among the rows of the view that are kept";
    return;
  }
  const value = (row) => (row.values[at] === null ? null : Number(row.values[at]));
  if (time >= 0) {
    // The newest row of a time is its last one here.
    for (const row of rows.toReversed()) {
      const when = Date.parse(`${row.values[time]?.replace(" ", "T")}Z`);
      if (Number.isFinite(when)) pin.points.set(when / 1000, value(row));
    }
  } else if (view.changed) {
    pin.points.set(view.changed / 1000, value(rows[0]));
  }
  const points = [...pin.points].sort((a, b) => a[0] - b[0]).slice(-POINTS);
  pin.points = new Map(points);
  const latest = rows[0].values[at];
  const whole = Number.isInteger(Number(latest));
  put(pin.output, latest === null ? NONE : whole ? count(Number(latest)) : String(+Number(latest).toPrecision(9)));
  pin.output.title = latest ?? "NULL";
  pin.chart.setData([points.map(([when]) => when), points.map(([, value]) => value)]);
  pin.element.setAttribute("aria-label", `${pin.title}: ${count(points.length)} points, now ${pin.output.textContent}`);
}
