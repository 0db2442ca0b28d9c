// The form of a served model. All texts of the model are set as text, never as HTML.
const at = (id) => document.getElementById(id);
// Kinds of data whose rows are files.
const FILES = {
  image: { told: "An image: choose it, or drop it here", accept: "image/*" },
  audio: { told: "A recording: choose it, or drop it here", accept: "audio/*,.wav,.flac,.ogg,.mp3" },
};
const MOST_OPTIONS = 50, MOST_PROBABILITIES = 10, MOST_ROWS = 200;
let token = "", schema = null, picked = null;

function element(tag, text = "", properties = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  return Object.assign(made, properties);
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  return fetch(path, { ...options, headers });
}

async function start() {
  const found = await ask("/schema").catch(() => null);
  at("token-form").hidden = found?.status !== 401;
  if (found?.status === 401) {
    if (token) at("token").setAttribute("aria-invalid", "true");
    at("token").focus();
    return;
  }
  if (!found?.ok) return void at("task").replaceChildren(element("span", "The server does not answer.", { className: "bad" }));
  schema = await found.json();
  document.title = `${schema.run_name} · dlcli serve`;
  at("name").textContent = schema.run_name;
  at("task").textContent = schema.task;
  const sent = await ask("/example");
  const example = !sent.ok ? null : schema.kind in FILES ? await sent.blob() : await sent.json();
  build(example);
  document.querySelector("main").hidden = false;
}

function build(example) {
  const words = { tokens: "Or a file with a text per row (CSV) or line (.txt)", words: "Or a file with a text per line (.txt)" };
  at("drop-text").textContent = FILES[schema.kind]?.told ?? words[schema.kind] ?? "Or a file with rows (CSV)";
  at("file").accept = FILES[schema.kind]?.accept ?? (schema.kind === "words" ? ".txt,.jsonl" : ".csv,.tsv,.txt");
  const fields = [];
  if (schema.kind in FILES) {
    at("send").hidden = at("clear").hidden = true;
  } else if (schema.kind === "sequence") {
    const hint = schema.steps.lookback ? `${schema.steps.lookback} steps or more, one object per step` : "one object per step";
    fields.push(field({ name: "rows", type: hint }, "textarea", JSON.stringify(example, null, 1).replace(/\n {2}/g, " ").replace(/\n }/g, " }")));
    fields[0].classList.add("wide");
    fields[0].lastChild.classList.add("code");
  } else {
    for (const column of schema.columns) fields.push(field(column, tagOf(column), example?.[0]?.[column.name] ?? ""));
  }
  at("fields").replaceChildren(...fields);
}

function tagOf(column) {
  const options = column.words ?? column.categories;
  return options && options.length <= MOST_OPTIONS ? "select" : column.type === "text" ? "textarea" : "input";
}

function field(column, tag, value) {
  const box = element("div"), id = `field-${at("fields").children.length}-${Math.random().toString(36).slice(2)}`;
  const label = element("label", `${column.name} `, { htmlFor: id });
  label.append(element("small", [column.type, column.format].filter(Boolean).join(", ")));
  const input = element(tag, "", { id });
  input.dataset.column = column.name;
  const options = column.words ?? column.categories;
  if (tag === "select") {
    input.append(element("option", "(missing)", { value: "" }));
    for (const name of options) input.append(element("option", name, { value: name }));
    value = value === true ? column.words?.[1] : value === false ? column.words?.[0] : value;
  } else if (tag === "textarea") {
    box.classList.add("wide");
  } else {
    input.autocomplete = "off";
    if (column.type === "numeric") input.inputMode = "decimal";
    if (options) {
      const list = element("datalist", "", { id: `${id}-list` });
      list.append(...options.slice(0, 1000).map((name) => element("option", "", { value: name })));
      input.setAttribute("list", list.id);
      box.append(list);
    }
  }
  input.value = String(value ?? "");
  box.prepend(label);
  box.append(input);
  return box;
}

async function send(body, type) {
  at("send").disabled = true;
  const sent = await ask("/predict", { method: "POST", body, headers: type ? { "Content-Type": type } : {} }).catch(() => null);
  const answer = await sent?.json().catch(() => null);
  at("send").disabled = false;
  show(answer ?? { errors: [{ message: "The server does not answer" }] });
}

