// The live page, updated by one stream of events.

import { commits as commitsChart, correlation } from "./charts.js";
import { graph } from "./graph.js";
import { letters, reasons } from "./letters.js";
import * as pins from "./pins.js";
import { listen, read, token } from "./stream.js";
import { NONE, byId, clock, compact, count, counted, duration, fill, make, measure, name, percent, put, r, sentence, time, visible } from "./text.js";
import * as views from "./views.js";

const PAGE = 50;
const WINDOW = 10_000; // rates are averages over the last ten seconds
const POINTS = 2000;

const state = {
  instance: null,
  about: null,
  status: null,
  past: [], // statuses of the last ten seconds
  asked: { search: "", sort: "name", offset: 0 },
  rows: [],
  matching: 0,
  truck: null, // the name of the selected truck
  row: null,
  points: [[], [], []],
  commits: [],
  heard: 0,
  link: "opening",
  stop: null,
  draw: null,
  plan: null,
};

// The selection is kept in the address, so that it survives a reload or a restart of the job.
const place = new URLSearchParams(location.hash.slice(1));
state.asked.search = place.get("search") ?? "";
state.asked.sort = place.get("sort") || "name";
state.truck = place.get("truck");
byId("search").value = state.asked.search;

function remember() {
  const kept = new URLSearchParams();
  views.kept(kept);
  pins.kept(kept);
  if (state.truck !== null) kept.set("truck", state.truck);
  if (state.asked.search) kept.set("search", state.asked.search);
  if (state.asked.sort !== "name") kept.set("sort", state.asked.sort);
  history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname);
}

const charts = {
  distance: correlation(byId("chart-distance"), "--distance"),
  speed: correlation(byId("chart-speed"), "--speed"),
  commits: commitsChart(byId("chart-commits")),
};

// The stream.

function open() {
  state.stop?.();
  const query = new URLSearchParams({ ...state.asked, limit: PAGE });
  if (state.truck !== null) query.set("truck", state.truck);
  views.query(query);
  state.stop = listen(`/api/v1/events?${query}`, { news, lost, refused });
}

function news(event) {
  if (state.instance !== null && state.instance !== event.instance) {
    location.reload(); // another run of the job: discard all data
    return;
  }
  state.instance = event.instance;
  state.heard = Date.now();
  if (event.about) about(event.about);
  status(event.status);
  views.status(event.status, rate);
  pins.status(event.status);
  if (event.view !== undefined) views.rows(event.view);
  link(event.status.doing === "ended" ? "ended" : "live");
  if (event.commits.length) commits(event.commits);
  if (event.trucks) trucks(event.trucks);
  else if (event.changed) event.changed.forEach(change);
  if (event.truck !== undefined) truck(event.truck);
  letters(event.status.letters);
}

function lost(said) {
  if (state.link !== "ended") link("gone", said);
}

function refused() {
  link("opening");
  put(byId("doing"), "The job requires a token.");
  const ask = byId("ask");
  if (!ask.open) ask.showModal();
}

byId("ask").addEventListener("close", () => {
  token.set(byId("token").value.trim());
  byId("token").value = "";
  open();
});

function link(now, said) {
  if (state.link === now && now !== "gone") return;
  state.link = now;
  document.body.dataset.link = now;
  const gone = byId("gone");
  const over = now === "gone" || now === "ended";
  gone.hidden = !over;
  if (!over) return;
  const since = state.heard ? ` Last update at ${new Date(state.heard).toLocaleTimeString("en-GB")}.` : "";
  const expected = state.status?.doing === "stopping" || now === "ended";
  put(byId("gone-title"), now === "ended" ? "The job has ended." : expected ? "The job has stopped." : "Lost the connection to the job.");
  const text = said || (now === "ended" ? state.status.text : expected ? "It was stopped by a request." : "The job does not respond.");
  put(byId("gone-text"), `${visible(text.trim())}${since} The page reconnects automatically when the job is restarted.`);
  const pill = byId("state");
  pill.dataset.state = "gone";
  put(pill, now === "ended" ? "ended" : expected ? "stopped" : "disconnected");
  put(byId("doing"), "");
  put(byId("eta"), "");
}

// The job.

function about(now) {
  state.about = now;
  const { job, source, workers, processes } = now;
  const of = counted(workers, "worker");
  const where = processes > 1 ? `${processes} processes of ${of}` : of;
  put(byId("about"), `job ${job} · ${source} · ${where}`);
  document.title = `${job} · truckflow`;
  put(byId("window-length"), `of ${now.window}`);
  byId("windows").parentElement.hidden = !has("window_averages");
  for (const part of document.querySelectorAll(".of-trucks")) part.hidden = !now.shows_trucks;
  views.about(now.views, now.shows_trucks);
}

const has = (view) => state.about.views.some(({ name }) => name === view);

