// The page of scripts/serve.py. All that comes from a user or a model becomes text, never markup.

"use strict";

const TYPING_PAUSE = 150; // milliseconds without a key before a text is sent
const RETRIES = 3; // of a request for which the server has no time
const SUSPICIOUS = 0.5; // a word above this probability looks replaced
const NOTABLE = 0.1; // of the largest weight: a word below it is not marked
const MOST_LISTED = 5; // words that matter, listed with their numbers
const EVERY_MODEL = "*"; // no name of a file has it

// What the page starts with where its address has no text.
const EXAMPLES = {
  replaced: { text: "The acting is was terrible, but it is one of the best films in ever made." },
  labels: { text: "a warm and funny film", text_b: "it made me laugh" },
  value: { text: "A man plays the guitar.", text_b: "Someone makes music." },
};

const page = {
  models: [],
  characters: 0, // of a text, at most
  fields: new Map(), // name of an input -> textarea
  sections: new Map(), // name of a model -> its part of the page
  masked: new Map(), // name of an ELECTRA -> number of the word that is masked
  turn: 0, // only answers to the newest turn are shown
  running: new AbortController(),
  timer: 0,
};

// ---------------------------------------------------------------- elements

const find = (id) => document.getElementById(id);

/** An element. Attributes that are null are left out; children are elements and texts. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Sets a colour's strength or a bar's length, from 0 to 1. */
function setShare(element, share) {
  element.style.setProperty("--share", String(Math.min(1, Math.max(0, share))));
  return element;
}

