// The official server conformance suite, run against the server at SLUICE_URL.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"
import { killBetweenGroups } from "./kills.js"

if (process.env.SLUICE_RESTART_URL) killBetweenGroups()
runConformanceTests({ baseUrl: process.env.SLUICE_URL, subscriptions: true })