const STATES = { starting: "starting", reading: "reading", idle: "idle", behind: "behind", waiting: "waiting", stopping: "stopping", ended: "ended" };

function status(now) {
  const first = state.status === null;
  state.status = now;
  state.past.push(now);
  while (state.past.length > 2 && now.now - state.past[1].now > WINDOW) state.past.shift();
  const pill = byId("state");
  pill.dataset.state = now.doing;
  put(pill, STATES[now.doing] ?? now.doing);
  put(byId("doing"), visible(now.text));
  byId("warning").hidden = !now.warning;
  put(byId("warning"), now.warning ? visible(sentence(now.warning)) : "");
  put(byId("n-records"), count(now.records));
  put(byId("n-trucks"), count(now.trucks));
  put(byId("n-event"), now.event_time ? `until ${time(now.event_time * 1e6)}` : "none yet");
  const flow = rate((at) => at.messages);
  put(byId("n-rate"), `${compact(flow)}/s${now.rejected > 0 ? `, ${count(now.rejected)} rejected` : ""}`);
  put(byId("n-lag"), now.lag == null ? NONE : count(now.lag));
  const left = now.lag > 0 && flow > 0 ? now.lag / flow : null;
  put(byId("eta"), left > 5 ? `About ${duration(left)} left at this rate.` : "");
  put(byId("n-lag-note"), now.lag == null ? "not measured for this source" : now.lag === 0 ? "everything is committed" : "messages, in all partitions");
  put(byId("n-letters"), count(now.letters));
  partitions(now);
  const busiest = Object.entries(now.dead_letters).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  put(byId("n-letters-note"), busiest.length ? `most: ${busiest[0][0]}` : "since the job started");
  reasons(busiest);
  tick();
  if (first || (state.draw === null && now.doing !== "starting")) plan();
  dataflow();
}

/** The growth of a counter per second. */
function rate(of) {
  const [from, to] = [state.past[0], state.past.at(-1)];
  return to.now > from.now ? Math.max(0, (of(to) - of(from)) / ((to.now - from.now) / 1000)) : 0;
}

function partitions(now) {
  const most = Math.max(1, ...now.partitions.map((partition) => partition.lag ?? 0));
  const several = new Set(now.partitions.map((partition) => partition.topic)).size > 1;
  const body = byId("partitions").tBodies[0];
  fill(body, now.partitions, (row, partition) => {
    const cells = row.cells.length ? row.cells : ["", "r", "r", ""].map((kind) => row.appendChild(make("td", kind)));
    put(cells[0], several ? `${partition.topic} ${partition.partition}` : String(partition.partition));
    put(cells[1], count(partition.consumed));
    put(cells[2], count(partition.lag));
    const share = cells[3].firstChild ?? cells[3].appendChild(make("span", "share"));
    const part = share.firstChild ?? share.appendChild(make("i"));
    part.style.width = `${(100 * (partition.lag ?? 0)) / most}%`;
  });
  const more = now.partition_count - now.partitions.length;
  const topic = now.partitions.length && !several ? `${now.partitions[0].topic}: ` : "";
  put(byId("lag-note"), `${topic}${counted(now.partition_count, "partition")}, largest lag first${more > 0 ? `; ${count(more)} more are not shown` : ""}`);
}

function commits(more) {
  const last = state.commits.at(-1)?.epoch ?? -1; // a new stream repeats earlier commits
  state.commits.push(...more.filter((commit) => commit.epoch > last));
  state.commits.splice(0, Math.max(0, state.commits.length - 300));
  const all = state.commits;
  charts.commits.setData([all.map((at) => at.at / 1000), all.map((at) => at.seconds), all.map((at) => at.messages)]);
  const sorted = all.map((at) => at.seconds).sort((a, b) => a - b);
  const at = (share) => duration(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]);
  put(byId("commits-note"), `The last ${sorted.length} commits: p50 ${at(0.5)}, p95 ${at(0.95)}. Bars: duration; line: messages.`);
}

/** Updates the values that change with time only. */
function tick() {
  const now = state.status;
  const last = state.commits.at(-1);
  if (!now || state.link !== "live") return;
  const clocked = now.now + (Date.now() - state.heard);
  put(byId("n-commit"), last ? `${duration(Math.max(1, Math.round((clocked - last.at) / 1000)))} ago` : NONE);
  put(byId("n-commit-note"), last ? `epoch ${count(last.epoch)}, took ${duration(last.seconds)}` : "none since the job started");
}
setInterval(tick, 1000);

// Trucks.

