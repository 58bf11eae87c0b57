// What the client tests share: where the server is, new stream addresses, and waiting.
import { randomUUID } from "node:crypto"
import { expect, vi } from "vitest"

/** The address of a stream that does not exist yet. */
export function newUrl() {
  return `${process.env.SLUICE_URL}/v1/stream/client/${randomUUID()}`
}

/** Waits until `condition` holds. */
export function until(condition) {
  return vi.waitFor(() => expect(condition()).toBe(true), { timeout: 10_000, interval: 10 })
}

/** A fetch that remembers the requests that it made, as "METHOD live-mode". */
export function countingFetch() {
  const requests = []
  const counting = (input, init) => {
    const mode = new URL(input instanceof Request ? input.url : input).searchParams.get("live")
    requests.push(`${init?.method ?? "GET"} ${mode ?? "catch-up"}`)
    return fetch(input, init)
  }
  return { requests, fetch: counting }
}

/** 0, 1, ... count - 1 */
export function numbers(count) {
  return Array.from({ length: count }, (_, i) => i)
}
