import type { Run } from "./types.ts";
import { poolId } from "./words.ts";

export interface RunRequest {
  pools: string[];
  startDate?: string;
  endDate?: string;
  moduleIds?: string[];
  refetch?: boolean;
  validateOnly?: boolean;
}

/** Writes a request for runs as a command of afterbell. */
export function runCommand(r: RunRequest): string {
  const words = ["afterbell run", ...r.pools.map(poolId)];
  if (r.startDate) words.push("--from", r.startDate);
  if (r.endDate) words.push("--to", r.endDate);
  if (r.moduleIds?.length) words.push("--modules", r.moduleIds.join(","));
  if (r.refetch) words.push("--refetch");
  if (r.validateOnly) words.push("--dry-run");
  return words.join(" ");
}

/** Gives the request that asks for the same as a run once more. */
export function again(r: Run): RunRequest {
  const body: RunRequest = { pools: [r.pool] };
  if (r.startDate) body.startDate = r.startDate;
  if (r.endDate) body.endDate = r.endDate;
  if (r.moduleIds.length) body.moduleIds = r.moduleIds;
  if (r.refetch) body.refetch = true;
  return body;
}
