// A page in a frame sees the system's wish for light or dark, not the choice made on the page around it: it is told.
const frames = document.querySelectorAll("iframe");
const tell = (frame) => frame.contentWindow.postMessage({ theme: document.body.dataset.theme }, "*");
for (const frame of frames) frame.addEventListener("load", () => tell(frame));
frames.forEach(tell); // some are loaded already
new MutationObserver(() => frames.forEach(tell)).observe(document.body, { attributeFilter: ["data-theme"] });
