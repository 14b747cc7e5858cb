// Draws the dataflow: sources, views and sinks.

import { compact, percent } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const ROW = 42;
const BOX = 30;
const [SOURCE, READ, VIEW, SINK] = [[10, 190], [270, 160], [520, 240], [822, 280]];

function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Truncates a text to a width in pixels. */
function cut(text, width) {
  const room = Math.floor(width / 6.8);
  return text.length > room ? text.slice(0, room - 1) + "…" : text;
}

/** Draws a plan, and returns a function that updates its rates and loads. */
export function graph(svg, plan) {
  const views = plan.views.filter((view) => view.file || view.table || view.topic);
  const height = views.length * ROW + 20;
  svg.setAttribute("viewBox", `0 0 1110 ${height}`);
  svg.replaceChildren();
  const edges = draw("g", {});
  const boxes = draw("g", {});
  svg.append(edges, boxes);
  const at = (place) => 10 + place * ROW;
  const shown = [];

  const box = ([x, width], y, label, meter) => {
    const frame = draw("rect", { x, y, width, height: BOX, rx: 6, class: "box" });
    const title = draw("text", { x: x + 10, y: y + (meter ? 14 : 19) }, cut(label, width - (meter ? 62 : 20)));
    title.append(draw("title", {}, label));
    boxes.append(frame, title);
    if (!meter) return;
    const value = draw("text", { x: x + width - 10, y: y + 14, "text-anchor": "end", class: "soft" });
    const bar = draw("rect", { x: x + 10, y: y + 20, width: 0, height: 4, rx: 2, class: "busy" });
    boxes.append(draw("rect", { x: x + 10, y: y + 20, width: width - 20, height: 4, rx: 2, class: "track" }), bar, value);
    shown.push((now) => {
      const share = meter(now);
      bar.setAttribute("width", Math.min(share, 1) * (width - 20));
      value.textContent = share == null ? "" : percent(share);
      for (const part of [bar, frame]) part.classList.toggle("hot", share > 0.5);
    });
  };
  const edge = (x1, y1, x2, y2, rate) => {
    const middle = (x1 + x2) / 2;
    const line = draw("path", { d: `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`, class: "edge", "stroke-width": 1 });
    edges.append(line);
    const tag = draw("text", { x: x2 - 8, y: y2 + 4, "text-anchor": "end", class: "soft rate" });
    boxes.append(tag);
    shown.push((now) => {
      const value = rate(now);
      line.classList.toggle("flows", value > 0);
      line.setAttribute("stroke-width", value > 0 ? Math.min(1 + Math.log10(1 + value) / 1.4, 5) : 1);
      tag.textContent = value > 0 ? `${compact(value)}/s` : "";
    });
  };

  const middle = (height - BOX) / 2;
  const centre = middle + BOX / 2;
  const names = [...new Set(plan.sources.map((source) => source.name))].filter((name) => name !== "committed state");
  names.forEach((name, place) => {
    const y = middle + (place - (names.length - 1) / 2) * ROW;
    box(SOURCE, y, name);
    edge(SOURCE[0] + SOURCE[1], y + BOX / 2, READ[0], centre, (now) => (place === 0 ? now.messages : 0));
  });
  box(READ, middle, "read, decode", (now) => now.read);
  views.forEach((view, place) => {
    const y = at(place);
    const from = view.name === "dead_letters" ? (now) => now.letters : (now) => now.messages;
    edge(READ[0] + READ[1], centre, VIEW[0], y + BOX / 2, from);
    box(VIEW, y, view.name, (now) => now.views[view.name] ?? 0);
    const sinks = [view.table, view.file && (view.table ? "csv" : view.file.split("/").pop()), view.topic].filter(Boolean);
    box(SINK, y, sinks.join(", "));
    edge(VIEW[0] + VIEW[1], y + BOX / 2, SINK[0], y + BOX / 2, (now) => now.rows[view.name] ?? 0);
  });
  return (now) => {
    for (const show of shown) show(now);
    const busiest = Object.entries(now.views).sort((a, b) => b[1] - a[1])[0];
    const most = busiest && busiest[1] > 0 ? `; ${busiest[0]} is the busiest view with ${percent(busiest[1])} of a core` : "";
    svg.setAttribute("aria-label", `The dataflow: ${compact(now.messages)} messages per second to ${views.length} views${most}`);
  };
}
