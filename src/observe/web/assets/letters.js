// The last dead letters, with their bytes.

import { read } from "./stream.js";
import { byId, count, hex, make, put, time, visible } from "./text.js";

const known = { count: -1, all: -1, list: [], reason: "", reading: false };

/** Updates the choice of reasons. */
export function reasons(found) {
  const select = byId("reason");
  for (const [reason, n] of found) {
    let option = [...select.options].find((option) => option.value === reason);
    if (!option) {
      option = select.appendChild(make("option"));
      option.value = reason;
    }
    put(option, `${reason} (${count(n)})`);
  }
}

/** Loads new dead letters, if there are not as many as `all`. */
export async function letters(all = known.all) {
  known.all = all;
  if (known.reading || known.count === all) return;
  known.reading = true;
  const found = await read(`/api/v1/dead-letters?${new URLSearchParams({ reason: known.reason })}`);
  if (found) {
    known.count = found.count;
    const numbers = new Set(found.list.map((letter) => letter.number));
    const last = found.list.at(-1)?.number ?? -1;
    // Keep older ones that were already loaded.
    known.list = [...found.list, ...known.list.filter((letter) => !numbers.has(letter.number) && letter.number < last)].slice(0, 200);
    lettersShown(found.list.length === 20);
  }
  setTimeout(() => (known.reading = false), 1000);
}

function lettersShown(more) {
  const list = byId("letter-list");
  const there = new Map([...list.children].map((item) => [item.dataset.number, item]));
  list.replaceChildren(...known.list.map((letter) => there.get(String(letter.number)) ?? item(letter)));
  byId("no-letters").hidden = known.list.length > 0;
  byId("older").hidden = !more;
}

const bytes = (cut) => (cut.is_base64 ? hex(cut.text) : cut.text);

function item(letter) {
  const element = make("li");
  element.dataset.number = letter.number;
  const details = element.appendChild(make("details"));
  const summary = details.appendChild(make("summary"));
  const where = letter.partition < 0 ? `view ${letter.topic}` : `${letter.topic} ${letter.partition} @ ${count(letter.offset)}`;
  const preview = letter.payload === null ? "no value" : letter.payload.is_base64 ? "binary data" : visible(letter.payload.text.slice(0, 160));
  summary.append(make("span", "when", time(letter.committed * 1000)), make("span", "reason", letter.reason), make("span", "where", visible(where)), make("code", "", preview));
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    const facts = [];
    if (letter.field) facts.push(`field ${visible(letter.field)}`);
    facts.push(where);
    if (letter.kafka_timestamp !== null) facts.push(`produced ${time(letter.kafka_timestamp)} UTC`);
    if (letter.key) facts.push(`key ${letter.key.is_base64 ? `base64 ${letter.key.text}` : visible(letter.key.text.slice(0, 200))}`);
    details.append(make("p", "note", facts.join(" · ")));
    if (letter.payload) {
      details.append(make("pre", "", bytes(letter.payload)));
      const { kept, bytes: all } = letter.payload;
      details.append(make("p", "note", kept < all ? `the first ${count(kept)} of ${count(all)} bytes` : `${count(all)} bytes`));
    }
  });
  return element;
}

byId("reason").addEventListener("change", (event) => {
  Object.assign(known, { reason: event.target.value, count: -1, list: [], reading: false });
  letters();
});
byId("older").addEventListener("click", async () => {
  const before = known.list.at(-1)?.number ?? 0;
  const found = await read(`/api/v1/dead-letters?${new URLSearchParams({ reason: known.reason, before })}`);
  if (!found) return;
  known.list.push(...found.list);
  lettersShown(found.list.length === 20);
});
