// The official client against the server at SLUICE_URL, which ends SSE responses after 2 s.
import {
  DurableStream,
  IdempotentProducer,
  StaleEpochError,
  stream,
} from "@durable-streams/client"
import { describe, expect, it } from "vitest"
import { countingFetch, newUrl, numbers, until } from "./streams.js"

const JSON_TYPE = "application/json"
const BYTES_TYPE = "application/octet-stream"
const TEXT_TYPE = "text/plain"

function create(contentType, more = {}) {
  return DurableStream.create({ url: newUrl(), contentType, ...more })
}

async function contentOf(url) {
  return new Uint8Array(await (await stream({ url, live: false })).body())
}

describe("create, append, read", () => {
  it("reads back the bytes of all appends in order", async () => {
    const handle = await create(BYTES_TYPE)
    const bytes = Uint8Array.from(numbers(256))
    await handle.append(bytes)
    await handle.append(bytes.toReversed())
    expect(await contentOf(handle.url)).toEqual(
      Uint8Array.from([...bytes, ...bytes.toReversed()])
    )
  })

  it("reads back JSON messages, batched or not", async () => {
    const handle = await create(JSON_TYPE)
    await Promise.all(numbers(50).map((n) => handle.append(JSON.stringify({ n }))))
    await handle.append(JSON.stringify([1, [2]]))
    const items = await (await stream({ url: handle.url, live: false })).json()
    expect(items).toEqual([...numbers(50).map((n) => ({ n })), [1, [2]]])
  })

  it("takes initial content, and a body of unknown length", async () => {
    const handle = await create(TEXT_TYPE, { body: "first " })
    await handle.appendStream(
      (async function* () {
        yield "second "
        yield "third"
      })()
    )
    expect(await (await stream({ url: handle.url, live: false })).text()).toBe("first second third")
  })

  it("creates once and agrees to the same configuration only", async () => {
    const handle = await create(TEXT_TYPE, { ttlSeconds: 60 })
    await handle.create({ contentType: TEXT_TYPE, ttlSeconds: 60 })
    await expect(handle.create({ contentType: TEXT_TYPE })).rejects.toMatchObject({ status: 409 })
  })

  it("says in HEAD what the stream is", async () => {
    const handle = await create(TEXT_TYPE, { body: "12345" })
    const head = await DurableStream.head({ url: handle.url })
    expect(head).toMatchObject({ exists: true, contentType: TEXT_TYPE, streamClosed: false })
    const rest = await stream({ url: handle.url, offset: head.offset, live: false })
    expect(await rest.text()).toBe("")
  })

  it("refuses a sequence that does not rise", async () => {
    const handle = await create(TEXT_TYPE, { batching: false })
    await handle.append("a", { seq: "0002" })
    await expect(handle.append("b", { seq: "0001" })).rejects.toMatchObject({ status: 409 })
    expect(await contentOf(handle.url)).toEqual(new TextEncoder().encode("a"))
  })

  it("reads a large stream page by page without loss", async () => {
    const handle = await create(BYTES_TYPE)
    const part = new Uint8Array(1 << 20).map((_, i) => (i * 31) % 251)
    for (let n = 0; n < 5; n++) await handle.append(part)
    const content = await (await stream({ url: handle.url, live: "long-poll" })).body()
    expect(content.length).toBe(5 * part.length)
    for (let n = 0; n < 5; n++) {
      const piece = content.subarray(n * part.length, (n + 1) * part.length)
      expect(Buffer.compare(piece, part)).toBe(0)
    }
  })
})

describe("idempotent producer", () => {
  it("delivers pipelined batches once and in order", async () => {
    const handle = await create(JSON_TYPE)
    const producer = new IdempotentProducer(handle, "pipeline", { lingerMs: 1, maxBatchBytes: 200 })
    for (const n of numbers(1000)) producer.append(JSON.stringify(n))
    await producer.flush()
    await producer.detach()
    expect(await (await stream({ url: handle.url, live: false })).json()).toEqual(numbers(1000))
  })

  it("appends once although answers are lost and requests are sent again", async () => {
    // The client gives a batch up when fetch throws; what retries is the layer below it.
    let accepted = 0
    const again = []
    const retrying = async (input, init) => {
      const answer = await fetch(input, init)
      if (answer.status !== 200 || ++accepted % 2 === 0) return answer
      await answer.arrayBuffer()
      const second = await fetch(input, init)
      again.push(second.status)
      return second
    }
    const handle = await create(JSON_TYPE)
    const errors = []
    const onError = (error) => errors.push(error)
    const options = { lingerMs: 1, maxBatchBytes: 50, fetch: retrying, onError }
    const producer = new IdempotentProducer(handle, "lossy", options)
    for (const n of numbers(200)) producer.append(JSON.stringify(n))
    await producer.flush()
    await producer.detach()
    expect(errors).toEqual([])
    expect(again.length).toBeGreaterThan(2)
    expect(new Set(again)).toEqual(new Set([204]))
    expect(await (await stream({ url: handle.url, live: false })).json()).toEqual(numbers(200))
  })

  it("fences the producer of an older epoch", async () => {
    const handle = await create(JSON_TYPE)
    const errors = []
    const old = new IdempotentProducer(handle, "worker", { onError: (error) => errors.push(error) })
    old.append("1")
    await old.flush()
    const claimed = new IdempotentProducer(handle, "worker", { epoch: 1 })
    claimed.append("2")
    await claimed.flush()
    old.append("3")
    await old.flush().catch((error) => errors.push(error))
    expect(errors[0]).toBeInstanceOf(StaleEpochError)
    expect(await (await stream({ url: handle.url, live: false })).json()).toEqual([1, 2])
  })

  it("closes with a final message, and again without harm", async () => {
    const handle = await create(JSON_TYPE)
    const producer = new IdempotentProducer(handle, "closer")
    producer.append("1")
    const first = await producer.close("2")
    expect(await producer.close("2")).toEqual(first)
    const response = await stream({ url: handle.url, live: false })
    expect(await response.json()).toEqual([1, 2])
    expect(response.streamClosed).toBe(true)
  })
})

