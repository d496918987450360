import { accepts, keptLang } from "./lib/lang.ts";
import { needs, routeOf, sessionPath } from "./lib/paths.ts";

// This script is inline in the page and runs first. It requests what the page shows
// and the page's code while the browser still loads the rest.

declare global {
  interface Window {
    /** The responses requested before the code was loaded, by path. */
    prefetched?: Map<string, Promise<Response>>;
  }
}

/** The files of each page's code, by the page's name; the bundler knows them. */
declare const PAGE_FILES: Record<string, string[]>;

const at = routeOf(location.hash);
for (const file of PAGE_FILES[at.page || "tonight"] ?? []) {
  const link = document.createElement("link");
  link.rel = "modulepreload";
  link.href = "/assets/" + file;
  document.head.append(link);
}
const headers = { Accept: "application/json", "Accept-Language": accepts(keptLang()) };
window.prefetched = new Map([...needs(at, Date.now()), sessionPath].map((path) => {
  const answer = fetch(path, { headers, cache: "no-store" });
  answer.catch(() => {}); // its user reports the error
  return [path, answer];
}));
