// A page in a frame says how high it is; its frame becomes as high.
window.addEventListener("message", (event) => {
  for (const frame of document.querySelectorAll("iframe.page")) {
    if (frame.contentWindow === event.source) frame.style.height = `${event.data.height}px`;
  }
});