function show(answer) {
  const parts = [];
  for (const input of at("fields").querySelectorAll("[data-column]"))
    input.toggleAttribute("aria-invalid", false);
  for (const problem of answer.errors ?? []) {
    const where = problem.column ? `${problem.column}: ` : "";
    parts.push(element("p", `${where}${problem.message}. ${problem.hint ?? ""}`, { className: "bad" }));
    for (const input of at("fields").querySelectorAll("[data-column]"))
      if (input.dataset.column === problem.column) input.setAttribute("aria-invalid", "true");
  }
  const rows = answer.predictions ?? [];
  if (rows.length === 1) parts.push(...single(rows[0]));
  else if (rows.length) parts.push(table(rows));
  for (const notice of answer.notices ?? [])
    parts.push(element("p", `${notice.warns ? "Warning: " : ""}${notice.text}.`, { className: notice.warns ? "warn" : "quiet" }));
  at("answer").replaceChildren(...parts);
}

function single(row) {
  const main = [], probabilities = [], others = [], pictures = [];
  for (const [name, value] of Object.entries(row)) {
    if (name === "row" || name === "file") continue;
    if (isPicture(value)) {
      pictures.push(element("img", "", { src: value, alt: name }));
      continue;
    }
    const of = /^p\((.*)\)$/s.exec(name);
    if (of) probabilities.push([of[1], value]);
    else if (name.startsWith("prediction")) main.push([name, value]);
    else others.push([name, value]);
  }
  const parts = [];
  parts.push(...pictures);
  if (main.length === 1) parts.push(element("p", shown(main[0][1]), { className: "main" }));
  else others.unshift(...main);
  if (others.length) parts.push(table(others.map(([name, value]) => ({ name, value }))));
  if (probabilities.length) {
    probabilities.sort((a, b) => b[1] - a[1]);
    const made = element("table");
    for (const [name, value] of probabilities.slice(0, MOST_PROBABILITIES)) {
      const line = made.insertRow();
      line.append(element("td", name), element("td", `${(100 * value).toFixed(1)} %`, { className: "number" }));
      line.insertCell().append(element("meter", "", { min: 0, max: 1, value, ariaLabel: `probability of ${name}` }));
    }
    parts.push(made);
    if (probabilities.length > MOST_PROBABILITIES)
      parts.push(element("p", `The ${MOST_PROBABILITIES} most probable of ${probabilities.length} classes.`, { className: "quiet" }));
  }
  return parts;
}

function table(rows) {
  const made = element("table"), head = made.createTHead().insertRow(), names = Object.keys(rows[0]);
  head.append(...names.map((name) => element("th", name)));
  const body = made.createTBody();
  for (const row of rows.slice(0, MOST_ROWS))
    body.insertRow().append(...names.map((name) => element("td", shown(row[name]), { className: typeof row[name] === "number" ? "number" : "" })));
  const box = element("div", "", { className: "scroll" });
  box.append(made);
  if (rows.length > MOST_ROWS) box.append(element("p", `The first ${MOST_ROWS} of ${rows.length} rows.`, { className: "quiet" }));
  return box;
}

function isPicture(value) {
  return typeof value === "string" && value.startsWith("data:image/png;base64,");
}

function shown(value) {
  if (isPicture(value)) return "an image";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return String(value ?? "");
}

function take(file) {
  if (!file) return;
  const lines = schema.accepts.includes("text/plain") && /\.txt$/i.test(file.name);
  const rows = schema.accepts.includes("text/csv") ? "text/csv" : "application/x-ndjson";
  if (!(schema.kind in FILES)) return void send(file, lines ? "text/plain" : rows);
  if (schema.kind === "image") {
    if (picked) URL.revokeObjectURL(picked);
    picked = URL.createObjectURL(file);
    at("drop").querySelector("img")?.remove();
    at("drop").append(element("img", "", { src: picked, alt: "the chosen image" }));
  }
  const form = new FormData();
  form.append("file", file);
  send(form);
}

at("rows").addEventListener("submit", (event) => {
  event.preventDefault();
  const inputs = [...at("fields").querySelectorAll("[data-column]")];
  if (schema.kind === "sequence") return void send(inputs[0].value, "application/json");
  const row = Object.fromEntries(inputs.map((input) => [input.dataset.column, input.value === "" ? null : input.value]));
  send(JSON.stringify([row]), "application/json");
});
at("clear").addEventListener("click", () => {
  for (const input of at("fields").querySelectorAll("[data-column]")) input.value = "";
});
at("file").addEventListener("change", (event) => take(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"])
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  start();
});
start();
