// Asks the service and shows its explanations; the service renders them, this page adds switches and links.

const find = (id) => document.getElementById(id);
const result = find("result");
let shown = null; // the answer on show
let asking = null; // aborts the request under way
let reading = null; // the same, of the switches

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, body, signal) {
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const options = { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) };
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  const wait = answer.headers.get("Retry-After");
  const message = said.message || `the service answered ${answer.status}`;
  throw new Refused(answer.status, wait ? `The service is busy: try again in ${wait} s.` : message);
}

// Server-sent events of a POST, which EventSource cannot do.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block);
      const data = /^data: (.*)$/m.exec(block);
      if (name && data) yield [name[1], JSON.parse(data[1])];
    }
  }
}

const STAGES = { waiting: "Waiting for its turn", attribute: "Asking subsets of the passages", sentences: "Asking for sentences", words: "Asking for words" };

function tell({ stage, done, total }) {
  const bar = find("bar");
  if (stage === "waiting") bar.removeAttribute("value");
  else Object.assign(bar, { max: total || 1, value: done });
  const ahead = total ? `, ${total} before it` : "";
  // Numbers change too often to be read out; the bar has them.
  const text = (STAGES[stage] || stage) + (stage === "waiting" ? ahead : "");
  if (find("status").textContent !== `${text}…`) find("status").textContent = `${text}…`;
}

function busy(on) {
  find("progress").hidden = !on;
  find("stop").hidden = !on;
  find("ask").querySelector("[type=submit]").disabled = on;
  result.setAttribute("aria-busy", String(on));
  if (!on) find("status").textContent = "";
}

async function attempt(work) {
  asking?.abort();
  reading?.abort();
  const mine = (asking = new AbortController());
  find("problem").textContent = "";
  busy(true);
  try {
    await work(mine.signal);
  } catch (error) {
    if (error.status === 401) return letIn(() => attempt(work));
    if (error.name !== "AbortError") find("problem").textContent = error.message;
    else if (asking === mine) find("problem").textContent = "Stopped.";
  } finally {
    if (asking === mine) busy(false);
  }
}

function letIn(then) {
  const form = find("token");
  if (sessionStorage.getItem("token")) find("problem").textContent = "This token is not the one.";
  form.hidden = false;
  find("secret").focus();
  form.onsubmit = (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", find("secret").value);
    form.reset();
    form.hidden = true;
    then();
  };
}

function explain(path, body) {
  return attempt(async (signal) => {
    tell({ stage: "waiting", done: 0, total: 0 });
    for await (const [name, data] of events(await request(path, { ...body, stream: true }, signal))) {
      if (name === "progress") tell(data);
      else if (name === "error") throw new Refused(data.status, data.message);
      else {
        await show(data, signal);
        history.pushState(null, "", `/?explanation=${data.id}`);
        return;
      }
    }
    throw new Error("The service ended before it had answered.");
  });
}

function open(id) {
  return attempt(async (signal) => {
    const answer = await (await request(`/explanations/${id}`, null, signal)).json();
    await show({ id, ...answer }, signal);
    find("question").value = answer.question;
  });
}

