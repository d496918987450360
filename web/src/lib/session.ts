import { signal } from "@preact/signals";
import { call, loginNeeded, session, setCsrf } from "./api.ts";
import { roles } from "./words.ts";

export interface Session {
  role: string;
  name: string;
  authRequired: boolean;
  csrfToken: string;
  expireTime: string | null;
}

/** Who the caller is. Null before that is known. */
export const who = signal<Session | null>(null);

function take(s: Session): void {
  who.value = s;
  setCsrf(s.csrfToken);
  loginNeeded.value = s.authRequired && s.role === "ROLE_UNSPECIFIED";
}

/** Asks who the caller is. An answer that fails leaves it as it was. */
export async function ask(): Promise<void> {
  try {
    take(await call<Session>("GET", "/v1/session"));
  } catch {
    // the banner says that the orchestrator does not respond; the next call tells whether a key is needed
  }
}

/** Opens a session by a key. */
export async function login(key: string): Promise<void> {
  take(await call<Session>("POST", "/v1/session", { key }));
  session.value++;
}

/** Ends the session. */
export async function logout(): Promise<void> {
  await call("DELETE", "/v1/session");
  await ask();
  session.value++;
}

const rank = ["ROLE_UNSPECIFIED", ...roles];

/** Whether the caller's role allows what requires a role. True while the role is not known: the API decides. */
export const may = (role: string): boolean => !who.value || rank.indexOf(who.value.role) >= rank.indexOf(role);