describe.each(["sse", "long-poll"])("live by %s", (live) => {
  it("delivers what is there and what comes, until the stream is closed", async () => {
    const handle = await create(JSON_TYPE)
    await handle.append("0")
    const response = await stream({ url: handle.url, offset: "-1", live })
    const seen = []
    response.subscribeJson((batch) => void seen.push(...batch.items))
    await until(() => seen.length === 1)
    await handle.append("1")
    await until(() => seen.length === 2)
    await handle.close({ body: "2", contentType: JSON_TYPE })
    await until(() => response.streamClosed)
    expect(seen).toEqual([0, 1, 2])
    await response.closed
  })

  it("delivers bytes", async () => {
    const handle = await create(BYTES_TYPE)
    const part = Uint8Array.from(numbers(256))
    const response = await stream({ url: handle.url, offset: "-1", live })
    const seen = []
    response.subscribeBytes((chunk) => void seen.push(...chunk.data))
    await handle.append(part)
    await until(() => seen.length === 256)
    await handle.append(part)
    await handle.close()
    await until(() => response.streamClosed)
    expect(seen).toEqual([...part, ...part])
  })

  it("delivers text with every kind of line end and a leading space", async () => {
    const text = " leading\n\nevent: control\ndata: {}\n\ntail  é 😀\n"
    const handle = await create(TEXT_TYPE, { body: text })
    await handle.close()
    const response = await stream({ url: handle.url, offset: "-1", live })
    let seen = ""
    response.subscribeText((chunk) => void (seen += chunk.text))
    await until(() => seen !== "")
    expect(seen).toBe(text)
    expect(response.streamClosed).toBe(true)
  })

  it("goes on where the server ended a response, with nothing lost or twice", async () => {
    const handle = await create(JSON_TYPE)
    const { requests, fetch } = countingFetch()
    const response = await stream({ url: handle.url, offset: "-1", live, fetch })
    const seen = []
    response.subscribeJson((batch) => void seen.push(...batch.items))
    const count = 100
    for (const n of numbers(count)) {
      await handle.append(JSON.stringify(n))
      await new Promise((resolve) => setTimeout(resolve, n === 50 ? 1200 : 30))
    }
    await handle.close()
    await until(() => response.streamClosed)
    expect(seen).toEqual(numbers(count))
    expect(requests.filter((request) => request === `GET ${live}`).length).toBeGreaterThan(1)
  })

  it("resumes from a saved offset after the reader went away", async () => {
    const handle = await create(JSON_TYPE)
    for (const n of numbers(10)) await handle.append(JSON.stringify(n))
    const seen = []
    const before = await stream({ url: handle.url, offset: "-1", live })
    let offset
    before.subscribeJson((batch) => {
      seen.push(...batch.items)
      offset = batch.offset
    })
    await until(() => seen.length === 10)
    before.cancel()
    for (const n of numbers(10)) await handle.append(JSON.stringify(10 + n))
    const after = await stream({ url: handle.url, offset, live })
    after.subscribeJson((batch) => void seen.push(...batch.items))
    await until(() => seen.length === 20)
    await handle.append("20")
    await until(() => seen.length === 21)
    after.cancel()
    expect(seen).toEqual(numbers(21))
  })

  it("starts at the tail when asked for now", async () => {
    const handle = await create(TEXT_TYPE, { body: "old " })
    const response = await stream({ url: handle.url, offset: "now", live })
    let seen = ""
    response.subscribeText((chunk) => void (seen += chunk.text))
    await handle.append("new")
    await until(() => seen !== "")
    response.cancel()
    expect(seen).toBe("new")
  })

  it("ends with an error when the stream is deleted", async () => {
    const handle = await create(TEXT_TYPE, { body: "gone soon" })
    const errors = []
    const response = await stream({
      url: handle.url,
      offset: "-1",
      live,
      onError: (error) => void errors.push(error),
    })
    let seen = ""
    response.subscribeText((chunk) => void (seen += chunk.text))
    // Before the delete: the reader may hear of it first.
    const ended = response.closed.catch((error) => errors.push(error))
    await until(() => seen === "gone soon")
    await handle.delete()
    await ended
    expect(errors[0]).toMatchObject({ status: 404 })
  })
})

describe("close and delete", () => {
  it("refuses appends to a closed stream and lets it be closed again", async () => {
    const handle = await create(TEXT_TYPE, { body: "all" })
    const { finalOffset } = await handle.close()
    expect(await handle.close()).toEqual({ finalOffset })
    await expect(handle.append("more")).rejects.toMatchObject({ status: 409 })
    await expect(handle.close({ body: "more" })).rejects.toMatchObject({ status: 409 })
    expect(await DurableStream.head({ url: handle.url })).toMatchObject({ streamClosed: true })
  })

  it("forgets a deleted stream, and its name is free", async () => {
    const handle = await create(TEXT_TYPE, { body: "old" })
    await handle.delete()
    expect(await DurableStream.head({ url: handle.url })).toEqual({ exists: false })
    await DurableStream.create({ url: handle.url, contentType: JSON_TYPE, body: "[1]" })
    expect(await (await stream({ url: handle.url, live: false })).json()).toEqual([1])
  })
})
