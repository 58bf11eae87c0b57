// How an application takes part in subscriptions with nothing but Node.js: it receives webhooks and
// verifies who has sent them, or claims its work itself, and reports how far it has come. Made to be
// copied; subscriptions.test.js shows how it is used.
import { createPublicKey, verify } from "node:crypto"
import { createServer } from "node:http"

const SIGNATURE = /^t=(\d+),kid=([^,]+),ed25519=([A-Za-z0-9_-]+)$/
const PATIENCE_S = 300 // what was signed longer ago may come from somebody who has overheard it
const KEYS_LIFE_MS = 300_000 // then a key may not be in the set any more
const BODY_SIZE_MAX = 16 << 20
const ANSWER_TIMEOUT_MS = 10_000

// ---- signatures ----

/** The public keys of a server: `url` is that of its jwks.json, which no webhook can say. */
export class KeySet {
  #url
  #keys = new Map() // kid: key
  #readAt = -Infinity
  #reading // a promise while the set is being read

  constructor(url) {
    this.#url = url
  }

  /** The key that is called `kid`, or undefined. After a rotation it is not known yet. */
  async find(kid) {
    const isFresh = Date.now() - this.#readAt < KEYS_LIFE_MS
    if (!isFresh || !this.#keys.has(kid)) await this.#readOnce()
    return this.#keys.get(kid)
  }

  /** Whoever asks while the set is being read waits for that. */
  #readOnce() {
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined))
    return this.#reading
  }

  async #read() {
    // Past all caches: a new key signs at once.
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
    const response = await fetch(this.#url, { cache: "reload", signal })
    if (!response.ok) throw new Error(`${this.#url}: ${response.status}`)
    const { keys } = await response.json()
    const ours = keys.filter((jwk) => jwk.kty === "OKP" && jwk.crv === "Ed25519")
    const known = ours.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: "jwk" })])
    this.#keys = new Map(known)
    this.#readAt = Date.now()
  }
}

/**
 * Has the server of these keys sent this body, and not long ago? `header` is Webhook-Signature,
 * `body` a Buffer with the bytes just as they came.
 */
export async function isSigned(header, body, keys, nowMs = Date.now()) {
  const match = SIGNATURE.exec(header ?? "")
  if (match === null) return false
  const [, time, kid, signature] = match
  if (Math.abs(nowMs / 1000 - Number(time)) > PATIENCE_S) return false
  const key = await keys.find(kid)
  const message = Buffer.concat([Buffer.from(`${time}.`), body])
  return key !== undefined && verify(null, message, key, Buffer.from(signature, "base64url"))
}

// ---- webhooks ----

async function bodyOf(request) {
  const pieces = []
  let size = 0
  for await (const piece of request) {
    size += piece.length
    if (size > BODY_SIZE_MAX) throw new Error("the body is too large")
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/**
 * A server that calls `work` with every wake that is signed, and answers what it returns:
 * { done: true } acknowledges all that the wake names; after anything else call report() before the
 * lease runs out. If `work` throws, the wake comes again. The same wake may come twice.
 */
export function createReceiver(keys, work) {
  async function answer(request, response) {
    const body = await bodyOf(request)
    if (!(await isSigned(request.headers["webhook-signature"], body, keys))) {
      response.writeHead(401).end()
      return
    }
    const result = (await work(JSON.parse(body))) ?? {}
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(result))
  }
  return createServer((request, response) => {
    answer(request, response).catch((error) => {
      console.error("a webhook failed", error)
      response.writeHead(500).end()
    })
  })
}

// ---- reports ----

/** A request that was refused; `code` says why, as FENCED: the wake is not the current one. */
export class Refused extends Error {
  constructor(status, error) {
    super(`${status} ${error?.code}: ${error?.message}`)
    this.code = error?.code
  }
}

async function post(url, body, token) {
  const headers = { "Content-Type": "application/json" }
  if (token !== undefined) headers.Authorization = `Bearer ${token}`
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal })
  const text = await response.text()
  const answer = text === "" ? {} : JSON.parse(text)
  if (!response.ok) throw new Refused(response.status, answer.error)
  return answer
}

function reportOf(wake, more) {
  return { wake_id: wake.wake_id, generation: wake.generation, ...more }
}

/**
 * Says how far the worker of a webhook has come: `acks` are { stream, offset } each. The lease
 * begins anew, or ends with `done`. Returns whether another wake follows.
 */
export async function report(wake, acks, done = false) {
  const body = reportOf(wake, { acks, done })
  return (await post(wake.callback_url, body, wake.callback_token)).next_wake
}

/**
 * What a stream of a wake holds behind its cursor, a page of it, and the ack of that page. What is
 * left wakes again.
 */
export async function readNew(root, { path, acked_offset }) {
  const response = await fetch(`${root}/${path}?offset=${acked_offset}`)
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  const ack = { stream: path, offset: response.headers.get("Stream-Next-Offset") }
  return { text: await response.text(), ack }
}

// ---- pull-wake ----

/** One that asks for work: `subscription` is its URL. */
export class Worker {
  #subscription
  #name

  constructor(subscription, name) {
    this.#subscription = subscription
    this.#name = name
  }

  /** A wake with a lease, or undefined: there is nothing to do, or another worker does it. */
  async claim() {
    try {
      return await post(`${this.#subscription}/claim`, { worker: this.#name })
    } catch (error) {
      if (error.code === "NO_PENDING_WORK" || error.code === "ALREADY_CLAIMED") return undefined
      throw error
    }
  }

  /** As report(). */
  async ack(wake, acks, done = false) {
    const body = reportOf(wake, { acks, done })
    return (await post(`${this.#subscription}/ack`, body, wake.token)).next_wake
  }

  /** Gives the lease back; what was not acknowledged wakes again. */
  async release(wake) {
    await post(`${this.#subscription}/release`, reportOf(wake), wake.token)
  }
}
