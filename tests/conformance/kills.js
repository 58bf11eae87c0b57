// Has the server killed and restarted between groups of tests, and compares what it has after that
// with what it had. SLUICE_RESTART_URL is where run.py takes the order; it answers when the server
// is ready again.
import { createHash } from "node:crypto"
import { afterAll, beforeEach, expect } from "vitest"

const TIMEOUT_MS = 60_000
const request = globalThis.fetch

/** The addresses of the streams created since the last kill. */
let created = new Set()
/** What every older stream was before the kill that followed its creation. */
const known = new Map()

/** Names of the streams that subscriptions append to, after a restart once more. */
const wakeStreams = new Set()

/** A stream that only its clients change; a subscription is none, and cannot be read to an end. */
function isComparable(url) {
  return !url.includes("/__ds/") && ![...wakeStreams].some((name) => url.endsWith(`/${name}`))
}

/** A fetch that remembers what it created. */
async function rememberingFetch(input, init) {
  const response = await request(input, init)
  const [, wakeStream] = /"wake_stream":"([^"]+)"/.exec(init?.body) ?? []
  if (wakeStream !== undefined) wakeStreams.add(wakeStream)
  if (response.status === 201) created.add(response.url)
  return response
}

/** All that a reader can find out about a stream. */
async function look(url) {
  const { status, headers } = await request(url, { method: "HEAD" })
  if (status !== 200) return { status }
  const hash = createHash("sha256")
  let page = null
  let offset = "-1"
  do {
    page = await request(`${url}?offset=${offset}`)
    hash.update(new Uint8Array(await page.arrayBuffer()))
    offset = page.headers.get("stream-next-offset")
  } while (page.status === 200 && !page.headers.has("stream-up-to-date"))
  return {
    status: page.status,
    type: headers.get("content-type"),
    expires: headers.has("stream-ttl") || headers.has("stream-expires-at"),
    closed: headers.has("stream-closed"),
    tail: headers.get("stream-next-offset"),
    content: hash.digest("hex"),
  }
}

/** A stream is what it was, or it expired; one that was gone is gone. */
async function compare(url, before) {
  const after = await look(url)
  const isGone = after.status === 404 || after.status === 410
  if (before.status !== 200 || before.expires) {
    if (isGone) return
    expect(before.status, `${url} is back after the kill`).toBe(200)
  }
  expect(after, `${url} after the kill`).toEqual(before)
}

async function killAndCompare() {
  const group = [...created].filter(isComparable)
  created = new Set()
  for (const url of group) known.set(url, await look(url))
  const answer = await request(process.env.SLUICE_RESTART_URL, { method: "POST" })
  expect(answer.status, await answer.text()).toBe(200)
  expect((await request(`${process.env.SLUICE_URL}/readyz`)).status).toBe(200)
  for (const url of group) await compare(url, known.get(url))
}

/** To be called before the tests are defined. After the last group all streams are compared. */
export function killBetweenGroups() {
  globalThis.fetch = rememberingFetch
  let group = null
  let done = Promise.resolve()
  beforeEach(({ task }) => {
    // Tests of one group may run at the same time: the first one kills, all wait for it.
    if (group !== null && task.suite !== group) done = killAndCompare()
    group = task.suite
    return done
  }, TIMEOUT_MS)
  afterAll(async () => {
    await killAndCompare()
    for (const [url, before] of known) if (isComparable(url)) await compare(url, before)
  }, TIMEOUT_MS)
}
