import { accepts, keptLang } from "./lib/lang.ts";
import { needs, routeOf, sessionPath } from "./lib/paths.ts";

// This script stands in the page itself and is run first. It asks for what the page shows
// and for the page's code while the browser still loads the rest.

declare global {
  interface Window {
    /** The responses that were asked for before the code was there, by path. */
    ahead?: Map<string, Promise<Response>>;
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
window.ahead = new Map([...needs(at, Date.now()), sessionPath].map((path) => {
  const answer = fetch(path, { headers, cache: "no-store" });
  answer.catch(() => {}); // whoever takes it reports that
  return [path, answer];
}));
