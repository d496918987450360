import { signal } from "@preact/signals";
import { call, loginNeeded, session, setCsrf } from "./api.ts";
import { sessionPath } from "./paths.ts";
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

let asking: Promise<void> | null = null;

/** Asks who the caller is, once at a time. An answer that fails leaves it as it was. */
export function ask(): Promise<void> {
  return (asking ??= call<Session>("GET", sessionPath).then(take, () => {
    // the banner says that the orchestrator does not respond; the next call tells whether a key is needed
  }).finally(() => (asking = null)));
}

/** Opens a session by a key. */
export async function login(key: string): Promise<void> {
  take(await call<Session>("POST", sessionPath, { key }));
  session.value++;
}

/** Ends the session. */
export async function logout(): Promise<void> {
  await call("DELETE", sessionPath);
  await ask();
  session.value++;
}

const rank = ["ROLE_UNSPECIFIED", ...roles];

/** Whether the caller's role allows what requires a role. True while the role is not known: the API decides. */
export const may = (role: string): boolean => !who.value || rank.indexOf(who.value.role) >= rank.indexOf(role);
