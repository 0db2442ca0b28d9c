// The paths of the server, from its OpenAPI document. All texts are set as text, never as HTML.
const at = (id) => document.getElementById(id);
let token = "";

function element(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

async function start() {
  const found = await fetch("/openapi.json", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  at("token-form").hidden = found.status !== 401;
  if (!found.ok) return;
  const document_ = await found.json();
  if (token) {  // which a link does not send
    const content = new Blob([JSON.stringify(document_, null, 1)], { type: "application/json" });
    Object.assign(at("document"), { href: URL.createObjectURL(content), download: "openapi.json" });
  }
  at("name").textContent = document_.info.title;
  at("task").textContent = `${document_.info.description} ${document_.info.version}`;
  const made = [];
  for (const [path, methods] of Object.entries(document_.paths))
    for (const [method, operation] of Object.entries(methods)) made.push(article(method.toUpperCase(), path, operation));
  at("paths").replaceChildren(...made);
}

function article(method, path, operation) {
  const made = element("article");
  made.append(element("h2", `${method} ${path}`), element("p", operation.summary ?? ""));
  for (const [type, body] of Object.entries(operation.requestBody?.content ?? {})) {
    made.append(element("h3", `Body: ${type}`));
    const columns = body.schema?.items?.properties ?? {};
    if (Object.keys(columns).length) made.append(columnsOf(columns));
    if (body.example) made.append(element("pre", JSON.stringify(body.example.slice(0, 3), null, 1)));
  }
  const answers = Object.entries(operation.responses ?? {}).filter(([, answer]) => answer.description);
  const list = element("ul");
  list.append(...answers.map(([status, answer]) => element("li", `${status}: ${answer.description}`)));
  made.append(element("h3", "Answers"), list);
  return made;
}

function columnsOf(columns) {
  const made = element("table");
  for (const [name, column] of Object.entries(columns))
    made.insertRow().append(element("td", name), element("td", column.description ?? ""));
  return made;
}

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  start();
});
start();
