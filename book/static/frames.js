// A page in a frame says how high it is; its frame becomes as high, and the page as light or dark as the book.
const frames = () => [...document.querySelectorAll("iframe.page")];
const shade = (page) => page.postMessage({ theme: document.body.dataset.theme }, "*");
window.addEventListener("message", (event) => {
  const frame = frames().find((one) => one.contentWindow === event.source);
  if (!frame) return;
  frame.style.height = `${event.data.height}px`;
  shade(frame.contentWindow);
});
document.addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => frames().forEach((frame) => shade(frame.contentWindow))).observe(document.body, { attributeFilter: ["data-theme"] });
});
