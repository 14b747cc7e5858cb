// Reads server-sent events with fetch, because EventSource cannot send a token or report why it was refused.

const SILENCE = 8000; // the job sends an event every two seconds
const PAUSES = [0, 500, 1000, 2000];

export const token = {
  get: () => sessionStorage.getItem("truckflow-token") ?? "",
  set: (value) => sessionStorage.setItem("truckflow-token", value),
};

const headers = () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {});

/** The JSON at a path, or null on any error. */
export async function read(path) {
  try {
    const answer = await fetch(path, { headers: headers() });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/**
 * Receives events until it is stopped. `news` gets each event. `lost` is called when the connection is lost, with the
 * response text, if any. `refused` is called when a token is required.
 */
export function listen(path, { news, lost, refused }) {
  const stop = new AbortController();
  let failed = 0;
  const again = () => {
    if (!stop.signal.aborted) setTimeout(run, PAUSES[Math.min(failed, PAUSES.length - 1)]);
  };
  const run = async () => {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    stop.signal.addEventListener("abort", end);
    let quiet = setTimeout(end, SILENCE);
    let said = "";
    try {
      const answer = await fetch(path, { headers: headers(), signal: attempt.signal, cache: "no-store" });
      if (answer.status === 401) {
        refused();
        return;
      }
      if (!answer.ok) {
        said = (await answer.json()).error;
        throw new Error(said);
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(quiet);
        quiet = setTimeout(end, SILENCE);
        const events = (text + value).split("\n\n");
        text = events.pop();
        for (const event of events) {
          if (event.startsWith("data: ")) {
            failed = 0;
            if (!stop.signal.aborted) news(JSON.parse(event.slice(6)));
          }
        }
      }
      // After a clean close, reconnect immediately.
      if (failed > 0) lost(said);
    } catch {
      if (!stop.signal.aborted) lost(said);
    } finally {
      clearTimeout(quiet);
      stop.signal.removeEventListener("abort", end);
      failed += 1;
    }
    again();
  };
  run();
  return () => stop.abort();
}