function row(element, now) {
  if (!element.cells.length) {
    const cell = element.appendChild(make("td"));
    cell.appendChild(make("button")).type = "button";
    for (const kind of ["r", "r", "r wide", "r", "r", "r wide", "r wide"]) element.appendChild(make("td", kind));
    [4, 5].forEach((at) => {
      element.cells[at].append(make("span"), make("span", at === 4 ? "gauge d" : "gauge s"));
      element.cells[at].lastChild.append(make("i"));
    });
  }
  const cells = element.cells;
  const button = cells[0].firstChild;
  put(button, visible(name(now.name)));
  button.title = visible(now.name);
  element.dataset.name = now.name;
  if (now.name === state.truck) element.setAttribute("aria-current", "true");
  else element.removeAttribute("aria-current");
  put(cells[1], measure(now.distance));
  put(cells[2], measure(now.speed));
  put(cells[3], measure(now.fuel));
  gauge(cells[4], now.distance_r);
  gauge(cells[5], now.speed_r);
  put(cells[6], count(now.samples));
  put(cells[7], clock(now.time, state.status.event_time * 1e6));
  cells[7].title = time(now.time);
}

function gauge(cell, value) {
  put(cell.firstChild, r(value));
  cell.title = value == null ? "undefined: fewer than two readings, or a constant measure" : String(value);
  const bar = cell.lastChild.firstChild;
  bar.style.left = `${50 + Math.min(0, value ?? 0) * 50}%`;
  bar.style.width = `${Math.abs(value ?? 0) * 50}%`;
}

const table = byId("truck-table");
const body = table.tBodies[0];

/** Rows must not move while one is hovered or focused. */
const held = () => body.matches(":hover") || body.contains(document.activeElement);

function trucks(list) {
  const same = state.rows.length === list.rows.length && state.shown === JSON.stringify(state.asked);
  state.matching = list.matching;
  if (same && held()) {
    list.rows.forEach(change);
  } else {
    const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.name : null;
    state.rows = list.rows.map((truck) => truck.name);
    state.shown = JSON.stringify(state.asked);
    fill(body, list.rows, row);
    if (focused !== null) element(focused)?.querySelector("button").focus();
  }
  const { offset, rows, matching, total } = list;
  const none = byId("no-trucks");
  none.hidden = rows.length > 0;
  put(none, state.asked.search ? `No truck's name contains “${visible(state.asked.search)}”.` : "No trucks yet. The first appear with the first commit.");
  const all = list.full ? "more than " : "";
  const of = matching === total ? `${all}${count(total)}` : `${count(matching)} found of ${all}${count(total)}`;
  put(byId("truck-range"), rows.length ? `${count(offset + 1)}–${count(offset + rows.length)} of ${of}` : "");
  byId("before").disabled = offset === 0;
  byId("after").disabled = offset + rows.length >= matching;
  if (state.truck === null && rows.length) choose(rows[0].name);
}

const element = (truck) => [...body.rows].find((row) => row.dataset.name === truck);

function change(now) {
  const found = element(now.name);
  if (found) row(found, now);
}

function ask(more) {
  state.asked = { ...state.asked, ...more };
  sorted();
  remember();
  open();
}

function sorted() {
  const [by, down] = state.asked.sort.startsWith("-") ? [state.asked.sort.slice(1), true] : [state.asked.sort, false];
  for (const head of table.tHead.rows[0].cells) {
    if (head.dataset.sort === by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

table.tHead.addEventListener("click", (event) => {
  const by = event.target.closest("th")?.dataset.sort;
  if (!by) return;
  const sort = state.asked.sort === by ? `-${by}` : state.asked.sort === `-${by}` ? by : by === "name" ? by : `-${by}`;
  ask({ sort, offset: 0 });
});
body.addEventListener("click", (event) => {
  const chosen = event.target.closest("tr");
  if (chosen) choose(chosen.dataset.name, true);
});
body.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const at = event.target.closest("tr");
  if (!by || !at) return;
  event.preventDefault();
  body.rows[at.rowIndex - 1 + by]?.querySelector("button").focus();
});
byId("before").addEventListener("click", () => ask({ offset: Math.max(0, state.asked.offset - PAGE) }));
byId("after").addEventListener("click", () => ask({ offset: state.asked.offset + PAGE }));
let typing;
byId("search").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => ask({ search: event.target.value, offset: 0 }), 200);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.target.closest("input, select, dialog")) {
    event.preventDefault();
    (byId("search").checkVisibility() ? byId("search") : byId("view-search")).focus();
  }
});

// One truck.

function choose(truck, scroll) {
  if (truck === state.truck) return;
  state.truck = truck;
  state.row = null;
  state.points = [[], [], []];
  for (const element of body.rows) {
    if (element.dataset.name === truck) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
  }
  remember();
  open();
  if (scroll && matchMedia("(max-width: 1080px)").matches) byId("truck").scrollIntoView({ block: "start" });
}

