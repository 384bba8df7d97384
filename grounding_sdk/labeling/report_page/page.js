"use strict";
// Data come by calls of `review.begin`, `add`, `failed`, `end` and `chunk` from the scripts in data/.
// Whatever they hold is put into the page as text and attributes, never as HTML.
const review = (() => {
  const PAGE = 120; // cards that are made at a time
  const CHUNK = 50; // pictures whose details come together, as the writer has it
  const nonce = document.currentScript.nonce;
  const pictures = [];
  const failures = [];
  const colors = new Map(); // label -> {color, ink}
  const decisions = new Map(); // item -> {row, decision, objects}
  const chunks = new Map(); // number -> {promise, resolve}
  let job = null;
  let shown = []; // the pictures that pass the filters, in order
  let carded = 0; // how many of them have cards

  const at = (id) => document.getElementById(id);
  const filters = at("filters");
  const viewer = at("viewer");

  // Small helpers

  function make(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }

  function draw(tag, attributes = {}, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value != null) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function plural(count, noun) {
    return `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;
  }

  function percent(share) {
    return `${Math.round(100 * share)} %`;
  }

  function colorOf(label) {
    if (!colors.has(label)) colors.set(label, job.colors[colors.size % job.colors.length]);
    return colors.get(label);
  }

  // Decisions: kept in this browser, one entry for each picture

  const keyOf = (item) => `grounding-sdk review ${job.key} ${item}`;

  function load(picture) {
    let text = null;
    try {
      text = localStorage.getItem(keyOf(picture.item));
    } catch {
      return;
    }
    if (text === null) return;
    try {
      const kept = JSON.parse(text);
      // Objects that have changed since, by these decisions or others, are to be looked at anew.
      if (kept.row === picture.row) decisions.set(picture.item, kept);
      else localStorage.removeItem(keyOf(picture.item));
    } catch {
      localStorage.removeItem(keyOf(picture.item));
    }
  }

  function save(picture) {
    touched.add(picture);
    const made = decisions.get(picture.item);
    const none = !made || (!made.decision && made.objects.every((each) => !each.decision));
    if (none) decisions.delete(picture.item);
    try {
      if (none) localStorage.removeItem(keyOf(picture.item));
      else localStorage.setItem(keyOf(picture.item), JSON.stringify(made));
    } catch {
      notice("This browser keeps nothing for pages from disk: download your decisions before you close the page.");
    }
    showDecided();
  }

  /** The decision on a picture, to be changed; made of what is shown if there is none yet. */
  function decisionOn(picture, details) {
    if (!decisions.has(picture.item)) {
      const objects = details.objects.map(({label, box, score}) => ({label, box, score, decision: null}));
      decisions.set(picture.item, {row: picture.row, decision: null, objects});
    }
    return decisions.get(picture.item);
  }

  function statusOf(picture) {
    const made = decisions.get(picture.item);
    if (!made) return picture.person ? "person" : "open";
    if (made.decision === "reject") return "rejected";
    const changed = made.objects.some((each) => ["reject", "relabel"].includes(each.decision));
    return changed ? "changed" : made.decision === "accept" ? "accepted" : "changed";
  }

  const WORDS = {accepted: "accepted", rejected: "rejected", changed: "changed", person: "by a person"};

  function verdictOn(picture, index) {
    return decisions.get(picture.item)?.objects[index]?.decision ?? null;
  }

  function labelOf(picture, index, label) {
    const made = decisions.get(picture.item)?.objects[index];
    return made?.decision === "relabel" ? made.to : label;
  }

  function download() {
    const items = [...decisions].map(([item, {decision, objects}]) => ({item, decision, objects}));
    items.sort((a, b) => (a.item < b.item ? -1 : 1));
    const data = {format: job.format, version: 1, job: job.title, items};
    const url = URL.createObjectURL(new Blob([JSON.stringify(data, null, 1)], {type: "application/json"}));
    make("a", {href: url, download: `${job.title}-decisions.json`}).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  function showDecided() {
    const count = decisions.size;
    at("decided").textContent = count ? `${plural(count, "picture")} decided` : "Nothing decided yet";
    at("download").disabled = !count;
  }

  function notice(text) {
    at("notice").textContent = text;
    at("notice").hidden = false;
  }

  // Filters and the sheet of cards

  const wanted = () => Object.fromEntries(new FormData(filters));

  /** Objects as the filters see them: the index, the label now, and the score. */
  function objectsOf(picture) {
    return picture.objects.map(([label, score], index) => ({
      index,
      label: labelOf(picture, index, job.labels[label].name),
      score,
    }));
  }

  function matching(picture, {label, low, high}) {
    const [from, to] = [low === "" ? 0 : Number(low), high === "" ? 1 : Number(high)];
    const anyScore = from <= 0 && to >= 1;
    return objectsOf(picture).filter(
      (each) =>
        (!label || each.label === label) &&
        (anyScore || (each.score !== null && from <= each.score && each.score <= to)),
    );
  }

  function passes(picture, filter) {
    const {text, label, low, high, flag, status} = filter;
    if (flag && !picture.flags.includes(flag)) return false;
    const now = statusOf(picture);
    if (status === "open" ? decisions.has(picture.item) || picture.person : false) return false;
    if (status === "decided" ? !decisions.has(picture.item) : false) return false;
    if (status && !["open", "decided"].includes(status) && status !== now) return false;
    const anyScore = Number(low || 0) <= 0 && Number(high === "" ? 1 : high) >= 1;
    if ((label || !anyScore) && !matching(picture, filter).length) return false;
    const words = text.trim().toLowerCase();
    if (!words) return true;
    const names = [picture.item, ...objectsOf(picture).map((each) => each.label)];
    return names.some((name) => name.toLowerCase().includes(words));
  }

  const lowest = (picture) => Math.min(...picture.objects.map(([, score]) => score ?? 1), 1);
  const byName = (a, b) => (a.item < b.item ? -1 : a.item > b.item ? 1 : 0);
  const ORDERS = {
    doubt: (a, b) => b.doubt - a.doubt || byName(a, b),
    name: byName,
    score: (a, b) => lowest(a) - lowest(b) || byName(a, b),
    objects: (a, b) => b.objects.length - a.objects.length || byName(a, b),
  };

  function refresh() {
    const filter = wanted();
    shown = pictures.filter((picture) => passes(picture, filter)).sort(ORDERS[filter.order]);
    at("count").textContent =
      shown.length === pictures.length
        ? plural(shown.length, "picture")
        : `${shown.length.toLocaleString()} of ${plural(pictures.length, "picture")}`;
    at("grid").replaceChildren();
    carded = 0;
    addCards();
    if (!shown.length) at("grid").append(make("p", {class: "quiet"}, "No picture passes these filters."));
  }

  function addCards() {
    const filter = wanted();
    const next = shown.slice(carded, carded + PAGE);
    at("grid").append(...next.map((picture) => card(picture, filter)));
    carded += next.length;
  }

  function card(picture, filter) {
    const [height, width] = picture.size;
    const status = statusOf(picture);
    const marked = new Set(matching(picture, filter).map((each) => each.index));
    const boxes = draw("svg", {viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true"});
    const counts = new Map();
    for (const {index, label} of objectsOf(picture)) {
      const [, , x1, y1, x2, y2] = picture.objects[index];
      const verdict = verdictOn(picture, index);
      if (verdict !== "reject") counts.set(label, (counts.get(label) ?? 0) + 1);
      const kind = verdict === "reject" ? "gone" : marked.has(index) ? "" : "dim";
      const place = {x: x1, y: y1, width: x2 - x1, height: y2 - y1, class: kind};
      boxes.append(draw("rect", {...place, stroke: colorOf(label).color}));
    }
    const thumb = make("span", {class: "thumb"});
    if (picture.thumb) thumb.append(make("img", {src: picture.thumb, alt: "", loading: "lazy", decoding: "async"}));
    else thumb.append(make("span", {class: "quiet"}, "no picture"));
    thumb.append(boxes);
    if (WORDS[status]) thumb.append(make("span", {class: `status ${status}`}, WORDS[status]));

    const labels = make("span", {class: "chips"});
    for (const [label, count] of [...counts].slice(0, 4)) {
      const dot = make("i", {class: "dot"});
      dot.style.background = colorOf(label).color;
      labels.append(make("span", {class: "chip"}, dot, count > 1 ? `${count} ${label}` : label));
    }
    if (counts.size > 4) labels.append(make("span", {class: "chip"}, `+${counts.size - 4}`));
    if (!counts.size) labels.append(make("span", {class: "chip quiet"}, "nothing"));
    const flags = make("span", {class: "flags"}, picture.flags.map((kind) => job.kinds[kind]).join(" · "));
    const meter = make("span", {class: "meter", title: `doubt ${percent(picture.doubt)}`}, make("i"));
    meter.firstChild.style.width = `${100 * picture.doubt}%`;

    const words = [
      picture.item,
      plural(picture.objects.length, "object"),
      `doubt ${percent(picture.doubt)}`,
      WORDS[status] ?? "",
    ];
    const button = make(
      "button",
      {class: `card ${status}`, "aria-label": words.filter(Boolean).join(", ")},
      thumb,
      meter,
      make("span", {class: "name", title: picture.item}, picture.item),
      labels,
      flags,
    );
    button.addEventListener("click", () => open(picture));
    return button;
  }

  // Details, which come by chunks

  function details(picture) {
    const number = Math.floor(picture.number / CHUNK);
    if (!chunks.has(number)) {
      const waiting = {};
      waiting.promise = new Promise((resolve, refuse) => {
        waiting.resolve = resolve;
        const script = make("script", {src: `data/${number}.js`});
        script.nonce = nonce;
        script.onload = () => script.remove();
        script.onerror = () => refuse(new Error(`data/${number}.js is missing: it belongs beside this page.`));
        document.head.append(script);
      });
      chunks.set(number, waiting);
      // No more than some hundred pictures are kept at hand.
      if (chunks.size > 12) chunks.delete(chunks.keys().next().value);
    }
    return chunks.get(number).promise.then((chunk) => chunk[picture.number % CHUNK]);
  }

  // The big view

  const view = {masks: true, boxes: true, tags: true, zoom: false};
  let list = []; // the pictures to walk through: as they were shown when the view was opened
  let here = -1;
  let detail = null;
  let chosen = -1;
  let hidden = new Set();
  const touched = new Set(); // the pictures whose cards are to be made anew

  function open(picture) {
    list = shown;
    touched.clear();
    document.body.classList.add("viewing");
    viewer.showModal();
    show(list.indexOf(picture));
  }

  async function show(index) {
    if (index < 0 || index >= list.length) return;
    here = index;
    const picture = list[here];
    [detail, chosen, hidden, view.zoom] = [null, -1, new Set(), false];
    at("viewer-name").textContent = picture.item;
    at("place").textContent = `${here + 1} of ${list.length.toLocaleString()}`;
    at("previous").disabled = here === 0;
    at("next").disabled = here === list.length - 1;
    at("stage").replaceChildren();
    at("objects").replaceChildren();
    at("doubts").replaceChildren();
    try {
      const found = await details(picture);
      if (list[here] !== picture) return; // another one was asked for meanwhile
      detail = found;
      showDetail();
      for (const near of [list[here + 1], list[here - 1]]) if (near) details(near).then(preload, () => {});
    } catch (error) {
      at("stage").textContent = error.message;
    }
  }

  function preload(found) {
    if (found.picture) new Image().src = found.picture;
  }

  function showDetail() {
    showStage();
    showPanel();
  }

  function showStage() {
    const picture = list[here];
    const [height, width] = picture.size;
    const svg = draw("svg", {viewBox: viewBox(picture), role: "img", "aria-label": picture.item});
    svg.append(draw("rect", {class: "ground", width, height}));
    if (detail.picture) {
      svg.append(draw("image", {href: detail.picture, width, height, preserveAspectRatio: "none"}));
    }
    at("stage").replaceChildren(svg);
    const stage = at("stage").getBoundingClientRect();
    const [, , seen, tall] = viewBox(picture).split(" ").map(Number);
    const pixel = Math.max(seen / stage.width, tall / stage.height); // of the screen, in the picture's
    const tags = [];
    detail.objects.forEach((each, index) => {
      const group = draw("g", {"data-object": index, class: "object"});
      const label = labelOf(picture, index, each.label);
      const {color} = colorOf(label);
      const verdict = verdictOn(picture, index);
      group.classList.toggle("gone", verdict === "reject");
      group.classList.toggle("chosen", index === chosen);
      if (hidden.has(index)) group.setAttribute("hidden", "");
      if (view.masks && each.outline) {
        group.append(draw("path", {class: "mask", d: each.outline, fill: color, stroke: color}));
      }
      const [x1, y1, x2, y2] = each.box;
      const place = {x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0)};
      if (view.boxes || index === chosen) group.append(draw("rect", {class: "box", ...place, stroke: color}));
      group.addEventListener("click", () => choose(index));
      svg.append(group);
      if (view.tags && !hidden.has(index)) tags.push([index, label, each]);
    });
    for (const flag of detail.flags.filter((each) => each.box)) {
      const [x1, y1, x2, y2] = flag.box;
      const ghost = draw("rect", {class: "ghost", x: x1, y: y1, width: x2 - x1, height: y2 - y1});
      ghost.append(draw("title", {}, flag.words));
      svg.append(ghost);
    }
    const taken = [];
    svg.classList.toggle("focused", chosen >= 0);
    tags.sort(([a], [b]) => (a === chosen) - (b === chosen)); // the chosen one on top
    for (const each of tags) tag(svg, pixel, width, height, taken, ...each);
  }

  /** Writes an object's label at its upper left corner, below those that are there already. */
  function tag(svg, pixel, width, height, taken, index, label, each) {
    const {color, ink} = colorOf(label);
    const size = 13 * pixel;
    const text = draw("text", {"font-size": size, fill: ink}, `${label} ${scoreOf(index, each)}`.trim());
    const group = draw("g", {class: "tag", "data-tag": index});
    group.classList.toggle("gone", verdictOn(list[here], index) === "reject");
    group.classList.toggle("chosen", index === chosen);
    group.append(text);
    svg.append(group);
    const wide = text.getBBox().width + 0.8 * size;
    const tall = 1.5 * size;
    const x = Math.max(0, Math.min(each.box[0], width - wide));
    const above = each.box[1] - tall;
    let y = Math.max(0, Math.min(above < 0 ? each.box[1] : above, height - tall));
    const meets = ([left, top, right]) => x < right && left < x + wide && Math.abs(y - top) < 0.9 * tall;
    for (let met = taken.find(meets); met && y + 2 * tall <= height; met = taken.find(meets)) y = met[1] + tall;
    taken.push([x, y, x + wide]);
    group.prepend(draw("rect", {x, y, width: wide, height: tall, rx: 0.25 * size, fill: color}));
    text.setAttribute("x", x + 0.4 * size);
    text.setAttribute("y", y + 1.08 * size);
    group.addEventListener("click", () => choose(index));
  }

  /** An object's score in words; none if it has another label now, which nobody has scored. */
  function scoreOf(index, each) {
    return each.score === null || verdictOn(list[here], index) === "relabel" ? "" : each.score.toFixed(2);
  }

  function viewBox(picture) {
    const [height, width] = picture.size;
    if (!view.zoom || chosen < 0) return `0 0 ${width} ${height}`;
    const [x1, y1, x2, y2] = detail.objects[chosen].box;
    const side = 1.6 * Math.max(x2 - x1, y2 - y1, 16);
    if (side >= Math.max(width, height)) return `0 0 ${width} ${height}`;
    return `${(x1 + x2 - side) / 2} ${(y1 + y2 - side) / 2} ${side} ${side}`;
  }

  function showPanel() {
    const picture = list[here];
    const whole = decisions.get(picture.item)?.decision ?? null;
    at("accept").setAttribute("aria-pressed", whole === "accept");
    at("reject").setAttribute("aria-pressed", whole === "reject");
    for (const each of ["masks", "boxes", "tags", "zoom"]) at(each).setAttribute("aria-pressed", view[each]);
    at("zoom").disabled = chosen < 0;
    const ofPicture = detail.flags.filter((flag) => !flag.objects.length);
    at("doubts").replaceChildren(...ofPicture.map((flag) => make("li", {}, flag.words)));
    at("objects").replaceChildren(...detail.objects.map((each, index) => row(picture, each, index)));
    if (!detail.objects.length) at("objects").append(make("li", {class: "quiet"}, "Nothing was found here."));
  }

  function row(picture, each, index) {
    const label = labelOf(picture, index, each.label);
    const verdict = verdictOn(picture, index);
    const name = `object ${index + 1}`;
    const dot = make("i", {class: "dot"});
    dot.style.background = colorOf(label).color;
    const input = make("input", {list: "labels", value: label, "aria-label": `Label of ${name}`, autocomplete: "off", "data-key": `label ${index}`});
    input.addEventListener("change", () => relabel(index, input.value));
    const score = make("span", {class: "score"}, scoreOf(index, each));
    const [accept, reject] = ["Accept", "Reject"].map((word) => {
      const is = word.toLowerCase();
      const state = {"aria-pressed": verdict === is, "aria-label": `${word} ${name}`, "data-key": `${is} ${index}`};
      return make("button", {class: is, ...state}, word);
    });
    const eyeWord = hidden.has(index) ? "Show" : "Hide";
    const eye = make("button", {"aria-label": `${eyeWord} ${name}`, "data-key": `eye ${index}`}, eyeWord);
    accept.addEventListener("click", () => judge(index, "accept"));
    reject.addEventListener("click", () => judge(index, "reject"));
    eye.addEventListener("click", () => toggleObject(index));
    const item = make(
      "li",
      {class: `${index === chosen ? "chosen " : ""}${verdict ?? ""}`, "data-row": index},
      make("div", {class: "head"}, dot, input, score),
    );
    const facts = [];
    if (verdict === "relabel") facts.push(`was ${each.label} ${each.score?.toFixed(2) ?? ""}`.trim());
    if (each.phrase && each.phrase !== each.label) facts.push(`found as “${each.phrase}”`);
    if (each.mask_score !== null) facts.push(`mask ${each.mask_score.toFixed(2)}`);
    if (facts.length) item.append(make("div", {class: "quiet"}, facts.join(" · ")));
    const doubts = detail.flags.filter((flag) => flag.objects.includes(index));
    if (doubts.length) item.append(make("ul", {class: "doubts"}, ...doubts.map((flag) => make("li", {}, flag.words))));
    item.append(make("div", {class: "buttons"}, accept, reject, eye));
    item.addEventListener("click", (event) => {
      if (!event.target.closest("button, input")) choose(index);
    });
    return item;
  }

  /** Draws all anew and gives the focus back to the same control. */
  function again() {
    const key = document.activeElement?.dataset.key;
    showDetail();
    if (key) viewer.querySelector(`[data-key="${key}"]`)?.focus();
  }

  function choose(index) {
    const count = detail?.objects.length ?? 0;
    if (!count) return;
    chosen = (index + count) % count;
    again();
    at("objects").children[chosen].scrollIntoView({block: "nearest"});
  }

  function judge(index, verdict) {
    if (!detail || index < 0) return;
    const picture = list[here];
    const made = decisionOn(picture, detail).objects[index];
    made.decision = made.decision === verdict ? null : verdict;
    delete made.to;
    save(picture);
    again();
  }

  function relabel(index, text) {
    const picture = list[here];
    const to = text.trim();
    const made = decisionOn(picture, detail).objects[index];
    delete made.to;
    if (to && to !== made.label) Object.assign(made, {decision: "relabel", to});
    else if (made.decision === "relabel") made.decision = null;
    save(picture);
    listLabels();
    again();
  }

  function judgePicture(verdict) {
    if (!detail) return;
    const picture = list[here];
    const made = decisionOn(picture, detail);
    made.decision = made.decision === verdict ? null : verdict;
    save(picture);
    again();
  }

  function toggle(what) {
    if (what === "zoom" && chosen < 0) return;
    view[what] = !view[what];
    if (detail) again();
  }

  function toggleObject(index) {
    if (index < 0) return;
    if (!hidden.delete(index)) hidden.add(index);
    again();
  }

  const KEYS = {
    ArrowLeft: () => show(here - 1),
    ArrowRight: () => show(here + 1),
    ArrowUp: () => choose(chosen < 0 ? -1 : chosen - 1),
    ArrowDown: () => choose(chosen + 1),
    a: () => judge(chosen, "accept"),
    r: () => judge(chosen, "reject"),
    A: () => judgePicture("accept"),
    R: () => judgePicture("reject"),
    h: () => toggleObject(chosen),
    m: () => toggle("masks"),
    b: () => toggle("boxes"),
    t: () => toggle("tags"),
    z: () => toggle("zoom"),
    l: () => {
      if (chosen < 0) choose(0);
      const input = at("objects").querySelector(".chosen input");
      input?.focus();
      input?.select();
    },
    Enter: () => {
      if (!detail) return;
      if (decisions.get(list[here].item)?.decision !== "accept") judgePicture("accept");
      show(here + 1);
    },
  };

  document.addEventListener("keydown", (event) => {
    if (!viewer.open) return;
    const typing = event.target.matches("input");
    if (typing && ["Escape", "Enter"].includes(event.key)) {
      event.preventDefault();
      event.target.blur(); // which takes the label
      viewer.focus();
      return;
    }
    const pressing = event.key === "Enter" && event.target.matches("button, summary");
    if (typing || pressing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  // Wiring

  function listLabels() {
    const options = [...filters.elements.label.options].map(({value}) => value);
    addOptions(filters.elements.label, [...colors.keys()].filter((label) => !options.includes(label)).map((label) => [label, label]));
    at("labels").replaceChildren(...[...colors.keys()].map((label) => make("option", {value: label})));
  }

  function addOptions(select, entries) {
    select.append(...entries.map(([value, text]) => make("option", {value}, text)));
  }

  function showFailures(total) {
    at("failures").hidden = !total;
    const more = total > failures.length ? `, the first ${failures.length.toLocaleString()} are listed` : "";
    at("failures").querySelector("summary").textContent = `${plural(total, "picture")} failed${more}`;
    const rows = failures.map(({item, error}) => make("tr", {}, make("td", {}, item), make("td", {}, error)));
    at("failures").querySelector("tbody").append(...rows);
  }

  let waiting = 0;
  filters.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 60);
  });
  filters.addEventListener("reset", () => setTimeout(refresh));
  filters.addEventListener("submit", (event) => event.preventDefault());
  at("download").addEventListener("click", download);
  at("previous").addEventListener("click", () => show(here - 1));
  at("next").addEventListener("click", () => show(here + 1));
  at("close").addEventListener("click", () => viewer.close());
  at("accept").addEventListener("click", () => judgePicture("accept"));
  at("reject").addEventListener("click", () => judgePicture("reject"));
  for (const each of ["masks", "boxes", "tags", "zoom"]) at(each).addEventListener("click", () => toggle(each));
  viewer.addEventListener("close", () => {
    document.body.classList.remove("viewing");
    while (carded <= here) addCards();
    for (const picture of touched) {
      at("grid").children[list.indexOf(picture)].replaceWith(card(picture, wanted()));
    }
    at("grid").children[here].focus();
  });
  window.addEventListener("resize", () => {
    if (viewer.open && detail) showStage();
  });
  new IntersectionObserver((seen) => {
    if (seen.some((each) => each.isIntersecting) && carded && carded < shown.length) addCards();
  }, {rootMargin: "800px"}).observe(at("more"));

  return {
    begin(data) {
      job = data;
      for (const {name, color, ink} of job.labels) colors.set(name, {color, ink});
    },
    add(picture) {
      picture.number = pictures.length;
      pictures.push(picture);
      load(picture);
    },
    failed(failure) {
      failures.push(failure);
    },
    chunk(number, data) {
      chunks.get(number)?.resolve(data);
    },
    end({failures: failed}) {
      const objects = job.labels.reduce((sum, {count}) => sum + count, 0);
      const parts = [plural(job.pictures, "picture"), plural(objects, "object"), plural(job.labels.length, "label")];
      if (failed) parts.push(`${failed.toLocaleString()} failed`);
      if (pictures.length < job.pictures) parts.push(`the ${pictures.length.toLocaleString()} most doubtful are here`);
      if (job.compared) parts.push("compared with another job");
      at("summary").textContent = parts.join(" · ");
      addOptions(filters.elements.label, job.labels.map(({name, count}) => [name, `${name} (${count.toLocaleString()})`]));
      const kinds = Object.entries(job.kinds).map(([kind, words]) => {
        return [kind, words, pictures.filter((picture) => picture.flags.includes(kind)).length];
      });
      addOptions(filters.elements.flag, kinds.filter(([, , n]) => n).map(([kind, words, n]) => [kind, `${words} (${n})`]));
      listLabels();
      showFailures(failed);
      showDecided();
      refresh();
    },
  };
})();
