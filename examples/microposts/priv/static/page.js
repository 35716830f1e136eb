"use strict";

const byId = id => document.getElementById(id);
const list = byId("posts");
const known = new Map(); // id -> post, deleted ones too, so that nothing late brings them back

// --- what the server says ---

const events = new EventSource("/events");

events.addEventListener("nodes", event => {
  const {serving, seen} = JSON.parse(event.data);
  byId("serving").textContent = serving;
  byId("seen").textContent = seen.join(", ") || "no other node";
});

events.addEventListener("posts", event => {
  const posts = JSON.parse(event.data);
  const ids = new Set(posts.map(post => post.id));
  for (const id of [...known.keys()].filter(id => !ids.has(id))) {
    known.delete(id);
    byId(id)?.remove();
  }
  posts.forEach(take);
  byId("empty").hidden = list.children.length > 0;
});

events.addEventListener("post", event => {
  take(JSON.parse(event.data));
  byId("empty").hidden = list.children.length > 0;
});

events.onopen = () => lost(false);
events.onerror = () => {
  lost(true);
  // Where the answer was not an event stream at all, the browser does not try again by itself.
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
};

function lost(is) {
  byId("nodes").classList.toggle("lost", is);
  say(is ? "The connection is lost; trying again …" : "");
}

// The same rule as in Microposts.Post.
function replaces(post, other) {
  if (!other) return true;
  if (post.deleted !== other.deleted) return post.deleted;
  const [number, node] = post.version, [otherNumber, otherNode] = other.version;
  return number > otherNumber || (number === otherNumber && node > otherNode);
}

function take(post) {
  if (!replaces(post, known.get(post.id))) return;
  known.set(post.id, post);
  if (post.deleted) byId(post.id)?.remove();
  else show(post, byId(post.id) || insert(post));
}

// --- what is shown ---

function insert(post) {
  const item = byId("post").content.cloneNode(true).firstElementChild;
  item.id = post.id;
  item.querySelector(".change").onclick = () => edit(item, true);
  item.querySelector(".cancel").onclick = () => edit(item, false);
  item.querySelector(".delete").onclick = () => request("DELETE", `/posts/${post.id}`);
  item.querySelector(".edit").onsubmit = async event => {
    event.preventDefault();
    if (await request("PUT", `/posts/${post.id}`, field(item).value)) edit(item, false);
  };
  // Newest first; the id decides between posts of the same moment.
  const older = [...list.children].find(other => {
    const {written_at, id} = known.get(other.id);
    return written_at < post.written_at || (written_at === post.written_at && id < post.id);
  });
  list.insertBefore(item, older || null);
  item.classList.add("fresh");
  return item;
}

function show(post, item) {
  const time = new Date(post.written_at);
  item.querySelector(".text").textContent = post.text;
  item.querySelector(".node").textContent = post.node;
  item.querySelector("time").textContent = time.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
  item.querySelector("time").dateTime = time.toISOString();
  item.querySelector(".edited").hidden = post.version[0] === 1;
}

const field = item => item.querySelector("textarea");

function edit(item, on) {
  item.querySelector(".edit").hidden = !on;
  item.querySelector(".text").hidden = on;
  item.querySelector(".actions").hidden = on;
  if (!on) return;
  field(item).value = known.get(item.id).text;
  field(item).focus();
}

function say(trouble) {
  byId("trouble").textContent = trouble;
}

// --- what is sent ---

async function request(method, path, body) {
  try {
    const response = await fetch(path, {method, body});
    const answer = await response.text();
    say(response.ok ? "" : answer);
    if (response.ok) take(JSON.parse(answer));
    byId("empty").hidden = list.children.length > 0;
    return response.ok;
  } catch {
    say("The server cannot be reached; please try again.");
    return false;
  }
}

byId("write").onsubmit = async event => {
  event.preventDefault();
  const field = byId("text"), text = field.value;
  field.value = ""; // at once, so that the next one can be typed
  if (!await request("POST", "/posts", text)) field.value ||= text;
};
