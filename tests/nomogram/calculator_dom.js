"use strict";
// A document just large enough to run the calculator's own script in node: reads a JSON job from stdin,
// {trees: [element tree of each calculator], script, steps: [[calculator, attribute, name, value], …]},
// runs the script as a page would, replays the steps as user input, and prints what each calculator shows.

class Element {
  constructor(tree) {
    this.tag = tree.tag;
    this.attributes = new Map(Object.entries(tree.attributes));
    this.children = tree.children.map((child) => new Element(child));
    this.textContent = tree.text;
    this.listeners = {};
    const chosen = this.children.find((child) => child.attributes.has("selected")) || this.children[0];
    this.value = this.tag === "select" ? chosen.attributes.get("value") : this.attributes.get("value");
  }
  getAttribute(name) { return this.attributes.has(name) ? this.attributes.get(name) : null; }
  setAttribute(name, value) { this.attributes.set(name, String(value)); }
  addEventListener(type, listener) { (this.listeners[type] = this.listeners[type] || []).push(listener); }
  dispatch(type) { (this.listeners[type] || []).forEach((listener) => listener({ target: this })); }
  querySelectorAll(selector) {
    const name = selector.match(/^\[([a-z-]+)\]$/)[1];
    const below = this.children.flatMap((child) => child.querySelectorAll(selector));
    return this.attributes.has(name) ? [this, ...below] : below;
  }
}

const job = JSON.parse(require("fs").readFileSync(0, "utf8"));
const roots = job.trees.map((tree) => new Element(tree));
globalThis.document = { querySelectorAll: (selector) => roots.flatMap((root) => root.querySelectorAll(selector)) };
const run = new Function(job.script);
roots.forEach(() => run()); // each calculator brings its own copy of the script

const shown = (root) => {
  const read = (name) => root.querySelectorAll("[" + name + "]");
  const values = (name) => Object.fromEntries(
    read(name).map((element) => [element.getAttribute(name), Number(element.getAttribute("data-value"))]));
  const path = read("data-path")[0];
  return {
    results: values("data-result"), points: values("data-points"), total: values("data-total")[""],
    text: read("data-result").map((element) => element.textContent), warning: read("data-warning")[0].textContent,
    path: path ? path.getAttribute("d") : null,
    label: path ? read("data-curve")[0].getAttribute("aria-label") : null,
    inputs: Object.fromEntries(read("data-input").map((element) => [element.getAttribute("data-input"), element.value])),
    sliders: Object.fromEntries(read("data-slider").map((element) => [element.getAttribute("data-slider"), element.value])),
    listeners: read("data-input").map((element) => (element.listeners.input || []).length),
  };
};

const states = [roots.map(shown)];
job.steps.forEach(([calculator, attribute, name, value]) => {
  const found = roots[calculator].querySelectorAll("[" + attribute + "]");
  const element = found.find((candidate) => candidate.getAttribute(attribute) === name);
  element.value = value;
  element.dispatch("input");
  states.push(roots.map(shown));
});
process.stdout.write(JSON.stringify(states));
