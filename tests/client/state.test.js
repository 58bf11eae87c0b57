// Collections kept by @durable-streams/state from change events in a stream at SLUICE_URL.
import { DurableStream } from "@durable-streams/client"
import { createStateSchema } from "@durable-streams/state"
import { createStreamDB } from "@durable-streams/state/db"
import { expect, it } from "vitest"
import { newUrl, numbers, until } from "./streams.js"

const anything = {
  "~standard": { version: 1, vendor: "sluice-tests", validate: (value) => ({ value }) },
}
const schema = createStateSchema({
  users: { schema: anything, type: "user", primaryKey: "id" },
  notes: { schema: anything, type: "note", primaryKey: "id" },
})

function open(url, live) {
  return createStreamDB({
    streamOptions: { url, contentType: "application/json" },
    state: schema,
    live,
  })
}

it.each(["sse", "long-poll"])("keeps collections up to date by %s", async (live) => {
  const url = newUrl()
  const stream = await DurableStream.create({ url, contentType: "application/json" })
  const say = (event) => stream.append(JSON.stringify(event))
  await say(schema.users.insert({ value: { id: "1", name: "Ada" } }))
  await say(schema.users.insert({ value: { id: "2", name: "Grace" } }))

  const db = open(url, live)
  await db.preload()
  const { users, notes } = db.collections
  expect(users.get("1").name).toBe("Ada")
  expect(users.size).toBe(2)

  await say(schema.users.update({ value: { id: "1", name: "Ada L." } }))
  await say(schema.users.delete({ key: "2" }))
  await Promise.all(
    numbers(100).map((n) => say(schema.notes.insert({ value: { id: `${n}`, text: `note ${n}` } })))
  )
  await until(() => notes.size === 100 && users.size === 1)
  expect(users.get("1").name).toBe("Ada L.")
  expect(notes.get("99").text).toBe("note 99")
  db.close()

  const again = open(url, false)
  await again.preload()
  expect([...again.collections.users.keys()]).toEqual(["1"])
  expect(again.collections.notes.size).toBe(100)
  again.close()
})
