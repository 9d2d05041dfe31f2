// The page: a table of the latest bookings and the totals, kept up to date by server-sent events. Everything that comes from the server is
// put into the page as text, never as HTML.

const keep = 50; // rows in the table
const rows = new Map(); // booking id → {data, element}
const waiting = new Map(); // updates that are not drawn yet, by booking id
const $ = (selector) => document.querySelector(selector);
let paused = false;
let drawing = false;

connect();
$("#book").addEventListener("submit", book);
$("#pause").addEventListener("click", pause);

// connect listens. Loading everything comes after that, so that nothing is missed in between; it is done again after every gap.
function connect() {
  const source = new EventSource("ops/events");
  source.addEventListener("open", () => { say("#connection", "live"); load(); });
  source.addEventListener("resync", load);
  source.addEventListener("booking", (e) => {
    const row = JSON.parse(e.data);
    waiting.set(row.booking_id, row);
    draw();
  });
  source.addEventListener("error", () => {
    say("#connection", "reconnecting …");
    if (source.readyState === EventSource.CLOSED) { // the browser has given up
      setTimeout(connect, 2000 + Math.random() * 3000);
    }
  });
}

async function load() {
  try {
    const response = await fetch(`ops/bookings?limit=${keep}`);
    if (!response.ok) throw new Error(response.statusText);
    for (const row of await response.json()) {
      if (!waiting.has(row.booking_id)) waiting.set(row.booking_id, row); // what waits is newer
    }
    draw();
    loadTotals();
  } catch (e) {
    say("#connection", `can't load: ${e.message}`);
  }
}

// draw shows what waits, once per frame however much comes.
function draw() {
  if (paused || drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (paused) return;
    for (const row of waiting.values()) show(row);
    waiting.clear();
    trim();
    loadTotals();
  });
}

// show puts a row into its place: ids grow with time, and the newest is first.
function show(data) {
  const known = rows.get(data.booking_id);
  if (known) {
    if (data.updated_at >= known.data.updated_at) fill(known, data);
    return;
  }
  const row = { data, element: document.createElement("tr") };
  for (const name of ["show", "customer", "seats", "status", "action"]) {
    const cell = document.createElement("td");
    cell.className = name;
    row.element.append(cell);
  }
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Refund";
  button.addEventListener("click", () => refund(row, button));
  row.element.lastChild.append(button);
  fill(row, data);
  rows.set(data.booking_id, row);
  const next = [...$("#bookings").children].find((e) => e.dataset.id < data.booking_id);
  $("#bookings").insertBefore(row.element, next ?? null);
}

function fill(row, data) {
  row.data = data;
  row.element.dataset.id = data.booking_id;
  row.element.dataset.status = data.status;
  row.element.title = `booking ${data.booking_id}`;
  for (const name of ["show", "customer", "seats", "status"]) {
    row.element.querySelector(`.${name}`).textContent = data[name];
  }
  const button = row.element.querySelector("button");
  button.hidden = data.refunded > 0;
  button.setAttribute("aria-label", `Refund the booking of ${data.customer} for ${data.show}`);
}

function trim() {
  const body = $("#bookings");
  while (body.children.length > keep) {
    rows.delete(body.lastChild.dataset.id);
    body.lastChild.remove();
  }
  $("#empty").hidden = body.children.length > 0;
}

// loadTotals asks at most twice a second.
let totals = null;
function loadTotals() {
  totals ??= setTimeout(async () => {
    totals = null;
    const response = await fetch("ops/totals").catch(() => null);
    if (!response?.ok) return; // the next update asks again
    const steps = await response.json();
    for (const box of document.querySelectorAll("[data-step]")) {
      const count = box.querySelector(".count");
      const now = steps[box.dataset.step].toLocaleString();
      box.classList.toggle("changed", count.textContent !== now);
      count.textContent = now;
    }
  }, 500);
}

async function book(event) {
  event.preventDefault();
  const form = event.target;
  const problem = await post("bookings", {
    show: form.show.value.trim(),
    customer: form.customer.value.trim(),
    seats: Number(form.seats.value),
  });
  for (const place of form.querySelectorAll("[data-error]")) {
    const error = problem?.errors?.find((e) => e.field === place.dataset.error);
    place.textContent = error?.detail ?? "";
    form[place.dataset.error].setAttribute("aria-invalid", Boolean(error));
  }
  say("#message", problem ? problem.title : "Booked.");
}

async function refund(row, button) {
  button.disabled = true;
  const problem = await post(`bookings/${encodeURIComponent(row.data.booking_id)}/refund`, {});
  button.disabled = false;
  say("#message", problem ? problem.detail : `Refunded the booking of ${row.data.customer}.`);
}

// post returns what is wrong, or null.
async function post(path, body) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return response.ok ? null : await response.json();
  } catch (e) {
    return { title: `Can't reach the server: ${e.message}`, detail: `Can't reach the server: ${e.message}` };
  }
}

function pause() {
  paused = !paused;
  $("#pause").setAttribute("aria-pressed", paused);
  $("#pause").textContent = paused ? "Go on" : "Pause";
  draw();
}

function say(selector, text) {
  $(selector).textContent = text;
}
