/* Takes one file out of a study's archive (a zip), which is fetched when the first of its links is followed. Without
   this script, or where a page is opened from a folder, such a link gives the whole archive. */
(function () {
  "use strict";
  const archives = new Map();
  const open = async (address) => {
    const answer = await fetch(address);
    if (!answer.ok) { throw new Error(String(answer.status)); }
    const bytes = await answer.arrayBuffer(), view = new DataView(bytes), files = new Map();
    let end = bytes.byteLength - 22;
    while (view.getUint32(end, true) !== 0x06054b50) { end -= 1; }
    let at = view.getUint32(end + 16, true);
    for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
      const [name, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
      const local = view.getUint32(at + 42, true);
      const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      files.set(new TextDecoder().decode(new Uint8Array(bytes, at + 46, name)),
        new Blob([new Uint8Array(bytes, start, view.getUint32(at + 20, true))]));
      at += 46 + name + extra + comment;
    }
    return files;
  };
  const take = async (link) => {
    if (!archives.has(link.href)) { archives.set(link.href, open(link.href)); }
    const file = (await archives.get(link.href)).get(link.dataset.take);
    const kind = link.dataset.take.endsWith(".svg") ? "image/svg+xml" : "text/csv";
    const unpacked = await new Response(file.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
    const offered = document.createElement("a");
    offered.href = URL.createObjectURL(new Blob([unpacked], { type: kind }));
    offered.download = link.dataset.take.split("/").pop();
    offered.click();
    setTimeout(() => URL.revokeObjectURL(offered.href), 10000);
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-take]");
    if (!link || location.protocol === "file:") { return; }
    event.preventDefault();
    take(link).catch(() => { location.href = link.href; });
  });
})();
