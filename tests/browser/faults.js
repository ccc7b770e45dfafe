// The body of a function: returns what is wrong with the page as a list of texts.
const faults = [];
const visible = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility !== "hidden";
const told = (element) => `${element.tagName.toLowerCase()} ${element.name ?? element.id ?? ""} "${(element.innerText ?? "").slice(0, 40)}"`;

if (document.documentElement.lang !== "en") faults.push("no language");
if (!document.title.trim()) faults.push("no title");
if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
if (document.querySelectorAll("script:not([src]), style, [style]").length) faults.push("scripts or styles inside");

let level = 1;
for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
  const own = Number(heading.tagName[1]);
  if (own > level + 1) faults.push(`a level of headings is left out before ${told(heading)}`);
  level = own;
}
for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
  if (!visible(field)) continue;
  const name = [...(field.labels ?? [])].map((label) => label.innerText.trim()).join(" ") || field.ariaLabel;
  if (!name) faults.push(`no label: ${told(field)}`);
}
for (const control of document.querySelectorAll("button, a[href]")) {
  if (!visible(control)) continue;
  const name = control.innerText.trim() || control.ariaLabel || control.querySelector("img")?.alt;
  if (!name) faults.push(`no name: ${told(control)}`);
  const { width, height } = control.getBoundingClientRect();
  if (control.tagName === "BUTTON" && (width < 24 || height < 24)) faults.push(`too small: ${told(control)}`);
}
for (const picture of document.querySelectorAll("img:not([alt])")) faults.push(`no words for ${told(picture)}`);
for (const group of document.querySelectorAll("fieldset")) {
  if (!group.querySelector(":scope > legend")?.innerText.trim()) faults.push(`no legend: ${told(group)}`);
}
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) faults.push(`id ${id} twice`);
for (const element of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) {
  for (const name of ["aria-describedby", "aria-labelledby"]) {
    for (const id of (element.getAttribute(name) ?? "").split(/\s+/).filter(Boolean)) {
      if (!document.getElementById(id)) faults.push(`${name} of ${told(element)} names nothing`);
    }
  }
}

const parts = (color) => (color.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
const light = (color) => {
  const [r, g, b] = parts(color).map((value) => value / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if ((parts(color)[3] ?? 1) === 1) return color;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)";
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !visible(element) || element.closest("noscript")) continue;
  const style = getComputedStyle(element);
  const [one, other] = [light(style.color), light(ground(element))].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (other + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(1)}: ${told(element)}`);
}
if (document.documentElement.scrollWidth > innerWidth) faults.push(`scrolls sideways at ${innerWidth}`);
return faults;