async function show(answer, signal) {
  // The service has escaped all text in it, and no script may run from within this page.
  const html = await (await request(`/explanations/${answer.id}/report`, null, signal)).text();
  shown = answer;
  result.innerHTML = html;
  document.title = `${answer.answer || "No answer"} – ${answer.question}`;
  const header = result.querySelector("header");
  header.append(find("links").content.cloneNode(true));
  header.querySelector(".link").href = `/?explanation=${answer.id}`;
  header.querySelector(".page").onclick = () => attempt(savePage);
  const given = answer.citations && !answer.evidence.some((passage) => passage.kept);
  if (answer.evidence.length && !given) addSwitches(header); // a given answer is not read again
  result.focus({ preventScroll: true });
  result.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

// A sentence and the passages that carry it light up together; saved pages do so by rules of their own.
function lightUp({ target, type }) {
  const on = type === "mouseover";
  const sentence = target.closest(".claim");
  const passage = target.closest(".evidence > li");
  const number = sentence?.id.replace("sentence-", "");
  if (number) for (const item of result.querySelectorAll(`.carries-${number}`)) item.classList.toggle("lit", on);
  for (const name of passage?.classList ?? [])
    if (name.startsWith("carries-")) find(name.replace("carries", "sentence"))?.classList.toggle("lit", on);
}
result.addEventListener("mouseover", lightUp);
result.addEventListener("mouseout", lightUp);

// Fetched, because a link could not bring the token along.
async function savePage(signal) {
  const page = await (await request(`/explanations/${shown.id}/page`, null, signal)).blob();
  const href = URL.createObjectURL(page);
  Object.assign(document.createElement("a"), { href, download: `ragshap-${shown.id}.html` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

function addSwitches(header) {
  header.after(find("whatif").content.cloneNode(true));
  shown.evidence.forEach((passage, index) => {
    const item = find(`passage-${index + 1}`);
    const label = document.createElement("label");
    label.className = "switch";
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    box.setAttribute("aria-label", `Use passage ${index + 1}, ${passage.title || passage.id}`);
    box.onchange = () => {
      item.classList.toggle("off", !box.checked);
      readAgain();
    };
    label.append(box);
    item.prepend(label);
  });
  result.querySelector(".whatif .again").onclick = () =>
    explain("/explain", { question: shown.question, passages: passagesOn(), ...level() });
  result.querySelector(".whatif .all").onclick = () => {
    for (const box of boxes()) box.checked = true;
    for (const item of result.querySelectorAll(".evidence > li")) item.classList.remove("off");
    readAgain();
  };
}

// Without a choice, the service's settings say how far down.
const level = () => find("level").value && { level: find("level").value };

const boxes = () => [...result.querySelectorAll(".switch input")];

// In the order in which they were retrieved, as the reader got them.
function passagesOn() {
  const on = shown.evidence.filter((_, index) => boxes()[index].checked);
  return on.sort((a, b) => a.rank - b.rank).map(({ id, title, text }) => ({ id, title, text }));
}

async function readAgain() {
  reading?.abort();
  const mine = (reading = new AbortController());
  const said = result.querySelector(".whatif output");
  const [again, all] = [".again", ".all"].map((name) => result.querySelector(`.whatif ${name}`));
  const passages = passagesOn();
  const total = shown.evidence.length;
  again.disabled = all.disabled = passages.length === total;
  if (passages.length === total) {
    said.textContent = "";
    return;
  }
  said.textContent = "Reading…";
  try {
    const answer = await (await request("/answer", { question: shown.question, passages }, mine.signal)).json();
    const changed = answer.answer !== shown.full_answer;
    const strong = document.createElement("strong");
    strong.textContent = answer.answer || "no answer";
    const by = shown.readers ? `${shown.readers.attributed}, from` : "From";
    const without = shown.readers ? `${shown.readers.attributed}, without` : "Without";
    const from = passages.length ? `${by} ${passages.length} of ${total} passages: ` : `${without} any passage: `;
    said.replaceChildren(from, strong, changed ? ", another answer" : ", the same answer");
  } catch (error) {
    if (error.status === 401) letIn(readAgain);
    else if (error.name !== "AbortError") said.textContent = error.message;
  }
}

find("ask").onsubmit = (event) => {
  event.preventDefault();
  const question = find("question").value;
  const own = find("passages").value.split(/\n\s*\n/).map((text) => text.trim()).filter(Boolean);
  const answer = find("answer").value.trim();
  if (answer && !own.length) find("problem").textContent = "To explain an answer, give the passages too.";
  else if (own.length) explain("/explain", { question, ...level(), passages: own.map((text) => ({ text })), ...(answer && { answer }) });
  else explain("/ask", { question, ...level(), ...(find("k").value && { k: Number(find("k").value) }) });
};
find("stop").onclick = () => asking?.abort();

function fromAddress() {
  const id = new URLSearchParams(location.search).get("explanation");
  if (id && id !== shown?.id) open(encodeURIComponent(id));
}

addEventListener("popstate", fromAddress);
request("/health")
  .then((answer) => answer.json())
  .then(({ passages }) => {
    find("count").hidden = passages === null;
    find("own").open = passages === null;
  })
  .catch(() => {});
fromAddress();
