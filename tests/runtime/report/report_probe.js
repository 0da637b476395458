// Runs in a page that holds reports in frames of fixed width, and writes down what is wrong in each.
// The reports themselves run no script, their security policy forbids it; this looks in from outside.
"use strict";

const SLACK_PX = 0.6; // browsers lay out in fractions of a pixel
const SMALLEST_TYPE_PX = 9;
const CONTRAST = 4.5; // WCAG 2.2, 1.4.3, level AA

function named(element) {
  const text = element.textContent.trim().slice(0, 40);
  return `${element.tagName.toLowerCase()}.${element.getAttribute("class") || ""} "${text}"`;
}

function outside(inner, outer) {
  return (
    inner.left < outer.left - SLACK_PX ||
    inner.right > outer.right + SLACK_PX ||
    inner.top < outer.top - SLACK_PX ||
    inner.bottom > outer.bottom + SLACK_PX
  );
}

function overlap(a, b) {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 1 && height > 1;
}

// [red, green, blue, opacity], all 0..1, from what getComputedStyle gives.
function parsed(color) {
  const numbers = color.match(/[\d.]+/g).map(Number);
  const [red, green, blue, opacity = 1] = numbers;
  return [red / 255, green / 255, blue / 255, opacity];
}

function over(front, back) {
  const opacity = front[3];
  return [0, 1, 2].map((i) => front[i] * opacity + back[i] * (1 - opacity)).concat(1);
}

function background(element, view) {
  const layers = [];
  for (let at = element; at !== null; at = at.parentElement) {
    layers.push(parsed(view.getComputedStyle(at).backgroundColor));
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [1, 1, 1, 1]);
}

function luminance(color) {
  const [red, green, blue] = color
    .slice(0, 3)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a, b) {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

function faultsOf(frame) {
  const view = frame.contentWindow;
  const page = frame.contentDocument;
  const faults = [];
  const root = page.scrollingElement;
  if (root.scrollWidth > view.innerWidth) {
    faults.push(`the page is ${root.scrollWidth} wide in a window of ${view.innerWidth}`);
  }
  const window_ = { left: 0, right: view.innerWidth, top: -Infinity, bottom: Infinity };
  for (const element of page.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    const scrolled = element.parentElement.closest(".scroll");
    if (!scrolled && !element.closest("svg") && outside(box, window_)) {
      faults.push(`${named(element)} leaves the window: ${box.left} to ${box.right}`);
    }
    if (element.matches(".scroll") && view.innerWidth >= 1000) {
      if (element.scrollWidth > element.clientWidth) {
        faults.push(`${named(element)} has to be scrolled on a desktop`);
      }
    }
    const direct = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (direct && !element.closest("title, desc")) {
      const style = view.getComputedStyle(element);
      const inPlot = element instanceof view.SVGElement;
      const ink = over(parsed(inPlot ? style.fill : style.color), background(element, view));
      const ratio = contrast(ink, background(element, view));
      if (ratio < CONTRAST) {
        faults.push(`${named(element)} has a contrast of ${ratio.toFixed(2)}`);
      }
      const svg = element.closest("svg");
      const scale = inPlot ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
      if (parseFloat(style.fontSize) * scale < SMALLEST_TYPE_PX) {
        faults.push(`${named(element)} is set in ${parseFloat(style.fontSize) * scale} pixels`);
      }
    }
  }
  for (const svg of page.querySelectorAll("svg")) {
    const title = svg.querySelector("title");
    const hidden = svg.getAttribute("aria-hidden") === "true";
    if (!hidden && !(title && title.textContent.trim())) {
      faults.push(`${named(svg)} has no title`);
    }
    const texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map((text) => text.getBoundingClientRect());
    texts.forEach((text, i) => {
      if (outside(boxes[i], svg.getBoundingClientRect())) {
        faults.push(`${named(text)} leaves its plot`);
      }
      for (let j = i + 1; j < texts.length; j++) {
        if (overlap(boxes[i], boxes[j])) {
          faults.push(`${named(text)} lies on ${named(texts[j])}`);
        }
      }
    });
  }
  for (const image of page.querySelectorAll("img")) {
    if (!(image.getAttribute("alt") || "").trim()) {
      faults.push("a picture has no text");
    }
    if (!image.complete || image.naturalWidth === 0) {
      faults.push(`the picture "${image.alt}" is not shown`);
    }
  }
  return {
    name: frame.title,
    width: view.innerWidth,
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    elements: page.body.querySelectorAll("*").length,
    plots: page.querySelectorAll("svg.plot").length,
    pictures: page.images.length,
    faults,
  };
}

window.addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")].map(faultsOf);
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(frames);
  document.body.append(result);
});