function truck(now) {
  put(byId("truck-title"), visible(name(state.truck)));
  if (now === null) {
    put(byId("truck-note"), "No committed readings of this truck yet.");
    return;
  }
  const { row, windows, past } = now;
  state.row = row;
  const [times, distances, speeds] = past ?? state.points;
  if (past) {
    state.points = past;
  } else {
    while (times.length && times.at(-1) >= row.time) [times, distances, speeds].forEach((all) => all.pop());
    times.push(row.time), distances.push(row.distance_r), speeds.push(row.speed_r);
    // Drop every second point, except the first and the last.
    if (times.length > POINTS) state.points = state.points.map((all) => all.filter((_, at) => at % 2 === 0 || at === all.length - 1));
  }
  put(byId("truck-note"), row.time == null ? "All of its readings were retracted." : `${count(row.samples)} ${row.samples === 1 ? "reading" : "readings"}, the latest at ${time(row.time)} UTC`);
  put(byId("t-distance"), measure(row.distance));
  put(byId("t-speed"), measure(row.speed));
  put(byId("t-fuel"), measure(row.fuel));
  byId("t-fuel-note").hidden = row.fuel != null || row.time == null || !has("parameter_map");
  for (const [kind, at] of [["distance", 1], ["speed", 2]]) {
    const value = row[`${kind}_r`];
    const shown = byId(`t-${kind}-r`);
    put(shown, r(value));
    shown.title = value == null ? "undefined: fewer than two readings, or a constant measure" : String(value);
    const points = state.points[at];
    charts[kind].setData([state.points[0].map((micros) => micros / 1e6), points]);
    const seen = points.filter((value) => value != null);
    byId(`chart-${kind}`).setAttribute("aria-label", seen.length
      ? `The correlation of ${kind === "distance" ? "distance" : "engine speed"} and time over ${seen.length} commits: between ${r(seen.reduce((a, b) => Math.min(a, b)))} and ${r(seen.reduce((a, b) => Math.max(a, b)))}, now ${r(value)}`
      : "No correlation yet");
  }
  const list = windows.toReversed();
  fill(byId("windows").tBodies[0], list, (element, window) => {
    const texts = [time(window.start).slice(5, 16), count(window.samples), measure(window.distance), measure(window.speed), measure(window.fuel), r(window.distance_r, 4), r(window.speed_r, 4)];
    texts.forEach((text, at) => put(element.cells[at] ?? element.appendChild(make("td", at ? "r" : "")), text));
  });
  byId("no-windows").hidden = list.length > 0;
}

// The dataflow.

async function plan() {
  const found = await read("/api/v1/graph");
  if (!found || state.draw) return;
  state.plan = found;
  state.draw = graph(byId("graph"), found);
  dataflow();
}

function dataflow() {
  if (!state.draw || state.past.length < 2) return;
  const { plan } = state;
  const [from, to] = [state.past[0], state.past.at(-1)];
  const micros = (to.now - from.now) * 1000;
  if (micros <= 0) return; // the same status, from a new stream
  const before = new Map(from.operators ?? []);
  const busy = new Map((to.operators ?? []).map(([id, total]) => [id, Math.max(0, total - (before.get(id) ?? 0)) / micros]));
  const views = {};
  for (const { id, view } of plan.operators) if (view) views[view] = (views[view] ?? 0) + (busy.get(id) ?? 0);
  const rows = {};
  for (const view of plan.views) {
    const of = (sink) => rate((at) => at.rows.find(([name, where]) => name === view.name && where === sink)?.[2] ?? 0);
    rows[view.name] = Math.max(of("table"), of("csv"));
  }
  state.draw({
    messages: rate((at) => at.messages),
    letters: rate((at) => at.letters),
    read: rate((at) => (at.read ?? 0) / 1e6),
    views,
    rows,
  });
  if (!byId("operators").open) return;
  const total = new Map(to.operators ?? []);
  const sent = new Map(to.channels ?? []);
  const over = (id, end) => plan.channels.filter((channel) => channel[end] === id).reduce((sum, channel) => sum + (sent.get(channel.id) ?? 0), 0);
  const list = plan.operators.filter(({ id }) => total.has(id)).sort((a, b) => (busy.get(b.id) ?? 0) - (busy.get(a.id) ?? 0) || total.get(b.id) - total.get(a.id)).slice(0, 40);
  fill(byId("operators").querySelector("tbody"), list, (element, operator) => {
    const texts = [operator.name, operator.view ?? "shared", percent(busy.get(operator.id) ?? 0), duration(total.get(operator.id) / 1e6), count(over(operator.id, "to")), count(over(operator.id, "from"))];
    texts.forEach((text, at) => put(element.cells[at] ?? element.appendChild(make("td", at > 1 ? "r" : "")), text));
  });
}
byId("operators").addEventListener("toggle", dataflow);

views.restore(place, () => {
  remember();
  open();
});
pins.restore(place, () => {
  remember();
  views.mark();
});
sorted();
open();
