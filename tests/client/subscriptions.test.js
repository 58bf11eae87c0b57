// Subscriptions as an application sees them: subscriptions.js against the server at SLUICE_URL,
// which lets webhooks go to this machine. SLUICE_BINARY and SLUICE_DATA_DIR are there for rotation.
import { stream } from "@durable-streams/client"
import { execFileSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { createServer } from "node:http"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { createReceiver, isSigned, KeySet, readNew, report, Worker } from "./subscriptions.js"
import { until } from "./streams.js"

const ROOT = `${process.env.SLUICE_URL}/v1/stream`
const JWKS = `${ROOT}/__ds/jwks.json`
const LEASE_MS = 60_000

let name // of the streams and of the subscription of a test
let subscription // its URL
let servers // of a test, to be closed

beforeEach(() => {
  name = `hooked-${randomUUID()}`
  subscription = `${ROOT}/__ds/subscriptions/${name}`
  servers = []
})

afterEach(async () => {
  await fetch(subscription, { method: "DELETE" })
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
})

async function ask(method, url, type, body) {
  const response = await fetch(url, { method, headers: { "Content-Type": type }, body })
  expect(response.ok, `${method} ${url}: ${response.status}`).toBe(true)
  return response
}

async function subscribe(members) {
  const body = { pattern: `${name}/*`, lease_ttl_ms: LEASE_MS, ...members }
  return (await ask("PUT", subscription, "application/json", JSON.stringify(body))).json()
}

/** Makes the stream of the test or appends to it; returns its tail. */
async function append(text, method = "POST") {
  const response = await ask(method, `${ROOT}/${name}/a`, "text/plain", text)
  return response.headers.get("Stream-Next-Offset")
}

async function view() {
  return (await fetch(subscription)).json()
}

async function cursor() {
  const { streams } = await view()
  return streams[0]?.acked_offset
}

/** The URL of a server of the test. */
async function urlOf(server) {
  servers.push(server)
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return `http://127.0.0.1:${server.address().port}/hook`
}

/** What has come and nobody has looked at. */
class Arrivals {
  #items = []
  add(item) {
    this.#items.push(item)
  }
  async next() {
    await until(() => this.#items.length > 0)
    return this.#items.shift()
  }
}

/** Subscribes a receiver; `work` is called with every wake and its number from 0 on. */
async function receive(work) {
  const wakes = new Arrivals()
  let count = 0
  const receiver = createReceiver(new KeySet(JWKS), (wake) => {
    wakes.add(wake)
    return work(wake, count++)
  })
  const url = await urlOf(receiver)
  return { url, wakes, view: await subscribe({ type: "webhook", webhook: { url } }) }
}

/** Subscribes somebody who keeps the signatures and bodies that come, and says that all is done. */
async function overhear() {
  const requests = new Arrivals()
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    requests.add({ header: request.headers["webhook-signature"], body })
    response.end('{"done":true}')
  })
  await subscribe({ type: "webhook", webhook: { url: await urlOf(server) } })
  return requests
}

function timeOf(header) {
  return Number(/^t=(\d+)/.exec(header)[1])
}

function kidOf(header) {
  return /kid=([^,]+)/.exec(header)[1]
}