const spoken = (text) => make("span", { class: "hidden" }, text);
const percent = (p) => `${(100 * p).toFixed(p > 0.0995 && p < 0.9895 ? 0 : 1)}%`;
const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(3)}`;

/** A text cut at marks {start, end}, which count characters as Python does: an emoji is one. */
function markedText(text, marks, makeMark, attributes = {}) {
  const characters = Array.from(text);
  const paragraph = make("p", { class: "text", dir: "auto", lang: "", ...attributes });
  let done = 0;
  marks.forEach((mark, number) => {
    if (mark.start < done || mark.end > characters.length) return; // inside an earlier one
    paragraph.append(characters.slice(done, mark.start).join(""));
    paragraph.append(makeMark(mark, characters.slice(mark.start, mark.end).join(""), number));
    done = mark.end;
  });
  paragraph.append(characters.slice(done).join(""));
  return paragraph;
}

/** Lets arrow keys move between the words of a paragraph; Tab reaches one of them. */
function moveByArrows(paragraph) {
  const words = Array.from(paragraph.querySelectorAll(".word"));
  words.forEach((word, number) => (word.tabIndex = number ? -1 : 0));
  const focus = (word) => {
    words.forEach((other) => (other.tabIndex = other === word ? 0 : -1));
    word.focus();
  };
  paragraph.addEventListener("keydown", (event) => {
    const at = words.indexOf(document.activeElement);
    const forward = getComputedStyle(paragraph).direction === "rtl" ? -1 : 1;
    const targets = {
      ArrowRight: at + forward,
      ArrowLeft: at - forward,
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: words.length - 1,
    };
    const target = words[targets[event.key]];
    if (at < 0 || !target) return;
    event.preventDefault();
    focus(target);
  });
  return paragraph;
}

/** A table of bars: rows {name, share, number, best}. `name` is a text or an element. */
function bars(caption, rows) {
  const table = make("table", { class: "bars" });
  if (caption) table.append(make("caption", { class: "hint" }, caption));
  const body = make("tbody");
  for (const { name, share, number, best, kind } of rows) {
    const bar = setShare(make("span"), share);
    body.append(
      make(
        "tr",
        { class: best ? "best" : null },
        make("th", { scope: "row" }, name),
        make("td", { "aria-hidden": "true" }, make("div", { class: `bar ${kind ?? ""}` }, bar)),
        make("td", { class: "number" }, number),
      ),
    );
  }
  table.append(body);
  return table;
}

// ---------------------------------------------------------------- answers, by kind

/** For each kind of model: shows an answer in its section and returns a sentence about it. */
const RENDERERS = {
  replaced: showReplaced,
  labels: showLabels,
  value: showValue,
  several: showSeveral,
  entities: showEntities,
  answers: showAnswers,
};

function showReplaced(section, model, answer, texts) {
  const masked = page.masked.get(model.name);
  const makeWord = (word, text, number) => {
    const looks = word.replaced > SUSPICIOUS;
    const button = make(
      "button",
      {
        type: "button",
        class: looks ? "word strong" : "word",
        "aria-pressed": String(number === masked),
        "data-tip": word.replaced.toFixed(2),
      },
      text,
      spoken(`, ${percent(word.replaced)}`),
    );
    button.addEventListener("click", () => maskWord(section, model, texts, number));
    return setShare(button, word.replaced);
  };
  const label = "The words of the text, with the probability that each was replaced. Arrow keys " +
    "move between them, Enter masks one.";
  const text = markedText(texts.text, answer.words, makeWord, { role: "group", "aria-label": label });
  const fill = make("div", { class: "fill", "aria-live": "polite" });
  section.body.replaceChildren(moveByArrows(text), replacedLegend(), fill);
  if (answer.fill) showFill(section, model, texts, answer);
  const looks = answer.words.filter((word) => word.replaced > SUSPICIOUS).length;
  const words = answer.words.length === 1 ? "word looks" : "words look";
  return `${looks} of ${answer.words.length} ${words} replaced`;
}

function replacedLegend() {
  const ramp = make("span", { class: "ramp", "aria-hidden": "true" });
  for (const p of [0, 0.25, 0.5, 0.75, 1]) {
    ramp.append(setShare(make("span", { class: p > SUSPICIOUS ? "word strong" : "word" }, String(p)), p));
  }
  const said = "probability that a word was replaced; underlined above 0.5. Click a word to mask it.";
  return make("p", { class: "legend hint" }, ramp, make("span", {}, said));
}

/** Masks a word and asks the generator, or takes the mask away. */
async function maskWord(section, model, texts, number) {
  const again = page.masked.get(model.name) === number;
  if (again) page.masked.delete(model.name);
  else page.masked.set(model.name, number);
  section.body.querySelectorAll(".text .word").forEach((word, at) => {
    word.setAttribute("aria-pressed", String(!again && at === number));
  });
  writeAddress();
  const turn = page.turn;
  if (again) return section.body.querySelector(".fill").replaceChildren();
  await guarded(section, async () => {
    const answer = await ask({ model: model.name, ...texts, mask: number }, page.running.signal);
    if (turn === page.turn && page.masked.get(model.name) === number) {
      showFill(section, model, texts, answer);
    }
  });
}

function showFill(section, model, texts, answer) {
  const word = answer.words[answer.fill.word];
  const rows = answer.fill.suggestions.map((suggestion) => {
    const shown = suggestion.joined ? `…${suggestion.text}` : suggestion.text;
    const button = make(
      "button",
      { type: "button", title: "Put it into the text" },
      make("bdi", {}, shown),
    );
    button.addEventListener("click", () => putIn(model, word, suggestion, answer.fill.word));
    return { name: button, share: suggestion.probability, number: percent(suggestion.probability) };
  });
  section.body.querySelector(".fill").replaceChildren(
    make("h3", {}, "In place of “", make("bdi", {}, word.text), "” the generator would put"),
    bars("", rows),
  );
}

/** Puts a suggestion of the generator in the place of the word. */
function putIn(model, word, suggestion, number) {
  const field = page.fields.get("text");
  const characters = Array.from(field.value);
  let before = characters.slice(0, word.start).join("");
  if (suggestion.joined) before = before.trimEnd();
  field.value = before + suggestion.text + characters.slice(word.end).join("");
  if (suggestion.joined) page.masked.clear();
  update().then(() => {
    const words = page.sections.get(model.name)?.body.querySelectorAll(".text .word");
    words?.[Math.min(number, words.length - 1)]?.focus();
  });
}

function showLabels(section, model, answer, texts) {
  const rows = Object.entries(answer.probabilities)
    .sort((one, other) => other[1] - one[1])
    .map(([label, p]) => ({
      name: make("bdi", {}, label),
      share: p,
      number: percent(p),
      best: label === answer.label,
    }));
  section.body.replaceChildren(
    bars("Probability of each label", rows),
    ...weightedWords(answer, texts, `for “${answer.label}”`, model),
  );
  return `${answer.label}, ${percent(answer.probability)}`;
}

function showSeveral(section, model, answer) {
  const rows = Object.entries(answer.probabilities)
    .sort((one, other) => other[1] - one[1])
    .map(([label, p]) => ({
      name: make("bdi", {}, label),
      share: p,
      number: percent(p),
      best: answer.labels.includes(label),
    }));
  section.body.replaceChildren(bars("Probability of each label; those given are in bold", rows));
  return answer.labels.length ? answer.labels.join(", ") : "no label";
}

function showValue(section, model, answer, texts) {
  const value = make("p", { class: "headline" }, "Value: ", make("strong", {}, String(answer.value)));
  section.body.replaceChildren(value, ...weightedWords(answer, texts, "for a high value", model));
  return `value ${answer.value}`;
}

/** Which words matter: coloured in the text, and the first of them with their numbers. */
function weightedWords(answer, texts, what, model) {
  if (!answer.words?.length) return [];
  const largest = Math.max(...answer.words.map((word) => Math.abs(word.weight)), 1e-6);
  const makeWord = (word, text) => {
    const share = Math.abs(word.weight) / largest;
    const side = word.weight < 0 ? "against" : "for";
    const shown = make(
      "span",
      { class: share < NOTABLE ? "word" : `word ${side}`, "data-tip": signed(word.weight) },
      text,
      spoken(` (${signed(word.weight)})`),
    );
    return setShare(shown, share);
  };
  const label = "The words of the text, each with its weight. Arrow keys move between them.";
  const parts = model.inputs.map((input) => {
    const words = answer.words.filter((word) => word.input === input.name);
    const attributes = { role: "group", "aria-label": label };
    return moveByArrows(markedText(texts[input.name], words, makeWord, attributes));
  });
  const most = [...answer.words]
    .sort((one, other) => Math.abs(other.weight) - Math.abs(one.weight))
    .slice(0, MOST_LISTED)
    .map((word) => ({
      name: make("bdi", {}, word.text),
      share: Math.abs(word.weight) / largest,
      number: signed(word.weight),
      kind: word.weight < 0 ? "against" : "",
    }));
  const legend = make(
    "p",
    { class: "legend hint" },
    make("span", {}, setShare(make("span", { class: "word for" }, "speaks"), 0.6), ` ${what}`),
    make("span", {}, setShare(make("span", { class: "word against" }, "speaks"), 0.6), " against it"),
  );
  const caption = "The largest weights: how much is lost without these words";
  return [make("h3", {}, "Words that matter"), ...parts, legend, bars(caption, most)];
}

function showEntities(section, model, answer, texts) {
  const types = [...new Set(answer.entities.map((entity) => entity.type))];
  const ordered = [...answer.entities].sort((one, other) => one.start - other.start);
  const makeEntity = (entity, text) =>
    make(
      "mark",
      { class: `mark c${types.indexOf(entity.type) % 6}`, title: percent(entity.score) },
      text,
      make("small", {}, entity.type),
      spoken(`, ${percent(entity.score)}`),
    );
  section.body.replaceChildren(markedText(texts.text, ordered, makeEntity));
  const count = answer.entities.length;
  return `${count} ${count === 1 ? "span" : "spans"} found`;
}

function showAnswers(section, model, answer, texts) {
  const best = answer.answers.filter((one) => one.text).slice(0, 1);
  const makeAnswer = (one, text) =>
    make("mark", { class: "mark c0", title: percent(one.score) }, text);
  const rows = answer.answers.map((one, number) => ({
    name: one.text ? make("bdi", {}, one.text) : "(no answer)",
    share: one.score,
    number: percent(one.score),
    best: number === 0,
  }));
  section.body.replaceChildren(markedText(texts.text, best, makeAnswer), bars("Answers", rows));
  const first = answer.answers[0];
  return first?.text ? `“${first.text}”, ${percent(first.score)}` : "no answer";
}

// ---------------------------------------------------------------- asking

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Sends a request; waits and tries again where the server has no time. Throws what is wrong. */
async function ask(request, signal) {
  for (let attempt = 0; ; attempt += 1) {
    const response = await fetch("v1/predict", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request),
      signal,
    });
    const answer = await response.json();
    if (response.ok) return answer;
    if (response.status !== 503 || attempt === RETRIES) throw new Error(answer.error);
    await wait(1000 * Number(response.headers.get("Retry-After") ?? 1));
  }
}

/** Runs what asks for a section; an error is shown there. */
async function guarded(section, work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    const lost = error instanceof TypeError; // of fetch, for a server that cannot be reached
    const why = lost ? "The server does not answer. Is it still running?" : error.message;
    section.body.replaceChildren(make("p", { class: "problem", role: "alert" }, why));
  }
}

/** Asks one model about the texts, and shows its answer. */
async function answerSection(section, model, turn, signal) {
  const texts = Object.fromEntries(
    model.inputs.map((input) => [input.name, page.fields.get(input.name).value]),
  );
  if (Object.values(texts).every((text) => !text.trim())) {
    section.body.replaceChildren();
    return "";
  }
  const show = async (options) => {
    const answer = await ask({ model: model.name, ...texts, ...options }, signal);
    return turn === page.turn ? RENDERERS[model.kind](section, model, answer, texts) : "";
  };
  let said = "";
  section.setAttribute("aria-busy", "true");
  await guarded(section, async () => {
    const masked = page.masked.get(model.name);
    said = await show(masked === undefined ? {} : { mask: masked });
    // The words take longer, so they come after the answer itself.
    if (model.options.includes("words")) said = await show({ words: true });
  });
  if (turn === page.turn) section.setAttribute("aria-busy", "false");
  return said;
}

/** Asks all chosen models; an older request that is still under way is given up. */
async function update() {
  page.running.abort();
  page.running = new AbortController();
  page.turn += 1;
  const turn = page.turn;
  writeAddress();
  document.body.dataset.state = "asking";
  const chosen = chosenModels();
  const said = await Promise.all(
    chosen.map((model) =>
      answerSection(page.sections.get(model.name), model, turn, page.running.signal),
    ),
  );
  if (turn !== page.turn) return;
  find("status").textContent = said
    .map((sentence, i) => (sentence && chosen.length > 1 ? `${chosen[i].name}: ${sentence}` : sentence))
    .filter(Boolean)
    .join(". ");
  document.body.dataset.state = "ready";
}

function onTyping() {
  page.masked.clear();
  countCharacters();
  clearTimeout(page.timer);
  page.timer = setTimeout(update, TYPING_PAUSE);
}

function countCharacters() {
  for (const [name, field] of page.fields) {
    const count = Array.from(field.value).length;
    const over = count > page.characters;
    find(`count-${name}`).textContent = over
      ? `${count.toLocaleString("en")} of at most ${page.characters.toLocaleString("en")} characters`
      : `${count.toLocaleString("en")} characters`;
    field.setAttribute("aria-invalid", String(over));
  }
}

// ---------------------------------------------------------------- the page itself

const chosenModels = () =>
  page.models.filter((model) => [model.name, EVERY_MODEL].includes(find("model").value));

/** Lays out the inputs and sections of the chosen models; texts stay. */
function layOut(texts) {
  const inputs = new Map();
  for (const model of chosenModels()) {
    for (const input of model.inputs) inputs.set(input.name, input.title);
  }
  page.fields = new Map();
  const fields = [...inputs].map(([name, title]) => {
    const field = make("textarea", { id: name, rows: 3, spellcheck: "false", dir: "auto" });
    field.value = texts[name] ?? "";
    field.addEventListener("input", onTyping);
    page.fields.set(name, field);
    const count = make("span", { class: "count", id: `count-${name}` });
    field.setAttribute("aria-describedby", count.id);
    const label = make("label", { for: name }, title);
    return make("div", { class: "field" }, make("div", { class: "label" }, label, count), field);
  });
  find("inputs").replaceChildren(...fields);

  page.sections = new Map();
  const sections = chosenModels().map((model) => {
    const body = make("div");
    const section = make("section", { class: "answer", "aria-label": model.name });
    if (page.models.length > 1) section.append(make("h2", {}, model.name));
    section.append(body);
    section.body = body;
    page.sections.set(model.name, section);
    return section;
  });
  find("answers").replaceChildren(...sections);
  countCharacters();
}

const typed = () => Object.fromEntries([...page.fields].map(([name, field]) => [name, field.value]));

/** Keeps model, texts and masked word in the address, so that a link shows them again. */
function writeAddress() {
  const parts = new URLSearchParams(typed());
  if (page.models.length > 1) parts.set("model", find("model").value);
  const chosen = chosenModels();
  const masked = chosen.length === 1 ? page.masked.get(chosen[0].name) : undefined;
  if (masked !== undefined) parts.set("mask", masked);
  history.replaceState(null, "", `#${parts}`);
}

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const names = page.models.map((model) => model.name);
  const wanted = parts.get("model");
  find("model").value = [...names, EVERY_MODEL].includes(wanted) ? wanted : names[0];
  page.masked.clear();
  const chosen = chosenModels();
  const mask = Number.parseInt(parts.get("mask"), 10);
  if (chosen.length === 1 && chosen[0].options.includes("mask") && mask >= 0) {
    page.masked.set(chosen[0].name, mask);
  }
  const texts = Object.fromEntries(parts);
  const given = chosen.some((model) => model.inputs.some((input) => input.name in texts));
  layOut(given ? texts : (EXAMPLES[chosen[0].kind] ?? {}));
  return update();
}

async function start() {
  const response = await fetch("v1/models");
  const { models, limits } = await response.json();
  page.models = models;
  page.characters = limits.characters;
  const choice = find("model");
  choice.append(...models.map((model) => make("option", { value: model.name }, model.name)));
  if (models.length > 1) {
    choice.append(make("option", { value: EVERY_MODEL }, "all, one under the other"));
  }
  choice.addEventListener("change", () => {
    page.masked.clear();
    layOut(typed());
    update();
  });
  find("choice").hidden = models.length < 2;
  window.addEventListener("hashchange", readAddress);
  await readAddress();
}

start().catch((error) => {
  find("status").replaceChildren(make("span", { class: "problem", role: "alert" }, error.message));
});
