// The official server conformance suite, run against the server at SLUICE_URL.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

runConformanceTests({ baseUrl: process.env.SLUICE_URL })