describe("a receiver of webhooks", () => {
  it("is done with its answer", async () => {
    const { wakes, view: made } = await receive(() => ({ done: true }))
    expect(made.webhook.signing.jwks_url).toBe(JWKS)
    const tail = await append("hello", "PUT")
    const wake = await wakes.next()
    expect(wake).toMatchObject({ subscription_id: name, generation: 1 })
    expect(wake.streams).toEqual([
      {
        path: `${name}/a`,
        link_type: "glob",
        acked_offset: "-1",
        tail_offset: tail,
        has_pending: true,
      },
    ])
    await vi.waitFor(async () => expect(await cursor()).toBe(tail), 10_000)
  })

  it("takes nothing that was changed, or that the server has not signed", async () => {
    const requests = await overhear()
    await append("hello", "PUT")
    const { header, body } = await requests.next()
    const work = vi.fn()
    const url = await urlOf(createReceiver(new KeySet(JWKS), work))
    const send = async (signature, bytes) => {
      const headers = signature === undefined ? {} : { "Webhook-Signature": signature }
      return (await fetch(url, { method: "POST", headers, body: bytes })).status
    }
    const changed = Buffer.from(body)
    changed[changed.length - 1] ^= 1
    const last = header.endsWith("AA") ? "BB" : "AA"
    const time = timeOf(header)
    expect(await send(header, changed)).toBe(401)
    expect(await send(header, Buffer.concat([body, Buffer.from(" ")]))).toBe(401)
    expect(await send(header.replace(`t=${time}`, `t=${time + 1}`), body)).toBe(401)
    expect(await send(header.replace(kidOf(header), "ds_unknown"), body)).toBe(401)
    expect(await send(header.slice(0, -2) + last, body)).toBe(401)
    expect(await send(`${header},more=1`, body)).toBe(401)
    expect(await send(undefined, body)).toBe(401)
    expect(work).not.toHaveBeenCalled()
    expect(await send(header, body)).toBe(200)
    expect(work).toHaveBeenCalledExactlyOnceWith(JSON.parse(body))
  })

  it("takes nothing that was signed long ago, or that is to be signed", async () => {
    const requests = await overhear()
    await append("hello", "PUT")
    const { header, body } = await requests.next()
    const keys = new KeySet(JWKS)
    const at = (seconds) => isSigned(header, body, keys, (timeOf(header) + seconds) * 1000)
    expect(await at(300)).toBe(true)
    expect(await at(301)).toBe(false)
    expect(await at(-300)).toBe(true)
    expect(await at(-301)).toBe(false)
  })

  it("reports later, and is woken for what came meanwhile", async () => {
    const { wakes } = await receive(() => undefined)
    await append("first,", "PUT")
    const wake = await wakes.next()
    const first = await readNew(ROOT, wake.streams[0])
    expect(first.text).toBe("first,")
    expect(await report(wake, [])).toBe(false)
    const tail = await append("second")
    expect(await report(wake, [first.ack], true)).toBe(true)
    await expect(report(wake, [first.ack], true)).rejects.toMatchObject({ code: "FENCED" })

    const again = await wakes.next()
    expect(again.generation).toBe(wake.generation + 1)
    expect(again.streams[0]).toMatchObject({ acked_offset: first.ack.offset, tail_offset: tail })
    const second = await readNew(ROOT, again.streams[0])
    expect(second).toEqual({ text: "second", ack: { stream: `${name}/a`, offset: tail } })
    expect(await report(again, [second.ack], true)).toBe(false)
    expect(await cursor()).toBe(tail)
  })

  it("is told again after it has failed", async () => {
    const complaint = vi.spyOn(console, "error").mockImplementation(() => undefined)
    let goOn
    const seen = new Promise((resolve) => (goOn = resolve))
    const { wakes } = await receive(async (wake, n) => {
      if (n === 0) throw new Error("not today")
      await seen
      return { done: true }
    })
    const tail = await append("hello", "PUT")
    const first = await wakes.next()
    const second = await wakes.next()
    expect((await view()).status).toBe("failed")
    goOn()
    expect(second.wake_id).toBe(first.wake_id)
    expect(second.streams).toEqual(first.streams)
    await vi.waitFor(async () => expect(await cursor()).toBe(tail), 10_000)
    expect((await view()).status).toBe("active")
    expect(complaint).toHaveBeenCalledOnce()
    complaint.mockRestore()
  })

  it("reads the keys again after they were rotated, and only then", async () => {
    const requests = await overhear()
    const keys = new KeySet(JWKS)
    const fetched = vi.spyOn(globalThis, "fetch")
    const readings = () => fetched.mock.calls.filter(([url]) => url === JWKS).length
    await append("with the old key", "PUT")
    const old = await requests.next()
    for (let n = 0; n < 3; n++) expect(await isSigned(old.header, old.body, keys)).toBe(true)
    expect(readings()).toBe(1)

    const { SLUICE_BINARY, SLUICE_DATA_DIR } = process.env
    execFileSync(SLUICE_BINARY, ["rotate-keys", SLUICE_DATA_DIR])
    await append("with the new one")
    const recent = await requests.next()
    expect(kidOf(recent.header)).not.toBe(kidOf(old.header))
    expect((await view()).webhook.signing.kid).toBe(kidOf(recent.header))
    expect(await isSigned(recent.header, recent.body, keys)).toBe(true)
    expect(await isSigned(old.header, old.body, keys)).toBe(true)
    expect(readings()).toBe(2)
    fetched.mockRestore()
  })
})

describe("a worker of a pull-wake subscription", () => {
  it("hears of work, claims it, acknowledges it and gives it back", async () => {
    const wakeUrl = `${ROOT}/wake/${name}`
    await ask("PUT", wakeUrl, "application/json")
    await subscribe({ type: "pull-wake", wake_stream: `wake/${name}` })
    const events = new Arrivals()
    const reader = await stream({ url: wakeUrl, offset: "-1", live: "long-poll", json: true })
    reader.subscribeJson(({ items }) => items.forEach((item) => events.add(item)))
    const worker = new Worker(subscription, "worker-1")
    expect(await worker.claim()).toBeUndefined()

    await append("first,", "PUT")
    expect(await events.next()).toMatchObject({ subscription_id: name, generation: 1 })
    const wake = await worker.claim()
    expect(wake).toMatchObject({ generation: 1, lease_ttl_ms: LEASE_MS })
    expect(await new Worker(subscription, "worker-2").claim()).toBeUndefined()
    const first = await readNew(ROOT, wake.streams[0])
    expect(first.text).toBe("first,")
    expect(await worker.ack(wake, [first.ack])).toBe(false)
    const tail = await append("second")
    await worker.release(wake)
    await expect(worker.ack(wake, [])).rejects.toMatchObject({ code: "FENCED" })

    expect(await events.next()).toMatchObject({ generation: 2 })
    const again = await worker.claim()
    expect(again.streams[0]).toMatchObject({ acked_offset: first.ack.offset, tail_offset: tail })
    const second = await readNew(ROOT, again.streams[0])
    expect(second.text).toBe("second")
    expect(await worker.ack(again, [second.ack], true)).toBe(false)
    expect(await worker.claim()).toBeUndefined()
    expect(await cursor()).toBe(tail)
    reader.cancel()
  })
})
